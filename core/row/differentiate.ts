// Derivatives of formulas, as formulas: reverse mode for gradients, forward mode for the slope of a root.
// One table holds the local derivatives of the words that are instructions; the others bring theirs. Both modes read it. Nothing is computed here.

import { ArgumentError } from "../errors.ts";
import {
  add,
  and,
  argmax,
  boundVariable,
  constant,
  constantOf,
  dependsOn,
  div,
  Expr,
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  type Mask,
  type Meaning,
  mul,
  mulZero,
  neg,
  not,
  type Operand,
  oneHot,
  pick,
  type RootParts,
  type RowMask,
  reads,
  rebuild,
  rootNode,
  type Scalar,
  type SeriesParts,
  select,
  seriesNode,
  sign,
  sub,
  substitute,
  sum,
  type Value,
} from "./expr.ts";

const zero = /* @__PURE__ */ constant(0);
const isZero = (e: Expr): boolean => constantOf(e) === 0;

/**
 * v · ∂e/∂(argument i) for an elementwise word: v is the cotangent of e in reverse mode, the tangent of the argument in
 * forward mode. `times` multiplies by a factor that may be infinite.
 */
function chain(e: Expr, i: number, v: Value, times: (v: Value, factor: Value) => Value): Value {
  const [x, y, z] = e.args as [Value, Value, Value];
  const self = e as Value;
  switch (e.word) {
    case "neg":
      return neg(v);
    case "sqrt":
      return times(v, div(0.5, self));
    case "abs":
      return times(v, sign(x));
    case "relu":
      return select(greater(x, 0), v, 0);
    case "add":
      return v;
    case "sub":
      return i === 0 ? v : neg(v);
    case "mul":
    case "mulZero":
      return times(v, i === 0 ? y : x);
    case "div":
      return i === 0 ? div(v, y) : neg(div(times(v, self), y));
    case "maximum":
      return select(i === 0 ? greaterEqual(x, y) : not(greaterEqual(x, y)), v, 0);
    case "minimum":
      return select(i === 0 ? lessEqual(x, y) : not(lessEqual(x, y)), v, 0);
    case "clamp":
      if (i === 0) return select(and(greaterEqual(x, y), lessEqual(x, z)), v, 0);
      return select(i === 1 ? less(x, y) : greater(x, z), v, 0);
    case "select": {
      const mask = e.args[0] as Mask;
      if (i === 0) return zero;
      // The cotangent itself is selected, never multiplied: what lies on the other side cannot leak in.
      return select(i === 1 ? mask : not(mask), v, 0);
    }
    case "differentiateAs":
      return i === 0 ? zero : v;
    default:
      // Stop, sign, floor, round and comparisons are piecewise constant.
      return e.meaning?.chain ? e.meaning.chain(e, i, v, times) : zero;
  }
}

/** Every node that the given ones read, arguments first. */
export function nodesOf(roots: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const stack = [...roots];
  for (let e = stack.pop(); e; e = stack.pop()) {
    if (seen.has(e)) continue;
    seen.add(e);
    stack.push(...reads(e));
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** Collects cotangents. */
class Cotangents {
  private readonly found = new Map<Expr, Value>();

  add(e: Expr, v: Value): void {
    if (isZero(v)) return;
    const before = this.found.get(e);
    this.found.set(e, before ? add(before, v) : v);
  }

  of(e: Expr): Value | undefined {
    return this.found.get(e);
  }
}

/** A row as (rest · scalar) or (rest ÷ scalar), if it is one. */
function scalarFactor(r: Value): { rest: Value; scalar: Value; divides: boolean } | undefined {
  const [a, b] = r.args as [Value, Value];
  switch (r.word) {
    case "mul":
    case "mulZero": {
      if (a.kind === "scalar") return { rest: b, scalar: a, divides: false };
      if (b.kind === "scalar") return { rest: a, scalar: b, divides: false };
      const inner = a.word === r.word ? scalarFactor(a) : undefined;
      return inner && { ...inner, rest: r.word === "mul" ? mul(inner.rest, b) : mulZero(inner.rest, b) };
    }
    case "div":
      return b.kind === "scalar" ? { rest: a, scalar: b, divides: true } : undefined;
    case "select": {
      const inner = constantOf(r.args[2]!) === 0 ? scalarFactor(b) : undefined;
      return inner && { ...inner, rest: select(r.args[0] as Mask, inner.rest, 0) };
    }
    default:
      return undefined;
  }
}

/**
 * The sum of a row of cotangents or tangents, with their scalar factors taken out: those depend on reductions themselves, and
 * a reduction inside a reduction would cost a pass.
 */
function total(r: Value): Value {
  if (r.word === "neg") return neg(total(r.args[0] as Value));
  const factor = scalarFactor(r);
  if (!factor) return sum(r);
  const rest = total(factor.rest);
  return factor.divides ? div(rest, factor.scalar) : mulZero(factor.scalar, rest);
}

/** Hands the cotangent v of e to what e reads directly. */
function handBack(e: Expr, v: Value, give: (to: Expr, v: Value) => void): void {
  const x = e.args[0] as Value;
  switch (e.word) {
    case "sum":
      give(x, v);
      break;
    case "max":
      give(x, oneHot(argmax(x), v));
      break;
    case "min":
      give(x, oneHot(argmax(neg(x)), v));
      break;
    case "pick":
      give(x, oneHot(e.args[1] as Scalar, v));
      break;
    case "cumsum":
      // The transpose of a running sum runs from the end.
      give(x, add(sub(sum(v), rebuild(e, [v]) as Value), v));
      break;
    case "count":
    case "argmax":
    case "kth":
      break;
    default:
      e.args.forEach((arg, i) => {
        if (arg.sort !== "number") return;
        const passed = chain(e, i, v, mulZero);
        // A scalar that feeds a row is read by every entry.
        give(arg, e.kind === "row" && arg.kind === "scalar" ? total(passed) : passed);
      });
  }
}

type Cotangent = readonly [to: Expr, v: Value];

/** The cotangents of what a formula of an unknown reads from outside, given its own. */
function throughFormula(variable: Scalar, value: Value, seed: Value): Cotangent[] {
  const inside = new Cotangents();
  inside.add(value, seed);
  const outside: Cotangent[] = [];
  for (const node of nodesOf([value]).reverse()) {
    const cotangent = inside.of(node);
    if (!cotangent || node === variable) continue;
    if (dependsOn(node, variable)) passBack(node, cotangent, (to, w) => inside.add(to, w));
    else outside.push([node, cotangent]);
  }
  return outside;
}

/** A series of terms: each hands back on its own, and the shares add up. */
function handBackSeries(e: Expr, v: Value, give: (to: Expr, v: Value) => void): void {
  const { variable, value } = e.detail as SeriesParts;
  for (const [to, w] of throughFormula(variable, value, v))
    give(to, seriesNode(e.args[0] as Scalar, variable, w, e.meaning, e));
}

/** Implicit function theorem: dτ = −(∂F/∂x · dx)/F_τ, with F's own variable replaced by the root. */
function handBackRoot(e: Expr, v: Value, give: (to: Expr, v: Value) => void): void {
  const { variable, value, slope } = e.detail as RootParts;
  // An empty free set has no slope, and τ does not move.
  const seed = select(equal(slope, 0), 0, neg(div(v, slope)));
  const outside = throughFormula(variable, value, seed);
  const settled = substitute(
    outside.map(([, w]) => w),
    // The root itself stays: its own formula keeps its unknown.
    (x) => (x === variable || x === e ? e : undefined),
  );
  outside.forEach(([to], k) => {
    give(to, settled[k] as Value);
  });
}

function passBack(e: Expr, v: Value, give: (to: Expr, v: Value) => void): void {
  if (e.word === "root") handBackRoot(e, v, give);
  else if (e.word === "series") handBackSeries(e, v, give);
  else handBack(e, v, give);
}

/**
 * The cotangents of the wanted inputs, given those of the results (undefined: zero). A cotangent may come out as a
 * scalar where a row is wanted, and as the constant 0. What is `held` counts as constant.
 */
export function adjoints(
  results: readonly Expr[],
  cotangents: readonly (Value | undefined)[],
  wanted: readonly Expr[],
  held: readonly Expr[] = [],
): Value[] {
  const all = new Cotangents();
  results.forEach((e, k) => {
    const v = cotangents[k];
    // A scalar that is stored along a row is the same at every entry.
    if (v) all.add(e, e.kind === "scalar" && v.kind === "row" ? total(v) : v);
  });
  const nodes = nodesOf(results);
  const active = new Set<Expr>(wanted);
  for (const e of nodes) if (!held.includes(e) && reads(e).some((a) => active.has(a))) active.add(e);
  for (const e of nodes.reverse()) {
    const v = all.of(e);
    if (!v || !active.has(e)) continue;
    const give = (to: Expr, w: Value): void => {
      if (active.has(to)) all.add(to, w);
    };
    passBack(e, v, give);
  }
  return wanted.map((e) => all.of(e) ?? zero);
}

/** ∂e/∂variable by forward mode: one tangent, pushed through once. */
export function tangent(e: Expr, variable: Scalar): Value {
  const memo = new Map<Expr, Value>();
  const of = (x: Expr): Value => {
    if (x === variable) return constant(1);
    if (!dependsOn(x, variable)) return zero;
    let r = memo.get(x);
    if (r) return r;
    const t = x.args.map(of);
    const first = x.args[0] as Value;
    switch (x.word) {
      case "sum":
        r = total(t[0]!);
        break;
      case "max":
        r = pick(t[0]!, argmax(first));
        break;
      case "min":
        r = pick(t[0]!, argmax(neg(first)));
        break;
      case "cumsum":
        r = rebuild(x, t) as Value;
        break;
      case "count":
      case "argmax":
      case "kth":
        r = zero;
        break;
      case "pick":
      case "root":
      case "series":
        throw new ArgumentError(
          "root",
          `a ${x.word} of the unknown stands inside its equation`,
          "state the equation without it",
        );
      default:
        r = zero;
        x.args.forEach((arg, i) => {
          if (arg.sort === "number" && !isZero(t[i]!)) r = add(r!, chain(x, i, t[i]!, mul));
        });
    }
    memo.set(x, r!);
    return r!;
  };
  return of(e);
}

/** What makes a root faster to find; none of it changes the root. */
export interface RootHints {
  /** Which entries add anything at τ; the others must add nothing at any larger τ either. */
  readonly support?: (tau: Scalar) => RowMask;
  /**
   * A monotone rescaling s with s(0) = 0 on which F is closer to a line (for a power sum with exponent ≥ 1 its root of that
   * order); Newton steps on s(F), while tolerance and derivative use F.
   */
  readonly straight?: (f: Scalar) => Scalar;
  /** F_τ, where a shorter expression is known than the derived one. */
  readonly slope?: (tau: Scalar) => Scalar;
}

/** Builds a root from its equation, with the slopes derived; what it is and does is said at `root` of `words.ts`. */
export function rootOf(
  meaning: Meaning,
  equation: (tau: Scalar) => Scalar,
  lo: Scalar | number,
  hi: Scalar | number,
  hints: RootHints,
): Scalar {
  const variable = boundVariable();
  const value = equation(variable);
  if (!(value instanceof Expr) || value.kind !== "scalar") {
    throw new ArgumentError("root", "the equation gives no scalar", "reduce the row, with sum for instance");
  }
  const slope = hints.slope?.(variable) ?? (tangent(value, variable) as Scalar);
  if (isZero(slope))
    throw new ArgumentError(
      "root",
      "the equation does not contain its unknown",
      "use the argument of the function",
    );
  let straight: RootParts["straight"];
  if (hints.straight) {
    const f = boundVariable();
    const s = hints.straight(f);
    straight = { variable: f, value: s, slope: tangent(s, f) as Scalar };
  }
  const asScalar = (e: Operand): Scalar => (typeof e === "number" ? constant(e) : (e as Scalar));
  const support = hints.support?.(variable);
  return rootNode(asScalar(lo), asScalar(hi), { variable, value, slope, support, straight }, meaning);
}
