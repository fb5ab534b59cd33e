// What the documentation shows runs: every code block of the README, examples of docstrings, every program in examples/. They are compiled against the source tree, as a user's program is against the package.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
let folder: string;
beforeAll(() => {
  // Where packages that stay outside the bundle are found.
  folder = mkdtempSync(join(root, "node_modules", ".examples-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The package's own name stands for the source tree. */
const alias = Object.fromEntries(
  [
    ["simplexgrad", "core/index.ts"],
    ["simplexgrad/check", "core/check/index.ts"],
    ["simplexgrad/losses/create", "losses/create.ts"],
    ...["ops", "nn", "losses", "optim"].map((entry) => [`simplexgrad/${entry}`, `${entry}/index.ts`]),
  ].map(([name, file]) => [name, join(root, file!)]),
);

/** A program that looks for files beside itself finds them beside its source. */
const ownAddress: Plugin = {
  name: "own address",
  setup: ({ onLoad }) => {
    onLoad({ filter: /examples\/.*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replaceAll(
        "import.meta.url",
        JSON.stringify(pathToFileURL(path).href),
      ),
      loader: "ts",
    }));
  },
};

/** Compiles a program and runs it; what it prints. Throws with the error output when it fails. */
async function run(
  name: string,
  entry: { stdin: string } | { file: string },
  args: readonly string[] = [],
): Promise<string> {
  const outfile = join(folder, `${name.replace(/\W+/g, "-")}.mjs`);
  await build({
    ...("file" in entry
      ? { entryPoints: [entry.file] }
      : { stdin: { contents: entry.stdin, resolveDir: root, loader: "ts" } }),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    alias,
    external: ["esbuild"],
    // CommonJS packages ask for `require`.
    banner: {
      js: 'import * as nodeModule from "node:module"; globalThis.require = nodeModule.createRequire(import.meta.url);',
    },
    plugins: [ownAddress],
    outfile,
    logLevel: "silent",
  });
  try {
    return execFileSync(process.execPath, [outfile, ...args], {
      cwd: folder,
      encoding: "utf8",
      stdio: "pipe",
      timeout: 60_000,
    });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${name} fails:\n${stdout}${stderr}`);
  }
}

/** A block of code in a Markdown file, and the line that it begins on. */
interface Block {
  readonly language: string;
  readonly line: number;
  readonly text: string;
}

function blocksOf(file: string): Block[] {
  const path = join(root, file);
  if (!existsSync(path)) return [];
  const markdown = readFileSync(path, "utf8");
  return [...markdown.matchAll(/^```(\w*)[^\n]*\n([\s\S]*?)^```/gm)].map((found) => ({
    language: found[1]!,
    line: markdown.slice(0, found.index).split("\n").length,
    text: found[2]!,
  }));
}

const programs = ["README.md", "ARCHITECTURE.md"].flatMap((file) =>
  blocksOf(file)
    .filter(({ language }) => language === "ts" || language === "js")
    .map((block) => [`${file} line ${block.line}`, block] as const),
);

describe("code in the documentation", () => {
  test.each(programs)("%s", async (name, { text }) => {
    await run(name, { stdin: text });
  });
});

/** The examples of docstrings that are whole programs: those that begin with their imports. */
const docstrings = ["core", "ops", "losses", "nn", "optim"].flatMap((place) =>
  readdirSync(join(root, place), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => {
      const text = readFileSync(join(root, place, file), "utf8");
      return [...text.matchAll(/@example\n((?:[ \t]*\*(?!\/)[^\n]*\n)+)/g)].flatMap(([, lines], i) => {
        const code = lines!.replace(/^[ \t]*\* ?/gm, "").split(/^@/m)[0]!;
        return code.startsWith("import") ? [[`${place}/${file} example ${i + 1}`, code] as const] : [];
      });
    }),
);

describe("examples of docstrings", () => {
  test.each(docstrings)("%s", async (name, code) => {
    await run(name, { stdin: code });
  });
});

/** Programs of examples/: files that a script of the package names, and folders with an index. */
const scripts = Object.values(
  (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: { [name: string]: string } })
    .scripts,
);
const examples = readdirSync(join(root, "examples"), { recursive: true, encoding: "utf8" })
  .map((file) => `examples/${file.replaceAll("\\", "/")}`)
  .filter(
    (file) =>
      /^examples\/[^/]+\/index\.ts$/.test(file) ||
      (file.endsWith(".ts") &&
        scripts.some((script) => script.endsWith(`dist/${file.replace(/ts$/, "js")}`))),
  )
  .toSorted();

/** What makes a long program short, and one that serves end. */
const argumentsOf: { readonly [file: string]: () => readonly string[] } = {
  "examples/main-job/index.ts": () => ["--epochs", "1", "--out", join(folder, "report.html")],
  "examples/applications/distillation.ts": () => ["--seeds", "2"],
  "examples/applications/calibration.ts": () => ["--seeds", "2"],
  "examples/applications/masked-softmax.ts": () => ["--steps", "200"],
  "examples/applications/attention.ts": () => ["--steps", "400"],
  "examples/accumulation/index.ts": () => ["--size", "small", "--epochs", "2", "--seeds", "1"],
  "examples/margins/index.ts": () => ["--seeds", "1", "--steps", "150"],
  "examples/playground/index.ts": () => ["--build"],
  "examples/vocabulary/index.ts": () => [
    "--quick",
    "--steps",
    "3",
    "--heads",
    "huffman,nce",
    "--out",
    join(folder, "vocabulary"),
  ],
  "examples/reference/index.ts": () => ["--out", join(folder, "docs")],
};

describe("examples/", () => {
  test.each(examples)("%s runs", async (file) => {
    const args = argumentsOf[file]?.() ?? [];
    expect(await run(file, { file: join(root, file) }, args)).not.toContain("NaN");
  });
});
