// Golden adapters of samplers, losses of candidates and the spherical family.

import { tensor } from "../../core/create.ts";
import * as losses from "../../losses/index.ts";
import { SphericalOutput } from "../../nn/index.ts";
import { type Adapter, type Adapters, camelCase, type Options } from "./adapter.ts";

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

/** Steps of one example each, then the weights. */
const spherical: Adapter = async (inputs, { params, floats }) => {
  const { loss, lr, eps } = params as { readonly loss: string; readonly lr: number; readonly eps?: number };
  const [h, target, value] = await Promise.all(
    [inputs.h, inputs.target_index, inputs.target_value].map((t) => t?.data()),
  );
  const { weight } = inputs;
  const [classes, d] = weight!.shape as readonly number[] as [number, number];
  const output = new SphericalOutput(d, classes, {
    weight: tensor(await weight!.data(), { shape: [classes, d], device: "js" }),
    loss: camelCase(loss) as "squared",
    ...(eps === undefined ? {} : { eps }),
  });
  const steps = inputs.h!.shape[0]!;
  const at = <A extends ArrayLike<number>>(data: A, t: number): ArrayLike<number> =>
    Array.from(data).slice((t * data.length) / steps, ((t + 1) * data.length) / steps);
  const made = Array.from({ length: steps }, (_, t) =>
    output.step(at(h!, t), at(target!, t), { lr, ...(value ? { value: at(value, t) } : {}) }),
  );
  return {
    loss: floats(made.map((step) => step.loss)),
    grad_h: floats(
      made.flatMap((step) => Array.from(step.gradH)),
      [steps, d],
    ),
    weight: floats(await output.weight({ dtype: "f64", device: "js" }).data(), [classes, d]),
  };
};

export const candidates: Adapters = {
  spherical_sparse_sgd: () => spherical,
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
