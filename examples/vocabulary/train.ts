// A next-word model with one of the output layers: training, perplexity, and state that goes on later. Prints nothing.

import {
  type Key,
  memory,
  type Parameter,
  randomKey,
  type Shape,
  scope,
  splitKey,
  type Tensor,
  tensor,
  valueAndGrad,
} from "simplexgrad";
import { Embedding, Linear, Module, type OutputLayer } from "simplexgrad/nn";
import { gather, logsumexp, mean, reshape, sum, tanh } from "simplexgrad/ops";
import { Adam, clipGradNorm, SparseAdam } from "simplexgrad/optim";
import { type Corpus, context, type Questions } from "./corpus.ts";
import type { Head, Output } from "./heads.ts";

export const setup = { width: 64, features: 128, batch: 256, lr: 2e-3, clip: 5 } as const;

/** Five embeddings, one layer of tanh, and an output layer. */
class NextWord extends Module {
  readonly embedding: Embedding;
  readonly hidden: Linear;
  readonly output: OutputLayer;

  constructor(corpus: Corpus, output: OutputLayer, seed: number) {
    super();
    this.embedding = new Embedding(corpus.size, setup.width, { seed });
    this.hidden = new Linear(context * setup.width, setup.features, { seed });
    this.output = output;
  }

  override forward(before: Questions["before"]): Tensor<Shape, "f32"> {
    const words = this.embedding.forward(before) as Tensor<Shape, "f32">;
    const rows = reshape(words, [before.shape[0]!, context * setup.width]);
    return tanh(this.hidden.forward(rows as never) as Tensor<Shape, "f32">);
  }
}

/** Perplexity after some steps. */
export interface Point {
  readonly step: number;
  readonly seconds: number;
  readonly perplexity: number;
}

/** A training that is under way. */
export class Training {
  readonly head: Head;
  readonly model: NextWord;
  readonly lazy: SparseAdam;
  readonly adam: Adam;
  /** Steps taken, the time that they took, and the most memory that one needed beyond what was there before it. */
  step = 0;
  seconds = 0;
  peakBytes = 0;
  points: Point[] = [];
  private readonly output: Output;
  private readonly corpus: Corpus;
  private readonly key: Key;
  private readonly parameters: readonly Parameter[];

  constructor(head: Head, corpus: Corpus, seed: number) {
    this.head = head;
    this.corpus = corpus;
    this.output = head.make(setup.features, corpus);
    this.model = new NextWord(corpus, this.output.layer, seed);
    this.key = randomKey(seed);
    const { embedding, hidden } = this.model;
    const own = this.output.layer.parameters();
    const options = { lr: setup.lr };
    this.lazy = new SparseAdam([...embedding.parameters(), ...(head.rows ? own : [])], options);
    this.adam = new Adam([...hidden.parameters(), ...(head.rows ? [] : own)], options);
    this.parameters = [...this.lazy.parameters, ...this.adam.parameters];
  }

  /** Goes on for some steps. Only what it takes to train is timed. */
  train(steps: number): void {
    const { lazy, adam, corpus, model, output, parameters } = this;
    const start = performance.now();
    for (const end = this.step + steps; this.step < end; this.step++) {
      scope(() => {
        const [forBatch, forLoss] = splitKey(splitKey(this.key, this.step + 1)[this.step]!) as [Key, Key];
        const { before, next } = corpus.batch(setup.batch, forBatch);
        const loss = (): Tensor => output.loss(model.forward(before), next, forLoss);
        const { gradients } = valueAndGrad(loss, parameters, { rows: true });
        const clipped = clipGradNorm(gradients, setup.clip).gradients;
        lazy.step(clipped.slice(0, lazy.parameters.length));
        adam.step(clipped.slice(lazy.parameters.length));
      });
    }
    this.seconds += (performance.now() - start) / 1000;
  }

  /** The perplexity on what was set aside, from probabilities that sum to one. */
  perplexity(count: number): number {
    let [nats, seen] = [0, 0];
    for (const { before, next } of this.corpus.heldOut(count, 250)) {
      scope(() => {
        const logP = this.output.layer.logProb(this.model.forward(before));
        const own = gather(logP, tensor(next, { shape: [next.length, 1] }), -1);
        nats -= sum(own as Tensor<Shape, "f32">).item() as number;
      });
      seen += next.length;
    }
    return Math.exp(nats / seen);
  }
}
