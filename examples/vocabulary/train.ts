// A next-word model with one of the output layers: training, perplexity, and state that goes on later. Prints nothing.

import {
  type Key,
  memory,
  type Parameter,
  randomKey,
  resetPeak,
  type Shape,
  scope,
  splitKey,
  type Tensor,
  tensor,
  valueAndGrad,
} from "simplexgrad";
import { Embedding, FullSoftmax, Linear, Module, type OutputLayer, type Parts } from "simplexgrad/nn";
import { gather, logsumexp, mean, reshape, sum, tanh } from "simplexgrad/ops";
import { Adam, clipGradNorm, SparseAdam } from "simplexgrad/optim";
import { type Corpus, context, type Questions } from "./corpus.ts";
import type { Head, Output } from "./heads.ts";

/** A key for each step, whichever step training begins at. */
const keyOfStep = (seed: number, step: number): Key => randomKey(seed * 2 ** 24 + step);

export const setup = { width: 64, features: 128, batch: 256, lr: 2e-3, clip: 5 } as const;

/** Five embeddings, one layer of tanh, and an output layer. */
class NextWord extends Module {
  readonly embedding: Embedding;
  readonly hidden: Linear;
  readonly output: OutputLayer<"f32">;

  constructor(corpus: Corpus, output: OutputLayer<"f32">, seed: number) {
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
  /** Steps taken, the time that they took, and the most memory that a loss and its gradients needed beyond the model. */
  step = 0;
  seconds = 0;
  peakBytes = 0;
  points: Point[] = [];
  private readonly output: Output;
  private readonly corpus: Corpus;
  private readonly seed: number;
  private readonly parameters: readonly Parameter[];

  constructor(head: Head, corpus: Corpus, seed: number) {
    this.head = head;
    this.corpus = corpus;
    this.output = head.make(setup.features, corpus);
    this.model = new NextWord(corpus, this.output.layer, seed);
    this.seed = seed;
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
      const before = memory().bytes;
      resetPeak();
      scope(() => {
        const [forBatch, forLoss] = splitKey(keyOfStep(this.seed, this.step)) as [Key, Key];
        const { before: words, next } = corpus.batch(setup.batch, forBatch);
        const loss = (): Tensor => output.loss(model.forward(words), next, forLoss);
        const { gradients } = valueAndGrad(loss, parameters, { rows: true });
        this.peakBytes = Math.max(this.peakBytes, memory().peak - before);
        const clipped = clipGradNorm(gradients, setup.clip).gradients;
        lazy.step(clipped.slice(0, lazy.parameters.length));
        adam.step(clipped.slice(lazy.parameters.length));
      });
    }
    this.seconds += (performance.now() - start) / 1000;
  }

  /** The mean of log Z = log Σ exp of the scores, which a self-normalising model keeps at 0. */
  meanLogZ(count: number): number {
    const { layer } = this.output;
    if (!(layer instanceof FullSoftmax)) return Number.NaN;
    const found: number[] = [];
    for (const { before } of this.corpus.heldOut(count, 250))
      scope(() => {
        const scores = layer.decoder.forward(this.model.forward(before) as never);
        found.push(mean(logsumexp(scores as Tensor<Shape, "f32">)).item() as number);
      });
    return found.reduce((a, b) => a + b) / found.length;
  }

  /** What is needed to go on. */
  get parts(): Parts {
    const { model, lazy, adam } = this;
    return { model, lazy, adam };
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
