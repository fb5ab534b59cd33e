// The output layers that are compared, each as a module with its loss, and what it says of all words when it is trained.

import { type Key, type Shape, type Tensor, tensor } from "simplexgrad";
import {
  fusedLinearCrossEntropy,
  LogUniformSampler,
  nceLoss,
  type Sampler,
  sampledSoftmaxLoss,
  UnigramSampler,
} from "simplexgrad/losses";
import {
  AdaptiveSoftmax,
  ClassBasedSoftmax,
  FullSoftmax,
  frequencyClusters,
  HierarchicalSoftmax,
  huffmanTree,
  type OutputLayer,
} from "simplexgrad/nn";
import type { Corpus } from "./corpus.ts";

type Features = Tensor<Shape, "f32">;

/** An output layer under comparison. */
export interface Head {
  readonly id: string;
  readonly title: string;
  readonly note: string;
  /** Whether a step changes a few rows of its parameters alone, so that lazy Adam trains them. */
  readonly rows: boolean;
  make(features: number, corpus: Corpus): Output;
}

/** A layer that was made. */
export interface Output {
  readonly layer: OutputLayer<"f32">;
  loss(h: Features, next: Int32Array, key: Key): Tensor;
}

/** The layer with its own loss. */
const byItself = (layer: OutputLayer<"f32">): Output => ({
  layer,
  loss: (h, next) => layer.forward(h, next).loss,
});

/** A softmax over all words whose bias begins as the logarithm of their frequencies. */
function full(features: number, corpus: Corpus): FullSoftmax {
  const layer = new FullSoftmax(features, corpus.size);
  layer.decoder.bias!.value = tensor(corpus.logUnigram, { dtype: "f32" }) as never;
  return layer;
}

/** The weights of a softmax over all words, trained by a loss that sees a few of them. */
function bySamples(
  samplerOf: (corpus: Corpus) => Sampler,
  loss: (
    h: Features,
    weight: Features,
    bias: Features,
    next: Int32Array,
    sampler: Sampler,
    key: Key,
  ) => Tensor,
): Head["make"] {
  return (features, corpus) => {
    const layer = full(features, corpus);
    const sampler = samplerOf(corpus);
    const { weight, bias } = layer.decoder;
    return {
      layer,
      loss: (h, next, key) => loss(h, weight.value as Features, bias!.value as Features, next, sampler, key),
    };
  };
}

export const heads: readonly Head[] = [
  {
    id: "full",
    title: "full softmax",
    note: "all scores at once",
    rows: false,
    make: (features, corpus) => byItself(full(features, corpus)),
  },
  {
    id: "fused",
    title: "fused",
    note: "the same without a tensor of scores",
    rows: false,
    make: (features, corpus) => {
      const layer = full(features, corpus);
      const { weight, bias } = layer.decoder;
      return {
        layer,
        loss: (h, next) =>
          fusedLinearCrossEntropy(h, weight.value as Features, bias!.value as Features, next),
      };
    },
  },
  {
    id: "adaptive",
    title: "adaptive softmax",
    note: "cutoffs 1000 and 6000, div 2",
    rows: false,
    make: (features, corpus) =>
      byItself(new AdaptiveSoftmax(features, corpus.size, { cutoffs: [1000, 6000], div: 2, headBias: true })),
  },
  {
    id: "huffman",
    title: "Huffman tree",
    note: "a choice at each of some ten nodes",
    rows: true,
    make: (features, corpus) => byItself(new HierarchicalSoftmax(features, huffmanTree(corpus.counts))),
  },
  {
    id: "classes",
    title: "two levels of classes",
    note: "√V classes of equal frequency",
    rows: true,
    make: (features, corpus) => byItself(new ClassBasedSoftmax(features, frequencyClusters(corpus.counts))),
  },
  {
    id: "nce",
    title: "NCE",
    note: "400 shared words of unigram^0.75, log Z = 0",
    rows: true,
    make: bySamples(
      ({ counts }) => new UnigramSampler(counts, { power: 0.75 }),
      (h, weight, bias, next, sampler, key) =>
        nceLoss(h, weight, bias, next, sampler.draw(next, 400, { key, unique: false })),
    ),
  },
  {
    id: "sampled",
    title: "sampled softmax",
    note: "1024 distinct log-uniform words, log Q taken off, hits removed",
    rows: true,
    make: bySamples(
      ({ size }) => new LogUniformSampler(size),
      (h, weight, bias, next, sampler, key) =>
        sampledSoftmaxLoss(h, weight, bias, next, sampler.draw(next, 1024, { key })),
    ),
  },
  {
    id: "uncorrected",
    title: "sampled, uncorrected",
    note: "the same with hits, and without log Q: a published mistake",
    rows: true,
    make: bySamples(
      ({ size }) => new LogUniformSampler(size),
      (h, weight, bias, next, sampler, key) =>
        sampledSoftmaxLoss(h, weight, bias, next, {
          ...sampler.draw(next, 1024, { key }),
          subtractLogQ: false,
          removeAccidentalHits: false,
        }),
    ),
  },
];
