// Recurrent layers: sequences against their cells step by step, in both directions and through several layers; shapes and refusals.

import { describe, expect, test } from "vitest";
import { gradcheck, gradgradcheck } from "../core/check/index.ts";
import { zeros } from "../core/create.ts";
import { normal, randomKey } from "../core/random.ts";
import { memory, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { grad, tape, valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { GRU, GRUCell, LSTM, LSTMCell, RNN, RNNCell } from "../nn/index.ts";
import { add, mul, square } from "../ops/elementwise.ts";
import { concat, flip, slice, stack, transpose } from "../ops/movement.ts";
import { sum } from "../ops/reduce.ts";
import { Adam } from "../optim/index.ts";
import { firstDifference } from "./suite/samples.ts";

type Floats = Tensor<Shape, "f64">;

const draw = (seed: number, ...shape: number[]): Floats =>
  normal(shape, { key: randomKey(seed), dtype: "f64" }) as Floats;

const f64 = { dtype: "f64" } as const;
const [T, N, I, H] = [5, 3, 4, 2];

/** A layer and its cell as functions of a state in parts: [h] or [h, c]. */
interface Pair {
  readonly layer: (options: object) => {
    readonly run: (x: Floats, state?: Floats[]) => { output: Floats; state: Floats[] };
    readonly weights: { readonly [name: string]: { value: Floats } | null };
  };
  readonly cell: (inputSize: number) => {
    readonly step: (x: Floats, state: Floats[]) => Floats[];
    readonly weights: { [name: string]: { value: Floats } | null };
  };
  readonly parts: number;
}

const plain = (Layer: typeof GRU | typeof RNN, Cell: typeof GRUCell | typeof RNNCell, more = {}): Pair => ({
  layer: (options) => {
    const layer = new Layer(I, H, { ...f64, ...more, ...options }) as GRU<"f64">;
    return {
      run: (x, state) => {
        const { output, h } = layer.forward(x, state?.[0]);
        return { output, state: [h] };
      },
      weights: layer as never,
    };
  },
  cell: (inputSize) => {
    const cell = new Cell(inputSize, H, { ...f64, ...more }) as GRUCell<"f64">;
    return { step: (x, [h]) => [cell.forward(x, h)], weights: cell as never };
  },
  parts: 1,
});

const pairs: { readonly [name: string]: Pair } = {
  RNN: plain(RNN, RNNCell),
  "RNN with relu": plain(RNN, RNNCell, { nonlinearity: "relu" }),
  "GRU without biases": plain(GRU, GRUCell, { bias: false }),
  GRU: plain(GRU, GRUCell),
  LSTM: {
    layer: (options) => {
      const layer = new LSTM(I, H, { ...f64, ...options });
      return {
        run: (x, state) => {
          const found = layer.forward(x, state && { h: state[0]!, c: state[1]! });
          return { output: found.output, state: [found.h, found.c] };
        },
        weights: layer as never,
      };
    },
    cell: (inputSize) => {
      const cell = new LSTMCell(inputSize, H, f64);
      return {
        step: (x, [h, c]) => {
          const next = cell.forward(x, { h: h!, c: c! });
          return [next.h, next.c];
        },
        weights: cell as never,
      };
    },
    parts: 2,
  },
};

const names = ["weightIh", "weightHh", "biasIh", "biasHh"] as const;

/** What cells with the weights of a layer say, one step after the other. */
function stepwise(
  { layer, cell, parts }: Pair,
  options: { numLayers: number; bidirectional: boolean },
  x: Floats,
): { output: Floats; state: Floats[]; made: ReturnType<Pair["layer"]>; first: Floats[] } {
  const made = layer(options);
  const directions = options.bidirectional ? 2 : 1;
  const first = Array.from({ length: parts }, (_, i) => draw(20 + i, options.numLayers * directions, N, H));
  const last: Floats[][] = first.map(() => []);
  let below = x;
  for (let l = 0; l < options.numLayers; l++) {
    const sides: Floats[] = [];
    for (let d = 0; d < directions; d++) {
      const one = cell(l === 0 ? I : directions * H);
      for (const name of names) {
        const own = one.weights[name];
        if (own) own.value = made.weights[`${name}L${l}${d ? "Reverse" : ""}`]!.value;
      }
      let state = first.map((t) => slice(t, l * directions + d) as Floats);
      const outputs: Floats[] = [];
      for (let i = 0; i < T; i++) {
        const t = d === 0 ? i : T - 1 - i;
        state = one.step(slice(below, t) as Floats, state);
        outputs[t] = state[0]!;
      }
      sides.push(stack(outputs) as Floats);
      for (const [i, t] of state.entries()) last[i]!.push(t);
    }
    below = concat(sides, -1) as Floats;
  }
  return { output: below, state: last.map((all) => stack(all) as Floats), made, first };
}

describe.each(Object.entries(pairs))("%s", (_, pair) => {
  test.each([
    { numLayers: 1, bidirectional: false },
    { numLayers: 2, bidirectional: false },
    { numLayers: 1, bidirectional: true },
    { numLayers: 3, bidirectional: true },
  ])(
    "a sequence is its cells step by step: $numLayers layers, in both directions $bidirectional",
    (options) => {
      const x = draw(1, T, N, I);
      const { output, state, made, first } = stepwise(pair, options, x);
      const found = made.run(x, first);
      expect(found.output.shape).toEqual(output.shape);
      expect(firstDifference(found.output.dataSync(), output.dataSync(), 1e-14)).toBeUndefined();
      found.state.forEach((t, i) => {
        expect(t.shape).toEqual(state[i]!.shape);
        expect(firstDifference(t.dataSync(), state[i]!.dataSync(), 1e-14)).toBeUndefined();
      });
    },
  );

  test("no state is a state of zeros, the batch may come first, and one sequence may come alone", () => {
    const x = draw(2, T, N, I);
    const made = pair.layer({ bidirectional: true });
    const zero = Array.from({ length: pair.parts }, () => zeros([2, N, H], f64) as Floats);
    const { output, state } = made.run(x, zero);
    expect(made.run(x).output.toArray()).toEqual(output.toArray());
    const first = pair
      .layer({ bidirectional: true, batchFirst: true })
      .run(transpose(x, [1, 0, 2]) as Floats);
    expect(transpose(first.output, [1, 0, 2]).toArray()).toEqual(output.toArray());
    expect(first.state[0]!.toArray()).toEqual(state[0]!.toArray());
    const alone = made.run(
      slice(x, null, 1) as Floats,
      zero.map((t) => slice(t, null, 1) as Floats),
    );
    expect(alone.output.toArray()).toEqual(slice(output, null, 1).toArray());
    expect(alone.state[0]!.toArray()).toEqual(slice(state[0]!, null, 1).toArray());
  });

  test("gradients of inputs, first state and weights agree with differences, twice", () => {
    const made = pair.layer({ bidirectional: true });
    const state = Array.from({ length: pair.parts }, (_, i) => draw(30 + i, 2, 2, H));
    const f = (x: Floats, ...given: Floats[]): Floats => {
      const { output, state: last } = made.run(x, given);
      return last.reduce((all, t) => add(all, sum(square(t))) as Floats, sum(square(output)) as Floats);
    };
    gradcheck(f, [draw(3, 3, 2, I), ...state]);
    gradgradcheck(f, [draw(3, 2, 2, I), ...state]);
    const start = made.weights.weightHhL0Reverse!.value;
    const replaced = (value: Floats): Floats => {
      Object.assign(made.weights, { weightHhL0Reverse: { value } });
      return f(draw(3, 3, 2, I), ...state);
    };
    gradcheck(replaced, [start]);
  });

  test("an empty batch gives empty outputs", () => {
    expect(pair.layer({}).run(zeros([T, 0, I], f64) as Floats).output.shape).toEqual([T, 0, H]);
  });
});

test("both directions read the same: a palindrome gives one side turned, where the weights are the same", () => {
  const layer = new GRU(I, H, { ...f64, bidirectional: true });
  for (const name of names)
    Object.assign(layer, { [`${name}L0Reverse`]: (layer as never as { [n: string]: unknown })[`${name}L0`] });
  const half = draw(5, 3, N, I);
  const { output } = layer.forward(concat([half, flip(half, 0)]) as Floats);
  const [there, back] = [slice(output, null, null, [0, H]), slice(output, null, null, [H, 2 * H])];
  expect(firstDifference(flip(back, 0).dataSync(), there.dataSync(), 1e-14)).toBeUndefined();
});

test("dropout lies between layers alone, while training alone", () => {
  const x = draw(6, T, N, I);
  const one = new GRU(I, H, { ...f64, dropout: 0.5, seed: 1 });
  expect(one.forward(x).output.toArray()).toEqual(one.eval().forward(x).output.toArray());
  const two = new GRU(I, H, { ...f64, numLayers: 2, dropout: 0.5, seed: 1 });
  const used = two.eval().forward(x).output.toArray();
  expect(two.forward(x).output.toArray()).toEqual(used);
  expect(two.train().forward(x).output.toArray()).not.toEqual(used);
});

test("the cost is linear in the steps: so many records and bytes for each", () => {
  const layer = new LSTM(8, 16);
  const cost = (length: number): { records: number; bytes: number } => {
    const x = normal([length, 2, 8], { key: randomKey(1) });
    const { tape: records } = tape((x) => layer.forward(x).output, x);
    return scope(() => {
      const before = memory().bytes;
      layer.forward(x);
      return { records: records.records.length, bytes: memory().bytes - before };
    });
  };
  const [short, long, longer] = [cost(10), cost(20), cost(40)];
  expect(longer.records - long.records).toBe(2 * (long.records - short.records));
  expect((longer.bytes - long.bytes) / (long.bytes - short.bytes)).toBeCloseTo(2, 1);
});

test("a GRU learns whether the first of ten entries was positive", () => {
  const x = normal([10, 64, 1], { key: randomKey(7) });
  const first = slice(x, 0) as Tensor<Shape, "f32">;
  const layer = new GRU(1, 8, { seed: 3 });
  const optimizer = new Adam(layer.parameters(), { lr: 0.03 });
  const loss = (): Tensor => {
    const h = slice(layer.forward(x).h, 0, null, [0, 1]) as Tensor<Shape, "f32">;
    return sum(square(add(h, mul(first, -0.5))));
  };
  const start = (loss() as Tensor<Shape, "f32">).item();
  for (let i = 0; i < 150; i++) optimizer.minimize(loss as never);
  expect((loss() as Tensor<Shape, "f32">).item()).toBeLessThan(0.1 * start);
});

test("gradients reach every weight", () => {
  const layer = new LSTM(I, H, { ...f64, numLayers: 2, bidirectional: true });
  const { gradients } = valueAndGrad(
    () => sum(square(layer.forward(draw(8, T, N, I)).output)) as never,
    layer.parameters() as never,
  ) as unknown as { gradients: Tensor[] };
  expect(gradients.length).toBe(16);
  for (const g of gradients) expect(Math.max(...Array.from(g.dataSync(), Math.abs))).toBeGreaterThan(0);
  expect(grad((x: Floats) => sum(layer.forward(x).output) as Floats)(draw(8, T, N, I)).shape).toEqual([
    T,
    N,
    I,
  ]);
});
