// AS-Speed, `npm run example:accumulation`: does it save time to step less often once most samples are easy? Trains a network on
// handwritten digits with the loss of AS-Softmax, updating after every mini-batch, and again with as many mini-batches per
// update as the share of easy samples allows. Prints what each took and reached, at a small and at a large size.

import { setImmediate as breath } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { scope, type Tensor, tensor } from "simplexgrad";
import { accuracy, asSoftmaxLoss, asSpeedSteps } from "simplexgrad/losses";
import { batches, Linear, Sequential } from "simplexgrad/nn";
import { relu } from "simplexgrad/ops";
import { Accumulation, Adam } from "simplexgrad/optim";
import { type DataSet, loadData } from "../data/index.ts";
import { align } from "../main-job/table.ts";

/** A network of two hidden layers, and how it is trained. */
interface Size {
  readonly title: string;
  readonly hidden: number;
  readonly batch: number;
  readonly lr: number;
  readonly epochs: number;
}

const sizes: readonly Size[] = [
  { title: "small", hidden: 64, batch: 32, lr: 3e-3, epochs: 20 },
  // Adam reads and writes seven numbers for each of a million parameters: beside batches of 8 that is no small part.
  { title: "large", hidden: 1024, batch: 8, lr: 5e-4, epochs: 4 },
];

/** What is compared: Adam alone, and with the rule around it. */
const methods: readonly { readonly title: string; readonly maxSteps?: number }[] = [
  { title: "every mini-batch" },
  { title: "AS-Speed, up to 8", maxSteps: 8 },
];

/** What one training took and reached. */
interface Outcome {
  readonly seconds: number;
  readonly updates: number;
  /** Mini-batches per update at the end. */
  readonly steps: number;
  readonly accuracy: number;
}

/** The digits as tensors. */
function tensorsOf({ train, test }: DataSet) {
  const images = (x: Float32Array): Tensor<[number, 64], "f32"> => tensor(x, { shape: [x.length / 64, 64] });
  return { x: images(train.x), y: tensor(train.y), asked: images(test.x), answers: tensor(test.y) };
}

/** A training that is under way. Only what it takes to train is timed, not what it takes to test. */
class Training {
  private readonly data: ReturnType<typeof tensorsOf>;
  private readonly rows;
  private readonly model;
  private readonly adam: Adam;
  private readonly speed: Accumulation | undefined;
  private milliseconds = 0;

  constructor(size: Size, maxSteps: number | undefined, data: ReturnType<typeof tensorsOf>, seed: number) {
    const { hidden, lr, batch } = size;
    this.data = data;
    this.rows = batches({ x: data.x, y: data.y }, { size: batch, seed });
    this.model = new Sequential(
      new Linear(64, hidden, { seed }),
      relu,
      new Linear(hidden, hidden, { seed: seed + 1000 }),
      relu,
      new Linear(hidden, 10, { seed: seed + 2000 }),
    );
    this.adam = new Adam(this.model.parameters(), { lr });
    if (maxSteps !== undefined)
      this.speed = new Accumulation(this.adam, {
        window: 20,
        adapt: (counted) => asSpeedSteps({ ...counted, maxSteps }),
      });
  }

  /** Goes through the training set once, in the order that the seed and the number of the epoch make. */
  epoch(): void {
    const start = performance.now();
    for (const { x, y } of this.rows) {
      const loss = (reduction: "mean" | "none") => () =>
        asSoftmaxLoss(this.model.forward(x), y, { reduction });
      if (this.speed) this.speed.minimize(loss("none"));
      else this.adam.minimize(loss("mean"));
    }
    this.milliseconds += performance.now() - start;
  }

  outcome(): Outcome {
    const { model, speed, rows } = this;
    speed?.flush();
    const { asked, answers } = this.data;
    const right = scope(() => accuracy(model.forward(asked), answers)).item();
    const [updates, steps] = speed ? [speed.updates, speed.steps] : [rows.epoch * rows.length, 1];
    return { seconds: this.milliseconds / 1000, updates, steps, accuracy: right };
  }
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const spread = (values: readonly number[]): number =>
  values.length < 2
    ? 0
    : Math.sqrt(mean(values.map((v) => (v - mean(values)) ** 2)) * (values.length / (values.length - 1)));
const shown = (values: readonly number[], digits: number): string =>
  `${mean(values).toFixed(digits)} ± ${spread(values).toFixed(digits)}`;

/** What the figures say, and no more: a ratio within two standard errors of 1 is no gain. */
function verdict(plain: readonly Outcome[], fewer: readonly Outcome[]): string {
  const ratios = plain.map(({ seconds }, i) => seconds / fewer[i]!.seconds);
  const error = (2 * spread(ratios)) / Math.sqrt(ratios.length);
  const times = `${mean(ratios).toFixed(2)} ± ${spread(ratios).toFixed(2)} times as fast`;
  const lost = 100 * (mean(plain.map((o) => o.accuracy)) - mean(fewer.map((o) => o.accuracy)));
  const price = `at ${Math.abs(lost).toFixed(1)} points ${lost > 0 ? "less" : "more"} accuracy`;
  if (ratios.length < 2) return `One seed says nothing about noise: ${times}, ${price}.`;
  if (mean(ratios) - error > 1) return `A gain: AS-Speed is ${times}, ${price}.`;
  if (mean(ratios) + error < 1) return `A loss: AS-Speed is ${times}, ${price}.`;
  return `No gain that could be told from noise: AS-Speed is ${times}, ${price}.`;
}

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "5" }, epochs: { type: "string" }, size: { type: "string" } },
});
const chosen = sizes.filter(({ title }) => title === (values.size ?? title));
const counts = [values.seeds, values.epochs ?? "1"].map(Number);
if (chosen.length === 0 || !counts.every((count) => Number.isInteger(count) && count > 0)) {
  console.error("The options are --seeds and --epochs, whole numbers from 1, and --size small or large.");
  process.exit(2);
}
const seeds = Array.from({ length: counts[0]! }, (_, i) => i + 1);
const data = tensorsOf(await loadData("digits"));

for (const given of chosen) {
  const size = { ...given, epochs: Number(values.epochs ?? given.epochs) };
  const bar = new SingleBar({
    format: "{bar} {percentage} %  {what}",
    barCompleteChar: "━",
    barIncompleteChar: "─",
    barsize: 32,
    hideCursor: true,
    noTTYOutput: true,
    notTTYSchedule: 5000,
  });
  bar.start(methods.length * seeds.length * size.epochs, 0, { what: size.title });
  const outcomes: Outcome[][] = methods.map(() => []);
  /** All methods at once, epoch by epoch in turn: whatever else the machine does meanwhile, it does to all of them. */
  const compare = async (
    seed: number,
    epochs: number,
    onEpoch: (title: string) => void,
  ): Promise<Outcome[]> => {
    const trainings = methods.map(({ maxSteps }) => new Training(size, maxSteps, data, seed));
    for (let epoch = 0; epoch < epochs; epoch++) {
      for (const [m, training] of trainings.entries()) {
        training.epoch();
        onEpoch(methods[m]!.title);
        await breath(); // for the bar to be drawn, and Ctrl-C to be heard
      }
    }
    return trainings.map((training) => training.outcome());
  };
  // Once unmeasured: the engine compiles during the first steps, to the cost of whoever comes first.
  await compare(0, 1, () => {});
  for (const seed of seeds) {
    const onEpoch = (title: string): void => bar.increment({ what: `${size.title}, ${title}, seed ${seed}` });
    for (const [m, outcome] of (await compare(seed, size.epochs, onEpoch)).entries())
      outcomes[m]!.push(outcome);
  }
  bar.stop();

  const { hidden, batch, lr, epochs } = size;
  const network = `MLP 64-${hidden}-${hidden}-10, AS-Softmax, Adam ${lr}, batch ${batch}`;
  console.log(`\n${network}, ${epochs} epochs of digits, ${seeds.length} seeds\n`);
  const rows = methods.map(({ title }, m) => [
    title,
    shown(
      outcomes[m]!.map((o) => o.seconds),
      2,
    ),
    Math.round(mean(outcomes[m]!.map((o) => o.updates))).toString(),
    mean(outcomes[m]!.map((o) => o.steps)).toFixed(1),
    shown(
      outcomes[m]!.map((o) => 100 * o.accuracy),
      2,
    ),
  ]);
  console.log(
    align([["update after", "seconds", "updates", "batches/update at the end", "accuracy %"], ...rows]),
  );
  console.log(`\n${verdict(outcomes[0]!, outcomes[1]!)}\n`);
}
