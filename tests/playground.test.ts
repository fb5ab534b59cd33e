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
  entropyOf,
  lossAndGradient,
  lossEntries,
  mapEntries,
  path,
  probabilities,
  type Settings,
} from "../examples/playground/catalogue.ts";
import { packDigits, unpackDigits } from "../examples/playground/digits.ts";
import { epochs, Trainer } from "../examples/playground/trainer.ts";
import { allOps } from "../ops/index.ts";
import { chromiumArguments, findChromium } from "./system.ts";

type Entry = ReturnType<typeof mapEntries>[number];

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
  test("every row map whose rows sum to one is shown, and what is no distribution is not", () => {
    const names = mapEntries().map(({ name }) => name);
    const promised = allOps.filter(({ info }) => info.kind === "rowMap" && info.laws.includes("sumsToOne"));
    expect(names).toEqual(expect.arrayContaining(promised.map(({ info }) => info.name)));
    expect(names).toContain("maskedSoftmax");
    expect(names).not.toContain("logSoftmax");
  });

  test.each(mapEntries().map((e) => [e.name, e] as const))(
    "%s gives distributions as it is set at first",
    (_, e) => {
      for (const n of [3, 8]) {
        const scores = Array.from({ length: n }, (_, k) => 1.5 - k);
        const found = probabilities(e, scores, initially(e));
        expect(found.error).toBeUndefined();
        const { p } = found as { readonly p: readonly number[] };
        expect(p).toHaveLength(n);
        expect(sum(p)).toBeCloseTo(1, 12);
        expect(entropyOf(p)).toBeGreaterThanOrEqual(0);
        expect(path(e, scores, initially(e), [0.5, 2])).toHaveLength(2 * n);
      }
    },
  );

  test.each(lossEntries().map((e) => [e.name, e] as const))(
    "%s gives a loss and its slope as it is set at first",
    (_, e) => {
      const scores = [1.2, 0.8, -0.5, 0.3];
      const found = lossAndGradient(e, scores, 1, initially(e));
      expect(found.error).toBeUndefined();
      const { gradient } = found as { readonly gradient: readonly number[] };
      const at = (h: number): number => {
        const moved = lossAndGradient(e, scores.with(1, scores[1]! + h), 1, initially(e));
        return (moved as { loss: number }).loss;
      };
      expect(gradient[1]).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 6);
    },
  );

  test("controls have the default and the bounds of the card", () => {
    const control = (name: string) => named(mapEntries(), name).controls;
    expect(control("entmax")).toMatchObject([
      { kind: "number", name: "alpha", initial: 1.5, least: 1, most: 4 },
    ]);
    expect(control("taylorSoftmax")).toEqual([
      { kind: "choice", name: "order", initial: 2, choices: [2, 4, 6, 8, 10, 12] },
    ]);
    expect(control("sparseSoftmax")).toMatchObject([{ name: "k", initial: 2, least: 1, most: 8, step: 1 }]);
    expect(control("maskedSoftmax")).toMatchObject([{ kind: "classes", name: "mask", mask: true }]);
    expect(control("sparsemax")).toEqual([]);
  });

  test("what the library refuses comes back as its sentence, and NaN as ours", () => {
    const entmax = named(mapEntries(), "entmax");
    expect(probabilities(entmax, [1, 2, 3], { alpha: 0.5 }).error).toBe(
      "entmax: alpha is 0.5; alpha must be at least 1",
    );
    const nothing = [-Infinity, -Infinity, -Infinity];
    expect(probabilities(entmax, nothing, { alpha: 2 }).error).toMatch(
      /^entmax: these scores have no distribution/,
    );
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
  const numbers = (page: Page, op: string): Promise<string[]> =>
    card(page, op).locator("li .number").allTextContents();
  /** After the next frame, when what was set is shown. */
  const frame = (page: Page) =>
    page.evaluate(
      () => new Promise<void>((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))),
    );
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
      expect(await page.locator(`${place} .refused`).count()).toBe(0);
    }
  });

  test("shows the numbers of the library, and exact zeros as rings", async () => {
    const page = await open();
    await page.getByRole("button", { name: "ladder" }).click(); // 2, 0, −2
    await frame(page);
    expect(await numbers(page, "sparsemax")).toEqual(["1", "0", "0"]);
    expect(await card(page, "sparsemax").locator("li.zero").count()).toBe(2);
    expect(await numbers(page, "softmax")).toEqual(["0.867", "0.117", "0.016"]);
    expect(await card(page, "softmax").locator("li.zero").count()).toBe(0);
    expect(await card(page, "sparsemax").locator(".facts").textContent()).toBe(
      "1 of 3 classes above zero · entropy 0 nats",
    );
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
    expect(await card(page, "crossEntropy").locator(".facts").textContent()).toContain(
      "gradient sums to 0 ·",
    );
  });

  test("says the library's sentence where a value is refused, in the place of the bars", async () => {
    const page = await open();
    const entmax = card(page, "entmax");
    await page.getByLabel("α of entmax, any number").fill("0.5");
    expect(await entmax.locator(".refusal").textContent()).toBe(
      "entmax: alpha is 0.5; alpha must be at least 1",
    );
    for (const name of ["A", "B", "C"]) await page.getByLabel(`Mask class ${name}`).click();
    await frame(page);
    expect(await card(page, "softmax").locator(".refusal").textContent()).toContain("no distribution");
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
    expect(await card(page, "sparseSoftmax").locator("li.zero").count()).toBe(6);
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
