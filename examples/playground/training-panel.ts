// The training: choices, buttons, figures, two curves and ten digits. The worker computes; this asks it and shows its reports.

import { heads } from "../main-job/heads.ts";
import { setup } from "../main-job/train.ts";
import { chart, type Line } from "./chart.ts";
import { type DigitCard, digitCard } from "./digit-card.ts";
import { h, place, write } from "./dom.ts";
import type { Device, FromWorker, Report, ToWorker } from "./messages.ts";

/** Steps a second: at full speed a whole training is over before one has seen it. */
const paces: readonly (readonly [name: string, pace: number])[] = [
  ["slowly", 15],
  ["at a watchable pace", 90],
  ["at full speed", Number.POSITIVE_INFINITY],
];

/** One training: what its curves are drawn from. */
interface Run {
  readonly name: string;
  readonly accuracy: { readonly x: number[]; readonly y: number[] };
  readonly loss: { readonly x: number[]; readonly y: number[] };
}

/** Earlier runs that stay to compare with. */
const remembered = 6;

export function mountTraining(into: HTMLElement, worker: Worker): void {
  const runs: Run[] = [];
  let run = 0;
  let state: "loading" | "idle" | "running" | "paused" | "done" = "loading";
  let cards: readonly DigitCard[] = [];

  // Choices
  const note = h("p", { class: "quiet note" });
  const head = h(
    "select",
    { id: "head", change: () => restart() },
    ...heads.map(({ title }) => h("option", {}, title)),
  );
  const device = (value: Device, text: string): [HTMLInputElement, HTMLLabelElement] => {
    const radio = h("input", { type: "radio", name: "device", value, change: () => restart() });
    return [radio, h("label", { class: "choice" }, radio, text)];
  };
  const [cpu, cpuLabel] = device("cpu", "CPU");
  const [gpu, gpuLabel] = device("gpu", "GPU");
  cpu.checked = true;
  gpu.disabled = true;
  const gpuNote = h("p", { class: "quiet note", id: "gpu-note", role: "status" }, "Looking for a GPU …");
  const pace = h(
    "select",
    { id: "pace", change: () => send({ type: "pace", pace: paces[pace.selectedIndex]![1] }) },
    ...paces.map(([name], i) => h("option", { selected: i === 1 }, name)),
  );
  const start = h("button", { type: "button", class: "primary", id: "start", disabled: true, click: () => turn() });
  const reset = h("button", { type: "button", id: "reset", disabled: true, click: () => clear() }, "Reset");

  // Results
  const figure = (id: string, label: string): [HTMLElement, HTMLElement] => {
    const value = h("dd", { id }, "–");
    return [value, h("div", {}, h("dt", {}, label), value)];
  };
  const [epoch, epochBox] = figure("epoch", "epoch");
  const [loss, lossBox] = figure("loss", "training loss");
  const [accuracy, accuracyBox] = figure("accuracy", "test accuracy");
  const [speed, speedBox] = figure("speed", "steps per second");
  const failure = h("p", { class: "failure", role: "alert" });
  const accuracyChart = chart({
    title: "Test accuracy by step; earlier runs in grey",
    range: () => [0, 100],
    format: (v) => `${v} %`,
  });
  const lossChart = chart({
    title: "Training loss by step",
    range: (_, greatest) => [0, Number.isFinite(greatest) ? greatest * 1.05 : 1],
    format: (v) => String(Number(v.toPrecision(2))),
  });
  const digits = h("div", { class: "digits" });

  into.append(
    h(
      "div",
      { class: "choices" },
      h("label", { class: "field", for: "head" }, "Head", head),
      note,
      h("div", { class: "field", role: "radiogroup", "aria-label": "Device" }, "Device", h("span", {}, cpuLabel, gpuLabel)),
      gpuNote,
      h("label", { class: "field", for: "pace" }, "Train", pace),
      h("div", { class: "buttons" }, start, reset),
      h("dl", { class: "figures" }, epochBox, lossBox, accuracyBox, speedBox),
      failure,
    ),
    h("div", { class: "charts" }, accuracyChart.element, lossChart.element),
    digits,
  );

  const send = (message: ToWorker): void => worker.postMessage(message);

  function become(next: typeof state): void {
    state = next;
    start.disabled = state === "loading";
    reset.disabled = runs.length === 0;
    write(start, { loading: "Start", idle: "Start", running: "Pause", paused: "Go on", done: "Train again" }[state]);
    write(note, heads[head.selectedIndex]!.note);
    into.dataset.state = state;
  }

  /** The one button: starts, pauses, goes on. */
  function turn(): void {
    if (state === "running") {
      send({ type: "pause" });
      become("paused");
    } else if (state === "paused") {
      send({ type: "resume" });
      become("running");
    } else begin();
  }

  function begin(): void {
    const chosen = heads[head.selectedIndex]!;
    const where: Device = gpu.checked ? "gpu" : "cpu";
    runs.push({ name: chosen.title, accuracy: { x: [], y: [] }, loss: { x: [], y: [] } });
    while (runs.length > remembered) runs.shift();
    write(failure, "");
    send({ type: "start", run: ++run, head: chosen.name, device: where, pace: paces[pace.selectedIndex]![1] });
    become("running");
  }

  /** Another head or device: a new run if one is going on. */
  function restart(): void {
    if (state === "running") begin();
    else become(state === "loading" ? "loading" : "idle");
  }

  function clear(): void {
    send({ type: "stop" });
    run++;
    runs.length = 0;
    for (const value of [epoch, loss, accuracy, speed]) write(value, "–");
    write(failure, "");
    for (const card of cards) card.show(new Array<number>(10).fill(0.1));
    draw();
    become("idle");
  }

  function draw(): void {
    const lines = (key: "accuracy" | "loss"): Line[] => runs.map((r) => ({ name: r.name, ...r[key] }));
    accuracyChart.show(lines("accuracy"));
    // Losses of different heads have no common scale.
    lossChart.show(lines("loss").slice(-1));
  }

  function show(report: Report, finished: boolean): void {
    const { accuracy: acc, loss: l } = runs.at(-1)!;
    acc.x.push(report.step);
    acc.y.push(100 * report.accuracy);
    write(epoch, `${report.epoch}`);
    write(accuracy, `${(100 * report.accuracy).toFixed(1)} %`);
    if (report.loss !== undefined) {
      l.x.push(report.step);
      l.y.push(report.loss);
      write(loss, report.loss.toFixed(3));
    }
    if (report.stepsPerSecond !== undefined) write(speed, Math.round(report.stepsPerSecond).toLocaleString("en-GB"));
    cards.forEach((card, i) => void card.show(report.predictions.subarray(10 * i, 10 * i + 10)));
    draw();
    if (finished) become("done");
  }

  worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
    if (data.type === "ready") {
      write(
        place("data-note"),
        `${data.train.toLocaleString("en-GB")} handwritten digits of 8 × 8 pixels to train on, ${data.test} to test on; a network of 64-${setup.hidden}-10, Adam with step size ${setup.lr}, ${setup.batch} examples a step.`,
      );
      gpu.disabled = data.noGpu !== undefined;
      write(gpuNote, data.noGpu === undefined ? "Both are ready." : `No GPU here. ${data.noGpu}`);
      cards = data.samples.map(digitCard);
      digits.replaceChildren(...cards.map(({ element }) => element));
      clear();
    } else if (data.run !== run) return;
    else if (data.type === "failed") {
      write(failure, data.message);
      become("idle");
    } else show(data, data.finished);
  });
  worker.addEventListener("error", (event) => write(failure, `The worker stopped: ${event.message}`));
  draw();
  become("loading");
}
