// The random stream on the device: Threefry-2x32 with 20 rounds, the words of `core/threefry.ts` bit for bit.

import type { Block, Queue } from "./queue.ts";
import { run, type Shader } from "./shader.ts";

const threefry: Shader = {
  label: "random",
  reads: [],
  writes: ["out: u32"],
  words: ["size", "first", "second", "floats"],
  main: `
var k = vec3u(first, second, first ^ second ^ 0x1bd11bda);
var v = vec2u(i, 0) + k.xy;
for (var turn = 1u; turn <= 5; turn++) {
  let by = select(vec4u(17, 29, 16, 24), vec4u(13, 15, 26, 6), turn % 2 == 1);
  for (var round = 0u; round < 4; round++) {
    v.x += v.y;
    v.y = ((v.y << by[round]) | (v.y >> (32 - by[round]))) ^ v.x;
  }
  k = k.yzx;
  v += vec2u(k.x, k.y + turn);
}
if (floats == 1) { v = bitcast<vec2u>(vec2f(v >> vec2u(8)) * 0x1p-24f); }
out[2 * i] = v.x;
if (2 * i + 1 < size) { out[2 * i + 1] = v.y; }
`,
};

/** The first words of a key's stream: as bits, or as floats in [0, 1). */
export function random(
  gpu: Queue,
  dtype: "i32" | "f32" | "f64",
  [first, second]: readonly [number, number],
  out: Block,
  size: number,
): void {
  const blocks = Math.ceil(size / 2);
  run(gpu, threefry, [out], blocks, [size, first, second, Number(dtype === "f32")]);
}
