// The assembler writes what the engine accepts and what the text meant.
import { expect, test } from "vitest";
import {
  type Fn,
  Fn as FnClass,
  type LaneType,
  lanes,
  type ValueType,
  WasmModule,
} from "../../core/backends/wasm/assembler.ts";
import * as op from "../../core/backends/wasm/opcodes.ts";

const memory = (): WebAssembly.Memory => new WebAssembly.Memory({ initial: 1 });

function build(
  params: readonly ValueType[],
  results: readonly ValueType[],
  write: (f: Fn, p: readonly number[]) => void,
  mem = memory(),
) {
  const m = new WasmModule();
  m.function("f", params, results, write);
  return m.instantiate(mem).f!;
}

test("constants come back as they were written", () => {
  for (const c of [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, -8192, 2 ** 31 - 1, -(2 ** 31)]) {
    expect(build([], ["i32"], (f) => f.i32(c))()).toBe(c);
    expect(build([], ["f64"], (f) => f.i64(c).op(op.f64ConvertI64S))()).toBe(c);
  }
  for (const c of [0, -0, 1.5, -3.25, Infinity, Number.NaN, 2 ** -149]) {
    expect(build([], ["f32"], (f) => f.f32(c))()).toBe(c);
    expect(build([], ["f64"], (f) => f.f64(c / 3))()).toBe(c / 3);
  }
  expect(
    build([], ["i32"], (f) => f.i64(0x7ff0_0000_0000_0000n).i64(52).op(op.i64ShrU, op.i32WrapI64))(),
  ).toBe(0x7ff);
});

test("every instruction of the table is one that the engine knows", () => {
  // Operands come from an unreachable stack, which has every type: a wrong number would be an unknown instruction or a bad immediate.
  const memoryOps = /Load|Store/;
  for (const [name, code] of Object.entries(op)) {
    const m = new WasmModule();
    m.function("f", [], [], (f) => {
      f.op(op.unreachable);
      if (/(Load|Store)\d+Lane/.test(name)) f.loadLane(code, 0, 4);
      else if (/(Extract|Replace)Lane/.test(name)) f.lane(code, 0);
      else if (memoryOps.test(name)) f.load(code, 4);
      else f.op(code);
      f.op(op.unreachable);
    });
    expect(WebAssembly.validate(m.bytes() as Uint8Array<ArrayBuffer>), name).toBe(true);
  }
});

test("labels count the blocks between", () => {
  // Counts down from the argument, leaving the outer block from inside an if.
  const f = build(["i32"], ["i32"], (g, [x]) => {
    const turns = g.local("i32");
    const out = g.block();
    const loop = g.loop();
    g.get(x!).op(op.i32Eqz).if();
    g.br(out).end();
    g.get(turns).i32(1).op(op.i32Add).set(turns);
    g.get(x!).i32(1).op(op.i32Sub).set(x!).br(loop);
    g.end().end().get(turns);
  });
  expect([0, 1, 7].map((v) => f(v))).toEqual([0, 1, 7]);
});

test("vector constants are set at entry, shared when equal, and per lane when asked", () => {
  const mem = memory();
  const cases: [LaneType, number[], (m: WebAssembly.Memory) => ArrayLike<number>, number[]][] = [
    ["f32", [0.5], (m) => new Float32Array(m.buffer, 0, 4), [0.5, 0.5, 0.5, 0.5]],
    ["i32", [3, -2, 1, 0], (m) => new Int32Array(m.buffer, 0, 4), [3, -2, 1, 0]],
    ["f64", [-1.5, 2], (m) => new Float64Array(m.buffer, 0, 2), [-1.5, 2]],
    ["i8", [...Array(16).keys()], (m) => new Uint8Array(m.buffer, 0, 16), [...Array(16).keys()]],
  ];
  for (const [type, values, read, expected] of cases) {
    build(
      [],
      [],
      (f) =>
        f
          .i32(0)
          .get(f.constant(type, ...values))
          .store(op.v128Store),
      mem,
    )();
    expect([...Array.from(read(mem))]).toEqual(expected);
  }
  const f = new FnClass([]);
  expect(f.constant("f32", 0)).toBe(f.constant("i32", 0));
  expect(f.constant("f32", -0)).not.toBe(f.constant("f32", 0));
  expect(f.constant("f64", 1)).toBe(f.constant("i64", 0x3ff0_0000_0000_0000n));
});

test("freed locals are given out again, by type", () => {
  const f = new FnClass(["i32"]);
  const [a, b] = [f.local("v128"), f.local("i32")];
  f.free(a, b);
  expect(f.local("i32")).toBe(b);
  expect(f.local("i32")).not.toBe(a);
  expect(f.local("v128")).toBe(a);
});

test("functions of one module call one another, and only named ones are exported", () => {
  const m = new WasmModule();
  const square = m.function("", ["f64"], ["f64"], (f, [x]) => f.get(x).get(x).op(op.f64Mul));
  m.function("fourth", ["f64"], ["f64"], (f, [x]) => f.get(x).call(square).call(square));
  const exports = m.instantiate(memory());
  expect(Object.keys(exports)).toEqual(["fourth"]);
  expect(exports.fourth!(3)).toBe(81);
});

test("bodies longer than the first buffer survive its growth", () => {
  const f = build(["i32"], ["i32"], (g, [x]) => {
    for (let i = 0; i < 20_000; i++) g.get(x!).i32(1).op(op.i32Add).set(x!);
    g.get(x!);
  });
  expect(f(5)).toBe(20_005);
});

test("both widths name the same instructions", () => {
  for (const [type, read] of [
    ["f32", Float32Array],
    ["f64", Float64Array],
  ] as const) {
    const v = lanes[type];
    const mem = memory();
    const run = build(
      [type],
      [],
      (f, [x]) => {
        f.i32(0).get(x!).op(v.splat).get(f.constant(type, 2)).op(v.mul).store(op.v128Store);
      },
      mem,
    );
    run(1.5);
    expect([...new read(mem.buffer, 0, v.count)]).toEqual(Array(v.count).fill(3));
  }
});
