// Kernels of windows on planes: where a window is largest, and the sum of what windows hold. Reading windows is a strided copy.
// Knows addresses and sizes only. Sizes are at least 1; steps are in bytes.

import { dtypes, type FloatDType } from "../../dtype.ts";
import type { Windows } from "../backend.ts";
import { type Fn, type Local, lanes, WasmModule } from "./assembler.ts";
import { addEntry, addRun, again } from "./kernels.ts";
import * as op from "./opcodes.ts";

/** The bytes of a plane; windows and the step between them, and taps and the step between them, down and across. */
type Layout = [
  plane: number,
  rows: number,
  down: number,
  columns: number,
  across: number,
  tapRows: number,
  tapDown: number,
  tapColumns: number,
  tapAcross: number,
];

type Kernel = (x: number, out: number, planes: number, ...layout: Layout) => void;

type Twelve = readonly [
  ...[x: Local, out: Local, planes: Local, plane: Local],
  ...[rows: Local, down: Local, columns: Local, across: Local],
  ...taps: [Local, Local, Local, Local],
];

// biome-ignore format: twelve alike
const params = ["i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32"] as const;

/** Windows as the kernels take them. */
export function inBytes({ plane, count, step, taps, apart }: Windows, dtype: FloatDType): Layout {
  const { width } = dtypes[dtype];
  const row = plane[1] * width;
  return [
    plane[0] * row,
    count[0],
    step[0] * row,
    count[1],
    step[1] * width,
    taps[0],
    apart[0] * row,
    taps[1],
    apart[1] * width,
  ];
}

/** A loop over a grid of addresses, from the one in `first`; `at` holds the address inside. */
function grid(
  f: Fn,
  first: Local,
  [rows, down, columns, across]: readonly [Local, Local, Local, Local],
  inside: (at: Local) => void,
): void {
  const [row, at, above, left] = [f.local("i32"), f.local("i32"), f.local("i32"), f.local("i32")];
  f.get(first).set(row).get(rows).set(above);
  const lines = f.loop();
  f.get(row).set(at).get(columns).set(left);
  const entries = f.loop();
  inside(at);
  f.advanceBy(at, across);
  again(f, left, entries).advanceBy(row, down);
  again(f, above, lines).free(row, at, above, left);
}

/** Zeros, with the taps of all windows added where they were read. */
export function compileFoldWindows(dtype: FloatDType, memory: WebAssembly.Memory): Kernel {
  const m = new WasmModule();
  const v = lanes[dtype];
  m.function("fold", params, [], (f, all) => {
    const [x, out, planes, plane, rows, down, columns, across, ...taps] = all as unknown as Twelve;
    const [row, to, left, above, bytes] = [
      f.local("i32"),
      f.local("i32"),
      f.local("i32"),
      f.local("i32"),
      f.local("i32"),
    ];
    f.get(out).i32(0).get(planes).get(plane).op(op.i32Mul, op.memoryFill);
    f.get(columns).i32(v.shift).op(op.i32Shl).set(bytes);
    const each = f.loop();
    grid(f, out, taps, (tap) => {
      f.get(tap).set(row).get(rows).set(above);
      const lines = f.loop();
      f.get(row).set(to);
      f.get(across).i32(v.bytes).op(op.i32Eq).if();
      addRun(f, v, x, to, bytes);
      f.else().get(columns).set(left);
      const entries = f.loop();
      addEntry(f, v, x, to).advance(x, v.bytes).advanceBy(to, across);
      again(f, left, entries).end().advanceBy(row, down);
      again(f, above, lines);
    });
    f.advanceBy(out, plane);
    again(f, planes, each);
  });
  return m.instantiate(memory).fold as Kernel;
}

/** The place in its plane of the first largest entry of each window: as many windows at once as a vector has lanes. */
export function compileWindowArgmax(dtype: FloatDType, memory: WebAssembly.Memory): Kernel {
  const m = new WasmModule();
  const { count, shift, loadLane, gt, ne, eq } = lanes[dtype];
  m.function("argmax", params, [], (f, all) => {
    const [x, out, planes, plane, rows, down, columns, across, ...taps] = all as unknown as Twelve;
    const i32 = (): Local => f.local("i32");
    const [row, above, at, left, zero] = [i32(), i32(), i32(), i32(), i32()];
    const windows = Array.from({ length: count }, () => ({ nth: i32(), start: i32() }));
    const [v, best, place, larger] = [f.local("v128"), f.local("v128"), f.local("v128"), f.local("v128")];
    // The entry of each window that lies so many bytes behind its first.
    const load = (offset: Local): void => {
      for (const [lane, { start }] of windows.entries())
        f.get(start).get(offset).op(op.i32Add).get(v).loadLane(loadLane, lane).set(v);
    };
    f.i32(0).set(zero);
    const each = f.loop();
    f.get(x).set(row).get(rows).set(above);
    const lines = f.loop();
    f.get(row).set(at).get(columns).set(left);
    const groups = f.loop();
    // Lanes that are left over repeat the last window.
    for (const [lane, { nth, start }] of windows.entries()) {
      f.i32(lane).get(left).i32(1).op(op.i32Sub).i32(lane).get(left).op(op.i32LtS, op.select).tee(nth);
      f.get(across).op(op.i32Mul).get(at).op(op.i32Add).set(start);
    }
    load(zero);
    f.get(v).set(best).get(f.constant("i32", 0)).set(place);
    grid(f, zero, taps, (offset) => {
      load(offset);
      f.get(v).get(best).get(v).get(best).op(gt);
      f.get(v).get(v).op(ne).get(best).get(best).op(eq, op.v128And, op.v128Or).tee(larger);
      f.op(op.v128Bitselect).set(best);
      f.get(offset).op(op.i32x4Splat).get(place).get(larger).op(op.v128Bitselect).set(place);
    });
    for (const [lane, { nth, start }] of windows.entries()) {
      f.get(out).get(nth).i32(2).op(op.i32Shl, op.i32Add);
      f.get(start)
        .get(x)
        .op(op.i32Sub)
        .get(place)
        .lane(op.i32x4ExtractLane, lane * (4 / count));
      f.op(op.i32Add).i32(shift).op(op.i32ShrU).store(op.i32Store);
    }
    f.get(out).get(windows.at(-1)!.nth).i32(1).op(op.i32Add).i32(2).op(op.i32Shl, op.i32Add).set(out);
    f.get(at).get(across).i32(count).op(op.i32Mul, op.i32Add).set(at);
    f.get(left).i32(count).op(op.i32Sub).tee(left).i32(0).op(op.i32GtS).brIf(groups).end();
    f.advanceBy(row, down);
    again(f, above, lines).advanceBy(x, plane);
    again(f, planes, each);
  });
  return m.instantiate(memory).argmax as Kernel;
}
