// Fenchel–Young losses: for a map p = argmax ⟨x, p⟩ + H(p) the loss ⟨p − q, x⟩ + H(p) − H(q), whose gradient is p − q.
// Convex, never negative, zero exactly where p = q; with a margin where p has exact zeros.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions, describe, describeAs } from "../core/op.ts";
import { adjoints } from "../core/row/differentiate.ts";
import {
  add,
  constant,
  div,
  greater,
  mul,
  mulZero,
  neg,
  oneHot,
  pick,
  type Row,
  type RowMask,
  type Scalar,
  select,
  stop,
  sub,
  sum,
  type Value,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, type LossOptions, rowLoss, type Target } from "../core/rowloss.ts";
import type { Labels, Params, RowMap, ScalarLike } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { stopGradient } from "../core/tape.ts";
import { Tensor } from "../core/tensor.ts";
import { expm1Ratio, log, posPow } from "../core/words.ts";
import { entmax15Of, entmaxOf, sparsemaxOf } from "../ops/maps/entmax.ts";
import { normmax } from "../ops/maps/projections.ts";
import { centred, softmax } from "../ops/maps/softmax.ts";

/** What a loss needs to know of its map. */
interface Regularised {
  /** Centred scores and probabilities. */
  readonly z: Row;
  readonly p: Row;
  /** H of a target distribution, or (without one) H(p), which may be stated shorter. */
  readonly entropy: (q?: Row) => Scalar;
  /** ∂H/∂θ of the same for the scalars θ of the map, with the distribution held fixed: by the envelope theorem that is all. */
  readonly slopes?: (q?: Row) => { readonly [option: string]: Value };
}

type Build = (x: Row, options: { readonly [name: string]: Scalar }) => Regularised;

interface LossCard extends Pick<Loss["info"], "doc" | "source" | "domain" | "examples"> {
  readonly params?: Params;
}

/** The loss of a map against labels and against distributions. */
function lossOf<O extends object>(name: string, build: Build, options: LossCard): Loss<O, "either"> {
  const { params = {}, ...given } = options;
  const slopes = (r: Regularised, g: Value, q?: Row): { [option: string]: Value } => {
    const ofP = r.slopes?.() ?? {};
    const ofQ = q && r.slopes?.(q);
    return Object.fromEntries(
      Object.entries(ofP).map(([key, slope]) => [key, mul(g, ofQ ? sub(slope, ofQ[key]!) : slope)]),
    );
  };
  const domain = { x: { min: -1, max: 1 }, ...given.domain };
  const card = { ...given, laws: ["shiftInvariant", "nonNegative", "permutationInvariant", "nanRow"] };
  const labels: Loss<O> = rowLoss(name, {
    ...card,
    domain,
    against: "labels",
    params,
    program: ({ x, target, ...rest }) => {
      const r = build(x, rest as { [name: string]: Scalar });
      return {
        loss: add(sub(sum(mulZero(r.p, r.z) as Row), pick(r.z, target)), r.entropy()),
        vjp: ([g]) => ({ x: sub(mul(g!, r.p), oneHot(target, g!)), ...slopes(r, g!) }),
      };
    },
  });
  const soft: Loss<O, "distribution"> = rowLoss(name, {
    ...card,
    laws: [],
    domain: { ...domain, target: { min: 0.1, max: 1 } },
    against: "distribution",
    params,
    program: ({ x, target, ...rest }) => {
      const r = build(x, rest as { [name: string]: Scalar });
      return {
        loss: add(sum(mulZero(sub(r.p, target), r.z) as Row), sub(r.entropy(), r.entropy(target))),
        vjp: ([g]) => ({ x: mul(g!, sub(r.p, target)), ...slopes(r, g!, target) }),
      };
    },
  });
  const loss = <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Target<D>,
    given?: O & LossOptions,
  ): Tensor<Shape, D> => {
    const either = (target instanceof Tensor && target.dtype !== "i32" ? soft : labels) as Loss;
    return either(x as Tensor<Shape, D>, target as Tensor<Shape, "i32">, given as LossOptions);
  };
  return describe(loss as unknown as Loss<O, "either">, labels.info);
}

/** The loss of a map from what its card declares. */
function declared<O extends object>(
  name: string,
  map: RowMap<O>,
  card?: LossCard,
): Loss<O & IgnoreOption, "either"> {
  const { info } = map;
  const { maximises, params = {} } = info;
  if (!maximises) {
    throw new ArgumentError(
      name,
      `${info.name} declares no entropy that it maximises`,
      "give a map that does, such as softmax, sparsemax, entmax or normmax",
    );
  }
  const { program, entropy } = maximises as {
    program: (inputs: object) => Row;
    entropy: (p: Row, inputs: object) => Scalar;
  };
  const scalars = Object.keys(params).filter((key) => params[key]!.is === "scalar");
  const build: Build = (x, options) => {
    const inputs = { x, ...options };
    const p = program(inputs);
    const entropyOf = (q = p): Scalar => entropy(q, inputs);
    const wanted = scalars.map((key) => options[key]!);
    return {
      z: centred(x),
      p,
      entropy: entropyOf,
      slopes: (q = p) => {
        const found = adjoints([entropyOf(q)], [constant(1)], wanted, [q]);
        return Object.fromEntries(scalars.map((key, k) => [key, found[k]!]));
      },
    };
  };
  return lossOf(name, build, {
    doc: `The Fenchel–Young loss of ${info.name}, whose gradient is ${info.name} less the target.`,
    source: "Blondel, Martins & Niculae 2020, definition 2",
    examples: [{ args: [[[0]], [0]], gives: 0 }],
    ...(info.domain ? { domain: info.domain } : {}),
    ...card,
    params,
  });
}

/**
 * The loss that belongs to a map: ⟨p − q, x⟩ + H(p) − H(q) for p = map(x), where the map maximises ⟨x, p⟩ + H(p). Convex, never
 * negative, 0 exactly where p = q, with gradient p − q. It takes the options of the map, which are differentiable too, and class
 * indices or distributions. Declare it once, outside of loops: each call makes kernels of its own.
 *
 * Takes any map that declares its entropy: softmax (cross-entropy comes out), sparsemax, entmax, normmax, and those of `rowMap`.
 * Throws ArgumentError for others.
 * @formula L(x;q) = \langle p-q,\,x\rangle+H(p)-H(q),\qquad p=\arg\max_{r\in\Delta}\langle x,r\rangle+H(r)
 * @gradient dx = p-q
 * @remarks L ≥ 0, and 0 exactly where p = q. Convex in x.
 * @see crossEntropy: of softmax
 * @see sparsemaxLoss: of sparsemax
 * @see entmaxLoss: of entmax
 * @see normmaxLoss: of normmax
 * @example
 * const loss = fenchelYoung(sparsemax);
 * loss(tensor([[0.2, 0.1, 0]]), [0]); // 0.2433
 */
export function fenchelYoung<O extends object = object>(map: RowMap<O>): Loss<O & IgnoreOption, "either"> {
  return declared(`fenchelYoung(${map.info.name})`, map);
}

/**
 * The loss whose gradient is sparsemax(x) − q; exactly 0 once the right score leads by 1. `target` holds class indices or a
 * distribution.
 *
 * @formula L = \langle p-q,\,x\rangle+H(p)-H(q),\qquad p=\mathrm{sparsemax}(x),\quad H(p)=\tfrac12\Bigl(1-\sum_j p_j^2\Bigr)
 * @gradient dx = p-q
 * @remarks q is eₜ or the target distribution; for a set of right classes give each of them the same share.
 * @errata A form that is widely copied, ½‖x − p‖² − xₜ, has the wrong value and the wrong gradient: for (5, 0, 1) and t = 0
 *   it gives 3.5 and (3, 0, 1), where both are 0; for (0.2, 0.1, 0) it gives −0.1183 and (−1.233, −0.233, −0.233) in place
 *   of 0.2433 and (−0.567, 0.333, 0.233). Right is ½‖x − eₜ‖² − ½‖x − p‖².
 * @see sparsemax: its map
 * @see entmaxLoss: is this at α = 2
 * @example sparsemaxLoss(tensor([[5, 0, 1]]), [0]) // 0
 */
export const sparsemaxLoss: Loss<IgnoreOption, "either"> = /* @__PURE__ */ lossOf<IgnoreOption>(
  "sparsemaxLoss",
  (x) => {
    const { z, p } = sparsemaxOf(x);
    return { z, p, entropy: (q = p) => mul(0.5, sub(1, sum(mul(q, q)))) };
  },
  {
    doc: "The Fenchel–Young loss of sparsemax: convex, with margin 1.",
    source: "Martins & Astudillo 2016, eq. 18; Blondel, Martins & Niculae 2020",
    examples: [
      { args: [[[5, 0, 1]], [0]], gives: 0 },
      { args: [[[0.2, 0.1, 0]], [0]], gives: 0.24333333333333335 },
    ],
  },
);

/**
 * The loss whose gradient is entmax15(x) − q; exactly 0 once the right score leads by 2.
 *
 * @formula L = \langle p-q,\,x\rangle+H(p)-H(q),\qquad p=\mathrm{entmax15}(x),\quad H(p)=\tfrac43\Bigl(1-\sum_j
 *   p_j^{3/2}\Bigr)
 * @gradient dx = p-q
 * @errata It is sometimes replaced by (p − eₜ)·stop(x), said to have the gradient p − eₜ. Its gradient is Jx: for x = (1,
 *   0.4, 0.1) and t = 0 that is (0.296, −0.113, −0.183) where p − eₜ is (−0.366, 0.246, 0.120), of opposite sign. The stop
 *   belongs to the other factor: stop(p − eₜ)·x.
 * @see entmax15: its map
 * @see entmaxLoss: is this at α = 1.5
 * @example entmax15Loss(tensor([[5, 0, 1]]), [0]) // 0
 */
export const entmax15Loss: Loss<IgnoreOption, "either"> = /* @__PURE__ */ lossOf<IgnoreOption>(
  "entmax15Loss",
  (x) => {
    const { z, s, p } = entmax15Of(x);
    return { z, p, entropy: (q) => div(sub(1, sum(q ? posPow(q, 1.5) : mul(p, s))), 0.75) };
  },
  {
    doc: "The Fenchel–Young loss of entmax15: convex, with margin 2.",
    source: "Peters, Niculae & Martins 2019, eq. 8; Blondel, Martins & Niculae 2020",
    examples: [{ args: [[[5, 0, 1]], [0]], gives: 0 }],
  },
);

interface Alpha extends IgnoreOption {
  /** The order α ≥ 1, a number or a tensor (one value, or one per row), differentiable; 1.5 by default. */
  readonly alpha?: ScalarLike;
}

/**
 * The loss whose gradient is entmax(x, α) − q: cross-entropy at α = 1, exactly 0 once the right score leads by 1/(α − 1).
 *
 * @formula L = \langle p-q,\,x\rangle+H(p)-H(q),\qquad p=\mathrm{entmax}_\alpha\mathrm{}(x),\quad H(p)=\frac{1-\sum_j
 *   p_j^\alpha}{\alpha\,(\alpha-1)}
 * @gradient dx = p-q,\qquad d\alpha=\frac{\partial H}{\partial\alpha}(p)-\frac{\partial H}{\partial\alpha}(q)
 * @see entmax: its map
 * @see crossEntropy: α = 1
 * @see entmax15Loss: α = 1.5
 * @see sparsemaxLoss: α = 2
 * @example entmaxLoss(tensor([[1, 0.4, 0.1]]), [0], { alpha: 1.25 })
 */
export const entmaxLoss: Loss<Alpha, "either"> = /* @__PURE__ */ lossOf<Alpha>(
  "entmaxLoss",
  (x, { alpha }) => {
    const { z, eps, u, logP, inside, p } = entmaxOf(x, alpha!);
    // Tsallis: H(q) = −Σ q·(q^ε − 1)/(ε·α), with (q^ε − 1)/ε = log q·expm1Ratio(ε·log q), which is u where q = p.
    const tsallis = (q: Row, logQ: Row, on: RowMask): Scalar =>
      neg(div(sum(select(on, mulZero(q, mul(logQ, expm1Ratio(mulZero(eps, logQ)))), 0)), alpha!)) as Scalar;
    const of = (q?: Row): [Row, Row, RowMask] =>
      q ? [q, log(q), greater(q, 0) as RowMask] : [p, logP, inside];
    return {
      z,
      p,
      entropy: (q) =>
        q ? tsallis(...of(q)) : (neg(div(sum(select(inside, mulZero(p, u), 0)), alpha!)) as Scalar),
      slopes: (q) => ({ alpha: adjoints([tsallis(...of(q))], [constant(1)], [alpha!], [p, logP])[0]! }),
    };
  },
  {
    doc: "The Fenchel–Young loss of entmax: cross-entropy at α = 1, with margin 1/(α − 1) beyond.",
    source: "Peters, Niculae & Martins 2019, eq. 8; Blondel, Martins & Niculae 2020",
    params: { alpha: { is: "scalar", default: 1.5, min: 1 } },
    domain: { alpha: { min: 1.1, max: 1.9 } },
    examples: [
      { args: [[[5, 0, 1]], [0], { alpha: 1.5 }], gives: 0 },
      { args: [[[0, Math.LN2]], [1], { alpha: 1 }], gives: 0.4054651081081644 },
    ],
  },
);

interface NormAlpha extends IgnoreOption {
  /** The order α > 1 of the norm, a number or a tensor (one value, or one per row), differentiable; 2 by default. */
  readonly alpha?: ScalarLike;
}

/**
 * The loss whose gradient is normmax(x, α) − q, with H(p) = 1 − ‖p‖; exactly 0 once the right score leads by 1. `target`
 * holds class indices or a distribution.
 *
 * @formula L = \langle p-q,\,x\rangle+H(p)-H(q),\qquad p=\mathrm{normmax}_\alpha\mathrm{}(x),\quad H(p)=1-\|p\|_\alpha
 * @gradient dx = p-q,\qquad d\alpha=\frac{\partial H}{\partial\alpha}(p)-\frac{\partial H}{\partial\alpha}(q)
 * @see normmax: its map
 * @see sparsemaxLoss: of the Euclidean relative
 * @example normmaxLoss(tensor([[2, 0, 1]]), [0], { alpha: 2 }) // 0
 */
export const normmaxLoss: Loss<NormAlpha, "either"> = /* @__PURE__ */ declared("normmaxLoss", normmax, {
  doc: "The Fenchel–Young loss of normmax: convex, with margin 1.",
  source: "Blondel, Martins & Niculae 2020, section 4.3",
  examples: [
    { args: [[[2, 0, 1]], [0], { alpha: 2 }], gives: 0 },
    { args: [[[0, 0]], [1], { alpha: 2 }], gives: 0.2928932188134524 },
  ],
});

interface StopgradOptions extends IgnoreOption {
  /** The map from scores to probabilities. */
  readonly map: (
    x: Tensor<Shape, FloatDType>,
    options?: { readonly axis: number },
  ) => Tensor<Shape, FloatDType>;
}

const stopgradOptions: readonly string[] = ["map", "axis", "reduction", "ignoreIndex"];

/** ⟨p, x⟩ − xₜ for a p that is given. */
const expectedLead: Loss<{ readonly p: Tensor } & IgnoreOption> = /* @__PURE__ */ rowLoss("stopgradFyLoss", {
  doc: "The expected score less the right one, with the gradient of a Fenchel–Young loss.",
  source: "Blondel, Martins & Niculae 2020, proposition 2",
  against: "labels",
  params: { p: { is: "row", exact: true } },
  program: ({ x, target, p }) => {
    const z = centred(x);
    return sub(sum(mulZero(stop(p), z) as Row), pick(z, target)) as Scalar;
  },
  laws: [],
  examples: [{ args: [[[0, 1]], [0], { p: [[0.5, 0.5]] }], gives: 0.5 }],
});

/**
 * ⟨p − eₜ, x⟩ with p held constant, for any map: has the gradient p − eₜ of a Fenchel–Young loss without its entropy. Only the
 * gradient means anything; the value may be negative. (Holding x constant instead gives the gradient J·x, which is wrong.)
 * @formula L = \langle\mathrm{stop}(p-e_t),\,x\rangle,\qquad p=\mathrm{map}(x)
 * @gradient dx = p-e_t
 * @errata An overview prints (p − eₜ)·stop(x), said to have the gradient p − eₜ. Its gradient is Jx: for x = (1, 0.4, 0.1),
 *   t = 0 and entmax-1.5 it is (0.296, −0.113, −0.183), of the opposite sign to (−0.366, 0.246, 0.120).
 * @see entmax15Loss: the loss itself
 * @example stopgradFyLoss(tensor([[1, 0.4, 0.1]]), [0], { map: entmax15 })
 */
export const stopgradFyLoss: Loss<StopgradOptions> = /* @__PURE__ */ describeAs(
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    target: Labels,
    options: StopgradOptions & LossOptions,
  ): Tensor<Shape, D> => {
    checkOptions("stopgradFyLoss", options, stopgradOptions);
    const { map, ...rest } = options ?? {};
    if (typeof map !== "function")
      throw new ArgumentError("stopgradFyLoss", `map is ${showValue(map)}`, "give a map, such as sparsemax");
    const axis = rest.axis === undefined ? undefined : { axis: rest.axis };
    const p = map(stopGradient(x as Tensor<Shape, FloatDType>), axis);
    return expectedLead(x as Tensor<Shape, D>, target, { ...rest, p });
  },
  expectedLead,
  {
    name: "stopgradFyLoss",
    params: { target: { is: "label" } },
    options: stopgradOptions,
    examples: [{ args: [[[1, 0.4, 0.1]], [0], { map: softmax }], gives: -0.3555315154665112 }],
  },
) as Loss<StopgradOptions>;
