// Notebook files: reading, running every cell, type-checking, writing back. What a run gives depends on the cells alone: no
// times, and execution counts from 1. Knows nothing of what is in the notebooks.

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { denoEnvironment, Kernel, type Output, requireDeno } from "./kernel.ts";

/** A cell of a notebook. Text stands in lines, as Jupyter stores it. */
export type Cell =
  | {
      readonly cell_type: "markdown";
      readonly id: string;
      readonly metadata: object;
      readonly source: readonly string[];
    }
  | {
      readonly cell_type: "code";
      readonly execution_count: number | null;
      readonly id: string;
      readonly metadata: object;
      readonly outputs: readonly unknown[];
      readonly source: readonly string[];
    };

/** A notebook of version 4.5. */
export interface Notebook {
  readonly cells: readonly Cell[];
  readonly metadata: object;
  readonly nbformat: number;
  readonly nbformat_minor: number;
}

/** The notebooks of a folder, in order. */
export const notebooksIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".ipynb"))
    .sort()
    .map((name) => join(folder, name));

export const readNotebook = (path: string): Notebook => JSON.parse(readFileSync(path, "utf8")) as Notebook;

/** Writes a notebook as Jupyter does. */
export function writeNotebook(path: string, notebook: Notebook): void {
  writeFileSync(path, `${JSON.stringify(notebook, undefined, 1)}\n`);
}

/** Runs all cells in a fresh kernel in the notebook's folder. Throws with the number of the cell when one raises. */
export async function run(path: string): Promise<Notebook> {
  const notebook = readNotebook(path);
  const kernel = await Kernel.start(dirname(path));
  try {
    const cells: Cell[] = [];
    let count = 0;
    for (const [i, cell] of notebook.cells.entries()) {
      if (cell.cell_type !== "code") {
        cells.push(cell);
        continue;
      }
      const outputs = await kernel.execute(cell.source.join(""));
      for (const output of outputs)
        if (output.output_type === "error")
          throw new Error(`${basename(path)}, cell ${i + 1} raises:\n${output.traceback.join("\n")}`);
      cells.push({ ...cell, execution_count: ++count, outputs: outputs.map(stored) });
    }
    return { ...notebook, cells };
  } finally {
    kernel.close();
  }
}

/** An output as it stands in files: text in lines, keys in order. */
function stored(output: Output): unknown {
  const text = (value: unknown): unknown => (typeof value === "string" ? lines(value) : value);
  const { data, ...rest } = output as { readonly data?: object; readonly text?: string };
  return sorted({
    ...rest,
    ...(data === undefined
      ? {}
      : {
          data: sorted(Object.fromEntries(Object.entries(data).map(([type, value]) => [type, text(value)]))),
        }),
    ...(rest.text === undefined ? {} : { text: lines(rest.text) }),
  });
}

/** Text as lines that keep their ends. */
export const lines = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

const sorted = (record: object): object =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

/**
 * Where a run shows something else than the file says, as a sentence for each such cell. Fractions may differ by a unit of
 * their last digit: a kernel that rounds in another way is no other notebook.
 */
export function differences(committed: Notebook, found: Notebook): string[] {
  const shown = (cell: Cell): string[] =>
    cell.cell_type === "code" ? JSON.stringify([cell.execution_count, cell.outputs]).split(fraction) : [];
  return committed.cells.flatMap((cell, i) => {
    const [before, after] = [shown(cell), shown(found.cells[i]!)];
    const at = Array.from({ length: Math.max(before.length, after.length) }).findIndex(
      (_, k) => !alike(before[k] ?? "", after[k] ?? ""),
    );
    const from = (parts: readonly string[]): string =>
      parts
        .slice(Math.max(0, at - 1))
        .join("")
        .slice(0, 400);
    return at < 0 ? [] : [`cell ${i + 1} shows ${from(after)} instead of ${from(before)}`];
  });
}

const fraction = /(\d+\.\d+)/;

/** Whether two texts are equal, or fractions of as many digits that differ by a unit of the last. */
function alike(a: string, b: string): boolean {
  if (a === b) return true;
  const digits = (text: string): number => text.split(".")[1]!.length;
  if (!fraction.test(a) || !fraction.test(b) || digits(a) !== digits(b)) return false;
  return Math.abs(Number(a) - Number(b)) < 1.5 * 10 ** -digits(a);
}

/**
 * Type errors in notebooks of one folder, by notebook: their code cells are joined into one file each, since the kernel removes
 * types without checking them. One run of the compiler for all.
 */
export function typeErrors(paths: readonly string[]): string {
  const joined = paths.map((path) => {
    const cells = readNotebook(path).cells.map((cell) =>
      cell.cell_type === "code" ? cell.source.join("") : "",
    );
    // Beside the notebook, where the same names mean the same modules.
    const file = join(dirname(path), `.${basename(path, ".ipynb")}.cells.ts`);
    return { path, file, cells };
  });
  try {
    for (const { file, cells } of joined) writeFileSync(file, `${cells.join("\n")}\nexport {};\n`);
    const { status, stderr } = spawnSync(
      requireDeno(),
      ["check", "--quiet", ...joined.map(({ file }) => basename(file))],
      { cwd: dirname(paths[0]!), env: denoEnvironment, encoding: "utf8" },
    );
    if (status === 0) return "";
    return joined.reduce(
      (text, { path, file, cells }) =>
        text.replace(
          new RegExp(`file://\\S*${basename(file).replaceAll(".", "\\.")}:(\\d+):(\\d+)`, "g"),
          (_, line) => placeOf(basename(path), cells, Number(line)),
        ),
      stderr,
    );
  } finally {
    for (const { file } of joined) rmSync(file, { force: true });
  }
}

/** The cell and its line that a line of the joined file comes from. */
function placeOf(name: string, cells: readonly string[], line: number): string {
  let start = 0;
  for (const [i, cell] of cells.entries()) {
    const length = cell.split("\n").length;
    if (line <= start + length) return `${name}, cell ${i + 1}, line ${line - start}`;
    start += length;
  }
  return name;
}
