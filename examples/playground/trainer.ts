// Trains the classifier of the main job a few steps at a time, on the device chosen last, reading asynchronously.
// The same head, data and seed give the numbers of the main job. Knows no page.

import { scope, type Tensor } from "simplexgrad";
import { batches, Linear, Sequential } from "simplexgrad/nn";
import { relu } from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import type { Head } from "../main-job/heads.ts";
import { testFigures } from "../main-job/metrics.ts";
import { setup, type Task } from "../main-job/train.ts";

export const epochs = 40;
const seed = 0;
/** The loss of every fifth step is read, and of the last: reading waits for the device. */
const readEvery = 5;

/** What the network says of the whole test set. */
export interface Answer {
  readonly predictions: Float32Array;
  /** The share of right answers, 0 … 1. */
  readonly accuracy: number;
  /** Classes of probability above zero, on average. */
  readonly meanSupport: number;
}

export class Trainer {
  /** Steps done, and all that there will be. */
  step = 0;
  readonly steps: number;
  readonly perEpoch: number;
  private readonly head: Head;
  private readonly task: Task;
  private readonly model: Sequential;
  private readonly adam: Adam;
  private readonly rows;

  constructor(head: Head, task: Task) {
    this.head = head;
    this.task = task;
    const features = task.x.shape[1]!;
    this.rows = batches({ x: task.x, y: task.y }, { size: setup.batch, seed });
    this.perEpoch = this.rows.length;
    this.steps = epochs * this.perEpoch;
    this.model = new Sequential(
      new Linear(features, setup.hidden, { seed }),
      relu,
      new Linear(setup.hidden, task.data.classes, { seed }),
    );
    this.adam = new Adam(this.model.parameters(), { lr: setup.lr });
  }

  get epoch(): number {
    return Math.ceil(this.step / this.perEpoch);
  }

  /** Up to so many further steps; the mean loss of those that were read. */
  async advance(count: number): Promise<number | undefined> {
    const end = Math.min(this.steps, this.step + count);
    const losses: Tensor[] = [];
    for (; this.step < end; this.step++) {
      const loss = this.minimize();
      if (this.step % readEvery === 0 || this.step === end - 1) losses.push(loss);
    }
    if (losses.length === 0) return undefined;
    const read = await Promise.all(losses.map((loss) => loss.data()));
    return read.reduce((sum, [loss]) => sum + loss!, 0) / read.length;
  }

  private minimize(): Tensor {
    const { x, y } = this.rows.next();
    return this.adam.minimize(() => this.head.loss(this.model.forward(x), y));
  }

  /** Asks the network about the test set. */
  async answer(): Promise<Answer> {
    const { head, model, task } = this;
    // A reading that has begun needs the tensor no more.
    const { reading } = scope(() => ({ reading: head.map(model.forward(task.asked)).data() }));
    const predictions = await reading;
    const { accuracy, meanSupport } = testFigures(predictions, task.data.test.y, task.data.classes);
    return { predictions, accuracy, meanSupport };
  }
}
