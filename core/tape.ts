// The tape: a flat list of what was computed from tracked tensors, and the walk back along it.
// Rules are written in ops, so an outer tape records them: higher orders need nothing else. Knows no op but addition.

import { addTensors } from "./apply.ts";
import { type DType, dtypes, isFloat } from "./dtype.ts";
import { ArgumentError, DTypeError, GradientError, ShapeError, showShape, showValue } from "./errors.ts";
import { display } from "./inspect.ts";
import { Parameter } from "./parameter.ts";
import type { RowSparse } from "./rowsparse.ts";
import { drop, eachTensor, hand, isRecord, passingOn, Scope, scope } from "./scope.ts";
import { type Shape, sameShape } from "./shape.ts";
import { hostTensor, Tensor, viewOf, zerosBeside } from "./tensor.ts";

// ---------------------------------------------------------------------------------------------------------------
// Recording

/** How a computation passes cotangents back. */
export interface Rule {
  readonly name: string;
  /**
   * Cotangents of the inputs that are wanted, written in ops, so that an outer tape records them. A cotangent that
   * is undefined is zero. Called with at least one cotangent that is not. What is made here is freed once it is
   * consumed: nothing of it may be stored.
   */
  vjp(
    cotangents: readonly (Tensor | undefined)[],
    record: TapeRecord,
    wanted: readonly boolean[],
  ): readonly (Cotangent | undefined)[];
}

/** What flows back: a tensor, or the rows of one that are not zero, which only ends of the path keep as they are. */
export type Cotangent = Tensor | RowSparse;

/** One computation on a tape. */
export interface TapeRecord {
  readonly rule: Rule;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly saved: unknown;
}

/** recording: records are appended · held: its slots still count · over: its slots may be overwritten. */
type Phase = "recording" | "held" | "over";

/** What a tensor remembers of a tape. Light, so that a tensor that is kept does not hold the tape's records. */
export class Mark {
  phase: Phase = "recording";
  slots = 0;
}

/** The slot of a tensor on a further tape. */
export interface Link {
  readonly mark: Mark;
  readonly slot: number;
  readonly next: Link | null;
}

/** The innermost tape that is recording. */
let top: Tape | null = null;

/** Whether any tape is recording. */
export function isRecording(): boolean {
  return top !== null;
}

/** What a function computed from its inputs, in order. `toString` prints it as a listing. */
export class Tape {
  readonly records: TapeRecord[] = [];
  /** @internal */
  readonly mark: Mark = new Mark();
  /** @internal */
  readonly outer: Tape | null;
  /** @internal Watched tensors, their slots being their places. */
  readonly leaves: Tensor[] = [];
  /** @internal */
  readonly names: string[] = [];
  /** @internal Ops where a path ended in integers. */
  readonly ends: string[] = [];
  /** @internal Numbers in the listing. */
  private readonly numbers = new Map<Tensor, number>();

  /** @internal */
  constructor() {
    this.outer = top;
    top = this;
  }

  /** @internal */
  watch(t: Tensor, name: string): void {
    if (slotOn(t, this.mark) >= 0) return;
    track(t, this.mark);
    this.leaves.push(t);
    this.names.push(name);
  }

  /** @internal Stops recording. Tapes inside have stopped before. */
  stop(phase: Phase): void {
    top = this.outer;
    this.mark.phase = phase;
  }

  /** @internal Numbers the tensors while their slots are still there. */
  number(): void {
    const note = (t: Tensor): void => {
      const slot = slotOn(t, this.mark);
      if (slot >= 0) this.numbers.set(t, slot);
    };
    this.leaves.forEach(note);
    for (const { inputs, outputs } of this.records) {
      inputs.forEach(note);
      outputs.forEach(note);
    }
  }

  /** One line for each input and each record: `%3 = matmul(%1 [64, 784], %2 [784, 256]) → [64, 256] f32`. */
  toString(): string {
    const number = (t: Tensor): string => `%${this.numbers.get(t) ?? "_"}`;
    const input = (t: Tensor): string =>
      `${this.numbers.has(t) ? number(t) : t.size === 1 ? "number" : "constant"} ${showShape(t.shape)}`;
    const leaf = (t: Tensor, i: number): string =>
      `${number(t)} = ${this.names[i]} ${showShape(t.shape)} ${t.dtype}`;
    const line = ({ rule, inputs, outputs }: TapeRecord): string => {
      const results = outputs.map((t) => `${showShape(t.shape)} ${t.dtype}`);
      return `${outputs.map(number).join(", ")} = ${rule.name}(${inputs.map(input).join(", ")}) → ${results.join(", ")}`;
    };
    return [...this.leaves.map(leaf), ...this.records.map(line)].join("\n");
  }

  static {
    display(Tape.prototype);
  }
}

/** The slot of a tensor on a tape, −1 where it has none. */
function slotOn(t: Tensor, mark: Mark): number {
  if (t.mark === mark) return t.slot;
  for (let link = t.links; link !== null; link = link.next) if (link.mark === mark) return link.slot;
  return -1;
}

/** Gives a tensor a slot of its own on a tape. */
function track(t: Tensor, mark: Mark): void {
  const old = t.mark;
  if (old !== null && old !== mark && old.phase !== "over")
    t.links = { mark: old, slot: t.slot, next: t.links };
  t.mark = mark;
  t.slot = mark.slots++;
}

function isTracked(t: Tensor): boolean {
  if (t.mark === null) return false;
  if (t.mark.phase === "recording") return true;
  for (let link = t.links; link !== null; link = link.next) if (link.mark.phase === "recording") return true;
  return false;
}

/** Whether a recording tape tracks any of these: only then need anything be saved. */
export function tracked(inputs: readonly Tensor[]): boolean {
  if (top === null) return false;
  for (let i = 0; i < inputs.length; i++) if (isTracked(inputs[i]!)) return true;
  return false;
}

/** Which of these a recording tape tracks, as bits: operand i is bit i. */
export function trackedBits(operands: readonly (Tensor | number)[]): number {
  let bits = 0;
  if (top === null) return bits;
  for (let i = 0; i < operands.length; i++) {
    const t = operands[i]!;
    if (typeof t !== "number" && isTracked(t)) bits |= 1 << i;
  }
  return bits;
}

/**
 * Appends a computation to every recording tape that tracks one of its inputs. Integer and bool outputs are not tracked
 * and end the path; the outputs must be fresh tensors.
 */
export function record(
  rule: Rule,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  saved?: unknown,
): void {
  let entry: TapeRecord | undefined;
  for (let tape = top; tape !== null; tape = tape.outer) {
    const { mark } = tape;
    let follows = false;
    for (let i = 0; i < inputs.length && !follows; i++) follows = slotOn(inputs[i]!, mark) >= 0;
    if (!follows) continue;
    let ended = true;
    for (let i = 0; i < outputs.length; i++) {
      const out = outputs[i]!;
      if (!isFloat(out.dtype)) continue;
      track(out, mark);
      ended = false;
    }
    if (ended) tape.ends.push(rule.name);
    else {
      entry ??= { rule, inputs, outputs, saved };
      tape.records.push(entry);
    }
  }
}

/** Runs a function whose computations no tape records. */
export function untracked<T>(fn: () => T): T {
  const tape = top;
  top = null;
  try {
    return fn();
  } finally {
    top = tape;
  }
}

const aliasRule: Rule = { name: "alias", vjp: ([g]) => [g] };

/** Another handle on a tensor, so that a tape can tell an argument from a tensor that the function closes over. */
function alias(t: Tensor): Tensor {
  const twin = viewOf(t, t.shape, t.steps, t.offset);
  if (top !== null) record(aliasRule, [t], [twin]);
  return twin;
}

/** The same values as a constant: no gradient flows through. */
export function stopGradient<T extends Tensor>(t: T): T {
  if (!(t instanceof Tensor))
    throw new ArgumentError("stopGradient", `${showValue(t)} is not a tensor`, "give a tensor");
  return (tracked([t]) ? viewOf(t, t.shape, t.steps, t.offset) : t) as T;
}

// ---------------------------------------------------------------------------------------------------------------
// The walk back

/** The tensors that a cotangent consists of. */
const partsOf = (c: Cotangent | undefined): readonly Tensor[] =>
  !c ? [] : c instanceof Tensor ? [c] : [c.rows, c.values];

const dense = (c: Cotangent): Tensor => (c instanceof Tensor ? c : c.toDense());

/**
 * Cotangents of `targets` (undefined where no path leads), given those of `outputs`. What the rules make is freed as soon
 * as it is consumed, unless an outer tape records it; the results are handed to the scope that is open.
 */
function walkBack(
  tape: Tape,
  outputs: readonly Tensor[],
  seeds: readonly Tensor[],
  targets: readonly Tensor[],
): (Cotangent | undefined)[] {
  const { mark, records } = tape;
  const inner = new Scope();
  const lean = top === null;
  const ends = tape.leaves.length;
  const cotangents = new Array<Cotangent | undefined>(mark.slots).fill(undefined);

  const letGo = (c: Cotangent | undefined): void => {
    for (const t of partsOf(c)) if (--t.uses === 0 && lean && t.owner === inner) drop(t);
  };
  const put = (slot: number, c: Cotangent): void => {
    const before = cotangents[slot];
    // Rules take tensors: rows are kept where the path ends.
    const sum = !before
      ? slot < ends
        ? c
        : dense(c)
      : before instanceof Tensor || c instanceof Tensor
        ? addTensors(dense(before), dense(c))
        : before.plus(c);
    for (const t of partsOf(sum)) t.uses++;
    cotangents[slot] = sum;
    letGo(before);
  };
  /** Frees what the last rule made and nobody holds. */
  const sweep = (): void => {
    if (!lean) return;
    for (let t = inner.made.pop(); t !== undefined; t = inner.made.pop()) {
      if (t.uses === 0 && t.owner === inner) drop(t);
    }
  };

  try {
    for (let i = 0; i < outputs.length; i++) {
      const slot = slotOn(outputs[i]!, mark);
      if (slot >= 0) put(slot, seeds[i]!);
    }
    for (let k = records.length - 1; k >= 0; k--) {
      const entry = records[k]!;
      const { inputs, outputs: results } = entry;
      const given = new Array<Tensor | undefined>(results.length);
      let reached = false;
      for (let i = 0; i < results.length; i++) {
        const slot = slotOn(results[i]!, mark);
        const g = slot < 0 ? undefined : (cotangents[slot] as Tensor | undefined);
        given[i] = g;
        if (g !== undefined) reached = true;
      }
      if (!reached) continue;
      const wanted = new Array<boolean>(inputs.length);
      for (let i = 0; i < inputs.length; i++) wanted[i] = slotOn(inputs[i]!, mark) >= 0;
      const passed = entry.rule.vjp(given, entry, wanted);
      for (let i = 0; i < inputs.length; i++) {
        const c = passed[i];
        if (c === undefined || !wanted[i]) continue;
        checkCotangent(entry.rule.name, c, inputs[i]!, i);
        put(slotOn(inputs[i]!, mark), c);
      }
      for (let i = 0; i < results.length; i++) {
        letGo(given[i]);
        if (given[i]) cotangents[slotOn(results[i]!, mark)] = undefined;
      }
      sweep();
    }
    return targets.map((t) => {
      const c = cotangents[slotOn(t, mark)];
      if (c !== undefined) for (const part of partsOf(c)) if (part.owner === inner) hand(part, inner.outer);
      return c;
    });
  } finally {
    cotangents.forEach(letGo);
    sweep();
    inner.close();
  }
}

/** A rule that returns the wrong thing is caught where it stands, not where the shapes clash later. */
function checkCotangent(name: string, c: Cotangent, input: Tensor, i: number): void {
  const { shape, dtype } = c;
  if (dtype === input.dtype && sameShape(shape, input.shape)) return;
  const found = dtype ? `${showShape(shape)} ${dtype}` : showValue(c);
  throw new GradientError(
    name,
    `its rule gives ${found} as the cotangent of input ${i}, which is ${showShape(input.shape)} ${input.dtype}`,
    "correct the rule of this op",
  );
}

// ---------------------------------------------------------------------------------------------------------------
// Arguments: tensors, parameters, and arrays and records of them

/** The gradient with respect to an argument: the same structure, with tensors where it has tensors or parameters. */
export type Gradient<A> = A extends Tensor
  ? A
  : A extends Parameter<infer S, infer D>
    ? Tensor<S, D>
    : A extends readonly unknown[] | { readonly [key: string]: unknown }
      ? { -readonly [K in keyof A]: Gradient<A[K]> }
      : undefined;

/** A function of tensors whose value is a single number. */
type Loss = (...args: never) => Tensor;

/** Replaces the tensors and parameters in an argument; what is neither becomes `other(leaf)`. */
function mapLeaves(
  value: unknown,
  path: string,
  leaf: (t: Tensor | Parameter, path: string) => unknown,
  other: (value: unknown) => unknown,
): unknown {
  if (value instanceof Tensor || value instanceof Parameter) return leaf(value, path);
  if (Array.isArray(value)) return value.map((item, i) => mapLeaves(item, `${path}[${i}]`, leaf, other));
  if (isRecord(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, mapLeaves(item, `${path}.${key}`, leaf, other)]),
    );
  }
  return other(value);
}

/** The tensors that a tape watches, and what the function is called with in place of its arguments. */
interface Watched {
  readonly args: unknown[];
  readonly targets: Tensor[];
  readonly names: string[];
  /** Each argument's structure with the place of its target at every leaf (undefined: not differentiated). */
  readonly places: unknown[];
}

/** Prepares arguments for a tape: a tensor gets a handle of its own (a parameter is the same wherever it is read). */
function watchable(
  place: string,
  args: readonly unknown[],
  which: readonly number[],
  strict: boolean,
): Watched {
  const watched: Watched = { args: [...args], targets: [], names: [], places: args.map(() => undefined) };
  const { targets, names } = watched;
  for (const index of which) {
    const before = targets.length;
    const leaf = (found: Tensor | Parameter, path: string): number | undefined => {
      const t = found instanceof Parameter ? found.value : found;
      if (isFloat(t.dtype)) {
        names.push(found instanceof Parameter ? found.name : path);
        return targets.push(found instanceof Parameter ? t : alias(t)) - 1;
      }
      if (strict)
        throw new GradientError(
          place,
          `${path} is ${t.dtype}, and integers carry no gradient`,
          "differentiate with respect to a float tensor, or cast it",
        );
      return undefined;
    };
    watched.places[index] = mapLeaves(args[index], `argument ${index}`, leaf, () => undefined);
    if (strict && targets.length === before) {
      throw new ArgumentError(
        place,
        `argument ${index} is ${showValue(args[index])}`,
        "give a tensor, a parameter, or an array or record of them",
      );
    }
    let next = before;
    const twin = (found: Tensor | Parameter): unknown => {
      if (!isFloat(found.dtype)) return found;
      const target = targets[next++];
      return found instanceof Parameter ? found : target;
    };
    watched.args[index] = mapLeaves(args[index], "", twin, (value) => value);
  }
  return watched;
}

/** Fills a structure of places with gradients. */
function fill(places: unknown, gradients: readonly (Tensor | undefined)[]): unknown {
  if (typeof places === "number") return gradients[places];
  if (Array.isArray(places)) return places.map((item) => fill(item, gradients));
  if (isRecord(places))
    return Object.fromEntries(Object.entries(places).map(([key, item]) => [key, fill(item, gradients)]));
  return undefined;
}

/** Runs a function on a fresh tape that watches `targets`. */
function recordOn<T>(
  place: string,
  targets: readonly Tensor[],
  names: readonly string[],
  fn: () => T,
): { tape: Tape; value: T } {
  const tape = new Tape();
  let phase: Phase = "over";
  try {
    for (let i = 0; i < targets.length; i++) tape.watch(targets[i]!, names[i]!);
    const value = fn();
    if (value instanceof Promise) {
      throw new GradientError(
        place,
        "the function returned a promise, but a tape records only what is computed before it returns",
        "read data before or after, and compute synchronously inside",
      );
    }
    phase = "held";
    return { tape, value };
  } finally {
    tape.stop(phase);
  }
}

function checkFunction(place: string, f: unknown): void {
  if (typeof f !== "function")
    throw new ArgumentError(place, `${showValue(f)} is not a function`, "give a function of tensors");
}

function checkLoss(place: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor))
    throw new GradientError(
      place,
      `the function returned ${showValue(value)}, not a tensor`,
      "return the loss as a tensor",
    );
  if (!isFloat(value.dtype)) {
    throw new GradientError(
      place,
      `the function returned ${value.dtype} (made by ${value.origin}), and integers carry no gradient`,
      "return a float tensor",
    );
  }
  if (value.size !== 1) {
    throw new GradientError(
      place,
      `the function returned a tensor of shape ${showShape(value.shape)}, not a single number`,
      "reduce it with sum or mean, or use vjp with a cotangent of that shape",
    );
  }
}

/** The cotangent of a loss. */
const one = ({ backend, dtype, shape }: Tensor): Tensor =>
  hostTensor(backend, dtype, shape, new dtypes[dtype].array(1).fill(1));

function unreachable(place: string, names: readonly string[], tape: Tape): GradientError {
  const ends = [...new Set(tape.ends)].join(", ");
  const wayOut = ends
    ? `the path ends in integers at ${ends}; use a differentiable op there`
    : "use it in the function, or leave it out";
  return new GradientError(place, `the result does not depend on ${names.join(", ")}`, wayOut);
}

const constantRule: Rule = {
  name: "gradient",
  // The gradient itself is passed on; what it depends on in form only gets zeros.
  vjp: ([g], { inputs }, wanted) =>
    wanted.map((want, i) => (i === 0 ? g : want ? zerosBeside(inputs[i]!) : undefined)),
};

/** The derivative of a linear function is constant, and the derivative of that is zero, not an error: the outer tapes are told. */
function connected(gradient: Tensor, targets: readonly Tensor[]): Tensor {
  for (let tape = top; tape !== null; tape = tape.outer) {
    const { mark } = tape;
    if (slotOn(gradient, mark) < 0 && targets.some((t) => slotOn(t, mark) >= 0)) {
      const twin = viewOf(gradient, gradient.shape, gradient.steps, gradient.offset);
      record(constantRule, [gradient, ...targets], [twin]);
      return twin;
    }
  }
  return gradient;
}

// ---------------------------------------------------------------------------------------------------------------
// Transformations

/** Which arguments to differentiate with respect to; the first one when not said. */
export interface GradOptions<N extends number | readonly number[] = number | readonly number[]> {
  readonly argnums?: N;
}

/** The gradients that `argnums` ask for. */
export type Gradients<A extends readonly unknown[], N> = N extends readonly number[]
  ? { -readonly [K in keyof N]: Gradient<A[N[K] & number]> }
  : N extends number
    ? Gradient<A[N]>
    : never;

function positions(place: string, argnums: unknown, count: number): number[] {
  const list: unknown[] = Array.isArray(argnums) ? argnums : [argnums];
  for (const [i, n] of list.entries()) {
    if (!Number.isInteger(n) || (n as number) < 0 || (n as number) >= count) {
      throw new ArgumentError(
        place,
        `argnums names argument ${showValue(n)} of ${count}`,
        "count the arguments from 0",
      );
    }
    if (list.indexOf(n) !== i)
      throw new ArgumentError(place, `argnums names argument ${n} twice`, "name each argument once");
  }
  if (list.length === 0) throw new ArgumentError(place, "argnums is empty", "name at least one argument");
  return list as number[];
}

/** Cotangents of the arguments in their structure, each a tensor of the scope that is open. */
function pulled(
  place: string,
  tape: Tape,
  outputs: readonly Tensor[],
  seeds: readonly Tensor[],
  { targets, names, places }: Watched,
): unknown[] {
  const gradients = walkBack(tape, outputs, seeds, targets);
  const missing = names.filter((_, i) => gradients[i] === undefined);
  if (missing.length > 0) throw unreachable(place, missing, tape);
  const joined = gradients.map((g) => connected(dense(g!), targets));
  return places.map((structure) => fill(structure, joined));
}

function differentiate<T>(
  place: string,
  f: Loss,
  args: readonly unknown[],
  argnums: unknown,
  result: (value: Tensor, gradient: unknown) => T,
): T {
  const which = positions(place, argnums, args.length);
  return scope(() => {
    const watched = watchable(place, args, which, true);
    const { tape, value } = recordOn(place, watched.targets, watched.names, () =>
      f(...(watched.args as never)),
    );
    try {
      checkLoss(place, value);
      const gradients = pulled(place, tape, [value], [one(value)], watched);
      return result(value, Array.isArray(argnums) ? which.map((i) => gradients[i]) : gradients[which[0]!]);
    } finally {
      tape.mark.phase = "over";
    }
  });
}

/**
 * The gradient of a function with a single number as its value, with respect to its first argument, or to those that
 * `argnums` names. An argument is a float tensor, a `Parameter`, or an array or record of them; the gradient has the same
 * structure. Throws GradientError when the value is no single number or does not depend on an argument. Everything made on the way is freed.
 *
 * @example
 * const cube = (x: Tensor<[]>) => mul(x, mul(x, x));
 * grad(cube)(tensor(2)).item();             // 12
 * grad(grad(cube))(tensor(2)).item();       // 12
 * grad(mul, { argnums: [0, 1] })(a, b);     // [b, a]
 */
export function grad<A extends readonly unknown[], const N extends number | readonly number[] = 0>(
  f: (...args: A) => Tensor,
  options: GradOptions<N> = {},
): (...args: A) => Gradients<A, N> {
  checkFunction("grad", f);
  const { argnums = 0 } = options;
  return (...args) => differentiate("grad", f, args, argnums, (_, gradient) => gradient as Gradients<A, N>);
}

/**
 * Value and gradient together. With a function alone, as `grad`. With parameters as the second argument, the function
 * (without arguments) is evaluated at once, and `gradients[i]` belongs to the i-th parameter: undefined where the value does
 * not depend on it or it is not trainable. With `rows` a table that was read by rows alone gets a `RowSparse` of these rows, for
 * optimizers that share a backward pass. Throws GradientError when it depends on none.
 *
 * @example
 * const { value, gradients } = valueAndGrad(() => crossEntropy(model.forward(x), y), model.parameters());
 */
export function valueAndGrad<P extends readonly Parameter<Shape, DType>[]>(
  f: () => Tensor,
  parameters: P,
  options: { readonly rows: true },
): { value: Tensor; gradients: { -readonly [K in keyof P]: Gradient<P[K]> | RowSparse | undefined } };
export function valueAndGrad<P extends readonly Parameter<Shape, DType>[]>(
  f: () => Tensor,
  parameters: P,
): { value: Tensor; gradients: { -readonly [K in keyof P]: Gradient<P[K]> | undefined } };
export function valueAndGrad<A extends readonly unknown[], const N extends number | readonly number[] = 0>(
  f: (...args: A) => Tensor,
  options?: GradOptions<N>,
): (...args: A) => { value: Tensor; gradient: Gradients<A, N> };
export function valueAndGrad(
  f: Loss,
  options: readonly Parameter[] | GradOptions = {},
  how?: { readonly rows: boolean },
): unknown {
  const place = "valueAndGrad";
  checkFunction(place, f);
  if (!Array.isArray(options)) {
    const { argnums = 0 } = options as GradOptions;
    return (...args: unknown[]) =>
      differentiate(place, f, args, argnums, (value, gradient) => ({ value, gradient }));
  }
  const parameters: readonly unknown[] = options;
  parameters.forEach((p, i) => {
    if (!(p instanceof Parameter))
      throw new ArgumentError(
        place,
        `entry ${i} of the parameters is ${showValue(p)}`,
        "give an array of parameters, such as model.parameters()",
      );
  });
  const s = new Scope();
  try {
    const loss = f as unknown as () => Tensor;
    const { value, gradients } = lossAndGradients(place, loss, parameters as readonly Parameter[]);
    const given = how?.rows ? gradients : gradients.map((g) => g && dense(g));
    s.result([value, given.map(partsOf)]);
    return { value, gradients: given };
  } finally {
    s.close();
  }
}

/**
 * @internal `valueAndGrad` for an optimizer, which names the place and has a scope open. A parameter that was read by rows alone
 * has a gradient of rows.
 */
export function lossAndGradients<T extends Tensor>(
  place: string,
  f: () => T,
  parameters: readonly Parameter[],
): { value: T; gradients: (Cotangent | undefined)[] } {
  const trained = parameters.filter((p) => p.trainable);
  const targets = trained.map((p) => p.value);
  const names = trained.map((p) => p.name);
  const { tape, value } = recordOn(place, targets, names, f);
  try {
    checkLoss(place, value);
    const found = walkBack(tape, [value], [one(value)], targets);
    if (found.every((g) => g === undefined)) throw unreachable(place, ["any of the parameters"], tape);
    let next = 0;
    const gradients = parameters.map((p) => {
      const g = p.trainable ? found[next++] : undefined;
      return g instanceof Tensor ? connected(g, targets) : g;
    });
    return { value, gradients };
  } finally {
    tape.mark.phase = "over";
  }
}

/** Tensors, or an array or record of them. */
type Outputs = Tensor | readonly Tensor[] | { readonly [key: string]: Tensor };

/**
 * The value of a function, and its pullback: from a cotangent of the value to those of the arguments (undefined for
 * arguments that hold no float tensor). The pullback may be called again; what the function computed is alive as long as the
 * scope around, or else the pullback. Throws GradientError for an argument that the value does not depend on.
 *
 * @example
 * const { value, pullback } = vjp(softmax, x);
 * const [dx] = pullback(g);
 */
export function vjp<A extends readonly unknown[], R extends Outputs>(
  f: (...args: A) => R,
  ...args: A
): { value: R; pullback: (cotangent: R) => { -readonly [K in keyof A]: Gradient<A[K]> } } {
  const place = "vjp";
  checkFunction(place, f);
  const outputs: Tensor[] = [];
  const { watched, tape, value } = passingOn(() => {
    const watched = watchable(
      place,
      args,
      args.map((_, i) => i),
      false,
    );
    if (watched.targets.length === 0) {
      throw new ArgumentError(
        place,
        "no argument holds a float tensor",
        "give the function what to differentiate with respect to",
      );
    }
    const run = (): R => f(...(watched.args as unknown as A));
    const recorded = recordOn(place, watched.targets, watched.names, run);
    eachTensor(recorded.value, (t) => outputs.push(t));
    if (outputs.length === 0) {
      throw new GradientError(
        place,
        `the function returned ${showValue(recorded.value)}`,
        "return a tensor, or an array or record of tensors",
      );
    }
    return { watched, ...recorded };
  });
  const pullback = (cotangent: R): { -readonly [K in keyof A]: Gradient<A[K]> } => {
    const seeds: Tensor[] = [];
    eachTensor(cotangent, (t) => seeds.push(t));
    if (seeds.length !== outputs.length) {
      throw new ArgumentError(
        "pullback",
        `${seeds.length} cotangents for ${outputs.length} values`,
        "give one tensor for each, in the structure of the value",
      );
    }
    outputs.forEach((t, i) => {
      const g = seeds[i]!;
      if (!sameShape(g.shape, t.shape))
        throw new ShapeError(
          "pullback",
          `a cotangent of shape ${showShape(g.shape)} for a value of shape ${showShape(t.shape)}`,
          "give the shape of the value",
        );
      if (isFloat(t.dtype) && g.dtype !== t.dtype)
        throw new DTypeError(
          "pullback",
          `a cotangent of ${g.dtype} for a value of ${t.dtype}`,
          "give the element type of the value",
        );
    });
    return scope(
      () => pulled(place, tape, outputs, seeds, watched) as { -readonly [K in keyof A]: Gradient<A[K]> },
    );
  };
  return { value, pullback };
}

/**
 * Runs a function and returns its value with the tape of what it computed from its arguments (tensors and parameters, also in
 * arrays and records): for reading, not for differentiating.
 *
 * @example
 * console.log(tape((x, w) => relu(matmul(x, w)), x, w).tape);
 * // %0 = argument 0 [64, 784] f32
 * // %1 = argument 1 [784, 256] f32
 * // %2 = matmul(%0 [64, 784], %1 [784, 256]) → [64, 256] f32
 * // %3 = relu(%2 [64, 256]) → [64, 256] f32
 */
export function tape<A extends readonly unknown[], R>(
  f: (...args: A) => R,
  ...args: A
): { value: R; tape: Tape } {
  checkFunction("tape", f);
  return scope(() => {
    const watched = watchable(
      "tape",
      args,
      args.map((_, i) => i),
      false,
    );
    const recorded = recordOn("tape", watched.targets, watched.names, () =>
      f(...(watched.args as unknown as A)),
    );
    recorded.tape.number();
    recorded.tape.mark.phase = "over";
    return { value: recorded.value, tape: recorded.tape };
  });
}
