// Ops with a gradient of their own: how a fused computation joins the tape. Knows no op in particular.

import { isFloat } from "./dtype.ts";
import { GradientError } from "./errors.ts";
import { scope } from "./scope.ts";
import { type Cotangent, type Rule, record, tracked, untracked, vjp } from "./tape.ts";
import { Tensor, viewOf, zerosBeside } from "./tensor.ts";

/** What `vjp` of a custom op is told besides the cotangents. */
export interface CustomContext<A extends readonly unknown[], R, S> {
  readonly args: A;
  readonly value: R;
  readonly saved: S;
  /** Whether the cotangent of each argument is asked for. */
  readonly wanted: readonly boolean[];
}

/** A computation and its gradient, by whatever means. */
export interface CustomRule<A extends readonly unknown[], R extends Tensor | readonly Tensor[], S> {
  /**
   * The value, a tensor or an array of new tensors, and what is to be kept for the way back (tensors in arrays and records,
   * numbers). Nothing in here is recorded, and what is made on the way is freed. `wanted` says for each argument whether a
   * tape follows it: where one does, the gradient may be computed at once and kept.
   */
  readonly forward: (args: A, wanted: readonly boolean[]) => { readonly value: R; readonly saved: S };
  /**
   * The cotangents of the arguments, given those of the values (undefined: zero). Nothing in here is recorded. It may be
   * called several times, so it must not change what was saved.
   */
  readonly vjp: (
    cotangents: readonly (Tensor | undefined)[],
    context: CustomContext<A, R, S>,
  ) => readonly (Cotangent | undefined)[];
  /**
   * The same value in ordinary ops, for derivatives of higher order: an outer tape differentiates this. Without it there are
   * none (GradientError).
   */
  readonly definition?: (...args: A) => R;
}

const listed = (value: Tensor | readonly Tensor[]): readonly Tensor[] =>
  value instanceof Tensor ? [value] : value;

/** What a record of a custom op keeps. */
interface Kept<A extends readonly unknown[], R, S> extends Omit<CustomContext<A, R, S>, "wanted"> {
  /** Which argument each input of the record is. */
  readonly places: readonly number[];
}

/**
 * Makes an op of a computation that brings its own gradient: one that is fused with what stands around it, that must not
 * keep what the tape would keep for it, or that is no formula. Tensors among its arguments can be differentiated with
 * respect to; all others are passed on.
 *
 * First derivatives come from `vjp`, higher ones from `definition`. Throws GradientError where these are asked for and there
 * is none.
 *
 * @example
 * import { customOp, grad, tensor } from "simplexgrad";
 * import { mul, sum } from "simplexgrad/ops";
 *
 * // Half the squared length: its gradient is x itself, so the way back is a scaling and nothing more.
 * const halfSquare = customOp("halfSquare", {
 *   forward: ([x]) => ({ value: mul(0.5, sum(mul(x, x))), saved: undefined }),
 *   vjp: ([g], { args: [x] }) => [mul(g, x)],
 *   definition: (x) => mul(0.5, sum(mul(x, x))),
 * });
 * grad(halfSquare)(tensor([3, 4])).toArray(); // [3, 4]
 */
export function customOp<A extends readonly unknown[], R extends Tensor | readonly Tensor[], S>(
  name: string,
  { forward, vjp: pull, definition }: CustomRule<A, R, S>,
): (...args: A) => R {
  /** The cotangents of the wanted arguments by way of ordinary ops, which outer tapes record. */
  const derived = (
    cotangents: readonly (Tensor | undefined)[],
    { args, value, wanted }: CustomContext<A, R, S>,
  ): readonly (Tensor | undefined)[] => {
    if (definition === undefined)
      throw new GradientError(
        name,
        "a derivative of its gradient is asked for, and it has none",
        "give customOp a definition in ordinary ops",
      );
    const places = wanted.flatMap((want, i) => (want ? [i] : []));
    const { pullback } = vjp(
      (...inputs: Tensor[]) => {
        const all = [...args];
        places.forEach((place, i) => {
          all[place] = inputs[i];
        });
        return listed(definition(...(all as unknown as A)));
      },
      ...places.map((i) => args[i] as Tensor),
    );
    const found = pullback(listed(value).map((t, k) => cotangents[k] ?? zerosBeside(t)));
    return args.map((_, i) => found[places.indexOf(i)]);
  };

  const rule: Rule = {
    name,
    vjp(cotangents, { inputs, saved }, asked) {
      const { places, ...kept } = saved as Kept<A, R, S>;
      const wanted = kept.args.map((_, i) => asked[places.indexOf(i)] ?? false);
      const context = { ...kept, wanted };
      const among = cotangents.filter((g) => g !== undefined);
      const found = tracked([...inputs, ...among])
        ? derived(cotangents, context)
        : untracked(() => pull(cotangents, context));
      return places.map((i) => found[i]);
    },
  };

  return (...args) => {
    const places = args.flatMap((arg, i) => (arg instanceof Tensor && isFloat(arg.dtype) ? [i] : []));
    const inputs = places.map((i) => args[i] as Tensor);
    const wanted = args.map((arg, i) => places.includes(i) && tracked([arg as Tensor]));
    const { value, saved } = untracked(() => scope(() => forward(args, wanted)));
    if (!wanted.includes(true)) return value;
    // A value that is an argument, or another constant, is a tensor of its own for the tape.
    const fresh = (t: Tensor): Tensor => (t.mark ? viewOf(t, t.shape, t.steps, t.offset) : t);
    const own = (value instanceof Tensor ? fresh(value) : value.map(fresh)) as R;
    record(rule, inputs, listed(own), { args, value: own, saved, places } satisfies Kept<A, R, S>);
    return own;
  };
}
