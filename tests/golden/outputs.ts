// Golden adapters of output layers, sampling and contrastive losses.

import * as losses from "../../losses/index.ts";
import type { Adapter, Adapters, Options } from "./adapter.ts";

/** A loss of candidates: per sample and as a mean. */
const ofCandidates =
  (fn: (...args: never[]) => unknown): (() => Adapter) =>
  () =>
  ({ x, weight, bias, target, log_z: logZ, expected_true, expected_sampled, sampled }, { params }) => {
    const options: Options = {
      ...params,
      sampled,
      ...(expected_true ? { expectedTrue: expected_true, expectedSampled: expected_sampled } : {}),
      ...(logZ ? { logZ } : {}),
    };
    const call = (reduction: string) =>
      fn(...([x, weight, bias, target, { ...options, reduction }] as never[])) as never;
    return { loss_per_sample: call("none"), loss: call("mean") };
  };

/** Probabilities and expected counts of all ids. */
const logUniform: Adapter = (_, { params, floats }) => {
  const { range, numSamples, numTries, unique } = params as {
    readonly range: number;
    readonly numSamples: number;
    readonly numTries: number | null;
    readonly unique: boolean;
  };
  const sampler = new losses.LogUniformSampler(range);
  const ids = Array.from({ length: range }, (_, id) => id);
  const tries = unique ? (numTries ?? sampler.sample(numSamples, { seed: 0 }).tries) : undefined;
  return { prob: floats(sampler.prob()), expected_count: floats(sampler.expected(ids, numSamples, tries)) };
};

export const outputs: Adapters = {
  nce_loss: ofCandidates(losses.nceLoss),
  negative_sampling_loss: ofCandidates(losses.negativeSamplingLoss),
  ranking_nce_loss: ofCandidates(losses.rankingNceLoss),
  sampled_softmax_loss: ofCandidates(losses.sampledSoftmaxLoss),
  log_uniform_sampler: () => logUniform,
  unigram_distribution:
    () =>
    async ({ count }, { params, floats }) => ({
      prob: floats(new losses.UnigramSampler(await count!.data(), params).prob()),
    }),
};
