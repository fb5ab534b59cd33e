// The worker of the playground: holds the data, trains at the pace that the page asks for, and reports.
// One loop does all the computing, one step after another; messages only say what it is to do next.

import { useDevice } from "simplexgrad";
import { heads } from "../main-job/heads.ts";
import { type Task, taskOf } from "../main-job/train.ts";
import { unpackDigits } from "./digits.ts";
import type { Device, FromWorker, Sample, ToWorker } from "./messages.ts";
import { epochs, Trainer } from "./trainer.ts";

/** Milliseconds between reports, and of computing between looks at the messages. */
const rhythm = 80;

type Start = Extract<ToWorker, { type: "start" }>;

let wanted: Start | undefined;
let paused = false;
let pace = 1;
let wake: () => void = () => {};

const say = (message: FromWorker): void => postMessage(message);
const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "start") {
    wanted = data;
    paused = false;
    pace = data.pace;
  } else if (data.type === "pace") pace = data.pace;
  else if (data.type === "stop") wanted = undefined;
  else paused = data.type === "pause";
  wake();
});

const data = unpackDigits(await (await fetch(new URL("digits.bin", import.meta.url))).arrayBuffer());
const { test } = data;
/** The first test image of every class. */
const shown = Array.from({ length: data.classes }, (_, k) => test.y.indexOf(k));
const pixels = data.image[0] * data.image[1];
const noGpu = await useDevice("webgpu").then(
  () => undefined,
  (error: Error) => error.message,
);
say({
  type: "ready",
  samples: shown.map(
    (i): Sample => ({ pixels: test.x.slice(i * pixels, (i + 1) * pixels), label: test.y[i]! }),
  ),
  train: data.train.count,
  test: test.count,
  noGpu,
});

const tasks: { [device in Device]?: Task } = {};

/** The CPU is wasm, or js where a content policy forbids wasm. */
async function choose(device: Device): Promise<void> {
  if (device === "gpu") await useDevice("webgpu");
  else await useDevice("wasm").catch(() => useDevice("js"));
}

/** Trains until the run is done or another one is wanted. */
async function train(start: Start): Promise<void> {
  const { run, device } = start;
  await choose(device);
  tasks[device] ??= taskOf(data);
  const trainer = new Trainer(heads.find(({ name }) => name === start.head)!, tasks[device]);
  const { steps } = trainer;
  let [computed, computing] = [0, 0];
  /** Steps that the last slice made in a millisecond: the next one is to take a rhythm at most. */
  let speed = 0.01;

  const report = async (loss: number | undefined): Promise<void> => {
    const { predictions, ...figures } = await trainer.answer();
    const row = (i: number) => predictions.subarray(i * data.classes, (i + 1) * data.classes);
    say({
      type: "report",
      run,
      step: trainer.step,
      epoch: trainer.epoch,
      epochs,
      loss,
      ...figures,
      stepsPerSecond: computing > 0 ? (1000 * computed) / computing : undefined,
      predictions: Float32Array.from(shown.flatMap((i) => [...row(i)])),
      finished: trainer.step === steps,
    });
  };

  await report(undefined);
  let due = performance.now();
  while (trainer.step < steps && wanted === start) {
    if (paused) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      due = performance.now();
      continue;
    }
    // At most an epoch, so that a curve has points however fast the device is.
    const most = Math.min((pace * rhythm) / 1000, speed * rhythm, trainer.perEpoch);
    const count = Math.max(1, Math.round(most));
    const from = performance.now();
    const loss = await trainer.advance(count);
    const took = Math.max(performance.now() - from, 0.01);
    speed = count / took;
    // The first slices compile what they run: they say little about the speed.
    if (trainer.step > 20) {
      computed += count;
      computing += took;
    }
    await report(loss);
    due = Math.max(due + (1000 * count) / pace, performance.now());
    await wait(due - performance.now());
  }
}

for (;;) {
  const start = wanted;
  if (start === undefined) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    continue;
  }
  try {
    await train(start);
  } catch (error) {
    tasks[start.device] = undefined as never; // a lost device takes its tensors along
    say({ type: "failed", run: start.run, message: (error as Error).message });
  }
  if (wanted === start) wanted = undefined;
}
