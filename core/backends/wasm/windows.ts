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

/** The place in its plane of the first largest entry of each window. */
export function compileWindowArgmax(dtype: FloatDType, memory: WebAssembly.Memory): Kernel {
  const m = new WasmModule();
  const { shift, scalar } = lanes[dtype];
  m.function("argmax", params, [], (f, all) => {
    const [x, out, planes, plane, rows, down, columns, across, ...taps] = all as unknown as Twelve;
    const [place, larger, v, best] = [f.local("i32"), f.local("i32"), f.local(dtype), f.local(dtype)];
    const each = f.loop();
    grid(f, x, [rows, down, columns, across], (window) => {
      f.get(window).set(place);
      grid(f, window, taps, (tap) => {
        // place ^= (place ^ tap) & −larger: a choice of floats is a branch in some engines, which random entries mislead.
        f.get(place).load(scalar.load).set(best).get(tap).load(scalar.load).tee(v).get(best).op(scalar.gt);
        f.get(v).get(v).op(scalar.ne).get(best).get(best).op(scalar.eq, op.i32And, op.i32Or).set(larger);
        f.get(place).get(place).get(tap).op(op.i32Xor).i32(0).get(larger).op(op.i32Sub, op.i32And, op.i32Xor);
        f.set(place);
      });
      f.get(out).get(place).get(x).op(op.i32Sub).i32(shift).op(op.i32ShrU).store(op.i32Store);
      f.advance(out, 4);
    });
    f.advanceBy(x, plane);
    again(f, planes, each);
  });
  return m.instantiate(memory).argmax as Kernel;
}
