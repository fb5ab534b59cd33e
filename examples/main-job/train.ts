// Trains the main job's network with one head, and asks it about the test set. Prints nothing.

import { permutation, randomKey, scope, splitKey, tensor } from "simplexgrad";
import { Linear, Sequential } from "simplexgrad/nn";
import { relu, take } from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import type { DataSet } from "../data/index.ts";
import type { Head } from "./heads.ts";
import { accuracy, testFigures } from "./metrics.ts";
import type { TestFigures } from "./table.ts";

/** Units of the hidden layer, examples in a step, and Adam's step size. */
export const setup = { hidden: 64, batch: 32, lr: 3e-3 };

export interface TrainOptions {
  readonly epochs: number;
  /** Decides the first weights and the order of the examples. */
  readonly seed: number;
  /** Called after each epoch with the accuracy on the test set. */
  readonly onEpoch?: (accuracy: number) => void;
}

/** What one training left behind. */
export interface Trained {
  /** The loss of each step. */
  readonly losses: readonly number[];
  /** Test accuracy after each epoch. */
  readonly accuracyByEpoch: readonly number[];
  readonly test: TestFigures;
  /** The probabilities of the test set, [count, classes] in row-major order. */
  readonly predictions: Float32Array;
}

/** Trains a network of two layers from scratch. The same head, data and options give the same numbers every time. */
export function train(head: Head, data: DataSet, { epochs, seed, onEpoch }: TrainOptions): Trained {
  const { classes } = data;
  const features = data.image[0] * data.image[1];
  const { hidden, batch, lr } = setup;
  const model = new Sequential(
    new Linear(features, hidden, { seed }),
    relu,
    new Linear(hidden, classes, { seed }),
  );
  const adam = new Adam(model.parameters(), { lr });
  const losses: number[] = [];
  const accuracyByEpoch: number[] = [];
  let predictions: Float32Array = new Float32Array();
  let seconds = 0;

  scope(() => {
    const x = tensor(data.train.x, { shape: [data.train.count, features] });
    const y = tensor(data.train.y);
    const asked = tensor(data.test.x, { shape: [data.test.count, features] });
    for (const key of splitKey(randomKey(seed), epochs)) {
      const start = performance.now();
      const order = permutation(data.train.count, { key });
      for (let from = 0; from < data.train.count; from += batch) {
        const loss = adam.minimize(() => {
          const rows = order.slice([from, Math.min(from + batch, data.train.count)]);
          return head.loss(model.forward(take(x, rows)), take(y, rows));
        });
        losses.push(loss.item());
      }
      seconds += (performance.now() - start) / 1000;
      predictions = scope(() => head.map(model.forward(asked)).dataSync());
      accuracyByEpoch.push(accuracy(predictions, data.test.y, classes));
      onEpoch?.(accuracyByEpoch.at(-1)!);
    }
  });

  const figures = testFigures(predictions, data.test.y, classes);
  return {
    losses,
    accuracyByEpoch,
    predictions,
    test: { ...figures, stepsPerSecond: losses.length / seconds },
  };
}
