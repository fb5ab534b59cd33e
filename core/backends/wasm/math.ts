// Transcendental functions as emitted SIMD: each call writes instructions that compute one vector of values.
// Two widths share one text; only coefficients and constants differ. Nothing here is called at run time.
//
// Each function reads the local `x`, leaves it alone and gives a new local that the caller frees. Constants live in
// locals (`f.constant`), set once at the function's entry however often a function is emitted.
// NaN in, NaN out; limits at ±∞ and at poles are exact. The sign of a zero result is not kept.
//
// Polynomials are minimax fits made for this file, good to about 2^-28 in f32 and 2^-58 in f64, so that rounding
// dominates. Largest errors found in ulp, f32 and f64: exp 0.9 0.9, expm1 1.6 1.6, log 0.9 0.8, log1p 1.5 1.5,
// tanh 1.9 2.1, sin and cos 1.4 2.1, erf 3.1 2.4, logNormalCdf 4.5 5.6, pow 0.6 and 1.5·|y log x|.

import { type Fn, hostSine, type Local, lanes } from "./assembler.ts";
import * as op from "./opcodes.ts";

/** Lanes of the vectors: f32x4 or f64x2. */
export type Width = "f32" | "f64";

/** Coefficients, lowest order first. */
type Coefficients = readonly number[];
type PerWidth<T> = Readonly<Record<Width, T>>;

/** Bits of the fraction. */
const fractionBits: PerWidth<number> = { f32: 23, f64: 52 };
const largest: PerWidth<number> = { f32: 2 ** 128 - 2 ** 104, f64: Number.MAX_VALUE };
/** Adding this number rounds to an integer and leaves it in the low bits of the sum. */
const rounder: PerWidth<number> = { f32: 1.5 * 2 ** 23, f64: 1.5 * 2 ** 52 };
/** ln 2 in two pieces, the first short enough that its product with any exponent is exact. */
const ln2: PerWidth<readonly [high: number, low: number]> = {
  f32: [0.693145751953125, 1.428606765330187e-6],
  f64: [0.6931471803691238, 1.9082149292705877e-10],
};

/** Pops a value into a new local. */
function store(f: Fn): Local {
  const l = f.local("v128");
  f.set(l);
  return l;
}

/** Pushes a polynomial of `x`: pairs by Horner's rule in x², which halves the chain of dependent operations. */
function polynomial(f: Fn, w: Width, x: Local, coefficients: Coefficients, squared?: Local): Fn {
  const { mul, add } = lanes[w];
  const square = squared ?? store(f.get(x).get(x).op(mul));
  const pair = (i: number): void => {
    f.get(f.constant(w, coefficients[i]!));
    if (i + 1 < coefficients.length)
      f.get(x)
        .get(f.constant(w, coefficients[i + 1]!))
        .op(mul, add);
  };
  let i = (coefficients.length - 1) & ~1;
  pair(i);
  for (i -= 2; i >= 0; i -= 2) {
    f.get(square).op(mul);
    pair(i);
    f.op(add);
  }
  return squared === undefined ? f.free(square) : f;
}

/** Pushes the upper two of four lanes as the lower two. */
function upper(f: Fn, x: Local): Fn {
  return f.get(x).get(x).shuffle(8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}

/** Joins the lower halves of two vectors on the stack. */
function joinHalves(f: Fn): Fn {
  return f.shuffle(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
}

/** Pushes x held within [low, high]; NaN stays NaN. */
function clamp(f: Fn, w: Width, x: Local, low: number, high: number): Fn {
  const { pmin, pmax } = lanes[w];
  return f.get(x).get(f.constant(w, low)).op(pmax).get(f.constant(w, high)).op(pmin);
}

// ---------------------------------------------------------------------------------------------------------------
// exp and expm1: x = n·ln 2 + r with |r| ≤ ln 2 / 2

/** (e^r − 1 − r)/r² for f32: to 2^-28 of e^r, and to 2^-32 of e^r − 1. */
const expTail: PerWidth<Coefficients | undefined> = {
  f32: [
    0.4999999343263515, 0.16666520399096527, 0.041668390555271696, 0.008368745075883692,
    0.0013814557147107654,
  ],
  f64: undefined,
};
const expm1Tail: PerWidth<Coefficients | undefined> = {
  f32: [
    0.500000004428451, 0.16666666369827424, 0.041666360395466714, 0.008333389434279699, 0.0013940669983836924,
    0.000198458962755986,
  ],
  f64: undefined,
};
/** (r·coth(r/2) − 2)/r², as a polynomial of r². */
const expRational64: Coefficients = [
  0.16666666666666555, -0.002777777777669398, 6.61375624950617e-5, -1.6533836509782853e-6,
  4.136023736130633e-8,
];

interface Reduced {
  /** n, in the low bits of a float. */
  readonly t: Local;
  /** n as a float. */
  readonly n: Local;
  readonly r: Local;
  /** What rounding took from r, if asked for. */
  readonly lost: Local | undefined;
}

/** x into a whole number n of ln 2 and the rest r. */
function reduce(f: Fn, w: Width, x: Local, exactly = false): Reduced {
  const { add, sub, mul } = lanes[w];
  const magic = f.constant(w, rounder[w]);
  const t = f.local("v128");
  const n = f.local("v128");
  f.get(x).get(f.constant(w, Math.LOG2E)).op(mul).get(magic).op(add).tee(t).get(magic).op(sub).set(n);
  f.get(x).get(n).get(f.constant(w, ln2[w][0])).op(mul, sub);
  const low = f.constant(w, ln2[w][1]);
  if (!exactly) return { t, n, r: store(f.get(n).get(low).op(mul, sub)), lost: undefined };
  const lost = f.local("v128");
  const r = store(f.tee(lost).get(n).get(low).op(mul, sub));
  f.get(lost).get(r).op(sub).get(n).get(low).op(mul, sub).set(lost);
  return { t, n, r, lost };
}

/** Pushes e^r − 1, exact relative to itself, by a tail in r or, without one, to the last bit of f64. Consumes r. */
function reducedExpm1(f: Fn, w: Width, { r, lost }: Reduced, tail: Coefficients | undefined): Fn {
  const { add, sub, mul, div } = lanes[w];
  const square = store(f.get(r).get(r).op(mul));
  if (tail) {
    polynomial(f, w, r, tail, square).get(square).op(mul);
  } else {
    // e^r − 1 = r + r·c/(2 − c), c = r − r²·P(r²): one division for half the terms, and the divider is idle otherwise.
    f.get(r).get(square);
    const c = store(polynomial(f, w, square, expRational64).op(mul, sub));
    f.get(r).get(c).op(mul).get(f.constant(w, 2)).get(c).op(sub, div).free(c);
  }
  if (lost !== undefined) f.get(lost).op(add).free(lost);
  return f.get(r).op(add).free(square, r);
}

/** Pushes 2^n for the n in the low bits of t; n + bias must be a positive exponent. */
function powerOfTwo(f: Fn, w: Width, t: Local): Fn {
  const { intShl, intAdd } = lanes[w];
  return f.get(t).i32(fractionBits[w]).op(intShl).get(f.constant(w, 1)).op(intAdd);
}

/** e^x, with gradual underflow. */
export function exp(f: Fn, w: Width, x: Local): Local {
  const { add, mul, lt, pmin, pmax, intSub } = lanes[w];
  const held = store(
    f
      .get(x)
      .get(f.constant(w, w === "f32" ? 89 : 710))
      .op(pmin)
      // Further down 2^n would have no bits to stand in, and its second factor could be anything, ∞ for one.
      .get(f.constant(w, w === "f32" ? -104 : -746))
      .op(pmax),
  );
  const reduced = reduce(f, w, held);
  const { t, n } = reduced;
  // 2^n in two factors: n runs past both ends of the exponents.
  const magic = f.constant(w, rounder[w]);
  f.get(n).get(f.constant(w, 0.5)).op(mul).get(magic).op(add).set(held);
  reducedExpm1(f, w, reduced, expTail[w]).get(f.constant(w, 1)).op(add);
  powerOfTwo(f, w, held).op(mul);
  // What rounds to 0 is made 0 before the product that would underflow: an underflow costs as much as three exponentials.
  f.get(x)
    .get(f.constant(w, w === "f32" ? -103.98 : -745.14))
    .op(lt, op.v128AndNot);
  f.get(t).get(held).op(intSub).set(t);
  powerOfTwo(f, w, t).op(mul);
  f.free(t, n, held);
  return store(f);
}

/**
 * e^x for x known to be at most 88, flushed to 0 where it is below the smallest normal number:
 * subnormal numbers are 75 × slower wherever they are met later.
 */
export function expBounded(f: Fn, w: Width, x: Local): Local {
  const { add, mul, lt } = lanes[w];
  const reduced = reduce(f, w, x);
  const { t, n } = reduced;
  reducedExpm1(f, w, reduced, expTail[w]).get(f.constant(w, 1)).op(add);
  powerOfTwo(f, w, t).op(mul);
  // Not a comparison the other way round: NaN must stay.
  f.get(x)
    .get(f.constant(w, w === "f32" ? -87.33654 : -708.3964185322641))
    .op(lt, op.v128AndNot);
  f.free(t, n);
  return store(f);
}

/** e^x − 1. */
export function expm1(f: Fn, w: Width, x: Local): Local {
  const { add, sub, mul, intSub } = lanes[w];
  const held = store(clamp(f, w, x, -80, w === "f32" ? 89 : 710));
  // Just above ½ln 2, n = 1 doubles the error of r; without what r lost, 2.1 ulp.
  const reduced = reduce(f, w, held, w === "f64");
  const { t, n } = reduced;
  // With half = 2^(n−1): e^x − 1 = 2p·half + (half − ½) + (half − ½), p = e^r − 1; exact for n = 0, no early overflow.
  reducedExpm1(f, w, reduced, expm1Tail[w]).tee(held).get(held).op(add).set(held);
  f.get(t)
    .get(f.constant(w === "f32" ? "i32" : "i64", 1))
    .op(intSub)
    .set(t);
  powerOfTwo(f, w, t).tee(t).get(held).op(mul);
  f.get(t).get(f.constant(w, 0.5)).op(sub).tee(t).op(add).get(t).op(add);
  f.free(t, n, held);
  return store(f);
}

// ---------------------------------------------------------------------------------------------------------------
// log and log1p: u = 2^k·m with m in [√½, √2), log m by s = f/(2 + f), f = m − 1

/** (log((1+s)/(1−s)) − 2s)/s³, as a polynomial of s². */
const logTail: PerWidth<Coefficients> = {
  f32: [0.6666677672093348, 0.3997749520424785, 0.2987308173812024],
  f64: [
    0.6666666666666735, 0.399999999994113, 0.28571428743208266, 0.22222198481934685, 0.181835694225407,
    0.15313911424579102, 0.14797426090371432,
  ],
};

/** The same up to s² = 1/9. */
const unitLogTail: PerWidth<Coefficients> = {
  f32: [0.6666641313308829, 0.4002169904143051, 0.279991413069091, 0.28024457939829556],
  f64: [
    0.666666666666663, 0.4000000000015724, 0.2857142854785407, 0.222222239697208, 0.18181743925261448,
    0.15386559916265033, 0.13300973673456984, 0.12106085564758715, 0.08340104549275736, 0.17018569587091179,
  ],
};

interface LogOptions {
  /** Added to u before the logarithm is taken, without rounding: the part of 1 + x that u has lost. */
  readonly lost?: Local;
  /** u − 1 before it was rounded, for a u of at most 1: above ½ it is all that counts, and below nothing was lost. */
  readonly minusOne?: Local;
  /** u may be subnormal. */
  readonly subnormal?: boolean;
  /** Other than the width's own. */
  readonly tail?: Coefficients;
}

/** log(u + lost); −∞ at 0, NaN below. */
function logOf(
  f: Fn,
  w: Width,
  u: Local,
  { lost, minusOne, subnormal, tail = (minusOne === undefined ? logTail : unitLogTail)[w] }: LogOptions,
): Local {
  const { add, sub, mul, div, lt, le, eq, intAdd, intSub, intShl, intShrS, intShrU, intGtS, pmax } = lanes[w];
  const bits = fractionBits[w];
  const one = f.constant(w, 1);
  // √½ as bits; subtracting it carries into the exponent exactly where the fraction is below √2. For m in (½, 1], just above ½.
  const [short, long] =
    minusOne === undefined ? [0x3f3504f3, 0x3fe6a09e667f3bcdn] : [0x3f000001, 0x3fe0000000000001n];
  const root = w === "f32" ? f.constant("i32", short) : f.constant("i64", long);
  const fraction = w === "f32" ? f.constant("i32", 0x7fffff) : f.constant("i64", 0xfffffffffffffn);
  const k = f.local("v128");
  const m = f.local("v128");

  f.get(u).get(root).op(intSub).set(m);
  if (subnormal) {
    // A branch that is hardly ever taken costs a third of doing this always. 0 and negative numbers do not take it:
    // as signed integers, bits + (2^31 − 1) is small for subnormal numbers alone.
    const [lowest, limit] =
      w === "f32"
        ? [f.constant("i32", 0x7fffffff), f.constant("i32", 0x807fffff | 0)]
        : [f.constant("i64", 0x7fffffffffffffffn), f.constant("i64", 0x800fffffffffffffn)];
    f.get(limit).get(u).get(lowest).op(intAdd, intGtS).tee(k).op(op.v128AnyTrue).if();
    // Those lanes are scaled up to normal ones, and their exponents corrected.
    f.get(u)
      .get(f.constant(w, 2 ** (bits + 2)))
      .op(mul)
      .get(root)
      .op(intSub);
    f.get(
      w === "f32"
        ? f.constant("i32", (bits + 2) << bits)
        : f.constant("i64", BigInt(bits + 2) << BigInt(bits)),
    );
    f.op(intSub).get(m).get(k).op(op.v128Bitselect).set(m).end();
  }
  if (w === "f32") f.get(m).i32(bits).op(intShrS, op.f32x4ConvertI32x4S);
  else {
    // No conversion from i64 exists: the exponent, lifted above 0, is put under the fraction of 2^52.
    const lift = 1 << 11;
    const big = 2 ** 52;
    f.get(m)
      .get(f.constant("i64", BigInt(lift) << 52n))
      .op(intAdd)
      .i32(bits)
      .op(intShrU)
      .get(f.constant(w, big))
      .op(op.v128Or);
    f.get(f.constant(w, big + lift)).op(sub);
  }
  f.set(k);
  f.get(m).get(fraction).op(op.v128And).get(root).op(intAdd).get(one).op(sub);
  if (lost !== undefined) {
    // lost·2^−k; where the scale has no exponent (k at its largest) nothing was lost.
    f.get(one).get(m).i32(bits).op(intShrS).i32(bits).op(intShl, intSub).get(f.constant(w, 0)).op(pmax);
    f.get(lost).op(mul, add);
  }
  f.set(m);
  const zero = f.constant(w, 0);
  // In this order NaN stays NaN.
  if (minusOne !== undefined)
    f.get(m).get(minusOne).get(u).get(f.constant(w, 0.5)).op(le, op.v128Bitselect).set(m);
  f.get(m).get(m).get(f.constant(w, 2)).op(add, div);
  const s = store(f);
  f.get(s).get(s).op(mul);
  const z = store(f);
  // k·high + (f − (s·(f − R) − k·low))
  f.get(k).get(f.constant(w, ln2[w][0])).op(mul);
  f.get(m).get(s).get(m);
  polynomial(f, w, z, tail).get(z).op(mul, sub, mul);
  f.get(k).get(f.constant(w, ln2[w][1])).op(mul, sub, sub, add);

  // Added where u = 0: −∞; where u is ∞ or NaN: u. Below 0 all bits are filled: NaN.
  if (minusOne === undefined) f.get(u).get(u).get(f.constant(w, Infinity)).op(lt, op.v128AndNot);
  f.get(f.constant(w, -Infinity)).get(u).get(zero).op(eq, op.v128And);
  if (minusOne === undefined) f.op(op.v128Or);
  f.op(add).get(u).get(zero).op(lt, op.v128Or);
  f.free(k, m, s, z);
  return store(f);
}

/** log x; −∞ at 0, NaN below. */
export function log(f: Fn, w: Width, x: Local): Local {
  return logOf(f, w, x, { subnormal: true });
}

/** log(1 + x), exact near 0; −∞ at −1, NaN below. */
export function log1p(f: Fn, w: Width, x: Local): Local {
  const { add, sub, pmin } = lanes[w];
  const one = f.constant(w, 1);
  const u = store(f.get(x).get(one).op(add));
  // The limit takes the place of NaN where x is ∞, and is passed only where a unit is lost in u anyway.
  const lost = store(f.get(one).get(x).get(u).get(one).op(sub, sub, pmin));
  const r = logOf(f, w, u, { lost });
  f.free(u, lost);
  return r;
}

/** log(1 + x) for x known to lie in [0, 1]: nothing to take apart, and no limit to look for. */
export function log1pOfUnit(f: Fn, w: Width, x: Local): Local {
  const { add, sub, mul, div } = lanes[w];
  const s = store(f.get(x).get(x).get(f.constant(w, 2)).op(add, div));
  const z = store(f.get(s).get(s).op(mul));
  // x − s·(x − R)
  f.get(x).get(s).get(x);
  polynomial(f, w, z, unitLogTail[w]).get(z).op(mul, sub, mul, sub);
  f.free(s, z);
  return store(f);
}

/** log(1 + x)/x for x known to lie in [0, 1]. */
export function log1pRatioOfUnit(f: Fn, w: Width, x: Local): Local {
  const { add, mul, div } = lanes[w];
  const [one, two] = [f.constant(w, 1), f.constant(w, 2)];
  const r = store(f.get(one).get(two).get(x).op(add, div));
  const z = store(f.get(r).get(x).op(mul));
  f.get(z).get(z).op(mul).set(z);
  // (2 + R)/(2 + x)
  polynomial(f, w, z, unitLogTail[w]).get(z).op(mul).get(two).op(add).get(r).op(mul);
  f.free(r, z);
  return store(f);
}

/** log(1 + x) for x known to be at most 0; −∞ at −1, NaN below. */
export function log1pNonPositive(f: Fn, w: Width, x: Local): Local {
  const u = store(f.get(x).get(f.constant(w, 1)).op(lanes[w].add));
  const r = logOf(f, w, u, { minusOne: x });
  f.free(u);
  return r;
}

// ---------------------------------------------------------------------------------------------------------------
// sigmoid, softplus, x·log x

/** e^−|x|. */
function expMinusAbs(f: Fn, w: Width, x: Local): Local {
  const { abs, neg } = lanes[w];
  const t = store(f.get(x).op(abs, neg));
  const r = expBounded(f, w, t);
  f.free(t);
  return r;
}

/** 1/(1 + e^−x) as t/(1 + t) with t = e^x, held where it is 1 to the last digit: no overflow, and digits on both sides. */
export function sigmoid(f: Fn, w: Width, x: Local): Local {
  const { add, div, pmin } = lanes[w];
  const held = store(f.get(x).get(f.constant(w, 40)).op(pmin));
  const t = expBounded(f, w, held);
  f.get(t).get(t).get(f.constant(w, 1)).op(add, div).free(held, t);
  return store(f);
}

/** log(1 + e^x) = max(x, 0) + log(1 + e^−|x|). */
export function softplus(f: Fn, w: Width, x: Local): Local {
  const { add, pmax } = lanes[w];
  const t = expMinusAbs(f, w, x);
  const l = log1pOfUnit(f, w, t);
  f.get(l).get(x).get(f.constant(w, 0)).op(pmax, add);
  return store(f.free(t, l));
}

/** x·log x, and 0 at 0. */
export function xlogx(f: Fn, w: Width, x: Local): Local {
  const { mul, eq } = lanes[w];
  const l = log(f, w, x);
  f.get(l).get(x).op(mul).get(x).get(f.constant(w, 0)).op(eq, op.v128AndNot);
  return store(f.free(l));
}

// ---------------------------------------------------------------------------------------------------------------
// tanh, sin, cos

/** Pushes a with the sign of x. Consumes a, which is not negative. */
function withSignOf(f: Fn, w: Width, x: Local, a: Local): Fn {
  return f.get(x).get(f.constant(w, -0)).op(op.v128And).get(a).op(op.v128Or).free(a);
}

/** tanh x = −t/(t + 2) with t = e^(−2|x|) − 1, so that nothing overflows and nothing cancels. */
export function tanh(f: Fn, w: Width, x: Local): Local {
  const { abs, neg, mul, add, div } = lanes[w];
  const a = store(f.get(x).op(abs).get(f.constant(w, -2)).op(mul));
  const t = expm1(f, w, a);
  f.get(t).op(neg).get(t).get(f.constant(w, 2)).op(add, div).set(a);
  f.free(t);
  return store(withSignOf(f, w, x, a));
}

/** (sin r/r − 1)/r² and (cos r − 1 + r²/2)/r⁴ for |r| ≤ π/4, as polynomials of r². */
const sineTail: PerWidth<Coefficients> = {
  f32: [-0.16666654530788605, 0.008332155782353638, -0.0001951460252210318],
  f64: [
    -0.1666666666666663, 0.008333333333322005, -0.00019841269829495595, 2.7557313587775663e-6,
    -2.5050742342154923e-8, 1.5895906996497395e-10,
  ],
};
const cosineTail: PerWidth<Coefficients> = {
  f32: [0.04166664554739936, -0.0013887309577893627, 2.443238442193507e-5],
  f64: [
    0.041666666666666595, -0.0013888888888872902, 2.4801587288751693e-5, -2.755731414956513e-7,
    2.0875696690093884e-9, -1.1358316031158295e-11,
  ],
};
/** π/2 in pieces (Cody and Waite): the products of all but the last with n < 2^30 are exact. */
const halfPi: readonly number[] = [
  1.570796251296997, 7.549789415861596e-8, 5.390302529957765e-15, 3.2820035428735005e-22,
];
/** Beyond this the reduction has too few digits of π: the host computes the entry. */
const angleLimit = 2 ** 30;

/** x = n·π/2 + r for f64x2: n in the low bits of t, and r. */
function reduceAngle(f: Fn, x: Local): { readonly t: Local; readonly r: Local } {
  const { add, sub, mul } = lanes.f64;
  const magic = f.constant("f64", rounder.f64);
  const t = f.local("v128");
  f.get(x)
    .get(f.constant("f64", 2 / Math.PI))
    .op(mul)
    .get(magic)
    .op(add)
    .tee(t)
    .get(magic)
    .op(sub);
  const n = store(f);
  f.get(x);
  for (const piece of halfPi) f.get(n).get(f.constant("f64", piece)).op(mul, sub);
  f.free(n);
  return { t, r: store(f) };
}

/** sin(x + turns·π/2). */
function sine(f: Fn, w: Width, x: Local, turns: 0 | 1): Local {
  const { add, sub, mul, abs, gt, int, intAdd, intShl, intEq } = lanes[w];
  let t: Local;
  let r: Local;
  if (w === "f64") ({ t, r } = reduceAngle(f, x));
  else {
    // Reduced in f64: two products, where f32 would need five pieces of π/2 for the same range.
    const wide = store(f.get(x).op(op.f64x2PromoteLowF32x4));
    const low = reduceAngle(f, wide);
    upper(f, x).op(op.f64x2PromoteLowF32x4).set(wide);
    const high = reduceAngle(f, wide);
    f.get(low.t).get(high.t).shuffle(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27).set(low.t);
    f.get(low.r).op(op.f32x4DemoteF64x2Zero).get(high.r).op(op.f32x4DemoteF64x2Zero);
    joinHalves(f).set(low.r);
    f.free(wide, high.t, high.r);
    ({ t, r } = low);
  }
  const one = f.constant(int, 1);
  if (turns) f.get(t).get(one).op(intAdd).set(t);
  const z = store(f.get(r).get(r).op(mul));
  // cos r = 1 − z/2 + z²·C(z); sin r = r + r·z·S(z)
  f.get(f.constant(w, 1)).get(z).get(f.constant(w, 0.5)).op(mul, sub);
  polynomial(f, w, z, cosineTail[w]).get(z).op(mul).get(z).op(mul, add);
  polynomial(f, w, z, sineTail[w]).get(z).op(mul).get(r).op(mul).get(r).op(add);
  // The cosine for odd n, and a change of sign where n has its second bit.
  f.get(t).get(one).op(op.v128And).get(one).op(intEq, op.v128Bitselect);
  f.get(t)
    .get(f.constant(int, 2))
    .op(op.v128And)
    .i32(fractionBits[w] + (w === "f32" ? 7 : 10))
    .op(intShl, op.v128Xor);
  const result = store(f);
  f.free(t, r, z);
  f.get(x).op(abs).get(f.constant(w, angleLimit)).op(gt, op.v128AnyTrue).if();
  const angle = f.local("f64");
  const f32 = w === "f32";
  for (let k = 0; k < lanes[w].count; k++) {
    f.get(x).lane(f32 ? op.f32x4ExtractLane : op.f64x2ExtractLane, k);
    if (f32) f.op(op.f64PromoteF32);
    f.tee(angle).op(op.f64Abs).f64(angleLimit).op(op.f64Gt).if();
    f.get(result).get(angle).i32(turns).call(hostSine);
    if (f32) f.op(op.f32DemoteF64);
    f.lane(f32 ? op.f32x4ReplaceLane : op.f64x2ReplaceLane, k)
      .set(result)
      .end();
  }
  f.free(angle).end();
  return result;
}

/** sin x. */
export function sin(f: Fn, w: Width, x: Local): Local {
  return sine(f, w, x, 0);
}

/** cos x. */
export function cos(f: Fn, w: Width, x: Local): Local {
  return sine(f, w, x, 1);
}

// ---------------------------------------------------------------------------------------------------------------
// The normal distribution

/**
 * (1 + 2t)·e^(t²)·erfc t as a polynomial of y = (t − K)/(t + K), which takes [0, ∞) to [−1, 1).
 * Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞", 1981.
 */
const scaledErfcCentre: PerWidth<number> = { f32: 2.5, f64: 3.75 };
const scaledErfcFit: PerWidth<Coefficients> = {
  f32: [
    1.2648381843704706, -0.1223568015807882, -0.09902453666874154, 0.15763101305238206, -0.10296711827288327,
    0.03275193969289948, 0.0009322377021565814, -0.004350220526481471, 0.000491237549285663,
    0.0005754522274116598, -8.864169712443626e-5, -6.180179493431629e-5, 8.220415169472685e-6,
  ],
  f64: [
    1.2375126308378275, -0.14024059858554697, 0.003585415485464774, 0.08227673849014676, -0.10880393014176583,
    0.09230432116033634, -0.058693398589310754, 0.02836227741945806, -0.009746579561251275,
    0.001755625849503973, 0.00029371368431970114, -0.0002901540665576249, 5.1649030061588845e-5,
    2.2384202179765034e-5, -1.1443980073630776e-5, -9.734958828872579e-7, 1.7513705438676377e-6,
    -5.7290414625760974e-8, -2.5838534779999947e-7, 2.3314574719155676e-8, 3.848522223868378e-8,
    -3.764787431281784e-9, -5.1007483253507586e-9, 3.147462273865181e-10, 4.1281415929232136e-10,
  ],
};
/** erf x/x for |x| ≤ 3/4, as a polynomial of x². */
const erfFit: PerWidth<Coefficients> = {
  f32: [
    1.1283791654965611, -0.37612618757125454, 0.11283376577382753, -0.026834624665218187,
    0.005114345666673166, -0.0006749513569184807,
  ],
  f64: [
    1.1283791670955126, -0.37612638903183715, 0.11283791670952481, -0.02686617064440247, 0.005223977615122185,
    -0.0008548326169084348, 0.00012055288776952251, -1.4924176630826782e-5, 1.6430388125847373e-6,
    -1.5937599310520119e-7, 1.1463755409277713e-8,
  ],
};

/** Pushes e^(t²)·erfc t for t ≥ 0. */
function scaledErfc(f: Fn, w: Width, t: Local): Fn {
  const { add, sub, div, pmin } = lanes[w];
  const centre = f.constant(w, scaledErfcCentre[w]);
  // Where ∞ would be divided by ∞; what follows multiplies the result by 0 there, or adds −∞.
  const held = store(
    f
      .get(t)
      .get(f.constant(w, 2 ** 60))
      .op(pmin),
  );
  const y = store(f.get(held).get(centre).op(sub).get(held).get(centre).op(add, div));
  polynomial(f, w, y, scaledErfcFit[w]);
  f.get(held).get(held).op(add).get(f.constant(w, 1)).op(add, div);
  return f.free(held, y);
}

/** erf x = 2/√π ∫₀ˣ e^(−s²) ds. */
export function erf(f: Fn, w: Width, x: Local): Local {
  const { abs, neg, sub, mul, lt } = lanes[w];
  const square = store(f.get(x).get(x).op(mul));
  const a = store(f.get(x).op(abs));
  f.get(f.constant(w, 1));
  scaledErfc(f, w, a);
  const minus = store(f.get(square).op(neg));
  const e = expBounded(f, w, minus);
  f.get(e).op(mul, sub).set(minus);
  f.free(e);
  polynomial(f, w, square, erfFit[w]).get(x).op(mul);
  withSignOf(f, w, x, minus);
  f.get(a).get(f.constant(w, 0.75)).op(lt, op.v128Bitselect);
  f.free(square, a);
  return store(f);
}

/**
 * log Φ(x), Φ the standard normal distribution function. With h = ½e^(x²/2)·erfc(|x|/√2), it is log h − x²/2 below 0,
 * exact however far, and log1p(−h·e^(−x²/2)) above.
 */
export function logNormalCdf(f: Fn, w: Width, x: Local): Local {
  const { abs, add, sub, mul, lt, pmin } = lanes[w];
  const [half, one] = [f.constant(w, 0.5), f.constant(w, 1)];
  const h = store(f.get(x).op(abs).get(f.constant(w, Math.SQRT1_2)).op(mul));
  scaledErfc(f, w, h).get(half).op(mul).set(h);
  // Far above 0 the result is −0 whatever x is, and x² must not overflow.
  const held = store(
    f
      .get(x)
      .get(f.constant(w, w === "f32" ? 15 : 40))
      .op(pmin),
  );
  const square = store(f.get(held).get(held).op(mul));
  // What the square has lost, by halves of x whose products are exact: e^(−x²/2) would magnify it by x²/2.
  const top = store(
    f
      .get(held)
      .get(w === "f32" ? f.constant("i32", ~0xfff) : f.constant("i64", ~0x7ffffffn))
      .op(op.v128And),
  );
  f.get(top).get(top).op(mul).get(square).op(sub);
  f.get(held).get(top).op(sub).tee(held).get(top).get(top).op(add, mul, add);
  f.get(held).get(held).op(mul, add);
  const lost = store(f);
  f.get(square).get(f.constant(w, -0.5)).op(mul).set(square);
  const e = expBounded(f, w, square);
  // above = h·e^(−x²/2)·(1 − lost/2)
  const above = store(f.get(e).get(h).op(mul).tee(e).get(e).get(lost).get(half).op(mul, mul, sub));
  // The logarithm of h + 0 or of 1 − above = u + lost.
  const below = store(f.get(x).get(f.constant(w, 0)).op(lt));
  const u = store(f.get(one).get(above).op(sub));
  f.get(one).get(u).op(sub).get(above).op(sub).get(below).op(op.v128AndNot).set(lost);
  f.get(h).get(u).get(below).op(op.v128Bitselect).set(u);
  const l = logOf(f, w, u, { lost });
  f.get(l).get(square).get(below).op(op.v128And, add);
  f.free(h, held, square, top, lost, e, above, below, u, l);
  return store(f);
}

// ---------------------------------------------------------------------------------------------------------------
// pow

/** logTail in f64 for results in f32: to 2^-37, since a power magnifies the error of the logarithm. */
const powLogTail: Coefficients = [
  0.6666666564008217, 0.40000336428923783, 0.28537227332074344, 0.23583748699712806,
];

/** x^y for x ≥ 0, in f64x2 and with the digits of f32. Consumes both. */
function shortPow(f: Fn, x: Local, y: Local): Local {
  const { add, mul } = lanes.f64;
  const l = logOf(f, "f64", x, { tail: powLogTail });
  f.get(l).get(y).op(mul).set(l);
  clamp(f, "f64", l, -110, 90).set(l);
  const reduced = reduce(f, "f64", l);
  const { t, n } = reduced;
  reducedExpm1(f, "f64", reduced, expTail.f32).get(f.constant("f64", 1)).op(add);
  powerOfTwo(f, "f64", t).op(mul).set(l);
  f.free(x, y, t, n);
  return l;
}

/** x^y = e^(y·log x) for x ≥ 0; in f32 by way of f64, since rounding y·log x would cost up to 100 ulp. */
function powOfAbsolute(f: Fn, w: Width, x: Local, y: Local): Local {
  if (w === "f64") {
    const l = log(f, w, x);
    f.get(l).get(y).op(op.f64x2Mul).set(l);
    const r = exp(f, w, l);
    f.free(l);
    return r;
  }
  const low = (l: Local): Local => store(f.get(l).op(op.f64x2PromoteLowF32x4));
  const high = (l: Local): Local => store(upper(f, l).op(op.f64x2PromoteLowF32x4));
  const first = shortPow(f, low(x), low(y));
  const second = shortPow(f, high(x), high(y));
  f.get(first).op(op.f32x4DemoteF64x2Zero).get(second).op(op.f32x4DemoteF64x2Zero);
  joinHalves(f).set(first).free(second);
  return first;
}

/** x^y as `Math.pow`: 1 for y = 0 even where x is NaN; for x < 0 only whole y have a value. */
export function pow(f: Fn, w: Width, x: Local, y: Local): Local {
  const { abs, mul, eq, ne, lt, trunc } = lanes[w];
  const a = store(f.get(x).op(abs));
  const r = powOfAbsolute(f, w, a, y);
  const halved = store(f.get(y).get(f.constant(w, 0.5)).op(mul));
  // Odd y are whole and have a half that is not; they keep the sign of x.
  f.get(r);
  f.get(y).get(y).op(trunc, eq).tee(a).get(halved).get(halved).op(trunc, ne, op.v128And);
  f.get(x).op(op.v128And).get(f.constant(w, -0)).op(op.v128And, op.v128Or);
  // A negative base with a broken exponent: all bits, which is NaN.
  f.get(x).get(f.constant(w, 0)).op(lt).get(x).get(f.constant(w, -Infinity)).op(ne, op.v128And);
  f.get(a).op(op.v128AndNot, op.v128Or).set(r);
  f.get(f.constant(w, 1)).get(r).get(y).get(f.constant(w, 0)).op(eq, op.v128Bitselect);
  f.free(a, r, halved);
  return store(f);
}

/** x^y where x > 0, and 0 where x ≤ 0. */
export function posPow(f: Fn, w: Width, x: Local, y: Local): Local {
  const r = pow(f, w, x, y);
  // Not a comparison the other way round: NaN must stay.
  f.get(r).get(x).get(f.constant(w, 0)).op(lanes[w].le, op.v128AndNot);
  return store(f.free(r));
}

// ---------------------------------------------------------------------------------------------------------------
// Ratios closed under differentiation. For order 0 the quotient itself is exact; above, the recurrence is used away
// from 0 and a series near it.

/** ½∫ ((1 + s)/2)^k s^j ds over [−1, 1]. */
function moment(k: number, j: number): number {
  let total = 0;
  let binomial = 1;
  for (let i = 0; i <= k; i++) {
    if ((i + j) % 2 === 0) total += binomial / (i + j + 1);
    binomial *= (k - i) / (i + 1);
  }
  return total / 2 ** k;
}

/** Coefficients until their terms at `radius` are lost in the first. */
function series(w: Width, radius: number, coefficient: (j: number) => number): Coefficients {
  const eps = w === "f32" ? 2 ** -26 : 2 ** -56;
  const result = [coefficient(0)];
  for (let j = 1; ; j++) {
    const c = coefficient(j);
    if (Math.abs(c) * radius ** j < eps * result[0]! && j > 4) return result;
    result.push(c);
  }
}

/** Pushes q where v ≠ 0, and 1 at 0. */
function oneAtZero(f: Fn, w: Width, v: Local): Fn {
  const q = store(f);
  f.get(f.constant(w, 1)).get(q).get(v).get(f.constant(w, 0)).op(lanes[w].eq, op.v128Bitselect);
  return f.free(q);
}

/** ∫₀¹ sᵏ/(1 + vs)ᵏ⁺¹ ds for v > −1. */
export function log1pRatio(f: Fn, w: Width, v: Local, k: number): Local {
  const { abs, add, sub, mul, div, lt, pmin } = lanes[w];
  const one = f.constant(w, 1);
  // Held finite above the line only, so that ∞ gives 0.
  const l = store(f.get(v).get(f.constant(w, largest[w])).op(pmin));
  const logarithm = log1p(f, w, l);
  f.get(logarithm).get(v).op(div).free(logarithm);
  if (k === 0) {
    oneAtZero(f, w, v).set(l);
    return l;
  }
  // I_i = (I_{i−1} − (1 + v)^{−i}/i)/v
  f.set(l);
  const inverse = store(f.get(one).get(v).get(one).op(add, div));
  const power = store(f.get(inverse));
  for (let i = 1; i <= k; i++) {
    if (i > 1) f.get(power).get(inverse).op(mul).set(power);
    f.get(l).get(power);
    if (i > 1) f.get(f.constant(w, 1 / i)).op(mul);
    f.op(sub).get(v).op(div).set(l);
  }
  // With q = v/(2 + v), 1 + vs is (1 + q·(2s − 1))/(1 − q): a series in q that converges on both sides of 0 alike.
  const radius = 0.25;
  const q = store(f.get(v).get(v).get(f.constant(w, 2)).op(add, div));
  let binomial = 1;
  const near = series(w, radius, (j) => {
    if (j > 0) binomial *= -(k + j) / j;
    return binomial * moment(k, j);
  });
  polynomial(f, w, q, near);
  f.get(one).get(q).op(sub).set(power);
  for (let i = 0; i <= k; i++) f.get(power).op(mul);
  f.get(l).get(q).op(abs).get(f.constant(w, radius)).op(lt, op.v128Bitselect);
  f.free(l, inverse, power, q);
  return store(f);
}

/** ∫₀¹ sᵏ e^(vs) ds. */
export function expm1Ratio(f: Fn, w: Width, v: Local, k: number): Local {
  const { abs, sub, mul, div, eq, lt, pmin } = lanes[w];
  if (k === 0) {
    const e = expm1(f, w, v);
    // Held finite below the line only, so that ∞ gives ∞.
    f.get(e).get(v).get(f.constant(w, largest[w])).op(pmin, div);
    oneAtZero(f, w, v).set(e);
    return e;
  }
  // J_i = (e^v − i·J_{i−1})/v; e^v as the square of e^(v/2), which the series needs.
  const half = store(f.get(v).get(f.constant(w, 0.5)).op(mul));
  const h = exp(f, w, half);
  const e = store(f.get(h).get(h).op(mul));
  f.get(e).get(f.constant(w, 1)).op(sub).get(v).op(div);
  const j = store(f);
  for (let i = 1; i <= k; i++) {
    f.get(e).get(j);
    if (i > 1) f.get(f.constant(w, i)).op(mul);
    f.op(sub).get(v).op(div).set(j);
  }
  // e^(v/2)·Σ (v/2)^i/i!·moment
  const radius = 1;
  let factorial = 1;
  const near = series(w, radius, (i) => {
    if (i > 0) factorial *= i;
    return moment(k, i) / factorial;
  });
  polynomial(f, w, half, near).get(h).op(mul);
  f.get(j).get(half).op(abs).get(f.constant(w, radius)).op(lt, op.v128Bitselect).set(j);
  // Past the largest number the recurrence is ∞ − ∞.
  f.get(e).get(j).get(e).get(f.constant(w, Infinity)).op(eq, op.v128Bitselect).set(j);
  f.free(half, h, e);
  return j;
}
