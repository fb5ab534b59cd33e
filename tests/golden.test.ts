// The golden files where they lie beside the repository, and the program that replays them. `golden/` replays the copied cases.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { adapterOf } from "./golden/adapters.ts";
import { type Case, readCases } from "./golden/format.ts";
import { failures, runCase, type Setting } from "./golden/run.ts";
import { withoutGpu } from "./place.ts";
import { settings } from "./suite/samples.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const beside = here("../../shared/golden/");

const js: Setting = { device: "js", dtype: "f64" };

describe.skipIf(!existsSync(beside)).each(settings)("on $device in $dtype", (setting) => {
  test("every case beside the repository agrees whose op exists", async () => {
    const cases = readdirSync(beside)
      .filter((file) => file.endsWith(".json"))
      .flatMap((file) => readCases(readFileSync(beside + file, "utf8"), file));
    expect(
      await failures(
        cases.filter(({ op }) => adapterOf(op) !== undefined),
        setting,
      ),
    ).toEqual([]);
  }, 120_000);
});

describe("the runner", () => {
  const softmaxCase = JSON.stringify({
    format: "softalt-golden/1",
    cases: [
      {
        id: "softmax/mine/0",
        op: "softmax",
        axis: -1,
        params: {},
        inputs: { x: { shape: [1, 2], data: [0, "-inf"] } },
        output: { shape: [1, 2], data: [1, 0] },
        tol: { rtol: 0, atol: 0 },
        tags: [],
      },
    ],
  });
  const parsed = (text: string): Case => readCases(text, "mine.json")[0]!;

  test("a wrong value is a difference that names output, place and both numbers", async () => {
    const { differences } = await runCase(parsed(softmaxCase.replace("[1,0]", "[0.5,0.5]")), js);
    expect(differences).toEqual(["output[0] is 1, not 0.5 (and 1 more of 2)"]);
  });

  test("an op that does not exist has failed", async () => {
    expect(
      (await runCase(parsed(softmaxCase.replace('"op":"softmax"', '"op":"nomax"')), js)).differences,
    ).toEqual(["there is no op nomax"]);
  });

  test("a sparse map must give exact zeros", async () => {
    const sparse = softmaxCase
      .replace('"op":"softmax"', '"op":"sparsemax"')
      .replace("[1,0]", "[0,1]")
      .replace('"rtol":0', '"rtol":9');
    expect((await runCase(parsed(sparse), js)).differences).toEqual(["output[0] is 1, not 0"]);
  });

  test("an error must be ours and hold the words that the case gives", async () => {
    const throwing = (words: string): Case =>
      parsed(
        `{"format":"softalt-golden-layers/1","cases":[{"id":"bad","op":"sgd","params":{"lr":-1},"inputs":{},"throws":${words}}]}`,
      );
    expect((await runCase(throwing('["lr"]'), js)).differences).toEqual([]);
    expect((await runCase(throwing('["elephant"]'), js)).differences[0]).toMatch(/lacks "elephant"/);
  });

  test("a file of another format is refused", () => {
    expect(() => readCases('{"format":"other"}', "x.json")).toThrow(/x.json: the format other/);
  });

  describe("from the command line", () => {
    let folder: string;
    let program: string;
    beforeAll(async () => {
      // Inside the repository, where the package for WebGPU is found.
      folder = mkdtempSync(here("../node_modules/.golden-"));
      program = join(folder, "golden.mjs");
      await build({
        entryPoints: [here("golden/index.ts")],
        bundle: true,
        platform: "node",
        format: "esm",
        target: "node20",
        outfile: program,
      });
      writeFileSync(join(folder, "good.json"), softmaxCase);
      writeFileSync(join(folder, "bad.json"), softmaxCase.replace("[1,0]", "[0.5,0.5]"));
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    /** Exit status and what was printed. */
    const golden = (...args: string[]): [status: number, text: string] => {
      try {
        return [
          0,
          execFileSync(process.execPath, [program, ...args], {
            cwd: folder,
            encoding: "utf8",
            stdio: "pipe",
          }),
        ];
      } catch (error) {
        const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
        return [status, stdout + stderr];
      }
    };

    test("it ends with the counts, and with status 1 when a case differs", () => {
      expect(golden("good.json")).toEqual([0, "1 passed, 0 failed\n"]);
      const [status, text] = golden("good.json", "bad.json", "--device", "js");
      expect(status).toBe(1);
      expect(text).toBe(
        "FAIL softmax/mine/0: output[0] is 1, not 0.5 (and 1 more of 2)\n1 passed, 1 failed\n",
      );
    });

    test.skipIf(withoutGpu !== undefined)("it replays on the GPU, in f32", () => {
      expect(golden("good.json", "--device", "webgpu", "--dtype", "f32")).toEqual([
        0,
        "1 passed, 0 failed\n",
      ]);
      expect(golden("good.json", "--device", "webgpu")[1]).toMatch(/golden: webgpu computes in f32/);
    });

    test("bad options say what to do", () => {
      for (const args of [
        [],
        ["--devise", "js"],
        ["good.json", "--dtype", "f16"],
        ["missing.json"],
        ["good.json", "--device", "gpu"],
        ["good.json", "--ops", "nomax"],
      ]) {
        const [status, text] = golden(...args);
        expect(status, args.join(" ")).toBe(2);
        expect(text).toMatch(/^golden: .+\nnpm run golden/);
      }
    });
  });
});
