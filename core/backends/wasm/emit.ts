// Compiles a kernel to WebAssembly: parameters, the loop over rows, and the steps of the schedule in their order.
// Passes, roots and scans stand in files of their own. Knows no tensor and no allocator.

import type { DType } from "../../dtype.ts";
import { constantOf, type Expr } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";
import { type RootStep, type Schedule, type Step, schedule } from "../../row/schedule.ts";
import { type Local, lanes, type ValueType, WasmModule } from "./assembler.ts";
import { emitPass } from "./emit-passes.ts";
import { patternBytes, writePatterns } from "./emit-root.ts";
import { type EmitStep, emitScalar, Frame } from "./emit-values.ts";
import * as op from "./opcodes.ts";

/** A compiled kernel. */
export interface RowFunction {
  /**
   * (in0, stride0, in1, stride1, …, out0, out1, …, scratch, begin, end, n): byte addresses of row 0 of every operand, bytes
   * from one row of an input to the next (0: shared), 16-aligned scratch memory, the rows to do, and the entries of a row.
   */
  readonly call: (...parameters: number[]) => void;
  /** Scratch memory that rows of n entries need, in bytes. */
  scratchBytes(n: number): number;
}

/** Bytes of an element in memory. */
const widths: Readonly<Record<DType, number>> = { f32: 4, f64: 8, i32: 4, bool: 1 };

/** Compiles a kernel for this memory, at once. */
export function compileRows(kernel: Kernel, memory: WebAssembly.Memory): RowFunction {
  const plan = schedule(kernel.program);
  const { bytes } = lanes[kernel.float];
  const patterns = plan.steps.some(gathers) ? patternBytes : 0;
  const call = assemble(kernel, plan, patterns).instantiate(memory).rows as RowFunction["call"];
  return { call, scratchBytes: (n) => patterns + plan.slots * ((n * bytes + 63) & -64) };
}

/** Whether the step, or one inside it, gathers entries. */
function gathers(step: Step): boolean {
  if (step.kind === "series") return step.body.some(gathers);
  return step.kind === "root" && (step.gather !== undefined || step.body.some(gathers));
}

function assemble(kernel: Kernel, plan: Schedule, patterns: number): WasmModule {
  const { inputs, results } = kernel.program;
  const module = new WasmModule();
  const count = 2 * inputs.length + results.length + 4;
  const parameters: ValueType[] = Array.from({ length: count }, () => "i32");
  module.function("rows", parameters, [], (f) => {
    const [scratch, row, rows, n] = [count - 4, count - 3, count - 2, count - 1] as [
      Local,
      Local,
      Local,
      Local,
    ];
    const end = f.local("i32");
    const frame = new Frame(f, kernel, plan, n, end);
    const { shift } = frame.lanes;
    f.get(n).i32(shift).op(op.i32Shl).set(end);

    // Pointers start at the first row to do.
    inputs.forEach((e, k) => {
      const [pointer, stride] = [2 * k, 2 * k + 1];
      f.get(pointer).get(row).get(stride).op(op.i32Mul, op.i32Add).set(pointer);
      frame.inputs.set(e, { pointer, type: kernel.inputs[k]! });
    });
    const advance = results.map((_, k) => {
      const pointer = 2 * inputs.length + k;
      const type = kernel.outputs[k]!;
      const step = f.local("i32");
      if (kernel.program.kinds[k] === "row") f.get(n).i32(widths[type]).op(op.i32Mul).set(step);
      else f.i32(widths[type]).set(step);
      f.get(pointer).get(row).get(step).op(op.i32Mul, op.i32Add).set(pointer);
      frame.outputs.push({ pointer, type });
      return step;
    });
    if (patterns > 0) {
      frame.patterns = scratch;
      writePatterns(frame);
    }
    for (let k = 0; k < plan.slots; k++) {
      const pointer = f.local("i32");
      if (k === 0) f.get(scratch).i32(patterns).op(op.i32Add).set(pointer);
      else
        f.get(frame.slots[k - 1]!.pointer)
          .get(end)
          .i32(63)
          .op(op.i32Add)
          .i32(-64)
          .op(op.i32And, op.i32Add)
          .set(pointer);
      frame.slots.push({ pointer, type: kernel.float });
    }
    for (const e of samples(plan.steps)) frame.sampled.add(e);

    // What depends on the length of the row alone is the same for every row.
    const fixed = new Set<Expr>();
    for (const step of plan.steps) {
      if (
        step.kind !== "scalar" ||
        !(
          step.node.word === "n" ||
          (step.node.args.length > 0 &&
            step.node.args.every((a) => fixed.has(a) || constantOf(a) !== undefined))
        )
      )
        continue;
      fixed.add(step.node);
      emitStep(frame, step);
    }
    const steps = plan.steps.filter((s) => s.kind !== "scalar" || !fixed.has(s.node));

    f.get(row).get(rows).op(op.i32LtU);
    f.if();
    const next = f.loop();
    for (const step of steps) emitStep(frame, step);
    for (const { result, node } of plan.scalars) storeScalar(frame, result, node);
    for (const [k, { pointer }] of [...frame.inputs.values()].entries()) {
      f.get(pointer)
        .get(2 * k + 1)
        .op(op.i32Add)
        .set(pointer);
    }
    advance.forEach((step, k) => {
      const { pointer } = frame.outputs[k]!;
      f.get(pointer).get(step).op(op.i32Add).set(pointer);
    });
    f.get(row).i32(1).op(op.i32Add).tee(row).get(rows).op(op.i32LtU).brIf(next).end();
    f.end();
  });
  return module;
}

/** The maxima whose accumulators roots start from. */
function samples(steps: readonly Step[]): Expr[] {
  return steps
    .filter((s): s is RootStep => s.kind === "root")
    .flatMap((s) => (s.gather?.sample ? [s.gather.sample] : []));
}

function emitStep(frame: Frame, step: Step): void {
  switch (step.kind) {
    case "pass":
      emitPass(frame, step);
      break;
    case "scalar":
      emitScalarStep(frame, step.node);
      break;
    default:
      (step.node.meaning!.wasm as EmitStep)(frame, step as never, (steps) => {
        for (const s of steps) emitStep(frame, s);
      });
  }
}

function emitScalarStep(frame: Frame, e: Expr): void {
  const { f, lanes: by } = frame;
  if (e.word !== "n" && e.word !== "input" && e.word !== "pick") {
    emitScalar(frame, e);
    return;
  }
  if (e.word === "n") {
    frame.integers.set(e, frame.n);
    f.get(frame.n).op(by.scalar.convertI32, by.splat);
  } else {
    const row = e.args[0] ?? e;
    const { pointer, type } = frame.inputs.get(row) ?? frame.kept(row)!;
    f.get(pointer);
    if (e.word === "pick") {
      const at = f.local("i32");
      frame.pushInteger(e.args[1]!);
      f.set(at);
      // Held below the length first: a row has at least one entry.
      frame.clampInteger(
        at,
        () => f.i32(0),
        () => f.get(frame.n).i32(1).op(op.i32Sub),
      );
      f.get(at).i32(widths[type]).op(op.i32Mul, op.i32Add).free(at);
    }
    pushElement(frame, e, type);
  }
  const l = f.local("v128");
  f.set(l);
  frame.scalars.set(e, l);
}

/** Loads an element from the address on the stack and leaves it in every lane. */
function pushElement(frame: Frame, e: Expr, type: DType): void {
  const { f, lanes: by } = frame;
  if (type === "f32" || type === "f64") {
    f.load(by.loadSplat);
    return;
  }
  const whole = f.local("i32");
  f.load(type === "i32" ? op.i32Load : op.i32Load8U).set(whole);
  if (e.sort === "bool") f.i32(0).get(whole).op(op.i32Sub, op.i32x4Splat).free(whole);
  else {
    f.get(whole).op(by.scalar.convertI32, by.splat);
    frame.integers.set(e, whole);
  }
}

/** Stores a result that is one number per row. */
function storeScalar(frame: Frame, result: number, e: Expr): void {
  const { f, lanes: by } = frame;
  const { pointer, type } = frame.outputs[result]!;
  f.get(pointer);
  if (type === "f32" || type === "f64") {
    frame.pushScalar(e);
    if (e.sort === "bool") f.get(frame.constant(1)).op(op.v128And);
    f.storeLane(by.storeLane, 0);
  } else {
    if (e.sort === "bool") {
      frame.pushScalar(e);
      f.op(op.v128AnyTrue);
    } else frame.pushInteger(e);
    f.store(type === "i32" ? op.i32Store : op.i32Store8);
  }
}
