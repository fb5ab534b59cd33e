// The notebooks of examples/: every cell runs in the kernel that readers use, shows what the file says it shows, and has no
// type error. And the runner itself: that it fails where it should.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findDeno } from "./notebooks/kernel.ts";
import {
  differences,
  lines,
  type Notebook,
  notebooksIn,
  readNotebook,
  run,
  typeErrors,
  writeNotebook,
} from "./notebooks/notebook.ts";
import { place } from "./place.ts";

// In CI a machine without Deno fails; elsewhere the end of the run says what is left out.
const leftOut = findDeno() === undefined && !place.ci;
beforeEach(({ skip }) => skip(leftOut, "the notebooks, because there is no Deno for this machine"));

describe("examples/notebooks", () => {
  const paths = notebooksIn(fileURLToPath(new URL("../examples/notebooks", import.meta.url)));

  test("has notebooks", () => {
    expect(paths.length).toBeGreaterThanOrEqual(3);
  });

  test.each(paths.map((path) => [basename(path), path]))(
    "%s shows what it says",
    { timeout: 120_000 },
    async (_, path) => {
      const objections = differences(readNotebook(path), await run(path));
      expect(
        objections,
        `${basename(path)}: \`npm run notebooks\` writes what cells show into the files`,
      ).toEqual([]);
    },
  );

  test("cells have no type errors", { timeout: 120_000 }, () => {
    expect(typeErrors(paths)).toBe("");
  });
});

describe("the runner", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "notebooks-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** A notebook with these code cells after a cell of text. */
  function written(name: string, ...cells: readonly string[]): string {
    const path = join(folder, `${name}.ipynb`);
    const code = cells.map((text, i) => ({
      cell_type: "code" as const,
      execution_count: null,
      id: `code-${i}`,
      metadata: {},
      outputs: [],
      source: lines(text),
    }));
    const text = { cell_type: "markdown" as const, id: "text", metadata: {}, source: ["# Text"] };
    const notebook: Notebook = { cells: [text, ...code], metadata: {}, nbformat: 4, nbformat_minor: 5 };
    writeNotebook(path, notebook);
    return path;
  }

  test("stores what cells show, without times, the same in every run", async () => {
    const path = written(
      "shows",
      'console.log("one");\nconsole.log("two");',
      '({ [Symbol.for("Jupyter.display")]: () => ({ "text/plain": "a\\nb", "text/html": "<i>a</i>" }) });',
    );
    const found = await run(path);
    expect(found.cells.slice(1)).toEqual([
      expect.objectContaining({
        execution_count: 1,
        outputs: [{ name: "stdout", output_type: "stream", text: ["one\n", "two\n"] }],
      }),
      expect.objectContaining({
        execution_count: 2,
        outputs: [
          {
            data: { "text/html": ["<i>a</i>"], "text/plain": ["a\n", "b"] },
            execution_count: 2,
            metadata: {},
            output_type: "execute_result",
          },
        ],
      }),
    ]);
    writeNotebook(path, found);
    expect(differences(readNotebook(path), await run(path))).toEqual([]);
  });

  test("names the cell that raises", async () => {
    const path = written("raises", "const x = 1;", 'throw new RangeError("no such thing");');
    await expect(run(path)).rejects.toThrow(/^raises\.ipynb, cell 3 raises:\nRangeError: no such thing/);
  });

  test("names the cell that shows something else than the file says", async () => {
    const path = written("changes", "1 + 1;", "2 + 2;");
    const found = await run(path);
    writeNotebook(path, { ...found, cells: found.cells.with(2, readNotebook(path).cells[2]!) });
    const objections = differences(readNotebook(path), await run(path));
    expect(objections).toEqual([expect.stringMatching(/^cell 3 shows .*"4".* instead of \[null,\[\]\]$/)]);
  });

  test("allows fractions a unit in their last digit, and nothing else", async () => {
    const showing = (text: string): Notebook => ({
      ...readNotebook(written("rounds", "")),
      cells: [
        { cell_type: "code", execution_count: 1, id: "code", metadata: {}, outputs: [text], source: [] },
      ],
    });
    const differ = (a: string, b: string): boolean => differences(showing(a), showing(b)).length > 0;
    expect(differ("p = 0.1249, 2", "p = 0.1250, 2")).toBe(false);
    expect(differ("p = 0.1249, 2", "p = 0.1251, 2")).toBe(true);
    expect(differ("p = 0.1249, 2", "p = 0.1249, 3")).toBe(true);
    expect(differ("p = 0.125", "p = 0.13")).toBe(true);
    expect(differ("p = 0.125", "p = 0.125, 1")).toBe(true);
  });

  test("names the line with a type error, which the kernel overlooks", async () => {
    const path = written(
      "untyped",
      "const x: number = 1;",
      "\nconst y: string = x;\nawait Promise.resolve(y);",
    );
    await expect(run(path)).resolves.toBeDefined();
    const errors = typeErrors([path]);
    expect(errors).toMatch(/Type 'number' is not assignable to type 'string'/);
    expect(errors).toMatch(/at untyped\.ipynb, cell 3, line 2$/m);
  });
});
