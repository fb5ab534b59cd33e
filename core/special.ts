// Functions of one number that Math does not have, good to a few ulp in f64: the oracle, and what kernels take coefficients from.

/** erf(x): the all-positive series e^−x²·Σ 2ᵏx²ᵏ⁺¹/(2k+1)!! near zero, the tail's continued fraction further out. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (!(a < 6)) return !Number.isNaN(a) ? Math.sign(x) : x;
  if (a > 2.5)
    return Math.sign(x) * (1 - tailRatio(a * Math.SQRT2) * Math.exp(-a * a) * Math.sqrt(2 / Math.PI));
  let term = a;
  let total = a;
  for (let k = 1; term > total * 1e-18; k++) {
    term *= (2 * a * a) / (2 * k + 1);
    total += term;
  }
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * total;
}

/** Mills' ratio Φ(−x)/φ(x) for x ≥ 1, by its continued fraction 1/(x + 1/(x + 2/(x + 3/…))), from the far end. */
function tailRatio(x: number): number {
  let tail = x;
  // Terms enough for all digits: the further out, the fewer.
  for (let k = Math.ceil(8 + 400 / (x * x)); k >= 1; k--) tail = x + k / tail;
  return 1 / tail;
}

/** log Φ(x), with full relative accuracy in both tails. */
export function logNormalCdf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x < -1)
    return x === -Infinity ? x : -0.5 * x * x - 0.5 * Math.log(2 * Math.PI) + Math.log(tailRatio(-x));
  if (x > 3)
    return x === Infinity ? 0 : Math.log1p((-Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * tailRatio(x));
  return Math.log(0.5 * (1 + erf(x / Math.SQRT2)));
}

/** ∫₀¹ sᵏ/(1 + vs)ᵏ⁺¹ ds: Σ C(k+j, j)(−v)ʲ/(k+j+1) near zero, else up from log1p(v)/v by parts. */
export function log1pRatio(v: number, k: number): number {
  if (k === 0) return v === 0 ? 1 : v === Infinity ? 0 : Math.log1p(v) / v;
  if (Math.abs(v) < 0.3) {
    let power = 1;
    let total = 1 / (k + 1);
    for (let j = 1; j < 80; j++) {
      power *= (-v * (k + j)) / j;
      total += power / (k + j + 1);
    }
    return total;
  }
  let r = log1pRatio(v, 0);
  let power = 1;
  for (let i = 1; i <= k; i++) {
    power /= 1 + v;
    r = (r - power / i) / v;
  }
  return r;
}

/** ∫₀¹ sᵏ e^(vs) ds: Σ vʲ/(j!(k+j+1)) near zero, else up from expm1(v)/v by parts. */
export function expm1Ratio(v: number, k: number): number {
  if (k === 0) return v === 0 ? 1 : v === Infinity ? v : Math.expm1(v) / v;
  if (Math.abs(v) < 1 + k) {
    let power = 1;
    let total = 1 / (k + 1);
    for (let j = 1; j < 60 + 8 * k; j++) {
      power *= v / j;
      total += power / (k + j + 1);
    }
    return total;
  }
  let r = expm1Ratio(v, 0);
  const e = Math.exp(v);
  for (let i = 1; i <= k; i++) r = (e - i * r) / v;
  return r;
}

/** Nearest integer, halves to the even one. */
export function roundHalfEven(v: number): number {
  const r = Math.round(v);
  return r - v === 0.5 && r % 2 !== 0 ? r - 1 : r;
}
