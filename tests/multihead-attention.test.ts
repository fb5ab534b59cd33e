// Heads side by side and the block of a transformer: against heads one by one, with masks, temperatures and refusals; and training.

import { describe, expect, test } from "vitest";
import { gradcheck } from "../core/check/index.ts";
import { tensor } from "../core/create.ts";
import { dtypes } from "../core/dtype.ts";
import { normal, randomKey } from "../core/random.ts";
import type { Shape } from "../core/shape.ts";
import { valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { crossEntropy } from "../losses/index.ts";
import {
  Embedding,
  Linear,
  MultiheadAttention,
  type MultiheadAttentionOptions,
  Sequential,
  scaledDotProductAttention,
  TransformerBlock,
} from "../nn/index.ts";
import { add, gelu, mul } from "../ops/elementwise.ts";
import { maskedSoftmax, softmax, sparsemax, taylorSoftmax } from "../ops/maps/index.ts";
import { linear } from "../ops/matmul.ts";
import { concat, slice, split } from "../ops/movement.ts";
import { sum } from "../ops/reduce.ts";
import { Adam } from "../optim/index.ts";
import { firstDifference } from "./suite/samples.ts";

type Floats = Tensor<Shape, "f64">;
type Bools = Tensor<Shape, "bool">;
type Options = MultiheadAttentionOptions<"f64">;

const [tolerance] = dtypes.f64.tolerance;
const draw = (seed: number, ...shape: number[]): Floats =>
  normal(shape, { key: randomKey(seed), dtype: "f64" }) as Floats;
const close = (got: Tensor, want: Tensor, within = tolerance): void => {
  expect(got.shape).toEqual(want.shape);
  expect(firstDifference(got.dataSync(), want.dataSync(), within)).toBeUndefined();
};

const [B, L, S, E, H] = [2, 5, 3, 6, 2];
const make = (options: Options = {}): MultiheadAttention<"f64"> => {
  const layer = new MultiheadAttention(E, H, { dtype: "f64", ...options });
  if (layer.inProjBias) layer.inProjBias.value = draw(40, 3 * E);
  return layer;
};

const past = (rows: number, columns: number): Bools =>
  tensor(
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_, j) => j <= i + columns - rows),
    ),
  ) as unknown as Bools;

/** The heads of a layer one after the other. */
function oneByOne(
  layer: MultiheadAttention<"f64">,
  [q, k, v]: readonly [Floats, Floats, Floats],
  map: (x: Floats) => Floats,
  temperatures: readonly number[],
): Floats {
  const weights = layer.inProjWeight
    ? split(layer.inProjWeight.value, 3)
    : [layer.qProjWeight!.value, layer.kProjWeight!.value, layer.vProjWeight!.value];
  const biases = layer.inProjBias ? split(layer.inProjBias.value, 3) : [];
  const [queries, keys, values] = [q, k, v].map((x, i) =>
    split(linear(x, weights[i] as never, biases[i] as never) as Floats, H, -1),
  ) as [Floats[], Floats[], Floats[]];
  const heads = queries.map((head, h) =>
    scaledDotProductAttention(head, keys[h]! as never, values[h]! as never, {
      map,
      scale: 1 / (Math.sqrt(E / H) * temperatures[h]!),
    }),
  );
  return layer.outProj.forward(concat(heads as never, -1) as never) as unknown as Floats;
}

describe("heads side by side", () => {
  const x = draw(1, B, L, E);
  const [k, v] = [draw(2, B, S, E), draw(3, B, S, E)];
  const kinds: { readonly [name: string]: [Options, (x: Floats) => Floats] } = {
    softmax: [{}, (x) => softmax(x)],
    sparsemax: [{ map: (x) => sparsemax(x) }, (x) => sparsemax(x)],
    "Taylor softmax": [{ map: (x) => taylorSoftmax(x) }, (x) => taylorSoftmax(x)],
    "Taylor softmax in linear time": [{ taylor: true }, (x) => taylorSoftmax(x)],
    "softmax without biases": [{ bias: false }, (x) => softmax(x)],
  };
  const temperatures = [0.5, 2];

  test.each(Object.entries(kinds))("are the heads one by one: %s", (_, [options, map]) => {
    for (const temperature of [undefined, temperatures]) {
      const layer = make({ ...options, ...(temperature && { temperature }) });
      const each = temperature ?? [1, 1];
      close(layer.forward(x).out, oneByOne(layer, [x, x, x], map, each));
      close(layer.forward(x, k).out, oneByOne(layer, [x, k, k], map, each));
      close(layer.forward(x, k, v).out, oneByOne(layer, [x, k, v], map, each));
    }
  });

  test("keys and values may have other features", () => {
    const layer = make({ kdim: 4, vdim: 3 });
    const [k, v] = [draw(2, B, S, 4), draw(3, B, S, 3)];
    close(
      layer.forward(x, k, v).out,
      oneByOne(layer, [x, k, v], (x) => softmax(x), [1, 1]),
    );
  });

  test("a sequence may come alone, or in a batch of batches", () => {
    const layer = make();
    const { out, weights } = layer.forward(x, x, x, { needWeights: true });
    const alone = layer.forward(slice(x, 1) as Floats, undefined, undefined, { needWeights: true });
    close(alone.out, slice(out, 1));
    close(alone.weights!, slice(weights!, 1));
    close(layer.forward(x.reshape([1, B, L, E]) as Floats).out, out.reshape([1, B, L, E]));
  });

  test("causal is the mask of the past, for every kind of weights", () => {
    const relevant = [kinds.softmax!, kinds.sparsemax!];
    for (const [options] of relevant) {
      const layer = make(options);
      for (const [q, k] of [
        [x, x],
        [x, draw(5, B, L + 2, E)],
      ] as const) {
        const masked = layer.forward(q, k, k, { mask: past(L, k.shape[1] as number) });
        close(layer.forward(q, k, k, { causal: true }).out, masked.out);
      }
    }
    const linearTime = make({ taylor: true });
    const first = linearTime.forward(x, x, x, { causal: true }).out;
    close(slice(first, null, 0), slice(linearTime.forward(slice(x, null, [0, 1]) as Floats).out, null, 0));
  });

  test("masks stretch over queries, heads and batches", () => {
    const keys = tensor([[[true, false, true]], [[false, true, true]]]) as unknown as Bools; // [B, 1, S]
    const layer = make();
    const { weights } = layer.forward(x, k, v, { mask: keys, needWeights: true });
    for (const [b, hidden] of [
      [0, 1],
      [1, 0],
    ] as const)
      expect(
        slice(weights!, b, null, null, hidden)
          .dataSync()
          .every((w) => w === 0),
      ).toBe(true);
    close(sum(weights!, { axis: -1 }), tensor(Array(B * H * L).fill(1), { shape: [B, H, L], dtype: "f64" }));
    const { out } = layer.forward(x, k, v, { mask: keys });
    const map = (z: Floats): Floats => maskedSoftmax(z, keys as never) as Floats;
    close(out, oneByOne(layer, [x, k, v], map, [1, 1]));
  });

  test("a query that may look at nothing gives the bias of the projection", () => {
    const none = tensor([
      [false, false, false],
      ...Array(L - 1).fill([true, true, true]),
    ]) as unknown as Bools;
    const layer = make();
    layer.outProj.bias!.value = draw(41, E) as never;
    const { out } = layer.forward(x, k, v, { mask: none });
    for (let b = 0; b < B; b++)
      expect(slice(out, b, 0).toArray()).toEqual(layer.outProj.bias!.value.toArray());
  });

  test("the temperature of each head has its own gradient, and is learned only where that is asked for", () => {
    for (const options of [{}, { map: (x: Floats) => sparsemax(x) }, { taylor: true }]) {
      const layer = make({ ...options, temperature: "learned" });
      expect(layer.logTemperature!.trainable).toBe(true);
      const g = draw(6, B, L, E);
      gradcheck(
        (logs: Floats) => {
          Object.assign(layer, { logTemperature: { value: logs } });
          return mul(layer.forward(x).out, g as never) as Floats;
        },
        [draw(7, H)],
      );
    }
    const fixed = make({ temperature: 2 });
    expect(fixed.logTemperature!.trainable).toBe(false);
    const { gradients } = valueAndGrad(() => sum(fixed.forward(x).out) as never, fixed.parameters() as never);
    expect((gradients as readonly unknown[]).filter((g) => g === undefined).length).toBe(1);
  });

  test("weights are dropped while training alone", () => {
    const layer = make({ dropout: 0.5 });
    const { out, weights } = layer.forward(x, x, x, { needWeights: true });
    expect(weights!.dataSync().some((w) => w === 0)).toBe(true);
    expect(out.toArray()).not.toEqual(layer.eval().forward(x).out.toArray());
    close(
      layer.forward(x).out,
      oneByOne(layer, [x, x, x], (x) => softmax(x), [1, 1]),
    );
  });
});

describe("the block of a transformer", () => {
  test.each([true, false])(
    "has gradients that agree with differences, normalising first: %s",
    (normFirst) => {
      const block = new TransformerBlock(4, 2, {
        dimFeedforward: 6,
        activation: gelu,
        dropout: 0,
        dtype: "f64",
        normFirst,
      });
      gradcheck((x: Floats) => block.forward(x, { causal: true }), [draw(1, 2, 3, 4)]);
    },
  );

  test("sees nothing ahead where it is causal, by whatever weights", () => {
    for (const options of [{}, { map: (x: Floats) => sparsemax(x) }, { taylor: true }]) {
      const block = new TransformerBlock(4, 2, { dimFeedforward: 6, dropout: 0, dtype: "f64", ...options });
      const x = draw(2, 1, 70, 4);
      const early = block.forward(slice(x, null, [0, 66]) as Floats, { causal: true });
      close(slice(block.forward(x, { causal: true }), null, [0, 66]), early);
    }
  });

  test.each(["softmax", "sparsemax", "taylor"])("learns to repeat the first symbol, by %s", (kind) => {
    const [symbols, length, batch, d] = [4, 6, 16, 16];
    const ids = Int32Array.from({ length: batch * length }, (_, i) => (i * i + 3 * i + (i >> 3)) % symbols);
    const x = tensor(ids, { shape: [batch, length] });
    const y = Int32Array.from({ length: batch }, (_, b) => ids[b * length]!);
    const block = new TransformerBlock(d, 2, {
      dimFeedforward: 32,
      dropout: 0,
      normFirst: true,
      temperature: "learned",
      ...(kind === "sparsemax" && { map: (x: Tensor<Shape, "f32">) => sparsemax(x) }),
      taylor: kind === "taylor",
    });
    const [embed, places] = [new Embedding(symbols, d), normal([length, d], { key: randomKey(9) })];
    const head = new Linear(d, symbols);
    const model = new Sequential(
      embed,
      (x: Tensor<Shape, "f32">) => block.forward(addPlaces(x)),
      (x: Tensor<Shape, "f32">) => slice(x, null, -1) as Tensor<Shape, "f32">,
      head,
    );
    const addPlaces = (x: Tensor<Shape, "f32">) => add(x, places as never) as Tensor<Shape, "f32">;
    const optimizer = new Adam(
      [...embed.parameters(), ...block.parameters(), ...head.parameters()] as never,
      {
        lr: 0.01,
      },
    );
    let loss = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 60; i++)
      loss = (
        optimizer.minimize(() => crossEntropy(model.forward(x as never) as never, y) as never) as Tensor<
          [],
          "f32"
        >
      ).item();
    expect(loss).toBeLessThan(0.2); // of log 4 = 1.39 at first
  });
});
