// The plain reading of row programs: one typed loop per word over Float64Arrays, no code generation, no fusion.
// It is the oracle for every other reading, and what runs where WebAssembly is forbidden. It is not meant to be fast.

import { dtypes, type TypedArray } from "../../dtype.ts";
import { nodesOf } from "../../row/differentiate.ts";
import { type Expr, freeUnknowns, type RootParts, type SeriesParts } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";
import { roundHalfEven } from "../../special.ts";

/** A row operand on this backend: its array, and where each row begins. */
export interface JsOperand {
  readonly array: TypedArray;
  readonly offset: number;
  readonly rowStride: number;
}

/** Numbers and truth values (0 or 1) alike: a scalar's value, or a row's entries. */
type Cell = number | Float64Array;

const unary: { readonly [word: string]: (v: number) => number } = {
  neg: (v) => -v,
  sqrt: Math.sqrt,
  abs: Math.abs,
  sign: Math.sign,
  floor: Math.floor,
  round: roundHalfEven,
  relu: (v) => Math.max(v, 0),
  not: (v) => 1 - v,
  stop: (v) => v,
};

const binary: { readonly [word: string]: (a: number, b: number) => number } = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  mulZero: (a, b) => (a === 0 ? 0 : a * b),
  div: (a, b) => a / b,
  maximum: (a, b) => Math.max(a, b),
  minimum: (a, b) => Math.min(a, b),
  greater: (a, b) => (a > b ? 1 : 0),
  greaterEqual: (a, b) => (a >= b ? 1 : 0),
  equal: (a, b) => (a === b ? 1 : 0),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
};

const ternary: { readonly [word: string]: (a: number, b: number, c: number) => number } = {
  select: (a, b, c) => (a ? b : c),
  clamp: (a, b, c) => Math.min(Math.max(a, b), c),
};

const at = (cell: Cell, i: number): number => (typeof cell === "number" ? cell : cell[i]!);

function reduce(word: string, row: Cell, n: number): number {
  switch (word) {
    case "sum":
    case "count": {
      // Neumaier's compensation: the oracle's sums are exact to the last bit or two, infinities excepted.
      let total = 0;
      let lost = 0;
      for (let i = 0; i < n; i++) {
        const v = at(row, i);
        const next = total + v;
        lost += Math.abs(total) >= Math.abs(v) ? total - next + v : v - next + total;
        total = next;
      }
      return Number.isFinite(lost) ? total + lost : total;
    }
    case "argmax": {
      let best = 0;
      for (let i = 0; i < n; i++) {
        const v = at(row, i);
        if (Number.isNaN(v)) return i;
        if (v > at(row, best)) best = i;
      }
      return best;
    }
    default: {
      let extreme = word === "max" ? -Infinity : Infinity;
      for (let i = 0; i < n; i++)
        extreme = word === "max" ? Math.max(extreme, at(row, i)) : Math.min(extreme, at(row, i));
      return extreme;
    }
  }
}

/** A node, where its value stands among the cells, and where its arguments' values do. */
interface Step {
  readonly e: Expr;
  readonly to: number;
  readonly from: readonly number[];
  /** What an elementwise word does to numbers. */
  readonly f: ((a: number, b: number, c: number) => number) | undefined;
}

function elementwise({ e, from }: Step, f: NonNullable<Step["f"]>, cells: readonly Cell[], n: number): Cell {
  const a = cells[from[0]!]!;
  // The second argument of a word of one is its order, where it has one.
  const b = from.length > 1 ? cells[from[1]!]! : ((e.detail ?? 0) as number);
  const c = from.length > 2 ? cells[from[2]!]! : 0;
  if (e.kind === "scalar") return f(a as number, b as number, c as number);
  const out = new Float64Array(n);
  if (from.length > 2) for (let i = 0; i < n; i++) out[i] = f(at(a, i), at(b, i), at(c, i));
  else if (typeof a === "number") for (let i = 0; i < n; i++) out[i] = f(a, (b as Float64Array)[i]!, 0);
  else if (typeof b === "number") for (let i = 0; i < n; i++) out[i] = f(a[i]!, b, 0);
  else for (let i = 0; i < n; i++) out[i] = f(a[i]!, b[i]!, 0);
  return out;
}

/** Everything that stays the same from row to row and call to call. */
class Reading {
  private readonly places = new Map<Expr, number>();
  /** Nodes outside every root's and series' formula, arguments first. */
  private readonly steps: readonly Step[];
  /** For each root and series, the nodes that must be evaluated anew for every τ or term. */
  private readonly inner = new Map<Expr, readonly Step[]>();
  /** For each root, the nodes of its rescaling. */
  private readonly rescaling = new Map<Expr, readonly Step[]>();
  private readonly kernel: Kernel;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    const all = nodesOf(kernel.program.results);
    const steps = (nodes: readonly Expr[]): Step[] =>
      nodes.map((e) => ({
        e,
        to: this.place(e),
        from: e.args.map((a) => this.place(a)),
        f: (e.meaning?.js ?? unary[e.word] ?? binary[e.word] ?? ternary[e.word]) as Step["f"],
      }));
    // What reads an unknown is evaluated by the root or series that it belongs to, once for every value of it.
    const free = freeUnknowns(all);
    this.steps = steps(all.filter((e) => free.get(e)!.size === 0 && e.word !== "input"));
    for (const e of all) {
      if (e.word !== "root" && e.word !== "series") continue;
      const { variable, value, slope = value, straight } = e.detail as SeriesParts & Partial<RootParts>;
      const known = new Set([variable, ...free.get(e)!]);
      const own = (x: Expr): boolean =>
        x !== variable && free.get(x)!.has(variable) && [...free.get(x)!].every((v) => known.has(v));
      this.inner.set(e, steps(nodesOf([value, slope]).filter(own)));
      if (!straight) continue;
      const beyond = nodesOf([straight.value, straight.slope]).filter((x) => !free.has(x));
      this.rescaling.set(e, steps(beyond.filter((x) => x !== straight.variable)));
    }
  }

  /** Where the value of a node stands. */
  private place(e: Expr): number {
    let at = this.places.get(e);
    if (at === undefined) {
      at = this.places.size;
      this.places.set(e, at);
    }
    return at;
  }

  row(inputs: readonly (JsOperand | number)[], outputs: readonly TypedArray[], r: number, n: number): void {
    const { program } = this.kernel;
    const cells = new Array<Cell>(this.places.size);
    program.inputs.forEach((e, i) => {
      const operand = inputs[i]!;
      const to = this.place(e);
      if (typeof operand === "number") {
        cells[to] = operand;
        return;
      }
      const start = operand.offset + r * operand.rowStride;
      cells[to] =
        e.kind === "scalar"
          ? operand.array[start]!
          : Float64Array.from(operand.array.subarray(start, start + n));
    });
    this.run(this.steps, cells, n);
    program.results.forEach((e, k) => {
      const cell = cells[this.place(e)]!;
      const out = outputs[k]!;
      if (program.kinds[k] === "scalar") out[r] = cell as number;
      else for (let i = 0; i < n; i++) out[r * n + i] = at(cell, i);
    });
  }

  private run(steps: readonly Step[], cells: Cell[], n: number): void {
    for (const step of steps)
      cells[step.to] = step.f ? elementwise(step, step.f, cells, n) : this.evaluate(step, cells, n);
  }

  private evaluate({ e, from }: Step, cells: Cell[], n: number): Cell {
    const a = from.length > 0 ? cells[from[0]!] : undefined;
    const b = from.length > 1 ? cells[from[1]!] : undefined;
    switch (e.word) {
      case "const":
        return e.detail as number;
      case "n":
        return n;
      case "index":
        return Float64Array.from({ length: n }, (_, i) => i);
      case "sum":
      case "count":
      case "max":
      case "min":
      case "argmax":
        return reduce(e.word, a!, n);
      case "pick":
        return at(a!, Math.max(0, Math.min(n - 1, b as number)));
      case "cumsum": {
        let running = 0;
        return Float64Array.from({ length: n }, (_, i) => (running += at(a!, i)));
      }
      case "root":
        return this.solve(e, a as number, b as number, cells, n);
      case "series":
        return this.total(e, a as number, cells, n);
    }
    if (e.meaning?.walk) return e.meaning.walk(a as Float64Array, b as never);
    throw new Error(`row program ${this.kernel.program.name}: the word ${e.word} has no plain reading`);
  }

  /** The sum of a series. */
  private total(e: Expr, count: number, cells: Cell[], n: number): Cell {
    const { variable, value } = e.detail as SeriesParts;
    const own = this.inner.get(e)!;
    const [to, from] = [this.place(variable), this.place(value)];
    const total = new Float64Array(e.kind === "scalar" ? 1 : n);
    for (let k = 0; k < count; k++) {
      cells[to] = k;
      this.run(own, cells, n);
      const term = cells[from]!;
      for (let i = 0; i < total.length; i++) total[i]! += at(term, i);
    }
    return e.kind === "scalar" ? total[0]! : total;
  }

  /** Newton from the left with a bracket; what it does is said at `root` in the row language. */
  private solve(e: Expr, lo: number, hi: number, cells: Cell[], n: number): number {
    const { variable, value, slope, straight } = e.detail as RootParts;
    const own = this.inner.get(e)!;
    const number = (x: Expr): number => cells[this.place(x)] as number;
    let tau = lo;
    let best = lo;
    let smallest = Infinity;
    let stalled = 0;
    for (let pass = 0; pass < 100; pass++) {
      cells[this.place(variable)] = tau;
      this.run(own, cells, n);
      const f = number(value);
      if (Number.isNaN(f)) return Number.NaN;
      let wrong = false;
      if (Math.abs(f) < smallest) {
        smallest = Math.abs(f);
        best = tau;
        stalled = 0;
      } else {
        // No progress: near zero that is rounding, and twice in a row is enough; elsewhere the step was wrong.
        wrong = smallest > Math.sqrt(dtypes.f64.eps);
        if (!wrong && ++stalled === 2) break;
      }
      if (smallest <= 2 * dtypes.f64.eps) break;
      if (f > 0) lo = tau;
      else hi = tau;
      let step = -f / number(slope);
      if (straight) {
        cells[this.place(straight.variable)] = f;
        this.run(this.rescaling.get(e)!, cells, n);
        step = -number(straight.value) / (number(straight.slope) * number(slope));
      }
      let next = tau + step;
      if (wrong || !(next >= lo && next <= hi)) next = lo + (hi - lo) / 2;
      if (next === tau) break;
      tau = next;
    }
    return best;
  }
}

/** Runs a kernel over rows of n entries. */
export function runRows(
  kernel: Kernel,
  inputs: readonly (JsOperand | number)[],
  outputs: readonly TypedArray[],
  rows: number,
  n: number,
): void {
  kernel.compiled.js ??= new Reading(kernel);
  const reading = kernel.compiled.js as Reading;
  for (let r = 0; r < rows; r++) reading.row(inputs, outputs, r, n);
}
