// The bench's own arithmetic: quantiles, agreement, promises, the table, the shared numbers; and what a GPU is asked, counted on
// the smaller rows. Times nothing.
import { describe, expect, test } from "vitest";
import { scope, zeros } from "../core/index.ts";
import { softmax } from "../ops/index.ts";
import { labels, norm, normal, transposed } from "./bench/data.ts";
import { agree, type Measured, quantile, timing } from "./bench/harness.ts";
import { type Cost, type Observed, openObserved } from "./bench/observed.ts";
import { limits, prefixed, promises, rows, startRow } from "./bench/rows.ts";
import { costLines, hold, judge, limitLines, promiseLines, resultLines, showTime } from "./bench/table.ts";
import { counted } from "./bench/traffic.ts";
import { works } from "./bench/works.ts";

const took = (row: string, peer: string, ms: number): Measured => ({
  row,
  peer,
  timing: timing([ms, ms, ms]),
});

describe("measuring", () => {
  test("a quantile interpolates between the sorted values", () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([4, 1, 2, 3], 0.5)).toBe(2.5);
    expect(timing([5, 1, 3])).toEqual({ least: 1, median: 3, p10: 1.4, p90: 4.6, rounds: 3 });
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

  test("what may take a multiple of another row's time says the multiple", () => {
    const lines = (ours: number) =>
      promiseLines([took("sparsemax-grad", "ours", ours), took("softmax-grad", "ours", 2)], rows);
    expect(lines(2)).toBe("✓ sparsemax, grad, 256×1000: ≤ 1.5 × softmax, grad, 256×1000 (measured 1.00)");
    expect(lines(4)).toMatch(/^✗ .*measured 2\.00/);
  });

  test("a row of equal pieces shows the time of one", () => {
    const [head, line] = resultLines([took("nodes-144", "ours", 0.144)], rows, ["ours"]).split("\n");
    expect(head).toMatch(/each piece$/);
    expect(line).toMatch(/ 1\.00 µs$/);
  });

  test("the start is held against an empty process", () => {
    const lines = (ours: number) =>
      promiseLines([took(startRow.id, "ours", ours), took(startRow.id, "node", 50)], [startRow]);
    expect(lines(79)).toMatch(/^✓ .*measured 29\.0/);
    expect(lines(81)).toMatch(/^✗ /);
  });

  test("every promise names rows that exist", () => {
    const ids = new Set(rows.map((row) => row.id));
    const named = [...promises.flatMap(({ row, versus }) => [row, versus]), ...limits.map(({ row }) => row)];
    expect(named.filter((id) => !ids.has(id))).toEqual([]);
  });

  test("every row has its work", () => {
    const known = { ...works, ...prefixed(works) };
    expect(rows.map(({ id }) => id).filter((id) => !(id in known))).toEqual([]);
  });
});

describe("counting what shaders read and write", () => {
  const declared = [
    "@group(0) @binding(0) var<storage, read> x: array<f32>;",
    "@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;",
  ].join("\n");
  const body = (statement: string): string | undefined =>
    counted(`${declared}\n${statement}`, 10).split("\n")[2];

  test("reads, writes and both go to counters of their own", () => {
    expect(body("let a = x[i];")).toBe("let a = x[s_tally(10u, u32(i))];");
    expect(body("out[i] = a;")).toBe("out[s_tally(13u, u32(i))] = a;");
    expect(body("out[i].x += a;")).toBe("out[s_tally(12u, s_tally(13u, u32(i)))].x += a;");
    expect(body("if (x[i] == 0.0) {}")).toBe("if (x[s_tally(10u, u32(i))] == 0.0) {}");
  });

  test("an index that is read itself counts too; other names and comments do not", () => {
    expect(body("let a = x[u32(x[j]) + 1];")).toBe(
      "let a = x[s_tally(10u, u32(u32(x[s_tally(10u, u32(j))]) + 1))];",
    );
    expect(body("let a = v.x[0] + max[0]; // x[0]")).toBe("let a = v.x[0] + max[0]; ");
  });

  test("storage of unknown elements is refused", () => {
    const code = "@group(0) @binding(0) var<storage, read> x: array<mat4x4<f32>>;";
    expect(() => counted(code, 0)).toThrow("storage of mat4x4<f32> is not counted");
  });

  const cost = (row: string, dispatches: number, read: number): Cost => ({
    row,
    title: row,
    call: { dispatches, submits: 1, bindGroups: 0, pipelines: 0 },
    pipelines: 2,
    traffic: [{ kernel: "k", dispatches, read, written: 8000, leastRead: 4000, leastWritten: 8000 }],
  });

  test("limits are held against what was counted", () => {
    const list = [
      { row: "a", what: "dispatches", most: 2 },
      { row: "a", what: "reads", most: 3 },
      { row: "b", what: "writes", most: 1 },
    ] as const;
    expect(hold([cost("a", 2, 16_000)], list)).toMatchObject([
      { counted: 2, kept: true },
      { counted: 4, kept: false },
    ]);
    expect(limitLines([cost("webgpu-softmax-256x1000", 1, 4000)])).toMatch(
      /^✓ .*≤ 1 dispatches \(1\).*≤ 1 × its tensors read \(1\)/,
    );
    expect(limitLines([cost("webgpu-softmax-256x1000", 1, 8000)])).toMatch(/^✗/);
    expect(
      costLines([cost("a", 2, 16_000)])
        .split("\n")
        .at(-1)
        ?.split(/ {2,}/),
    ).toEqual(["a: k", "2", "16.0", "4×", "8.0", "1×"]);
  });
});

describe("on the GPU", () => {
  // The device of this file alone: its shaders count.
  const opened: Promise<Observed | Error> = openObserved().catch((error: Error) => error);
  const gpu = async (skip: (note: string) => never): Promise<Observed> => {
    const found = await opened;
    return found instanceof Error ? skip(found.message) : found;
  };
  const id = (work: string): string => Object.keys(prefixed({ [work]: 0 }))[0]!;

  test.for(["softmax-256x1000", "mlp-adam"])(
    "%s asks no more than its limits",
    { timeout: 120_000 },
    async (work, { skip }) => {
      const { cost } = await gpu(skip);
      const costs = [await cost({ id: id(work), title: work }, works[work]!)];
      expect(hold(costs).filter(({ kept }) => !kept)).toEqual([]);
      expect(hold(costs).length).toBeGreaterThan(3);
    },
  );

  test("a row that no workgroup holds is read three times", async ({ skip }) => {
    const { cost } = await gpu(skip);
    const x = zeros([2, 50_000]);
    const run = () => scope(() => ({ read: softmax(x).slice([0, 1], [0, 1]).data() })).read;
    const { traffic } = await cost({ id: "long", title: "long" }, () => ({ run, check: () => [] }));
    expect(traffic).toEqual([
      { kernel: "softmax", dispatches: 1, read: 3 * 4e5, written: 4e5, leastRead: 4e5, leastWritten: 4e5 },
    ]);
  });
});
