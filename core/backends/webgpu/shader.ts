// How a shader written by hand is stated, compiled and run: storage, parameters and statements, without the text that is the
// same in all. Knows no kernel.

import type { Block, Pipeline, Queue } from "./queue.ts";

/** Invocations of a workgroup. */
export const threads = 64;

/** A compute shader. */
export interface Shader {
  readonly label: string;
  /** Storage that is read, in the order of the buffers: `name: element type`. */
  readonly reads: readonly string[];
  /** Storage that is written, behind it. */
  readonly writes: readonly string[];
  /** Names of the parameters (u32). They stand behind `total` in the slot, from its sixth word on. */
  readonly words: readonly string[];
  /** Whether `total` counts workgroups, which work as one; it counts invocations that know nothing of one another otherwise. */
  readonly together?: true;
  /** Invocations of a workgroup, where they are not `threads`. */
  readonly invocations?: number;
  /** Functions and workgroup variables. */
  readonly globals?: string;
  /** The statements. They know `group`, the number of the workgroup, `t`, the invocation in it, and `i`, the invocation of all. */
  readonly main: string;
}

function textOf({
  reads,
  writes,
  words,
  together,
  invocations = threads,
  globals = "",
  main,
}: Shader): string {
  const storage = [...reads, ...writes].map((name, k) => {
    const [variable, type] = name.split(": ");
    const access = k < reads.length ? "read" : "read_write";
    return `@group(0) @binding(${k}) var<storage, ${access}> ${variable}: array<${type}>;\n`;
  });
  return `${storage.join("")}@group(1) @binding(0) var<uniform> p: array<vec4u, 16>;
${globals}
@compute @workgroup_size(${invocations})
fn main(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) wgs: vec3u) {
let group = wg.x + wg.y * wgs.x;
let i = group * ${invocations} + t;
if (${together ? "group" : "i"} >= p[1].x) { return; }
${words.map((word, k) => `let ${word} = p[${(k + 5) >> 2}][${(k + 5) & 3}];\n`).join("")}${main}}
`;
}

const compiled: WeakMap<Queue, Map<Shader, Pipeline>> = /* @__PURE__ */ new WeakMap();

function pipelinesOf(gpu: Queue): Map<Shader, Pipeline> {
  let found = compiled.get(gpu);
  if (found === undefined) {
    found = new Map();
    compiled.set(gpu, found);
  }
  return found;
}

const description = (shader: Shader): [label: string, code: string, access: string] => [
  shader.label,
  textOf(shader),
  "r".repeat(shader.reads.length) + "w".repeat(shader.writes.length),
];

/** Compiles shaders ahead of their first use. */
export async function compileAhead(gpu: Queue, shaders: readonly Shader[]): Promise<void> {
  const found = pipelinesOf(gpu);
  await Promise.all(
    shaders.map(async (shader) => found.set(shader, await gpu.pipelineAsync(...description(shader)))),
  );
}

/** Runs a shader with its total and its words. */
export function run(
  gpu: Queue,
  shader: Shader,
  buffers: readonly Block[],
  total: number,
  words: readonly number[],
): void {
  const found = pipelinesOf(gpu);
  let pipeline = found.get(shader);
  if (pipeline === undefined) {
    pipeline = gpu.pipeline(...description(shader));
    found.set(shader, pipeline);
  }
  const at = gpu.slot() + 4;
  gpu.u32[at] = total;
  gpu.u32.set(words, at + 1);
  gpu.dispatch(pipeline, buffers, ...gpu.groups(shader.together ? total : Math.ceil(total / threads)));
}

/** The smallest power of two, from 1, that is no smaller. */
export const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(n, 1)));

/**
 * Sums with their remainders, what rounding took from them (Knuth's exact sum of two numbers). A device that simplifies the
 * remainder away leaves plain sums: whoever needs digits also keeps runs short and joins them in a tree. The remainder of an
 * infinite sum is NaN and means nothing.
 */
export const exactSums = `
fn plus(a: vec2f, b: vec2f) -> vec2f {
  let sum = a.x + b.x;
  let added = sum - a.x;
  return vec2f(sum, a.y + b.y + ((a.x - (sum - added)) + (b.x - added)));
}
fn rounded(a: vec2f) -> f32 {
  return select(a.x, a.x + a.y, (bitcast<u32>(a.y) & 0x7fffffffu) < 0x7f800000u);
}`;
