// Runs row kernels on the GPU: which shader a kernel needs for rows of this length, its parameters and its dispatch.
// What was compiled is kept on the kernel. Writes no WGSL itself.

import { DeviceError } from "../../errors.ts";
import { nodesOf } from "../../row/differentiate.ts";
import { constant, dependsOn, equal, index, type Scalar, select, type Value } from "../../row/expr.ts";
import { Kernel } from "../../row/program.ts";
import { type Schedule, schedule } from "../../row/schedule.ts";
import type { RowOperand, Storage } from "../backend.ts";
import { emitRows, firstWord } from "./emit.ts";
import type { Grid } from "./emit-values.ts";
import type { Block, Pipeline, Queue } from "./queue.ts";

/** Every way to lay rows over invocations; a kernel has one shader for each that it meets. */
const grids: readonly Grid[] = [
  { unit: "entry", width: 256, held: 0 },
  { unit: "entry of one row", width: 256, held: 0 },
  // Rows that fit: in one invocation without any barrier, or in a workgroup
  { unit: "row", width: 64, held: 32 },
  { unit: "share", width: 32, held: 4 },
  { unit: "share", width: 32, held: 32 },
  { unit: "share", width: 128, held: 32 },
  // and those that do not
  { unit: "share", width: 128, held: 0 },
];
const [entries, ofOneRow, rowEach] = [0, 1, 2] as const;
/** Workgroups of a dispatch at most: then a shader goes on to the next rows. */
const mostGroups = 65_535;
/** Words of the parameters. */
const words = 64;

/** A shader of a kernel, for one grid and one pattern of numbers among the inputs; or kernels for parts of the results. */
interface Variant {
  readonly pipeline: Pipeline | undefined;
  /** Entries or rows that a workgroup computes. */
  readonly work: number;
  /** The binding of each input, and how many there are. */
  readonly places: readonly number[];
  readonly tensors: number;
  /** Rows of memory, all in one buffer, that hold running sums and their like while it runs. */
  readonly temporaries: number;
  /** One-per-row inputs that share a binding, and the kernel that brings them together. */
  readonly packed: readonly number[];
  readonly pack: Kernel | undefined;
  readonly parts: readonly {
    readonly kernel: Kernel;
    readonly from: number;
    readonly to: number;
    /** The inputs that this part reads. */
    readonly takes: readonly number[];
  }[];
  /** Room for the buffers of a dispatch. */
  readonly blocks: Block[];
}

/** What a kernel becomes on a queue. */
interface Compiled {
  readonly gpu: Queue;
  readonly plan: Schedule;
  /** The grid, where the length of rows does not matter. */
  readonly grid: number | undefined;
  /** Whether invocations must work together on any row. */
  readonly scans: boolean;
  readonly variants: Map<number, Variant>;
}

function prepare(gpu: Queue, kernel: Kernel): Compiled {
  const plan = schedule(kernel.program);
  const passes = plan.steps.filter((s) => s.kind !== "scalar");
  const folds = passes.some((s) => s.kind !== "pass" || s.reductions.length > 0);
  const grid = passes.length === 0 ? rowEach : folds || plan.scalars.length > 0 ? undefined : entries;
  const scans = nodesOf(kernel.program.results).some((e) => e.word === "cumsum" || e.word === "kth");
  const made: Compiled = { gpu, plan, grid, scans, variants: new Map() };
  kernel.compiled.webgpu = made;
  return made;
}

/** The grid for rows of n entries. It does not depend on how many rows there are: a row's bits are the same in every batch. */
function gridFor(n: number, scans: boolean): number {
  if (n <= grids[rowEach]!.held && !scans) return rowEach;
  for (let at = rowEach + 1; at < grids.length - 1; at++)
    if (n <= grids[at]!.width * grids[at]!.held) return at;
  return grids.length - 1;
}

function compile(
  { gpu, plan }: Compiled,
  kernel: Kernel,
  grid: Grid,
  inputs: readonly (RowOperand | number)[],
): Variant {
  const { program, float, outputs } = kernel;
  const given = inputs.flatMap((input, k) => (typeof input === "number" ? [] : [k]));
  const write = (packed: readonly number[]): Variant => {
    let tensors = 0;
    const places: number[] = [];
    for (const k of inputs.keys())
      places.push(!given.includes(k) ? -1 : packed.indexOf(k) > 0 ? places[packed[0]!]! : tensors++);
    const { text, temporaries, work } = emitRows(kernel, plan, grid, places);
    const written = outputs.length + Math.min(temporaries, 1);
    const fits = tensors + written <= gpu.maxBuffers && firstWord + given.length + inputs.length <= words;
    const access = "r".repeat(tensors) + "w".repeat(written);
    const pipeline = fits ? gpu.pipeline(program.name, text, access) : undefined;
    const pack = packed.length > 0 ? packing(kernel, packed) : undefined;
    return { pipeline, work, places, tensors, temporaries, packed, pack, parts: [], blocks: [] };
  };
  const whole = write([]);
  if (whole.pipeline) return whole;
  // Inputs of one number per row can share a binding.
  const bindings = whole.tensors + outputs.length + Math.min(whole.temporaries, 1);
  const scalars = given.filter((k) => program.inputs[k]!.kind === "scalar" && kernel.inputs[k] === "f32");
  const surplus = bindings - gpu.maxBuffers;
  if (surplus > 0 && surplus < scalars.length) {
    const shared = write(scalars.slice(0, surplus + 1));
    if (shared.pipeline) return shared;
  }
  // Half of the results each
  const count = outputs.length;
  if (count === 1)
    throw new DeviceError(
      program.name,
      `${bindings} tensors take part in one kernel, and this device binds ${gpu.maxBuffers}`,
      'compute it in steps, or on the "wasm" device',
    );
  const half = count >> 1;
  const parts = [
    { from: 0, to: half },
    { from: half, to: count },
  ].map(({ from, to }) => {
    const cut = <T>(list: readonly T[]): T[] => list.slice(from, to);
    const results = cut(program.results);
    const takes = [...program.inputs.keys()].filter((k) =>
      results.some((e) => dependsOn(e, program.inputs[k]!)),
    );
    const part = {
      ...program,
      inputs: takes.map((k) => program.inputs[k]!),
      results,
      kinds: cut(program.kinds),
      stored: cut(program.stored),
    };
    const types = takes.map((k) => kernel.inputs[k]!);
    return { kernel: new Kernel(part, float, types), from, to, takes };
  });
  return { ...whole, parts };
}

/** Puts numbers that rows have one of each into rows of a tensor. */
function packing({ program }: Kernel, packed: readonly number[]): Kernel {
  const inputs = packed.map((k) => program.inputs[k] as Scalar);
  const row = inputs.reduceRight<Value>((rest, e, i) => select(equal(index, i), e, rest), constant(0));
  return Kernel.of({ name: "pack", inputs, results: [row], kinds: ["row"], stored: ["float"] }, "f32");
}

/** Runs a kernel over rows of n entries. */
export function runRows(
  gpu: Queue,
  kernel: Kernel,
  inputs: readonly (RowOperand | number)[],
  outputs: readonly Storage[],
  rows: number,
  n: number,
): void {
  let made = kernel.compiled.webgpu as Compiled | undefined;
  if (made === undefined || made.gpu !== gpu) made = prepare(gpu, kernel);
  const grid =
    made.grid === undefined
      ? gridFor(n, made.scans)
      : made.grid === entries && rows === 1
        ? ofOneRow
        : made.grid;
  let key = grid;
  for (let k = 0; k < inputs.length; k++) if (typeof inputs[k] === "number") key += grids.length * 2 ** k;
  let variant = made.variants.get(key);
  if (variant === undefined) {
    variant = compile(made, kernel, grids[grid]!, inputs);
    made.variants.set(key, variant);
  }
  const { pipeline, work, places, tensors, temporaries, packed, pack, parts, blocks } = variant;
  if (pipeline === undefined) {
    for (const { kernel, from, to, takes } of parts) {
      const taken = takes.map((k) => inputs[k]!);
      runRows(gpu, kernel, taken, outputs.slice(from, to), rows, n);
    }
    return;
  }

  let used = tensors;
  for (let k = 0; k < outputs.length; k++) blocks[used++] = outputs[k]!;
  if (temporaries > 0) blocks[used] = gpu.temporary(temporaries * rows * n);
  let operands = inputs;
  let together: Storage | undefined;
  if (pack !== undefined) {
    const rowStride = packed.length;
    const storage = gpu.temporary(rows * rowStride) as Storage;
    together = storage;
    runRows(
      gpu,
      pack,
      packed.map((k) => inputs[k]!),
      [storage],
      rows,
      rowStride,
    );
    operands = inputs.map((input, k) =>
      packed.includes(k) ? { storage, offset: packed.indexOf(k), rowStride } : input,
    );
  }
  const at = gpu.slot();
  const { u32 } = gpu;
  u32[at] = rows;
  u32[at + 1] = n;
  let next = at + firstWord;
  for (let k = 0; k < operands.length; k++) {
    const input = operands[k]!;
    if (typeof input !== "number") {
      u32[next++] = input.offset;
      u32[next++] = input.rowStride;
      blocks[places[k]!] = input.storage;
    } else if (kernel.inputs[k] === "i32") gpu.i32[next++] = input;
    else if (kernel.inputs[k] === "bool") u32[next++] = input;
    else gpu.f32[next++] = input;
  }
  // Entries want a workgroup each time; who computes rows goes on to the next ones.
  const groups = Math.ceil((grid <= ofOneRow ? rows * n : rows) / work);
  const y = grid <= ofOneRow ? Math.ceil(groups / mostGroups) : 1;
  gpu.dispatch(pipeline, blocks, Math.min(groups, mostGroups), y);
  if (temporaries > 0) gpu.release(blocks[used]!);
  if (together !== undefined) gpu.release(together);
}
