// The floors of the architecture, read off the imports: who may know whom, and what the library may depend on.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { parseAst } from "vite";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The files of the library, by their paths from the root. */
const files: readonly string[] = ["core", "ops", "losses", "nn", "optim"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `${folder}/${file.replaceAll("\\", "/")}`),
);

interface Import {
  readonly from: string;
  /** A path from the root, or the name of a package. */
  readonly to: string;
  readonly isPackage: boolean;
  /** Whether nothing is left of it at run time. */
  readonly typeOnly: boolean;
}

/** Every import and re-export of a file. Comments are left out: their examples import what users do. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/gm,
  );
  return [...statements].map(([, type, from, dynamic]) => {
    const target = (from ?? dynamic)!;
    const isPackage = !target.startsWith(".");
    const to = isPackage
      ? target
      : relative(root, resolve(root, dirname(file), target)).replaceAll("\\", "/");
    return { from: file, to, isPackage, typeOnly: type !== undefined };
  });
}

const imports: readonly Import[] = files.flatMap(importsOf);
const inside = imports.filter(({ isPackage }) => !isPackage);

/** The imports that break a rule, each as a sentence. */
const broken = (rule: string, breaks: (i: Import) => boolean): string[] =>
  imports.filter(breaks).map(({ from, to }) => `${from} imports ${to}, but ${rule}`);

const folder = (path: string): string => path.split("/")[0]!;

test("imports are found", () => {
  expect(inside.length).toBeGreaterThan(100);
  for (const { from, to } of inside) expect(files, `${from} imports ${to}`).toContain(to);
});

test("ops import core; nn, losses and optim import ops and core, not one another; nn/output may use losses", () => {
  const allowed: { readonly [folder: string]: readonly string[] } = {
    core: ["core"],
    ops: ["core", "ops"],
    losses: ["core", "ops", "losses"],
    optim: ["core", "ops", "optim"],
    nn: ["core", "ops", "nn"],
  };
  const breaks = ({ from, to, isPackage }: Import): boolean => {
    if (isPackage || allowed[folder(from)]!.includes(folder(to))) return false;
    return !(from.startsWith("nn/output/") && folder(to) === "losses");
  };
  expect(
    imports
      .filter(breaks)
      .map(
        ({ from, to }) =>
          `${from} imports ${to}, but ${folder(from)} stands on ${allowed[folder(from)]!.join(", ")} alone`,
      ),
  ).toEqual([]);
});

/** The floors of core, from the ground: a file imports from its own floor and those below. */
const floors: readonly (readonly [name: string, holds: (path: string) => boolean])[] = [
  ["errors", (path) => path === "core/errors.ts"],
  [
    "shapes, element types, special functions and random bits",
    (path) => ["core/dtype.ts", "core/shape.ts", "core/special.ts", "core/threefry.ts"].includes(path),
  ],
  ["the row language", (path) => path.startsWith("core/row/")],
  ["backends", (path) => path.startsWith("core/backends/")],
  ["tensors, tapes, scopes and ops", (path) => !path.startsWith("core/check/")],
  ["checks", () => true],
];
const floorOf = (path: string): number => floors.findIndex(([, holds]) => holds(path));

test("inside core every file stands on its own floor and those below: errors, shapes, row language, backends, tensors, checks", () => {
  const breaks = ({ from, to, isPackage }: Import): boolean =>
    !isPackage && folder(from) === "core" && floorOf(to) > floorOf(from);
  const sentence = ({ from, to }: Import): string =>
    `${from} (${floors[floorOf(from)]![0]}) imports ${to} (${floors[floorOf(to)]![0]}), which stands above it`;
  expect(imports.filter(breaks).map(sentence)).toEqual([]);
});

test("backends know no tape and no op, and devices do not know one another", () => {
  const device = (path: string): string | undefined => /^core\/backends\/(\w+)\//.exec(path)?.[1];
  expect(
    broken(
      "devices do not know one another",
      ({ from, to, isPackage }) =>
        !isPackage && device(from) !== undefined && device(to) !== undefined && device(from) !== device(to),
    ),
  ).toEqual([]);
});

test("the library depends on ndarray alone, in one file, and on fast-check in core/check alone", () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  ) as {
    dependencies: object;
    peerDependencies: object;
    peerDependenciesMeta: { [name: string]: { optional?: boolean } };
  };
  expect(Object.keys(dependencies)).toEqual(["ndarray"]);
  for (const name of Object.keys(peerDependencies))
    expect(peerDependenciesMeta[name]?.optional, `${name} is an optional peer`).toBe(true);
  const allowed = ({ from, to }: Import): boolean =>
    to === "ndarray" ? from === "core/ndarray.ts" : to === "fast-check" && from.startsWith("core/check/");
  expect(
    broken(
      "the library depends on ndarray in core/ndarray.ts and on fast-check in core/check alone",
      (i) => i.isPackage && !allowed(i),
    ),
  ).toEqual([]);
  expect(
    inside.filter(({ from, to }) => to.startsWith("core/check/") && !from.startsWith("core/check/")),
  ).toEqual([]);
});

test("every file opens with what it is", () => {
  const silent = files.filter((file) => !/^\/\/ \S/.test(readFileSync(join(root, file), "utf8")));
  expect(silent.map((file) => `${file} does not open with a comment that says what it is`)).toEqual([]);
});

test("nothing runs when a module is loaded: there are no statements that call something", async () => {
  const calls = await Promise.all(
    files.map(async (file) => {
      const { code } = await transform(readFileSync(join(root, file), "utf8"), { loader: "ts" });
      const statements = parseAst(code).body.filter(
        (node) => node.type === "ExpressionStatement" && node.expression.type === "CallExpression",
      );
      return statements.map(
        ({ start, end }) => `${file} calls something when it is loaded: ${code.slice(start, end)}`,
      );
    }),
  );
  expect(calls.flat()).toEqual([]);
});
