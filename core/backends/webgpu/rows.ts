// Runs row kernels on the GPU: which shader a kernel needs for rows of this length, its parameters and its dispatch.
// What was compiled is kept on the kernel. Writes no WGSL itself.

import { DeviceError } from "../../errors.ts";
import { nodesOf } from "../../row/differentiate.ts";
import { Kernel } from "../../row/program.ts";
import { type Schedule, schedule } from "../../row/schedule.ts";
import type { RowOperand, Storage } from "../backend.ts";
import { emitRows, firstWord, hasPasses, walks } from "./emit.ts";
import type { Grid } from "./emit-values.ts";
import type { Block, Pipeline, Queue } from "./queue.ts";

/** Every way to lay rows over invocations; a kernel has one shader for each that it meets. */
const grids: readonly Grid[] = [
  { unit: "entry", width: 256, held: 0 },
  { unit: "row", width: 64, held: 0 },
  { unit: "share", width: 64, held: 4 },
  { unit: "share", width: 64, held: 16 },
  { unit: "share", width: 256, held: 16 },
  { unit: "share", width: 256, held: 0 },
];
/** Rows up to this length are an invocation's work: no barriers. */
const shortest = 32;

/** The grid for rows of n entries. It does not depend on how many rows there are: a row's bits are the same in every batch. */
function gridFor(plan: Schedule, n: number): number {
  if (!walks(plan.steps) && plan.scalars.length === 0) return 0;
  if (n <= shortest || !hasPasses(plan)) return 1;
  for (let at = 2; at < grids.length - 1; at++) if (n <= grids[at]!.width * grids[at]!.held) return at;
  return grids.length - 1;
}

/** Workgroups of a dispatch at most: there a shader goes on to the next rows. */
const mostGroups = 65_535;
/** Words of the parameters. */
const words = 64;

/** A shader of a kernel, for one grid and one pattern of numbers among the inputs; or kernels for parts of the results. */
interface Variant {
  readonly pipeline: Pipeline | undefined;
  readonly temporaries: number;
  readonly parts: readonly Part[];
  /** Room for the buffers of a dispatch. */
  readonly blocks: Block[];
}

/** Some results of a kernel as a kernel, with the places of its operands among those of the whole. */
interface Part {
  readonly kernel: Kernel;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** What a kernel becomes on a queue. */
class CompiledRows {
  readonly gpu: Queue;
  readonly plan: Schedule;
  private readonly kernel: Kernel;
  private readonly variants = new Map<number, Variant>();

  constructor(gpu: Queue, kernel: Kernel) {
    this.gpu = gpu;
    this.kernel = kernel;
    this.plan = schedule(kernel.program);
  }

  variant(grid: number, numbers: number, inputs: readonly (RowOperand | number)[]): Variant {
    const key = numbers * grids.length + grid;
    let found = this.variants.get(key);
    if (found === undefined) {
      found = this.compile(grids[grid]!, inputs);
      this.variants.set(key, found);
    }
    return found;
  }

  private compile(grid: Grid, inputs: readonly (RowOperand | number)[]): Variant {
    const { gpu, kernel } = this;
    const { name } = kernel.program;
    const { text, temporaries } = emitRows(kernel, this.plan, grid, (k) => typeof inputs[k] === "number");
    const tensors = inputs.filter((input) => typeof input !== "number").length;
    const bindings = tensors + kernel.outputs.length + temporaries;
    if (bindings > gpu.maxBuffers || firstWord + tensors + inputs.length > words)
      return { pipeline: undefined, temporaries: 0, parts: this.split(bindings), blocks: [] };
    const access = "r".repeat(tensors) + "w".repeat(bindings - tensors);
    return { pipeline: gpu.pipeline(name, text, access), temporaries, parts: [], blocks: [] };
  }

  /** Kernels for half of the results each: a shader binds only so many buffers. */
  private split(bindings: number): Part[] {
    const { program, float, inputs, outputs } = this.kernel;
    const count = outputs.length;
    if (count === 1)
      throw new DeviceError(
        program.name,
        `${bindings} tensors take part in one kernel, and this device binds ${this.gpu.maxBuffers}`,
        'compute it in steps, or on the "wasm" device',
      );
    const half = count >> 1;
    return [
      [0, half],
      [half, count],
    ].map(([from, to]) => {
      const results = program.results.slice(from, to);
      const used = new Set(nodesOf(results));
      const own = program.inputs.map((_, k) => k).filter((k) => used.has(program.inputs[k]!));
      const part = {
        ...program,
        inputs: own.map((k) => program.inputs[k]!),
        results,
        kinds: program.kinds.slice(from, to),
        stored: program.stored.slice(from, to),
      };
      return {
        kernel: new Kernel(
          part,
          float,
          own.map((k) => inputs[k]!),
        ),
        inputs: own,
        outputs: results.map((_, k) => from! + k),
      };
    });
  }
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
  let made = kernel.compiled.webgpu as CompiledRows | undefined;
  if (made === undefined || made.gpu !== gpu) {
    made = new CompiledRows(gpu, kernel);
    kernel.compiled.webgpu = made;
  }
  let numbers = 0;
  for (let k = 0; k < inputs.length; k++) numbers = 2 * numbers + (typeof inputs[k] === "number" ? 1 : 0);
  const grid = gridFor(made.plan, n);
  const { pipeline, temporaries, parts, blocks } = made.variant(grid, numbers, inputs);
  if (pipeline === undefined) {
    for (const part of parts)
      runRows(
        gpu,
        part.kernel,
        part.inputs.map((k) => inputs[k]!),
        part.outputs.map((k) => outputs[k]!),
        rows,
        n,
      );
    return;
  }

  const at = gpu.slot();
  const { u32 } = gpu;
  u32[at] = rows;
  u32[at + 1] = n;
  let next = at + firstWord;
  let bound = 0;
  for (let k = 0; k < inputs.length; k++) {
    const input = inputs[k]!;
    if (typeof input !== "number") {
      u32[next++] = input.offset;
      u32[next++] = input.rowStride;
      blocks[bound++] = input.storage;
    } else if (kernel.inputs[k] === "i32") gpu.i32[next++] = input;
    else if (kernel.inputs[k] === "bool") u32[next++] = input;
    else gpu.f32[next++] = input;
  }
  for (let k = 0; k < outputs.length; k++) blocks[bound++] = outputs[k]!;
  for (let k = 0; k < temporaries; k++) blocks[bound + k] = gpu.temporary(rows * n);
  const { unit, width } = grids[grid]!;
  const work = unit === "share" ? rows : Math.ceil((unit === "entry" ? rows * n : rows) / width);
  gpu.dispatch(pipeline, blocks, Math.min(work, mostGroups));
  for (let k = 0; k < temporaries; k++) gpu.release(blocks[bound + k]!);
}
