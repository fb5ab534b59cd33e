// Turns expressions of the row language into vector instructions: what a kernel keeps while it is written, and the words.
// Scalars are vectors whose lanes are all alike, so that one text serves rows and scalars. No loops here.

import type { DType } from "../../dtype.ts";
import { constantOf, type Expr, type InputInfo } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";
import type { Schedule, Step } from "../../row/schedule.ts";
import { type Fn, type Lanes, type Local, lanes } from "./assembler.ts";
import type { Width } from "./math.ts";
import * as op from "./opcodes.ts";

/** What a word that is no single instruction writes: reads its arguments' locals, gives one of its own, which the caller frees. */
export type EmitWord = (
  f: Fn,
  width: Width,
  args: readonly [x: Local, y?: Local],
  known: {
    /** The order of a ratio. */
    readonly order: number;
    /** The first argument is certainly not above 0 (or is NaN). */
    readonly nonPositive: boolean;
    /** The first argument is certainly not above 80 (or is NaN). */
    readonly bounded: boolean;
    /** The first argument certainly lies in [0, 1] (or is NaN). */
    readonly unit: boolean;
  },
) => Local;

/** What a word that takes steps of a schedule writes for one of its own, leaving the steps inside to the caller. */
export type EmitStep = (frame: Frame, step: never, emitSteps: (steps: readonly Step[]) => void) => void;

/** A row in memory: where the current row begins, and how its entries are stored. */
export interface Stream {
  readonly pointer: Local;
  readonly type: DType;
}

/** What is walked over: the whole row, or the entries gathered from it. */
export interface Extent {
  /** Bytes to walk over, as of the kernel's float type. */
  readonly end: Local;
  /** Rows that stand in memory only for this walk. */
  readonly gathered: ReadonlyMap<Expr, Stream>;
}

/** What is known while a kernel is being written. */
export class Frame {
  readonly f: Fn;
  readonly lanes: Lanes;
  readonly plan: Schedule;
  readonly kernel: Kernel;
  /** Entries of a row. */
  readonly n: Local;
  /** Where the current row of each input stands. */
  readonly inputs: Map<Expr, Stream> = new Map();
  readonly outputs: Stream[] = [];
  readonly slots: Stream[] = [];
  /** Scalars computed so far. */
  readonly scalars: Map<Expr, Local> = new Map();
  /** Scalars known as integers: labels and positions, exact at any size. */
  readonly integers: Map<Expr, Local> = new Map();
  /** 1 ÷ scalar, for rows divided by it. */
  reciprocals: Map<Expr, Local> = new Map();
  /** Maxima whose accumulators a root wants to see, and those accumulators. */
  readonly sampled: Set<Expr> = new Set();
  readonly samples: Map<Expr, readonly Local[]> = new Map();
  /** Bytes of a swizzle pattern for each mask of lanes, moving the lanes that hold to the front. */
  patterns: Local | undefined;
  extent: Extent;
  private readonly derived = new Map<Expr, boolean>();

  constructor(f: Fn, kernel: Kernel, plan: Schedule, n: Local, end: Local) {
    this.f = f;
    this.lanes = lanes[kernel.float];
    this.kernel = kernel;
    this.plan = plan;
    this.n = n;
    this.extent = { end, gathered: new Map() };
  }

  constant(value: number): Local {
    return this.f.constant(this.lanes.type, value);
  }

  /** Lane numbers 0, 1, … as integers. */
  get laneNumbers(): Local {
    return this.lanes.type === "f32" ? this.f.constant("i32", 0, 1, 2, 3) : this.f.constant("i64", 0, 1);
  }

  pushScalar(e: Expr): void {
    const c = constantOf(e);
    this.f.get(c !== undefined ? this.constant(c) : this.scalars.get(e)!);
  }

  /** A scalar as an i32, cut towards zero; NaN is 0. */
  pushInteger(e: Expr): void {
    const known = this.integers.get(e);
    if (known !== undefined) {
      this.f.get(known);
      return;
    }
    this.pushScalar(e);
    this.f
      .lane(this.lanes.extract, 0)
      .op(this.lanes.type === "f32" ? op.i32TruncSatF32S : op.i32TruncSatF64S);
  }

  /** A scalar integer held between two others, which are given as locals or constants by `low` and `high`. */
  clampInteger(value: Local, low: () => void, high: () => void): void {
    const { f } = this;
    low();
    f.get(value);
    low();
    f.get(value).op(op.i32GtS, op.select).set(value);
    high();
    f.get(value);
    high();
    f.get(value).op(op.i32LtS, op.select).set(value);
  }

  /** Whether a scalar was folded from the row: then dividing by it is multiplying by its reciprocal, taken once a row. */
  folded(e: Expr): boolean {
    let r = this.derived.get(e);
    if (r === undefined) {
      r =
        e.word === "bound" ||
        e.word === "root" ||
        e.word === "series" ||
        e.word === "kth" ||
        e.word === "sum" ||
        e.word === "max" ||
        e.word === "min" ||
        e.word === "count" ||
        e.args.some((a) => this.folded(a));
      this.derived.set(e, r);
    }
    return r;
  }

  /** How far apart entries of this type stand: their bytes are those of the kernel's floats shifted right by this. */
  shiftOf(type: DType): number {
    return this.lanes.shift - (type === "bool" ? 0 : type === "f64" ? 3 : 2);
  }

  /** Where a row that is kept from an earlier step stands. */
  kept(e: Expr): Stream | undefined {
    const place = this.plan.kept.get(e)?.place;
    if (!place) return undefined;
    return "result" in place ? this.outputs[place.result]! : this.slots[place.slot]!;
  }
}

const costs: { readonly [word: string]: number } = {
  exp: 16,
  expm1: 30,
  log: 28,
  log1p: 30,
  pow: 70,
  posPow: 72,
  sin: 40,
  cos: 40,
  tanh: 40,
  erf: 60,
  logNormalCdf: 160,
  sigmoid: 24,
  softplus: 36,
  xlogx: 30,
  log1pRatio: 80,
  expm1Ratio: 80,
};

/** Rough cost of a node in vector instructions. */
export function costOf(e: Expr): number {
  if ((e.word === "log1p" || e.word === "log1pRatio") && inUnit(e.args[0]!)) return 14;
  if (e.word === "div" && e.args[1]!.kind === "row") return 5;
  return costs[e.word] ?? 1;
}

/** One vector of entries of the rows that a loop computes. */
export class Site {
  readonly frame: Frame;
  /** How often each row is read here; what is read once stays on the stack. */
  private readonly uses: ReadonlyMap<Expr, number>;
  private readonly sources: ReadonlyMap<Expr, Stream>;
  /** Where this turn of the loop reads and writes, by the row's pointer. */
  private readonly bases: ReadonlyMap<Local, Local>;
  /** What is known so far. */
  readonly values: Map<Expr, Local>;
  private readonly owned: Local[] = [];
  /** Which vector of the turn this is. */
  readonly copy: number;
  /** Lanes that lie within the row, where some do not. */
  readonly valid: Local | undefined;
  /** Entries left, where fewer than a vector's. */
  readonly left: Local | undefined;
  /** Position of the turn's first entry, and the row `index` there. */
  readonly position: Local | undefined;

  constructor(
    frame: Frame,
    uses: ReadonlyMap<Expr, number>,
    at: {
      sources?: ReadonlyMap<Expr, Stream>;
      bases?: ReadonlyMap<Local, Local>;
      values?: Iterable<readonly [Expr, Local]>;
      copy?: number;
      valid?: Local;
      left?: Local;
      position?: Local;
    },
  ) {
    this.frame = frame;
    this.uses = uses;
    this.sources = at.sources ?? new Map();
    this.bases = at.bases ?? new Map();
    this.values = new Map(at.values);
    this.copy = at.copy ?? 0;
    this.valid = at.valid;
    this.left = at.left;
    this.position = at.position;
  }

  /** A local for the time of this site. */
  temporary(): Local {
    const l = this.frame.f.local("v128");
    this.owned.push(l);
    return l;
  }

  /** Leaves the value of an expression on the stack. */
  push(e: Expr): void {
    const { frame } = this;
    if (e.kind === "scalar") {
      frame.pushScalar(e);
      return;
    }
    const known = this.values.get(e);
    if (known !== undefined) {
      frame.f.get(known);
      return;
    }
    const source = this.sources.get(e);
    if (source) this.load(source, e.sort === "bool");
    else if (e.word === "index") this.pushIndex();
    else pushWord(frame, e, this);
    if ((this.uses.get(e) ?? 0) > 1) {
      const l = this.temporary();
      frame.f.tee(l);
      this.values.set(e, l);
    }
  }

  /** The value of an expression in a local. */
  local(e: Expr): Local {
    if (e.kind === "scalar") {
      const c = constantOf(e);
      return c !== undefined ? this.frame.constant(c) : this.frame.scalars.get(e)!;
    }
    let l = this.values.get(e);
    if (l === undefined) {
      this.push(e);
      l = this.values.get(e);
      if (l !== undefined) this.frame.f.op(op.drop);
      else {
        l = this.temporary();
        this.frame.f.set(l);
        this.values.set(e, l);
      }
    }
    return l;
  }

  /** Done with this vector: its locals may be used again. */
  close(): void {
    this.frame.f.free(...this.owned);
  }

  private pushIndex(): void {
    const { f, lanes } = this.frame;
    const lane0 = lanes.type === "f32" ? f.constant("f32", 0, 1, 2, 3) : f.constant("f64", 0, 1);
    f.get(this.position!).op(lanes.scalar.convertI32, lanes.splat).get(lane0).op(lanes.add);
    if (this.copy > 0) f.get(this.frame.constant(this.copy * lanes.count)).op(lanes.add);
  }

  private load(stream: Stream, asMask: boolean): void {
    const { f, lanes, shiftOf } = {
      f: this.frame.f,
      lanes: this.frame.lanes,
      shiftOf: this.frame.shiftOf(stream.type),
    };
    const wide = lanes.type === "f64";
    const offset = (16 >> shiftOf) * this.copy;
    f.get(this.bases.get(stream.pointer)!);
    switch (stream.type) {
      case "bool":
        if (wide) f.load(op.v128Load16Splat, offset);
        else f.load(op.v128Load32Zero, offset);
        f.op(op.i16x8ExtendLowI8x16U, op.i32x4ExtendLowI16x8U);
        if (!asMask) f.op(wide ? op.f64x2ConvertLowI32x4S : op.f32x4ConvertI32x4S);
        else if (wide) f.op(op.i64x2ExtendLowI32x4U, op.i64x2Neg);
        else f.op(op.i32x4Neg);
        break;
      case "i32":
        if (wide) f.load(op.v128Load64Zero, offset).op(op.f64x2ConvertLowI32x4S);
        else f.load(op.v128Load, offset).op(op.f32x4ConvertI32x4S);
        break;
      default:
        f.load(op.v128Load, offset);
    }
  }

  /** Stores a whole vector of a scratch row, which has room for it. */
  storeWhole(slot: Stream, value: Local): void {
    this.frame.f
      .get(this.bases.get(slot.pointer)!)
      .get(value)
      .store(op.v128Store, 16 * this.copy);
  }

  /** Adds to a whole vector of a scratch row. */
  addWhole(slot: Stream, value: Local): void {
    const base = this.bases.get(slot.pointer)!;
    const offset = 16 * this.copy;
    this.frame.f.get(base).get(base).load(op.v128Load, offset);
    this.frame.f.get(value).op(this.frame.lanes.add).store(op.v128Store, offset);
  }

  /** Stores a vector: all lanes, or those that lie within the row. */
  store(stream: Stream, value: Local): void {
    const { frame } = this;
    const { f } = frame;
    const wide = frame.lanes.type === "f64";
    const base = this.bases.get(stream.pointer)!;
    const offset = (16 >> frame.shiftOf(stream.type)) * this.copy;
    let v = value;
    if (stream.type === "i32") {
      v = this.temporary();
      f.get(value)
        .op(wide ? op.i32x4TruncSatF64x2SZero : op.i32x4TruncSatF32x4S)
        .set(v);
    } else if (stream.type === "bool") {
      v = this.temporary();
      f.get(value);
      if (wide) f.get(value).shuffle(0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8);
      else f.get(value).op(op.i16x8NarrowI32x4S).get(value).op(op.i8x16NarrowI16x8S);
      f.get(f.constant("i8", 1)).op(op.v128And).set(v);
    }
    const bytes = stream.type === "bool" ? 1 : stream.type === "f64" ? 8 : 4;
    const lane = bytes === 1 ? op.v128Store8Lane : bytes === 4 ? op.v128Store32Lane : op.v128Store64Lane;
    const put = (k: number): void => {
      f.get(base)
        .get(v)
        .storeLane(lane, k, offset + k * bytes);
    };
    if (this.left === undefined) {
      const total = bytes * frame.lanes.count;
      f.get(base).get(v);
      if (total === 16) f.store(op.v128Store, offset);
      else
        f.storeLane(
          total === 8 ? op.v128Store64Lane : total === 4 ? op.v128Store32Lane : op.v128Store16Lane,
          0,
          offset,
        );
      return;
    }
    put(0);
    for (let k = 1; k < frame.lanes.count - 1; k++) {
      f.get(this.left).i32(k).op(op.i32GtU);
      f.if();
      put(k);
      f.end();
    }
  }
}

/** Computes an elementwise word of scalars into a local. */
export function emitScalar(frame: Frame, e: Expr): void {
  const site = new Site(frame, new Map(), {});
  pushWord(frame, e, site);
  const l = frame.f.local("v128");
  frame.f.set(l);
  frame.scalars.set(e, l);
  site.close();
}

/** What is evaluated where an expression stands for another in derivatives alone. */
const evaluatedAs = (e: Expr): Expr =>
  e.word === "stop" || e.word === "differentiateAs" ? evaluatedAs(e.args[0]!) : e;

/** The row of which a scalar is the maximum, computed here or read back. */
function maximumOf(e: Expr): Expr | undefined {
  if (e.word === "max") return e.args[0];
  return e.word === "input" ? (e.detail as InputInfo).maximumOf : undefined;
}

/** Whether a number is certainly not above 0 (or is NaN): exp needs no guard against overflow there. */
function nonPositive(of: Expr): boolean {
  const e = evaluatedAs(of);
  const [a, b] = e.args as [Expr, Expr];
  switch (e.word) {
    case "const":
      return (e.detail as number) <= 0;
    case "sub":
      return maximumOf(b) === a || (nonPositive(a) && nonNegative(b));
    case "neg":
      return nonNegative(a);
    case "minimum":
      return nonPositive(a) || nonPositive(b);
    case "mul":
    case "mulZero":
      return (nonPositive(a) && nonNegative(b)) || (nonNegative(a) && nonPositive(b));
    default:
      return false;
  }
}

/** Whether a number is certainly so small that its exponential is far from overflow (or is NaN). */
function bounded(of: Expr): boolean {
  const e = evaluatedAs(of);
  return nonPositive(e) || (e.word === "minimum" && e.args.some((a) => (constantOf(a) ?? 81) <= 80));
}

function nonNegative(of: Expr): boolean {
  const e = evaluatedAs(of);
  switch (e.word) {
    case "const":
      return (e.detail as number) >= 0;
    case "exp":
    case "abs":
    case "relu":
    case "sigmoid":
    case "softplus":
    case "posPow":
    case "sqrt":
    case "count":
    case "n":
    case "index":
      return true;
    case "mul":
      return e.args[0] === e.args[1] || e.args.every(nonNegative);
    case "select":
      return e.args.slice(1).every(nonNegative);
    case "add":
    case "div":
    case "sum":
      return e.args.every(nonNegative);
    default:
      return false;
  }
}

/** Whether a number certainly lies in [0, 1] (or is NaN). */
function inUnit(of: Expr): boolean {
  const e = evaluatedAs(of);
  const [a, b, c] = e.args as [Expr, Expr, Expr];
  switch (e.word) {
    case "const":
      return (e.detail as number) >= 0 && (e.detail as number) <= 1;
    case "exp":
      return nonPositive(a);
    case "sigmoid":
      return true;
    case "mul":
      return inUnit(a) && inUnit(b);
    case "select":
      return inUnit(b) && inUnit(c);
    default:
      return false;
  }
}

/** Leaves an elementwise word of the values that `site` gives its arguments on the stack. */
function pushWord(frame: Frame, e: Expr, site: Site): void {
  const { f, lanes } = frame;
  const [a, b, c] = e.args as [Expr, Expr, Expr];
  const push = (x: Expr): Frame["f"] => {
    site.push(x);
    return f;
  };
  const both = (instruction: number): void => {
    push(a);
    push(b).op(instruction);
  };
  const number = (value: number): Frame["f"] => f.get(frame.constant(value));
  /** The larger or smaller one of what is on the stack and y: by one instruction where y is certainly no NaN. */
  const pushBound = (word: "maximum" | "minimum", y: Expr): void => {
    const plain = Number.isNaN(constantOf(y) ?? Number.NaN);
    if (word === "maximum") push(y).op(plain ? lanes.max : lanes.pmax);
    else push(y).op(plain ? lanes.min : lanes.pmin);
  };
  switch (e.word) {
    case "stop":
    case "differentiateAs":
      push(a);
      break;
    case "neg":
      push(a).op(lanes.neg);
      break;
    case "abs":
      push(a).op(lanes.abs);
      break;
    case "sqrt":
      push(a).op(lanes.sqrt);
      break;
    case "floor":
      push(a).op(lanes.floor);
      break;
    case "round":
      push(a).op(lanes.nearest);
      break;
    case "sign": {
      const x = site.local(a);
      number(1);
      number(-1).get(x).get(x);
      number(0).op(lanes.lt, op.v128Bitselect).get(x);
      number(0).op(lanes.gt, op.v128Bitselect);
      break;
    }
    case "relu":
      // In this order NaN stays NaN.
      push(a);
      number(0).op(lanes.pmax);
      break;
    case "add":
      both(lanes.add);
      break;
    case "sub":
      both(lanes.sub);
      break;
    case "mul":
      both(lanes.mul);
      break;
    case "mulZero":
      both(lanes.mul);
      push(a);
      number(0).op(lanes.ne, op.v128And);
      break;
    case "div":
      pushQuotient(frame, a, b, site);
      break;
    case "maximum":
    case "minimum": {
      const [x, y] = constantOf(a) !== undefined ? [b, a] : [a, b];
      push(x);
      pushBound(e.word, y);
      break;
    }
    case "clamp":
      push(a);
      pushBound("maximum", b);
      pushBound("minimum", c);
      break;
    case "greater":
      both(lanes.gt);
      break;
    case "greaterEqual":
      both(lanes.ge);
      break;
    case "equal":
      both(lanes.eq);
      break;
    case "and":
      both(op.v128And);
      break;
    case "or":
      both(op.v128Or);
      break;
    case "not":
      push(a).op(op.v128Not);
      break;
    case "select":
      push(b);
      if (constantOf(c) === 0) push(a).op(op.v128And);
      else {
        push(c);
        push(a).op(op.v128Bitselect);
      }
      break;
    default: {
      const emit = e.meaning?.wasm as EmitWord | undefined;
      if (emit === undefined) throw new Error(`the word ${e.word} has no instructions`);
      const args: [Local, Local?] = b ? [site.local(a), site.local(b)] : [site.local(a)];
      const l = emit(f, lanes.type, args, {
        order: e.detail as number,
        nonPositive: nonPositive(a),
        bounded: bounded(a),
        unit: inUnit(a),
      });
      f.get(l).free(l);
    }
  }
}

/** A row divided by what was folded from it is multiplied by the reciprocal. */
function pushQuotient(frame: Frame, a: Expr, b: Expr, site: Site): void {
  const { f, lanes } = frame;
  const c = constantOf(b);
  site.push(a);
  if (c !== undefined && Number.isInteger(Math.log2(Math.abs(c)))) {
    f.get(frame.constant(1 / c)).op(lanes.mul);
    return;
  }
  const reciprocal = a.kind === "row" ? frame.reciprocals.get(b) : undefined;
  if (reciprocal === undefined) {
    site.push(b);
    f.op(lanes.div);
    return;
  }
  if (site.valid === undefined) {
    f.get(reciprocal).op(lanes.mul);
    return;
  }
  // A row that fits in one vector divides truly: x ÷ x is 1, and x · (1 ÷ x) need not be.
  const x = site.temporary();
  f.tee(x);
  site.push(b);
  f.op(lanes.div).get(x).get(reciprocal).op(lanes.mul);
  f.get(frame.n).i32(lanes.count).op(op.i32LtU, op.i32x4Splat, op.i32x4Neg, op.v128Bitselect);
}
