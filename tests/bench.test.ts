// The bench's own arithmetic: quantiles, agreement, promises, the table, the shared numbers. Times nothing.
import { describe, expect, test } from "vitest";
import { labels, norm, normal, transposed } from "./bench/data.ts";
import { agree, type Measured, quantile, timing } from "./bench/harness.ts";
import { promises, rows, startRow } from "./bench/rows.ts";
import { judge, promiseLines, resultLines, showTime } from "./bench/table.ts";

const took = (row: string, peer: string, ms: number): Measured => ({
  row,
  peer,
  timing: timing([ms, ms, ms]),
});

describe("measuring", () => {
  test("a quantile interpolates between the sorted values", () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([4, 1, 2, 3], 0.5)).toBe(2.5);
    expect(timing([5, 1, 3])).toEqual({ median: 3, p10: 1.4, p90: 4.6, rounds: 3 });
  });

  test("peers agree to a thousandth, and not when a number is missing or NaN", () => {
    expect(agree([1, 100], [1.0005, 99.95])).toBe(true);
    expect(agree([1], [1.01])).toBe(false);
    expect(agree([1], [1, 2])).toBe(false);
    expect(agree([1], [Number.NaN])).toBe(false);
  });
});

describe("the shared numbers", () => {
  test("normal numbers have mean 0 and variance 1, and seeds differ", () => {
    const values = normal(1, 20000);
    expect(Math.abs(values.reduce((a, b) => a + b, 0) / values.length)).toBeLessThan(0.03);
    expect(norm(values) ** 2 / values.length).toBeCloseTo(1, 1);
    expect(normal(2, 3)).not.toEqual(normal(1, 3));
    // The Python peer computes the same: its check of the row add-8 is this number.
    expect(norm(normal(1, 8).map((value, i) => value + normal(2, 8)[i]!))).toBeCloseTo(2.919625, 5);
  });

  test("labels are class indices and all occur", () => {
    expect([...new Set(labels(5, 500, 10))].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("transposing swaps rows and columns", () => {
    expect([...transposed(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});

describe("the report", () => {
  test("times read with three digits", () => {
    expect([0.0000701, 0.0999, 0.1, 7.123, 99.95, 1234].map(showTime)).toEqual([
      "0.0701 µs",
      "99.9 µs",
      "0.100 ms",
      "7.12 ms",
      "100 ms",
      "1234 ms",
    ]);
  });

  test("a line shows every peer, its ratio to ours, and gaps", () => {
    const results = [took("add-8", "ours", 0.0002), took("add-8", "tfjs", 0.0035)];
    const failed: Measured = { row: "add-8", peer: "jax-js", problem: "it crashed" };
    const lines = resultLines([...results, failed], rows, ["ours", "tfjs", "jax-js", "torch"]).split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[1]?.split(/ {2,}/)).toEqual([
      "one add of 8 elements",
      "0.200 µs",
      "3.50 µs (18×)",
      "failed",
      "–",
      "0.200 µs … 0.200 µs",
    ]);
  });

  test("a promise is kept from its ratio on, and left out without figures", () => {
    const list = [{ row: "a", peer: "tfjs", versus: "a", ratio: 2 }];
    expect(judge([took("a", "ours", 1), took("a", "tfjs", 2)], list)).toMatchObject([
      { measured: 2, kept: true },
    ]);
    expect(judge([took("a", "ours", 1), took("a", "tfjs", 1.9)], list)[0]?.kept).toBe(false);
    expect(judge([took("a", "ours", 1)], list)).toEqual([]);
  });

  test("the start is held against an empty process", () => {
    const lines = (ours: number) =>
      promiseLines([took(startRow.id, "ours", ours), took(startRow.id, "node", 50)], [startRow]);
    expect(lines(79)).toMatch(/^✓ .*measured 29\.0/);
    expect(lines(81)).toMatch(/^✗ /);
  });

  test("every promise names rows that exist", () => {
    const ids = new Set(rows.map((row) => row.id));
    expect(promises.flatMap(({ row, versus }) => [row, versus]).filter((id) => !ids.has(id))).toEqual([]);
  });
});
