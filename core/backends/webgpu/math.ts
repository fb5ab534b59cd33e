// Functions of one or two numbers as WGSL text: what a word of the row language means where it is more than an operator.
// Knows no shader and no row; only the uniform `p`, whose words 2 and 3 hold NaN and +∞.
//
// WGSL promises little: builtin exp, log, sin and pow lose digits, division is good to 2.5 ulp, subnormal numbers may be
// flushed, a·b + c may be fused or not, and a compiler may reorder sums as if they were exact and hold NaN for impossible.
// Hence digits are split by masking bits, not by adding and subtracting; where a product must be exact its factors are
// short, and fma() keeps it from being reordered; powers of two are made of integers; NaN, ∞ and zero are found by bits.
//
// Largest errors found in ulp, where division rounds correctly: exp and log 1, expm1 1.5, log1p, tanh, erf, sigmoid, sin, cos
// and softplus 2.7, pow 3.2, logNormalCdf 7.4, ratios 5 at order 0 and 10 up to order 4.

import { expm1Ratio, log1pRatio } from "../../special.ts";

/** Parameters, result and body of each function, by name; those in h_ are called by others only. */
const functions: { readonly [name: string]: string } = {
  s_nan: "() -> f32 { return bitcast<f32>(p[0].z); }",
  s_inf: "() -> f32 { return bitcast<f32>(p[0].w); }",
  s_isNaN: "(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }",
  h_isZero: "(x: f32) -> bool { return (bitcast<u32>(x) << 1u) == 0u; }",
  /** a, which is not negative, with the sign of x. */
  h_signed: `(a: f32, x: f32) -> f32 {
return bitcast<f32>(bitcast<u32>(a) | (bitcast<u32>(x) & 0x80000000u));
}`,
  /** The first 11 digits: the product of two such numbers is exact. */
  h_short: "(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffffe000u); }",

  s_sign: `(x: f32) -> f32 {
return select(h_signed(1.0, x), x, h_isZero(x) || s_isNaN(x));
}`,
  // A comparison of floats might let NaN through on the wrong side: below 0 is what lies from −0 to −∞ as integers.
  s_relu: "(x: f32) -> f32 { return select(x, 0.0, bitcast<u32>(x) - 0x80000000u <= 0x7f800000u); }",
  s_maximum: "(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, s_isNaN(b)), a, s_isNaN(a)); }",
  s_minimum: "(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, s_isNaN(b)), a, s_isNaN(a)); }",
  s_clamp: "(x: f32, a: f32, b: f32) -> f32 { return s_minimum(s_maximum(x, a), b); }",
  s_mulZero: "(a: f32, b: f32) -> f32 { return select(a * b, 0.0, h_isZero(a)); }",
  s_round: "(x: f32) -> f32 { return round(x); }",
  // What lies just below 0 must not be flushed.
  s_floor: "(x: f32) -> f32 { return select(floor(x), -1.0, bitcast<u32>(x) - 0x80000001u < 0x007fffffu); }",
  s_sqrt: "(x: f32) -> f32 { return select(sqrt(x), s_nan(), bitcast<u32>(x) - 0x80000001u < 0x7f800000u); }",

  // Exponentials: x = n·ln 2 + r with |r| ≤ ½ ln 2.

  /** e^r − 1. */
  h_expm1: `(r: f32) -> f32 {
return r + r * r * (0.5 + r * (0.16666666 + r * (0.04166636 + r * (0.00833339 + r * (0.001394067 + r * 0.00019845896)))));
}`,
  /** e^r − 1 and n for x + y, y being a small remainder of x. The first piece of ln 2 has 15 digits. */
  h_reduced: `(x: f32, y: f32) -> vec2f {
let n = round((x + y) * 1.442695);
return vec2f(h_expm1(fma(n, -1.4286068e-6, fma(n, -0.69314575, x)) + y), n);
}`,
  /** (1 + e.x)·2^e.y; 0 where that is below the smallest normal number. */
  h_scaled: `(e: vec2f) -> f32 {
let bits = bitcast<i32>(1.0 + e.x) + (i32(e.y) << 23u);
let r = select(bitcast<f32>(bits), s_inf(), bits >= 0x7f800000);
return select(select(select(r, 0.0, bits < 0x800000 || e.y < -126.0), s_inf(), e.y > 128.0), e.y, s_isNaN(e.y));
}`,
  s_exp: "(x: f32) -> f32 { return h_scaled(h_reduced(x, 0.0)); }",
  // For n = 0 exact; above 2^25 and below 2^-25 one of the two terms is lost.
  s_expm1: `(x: f32) -> f32 {
let e = h_reduced(x, 0.0);
let power = bitcast<f32>((i32(e.y) + 127) << 23u);
return select(select(select(fma(e.x, power, power - 1.0), h_scaled(e), x > 18.0), -1.0, x < -18.0), x, s_isNaN(x));
}`,
  s_sigmoid: `(x: f32) -> f32 {
let t = s_exp(-abs(x));
return select(t, 1.0, x >= 0.0) / (1.0 + t);
}`,
  s_tanh: `(x: f32) -> f32 {
let t = s_expm1(-2.0 * abs(x));
return h_signed(-t / (t + 2.0), x);
}`,

  // Logarithms: u = 2^k·m with m in [√½, √2), log m by s = f/(2 + f), f = m − 1.

  /** log u + k0·ln 2; `near` takes the place of f where k = 0. */
  h_log: `(u: f32, near: f32, k0: f32) -> f32 {
let bits = bitcast<u32>(u);
let b = bitcast<i32>(bits) - 0x3f3504f3;
let k = f32(b >> 23u) + k0;
let f = select(bitcast<f32>((b & 0x7fffff) + 0x3f3504f3) - 1.0, near, b >> 23u == 0);
let s = f / (2.0 + f);
let z = s * s;
let l = fma(k, 0.69314575, f - (s * (f - z * (0.66666776 + z * (0.39977494 + z * 0.29873082))) - k * 1.4286068e-6));
let pole = select(select(s_nan(), u, bits < 0x80000000u), -s_inf(), h_isZero(u));
return select(l, pole, bits - 1u >= 0x7f7fffffu);
}`,
  // A subnormal number is read as an integer, which no device flushes.
  s_log: `(x: f32) -> f32 {
let bits = bitcast<u32>(x);
let low = bits < 0x800000u;
let u = select(x, f32(bits), low);
return h_log(u, u - 1.0, select(0.0, -149.0, low));
}`,
  s_log1p: "(x: f32) -> f32 { return h_log(1.0 + x, x, 0.0); }",
  s_softplus: "(x: f32) -> f32 { return select(0.0, x, x > 0.0) + s_log1p(s_exp(-abs(x))); }",
  s_xlogx: "(x: f32) -> f32 { return select(x * s_log(x), 0.0, h_isZero(x)); }",

  // Circular functions: |x| = n·π/2 + r.

  /**
   * sin(|x| + turns·π/2) with the sign of s. Up to 256 π/2 is taken off in three pieces (Cody and Waite). Beyond, the digits of
   * 2/π that matter are multiplied by those of x (Payne and Hanek), to 64 bits of which the first two count quadrants.
   */
  h_sine: `(x: f32, turns: u32, s: f32) -> f32 {
let bits = bitcast<u32>(x) & 0x7fffffffu;
let a = bitcast<f32>(bits);
let n = round(a * 0.63661977);
var q = u32(n);
var r = fma(n, -6.0771e-11, fma(n, -2.6063062250614166e-5, fma(n, -1.570770263671875, a)));
if (bits > 0x43800000u) {
var digits = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
let m = (bits & 0x7fffffu) | 0x800000u;
let first = (bits >> 23u) - 120u;
let i = first >> 5u;
let by = first & 31u;
let w = (vec3u(digits[i], digits[i + 1], digits[i + 2]) << vec3u(by)) | ((vec3u(digits[i + 1], digits[i + 2], digits[i + 3]) >> vec3u(1u)) >> vec3u(31u - by));
let low = m * w.y;
let mid = low + h_high(m, w.z);
let top = m * w.x + h_high(m, w.y) + select(0u, 1u, mid < low);
q = (top + 0x20000000u) >> 30u;
r = f32(bitcast<i32>((top << 2u) | (mid >> 30u))) * 3.6572952e-10 + f32(mid << 2u) * 8.515304e-20;
}
q += turns;
let z = r * r;
let v = select(
r + r * z * (-0.16666655 + z * (0.008332156 + z * -0.00019514603)),
1.0 - 0.5 * z + z * z * (0.041666646 + z * (-0.001388731 + z * 2.4432384e-5)),
(q & 1u) == 1u);
return select(bitcast<f32>(bitcast<u32>(v) ^ ((q & 2u) << 30u) ^ (bitcast<u32>(s) & 0x80000000u)), s_nan(), bits >= 0x7f800000u);
}`,
  /** The upper 32 bits of a product. */
  h_high: `(a: u32, b: u32) -> u32 {
let c = a & 0xffffu;
let d = b & 0xffffu;
let t = c * (b >> 16u) + ((c * d) >> 16u);
return (a >> 16u) * (b >> 16u) + (t >> 16u) + (((a >> 16u) * d + (t & 0xffffu)) >> 16u);
}`,
  s_sin: "(x: f32) -> f32 { return h_sine(x, 0u, x); }",
  s_cos: "(x: f32) -> f32 { return h_sine(x, 1u, 1.0); }",

  // The normal distribution.

  /**
   * e^(t²)·erfc t for t ≥ 0: (1 + 2t) times it is a polynomial of y = (t − K)/(t + K). Shepherd and Laframboise,
   * "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞", 1981.
   */
  h_erfc: `(t: f32) -> f32 {
let h = min(t, 1e18);
let y = (h - 2.5) / (h + 2.5);
return (1.2648382 + y * (-0.1223568 + y * (-0.099024534 + y * (0.15763101 + y * (-0.10296712 + y * (0.03275194 + y * (0.0009322377 + y * (-0.0043502203 + y * (0.00049123756 + y * (0.0005754522 + y * (-8.86417e-5 + y * (-6.1801795e-5 + y * 8.220415e-6)))))))))))) / (h + h + 1.0);
}`,
  s_erf: `(x: f32) -> f32 {
let z = x * x;
let a = abs(x);
let far = h_signed(1.0 - h_erfc(a) * s_exp(-z), x);
let near = x * (1.1283791 + z * (-0.3761262 + z * (0.11283377 + z * (-0.026834624 + z * (0.005114346 + z * -0.00067495136)))));
return select(select(far, near, a < 0.75), x, s_isNaN(x));
}`,
  // With h = ½e^(x²/2)·erfc(|x|/√2) it is log h − x²/2 below 0, exact however far, and log1p(−h·e^(−x²/2)) above, where the
  // square is split: what rounding takes from it would be magnified by x²/2.
  s_logNormalCdf: `(x: f32) -> f32 {
let h = 0.5 * h_erfc(abs(x) * 0.70710678);
let v = min(x, 15.0);
let c = h_short(v);
let above = h * h_scaled(h_reduced(-0.5 * c * c, -0.5 * (v - c) * (v + c)));
let below = x < 0.0;
let l = h_log(select(1.0 - above, h, below), select(-above, h - 1.0, below), 0.0);
return select(select(l, l - 0.5 * x * x, below), x, s_isNaN(x));
}`,

  // Powers.

  /**
   * a^y for a ≥ 0, as 2^(y·log₂ a). An error of the exponent is one of all digits: log₂ a is carried as `high`, of 11 digits,
   * and `low`, and so are y and the s = f/(m + 1) from which both come.
   */
  h_pow: `(a: f32, y: f32) -> f32 {
let bits = bitcast<u32>(a);
let tiny = bits < 0x800000u;
let b = bitcast<i32>(select(a, f32(bits), tiny)) - 0x3f3504f3;
let k = f32(b >> 23u) + select(0.0, -149.0, tiny);
let m = bitcast<f32>((b & 0x7fffff) + 0x3f3504f3);
let f = m - 1.0;
let d = h_short(m);
let s = h_short(f / (m + 1.0));
let t = fma(d - m, s, fma(-s, d + 1.0, f)) / (m + 1.0);
let q = s + t;
let z = q * q;
let rest = s * 0.0006244568 + t * 2.88539 + q * z * (0.9617967 + z * (0.5770829 + z * (0.41170517 + z * 0.34024158)));
let high = h_short(fma(s, 2.884765625, k) + rest);
let low = fma(s, 2.884765625, k - high) + rest;
let e = clamp(y, -4294967296.0, 4294967296.0);
let c = h_short(e);
let v = fma(e - c, high, e * low);
let n = round(fma(c, high, v));
let w = h_scaled(vec2f(h_expm1((fma(c, high, -n) + v) * 0.6931472), n));
let limit = select(0.0, s_inf(), (bits > 0x3f800000u) == (bitcast<i32>(y) > 0));
let r = select(w, limit, bits - 1u >= 0x7f7fffffu);
let open = bits == 0x3f800000u && (bitcast<u32>(y) & 0x7fffffffu) == 0x7f800000u;
return select(select(r, s_nan(), open || s_isNaN(a) || s_isNaN(y)), 1.0, h_isZero(y));
}`,
  // Odd y are whole and have a half that is not: they keep the sign of x. Below 0 only whole y have a value.
  s_pow: `(x: f32, y: f32) -> f32 {
let bits = bitcast<u32>(x);
let whole = y == floor(y);
let odd = whole && y * 0.5 != floor(y * 0.5);
let r = h_pow(bitcast<f32>(bits & 0x7fffffffu), y);
return select(select(r, h_signed(r, x), odd), s_nan(), bits - 0x80000001u < 0x7f7fffffu && !whole);
}`,
  s_posPow: "(x: f32, y: f32) -> f32 { return select(h_pow(s_relu(x), y), 0.0, h_isZero(s_relu(x))); }",
};

/**
 * Coefficients of a polynomial that is f on [−a, a] to the last digit of f32, from the lowest order: f's Chebyshev series,
 * as far as its terms are not lost in the smallest value.
 */
function fitted(f: (x: number) => number, a: number): number[] {
  const angles = Array.from({ length: 48 }, (_, i) => (Math.PI * (i + 0.5)) / 48);
  const values = angles.map((t) => f(a * Math.cos(t)));
  const least = 2 ** -27 * Math.min(...values);
  const terms = angles.map((_, j) => values.reduce((c, v, i) => c + (v * Math.cos(j * angles[i]!)) / 24, 0));
  terms[0]! /= 2;
  while (Math.abs(terms[terms.length - 1]!) < least) terms.pop();
  const sum = terms.map(() => 0);
  // T_(j+1) = 2x·T_j − T_(j−1), from T_(−1) = x and T_0 = 1.
  let [before, current] = [[0, 1], [1]];
  for (const c of terms) {
    current.forEach((v, i) => {
      sum[i]! += c * v;
    });
    [before, current] = [current, [0, ...current].map((v, i) => 2 * v - (before[i] ?? 0))];
  }
  return sum.map((v, i) => v / a ** i);
}

/** A polynomial as text. */
const polynomial = (variable: string, coefficients: readonly number[]): string =>
  coefficients
    .map((c) => Math.fround(c).toPrecision(9))
    .reduceRight((sum, c) => `(${c} + ${variable} * ${sum})`);

/** A line for each order up to k. */
const steps = (k: number, line: (i: number) => string): string =>
  Array.from({ length: k }, (_, i) => `${line(i + 1)}\n`).join("");

// Both ratios go up from order 0 by parts, which cancels near 0; there they are polynomials, of what makes them smooth.
const ratios: { readonly [word: string]: (k: number) => string } = {
  /** (1 + v)^−k·F_k with F_k = ((1 + v)·F_(k−1) − 1/k)/v; F_k as a function of log(1 + v) has no pole nearer than 2πi. */
  log1pRatio(k) {
    const a = Math.min(1 + k / 2, 3);
    const near = fitted((l) => log1pRatio(Math.expm1(l), k) * Math.exp(k * l), a);
    return `(v: f32) -> f32 {
let l = s_log1p(v);
let w = 1.0 + v;
var r = l / v;
${steps(k, (j) => `r = (r * w - ${1 / j}) / v;`)}r = select(r, ${polynomial("l", near)}, abs(l) < ${a});
return select(r${k === 0 ? "" : ` / (${Array(k).fill("w").join(" * ")})`}, 0.0, bitcast<u32>(v) == 0x7f800000u);
}`;
  },
  /** J_k = (e^v − k·J_(k−1))/v; for v > 0 all is divided by e^v, and e^v given back as two factors that do not overflow alone. */
  expm1Ratio(k) {
    const a = 1 + 0.75 * k;
    const near = fitted((v) => expm1Ratio(v, k) * Math.exp(-v), a);
    return `(v: f32) -> f32 {
let h = s_exp(0.5 * v);
let e = h * h;
let up = v > 0.0;
let c = select(e, 1.0, up);
var r = (1.0 - select(e, 1.0 / e, up)) / abs(v);
${steps(k, (j) => `r = (c - ${j}.0 * r) / v;`)}r = select(r, c * ${polynomial("v", near)}, abs(v) < ${a});
return select(select(r, r * h * h, up), s_inf(), v > 100.0);
}`;
  },
};

/**
 * WGSL text of the functions of these words and of all that they need, each once and behind what it calls.
 *
 * @param names Words of the row language; a ratio of order k as `log1pRatio:k`. The word `w` is the function `s_w`, or `s_w_k`.
 * Every shader that contains the text declares the uniform `p`.
 */
export function library(names: Iterable<string>): string {
  const texts = new Map<string, string>();
  const visit = (name: string): void => {
    if (texts.has(name)) return;
    const [, word, order] = name.split("_");
    const text = order === undefined ? functions[name] : ratios[word!]?.(Number(order));
    if (text === undefined) throw new Error(`the word ${word} has no WGSL function`);
    for (const [called] of text.matchAll(/\b[sh]_\w+/g)) visit(called);
    texts.set(name, `fn ${name}${text}\n`);
  };
  for (const name of names) visit(`s_${name.replace(":", "_")}`);
  return [...texts.values()].join("");
}
