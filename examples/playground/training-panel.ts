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

/** One training: what its curves are drawn from, and how it stands. */
interface Run {
  readonly name: string;
  readonly device: string;
  last?: Report;
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
    ...heads.map(({ name, title }) => h("option", { value: name }, title)),
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
  const start = h("button", {
    type: "button",
    class: "primary",
    id: "start",
    disabled: true,
    click: () => turn(),
  });
  const reset = h("button", { type: "button", id: "reset", disabled: true, click: () => clear() }, "Reset");

  // Results
  const figure = (id: string, label: string): [HTMLElement, HTMLElement] => {
    const value = h("dd", { id }, "–");
    return [value, h("div", {}, h("dt", {}, label), value)];
  };
  const [epoch, epochBox] = figure("epoch", "epoch");
  const [step, stepBox] = figure("step", "step");
  const [loss, lossBox] = figure("loss", "training loss");
  const [accuracy, accuracyBox] = figure("accuracy", "test accuracy");
  const [support, supportBox] = figure("support", "classes above zero");
  const [speed, speedBox] = figure("speed", "steps/s without pauses");
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
  const past = h("tbody");
  const columns = ["head", "device", "steps", "test accuracy", "classes above zero", "steps/s"];
  const history = h(
    "table",
    { class: "history" },
    h("thead", {}, h("tr", {}, ...columns.map((text) => h("th", { scope: "col" }, text)))),
    past,
  );

  into.append(
    h(
      "div",
      { class: "choices" },
      h("label", { class: "field", for: "head" }, "Head", head),
      note,
      h(
        "div",
        { class: "field", role: "radiogroup", "aria-label": "Device" },
        "Device",
        h("span", {}, cpuLabel, gpuLabel),
      ),
      gpuNote,
      h("label", { class: "field", for: "pace" }, "Train", pace),
      h("div", { class: "buttons" }, start, reset),
      h("dl", { class: "figures" }, epochBox, stepBox, lossBox, accuracyBox, supportBox, speedBox),
      failure,
    ),
    h("div", { class: "charts" }, accuracyChart.element, lossChart.element),
    digits,
    history,
  );

  const send = (message: ToWorker): void => worker.postMessage(message);

  function become(next: typeof state): void {
    state = next;
    start.disabled = state === "loading";
    reset.disabled = runs.length === 0;
    write(
      start,
      { loading: "Start", idle: "Start", running: "Pause", paused: "Go on", done: "Train again" }[state],
    );
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
    runs.push({
      name: chosen.title,
      device: where.toUpperCase(),
      accuracy: { x: [], y: [] },
      loss: { x: [], y: [] },
    });
    while (runs.length > remembered) runs.shift();
    write(failure, "");
    send({
      type: "start",
      run: ++run,
      head: chosen.name,
      device: where,
      pace: paces[pace.selectedIndex]![1],
    });
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
    for (const value of [epoch, step, loss, accuracy, support, speed]) write(value, "–");
    write(failure, "");
    for (const card of cards) card.show();
    draw();
    become("idle");
  }

  function draw(): void {
    const lines = (key: "accuracy" | "loss"): Line[] => runs.map((r) => ({ name: r.name, ...r[key] }));
    const steps = Math.max(90, ...runs.map(({ last }) => last?.step ?? 0));
    accuracyChart.show(lines("accuracy"), steps);
    // Losses of different heads have no common scale.
    lossChart.show(lines("loss").slice(-1), steps);
    history.hidden = runs.length === 0;
    past.replaceChildren(
      ...runs.map(({ name, device, last }) => {
        const cells = last ? texts(last) : [];
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          ...[device, ...cells.slice(1)].map((text) => h("td", {}, text)),
        );
      }),
    );
  }

  /** Epoch, step, accuracy, support and speed as they are written. */
  const texts = (r: Report): string[] => [
    `${r.epoch} of ${r.epochs}`,
    r.step.toLocaleString("en-GB"),
    `${(100 * r.accuracy).toFixed(1)} %`,
    r.meanSupport.toFixed(2),
    r.stepsPerSecond === undefined ? "–" : Math.round(r.stepsPerSecond).toLocaleString("en-GB"),
  ];

  function show(report: Report, finished: boolean): void {
    const current = runs.at(-1)!;
    current.last = report;
    current.accuracy.x.push(report.step);
    current.accuracy.y.push(100 * report.accuracy);
    if (report.loss !== undefined) {
      current.loss.x.push(report.step);
      current.loss.y.push(report.loss);
      write(loss, report.loss.toFixed(3));
    }
    const values = texts(report);
    [epoch, step, accuracy, support, speed].forEach((box, i) => void write(box, values[i]!));
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
