// Writes WebAssembly modules: functions of i32, i64, f32, f64 and v128 over one imported memory. No text, no
// optimiser, no validation of its own (the engine validates); it knows no kernel and no row program.
//
//   const m = new WasmModule();
//   m.function("scale", ["i32", "i32", "f32"], [], (f, [at, end, factor]) => {
//     const by = f.local("v128");
//     f.get(factor).op(op.f32x4Splat).set(by);
//     const loop = f.loop();                                  // a label: br(loop) goes on with the next turn
//     f.get(at).get(at).load(op.v128Load).get(by).op(op.f32x4Mul).store(op.v128Store);
//     f.get(at).i32(16).op(op.i32Add).tee(at).get(end).op(op.i32LtU).brIf(loop);
//     f.end();
//   });
//   const { scale } = m.instantiate(memory);
//
// Values     f.get(l) f.set(l) f.tee(l)       locals and parameters, by index
//            f.i32(c) f.i64(c) f.f32(c) f.f64(c)   constants in place
//            f.op(o, …)                        any instruction without immediates, from `opcodes.ts`
//            f.lane(o, k)                      extract_lane and replace_lane
//            f.advance(l, c) f.advanceBy(l, m)   l += a constant, l += the local m (i32)
//            f.shuffle(i0 … i15)               i8x16.shuffle
// Memory     f.load(o, offset) f.store(o, offset)       address (and value) from the stack, constant offset in bytes
//            f.loadLane(o, k, offset) f.storeLane(o, k, offset)
//            f.op(op.memoryCopy) f.op(op.memoryFill)
// Control    f.block() f.loop() f.if(type?) → label; f.else() f.end(); f.br(label) f.brIf(label); f.op(op.return)
//            f.call(index)                     index is what m.function returned
// Locals     f.local(type), f.free(l)          a freed local is given out again and keeps its old value: set before get
// Constants  f.constant("f32", 0.5)            a v128 local set once at the function's entry, equal constants shared;
//            f.constant("i32", 0, 1, 2, 3)     with one value for all lanes or one a lane. Never write to it.
//            (v128.const inside a loop is 1.8 × slower in some engines, so there is no other way to write one.)
// Size       f.size                            bytes of the body so far
//
// `lanes.f32` and `lanes.f64` name the instructions of a float type alike, so that one text serves both widths.

import * as op from "./opcodes.ts";

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";
/** Index of a local or parameter. */
export type Local = number;
/** A block that can be branched to. */
export type Label = number;
/** What `f.constant` fills a vector with. */
export type LaneType = "f32" | "f64" | "i32" | "i64" | "i8";

const typeCodes: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

/** The instructions of one float type, scalar and vector, under names that do not depend on the width. */
export interface Lanes {
  readonly type: "f32" | "f64";
  /** The integer type of the same width. */
  readonly int: "i32" | "i64";
  /** Bytes of one lane, its logarithm, and lanes of a vector. */
  readonly bytes: number;
  readonly shift: number;
  readonly count: number;
  /** Scalar instructions. */
  readonly scalar: Readonly<
    Record<
      | "load"
      | "store"
      | "add"
      | "sub"
      | "mul"
      | "div"
      | "sqrt"
      | "eq"
      | "ne"
      | "lt"
      | "gt"
      | "le"
      | "ge"
      | "convertI32",
      number
    >
  >;
  readonly splat: number;
  readonly loadSplat: number;
  readonly loadLane: number;
  readonly storeLane: number;
  readonly extract: number;
  readonly replace: number;
  readonly add: number;
  readonly sub: number;
  readonly mul: number;
  readonly div: number;
  readonly sqrt: number;
  readonly neg: number;
  readonly abs: number;
  readonly min: number;
  readonly max: number;
  /** a where either is NaN: pmax(x, 0) keeps a NaN of x, pmax(0, x) loses it. */
  readonly pmin: number;
  readonly pmax: number;
  readonly eq: number;
  readonly ne: number;
  readonly lt: number;
  readonly gt: number;
  readonly le: number;
  readonly ge: number;
  readonly floor: number;
  readonly ceil: number;
  readonly trunc: number;
  readonly nearest: number;
  readonly bitmask: number;
  /** Integer instructions on lanes of this width. */
  readonly intAdd: number;
  readonly intSub: number;
  readonly intShl: number;
  readonly intShrS: number;
  readonly intShrU: number;
  readonly intEq: number;
  readonly intGtS: number;
  readonly intSplat: number;
}

// biome-ignore format: a table
export const lanes: { readonly f32: Lanes; readonly f64: Lanes } = {
  f32: {
    type: "f32", int: "i32", bytes: 4, shift: 2, count: 4,
    scalar: {
      load: op.f32Load, store: op.f32Store, add: op.f32Add, sub: op.f32Sub, mul: op.f32Mul, div: op.f32Div, sqrt: op.f32Sqrt,
      eq: op.f32Eq, ne: op.f32Ne, lt: op.f32Lt, gt: op.f32Gt, le: op.f32Le, ge: op.f32Ge, convertI32: op.f32ConvertI32S,
    },
    splat: op.f32x4Splat, loadSplat: op.v128Load32Splat, loadLane: op.v128Load32Lane, storeLane: op.v128Store32Lane,
    extract: op.f32x4ExtractLane, replace: op.f32x4ReplaceLane,
    add: op.f32x4Add, sub: op.f32x4Sub, mul: op.f32x4Mul, div: op.f32x4Div, sqrt: op.f32x4Sqrt, neg: op.f32x4Neg, abs: op.f32x4Abs,
    min: op.f32x4Min, max: op.f32x4Max, pmin: op.f32x4Pmin, pmax: op.f32x4Pmax,
    eq: op.f32x4Eq, ne: op.f32x4Ne, lt: op.f32x4Lt, gt: op.f32x4Gt, le: op.f32x4Le, ge: op.f32x4Ge,
    floor: op.f32x4Floor, ceil: op.f32x4Ceil, trunc: op.f32x4Trunc, nearest: op.f32x4Nearest, bitmask: op.i32x4Bitmask,
    intAdd: op.i32x4Add, intSub: op.i32x4Sub, intShl: op.i32x4Shl, intShrS: op.i32x4ShrS, intShrU: op.i32x4ShrU,
    intEq: op.i32x4Eq, intGtS: op.i32x4GtS, intSplat: op.i32x4Splat,
  },
  f64: {
    type: "f64", int: "i64", bytes: 8, shift: 3, count: 2,
    scalar: {
      load: op.f64Load, store: op.f64Store, add: op.f64Add, sub: op.f64Sub, mul: op.f64Mul, div: op.f64Div, sqrt: op.f64Sqrt,
      eq: op.f64Eq, ne: op.f64Ne, lt: op.f64Lt, gt: op.f64Gt, le: op.f64Le, ge: op.f64Ge, convertI32: op.f64ConvertI32S,
    },
    splat: op.f64x2Splat, loadSplat: op.v128Load64Splat, loadLane: op.v128Load64Lane, storeLane: op.v128Store64Lane,
    extract: op.f64x2ExtractLane, replace: op.f64x2ReplaceLane,
    add: op.f64x2Add, sub: op.f64x2Sub, mul: op.f64x2Mul, div: op.f64x2Div, sqrt: op.f64x2Sqrt, neg: op.f64x2Neg, abs: op.f64x2Abs,
    min: op.f64x2Min, max: op.f64x2Max, pmin: op.f64x2Pmin, pmax: op.f64x2Pmax,
    eq: op.f64x2Eq, ne: op.f64x2Ne, lt: op.f64x2Lt, gt: op.f64x2Gt, le: op.f64x2Le, ge: op.f64x2Ge,
    floor: op.f64x2Floor, ceil: op.f64x2Ceil, trunc: op.f64x2Trunc, nearest: op.f64x2Nearest, bitmask: op.i64x2Bitmask,
    intAdd: op.i64x2Add, intSub: op.i64x2Sub, intShl: op.i64x2Shl, intShrS: op.i64x2ShrS, intShrU: op.i64x2ShrU,
    intEq: op.i64x2Eq, intGtS: op.i64x2GtS, intSplat: op.i64x2Splat,
  },
};

/** A byte buffer that grows, with the number codings of the format. */
class Bytes {
  data: Uint8Array;
  size = 0;

  constructor(capacity: number) {
    this.data = new Uint8Array(capacity);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.size + count <= this.data.length) return;
    const grown = new Uint8Array(Math.max(2 * this.data.length, this.size + count));
    grown.set(this.data.subarray(0, this.size));
    this.data = grown;
  }

  byte(value: number): void {
    this.reserve(1);
    this.data[this.size++] = value;
  }

  /** Unsigned LEB128. */
  unsigned(value: number): void {
    this.reserve(5);
    let rest = value;
    while (rest > 127) {
      this.data[this.size++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.data[this.size++] = rest;
  }

  /** Signed LEB128 of 32 bits. */
  signed(value: number): void {
    this.reserve(5);
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.data[this.size++] = (rest & 127) | 128;
      rest >>= 7;
    }
    this.data[this.size++] = rest & 127;
  }

  /** Signed LEB128 of 64 bits. */
  signed64(value: bigint): void {
    this.reserve(10);
    let rest = BigInt.asIntN(64, value);
    while (rest < -64n || rest > 63n) {
      this.data[this.size++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.data[this.size++] = Number(rest & 127n);
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.data.set(bytes, this.size);
    this.size += bytes.length;
  }

  /** A name: its length and its (ASCII) bytes. */
  text(name: string): void {
    this.unsigned(name.length);
    for (let i = 0; i < name.length; i++) this.byte(name.charCodeAt(i));
  }

  view(): Uint8Array {
    return this.data.subarray(0, this.size);
  }
}

/** The bytes of a number as they stand in memory. */
const cell = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer(16));

/** The function being written. Every method that leaves nothing to return gives the function back, for chaining. */
export class Fn {
  /** Types of the parameters and locals, by index. */
  private readonly types: ValueType[];
  private readonly parameters: number;
  private readonly code = new Bytes(2048);
  private readonly freed: Local[] = [];
  private readonly constants = new Map<string, Local>();
  private readonly constantBytes: { readonly local: Local; readonly bytes: Uint8Array }[] = [];
  private depth = 0;

  constructor(parameters: readonly ValueType[]) {
    this.types = [...parameters];
    this.parameters = parameters.length;
  }

  /** Bytes of the body so far. */
  get size(): number {
    return this.code.size;
  }

  local(type: ValueType): Local {
    for (let i = this.freed.length - 1; i >= 0; i--) {
      const l = this.freed[i]!;
      if (this.types[l] === type) {
        this.freed.splice(i, 1);
        return l;
      }
    }
    return this.types.push(type) - 1;
  }

  free(...locals: readonly Local[]): this {
    for (const l of locals) this.freed.push(l);
    return this;
  }

  /** A vector constant: a local that is set at the function's entry. */
  constant(type: LaneType, ...values: readonly (number | bigint)[]): Local {
    const count = type === "i8" ? 16 : type === "f64" || type === "i64" ? 2 : 4;
    const width = 16 / count;
    for (let i = 0; i < count; i++) {
      const value = values[values.length === 1 ? 0 : i]!;
      if (type === "f32") cell.setFloat32(i * width, Number(value), true);
      else if (type === "f64") cell.setFloat64(i * width, Number(value), true);
      else if (type === "i32") cell.setInt32(i * width, Number(value), true);
      else if (type === "i64") cell.setBigInt64(i * width, BigInt.asIntN(64, BigInt(value)), true);
      else cell.setInt8(i, Number(value));
    }
    const key = `${cell.getInt32(0)},${cell.getInt32(4)},${cell.getInt32(8)},${cell.getInt32(12)}`;
    let found = this.constants.get(key);
    if (found === undefined) {
      // Not from the freed ones: a constant lives from the entry on.
      found = this.types.push("v128") - 1;
      this.constants.set(key, found);
      this.constantBytes.push({ local: found, bytes: new Uint8Array(cell.buffer.slice(0)) });
    }
    return found;
  }

  get(l: Local): this {
    this.code.byte(0x20);
    this.code.unsigned(l);
    return this;
  }

  set(l: Local): this {
    this.code.byte(0x21);
    this.code.unsigned(l);
    return this;
  }

  tee(l: Local): this {
    this.code.byte(0x22);
    this.code.unsigned(l);
    return this;
  }

  i32(value: number): this {
    this.code.byte(0x41);
    this.code.signed(value);
    return this;
  }

  i64(value: number | bigint): this {
    this.code.byte(0x42);
    this.code.signed64(BigInt(value));
    return this;
  }

  f32(value: number): this {
    this.code.byte(0x43);
    cell.setFloat32(0, value, true);
    this.code.append(new Uint8Array(cell.buffer, 0, 4));
    return this;
  }

  f64(value: number): this {
    this.code.byte(0x44);
    cell.setFloat64(0, value, true);
    this.code.append(new Uint8Array(cell.buffer, 0, 8));
    return this;
  }

  /** l += amount, for i32. */
  advance(l: Local, amount: number): this {
    return this.get(l).i32(amount).op(op.i32Add).set(l);
  }

  /** l += the local `amount`, for i32. */
  advanceBy(l: Local, amount: Local): this {
    return this.get(l).get(amount).op(op.i32Add).set(l);
  }

  /** Instructions without immediates. */
  op(...codes: readonly number[]): this {
    for (const code of codes) this.instruction(code);
    return this;
  }

  private instruction(code: number): void {
    const { code: out } = this;
    if (code < 0x100) {
      out.byte(code);
      return;
    }
    out.byte(code < 0x200 ? 0xfd : 0xfc);
    out.unsigned(code & 0xff);
    // memory.copy and memory.fill name their memories: the only one.
    if (code === op.memoryCopy) out.byte(0);
    if (code === op.memoryCopy || code === op.memoryFill) out.byte(0);
  }

  lane(code: number, lane: number): this {
    this.instruction(code);
    this.code.byte(lane);
    return this;
  }

  shuffle(...indices: readonly number[]): this {
    this.instruction(0x10d);
    for (const i of indices) this.code.byte(i);
    return this;
  }

  load(code: number, offset = 0): this {
    this.instruction(code);
    // An alignment hint of one byte is always true, and engines on x86 and ARM ignore it.
    this.code.byte(0);
    this.code.unsigned(offset);
    return this;
  }

  store(code: number, offset = 0): this {
    return this.load(code, offset);
  }

  loadLane(code: number, lane: number, offset = 0): this {
    this.load(code, offset);
    this.code.byte(lane);
    return this;
  }

  storeLane(code: number, lane: number, offset = 0): this {
    return this.loadLane(code, lane, offset);
  }

  private open(code: number, type?: ValueType): Label {
    this.code.byte(code);
    this.code.byte(type ? typeCodes[type] : 0x40);
    return ++this.depth;
  }

  /** Branching to the label of a block leaves it. */
  block(): Label {
    return this.open(0x02);
  }

  /** Branching to the label of a loop starts its next turn; falling out of the bottom ends it. */
  loop(): Label {
    return this.open(0x03);
  }

  /** Takes a condition from the stack; with a type, both branches leave a value. */
  if(type?: ValueType): Label {
    return this.open(0x04, type);
  }

  else(): this {
    this.code.byte(0x05);
    return this;
  }

  end(): this {
    this.code.byte(0x0b);
    this.depth--;
    return this;
  }

  br(label: Label): this {
    this.code.byte(0x0c);
    this.code.unsigned(this.depth - label);
    return this;
  }

  brIf(label: Label): this {
    this.code.byte(0x0d);
    this.code.unsigned(this.depth - label);
    return this;
  }

  call(index: number): this {
    this.code.byte(0x10);
    this.code.unsigned(index);
    return this;
  }

  /** Declarations, constants and body, for the module. */
  finish(): Uint8Array {
    const out = new Bytes(this.code.size + 20 * this.constantBytes.length + 64);
    // Locals are declared as runs of one type, in order of index.
    const runs: { type: ValueType; count: number }[] = [];
    for (let i = this.parameters; i < this.types.length; i++) {
      const last = runs.at(-1);
      if (last?.type === this.types[i]) last!.count++;
      else runs.push({ type: this.types[i]!, count: 1 });
    }
    out.unsigned(runs.length);
    for (const { type, count } of runs) {
      out.unsigned(count);
      out.byte(typeCodes[type]);
    }
    for (const { local, bytes } of this.constantBytes) {
      out.byte(0xfd);
      out.byte(0x0c);
      out.append(bytes);
      out.byte(0x21);
      out.unsigned(local);
    }
    out.append(this.code.view());
    out.byte(0x0b);
    return out.view();
  }
}

/** The parameters of a function, as locals. */
type Locals<P extends readonly ValueType[]> = { readonly [K in keyof P]: Local };

interface FunctionEntry {
  readonly name: string;
  readonly type: number;
  readonly body: Uint8Array;
}

/** For `f.call`: sin(x + turns·π/2) of an f64 and an i32 by the host, for angles that are too rare to carry digits of π for. */
export const hostSine = 0;
const sine = (x: number, turns: number): number => (turns ? Math.cos(x) : Math.sin(x));

/** A module of exported functions over one imported memory. */
export class WasmModule {
  private readonly types: string[] = ["f64,i32>f64"];
  private readonly signatures: {
    readonly params: readonly ValueType[];
    readonly results: readonly ValueType[];
  }[] = [{ params: ["f64", "i32"], results: ["f64"] }];
  private readonly functions: FunctionEntry[] = [];

  /** Writes a function and exports it, unless its name is empty. Gives its index, for `f.call`. */
  function<const P extends readonly ValueType[]>(
    name: string,
    params: P,
    results: readonly ValueType[],
    write: (f: Fn, params: Locals<P>) => void,
  ): number {
    const f = new Fn(params);
    write(f, params.map((_, i) => i) as unknown as Locals<P>);
    const key = `${params.join()}>${results.join()}`;
    let type = this.types.indexOf(key);
    if (type < 0) {
      type = this.types.push(key) - 1;
      this.signatures.push({ params, results });
    }
    // Behind the one that is imported
    return this.functions.push({ name, type, body: f.finish() });
  }

  /** The module in binary form. */
  bytes(): Uint8Array {
    const total = this.functions.reduce((sum, f) => sum + f.body.length + f.name.length + 16, 256);
    const out = new Bytes(total);
    out.append(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
    const section = (id: number, write: (to: Bytes) => void): void => {
      const part = new Bytes(256);
      write(part);
      out.byte(id);
      out.unsigned(part.size);
      out.append(part.view());
    };
    section(1, (to) => {
      to.unsigned(this.signatures.length);
      for (const { params, results } of this.signatures) {
        to.byte(0x60);
        for (const list of [params, results]) {
          to.unsigned(list.length);
          for (const type of list) to.byte(typeCodes[type]);
        }
      }
    });
    section(2, (to) => {
      to.unsigned(2);
      to.text("host");
      to.text("memory");
      // A memory, at least 0 pages, without a limit: any unshared memory will do.
      for (const b of [2, 0, 0]) to.byte(b);
      to.text("host");
      to.text("sine");
      // A function of the first type
      for (const b of [0, 0]) to.byte(b);
    });
    section(3, (to) => {
      to.unsigned(this.functions.length);
      for (const f of this.functions) to.unsigned(f.type);
    });
    section(7, (to) => {
      const exported = this.functions.filter((f) => f.name !== "");
      to.unsigned(exported.length);
      for (const f of exported) {
        to.text(f.name);
        to.byte(0);
        to.unsigned(this.functions.indexOf(f) + 1);
      }
    });
    section(10, (to) => {
      to.unsigned(this.functions.length);
      for (const f of this.functions) {
        to.unsigned(f.body.length);
        to.append(f.body);
      }
    });
    return out.view();
  }

  /** Compiles the module at once and gives its exports. */
  instantiate(memory: WebAssembly.Memory): Record<string, (...args: number[]) => number> {
    const compiled = new WebAssembly.Module(this.bytes() as Uint8Array<ArrayBuffer>);
    return new WebAssembly.Instance(compiled, { host: { memory, sine } }).exports as Record<
      string,
      (...args: number[]) => number
    >;
  }
}
