// The playground: what it reads from the cards, its training, and the page itself in a real browser.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type DataSet, loadData } from "../examples/data/index.ts";
import { heads } from "../examples/main-job/heads.ts";
import { taskOf, train } from "../examples/main-job/train.ts";
import { buildPlayground, serve } from "../examples/playground/build.ts";
import {
  curve,
  type Entry,
  entropyOf,
  families,
  isDistribution,
  lossEntries,
  mapEntries,
  path,
  rowOf,
  type Settings,
  valueAndGradient,
} from "../examples/playground/catalogue.ts";
import { packDigits, unpackDigits } from "../examples/playground/digits.ts";
import { lossFamilies, mapFamilies } from "../examples/playground/special.ts";
import { epochs, Trainer } from "../examples/playground/trainer.ts";
import { allLosses } from "../losses/index.ts";
import { allOps } from "../ops/index.ts";
import { chromiumArguments, findChromium } from "./system.ts";

/** What the controls of an op are set to at first. */
const initially = ({ controls }: Entry): Settings =>
  Object.fromEntries(
    controls.map((c) => [
      c.name,
      c.kind === "classes" ? Array.from({ length: 8 }, (_, k) => c.initial(k)) : c.initial,
    ]),
  );

const named = (entries: readonly Entry[], name: string): Entry => entries.find((e) => e.name === name)!;
const sum = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);

describe("what the cards say", () => {
  const all = [...mapEntries(), ...lossEntries()];
  const entries = (gives: readonly Entry["gives"][]) =>
    all.filter((e) => gives.includes(e.gives)).map((e) => [e.name, e] as const);

  test("every row map and every loss is shown, and so are the maps that are written with other ops", () => {
    const maps = mapEntries().map(({ name }) => name);
    const declared = allOps.filter(({ info }) => info.kind === "rowMap").map(({ info }) => info.name);
    expect(maps).toEqual(expect.arrayContaining(declared));
    for (const name of ["logsumexp", "mellowmax", "multimax", "mixtureOfSoftmaxes", "stickBreaking"])
      expect(maps).toContain(name);
    for (const name of ["sort", "sum", "reshape", "gelu"]) expect(maps).not.toContain(name);
    expect(lossEntries().map(({ name }) => name)).toEqual(allLosses.map(({ info }) => info.name));
  });

  test("every heading stands before some op, and every op under a heading", () => {
    const { maps, losses } = families();
    expect(maps.map(({ title }) => title)).toEqual(mapFamilies.map(([title]) => title));
    expect(losses.map(({ title }) => title)).toEqual(lossFamilies.map(([title]) => title));
    expect([...maps, ...losses].flatMap((family) => family.entries.map(({ name }) => name))).toEqual(
      all.map(({ name }) => name),
    );
  });

  test.each(entries(["distribution", "row"]))("%s gives a row as it is set at first", (_, e) => {
    for (const n of [3, 8]) {
      const scores = Array.from({ length: n }, (_, k) => 1.5 - k);
      const found = rowOf(e, scores, 1, initially(e));
      expect(found.error).toBeUndefined();
      const { row } = found as { readonly row: readonly number[] };
      expect([n, n + 1]).toContain(row.length);
      if (e.gives === "row") continue;
      expect(sum(row)).toBeCloseTo(1, 12);
      expect(entropyOf(row)).toBeGreaterThanOrEqual(0);
      const way = path(e, scores, 1, initially(e), [0.5, 1]);
      expect(way).toHaveLength(2);
      way[1]!.forEach((p, k) => void expect(p).toBeCloseTo(row[k]!, 12));
    }
  });

  test.each(entries(["number"]))("%s gives a value and its slope as it is set at first", (_, e) => {
    const scores = [1.2, 0.8, -0.5, 0.3];
    const found = valueAndGradient(e, scores, 1, initially(e));
    expect(found.error).toBeUndefined();
    const { value, gradient } = found as { readonly value: number; readonly gradient: readonly number[] };
    const h = 1e-5;
    scores.forEach((v, k) => {
      const [below, here, above] = curve(e, scores, 1, initially(e), k, [v - h, v, v + h]);
      expect(here).toBeCloseTo(value, 12);
      if (e.smooth) expect(gradient[k]).toBeCloseTo((above! - below!) / (2 * h), 6);
    });
    if (!e.smooth) expect(gradient).toEqual([]);
  });

  test("controls have the default and the bounds of the card", () => {
    const control = (name: string) => named(all, name).controls;
    expect(control("entmax")).toMatchObject([
      { kind: "number", name: "alpha", initial: 1.5, least: 1, most: 4 },
    ]);
    expect(control("taylorSoftmax")).toEqual([
      { kind: "choice", name: "order", initial: 2, choices: [2, 4, 6, 8, 10, 12] },
    ]);
    expect(control("sparseSoftmax")).toMatchObject([{ name: "k", initial: 2, least: 1, most: 8, step: 1 }]);
    expect(control("maskedSoftmax")).toMatchObject([{ kind: "classes", name: "mask", as: "set" }]);
    expect(control("sparsemax")).toEqual([]);
    expect(control("budgetSparsemax")).toMatchObject([{ name: "budget", most: "n" }]);
    expect(control("sigmoidTopk")).toMatchObject([{ name: "k", most: "<n" }]);
    expect(control("mellowmax")).toMatchObject([{ name: "omega", least: 0.02 }]);
    expect(control("sigmoidAttention")).toMatchObject([{ name: "n", initial: undefined, least: 1 }]);
    expect(control("perturbMax")[0]).toMatchObject({ kind: "choice", initial: "gumbel" });
    expect(control("csoftmax")).toMatchObject([{ name: "u", as: "numbers", most: 1 }]);
    expect(control("gumbelSoftmax")).toMatchObject([
      { kind: "seed", name: "noise" },
      { name: "temperature" },
    ]);
    expect(control("rankmax")).toEqual([]);
    expect(control("multimax")).toMatchObject([
      { kind: "list", name: "ranges" },
      { kind: "list", name: "ts" },
    ]);
    expect(control("softCrossEntropy")[0]).toMatchObject({ name: "target", as: "shares" });
    expect(control("multilabelCe")).toMatchObject([{ name: "target", as: "set" }]);
    expect(control("kdComposite")[0]).toMatchObject({ name: "teacher", as: "numbers", least: -5 });
    expect(control("learnableLabelSmoothing")[0]).toMatchObject({ kind: "number", name: "confusion" });
  });

  test("what is set is what the op is given", () => {
    const row = (name: string, settings: Settings, label = 0) =>
      (rowOf(named(all, name), [1, 0, -1], label, settings) as { row: number[] }).row;
    const value = (name: string, settings: Settings) =>
      (valueAndGradient(named(all, name), [1, 0, -1], 1, settings) as { value: number }).value;
    expect(row("csparsemax", { u: [0.25, 0.5, 1] })).toEqual([0.25, 0.5, 0.25]);
    expect(row("maskedSoftmax", { mask: [1, 0, 0] })).toEqual([1, 0, 0]);
    const sample = (noise: number) => row("gumbelSoftmax", { noise, temperature: 1 });
    expect(sample(0)).toEqual(sample(0));
    expect(sample(0)).not.toEqual(sample(1));
    expect(row("rankmax", {}, 0)).not.toEqual(row("rankmax", {}, 2));
    expect(row("stickBreaking", {})).toHaveLength(4);
    const mixed = row("mixtureOfSoftmaxes", { second: [1, 0, -1], prior: [0, 3] });
    row("softmax", {}).forEach((p, k) => void expect(mixed[k]).toBeCloseTo(p, 12));
    expect(value("jsDivergence", { second: [1, 0, -1] })).toBeCloseTo(0, 12);
    const shares = { target: [0, 2, 0], labelSmoothing: 0 };
    expect(value("softCrossEntropy", shares)).toBeCloseTo(value("crossEntropy", {}), 12);
    expect(value("supportSize", { of: "softmax" })).toBe(3);
    expect(value("supportSize", { of: "sparsemax" })).toBe(1);
    expect(value("polyLoss", { epsilons: [0, 0, 0] })).toBeCloseTo(value("crossEntropy", {}), 12);
    expect(isDistribution(row("softmaxOne", {}))).toBe(false);
    expect(isDistribution(row("softmax", {}))).toBe(true);
  });

  test("what the library refuses comes back as its sentence, and NaN as ours", () => {
    const entmax = named(mapEntries(), "entmax");
    expect(rowOf(entmax, [1, 2, 3], 0, { alpha: 0.5 }).error).toBe(
      "entmax: alpha is 0.5; alpha must be at least 1",
    );
    const masked = [-Infinity, -Infinity, -Infinity];
    expect(rowOf(entmax, masked, 0, { alpha: 2 }).error).toMatch(
      /^entmax: these scores have no distribution \(NaN\); unmask/,
    );
    expect(path(entmax, masked, 0, { alpha: 2 }, [1, 2])).toEqual([[], []]);
    const nll = named(lossEntries(), "nll");
    expect(curve(nll, masked, 0, { of: "softmax" }, 1, [0, Number.NaN])).toEqual([expect.any(Number), NaN]);
  });
});

describe("the training", () => {
  let data: DataSet;
  beforeAll(async () => {
    data = await loadData("digits");
  });

  test("the digits come back from their file as they were", () => {
    expect(unpackDigits(packDigits(data).buffer as ArrayBuffer)).toEqual(data);
  });

  test("gives the numbers of the main job, in slices of any size", async () => {
    const task = taskOf(data);
    const whole = await train(heads[2]!, task, { epochs, seed: 0 });
    const trainer = new Trainer(heads[2]!, task);
    for (const slice of [1, 7, trainer.perEpoch - 8]) await trainer.advance(slice);
    expect(trainer.epoch).toBe(1);
    expect((await trainer.answer()).accuracy).toBe(whole.accuracyByEpoch[0]);
    expect(await trainer.advance(1e9)).toBeGreaterThan(0);
    expect(trainer.step).toBe(whole.losses.length);
    expect(await trainer.advance(1)).toBeUndefined();
    const { predictions, accuracy, meanSupport } = await trainer.answer();
    expect(predictions).toEqual(whole.predictions);
    expect({ accuracy, meanSupport }).toEqual({
      accuracy: whole.test.accuracy,
      meanSupport: whole.test.meanSupport,
    });
  });
});

const executablePath = findChromium();
if (executablePath !== undefined) describe("the page", () => pageTests(executablePath));

function pageTests(executablePath: string): void {
  const withGpu = [...chromiumArguments];
  const withoutGpu = withGpu.filter((argument) => !argument.includes("webgpu"));
  const browsers = new Map<readonly string[], Promise<Browser>>();
  let folder = "";
  let server: Awaited<ReturnType<typeof serve>>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "simplexgrad-playground-"));
    server = await serve(await buildPlayground(join(folder, "page")));
  }, 60_000);

  afterAll(async () => {
    for (const browser of browsers.values()) await (await browser).close();
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  interface Opening {
    readonly args?: readonly string[];
    readonly width?: number;
    /** A policy sent with every file, the worker's too. */
    readonly policy?: string;
  }

  /** The page, ready to train. What it writes to the console as an error fails the test at its end. */
  async function open({ args = withoutGpu, width = 1280, policy }: Opening = {}): Promise<Page> {
    if (!browsers.has(args)) browsers.set(args, chromium.launch({ executablePath, args: [...args] }));
    const browser = await browsers.get(args)!;
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    const page = await context.newPage();
    const wrong: string[] = [];
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    page.on("pageerror", (error) => wrong.push(error.message));
    onTestFinished(async () => {
      await context.close();
      expect(wrong).toEqual([]);
    });
    if (policy !== undefined)
      await context.route("**/*", async (route) => {
        const response = await route.fetch();
        await route.fulfill({
          response,
          headers: { ...response.headers(), "content-security-policy": policy },
        });
      });
    await page.goto(server.address);
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>("#start")?.disabled === false);
    return page;
  }

  const card = (page: Page, op: string) => page.locator(`[data-op="${op}"]`);
  /** After some frames, when what was set or has come into sight is shown. */
  const frame = (page: Page) =>
    page.evaluate(async () => {
      for (let i = 0; i < 4; i++) await new Promise((done) => requestAnimationFrame(done));
    });
  /** A card is drawn while it is in sight. */
  const seen = async (page: Page, op: string) => {
    await card(page, op).scrollIntoViewIfNeeded();
    await frame(page);
    return card(page, op);
  };
  const numbers = async (page: Page, op: string): Promise<string[]> =>
    (await seen(page, op)).locator("li .number").allTextContents();
  const facts = async (page: Page, op: string) => (await seen(page, op)).locator(".facts").textContent();
  /** Ops whose cards show a refusal, each looked at in turn. */
  const refusals = (page: Page): Promise<(string | undefined)[]> =>
    page.evaluate(async () => {
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      const refused: (string | undefined)[] = [];
      for (const card of document.querySelectorAll<HTMLElement>("[data-op]")) {
        card.scrollIntoView({ behavior: "instant" });
        for (let i = 0; i < 20 && !card.querySelector(".facts")!.textContent; i++) await frame();
        if (!card.querySelector(".facts")!.textContent || card.classList.contains("refused"))
          refused.push(card.dataset.op);
      }
      return refused;
    });
  const figure = async (page: Page, id: string): Promise<number> =>
    Number.parseFloat((await page.locator(`#${id}`).textContent())!.replace(",", ""));
  const state = (page: Page, wanted: string) =>
    page.waitForFunction(
      (s) => document.querySelector<HTMLElement>("#training")?.dataset.state === s,
      wanted,
      {
        timeout: 60_000,
      },
    );

  test("shows every map and every loss with its sentence and its source", async () => {
    const page = await open();
    for (const [place, entries] of [
      ["#maps", mapEntries()],
      ["#losses", lossEntries()],
    ] as const) {
      const cards = page.locator(`${place} [data-op]`);
      expect(await cards.locator("h3").allTextContents()).toEqual(entries.map(({ name }) => name));
      expect(await cards.locator(".doc").allTextContents()).toEqual(entries.map(({ doc }) => doc));
      expect(await cards.locator(".source").allTextContents()).toEqual(entries.map(({ source }) => source));
    }
    expect(await refusals(page)).toEqual([]);
  });

  test("draws only what is in sight", async () => {
    const page = await open();
    const drawn = () => page.locator("[data-op]:has(li)").count();
    await frame(page);
    const few = await drawn();
    expect(few).toBeGreaterThan(0);
    expect(few).toBeLessThan(12);
    await page.getByRole("button", { name: "ladder" }).click();
    await frame(page);
    expect(await drawn()).toBe(few);
    await numbers(page, "shannonEntropy");
    expect(await drawn()).toBeGreaterThan(few);
  });

  test("finds maps and losses by words, under the headings of their families", async () => {
    const page = await open();
    const found = page.locator(".found");
    const all = mapEntries().length + lossEntries().length;
    expect(await found.textContent()).toBe(`${all} maps and losses`);
    const headings = [...mapFamilies, ...lossFamilies].map(([title]) => title);
    expect(await page.locator(".family-title").allTextContents()).toEqual(headings);
    expect(await page.locator(".contents a").allTextContents()).toEqual(headings);
    const shown = () =>
      page
        .locator("[data-op]:not([hidden])")
        .evaluateAll((cards) => cards.map((card) => (card as HTMLElement).dataset.op));
    const field = page.getByLabel("Find maps and losses");
    await field.fill("gumbel SOFTMAX");
    expect(await shown()).toEqual(["gumbelSoftmax", "gumbelSoftmaxSt"]);
    expect(await found.textContent()).toBe(`2 of ${all} match`);
    expect(await page.locator(".family:not([hidden])").count()).toBe(1);
    expect(await numbers(page, "gumbelSoftmax")).toHaveLength(3);
    await field.fill("no such thing");
    expect(await shown()).toEqual([]);
    await field.fill("");
    expect(await shown()).toHaveLength(all);
    await page.locator(".contents").getByText("Metrics").click();
    await frame(page);
    await page.waitForFunction(() => {
      const { top } = document.querySelector("#losses-metrics")!.getBoundingClientRect();
      return top >= 0 && top < innerHeight;
    });
  });

  test("what is no distribution says so, and samples are drawn again", async () => {
    const page = await open();
    await page.getByRole("button", { name: "ladder" }).click(); // 2, 0, −2
    expect(await numbers(page, "saSoftmax")).toEqual(["1.734", "0", "−0.032"]);
    expect(await facts(page, "saSoftmax")).toBe("sums to 1.70 · 1 of 3 above zero · bars reach 2");
    expect(await facts(page, "softmaxOne")).toBe("sums to 0.90 · 3 of 3 above zero");
    expect(await facts(page, "logSoftmax")).toBe("exponentials sum to 1.00 · bars reach 8");
    expect(await facts(page, "stickBreaking")).toMatch(/^4 of 4 above zero/);
    const one = await numbers(page, "gumbelSoftmax");
    await page.getByLabel("Draw noise of gumbelSoftmax again").click();
    expect(await numbers(page, "gumbelSoftmax")).not.toEqual(one);
  });

  test("targets are moved: distributions keep their sum, sets and bounds are switched", async () => {
    const page = await open();
    const target = (k: string) => page.getByLabel(`target of softCrossEntropy for class ${k}`);
    await target("B").fill("1");
    await page.getByLabel("B is the right class").check();
    const values = (op: string) => card(page, op).locator(".value").textContent();
    await seen(page, "crossEntropy");
    expect(await values("softCrossEntropy")).toBe(await values("crossEntropy"));
    await target("A").fill("0.4");
    expect(await target("B").inputValue()).toBe("0.6");
    await seen(page, "accuracy");
    expect(await values("accuracy")).toBe("value 0");
    await page.getByLabel("A is the right class").check();
    await frame(page);
    expect(await values("accuracy")).toBe("value 1");
    expect(await facts(page, "accuracy")).toBe("no gradient: its steps have none");
    await page.getByLabel("target of multilabelCe for class A").uncheck();
    await page.getByLabel("target of multilabelCe for class C").uncheck();
    expect((await numbers(page, "multilabelCe")).every((g) => g.startsWith("+"))).toBe(true);
  });

  test("shows the numbers of the library, and exact zeros as rings", async () => {
    const page = await open();
    await page.getByRole("button", { name: "ladder" }).click(); // 2, 0, −2
    await frame(page);
    expect(await numbers(page, "sparsemax")).toEqual(["1", "0", "0"]);
    expect(await card(page, "sparsemax").locator("li.zero").count()).toBe(2);
    expect(await numbers(page, "softmax")).toEqual(["0.867", "0.117", "0.016"]);
    expect(await card(page, "softmax").locator("li.zero").count()).toBe(0);
    expect(await facts(page, "sparsemax")).toBe("1 of 3 above zero · entropy 0 nats");
  });

  test("follows a slider that is dragged or moved by keys, and nothing else moves", async () => {
    const page = await open();
    const heights = () =>
      page.locator("[data-op]").evaluateAll((cards) => cards.map((c) => (c as HTMLElement).offsetHeight));
    const [before, high] = [await numbers(page, "softmax"), await heights()];
    const slider = page.getByLabel("Score of class C");
    const box = (await slider.boundingBox())!;
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width * 0.45, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.9, y, { steps: 10 });
    await page.mouse.up();
    await frame(page);
    const dragged = await numbers(page, "softmax");
    expect(Number(dragged[2])).toBeGreaterThan(Number(before[2]));
    expect(await heights()).toEqual(high);
    await slider.press("ArrowLeft");
    await frame(page);
    expect(Number((await numbers(page, "softmax"))[2])).toBeLessThan(Number(dragged[2]));
  });

  test("the gradient of cross-entropy sums to zero, and is softmax less the right class", async () => {
    const page = await open();
    await page.getByLabel("A is the right class").check();
    await frame(page);
    const p = (await numbers(page, "softmax")).map(Number);
    const g = (await numbers(page, "crossEntropy")).map((text) => Number(text.replace("−", "-")));
    g.forEach((v, k) => {
      expect(v).toBeCloseTo(p[k]! - (k === 0 ? 1 : 0), 2);
    });
    expect(sum(g)).toBeCloseTo(0, 2);
    expect(await facts(page, "crossEntropy")).toContain("gradient sums to 0 ·");
  });

  test("says the library's sentence where a value is refused, in the place of the bars", async () => {
    const page = await open();
    const entmax = await seen(page, "entmax");
    await page.getByLabel("α of entmax, any number").fill("0.5");
    await frame(page);
    expect(await entmax.locator(".refusal").textContent()).toBe(
      "entmax: alpha is 0.5; alpha must be at least 1",
    );
    for (const name of ["A", "B", "C"]) await page.getByLabel(`Mask class ${name}`).click();
    const softmax = await seen(page, "softmax");
    expect(await softmax.locator(".refusal").textContent()).toContain("no distribution");
    await page.getByLabel("Mask class B").click();
    await frame(page);
    expect(await numbers(page, "softmax")).toEqual(["0", "1", "0"]);
  });

  test("has 3 to 8 classes, controls of its own for each map, and formulas to unfold", async () => {
    const page = await open();
    const more = page.getByLabel("One class more");
    for (let n = 3; n < 8; n++) await more.click();
    await frame(page);
    expect(await more.isDisabled()).toBe(true);
    expect(await numbers(page, "softmax")).toHaveLength(8);
    expect(await (await seen(page, "sparseSoftmax")).locator("li.zero").count()).toBe(6);
    await page.getByLabel("k of sparseSoftmax", { exact: true }).press("ArrowRight");
    await frame(page);
    expect(await card(page, "sparseSoftmax").locator("li.zero").count()).toBe(5);
    await page.getByLabel("mask of maskedSoftmax for class A").uncheck();
    expect((await numbers(page, "maskedSoftmax"))[0]).toBe("0");
    await card(page, "sparsemax").locator("summary").click();
    expect(await card(page, "sparsemax").locator("pre").first().textContent()).toContain("→ row relu(r − τ)");
  });

  test("fits a phone", async () => {
    const page = await open({ width: 360 });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBe(360);
  });

  test("trains on the CPU, pauses, goes on and forgets; without WebGPU it says so", async () => {
    const page = await open();
    expect(await page.locator("#gpu-note").textContent()).toMatch(/^No GPU here\. [^:;]+: [^;]+; .+/);
    expect(await page.getByLabel("GPU").isDisabled()).toBe(true);
    await page.locator("#head").selectOption("sparsemax");
    await page.locator("#start").click();
    await page.waitForFunction(() => document.querySelector("#accuracy")!.textContent !== "–");
    const first = await figure(page, "accuracy");
    await page.waitForFunction(() => Number(document.querySelector("#step")!.textContent) > 40);
    await page.locator("#start").click();
    await state(page, "paused");
    await page.waitForTimeout(300); // the slice under way
    const at = await figure(page, "step");
    await page.waitForTimeout(300);
    expect(await figure(page, "step")).toBe(at);
    await page.locator("#pace").selectOption("at full speed");
    await page.locator("#start").click();
    await state(page, "done");
    expect(await figure(page, "accuracy")).toBeGreaterThan(Math.max(95, first));
    expect(await figure(page, "support")).toBeLessThan(2);
    expect(await figure(page, "speed")).toBeGreaterThan(0);
    expect(await page.locator(".columns .zero").count()).toBeGreaterThan(50);
    await page.locator("#reset").click();
    expect(await page.locator("#accuracy").textContent()).toBe("–");
  });

  test("trains on the GPU as well as on the CPU", async ({ skip }) => {
    const page = await open({ args: withGpu });
    const note = (await page.locator("#gpu-note").textContent())!;
    if (!process.env.CI) skip(note.startsWith("No GPU"), `the playground on the GPU: ${note}`);
    expect(note).toBe("Both are ready.");
    await page.locator("#pace").selectOption("at full speed");
    await page.getByLabel("GPU").check();
    await page.locator("#start").click();
    await page.waitForFunction(
      () => Number.parseFloat(document.querySelector("#accuracy")!.textContent!) > 90,
      null,
      {
        timeout: 90_000,
      },
    );
    expect(await page.locator(".failure").textContent()).toBe("");
    expect(await page.locator(".history").textContent()).toContain("GPU");
  }, 120_000);

  test("computes under a strict content policy, and without WebAssembly where that is forbidden too", async () => {
    const strict =
      "default-src 'none'; img-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self'; script-src 'self'";
    for (const policy of [`${strict} 'wasm-unsafe-eval'`, strict]) {
      const page = await open({ policy });
      expect(await numbers(page, "sparsemax")).toEqual(["0.700", "0.300", "0"]);
      await page.locator("#pace").selectOption("at full speed");
      await page.locator("#start").click();
      await page.waitForFunction(
        () => Number.parseFloat(document.querySelector("#accuracy")!.textContent!) > 85,
        null,
        {
          timeout: 60_000,
        },
      );
    }
  }, 120_000);
}
