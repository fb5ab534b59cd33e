// What a step of `SphericalOutput` costs beside the dense step on all weights, and that its cost does not hang on the number of
// classes: node dist/tests/bench/spherical.js. Rounds are interleaved, since a shared machine drifts; only ratios count.

import { Parameter, tensor } from "../../core/index.ts";
import { taylorCe } from "../../losses/index.ts";
import { SphericalOutput } from "../../nn/index.ts";
import { linear } from "../../ops/index.ts";
import { SGD } from "../../optim/index.ts";
import { normal } from "./data.ts";
import { quantile } from "./harness.ts";

type Step = (i: number) => unknown;

const lr = 0.01;
const classOf = (i: number, classes: number): number => (i * 7919) % classes;
const examples = (d: number): Float32Array[] => Array.from({ length: 64 }, (_, i) => normal(i, d, 1));

function exact(classes: number, d: number): Step {
  const output = new SphericalOutput(d, classes);
  const h = examples(d);
  return (i) => output.step(h[i % 64]!, classOf(i, classes), { lr });
}

/** The same loss on the same weights by an op over all classes and plain SGD; no gradient of the features. */
function dense(classes: number, d: number): Step {
  const weight = new Parameter(new SphericalOutput(d, classes).weight());
  const optimizer = new SGD([weight], { lr });
  const h = examples(d).map((data) => tensor(data, { shape: [1, d] }));
  return (i) =>
    optimizer.minimize(() =>
      taylorCe(linear(h[i % 64]!, weight.value as never), [classOf(i, classes)], { order: 2 }),
    );
}

/** Milliseconds a step of each, as medians of interleaved rounds of so many steps. */
function medians(works: readonly (readonly [step: Step, steps: number])[], rounds: number): number[] {
  const samples = works.map((): number[] => []);
  for (let round = -2; round < rounds; round++) {
    works.forEach(([step, steps], k) => {
      const start = performance.now();
      for (let i = 0; i < steps; i++) step((round + 2) * steps + i);
      if (round >= 0) samples[k]!.push((performance.now() - start) / steps);
    });
  }
  return samples.map((times) => quantile(times, 0.5));
}

const [own, all] = medians(
  [
    [exact(200000, 128), 200],
    [dense(200000, 128), 3],
  ],
  9,
) as [number, number];
console.log(
  `200,000 classes of 128 features, log-Taylor softmax: ${own.toFixed(3)} ms a step, dense ${all.toFixed(1)} ms`,
);
console.log(`dense / exact: ${(all / own).toFixed(0)}`);
const [few, many] = medians(
  [
    [exact(10000, 64), 500],
    [exact(1000000, 64), 500],
  ],
  15,
) as [number, number];
console.log(`1,000,000 / 10,000 classes of 64 features: ${(many / few).toFixed(2)}`);
