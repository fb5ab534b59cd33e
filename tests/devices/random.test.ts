// Random numbers on every device: the same bits from the same key, hence the same masks, samples and weights.

import { describe, expect, test } from "vitest";
import type { DeviceName } from "../../core/backends/backend.ts";
import { useDevice } from "../../core/device.ts";
import { bernoulli, normal, permutation, randomInt, randomKey, uniform } from "../../core/random.ts";
import { openScope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { Dropout, Linear } from "../../nn/index.ts";
import { kaimingNormal, kaimingUniform, orthogonal, xavierNormal, xavierUniform } from "../../nn/init.ts";
import { argmax, topK } from "../../ops/index.ts";
import { devices } from "../place.ts";

type Make = (device: DeviceName) => Tensor;
const key = randomKey(7);

/** Sizes on both sides of a block of the generator, and many. */
const sizes = [1, 2, 3, 4, 5, 257, 20_001];

const drawn: readonly (readonly [name: string, make: (size: number) => Make])[] = [
  ["uniform numbers", (n) => (device) => uniform([n], { key, low: -2, high: 3, device })],
  ["normal numbers", (n) => (device) => normal([n], { key, mean: 1, std: 2, device })],
  ["truth values", (n) => (device) => bernoulli([n], { key, p: 0.3, device })],
  ["integers", (n) => (device) => randomInt([n], { key, low: -5, high: 1000, device })],
  ["permutations", (n) => (device) => permutation(n, { key, device })],
];

const initial: readonly (readonly [name: string, make: Make])[] = [
  ["kaimingUniform", (device) => kaimingUniform([7, 5], { key, device })],
  ["kaimingNormal", (device) => kaimingNormal([7, 5], { key, device })],
  ["xavierUniform", (device) => xavierUniform([7, 5], { key, device })],
  ["xavierNormal", (device) => xavierNormal([7, 5], { key, device })],
  ["orthogonal", (device) => orthogonal([7, 5], { key, device })],
];

const bits = async (t: Tensor): Promise<Uint8Array> => new Uint8Array((await t.data()).buffer);

describe.each(devices)("on %s", (device) => {
  test.each(drawn)("%s are those of the plain device, bit by bit", async (_, make) => {
    using _scope = openScope();
    for (const size of sizes) expect(await bits(make(size)(device))).toEqual(await bits(make(size)("js")));
  });

  test.each(initial)("%s gives the weights of the plain device, bit by bit", async (_, make) => {
    using _scope = openScope();
    expect(await bits(make(device))).toEqual(await bits(make("js")));
  });

  test("a layer begins with the weights of the plain device", async () => {
    const weights = async (on: DeviceName): Promise<Float32Array[]> => {
      await useDevice(on);
      const { weight, bias } = new Linear(9, 4, { seed: 3 });
      return Promise.all([weight.value.data(), bias!.value.data()]);
    };
    expect(await weights(device)).toEqual(await weights("js"));
    await useDevice("wasm");
  });

  test("dropout leaves out what it leaves out on the plain device, step by step", async () => {
    using _ = openScope();
    const masks = async (on: DeviceName): Promise<Float32Array[]> => {
      const layer = new Dropout(0.4, { seed: 5 });
      const x = uniform([33, 7], { seed: 1, low: 1, high: 2, device: on });
      return Promise.all([layer.forward(x), layer.forward(x), layer.forward(x)].map((t) => t.data()));
    };
    const [there, plain] = [await masks(device), await masks("js")];
    expect(there.map((mask) => mask.map((v) => Number(v === 0)))).toEqual(
      plain.map((mask) => mask.map((v) => Number(v === 0))),
    );
  });

  test("what is sampled by a largest noisy score is the same", async () => {
    using _ = openScope();
    const sample = (on: DeviceName): Promise<Int32Array[]> => {
      const scores = uniform([50, 21], { key, device: on });
      return Promise.all([argmax(scores, { axis: -1 }).data(), topK(scores, 3).indices.data()]);
    };
    expect(await sample(device)).toEqual(await sample("js"));
  });
});
