// The words that mean more than an instruction: functions such as exp, and the walks of their own (running sum, k-th largest
// entry, root). Each is declared once: its derivative, its plain value, and what the WebAssembly device writes for it.
// They stand above the devices, and nothing below imports them: a page carries the words that its ops use.

import * as plain from "./backends/js/walks.ts";
import { emitGroups, emitTotalVariation } from "./backends/wasm/emit-groups.ts";
import { emitRoot } from "./backends/wasm/emit-root.ts";
import { emitCumsum, emitKth } from "./backends/wasm/emit-scans.ts";
import { emitSeries } from "./backends/wasm/emit-series.ts";
import type { EmitStep, EmitWord } from "./backends/wasm/emit-values.ts";
import * as math from "./backends/wasm/math.ts";
import * as wgsl from "./backends/webgpu/walks.ts";
import { type RootHints, rootOf } from "./row/differentiate.ts";
import {
  add,
  binary,
  boundVariable,
  constant,
  div,
  type Expr,
  greater,
  intern,
  isConst,
  lift,
  type Meaning,
  mul,
  type Num,
  neg,
  type Operand,
  type Row,
  relu,
  type Scalar,
  select,
  seriesNode,
  sqrt,
  sub,
  unary,
  type Value,
} from "./row/expr.ts";
import * as special from "./special.ts";

/** An elementwise word. */
interface Word extends Meaning {
  readonly wasm: EmitWord;
}

// ---------------------------------------------------------------------------------------------------------------
// Exponentials and logarithms

const expWord: Word = {
  js: Math.exp,
  wasm: (f, w, [x], { bounded }) => (bounded ? math.expBounded : math.exp)(f, w, x),
  chain: (self, _, v, times) => times(v, self as Value),
};
export const exp = <A extends Operand>(a: A): Num<A> => unary("exp", a, undefined, expWord);

const expm1Word: Word = {
  js: Math.expm1,
  wasm: (f, w, [x]) => math.expm1(f, w, x),
  chain: ({ args: [x] }, _, v, times) => times(v, exp(x as Value)),
};
export const expm1 = <A extends Operand>(a: A): Num<A> => unary("expm1", a, undefined, expm1Word);

const logWord: Word = {
  js: Math.log,
  wasm: (f, w, [x]) => math.log(f, w, x),
  chain: ({ args: [x] }, _, v, times) => times(v, div(1, x as Value)),
};
export const log = <A extends Operand>(a: A): Num<A> => unary("log", a, undefined, logWord);

const log1pWord: Word = {
  js: Math.log1p,
  wasm: (f, w, [x], { nonPositive, unit }) =>
    (nonPositive ? math.log1pNonPositive : unit ? math.log1pOfUnit : math.log1p)(f, w, x),
  chain: ({ args: [x] }, _, v, times) => times(v, div(1, add(1, x as Value))),
};
export const log1p = <A extends Operand>(a: A): Num<A> => unary("log1p", a, undefined, log1pWord);

const sigmoidWord: Word = {
  js: (v) => 1 / (1 + Math.exp(-v)),
  wasm: (f, w, [x]) => math.sigmoid(f, w, x),
  // σ(−x) keeps its digits where 1 − σ(x) has none left.
  chain: (self, _, v, times) => times(v, mul(self as Value, sigmoid(neg(self.args[0] as Value)))),
};
/** 1 / (1 + e^−a). */
export const sigmoid = <A extends Operand>(a: A): Num<A> => unary("sigmoid", a, undefined, sigmoidWord);

const softplusWord: Word = {
  js: (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
  wasm: (f, w, [x]) => math.softplus(f, w, x),
  chain: ({ args: [x] }, _, v, times) => times(v, sigmoid(x as Value)),
};
/** log(1 + e^a) = max(a, 0) + log1p(e^−|a|). */
export const softplus = <A extends Operand>(a: A): Num<A> => unary("softplus", a, undefined, softplusWord);

const xlogxWord: Word = {
  js: (v) => (v === 0 ? 0 : v * Math.log(v)),
  wasm: (f, w, [x]) => math.xlogx(f, w, x),
  chain: ({ args: [x] }, _, v) => select(greater(x as Value, 0), mul(v, add(log(x as Value), 1)), 0),
};
/** a·log a, 0 at 0. */
export const xlogx = <A extends Operand>(a: A): Num<A> => unary("xlogx", a, undefined, xlogxWord);

const log1pRatioWord: Word = {
  js: special.log1pRatio,
  wasm: (f, w, [x], { order, unit }) =>
    unit && order === 0 ? math.log1pRatioOfUnit(f, w, x) : math.log1pRatio(f, w, x, order),
  chain({ args: [x], detail }, _, v, times) {
    const k = (detail as number) + 1;
    return times(v, mul(-k, log1pRatio(x as Value, k)));
  },
};
/** ∫₀¹ sᵏ/(1 + as)ᵏ⁺¹ ds for a > −1; k = 0 is log1p(a)/a. Its derivative is −(k+1)·log1pRatio(a, k+1). */
export const log1pRatio = <A extends Operand>(a: A, k = 0): Num<A> =>
  unary("log1pRatio", a, k, log1pRatioWord);

const expm1RatioWord: Word = {
  js: special.expm1Ratio,
  wasm: (f, w, [x], { order }) => math.expm1Ratio(f, w, x, order),
  chain: ({ args: [x], detail }, _, v, times) => times(v, expm1Ratio(x as Value, (detail as number) + 1)),
};
/** ∫₀¹ sᵏ e^(as) ds; k = 0 is expm1(a)/a. Its derivative is expm1Ratio(a, k+1). */
export const expm1Ratio = <A extends Operand>(a: A, k = 0): Num<A> =>
  unary("expm1Ratio", a, k, expm1RatioWord);

// ---------------------------------------------------------------------------------------------------------------
// Powers

const powWord: Word = {
  js: (a, b) => a ** b,
  wasm: (f, w, [x, y]) => math.pow(f, w, x, y!),
  build: (a, b) => pow(a, b),
  chain(self, i, v, times) {
    const [x, y] = self.args as [Value, Value];
    if (i === 0) return times(v, mul(y, pow(x, sub(y, 1))));
    return select(greater(x, 0), times(v, mul(self as Value, log(x))), 0);
  },
};
/** a to the power b; for a negative base only integer exponents have a value. */
export function pow<A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> {
  const x = lift("pow", a);
  const y = lift("pow", b);
  let r: Value;
  if (isConst(y, 0)) r = constant(1);
  else if (isConst(y, 1)) r = x;
  else if (isConst(y, 2)) r = mul(x, x);
  else if (isConst(y, 0.5)) r = sqrt(x);
  else if (isConst(y, -1)) r = div(1, x);
  else r = binary("pow", x, y, powWord);
  return r as Expr as Num<A | B>;
}

const posPowWord: Word = {
  js: (a, b) => (a <= 0 ? 0 : a ** b),
  wasm: (f, w, [x, y]) => math.posPow(f, w, x, y!),
  build: (a, b) => posPow(a, b),
  chain(self, i, v) {
    const [x, y] = self.args as [Value, Value];
    if (i === 0) return select(greater(x, 0), mul(v, mul(y, posPow(x, sub(y, 1)))), 0);
    return select(greater(x, 0), mul(v, mul(self as Value, log(x))), 0);
  },
};
/** a to the power b where a > 0, and 0 with zero derivatives elsewhere. */
export function posPow<A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> {
  const x = lift("posPow", a);
  const y = lift("posPow", b);
  return (isConst(y, 1) ? relu(x) : binary("posPow", x, y, posPowWord)) as Expr as Num<A | B>;
}

// ---------------------------------------------------------------------------------------------------------------
// Circular and hyperbolic functions, and the normal distribution

const sinWord: Word = {
  js: Math.sin,
  wasm: (f, w, [x]) => math.sin(f, w, x),
  chain: ({ args: [x] }, _, v, times) => times(v, cos(x as Value)),
};
export const sin = <A extends Operand>(a: A): Num<A> => unary("sin", a, undefined, sinWord);

const cosWord: Word = {
  js: Math.cos,
  wasm: (f, w, [x]) => math.cos(f, w, x),
  chain: ({ args: [x] }, _, v, times) => neg(times(v, sin(x as Value))),
};
export const cos = <A extends Operand>(a: A): Num<A> => unary("cos", a, undefined, cosWord);

const tanhWord: Word = {
  js: Math.tanh,
  wasm: (f, w, [x]) => math.tanh(f, w, x),
  chain: (self, _, v, times) => times(v, mul(sub(1, self as Value), add(1, self as Value))),
};
export const tanh = <A extends Operand>(a: A): Num<A> => unary("tanh", a, undefined, tanhWord);

const erfWord: Word = {
  js: special.erf,
  wasm: (f, w, [x]) => math.erf(f, w, x),
  chain({ args: [a] }, _, v, times) {
    const x = a as Value;
    return times(v, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x)))));
  },
};
export const erf = <A extends Operand>(a: A): Num<A> => unary("erf", a, undefined, erfWord);

const logNormalCdfWord: Word = {
  js: special.logNormalCdf,
  wasm: (f, w, [x]) => math.logNormalCdf(f, w, x),
  chain(self, _, v, times) {
    const x = self.args[0] as Value;
    return times(v, mul(1 / Math.sqrt(2 * Math.PI), exp(sub(mul(-0.5, mul(x, x)), self as Value))));
  },
};
/** log Φ(a), Φ the standard normal distribution function, exact far into the lower tail. */
export const logNormalCdf = <A extends Operand>(a: A): Num<A> =>
  unary("logNormalCdf", a, undefined, logNormalCdfWord);

// ---------------------------------------------------------------------------------------------------------------
// Walks of their own

/** A word that takes steps of a schedule; its derivative may be a matter of the row language, its plain value of the plain reading. */
interface Walk extends Meaning {
  readonly wasm: EmitStep;
}

const kthWord: Walk = { walk: plain.kthLargest, wasm: emitKth };
/** The k-th largest entry, k from 1; k may be computed. Exact; NaN if the row holds a NaN. No derivative. */
export function kth(row: Row, k: Scalar | number): Scalar {
  const args = [lift("kth", row), lift("kth", k)];
  return intern("kth", "scalar", "number", args, undefined, kthWord) as Scalar;
}

const cumsumWord: Walk = { wasm: emitCumsum };
/** Running sum along the row. */
export function cumsum(row: Row): Row {
  return intern("cumsum", "row", "number", [lift("cumsum", row)], undefined, cumsumWord) as Row;
}

const totalVariationWord: Walk = {
  walk: plain.totalVariation,
  wgsl: wgsl.totalVariation,
  wasm: emitTotalVariation,
  build: (row, strength) => totalVariation(row as Row, strength as Scalar),
  // What is fused moves together; its value moves with its neighbours' pull.
  chain(self, i, v) {
    const y = self as Row;
    return i === 0 ? groupMeans(v, y) : mul(v, groupDrift(y));
  },
};
/** The row y that minimises ½‖y − row‖² + strength·Σ|yᵢ₊₁ − yᵢ|: neighbours that lie close together become equal. */
export function totalVariation(row: Row, strength: Scalar | number): Row {
  const args = [lift("totalVariation", row), lift("totalVariation", strength)];
  return intern("totalVariation", "row", "number", args, undefined, totalVariationWord) as Row;
}

const groupMeansWord: Walk = {
  walk: plain.groupMeans,
  wgsl: wgsl.groupMeans,
  wasm: emitGroups,
  build: (row, of) => groupMeans(row, of as Row),
  chain: ({ args: [, of] }, i, v) => (i === 0 ? groupMeans(v, of as Row) : constant(0)),
};
/** The mean of a row over each run of equal entries of another. */
export function groupMeans<A extends Value>(row: A, of: Row): A {
  if (row.kind === "scalar") return row;
  return intern("groupMeans", "row", "number", [row, of], undefined, groupMeansWord) as Expr as A;
}

const groupDriftWord: Walk = {
  walk: plain.groupDrift,
  wgsl: wgsl.groupDrift,
  wasm: emitGroups,
  build: (of) => groupDrift(of as Row),
  chain: () => constant(0),
};
/** How the value of each run of equal entries grows with the strength of the pull to its two neighbours: a derivative of `totalVariation`. */
export function groupDrift(of: Row): Row {
  return intern("groupDrift", "row", "number", [of], undefined, groupDriftWord) as Row;
}

const rootWord: Walk = { wasm: emitRoot };
/**
 * The τ in [lo, hi] with F(τ) = 0, for a decreasing F with F(lo) ≥ 0 ≥ F(hi): safeguarded Newton from lo.
 *
 * @example
 * const tau = root((t) => sub(sum(relu(sub(z, t))), 1), -1, 0, { support: (t) => greater(z, t) });
 */
export function root(
  equation: (tau: Scalar) => Scalar,
  lo: Scalar | number,
  hi: Scalar | number,
  hints: RootHints = {},
): Scalar {
  return rootOf(rootWord, equation, lo, hi, hints);
}

const seriesWord: Walk = { wasm: emitSeries };
/**
 * Σ term(k) for k = 0 … count − 1, of rows or of scalars. The terms may hold reductions; the count may be computed, but is
 * constant to differentiation.
 */
export function series<V extends Value>(count: Scalar | number, term: (k: Scalar) => V): V {
  const k = boundVariable();
  return seriesNode(lift("series", count) as Scalar, k, lift("series", term(k)), seriesWord) as V;
}

/**
 * ∫ f(t) dt between two numbers by so many nodes at equal distances: for a smooth f that has died away at both ends, each digit
 * costs the same. Its derivative is an integral again.
 *
 * @example
 * const p = integrate((t) => exp(sub(mul(-0.5, mul(t, t)), x)), -9, 9, 145);
 */
export function integrate<V extends Value>(f: (t: Scalar) => V, from: number, to: number, nodes: number): V {
  const step = (to - from) / (nodes - 1);
  return mul(
    step,
    series(nodes, (k) => f(add(from, mul(step, k)) as Scalar)),
  ) as Expr as V;
}

export type {
  Expr,
  Kind,
  Mask,
  Num,
  Operand,
  Row,
  RowMask,
  Scalar,
  ScalarMask,
  Truth,
  Value,
} from "./row/expr.ts";
// The words that are single instructions.
export {
  abs,
  add,
  and,
  argmax,
  clamp,
  constant,
  constantOf,
  count,
  differentiateAs,
  div,
  equal,
  floor,
  greater,
  greaterEqual,
  index,
  less,
  lessEqual,
  max,
  maximum,
  min,
  minimum,
  mul,
  mulZero,
  n,
  neg,
  not,
  oneHot,
  or,
  pick,
  relu,
  round,
  rowInput,
  scalarInput,
  select,
  sign,
  sqrt,
  stop,
  sub,
  sum,
} from "./row/expr.ts";
