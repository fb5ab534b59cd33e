// Fenchel–Young losses: for a map p = argmax ⟨x, p⟩ + H(p) the loss ⟨p − q, x⟩ + H(p) − H(q), whose gradient is p − q.
// Convex, never negative, zero exactly where p = q; with a margin where p has exact zeros.

import type { FloatDType } from "../core/dtype.ts";
import { describe } from "../core/op.ts";
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
  sub,
  sum,
  type Value,
} from "../core/row/expr.ts";
import { type IgnoreOption, type Loss, type LossOptions, rowLoss, type Target } from "../core/rowloss.ts";
import type { Params, ScalarLike } from "../core/rowop.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { expm1Ratio, log, posPow } from "../core/words.ts";
import { entmax15Of, entmaxOf, sparsemaxOf } from "../ops/maps/entmax.ts";

/** What a loss needs to know of its map. */
interface Regularised {
  /** Centred scores and probabilities. */
  readonly z: Row;
  readonly p: Row;
  /** H of a target distribution, or (without one) H(p), which may be stated shorter. */
  readonly entropy: (q?: Row) => Scalar;
  /** ∂H/∂α of the same with the distribution held fixed, for maps that have an α: by the envelope theorem that is all. */
  readonly slope?: (q?: Row) => Scalar;
}

type Build = (x: Row, options: { readonly [name: string]: Scalar }) => Regularised;

/** The loss of a map against labels and against distributions. */
function lossOf<O extends object>(
  name: string,
  build: Build,
  options: {
    readonly doc: string;
    readonly source: string;
    readonly params?: Params;
    readonly laws?: readonly string[];
    readonly examples: Loss["info"]["examples"];
    readonly domain?: Loss["info"]["domain"];
  },
): Loss<O, "either"> {
  const { params = {}, ...card } = options;
  const slopes = (r: Regularised, g: Value, q?: Row): { alpha?: Value } =>
    r.slope ? { alpha: mul(g, q ? sub(r.slope(), r.slope(q)) : r.slope()) } : {};
  const domain = { x: { min: -1, max: 1 }, ...card.domain };
  const labels: Loss<O> = rowLoss(name, {
    ...card,
    laws: ["shiftInvariant", "nonNegative", "nanRow"],
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

/**
 * The loss whose gradient is sparsemax(x) − q; exactly 0 once the right score leads by 1. `target` holds class indices or a
 * distribution.
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
      slope: (q) => adjoints([tsallis(...of(q))], [constant(1)], [alpha!], [p, logP])[0] as Scalar,
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
