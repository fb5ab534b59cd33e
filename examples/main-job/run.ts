// The main job put together: options in; a progress bar, a table and a page out. What each does is in the files beside this one.

import { mkdir, open, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { dirname } from "node:path";
import { setImmediate as breath } from "node:timers/promises";
import { SingleBar } from "cli-progress";
import { DeviceError, type DeviceName, type Tensor, useDevice } from "simplexgrad";
import { gpuName, withSoftwareGpu } from "../../tests/gpu.ts";
import { DataError, type DataSet, loadData } from "../data/index.ts";
import { help, type Options, readOptions, UsageError } from "./options.ts";
import { type HeadResult, htmlReport, type Sample } from "./report.ts";
import { resultTable, seedTable } from "./table.ts";
import { setup, type Task, type Trained, taskOf, train } from "./train.ts";

/** Trains every head with every seed under a progress bar; results by head, then by seed. */
async function trainAll({ heads, epochs, seeds }: Options, task: Task): Promise<Trained[][]> {
  const bar = new SingleBar({
    format: "{bar} {percentage} %  {head}, test accuracy {accuracy}",
    barCompleteChar: "━",
    barIncompleteChar: "─",
    barsize: 32,
    hideCursor: true,
    noTTYOutput: true,
    notTTYSchedule: 5000,
  });
  bar.start(heads.length * seeds.length * epochs, 0, { head: heads[0]!.title, accuracy: "–" });
  const results: Trained[][] = heads.map(() => []);
  try {
    for (const [h, head] of heads.entries()) {
      for (const seed of seeds) {
        const title = seeds.length > 1 ? `${head.title}, seed ${seed}` : head.title;
        const onEpoch = (share: number): Promise<unknown> => {
          bar.increment({ head: title, accuracy: `${(100 * share).toFixed(1)} %` });
          return breath(); // for the bar to be drawn, and Ctrl-C to be heard
        };
        results[h]!.push(await train(head, task, { epochs, seed, onEpoch }));
      }
    }
  } finally {
    bar.stop();
  }
  return results;
}

/** Test images worth looking at: those that the heads together find hardest, at most two of a class, then some that are easy. */
function telling(
  results: readonly Trained[],
  { test, classes }: DataSet,
  hard: number,
  easy: number,
): number[] {
  const doubt = (i: number): number =>
    results.reduce((sum, { predictions }) => sum + 1 - predictions[i * classes + test.y[i]!]!, 0);
  const byDoubt = Array.from({ length: test.count }, (_, i) => ({
    i,
    label: test.y[i]!,
    doubt: doubt(i),
  })).sort((a, b) => b.doubt - a.doubt || a.i - b.i);
  const chosen: typeof byDoubt = [];
  const choose = (from: typeof byDoubt, count: number, each: number): void => {
    for (const one of from) {
      if (chosen.length >= count) return;
      if (chosen.filter(({ label }) => label === one.label).length < each) chosen.push(one);
    }
  };
  choose(byDoubt, hard, 2);
  choose(byDoubt.slice(Math.floor(test.count / 2)), hard + easy, 1);
  return chosen.map(({ i }) => i);
}

/** Makes sure, before minutes of training, that there is a place for the page. */
async function checkWritable(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await (await open(path, "a")).close();
  } catch (cause) {
    throw new UsageError(
      `--out ${JSON.stringify(path)} cannot be written (${(cause as Error).message}): name another file`,
    );
  }
}

/** Has what is made from now on live on a device. */
async function choose(device: DeviceName): Promise<void> {
  try {
    await (device === "webgpu" ? withSoftwareGpu(() => useDevice(device)) : useDevice(device));
  } catch (cause) {
    if (!(cause instanceof DeviceError)) throw cause;
    throw new UsageError(`--device ${device} is not to be had here. ${cause.message}`);
  }
}

/** What a tensor's device is called: its name, and that of the chip behind it. */
function deviceTitle({ backend }: Tensor): string {
  const chip =
    backend.name === "webgpu"
      ? gpuName((backend as typeof backend & { readonly device: GPUDevice }).device)
      : (cpus()[0]?.model ?? "an unknown processor");
  return `${backend.name} on ${chip}`;
}

/** Trains, writes the page and prints the table. */
async function compare(options: Options): Promise<void> {
  const data = await loadData(options.data);
  await checkWritable(options.out);
  await choose(options.device);
  const task = taskOf(data);
  const device = deviceTitle(task.x);
  const start = performance.now();
  const results = await trainAll(options, task);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);

  const shown = telling(
    results.map((seeds) => seeds[0]!),
    data,
    6,
    3,
  );
  const { classes, test } = data;
  const pixels = data.image[0] * data.image[1];
  const heads = options.heads.map(({ title, note }, h): HeadResult => {
    const { losses, accuracyByEpoch, predictions, test } = results[h]![0]!;
    return {
      title,
      note,
      losses,
      accuracyByEpoch,
      test,
      predictions: shown.map((i) => [...predictions.subarray(i * classes, (i + 1) * classes)]),
      ...(options.seeds.length > 1 ? { seeds: results[h]!.map((one) => one.test) } : {}),
    };
  });
  const samples = shown.map(
    (i): Sample => ({ pixels: test.x.subarray(i * pixels, (i + 1) * pixels), label: test.y[i]! }),
  );
  const network = `MLP ${pixels}-${setup.hidden}-${classes}, Adam ${setup.lr}, batch ${setup.batch}`;
  const page = htmlReport({
    data: options.data,
    epochs: options.epochs,
    seed: options.seeds[0]!,
    image: data.image,
    classes,
    environment: `${network} · ${data.train.count} training and ${test.count} test images · ${device}, Node ${process.versions.node}`,
    heads,
    samples,
  });
  await writeFile(options.out, page);

  const several = options.seeds.length > 1;
  const seeds = several
    ? `seeds ${options.seeds[0]} to ${options.seeds.at(-1)}: mean ± standard deviation`
    : `seed ${options.seeds[0]}`;
  console.log(
    `\n${network}, ${options.epochs} ${options.epochs === 1 ? "epoch" : "epochs"} on ${options.data}, ${seeds}\n${device}\n`,
  );
  console.log(
    several ? seedTable(heads.map(({ title, seeds = [] }) => ({ title, seeds }))) : resultTable(heads),
  );
  if (results.flat().some(({ test }) => test.nll === Number.POSITIVE_INFINITY)) {
    console.log(
      "\nNLL is ∞ where a true class was given probability exactly 0: compare those heads by their Brier score.",
    );
  }
  console.log(`\nTrained in ${seconds} s. Curves and predictions: ${options.out}`);
}

/** Does what the command line asks for; gives the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options === "help") console.log(help);
    else await compare(options);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof DataError)) throw error;
    console.error(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
}
