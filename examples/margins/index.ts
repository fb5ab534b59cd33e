// Margins, `npm run example:margins`: what does a margin do to features? Trains a small encoder on the handwritten digits 0 to 5
// with plain softmax, cosine softmax, CosFace and ArcFace. Prints how near features come to the row of their class, and how well
// their cosines tell whether two digits of classes that were never seen, 6 to 9, are the same. Ends with an error where ArcFace
// does not draw classes together.

import { setImmediate as breath } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { permutation, randomKey, type Shape, scope, splitKey, type Tensor, tensor } from "simplexgrad";
import { arcface, cosface, cosineSoftmax, crossEntropy } from "simplexgrad/losses";
import { Linear, Sequential } from "simplexgrad/nn";
import { linear, matmul, normalize, relu, take } from "simplexgrad/ops";
import { AdamW } from "simplexgrad/optim";
import { loadData, type Split } from "../data/index.ts";
import { align } from "../main-job/table.ts";

/** Classes to train on, the width of the features, the factor of the cosines, and how the encoder is trained. */
const setup = { classes: 6, width: 16, scale: 16, batch: 128, lr: 1e-3, steps: 600 };

type Floats = Tensor<Shape, "f32">;
type Labels = Tensor<Shape, "i32">;

/** What is compared: losses of features, class rows and labels. */
const { scale } = setup;
const methods: readonly {
  readonly title: string;
  readonly loss: (x: Floats, weight: Floats, target: Labels) => Floats;
}[] = [
  { title: "softmax", loss: (x, weight, target) => crossEntropy(linear(x, weight), target) },
  { title: "cosine softmax", loss: (x, weight, target) => cosineSoftmax(x, weight, target, { scale }) },
  {
    title: "CosFace, m = 0.35",
    loss: (x, weight, target) => cosface(x, weight, target, { scale, margin: 0.35 }),
  },
  {
    title: "ArcFace, m = 0.5",
    loss: (x, weight, target) => arcface(x, weight, target, { scale, margin: 0.5 }),
  },
];
const [cosine, arc] = [1, 3];
/** What ArcFace's mean angle to the own class, over that of cosine softmax, has to stay below with every seed. */
const most = 0.7;

/** What one training led to: mean angles in degrees, and the share of pairs that are told right. */
interface Outcome {
  readonly own: number;
  readonly nearest: number;
  readonly auc: number;
}

/** The images of some classes. */
function imagesOf(parts: readonly Split[], wanted: (label: number) => boolean) {
  const pixels = 64;
  const [x, y]: [number[], number[]] = [[], []];
  for (const part of parts)
    part.y.forEach((label, i) => {
      if (!wanted(label)) return;
      x.push(...part.x.subarray(i * pixels, (i + 1) * pixels));
      y.push(label);
    });
  return {
    x: tensor(x, { shape: [y.length, pixels] }) as Floats,
    y: tensor(y, { dtype: "i32" }) as Labels,
    labels: y,
  };
}

/** An encoder, and a layer whose weights are a row for each class. */
function network(seed: number) {
  const { width, classes } = setup;
  const encoder = new Sequential(
    new Linear(64, 64, { seed }),
    relu,
    new Linear(64, width, { seed: seed + 1000 }),
  );
  return { encoder, rows: new Linear(width, classes, { seed: seed + 2000, bias: false }) };
}

const degrees = (c: number): number => (Math.acos(Math.min(1, Math.max(-1, c))) * 180) / Math.PI;
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean angles of features to the row of their class and to the nearest other one. */
function anglesOf(x: Floats, rows: Floats, labels: readonly number[]): { own: number; nearest: number } {
  const cosines = matmul(normalize(x), normalize(rows).transpose()).toArray() as number[][];
  const own = cosines.map((row, i) => degrees(row[labels[i]!]!));
  const nearest = cosines.map((row, i) => degrees(Math.max(...row.filter((_, j) => j !== labels[i]))));
  return { own: mean(own), nearest: mean(nearest) };
}

/** The probability that two digits of one class are more alike than two of different ones. */
function aucOf(x: Floats, labels: readonly number[]): number {
  const cosines = matmul(normalize(x), normalize(x).transpose()).toArray() as number[][];
  const pairs = cosines.flatMap((row, i) =>
    row.slice(0, i).map((c, j): [number, boolean] => [c, labels[i] === labels[j]]),
  );
  pairs.sort(([a], [b]) => a - b);
  let [below, wins] = [0, 0];
  for (const [, same] of pairs) {
    if (same) wins += below;
    else below++;
  }
  return wins / (below * (pairs.length - below));
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "5" },
    steps: { type: "string", default: String(setup.steps) },
  },
});
const [seeds, steps] = [Number(values.seeds), Number(values.steps)] as const;
if (![seeds, steps].every((count) => Number.isInteger(count) && count > 0)) {
  console.error("The options are --seeds and --steps, whole numbers from 1.");
  process.exit(2);
}
const { train, test } = await loadData("digits");
const seen = imagesOf([train, test], (label) => label < setup.classes);
const unseen = imagesOf([train, test], (label) => label >= setup.classes);

/** Trains with a loss, and asks the features. */
function outcomeOf(loss: (typeof methods)[number]["loss"], seed: number): Outcome {
  const { encoder, rows } = network(seed);
  const adam = new AdamW([...encoder.parameters(), ...rows.parameters()], { lr: setup.lr });
  const features = (x: Floats): Floats => encoder.forward(x as never) as Floats;
  const classRows = (): Floats => rows.weight.value as Floats;
  for (const key of splitKey(randomKey(seed), steps))
    scope(() => {
      const batch = permutation(seen.labels.length, { key }).slice([0, setup.batch]);
      const [images, labels] = [take(seen.x, batch) as Floats, take(seen.y, batch) as Labels];
      adam.minimize(() => loss(features(images), classRows(), labels));
    });
  return scope(() => ({
    ...anglesOf(features(seen.x), classRows(), seen.labels),
    auc: aucOf(features(unseen.x), unseen.labels),
  }));
}

const outcomes: Outcome[][] = methods.map(() => []);
const bar = new SingleBar({
  format: "{bar} {percentage} %  {what}",
  barCompleteChar: "━",
  barIncompleteChar: "─",
  barsize: 32,
  hideCursor: true,
  noTTYOutput: true,
  notTTYSchedule: 5000,
});
bar.start(methods.length * seeds, 0, { what: "" });
for (let seed = 1; seed <= seeds; seed++)
  for (const [m, { title, loss }] of methods.entries()) {
    outcomes[m]!.push(outcomeOf(loss, seed));
    bar.increment({ what: `${title}, seed ${seed}` });
    await breath(); // for the bar to be drawn, and Ctrl-C to be heard
  }
bar.stop();

const all = (m: number, key: keyof Outcome): number[] => outcomes[m]!.map((outcome) => outcome[key]);
const { width, batch, lr, classes } = setup;
console.log(
  `\nMLP 64-64-${width}, digits 0 to ${classes - 1}, s = ${scale}, ${steps} steps of AdamW ${lr}, batch ${batch}, ${seeds} seeds\n`,
);
console.log(
  align([
    ["loss", "° to own class", "° to the nearest other", "AUC of unseen classes"],
    ...methods.map(({ title }, m) => [
      title,
      mean(all(m, "own")).toFixed(1),
      mean(all(m, "nearest")).toFixed(1),
      mean(all(m, "auc")).toFixed(3),
    ]),
  ]),
);

const ratios = all(arc, "own").map((angle, i) => angle / all(cosine, "own")[i]!);
const worst = Math.max(...ratios);
const gain = mean(all(arc, "auc")) - mean(all(cosine, "auc"));
console.log(
  `\nWith ArcFace features lie at ${mean(ratios).toFixed(2)} times the angle of cosine softmax, at most ${worst.toFixed(2)}.`,
);
const than = `than cosine softmax, by ${Math.abs(gain).toFixed(3)} of AUC`;
console.log(
  gain < 0
    ? `It tells digits of unseen classes apart worse ${than}: with so few classes to train on, a margin does not help transfer.`
    : `It tells digits of unseen classes apart better ${than}: no more than these seeds say.`,
);
if (!(worst < most)) {
  console.error(`ArcFace should come to less than ${most} times the angle with every seed.`);
  process.exitCode = 1;
}
