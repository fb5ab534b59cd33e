// The bench's results as text: one line a row, and the promises kept or missed. Measures nothing.
import type { Measured } from "./harness.ts";
import type { Cost } from "./observed.ts";
import { type Limit, limits, type Promised, promises, type Row, startAllowance, startRow } from "./rows.ts";

/** Milliseconds with three digits, or microseconds when that reads better. */
export function showTime(ms: number): string {
  const [value, unit] = ms < 0.1 ? [1000 * ms, "µs"] : [ms, "ms"];
  return `${value >= 99.95 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

const find = (
  results: readonly Measured[],
  row: string,
  peer: string,
  which: "median" | "least" = "median",
): number | undefined =>
  results.find((result) => result.row === row && result.peer === peer)?.timing?.[which];

/** One line a row: the median of each peer and, beside it, how many times slower than ours it is. */
export function resultLines(
  results: readonly Measured[],
  rows: readonly Row[],
  peers: readonly string[],
): string {
  const shown = rows.filter((row) => results.some((result) => result.row === row.id));
  const pieces = shown.some((row) => row.pieces !== undefined);
  const lines = shown.map((row) => {
    const ours = find(results, row.id, "ours");
    const cells = peers.map((peer) => {
      const ms = find(results, row.id, peer);
      if (ms === undefined) return results.some((r) => r.row === row.id && r.peer === peer) ? "failed" : "–";
      return peer === "ours" || ours === undefined
        ? showTime(ms)
        : `${showTime(ms)} (${showRatio(ms / ours)})`;
    });
    const spread = results.find((r) => r.row === row.id && r.peer === "ours")?.timing;
    const range = spread === undefined ? "" : `${showTime(spread.p10)} … ${showTime(spread.p90)}`;
    const piece = row.pieces === undefined || ours === undefined ? "" : showTime(ours / row.pieces);
    return [row.title, ...cells, range, ...(pieces ? [piece] : [])];
  });
  return aligned([["", ...peers, "ours, p10 … p90", ...(pieces ? ["each piece"] : [])], ...lines]);
}

/** Cells in columns of one width each: the first to the left, the others to the right. */
function aligned(table: readonly (readonly string[])[]): string {
  const widths = table[0]!.map((_, i) => Math.max(...table.map((line) => line[i]!.length)));
  return table
    .map((line) =>
      line
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const showRatio = (ratio: number): string => `${ratio >= 99.5 ? ratio.toFixed(0) : ratio.toPrecision(2)}×`;

/** A promise with what was measured: the ratio by which ours is faster, when both sides have a figure. */
export interface Kept {
  readonly promise: Promised;
  readonly measured: number;
  readonly kept: boolean;
}

/**
 * Holds what was measured against what is promised, by the least times: what else runs on a machine only ever adds to them.
 * Promises without figures on both sides are left out.
 */
export function judge(results: readonly Measured[], list: readonly Promised[] = promises): Kept[] {
  return list.flatMap((promise) => {
    const ours = find(results, promise.row, "ours", "least");
    const theirs = find(results, promise.versus, promise.peer, "least");
    if (ours === undefined || theirs === undefined) return [];
    const measured = theirs / ours;
    return [{ promise, measured, kept: measured >= promise.ratio }];
  });
}

/** The promises as lines, and the start-up allowance when it was measured. */
export function promiseLines(results: readonly Measured[], rows: readonly Row[]): string {
  const title = (id: string): string => rows.find((row) => row.id === id)?.title ?? id;
  const lines = judge(results).map(({ promise: { row, peer, versus, ratio }, measured, kept }) => {
    const against = peer === "ours" ? title(versus) : peer;
    // At most a multiple of our own time, or at least so many times faster than another.
    const [sign, bound, found] = peer === "ours" ? ["≤", 1 / ratio, 1 / measured] : ["≥", ratio, measured];
    const claim = `${title(row)}: ${sign} ${Number(bound.toFixed(2))} × ${against}`;
    return `${kept ? "✓" : "✗"} ${claim} (measured ${found.toFixed(2)})`;
  });
  const ours = find(results, startRow.id, "ours");
  const empty = find(results, startRow.id, "node");
  if (ours !== undefined && empty !== undefined) {
    const above = ours - empty;
    const claim = `${startRow.title}: ≤ ${startAllowance} ms above an empty Node`;
    lines.push(`${above <= startAllowance ? "✓" : "✗"} ${claim} (measured ${above.toFixed(1)})`);
  }
  return lines.join("\n");
}

// ---------------------------------------------------------------------------------------------------------------
// What a GPU is asked

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const kilobytes = (bytes: number): string => (bytes / 1000).toFixed(1);
const multiple = (bytes: number, least: number): string =>
  least === 0 ? "–" : `${Number((bytes / least).toFixed(2))}×`;

/** Commands of one call, and below them the bytes of each kernel beside the least: every tensor that it binds, once. */
export function costLines(costs: readonly Cost[]): string {
  const commands = costs.map(({ title, call, pipelines }) => [
    title,
    ...[call.dispatches, call.submits, call.bindGroups, call.pipelines, pipelines].map(String),
  ]);
  const bytes = costs.flatMap(({ row, traffic }) =>
    traffic.map((t) => [
      `${row}: ${t.kernel}`,
      String(t.dispatches),
      kilobytes(t.read),
      multiple(t.read, t.leastRead),
      kilobytes(t.written),
      multiple(t.written, t.leastWritten),
    ]),
  );
  return [
    aligned([
      ["each call", "dispatches", "submits", "new bind groups", "new pipelines", "pipelines"],
      ...commands,
    ]),
    aligned([["kernels of a call", "dispatches", "kB read", "of least", "kB written", "of least"], ...bytes]),
  ].join("\n\n");
}

/** A limit with what was counted. */
export interface Held {
  readonly limit: Limit;
  readonly counted: number;
  readonly kept: boolean;
}

/** Holds what was counted against the limits, to a hundredth; limits of rows that were not counted are left out. */
export function hold(costs: readonly Cost[], list: readonly Limit[] = limits): Held[] {
  return list.flatMap((limit) => {
    const cost = costs.find(({ row }) => row === limit.row);
    if (cost === undefined) return [];
    const total = (key: "read" | "leastRead" | "written" | "leastWritten"): number =>
      sum(cost.traffic.map((t) => t[key]));
    const { what, most } = limit;
    const counted =
      what === "reads"
        ? total("read") / total("leastRead")
        : what === "writes"
          ? total("written") / total("leastWritten")
          : cost.call[what];
    return [{ limit, counted, kept: counted <= 1.01 * most }];
  });
}

const said: { readonly [W in Limit["what"]]: string } = {
  dispatches: "dispatches",
  submits: "submits",
  bindGroups: "new bind groups",
  pipelines: "new pipelines",
  reads: "× its tensors read",
  writes: "× its tensors written",
};

/** The limits as lines, one a row. */
export function limitLines(costs: readonly Cost[]): string {
  const held = hold(costs);
  return costs
    .map(({ row, title }) => {
      const own = held.filter(({ limit }) => limit.row === row);
      const claims = own.map(
        ({ limit: { what, most }, counted }) => `≤ ${most} ${said[what]} (${Number(counted.toFixed(2))})`,
      );
      return `${own.every(({ kept }) => kept) ? "✓" : "✗"} ${title}: ${claims.join(", ")}`;
    })
    .join("\n");
}
