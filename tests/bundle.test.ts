// What the library weighs in a page, and that importing one map brings one map.

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { allLosses } from "../losses/index.ts";
import { allOps } from "../ops/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The text of an ES bundle of what a page imports. */
async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return outputFiles[0]!.text;
}

const gzipped = (text: string): number => gzipSync(text, { level: 9 }).length / 1024;

describe("the minified, gzipped ES bundle", () => {
  test("of everything but the checks is at most 45 KB", async () => {
    const entries = ["core", "ops", "nn", "losses", "optim"].map(
      (entry, i) => `export * as m${i} from "./${entry}/index.ts";`,
    );
    const size = gzipped(await bundle(entries.join("\n")));
    expect(size, `everything: ${size.toFixed(1)} KB`).toBeLessThanOrEqual(45);
  });

  test("of { softmax, grad } is at most 30 KB", async () => {
    const size = gzipped(
      await bundle('export { softmax } from "./ops/index.ts"; export { grad } from "./core/index.ts";'),
    );
    expect(size, `{ softmax, grad }: ${size.toFixed(1)} KB`).toBeLessThanOrEqual(30);
  });
});

describe("importing one op", () => {
  /** Ops that are written with others, which come along. */
  const written: { readonly [name: string]: readonly string[] } = {
    sum: ["cast"],
    crossEntropy: ["softCrossEntropy"],
    weightedCrossEntropy: ["crossEntropy"],
    labelSmoothingCe: ["crossEntropy"],
  };
  const every = [...allOps, ...allLosses].map(({ info }) => info);
  const samples = every.filter(
    ({ kind, name }) =>
      kind === "rowMap" || kind === "loss" || ["logsumexp", "relu", "sum", "matmul"].includes(name),
  );

  test.each(samples.map(({ name }) => name))("%s brings its sentence and no other's", async (name) => {
    const text = await bundle(
      `export { ${name} } from "./${allLosses.some(({ info }) => info.name === name) ? "losses" : "ops"}/index.ts";`,
    );
    const brought = every.filter((info) => text.includes(info.doc)).map((info) => info.name);
    const doc = every.find((info) => info.name === name)!.doc;
    const known = every
      .filter((info) => info.doc === doc || written[name]?.includes(info.name))
      .map((info) => info.name);
    expect(brought.filter((other) => !known.includes(other))).toEqual([]);
  });

  test("brings no layer, no optimizer and no check", async () => {
    const text = await bundle(
      'export { sparsemax } from "./ops/index.ts"; export { tensor } from "./core/index.ts";',
    );
    for (const word of ["SGD", "Sequential", "gradcheck", "Counterexample"]) expect(text).not.toContain(word);
  });
});

test("importing nothing brings nothing", async () => {
  const entries = ["core", "ops", "nn", "losses", "optim"].map((entry) => `import "./${entry}/index.ts";`);
  expect((await bundle(entries.join("\n"))).trim()).toBe("");
});
