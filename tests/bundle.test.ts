// What the library weighs in a page, and that importing one map brings one map.

import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { allFeatureLosses, allLosses } from "../losses/index.ts";
import * as nn from "../nn/index.ts";
import { allOps } from "../ops/index.ts";
import * as optim from "../optim/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The text of an ES bundle of what a page imports: what it loads at once, and what only a call of it would load. */
async function bundles(contents: string): Promise<{ page: string; later: string }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    outdir: "page",
    write: false,
    metafile: true,
    logLevel: "error",
  });
  const atOnce = new Set<string>();
  const load = (file: string): void => {
    if (atOnce.has(file)) return;
    atOnce.add(file);
    for (const { path, kind } of metafile.outputs[file]!.imports) if (kind === "import-statement") load(path);
  };
  load(Object.keys(metafile.outputs).find((file) => metafile.outputs[file]!.entryPoint === "<stdin>")!);
  const text = (wanted: boolean): string =>
    outputFiles
      .filter(({ path }) => atOnce.has(relative(process.cwd(), path)) === wanted)
      .map((file) => file.text)
      .join("\n");
  return { page: text(true), later: text(false) };
}

const bundle = async (contents: string): Promise<string> => (await bundles(contents)).page;

/** Kilobytes of 1,024 bytes, ndarray included. */
const gzipped = (text: string): number => gzipSync(text, { level: 9 }).length / 1024;

describe("the minified, gzipped ES bundle", () => {
  const entries = ["core", "ops", "nn", "losses", "optim"].map(
    (entry, i) => `export * as m${i} from "./${entry}/index.ts";`,
  );
  test.each([
    ["everything but the checks", 170, entries.join("\n")],
    [
      "{ softmax, grad }",
      30,
      'export { softmax } from "./ops/index.ts"; export { grad } from "./core/index.ts";',
    ],
    [
      "{ tensor, softmax, grad }, with both devices of the CPU",
      43.5,
      'export { softmax } from "./ops/index.ts"; export { grad, tensor } from "./core/index.ts";',
    ],
  ])("of %s is at most %d KB", async (_, limit, contents) => {
    expect(gzipped(await bundle(contents))).toBeLessThanOrEqual(limit);
  });
});

test("the GPU is a chunk of its own, of at most 21.5 KB, which a page loads when it asks for it", async () => {
  const { page, later } = await bundles(
    'export { softmax } from "./ops/index.ts"; export { tensor, useDevice } from "./core/index.ts";',
  );
  for (const word of ["workgroup", "requestAdapter"]) {
    expect(page).not.toContain(word);
    expect(later).toContain(word);
  }
  expect(gzipped(later)).toBeLessThanOrEqual(21.5);
});

describe("importing one layer, optimizer or reader", () => {
  const exported = [
    ...Object.keys(nn).map((name) => ["nn", name] as const),
    ...Object.keys(optim).map((name) => ["optim", name] as const),
  ];
  /** Words that only errors of one part contain, and who may bring them besides. */
  const parts: readonly (readonly [word: string, users: RegExp])[] = [
    ["__metadata__", /Safetensors|File|Checkpoint/],
    ["categories", /readCsv/],
    ["weightIh", /^(GRU|LSTM|RNN)/],
    ["kdim", /MultiheadAttention|TransformerBlock/],
    ["cutoffs", /Adaptive|adaptive/],
    ["huffmanTree", /uffman/],
    ["warmup", /schedules/],
  ];

  test.each(parts)("%s is a word of some part", async (word, users) => {
    const [entry, name] = exported.find(([, name]) => users.test(name))!;
    expect(await bundle(`export { ${name} } from "./${entry}/index.ts";`)).toContain(word);
  });

  test.each(exported)(
    "%s: %s weighs at most 70 KB and brings no part that it does not use",
    async (entry, name) => {
      const text = await bundle(`export { ${name} } from "./${entry}/index.ts";`);
      expect(gzipped(text)).toBeLessThanOrEqual(70);
      const strangers = parts.filter(([word, users]) => text.includes(word) && !users.test(name));
      expect(strangers.map(([word]) => word)).toEqual([]);
    },
  );

  test("a page that trains a network weighs at most 62 KB", async () => {
    const text = await bundle(`export { tensor } from "./core/index.ts";
      export { Linear, Sequential } from "./nn/index.ts"; export { relu } from "./ops/index.ts";
      export { crossEntropy } from "./losses/index.ts"; export { Adam } from "./optim/index.ts";`);
    expect(gzipped(text)).toBeLessThanOrEqual(62);
  });
});

describe("importing one op", () => {
  /** Ops that are written with others, which come along. */
  const written: { readonly [name: string]: readonly string[] } = {
    sum: ["cast"],
    crossEntropy: ["softCrossEntropy"],
    weightedCrossEntropy: ["crossEntropy"],
    labelSmoothingCe: ["crossEntropy"],
    normmaxLoss: ["normmax"],
    // Derivatives of another op
    straightThroughArgmax: ["softmax"],
    gumbelSoftmaxSt: ["gumbelSoftmax"],
  };
  const every = [...allOps, ...allLosses, ...allFeatureLosses].map(({ info }) => info);
  const samples = every.filter(
    ({ kind, name }) =>
      kind === "rowMap" || kind === "loss" || ["logsumexp", "relu", "sum", "matmul", "linear"].includes(name),
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

test("importing an op brings the kernels and words that it runs, and no others", async () => {
  const text = await bundle(
    'export { sphericalSoftmax } from "./ops/index.ts"; export { tensor } from "./core/index.ts";',
  );
  // A coefficient of erf, and of log's polynomial.
  for (const coefficient of ["1.2648381843704706", ".6666677672093348"])
    expect(text).not.toContain(coefficient);
  // Names of kernels as they stand in their objects.
  for (const kernel of ["matmul", "gather", "scatterAdd", "sort", "cumsum", "random"])
    expect(text).not.toContain(`name:"${kernel}"`);
  expect(text).toContain('name:"sumMiddle"');
});

test("losses by name are an entry of their own: the others bring nothing of it", async () => {
  const created = await bundle('export { createLoss } from "./losses/create.ts";');
  const others = ["core", "ops", "nn", "losses", "optim"].map(
    (entry, i) => `export * as m${i} from "./${entry}/index.ts";`,
  );
  for (const word of ["createLoss", "the nearest are"]) {
    expect(created).toContain(word);
    expect(await bundle(others.join("\n"))).not.toContain(word);
  }
  expect((await bundle('import "./losses/create.ts";')).trim()).toBe("");
});

test("importing nothing brings nothing", async () => {
  const entries = ["core", "ops", "nn", "losses", "optim"].map((entry) => `import "./${entry}/index.ts";`);
  expect((await bundles(entries.join("\n"))).page.trim()).toBe("");
});
