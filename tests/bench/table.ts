// The bench's results as text: one line a row, and the promises kept or missed. Measures nothing.
import type { Measured } from "./harness.ts";
import { type Promised, promises, type Row, startAllowance, startRow } from "./rows.ts";

/** Milliseconds with three digits, or microseconds when that reads better. */
export function showTime(ms: number): string {
  const [value, unit] = ms < 0.1 ? [1000 * ms, "µs"] : [ms, "ms"];
  return `${value >= 99.95 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

const find = (results: readonly Measured[], row: string, peer: string): number | undefined =>
  results.find((result) => result.row === row && result.peer === peer)?.timing?.median;

/** One line a row: the median of each peer and, beside it, how many times slower than ours it is. */
export function resultLines(
  results: readonly Measured[],
  rows: readonly Row[],
  peers: readonly string[],
): string {
  const shown = rows.filter((row) => results.some((result) => result.row === row.id));
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
    return [row.title, ...cells, range];
  });
  const table = [["", ...peers, "ours, p10 … p90"], ...lines];
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

/** Holds the measured medians against what is promised; promises without figures on both sides are left out. */
export function judge(results: readonly Measured[], list: readonly Promised[] = promises): Kept[] {
  return list.flatMap((promise) => {
    const ours = find(results, promise.row, "ours");
    const theirs = find(results, promise.versus, promise.peer);
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
    const claim = `${title(row)}: ≥ ${Number(ratio.toFixed(2))} × ${against}`;
    return `${kept ? "✓" : "✗"} ${claim} (measured ${measured.toFixed(2)})`;
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
