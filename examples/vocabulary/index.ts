// A large vocabulary, `npm run example:vocabulary`: a next-word model on the Brown corpus, 20,616 words, with eight output layers.
// Prints one table (perplexity from probabilities that sum to one, tokens a second, peak bytes), draws one figure, and checks what
// is claimed. All layers train in turn, a few steps each, so that whatever else the machine does is done to all of them. It can be
// interrupted, and goes on where it stopped when it is called again.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as breath } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { loadCheckpoint, saveCheckpoint, saveFile } from "simplexgrad/nn";
import { gate } from "../applications/gate.ts";
import { align } from "../main-job/table.ts";
import { Corpus, context } from "./corpus.ts";
import { figure } from "./figure.ts";
import { heads } from "./heads.ts";
import { setup, Training } from "./train.ts";

const usage = `npm run example:vocabulary -- [--quick] [--heads full,sampled,…] [--steps N] [--seed N] [--out FOLDER]
  --quick   a tenth of the steps: finishes in two minutes, and checks speed alone
  --heads   ${heads.map(({ id }) => id).join(", ")}
  --steps   training steps of ${setup.batch} words each (1500)
  --out     where table, figure and the state of an interrupted run go (out/vocabulary)`;

function options() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean", default: false },
        heads: { type: "string" },
        steps: { type: "string" },
        seed: { type: "string", default: "0" },
        out: { type: "string", default: "out/vocabulary" },
        help: { type: "boolean", default: false },
      },
    });
    const named = values.heads?.split(",") ?? heads.map(({ id }) => id);
    const chosen = heads.filter(({ id }) => named.includes(id));
    const unknown = named.filter((id) => !heads.some((head) => head.id === id));
    const steps = Number(values.steps ?? (values.quick ? 120 : 1500));
    const seed = Number(values.seed);
    if (unknown.length > 0) throw new Error(`there is no output layer ${unknown.join(", ")}`);
    if (!Number.isInteger(steps) || steps < 1) throw new Error("--steps is a whole number from 1");
    if (!Number.isInteger(seed) || seed < 0) throw new Error("--seed is a whole number from 0");
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    return { quick: values.quick, chosen, steps, seed, out: values.out };
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

const { quick, chosen, steps, seed, out } = options();
mkdirSync(out, { recursive: true });

/** Steps of each layer in its turn; evaluations on the way, and the questions of each of these and of the table. */
const turn = 10;
const evaluations = quick ? 4 : 15;
const questions = { way: quick ? 500 : 2000, end: quick ? 2000 : 20_000 };

// ---------------------------------------------------------------------------------------------------------------
// State of a run that was interrupted

const run = JSON.stringify({ steps, seed, heads: chosen.map(({ id }) => id) });
const progressFile = join(out, "progress.json");
const stateFile = (id: string): string => join(out, `${id}.safetensors`);

/** What is not among the tensors. */
type Progress = Pick<Training, "step" | "seconds" | "peakBytes" | "points">;

async function save(trainings: readonly Training[]): Promise<void> {
  for (const training of trainings) await saveCheckpoint(stateFile(training.head.id), training.parts);
  const progress = trainings.map(({ step, seconds, peakBytes, points }) => ({
    step,
    seconds,
    peakBytes,
    points,
  }));
  // Last and as a whole: until it is there the state before counts.
  await saveFile(progressFile, new TextEncoder().encode(JSON.stringify({ run, progress })));
}

async function resume(trainings: readonly Training[]): Promise<boolean> {
  if (!existsSync(progressFile)) return false;
  const saved = JSON.parse(readFileSync(progressFile, "utf8")) as { run: string; progress: Progress[] };
  if (saved.run !== run) {
    console.error(`${progressFile} belongs to another run, ${saved.run}; remove it, or name another --out`);
    process.exit(2);
  }
  for (const [i, training] of trainings.entries()) {
    await loadCheckpoint(stateFile(training.head.id), training.parts);
    Object.assign(training, saved.progress[i]);
  }
  return true;
}

const forget = (): void => {
  for (const file of [progressFile, ...chosen.map(({ id }) => stateFile(id))]) rmSync(file, { force: true });
};

// ---------------------------------------------------------------------------------------------------------------
// Training

const corpus = new Corpus();
const unigram = corpus.unigramPerplexity(questions.end);
const trainings = chosen.map((head) => new Training(head, corpus, seed));
if (await resume(trainings)) console.log(`Going on from step ${trainings[0]!.step}.`);

let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    interrupted = true;
  });

const bar = new SingleBar({
  format: "{bar} {percentage} %  {eta_formatted} left  {head}",
  barCompleteChar: "━",
  barIncompleteChar: "─",
  barsize: 32,
  hideCursor: true,
  gracefulExit: false,
  noTTYOutput: true,
  notTTYSchedule: 10_000,
});
const done = (): number => trainings.reduce((sum, { step }) => sum + step, 0);
bar.start(trainings.length * steps, done(), { head: "" });
const every = Math.max(turn, Math.ceil(steps / evaluations));
while (!interrupted && trainings.some(({ step }) => step < steps)) {
  for (const training of trainings) {
    const { head, step } = training;
    // The last training of a turn that was interrupted has taken as many steps as the first.
    const count = Math.min(turn, steps - step, every - (step % every));
    training.train(count);
    if (training.step % every === 0 || training.step === steps)
      training.points.push({
        step: training.step,
        seconds: training.seconds,
        perplexity: training.perplexity(questions.way),
      });
    bar.update(done(), {
      head: `${head.title}, perplexity ${training.points.at(-1)?.perplexity.toFixed(0) ?? "–"}`,
    });
    await breath(); // for the bar to be drawn, and Ctrl-C to be heard
  }
}
bar.stop();
if (interrupted && trainings.some(({ step }) => step < steps)) {
  await save(trainings);
  console.log(`\nStopped after step ${trainings[0]!.step}. The same command goes on from there.`);
  process.exit(130);
}
forget();

// ---------------------------------------------------------------------------------------------------------------
// What came of it

interface Result {
  readonly id: string;
  readonly title: string;
  readonly note: string;
  readonly perplexity: number;
  readonly tokensPerSecond: number;
  readonly times: number;
  readonly peakBytes: number;
}
const rate = ({ seconds }: Training): number => (steps * setup.batch) / seconds;
const base = trainings.find(({ head }) => head.id === "full");
const results = trainings.map(
  (training): Result => ({
    ...training.head,
    perplexity: training.perplexity(questions.end),
    tokensPerSecond: rate(training),
    times: base ? rate(training) / rate(base) : Number.NaN,
    peakBytes: training.peakBytes,
  }),
);
const table = align([
  ["output layer", "perplexity", "tokens/s", "× full softmax", "MB of loss and gradients", ""],
  ...results.map((r) => [
    r.title,
    r.perplexity.toFixed(1),
    Math.round(r.tokensPerSecond).toLocaleString("en-US"),
    base ? r.times.toFixed(2) : "–",
    (r.peakBytes / 1e6).toFixed(1),
    `  ${r.note}`,
  ]),
  ["word frequencies", unigram.toFixed(1), "", "", "", ""],
]);
console.log(
  `\nBrown corpus, ${corpus.size.toLocaleString("en-US")} words, ${context} words before, ${steps} steps of ${setup.batch}\n`,
);
console.log(`${table}\n`);
writeFileSync(join(out, "table.txt"), `${table}\n`);
writeFileSync(
  join(out, "perplexity.svg"),
  figure(
    trainings.map(({ head, points }) => ({ title: head.title, points })),
    corpus.unigramPerplexity(questions.way),
  ),
);
console.log(`Figure: ${join(out, "perplexity.svg")}\n`);

const of = (id: string): Result | undefined => results.find((r) => r.id === id);
const faster = (id: string, times: number): void => {
  const r = of(id);
  if (r && base)
    gate(
      `${r.title} trains ${times} × as many tokens a second as the full softmax (${r.times.toFixed(2)})`,
      r.times >= times,
    );
};
faster("adaptive", 2.5);
faster("sampled", 2);
faster("huffman", 4);
if (quick) console.log("Perplexities are those of the full run: leave out --quick.");
else {
  for (const r of results)
    if (r.id !== "uncorrected")
      gate(`${r.title} is better than word frequencies alone`, r.perplexity < unigram);
  const exact = ["full", "fused", "adaptive", "sampled", "nce"].flatMap((id) => of(id) ?? []);
  for (const r of exact)
    gate(`${r.title} reaches a perplexity of 560 (${r.perplexity.toFixed(1)})`, r.perplexity <= 560);
  const all = exact.map((r) => r.perplexity);
  gate(
    "full, fused, adaptive, sampled softmax and NCE are within 10 % of one another",
    Math.max(...all) <= 1.1 * Math.min(...all),
  );
  const [full, fused, sampled, uncorrected] = ["full", "fused", "sampled", "uncorrected"].map(of);
  if (full && fused)
    gate(
      "fused is the full softmax to three digits",
      Math.abs(fused.perplexity / full.perplexity - 1) < 1e-3,
    );
  if (sampled && uncorrected)
    gate(
      `without its correction sampled softmax is ${(uncorrected.perplexity / sampled.perplexity).toFixed(2)} × as bad, 1.5 × at least`,
      uncorrected.perplexity >= 1.5 * sampled.perplexity,
    );
  const nce = trainings.find(({ head }) => head.id === "nce");
  if (nce) {
    const logZ = nce.meanLogZ(2000);
    gate(
      `NCE normalises itself: the mean of log Z is ${logZ.toFixed(3)}, within 0.3 of 0`,
      Math.abs(logZ) < 0.3,
    );
  }
}
