// Calibration, `npm run example:calibration`: a network that was trained too long on too little is too sure of itself, and one
// temperature makes its probabilities honest without changing a single answer (Guo et al. 2017). Noisy digits, several seeds.

import { parseArgs } from "node:util";
import { type Key, normal, type Shape, scope, splitKey, type Tensor, uniform } from "simplexgrad";
import { accuracy, brierScoreMean, crossEntropy, ece, fitTemperature } from "simplexgrad/losses";
import {
  add,
  argmax,
  div,
  entmax15,
  equal,
  max,
  softmax,
  sparsemax,
  take,
  taylorSoftmax,
} from "simplexgrad/ops";
import { align } from "../main-job/table.ts";
import { type Digits, digitsIn, type Images, network, seeds, trained } from "./digits.ts";
import { gate, mean } from "./gate.ts";

type Scores = Tensor<[number, 10], "f32">;
const { values } = parseArgs({ options: { seeds: { type: "string", default: "5" } } });

const noise = 0.35;
const noisy = ({ x, y }: Digits, key: Key): Digits => ({
  x: add(x, normal([...x.shape], { key, std: noise }) as never) as Images,
  y,
});

/** What a reader wants to know of probabilities. */
interface Figures {
  readonly ece: number;
  readonly brier: number;
  readonly nll: number;
  readonly accuracy: number;
}

const item = (t: Tensor): number => t.item() as number;
const figuresOf = (scores: Scores, y: Digits["y"]): Figures =>
  scope(() => {
    const p = softmax(scores);
    return {
      ece: item(ece(p, y)),
      brier: item(brierScoreMean(p, y)),
      nll: item(crossEntropy(scores, y)),
      accuracy: item(accuracy(scores, y)),
    };
  });

async function outcome(key: Key, [train, held, test]: readonly [Digits, Digits, Digits]) {
  const [weights, order, foreign] = splitKey(key, 3) as [Key, Key, Key];
  const model = network(128, weights);
  const scoresOf = (x: Images): Scores => model.forward(x) as Scores;
  const loss = (rows: Tensor<Shape, "i32">): Tensor =>
    crossEntropy(scoresOf(take(train.x, rows).expect(["batch", 64]) as Images), take(train.y, rows));
  trained(model, train.y.size, loss, { steps: 600, batch: 64 }, order);
  const T = await fitTemperature(scoresOf(held.x), held.y);
  const [cold, warm] = [scoresOf(test.x), div(scoresOf(test.x), T) as Scores];
  // What is no digit at all: how sure is the network there?
  const confidence = (scores: Scores): number => mean([...max(softmax(scores), { axis: -1 }).dataSync()]);
  const nothing = scoresOf(uniform([500, 64], { key: foreign }) as Images);
  const same = (a: Tensor, b: Tensor): boolean =>
    [
      ...(equal(argmax(a as Scores, { axis: -1 }), argmax(b as Scores, { axis: -1 })) as Tensor).dataSync(),
    ].every((v) => v === 1);
  const maps = { sparsemax, entmax15, taylorSoftmax } as const;
  return {
    T,
    before: figuresOf(cold, test.y),
    after: figuresOf(warm, test.y),
    sameAnswers: same(cold, warm),
    foreign: [confidence(nothing), confidence(div(nothing, T) as Scores)] as const,
    brier: Object.fromEntries(
      Object.entries(maps).map(([name, map]) => {
        const [p, q] = [map(cold), map(warm)] as [Scores, Scores];
        return [name, [item(brierScoreMean(p, test.y)), item(brierScoreMean(q, test.y))] as const];
      }),
    ),
  };
}

const results: Awaited<ReturnType<typeof outcome>>[] = [];
for (const key of seeds(Number(values.seeds))) {
  const [split, ...rest] = splitKey(key, 5) as [Key, Key, Key, Key, Key];
  const parts = await digitsIn([150, 300, 1000], split);
  const [train, held, test] = parts.map((part, i) => noisy(part, rest[i]!)) as [Digits, Digits, Digits];
  results.push(await outcome(rest[3]!, [train, held, test]));
}

const of = (when: "before" | "after", what: keyof Figures): string =>
  mean(results.map((r) => r[when][what])).toFixed(3);
console.log(`Noisy digits, 64-128-10 trained on 150 images, means of ${results.length} seeds\n`);
console.log(
  align([
    ["probabilities", "ECE", "Brier", "NLL", "accuracy"],
    ...(["before", "after"] as const).map((when) => [
      when === "before" ? "as trained" : `at T = ${mean(results.map(({ T }) => T)).toFixed(2)}`,
      ...(["ece", "brier", "nll", "accuracy"] as const).map((what) => of(when, what)),
    ]),
  ]),
);
const [sure, less] = [0, 1].map((i) => mean(results.map(({ foreign }) => foreign[i]!)));
console.log(
  `\nImages of noise alone get a mean confidence of ${(100 * sure!).toFixed(0)} %, and ${(100 * less!).toFixed(0)} % after scaling: a temperature is honest about images like those it was fitted on, and about no others.`,
);
console.log(
  "\nBrier scores of other maps on the same scores (their likelihoods may be 0, so NLL does not compare):\n",
);
console.log(
  align([
    ["map", "as trained", "at T"],
    ...Object.keys(results[0]!.brier).map((name) => [
      name,
      ...[0, 1].map((i) => mean(results.map(({ brier }) => brier[name]![i]!)).toFixed(3)),
    ]),
  ]),
);
console.log(
  "\n1 + x + x²/2 falls below x = −1: taylorSoftmax of order 2 is no map for scores that were trained for softmax.\n",
);
gate(
  "the calibration error falls to a half or less, for every seed",
  results.every(({ before, after }) => after.ece <= 0.5 * before.ece),
);
gate(
  "every answer stays as it was",
  results.every(({ sameAnswers }) => sameAnswers),
);
