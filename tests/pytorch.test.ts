// Files that PyTorch wrote (`tests/pytorch/write.py`): the model of the same names takes them, says what PyTorch said, and
// writes them back to the last byte.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { dtypes } from "../core/dtype.ts";
import { fromSafetensors, toSafetensors } from "../nn/index.ts";
import { models, type Numbers } from "./pytorch/models.ts";
import { firstDifference } from "./suite/samples.ts";

const read = (file: string): Buffer => readFileSync(new URL(`pytorch/${file}`, import.meta.url));

/** The file of a model, and what the model writes after loading it. */
async function files(name: string): Promise<{ theirs: Buffer; ours: Buffer }> {
  const theirs = read(`${name}.safetensors`);
  const { tensors, metadata } = fromSafetensors(theirs);
  const { model } = models[name]!();
  expect(model.loadStateDict(tensors)).toEqual({ missing: [], unexpected: [] });
  return { theirs, ours: Buffer.from(await toSafetensors(model.stateDict(), metadata)) };
}

describe("a file of PyTorch", () => {
  test.each(Object.keys(models))("has %s say what it said there", (name) => {
    const said = JSON.parse(String(read(`${name}.json`))) as { readonly x: Numbers; readonly y: Numbers };
    const { model, answer } = models[name]!();
    model.eval().loadStateDict(fromSafetensors(read(`${name}.safetensors`)).tensors);
    const y = answer(said.x);
    expect(y.shape).toEqual(said.y.shape);
    expect(firstDifference([...y.dataSync()], [...said.y.data], dtypes.f32.tolerance[0])).toBeUndefined();
  });

  const counting = ["convolutional"];
  test.each(Object.keys(models).filter((name) => !counting.includes(name)))(
    "is written back by %s to the last byte",
    async (name) => {
      const { theirs, ours } = await files(name);
      expect(ours.equals(theirs)).toBe(true);
    },
  );

  test.each(counting)(
    "is written back by %s to the last float; counts have 32 bits here, and 64 there",
    async (name) => {
      const { theirs, ours } = await files(name);
      const [from, to] = [theirs, ours].map((file) => file.subarray(8 + file.readUInt32LE())) as [
        Buffer,
        Buffer,
      ];
      expect(to.subarray(0, -4).equals(from.subarray(8))).toBe(true);
      expect([to.readInt32LE(to.length - 4), Number(from.readBigInt64LE())]).toEqual([3, 3]);
    },
  );
});
