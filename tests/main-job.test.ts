// The main job: its figures by hand, its command line, and a short run from digits to page.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { memory, useDevice } from "../core/index.ts";
import { loadData } from "../examples/data/index.ts";
import { heads } from "../examples/main-job/heads.ts";
import { accuracy, testFigures } from "../examples/main-job/metrics.ts";
import { type Options, readOptions, UsageError } from "../examples/main-job/options.ts";
import { run } from "../examples/main-job/run.ts";
import { type Task, taskOf, train } from "../examples/main-job/train.ts";

describe("figures", () => {
  const p = Float32Array.from([0.5, 0.5, 0, 0.25, 0.75, 0, 0, 0, 1, 1, 0, 0]);
  const labels = Int32Array.from([0, 1, 2, 0]);

  test("by hand: two sure answers, one at 3/4, one tie", () => {
    const figures = testFigures(p, labels, 3);
    expect(figures.accuracy).toBe(1);
    expect(figures.nll).toBeCloseTo((Math.LN2 + Math.log(4 / 3)) / 4, 12);
    expect(figures.brier).toBeCloseTo((0.5 + 0.125) / 4, 12);
    // Confidences 1/2 and 3/4 lie in bins of their own and are right: gaps of 1/2 and 1/4.
    expect(figures.ece).toBeCloseTo(0.75 / 4, 12);
    expect(figures.meanSupport).toBe(6 / 4);
    expect(figures.zeroShare).toBe(0.5);
  });

  test("a true class of probability exactly 0 makes the likelihood infinite and counts as wrong", () => {
    const figures = testFigures(p, Int32Array.from([2, 1, 2, 0]), 3);
    expect(figures.nll).toBe(Number.POSITIVE_INFINITY);
    expect(figures.accuracy).toBe(0.75);
    expect(figures.brier).toBeCloseTo((1.5 + 0.125) / 4, 12);
    expect(accuracy(p, Int32Array.from([1, 1, 2, 0]), 3)).toBe(0.75); // the tie goes to the first
  });

  test("answers as sure as they are right are calibrated", () => {
    // Four times 3/4 sure, three times right.
    const sure = Float32Array.from([0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25]);
    expect(testFigures(sure, Int32Array.from([0, 0, 1, 0]), 2).ece).toBeCloseTo(0, 12);
    expect(testFigures(sure, Int32Array.from([0, 0, 0, 0]), 2).ece).toBeCloseTo(0.25, 12);
  });
});

describe("the command line", () => {
  test("says all heads, 40 epochs, seed 0 and digits where nothing is said", () => {
    const options = readOptions([]);
    const rest = { data: "digits", device: "wasm", out: "out/main-job.html" };
    expect(options).toEqual({ heads, epochs: 40, seeds: [0], ...rest });
    expect(heads.length).toBeGreaterThanOrEqual(8);
  });

  test("takes every option", () => {
    const line =
      "--loss sparsemax,softmax,sparsemax --epochs 3 --seed 7 --seeds 2 --data fashion --device webgpu --out a/b.html";
    const options = readOptions(line.split(" "));
    expect(options).not.toBe("help");
    expect({ ...(options as object), heads: [] }).toEqual({
      heads: [],
      epochs: 3,
      seeds: [7, 8],
      data: "fashion",
      device: "webgpu",
      out: "a/b.html",
    });
    expect((options as Options).heads.map(({ name }) => name)).toEqual(["sparsemax", "softmax"]);
    expect(readOptions(["--help", "--epochs", "3"])).toBe("help");
    expect(readOptions(["--data", "mnist"])).toMatchObject({ epochs: 3 });
  });

  test.each([
    ["--loss gumbel", '--loss "gumbel": choose from softmax, smoothing, sparsemax,'],
    ["--loss=", '--loss "": choose from'],
    ["--epochs 0", '--epochs "0": give a whole number from 1 to 10,000'],
    ["--epochs 1.5", '--epochs "1.5": give a whole number'],
    ["--epochs", "Option '--epochs <value>' argument missing: the options are --loss,"],
    ["--seed=-1", '--seed "-1": give a whole number from 0'],
    ["--seed -1", "Option '--seed' argument is ambiguous: the options are"],
    ["--seeds 1e3", '--seeds "1e3": give a whole number from 1 to 1,000'],
    ["--data cifar", '--data "cifar": choose from digits, mnist, fashion'],
    ["--device gpu", '--device "gpu": choose from wasm, webgpu, js'],
    ["--out=", "--out is empty: name a file"],
    ["--fast", "Unknown option '--fast': the options are"],
    ["softmax", "Unexpected argument 'softmax': the options are"],
  ])("refuses %s and says what to do", (line, message) => {
    expect(() => readOptions(line.split(" "))).toThrow(UsageError);
    expect(() => readOptions(line.split(" "))).toThrow(message);
  });
});

describe("a run", () => {
  const quiet = () => {
    const out = vi.spyOn(console, "log").mockImplementation(() => {});
    const err = vi.spyOn(console, "error").mockImplementation(() => {});
    const bar = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    onTestFinished(() => {
      for (const spy of [out, err, bar]) spy.mockRestore();
    });
    return { out: () => out.mock.calls.join("\n"), err: () => err.mock.calls.join("\n") };
  };
  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), "simplexgrad-"));
    onTestFinished(() => rmSync(path, { recursive: true }));
    return path;
  };

  test("trains, prints a table and writes a page", async () => {
    const path = join(folder(), "deep", "report.html");
    const said = quiet();
    expect(await run(["--loss", "softmax,top3", "--epochs", "2", "--seeds", "2", "--out", path])).toBe(0);
    expect(said.out()).toMatch(
      /MLP 64-64-10, Adam 0\.003, batch 32, 2 epochs on digits, seeds 0 to 1: mean ± standard deviation/,
    );
    expect(said.out()).toMatch(/softmax {2,}\d\d\.\d ± \d\.\d %/);
    expect(said.out()).toContain("NLL is ∞ where a true class was given probability exactly 0");
    const page = readFileSync(path, "utf8");
    expect(page).toContain("One network, 2 heads on digits");
    expect(page.match(/class="sample"/g)).toHaveLength(9);
  });

  test("one seed gives the plain table", async () => {
    const said = quiet();
    expect(await run(["--loss", "entmax15", "--epochs", "1", "--out", join(folder(), "r.html")])).toBe(0);
    expect(said.out()).toContain("1 epoch on digits, seed 0");
    expect(said.out()).toMatch(/entmax 1\.5 {2,}\d\d\.\d %/);
  });

  test("help is printed, and a bad option or an unwritable page ends with status 2 before any training", async () => {
    const said = quiet();
    expect(await run(["--help"])).toBe(0);
    for (const { name } of heads) expect(said.out()).toContain(name);
    expect(await run(["--loss", "none"])).toBe(2);
    expect(said.err()).toContain('--loss "none": choose from');
    expect(await run(["--out", folder()])).toBe(2);
    expect(said.err()).toContain("cannot be written");
  });

  test("without a GPU it says so in the library's words, and ends with status 2", async () => {
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => null } });
    onTestFinished(() => void vi.unstubAllGlobals());
    const said = quiet();
    expect(await run(["--device", "webgpu", "--out", join(folder(), "r.html")])).toBe(2);
    expect(said.err()).toMatch(
      /--device webgpu is not to be had here\. .*adapter.*; the "wasm" device computes/,
    );
  });
});

describe("training on digits", () => {
  let task: Task;
  beforeAll(async () => {
    task = taskOf(await loadData("digits"));
  });

  test("the same seed gives the same numbers, another seed others", async () => {
    const numbers = async (seed: number) => {
      const { losses, predictions } = await train(heads[0]!, task, { epochs: 1, seed });
      return { losses, predictions: [...predictions] };
    };
    const first = await numbers(0);
    expect(await numbers(0)).toEqual(first);
    expect((await numbers(1)).losses).not.toEqual(first.losses);
  });

  test.each(heads)(
    "$title is right on 93 % of the test set after 8 epochs, and its rows are distributions",
    async (head) => {
      const seen: number[] = [];
      const { losses, accuracyByEpoch, predictions, test } = await train(head, task, {
        epochs: 8,
        seed: 0,
        onEpoch: (a) => seen.push(a),
      });
      expect(test.accuracy).toBeGreaterThan(0.93);
      expect(accuracyByEpoch).toEqual(seen);
      expect(accuracyByEpoch.at(-1)).toBe(test.accuracy);
      expect(losses).toHaveLength(8 * Math.ceil(1438 / 32));
      for (let row = 0; row < 359; row++) {
        const p = predictions.subarray(10 * row, 10 * row + 10);
        expect(Math.abs(p.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-5);
        expect(p.every((v) => v >= 0)).toBe(true);
      }
    },
  );

  test("on a GPU the same heads learn the same, and what they made is freed", { timeout: 120_000 }, async ({
    skip,
  }) => {
    const missing = await useDevice("webgpu").then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (missing !== undefined) skip(missing);
    onTestFinished(() => useDevice("wasm"));
    const there = taskOf(task.data);
    expect(there.x.device).toBe("webgpu");
    const chosen = heads.filter(({ name }) => name === "softmax" || name === "entmax15");
    for (const head of chosen) {
      const tensors: number[] = [];
      const onEpoch = () => tensors.push(memory().tensors);
      const gpu = await train(head, there, { epochs: 4, seed: 0, onEpoch });
      const cpu = await train(head, task, { epochs: 4, seed: 0 });
      expect(Math.abs(gpu.test.accuracy - cpu.test.accuracy)).toBeLessThan(0.01);
      expect(gpu.losses).toHaveLength(cpu.losses.length);
      gpu.losses.forEach((loss, i) => {
        expect(Math.abs(loss - cpu.losses[i]!)).toBeLessThan(0.02 + 0.02 * cpu.losses[i]!);
      });
      expect(tensors.at(-1)).toBeLessThanOrEqual(tensors[1]!); // fewer where models of earlier tests are collected
    }
  });
});
