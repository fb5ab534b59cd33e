// Digits in the splits and networks of the applications. Trains; judges nothing.

import {
  type Key,
  permutation,
  randomKey,
  type Shape,
  scope,
  splitKey,
  type Tensor,
  tensor,
  uniform,
} from "simplexgrad";
import { Linear, type Module, Sequential } from "simplexgrad/nn";
import { relu, take } from "simplexgrad/ops";
import { AdamW } from "simplexgrad/optim";
import { loadData } from "../data/index.ts";

export type Images = Tensor<[number, 64], "f32">;
export type Labels = Tensor<[number], "i32">;

/** Some of the digits. */
export interface Digits {
  readonly x: Images;
  readonly y: Labels;
}

/** All 1,797 digits in an order of the key's, cut into parts of the given sizes. */
export async function digitsIn(sizes: readonly number[], key: Key): Promise<Digits[]> {
  const { train, test } = await loadData("digits");
  const x = tensor(Float32Array.from([train.x, test.x].flatMap((part) => [...part])), {
    shape: [train.count + test.count, 64],
  });
  const y = tensor(Int32Array.of(...train.y, ...test.y));
  const order = permutation(x.shape[0], { key });
  let from = 0;
  return sizes.map((size) => {
    const rows = order.slice([from, from + size]);
    from += size;
    return { x: take(x, rows).expect(["n", 64]) as Images, y: take(y, rows) as unknown as Labels };
  });
}

/** The digits for which a condition on the label holds. */
export function where({ x, y }: Digits, holds: (label: number) => boolean): Digits {
  const rows = [...y.dataSync().keys()].filter((i) => holds(y.dataSync()[i]!));
  const index = tensor(Int32Array.from(rows));
  return { x: take(x, index).expect(["n", 64]) as Images, y: take(y, index) as unknown as Labels };
}

/** A network of one hidden layer, 64-hidden-10. */
export const network = (
  hidden: number,
  key: Key,
): Sequential<[Linear<64>, typeof relu, Linear<number, 10>]> => {
  const [first, second] = splitKey(key);
  return new Sequential(
    new Linear(64, hidden, { key: first! }),
    relu,
    new Linear(hidden, 10, { key: second! }),
  ) as never;
};

/** How a network is trained. */
export interface Training {
  readonly steps: number;
  readonly batch: number;
  readonly lr?: number;
  readonly weightDecay?: number;
}

/** Trains by AdamW on random batches; the loss is of the rows that a batch names. */
export function trained<M extends Module>(
  model: M,
  count: number,
  loss: (rows: Tensor<Shape, "i32">) => Tensor,
  { steps, batch, lr = 3e-3, weightDecay = 1e-4 }: Training,
  key: Key,
): M {
  const adam = new AdamW(model.parameters(), { lr, weightDecay });
  for (const step of splitKey(key, steps))
    scope(() => {
      const u = uniform([batch], { key: step, dtype: "f64" }).dataSync();
      const rows = tensor(Int32Array.from(u, (v) => Math.floor(v * count)));
      adam.minimize(() => loss(rows));
    });
  return model;
}

/** Seeds of independent runs. */
export const seeds = (count: number): Key[] => splitKey(randomKey(0), count);
