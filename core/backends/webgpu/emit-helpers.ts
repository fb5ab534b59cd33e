// WGSL functions that row shaders call beside those of `math.ts`. Only text.

import { dtypes } from "../../dtype.ts";

const { eps } = dtypes.f32;

/** Each function with the types that belong to it. */
export const helpers: { readonly [name: string]: string } = {
  // A float as an integer in the order of floats, NaN above all; and back.
  s_order: `
fn s_order(x: f32) -> u32 {
  let bits = select(bitcast<u32>(x), 0u, bitcast<u32>(x) == 0x80000000u);
  return select(select(bits | 0x80000000u, ~bits, bits >= 0x80000000u), 0xffffffffu, s_isNaN(x));
}
`,
  s_unorder: `
fn s_unorder(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key ^ 0x80000000u, key >= 0x80000000u));
}
`,
  // The larger one; of equals the first. An order of 0 is that of no entry.
  s_first: `
struct First { order: u32, at: u32 }
fn s_first(a: First, b: First) -> First {
  if (b.order > a.order || (b.order == a.order && b.at < a.at)) { return b; }
  return a;
}
`,
  // A sum, and what rounding has taken from it (Knuth's two-sum). The bits pass by a zero that no compiler knows of: one that
  // reckons as if sums were exact would find that nothing is lost.
  s_carry: `
fn s_carry(sum: vec2f, x: f32) -> vec2f {
  let total = bitcast<f32>(bitcast<u32>(sum.x + x) | (p[0].x >> 31u));
  let added = total - sum.x;
  return vec2(total, sum.y + ((sum.x - (total - added)) + (x - added)));
}
`,
  s_carried: `
fn s_carried(sum: vec2f) -> f32 {
  return select(sum.x + sum.y, sum.x, (bitcast<u32>(sum.y) & 0x7f800000u) == 0x7f800000u);
}
`,
  // One turn of the search for a root: Newton's step within a bracket. It keeps the τ of smallest |F|, and ends at |F| ≤ 2 eps,
  // at an unchanged τ, or after two evaluations without progress near zero; where there is none far from zero, the step was wrong.
  s_search: `
struct Search { tau: f32, low: f32, high: f32, best: f32, smallest: f32, stalled: i32, done: bool }
fn s_search(before: Search, value: f32, step: f32) -> Search {
  var s = before;
  let far = s.smallest > ${Math.sqrt(eps)};
  let better = abs(value) < s.smallest;
  if (better) {
    s.smallest = abs(value);
    s.best = s.tau;
    s.stalled = 0;
    s.done = s.smallest <= ${2 * eps};
  } else if (!far) {
    s.stalled++;
    s.done = s.stalled == 2;
  }
  if (value > 0.0) { s.low = s.tau; } else { s.high = s.tau; }
  var next = s.tau - step;
  if ((far && !better) || s_isNaN(next) || next < s.low || next > s.high) { next = s.low + 0.5 * (s.high - s.low); }
  s.done = s.done || next == s.tau;
  s.tau = next;
  if (s_isNaN(value)) {
    s.best = value;
    s.done = true;
  }
  return s;
}
`,
  // What every invocation has found alike, in a form that a compiler believes.
  s_alike: `
var<workgroup> s_agreed: f32;
fn s_alike(me: u32, x: f32) -> f32 {
  if (me == 0u) { s_agreed = x; }
  return workgroupUniformLoad(&s_agreed);
}
`,
};
