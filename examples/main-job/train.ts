// Trains the main job's network with one head, and asks it about the test set. Prints nothing.

import { type Shape, scope, type Tensor, tensor } from "simplexgrad";
import { batches, Linear, Sequential } from "simplexgrad/nn";
import { relu } from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import type { DataSet } from "../data/index.ts";
import type { Head } from "./heads.ts";
import { accuracy, testFigures } from "./metrics.ts";
import type { TestFigures } from "./table.ts";

/** Units of the hidden layer, examples in a step, and Adam's step size. */
export const setup = { hidden: 64, batch: 32, lr: 3e-3 };

/** A data set as tensors. */
export interface Task {
  readonly data: DataSet;
  readonly x: Tensor<Shape, "f32">;
  readonly y: Tensor<Shape, "i32">;
  readonly asked: Tensor<Shape, "f32">;
}

/** Makes the tensors that all trainings share. */
export function taskOf(data: DataSet): Task {
  const features = data.image[0] * data.image[1];
  return {
    data,
    x: tensor(data.train.x, { shape: [data.train.count, features] }),
    y: tensor(data.train.y),
    asked: tensor(data.test.x, { shape: [data.test.count, features] }),
  };
}

export interface TrainOptions {
  readonly epochs: number;
  /** Decides the first weights and the order of the examples. */
  readonly seed: number;
  /** Called, and awaited, after each epoch with the accuracy on the test set. */
  readonly onEpoch?: (accuracy: number) => unknown;
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

/**
 * Trains a network of two layers from scratch, on the device that the task's tensors live on. The same head, data and options
 * give the same numbers every time. Reading is waited for once an epoch, so that a GPU is never idle for a loss.
 */
export async function train(
  head: Head,
  task: Task,
  { epochs, seed, onEpoch }: TrainOptions,
): Promise<Trained> {
  const { data, x, y, asked } = task;
  const { hidden, batch, lr } = setup;
  const features = x.shape[1]!;
  const { classes } = data;
  const { device } = x;
  const model = new Sequential(
    new Linear(features, hidden, { seed, device }),
    relu,
    new Linear(hidden, classes, { seed, device }),
  );
  const adam = new Adam(model.parameters(), { lr });
  const losses: number[] = [];
  const accuracyByEpoch: number[] = [];
  const seconds: number[] = [];
  let predictions: Float32Array = new Float32Array();

  const train = batches({ x, y }, { size: batch, seed });
  while (train.epoch < epochs) {
    const start = performance.now();
    const steps = Array.from(train, (rows) => adam.minimize(() => head.loss(model.forward(rows.x), rows.y)));
    for (const [loss] of await Promise.all(steps.map((step) => step.data()))) losses.push(loss!);
    seconds.push((performance.now() - start) / 1000);
    // A reading that has begun needs the tensor no more.
    const answer = scope(() => ({ reading: head.map(model.forward(asked)).data() }));
    predictions = await answer.reading;
    accuracyByEpoch.push(accuracy(predictions, data.test.y, classes));
    await onEpoch?.(accuracyByEpoch.at(-1)!);
  }

  // Of the fastest epoch: the engine compiles during the first ones, to the cost of the head that happens to come first.
  const stepsPerSecond = train.length / Math.min(...seconds);
  const test = { ...testFigures(predictions, data.test.y, classes), stepsPerSecond };
  return { losses, accuracyByEpoch, predictions, test };
}
