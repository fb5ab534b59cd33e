// Output layers on every device: what the plain device computes in f64, to the digits of the element type, gradients included.

import { describe, expect, test } from "vitest";
import { tensor } from "../../core/create.ts";
import { dtypes, type FloatDType } from "../../core/dtype.ts";
import { DeviceError } from "../../core/errors.ts";
import { openScope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { valueAndGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as nn from "../../nn/index.ts";
import { mul } from "../../ops/elementwise.ts";
import { argmax } from "../../ops/reduce.ts";
import { Adam } from "../../optim/index.ts";
import { numbersOf, type Setting, settings } from "../suite/samples.ts";

type Floats = Tensor<Shape, FloatDType>;
type Layer = nn.OutputLayer<FloatDType>;

const frequency = Array.from({ length: 37 }, (_, i) => 1 / (i + 1));
const makers: readonly (readonly [name: string, make: (options: Setting) => Layer])[] = [
  ["FullSoftmax", (o) => new nn.FullSoftmax(5, 37, o)],
  ["HierarchicalSoftmax", (o) => new nn.HierarchicalSoftmax(5, nn.huffmanTree(frequency), o)],
  ["HierarchicalSoftmax of one class", (o) => new nn.HierarchicalSoftmax(5, 1, o)],
  ["ClassBasedSoftmax", (o) => new nn.ClassBasedSoftmax(5, nn.frequencyClusters(frequency), o)],
  [
    "AdaptiveSoftmax",
    (o) => new nn.AdaptiveSoftmax(5, 37, { cutoffs: [4, 12], div: 2, headBias: true, ...o }),
  ],
  ["MixtureOfSoftmaxes", (o) => new nn.MixtureOfSoftmaxes(5, 37, { components: 3, ...o })],
];

const rows = Float32Array.from({ length: 20 }, (_, i) => Math.sin(3 * i + 1));
const plain: Setting = { device: "js", dtype: "f64" };

/** A layer in a setting, with weights that f32 holds. */
function layerIn(make: (options: Setting) => Layer, setting: Setting): Layer {
  const layer = make(setting);
  layer.parameters().forEach((p, k) => {
    const data = Float32Array.from({ length: p.size }, (_, i) => Math.cos(2 * i + k));
    p.value = tensor(data, { ...setting, shape: p.shape }) as never;
  });
  return layer;
}

/** All that a layer answers, each as numbers. */
async function answers(make: (options: Setting) => Layer, setting: Setting): Promise<number[][]> {
  using _ = openScope();
  const layer = layerIn(make, setting);
  const x = tensor(rows, { ...setting, shape: [4, 5] }) as Floats;
  const target = Int32Array.of(0, 36, -100, 7).map((id) => Math.min(id, layer.nClasses - 1));
  const { value, gradients } = valueAndGrad(() => layer.forward(x, target).loss, layer.parameters());
  const logProb = layer.logProb(x);
  const found = await numbersOf(
    value,
    layer.forward(x, target).output,
    logProb,
    ...gradients.flatMap((g) => (g && g.size > 0 ? [g] : [])),
  );
  const [predicted, best] = await numbersOf(layer.predict(x), argmax(logProb as never, { axis: -1 }));
  expect(predicted).toEqual(best);
  return found;
}

describe.each(settings)("on $device in $dtype", (setting) => {
  const { device, dtype } = setting;
  const tolerance = dtypes[dtype].tolerance[1];

  test.each(makers)("%s gives the plain device's numbers", async (_, make) => {
    const [want, got] = [await answers(make, plain), await answers(make, setting)];
    expect(got.length).toBe(want.length);
    want.forEach((list, k) => {
      const largest = Math.max(1, ...list.map(Math.abs));
      list.forEach((v, i) => {
        expect(Math.abs(got[k]![i]! - v)).toBeLessThanOrEqual(tolerance * largest);
      });
    });
  });

  test.each(makers)("%s is trained by an optimizer", async (_, make) => {
    const layer = layerIn(make, setting);
    const x = tensor(rows, { ...setting, shape: [4, 5] }) as Floats;
    const target = Int32Array.of(0, 36, 5, 7).map((id) => Math.min(id, layer.nClasses - 1));
    const adam = new Adam(layer.parameters(), { lr: 0.05 });
    const first = await adam.minimize(() => layer.forward(x, target).loss).data();
    for (let i = 0; i < 5; i++) adam.minimize(() => layer.forward(x, target).loss);
    const last = await layer.forward(x, target).loss.data();
    expect(last[0]!).toBeLessThanOrEqual(0.9 * first[0]!);
  });

  test("the best classes of a tree, and tied embeddings, are the plain device's", async () => {
    const ask = async (where: Setting): Promise<number[][]> => {
      using _ = openScope();
      const tree = layerIn(makers[1]![1], where) as nn.HierarchicalSoftmax<FloatDType>;
      const { values, indices } = tree.topK(tensor(rows, { ...where, shape: [4, 5] }) as Floats, 5);
      const output = layerIn(makers[4]![1], where) as nn.AdaptiveSoftmax<FloatDType>;
      const vectors = new nn.AdaptiveEmbedding(output).forward([36, 0, 11, 4, 3]);
      return numbersOf(values, indices, vectors);
    };
    const [want, got] = [await ask(plain), await ask(setting)];
    expect(got[1]).toEqual(want[1]);
    for (const k of [0, 2])
      got[k]!.forEach((v, i) => {
        expect(Math.abs(v - want[k]![i]!)).toBeLessThanOrEqual(10 * tolerance);
      });
  });

  test("targets that were computed are read where that is possible at once, and refused with a way out on a GPU", () => {
    const x = tensor(rows, { ...setting, shape: [4, 5] }) as Floats;
    const target = argmax(mul(x, 0) as never, { axis: -1 }) as Tensor<Shape, "i32">;
    for (const [, make] of makers) {
      if (device !== "webgpu") {
        expect(make(setting).forward(x, target).output.shape).toEqual([4]);
        continue;
      }
      expect(() => make(setting).forward(x, target)).toThrow(DeviceError);
      expect(() => make(setting).forward(x, target)).toThrow(/await target.data\(\)/);
    }
  });
});
