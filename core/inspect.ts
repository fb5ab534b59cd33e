// How tensors are shown: aligned text for the console, a table for notebooks and pages.
// Reads what is on the host at once; where that is impossible (freed, or an asynchronous device) it says so and never throws.

import type { DType, TypedArray } from "./dtype.ts";
import { showShape } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/** What notebooks and consoles are shown of an object. */
interface Shown {
  toString(): string;
  toHTML?(): string;
}

/**
 * Makes the objects of a class print as their `toString` says in Node and Deno, and as their `toHTML` says in notebooks.
 * (Set on the prototype: isolated declarations allow no computed names in a class.)
 */
export function display(prototype: Shown): void {
  const define = (key: string, value: (this: Shown) => unknown): void => {
    Object.defineProperty(prototype, Symbol.for(key), { value, configurable: true });
  };
  define("nodejs.util.inspect.custom", function () {
    return this.toString();
  });
  define("Jupyter.display", function () {
    const plain = { "text/plain": this.toString() };
    return this.toHTML ? { ...plain, "text/html": this.toHTML() } : plain;
  });
}

/** Above this many elements only the ends of each axis are shown, `edge` entries each. */
const whole = 400;
const edge = 3;
const lineWidth = 100;

/** The entries to show of an axis; −1 stands for those left out. */
function shown(size: number, all: boolean): number[] {
  if (all || size <= 2 * edge + 1) return Array.from({ length: size }, (_, i) => i);
  return [
    ...Array.from({ length: edge }, (_, i) => i),
    -1,
    ...Array.from({ length: edge }, (_, i) => size - edge + i),
  ];
}

/** `Tensor [2, 3] f32 on wasm`. */
function title(t: Tensor): string {
  return `Tensor ${showShape(t.shape)} ${t.dtype} on ${t.device}`;
}

/** The elements if they can be read at once, else why not. */
function readable(t: Tensor): TypedArray | string {
  if (t.held === null && t.host === null && t.arriving === null) return "freed";
  if (t.host === null && t.device === "webgpu") return "read it with await data()";
  return t.dataSync();
}

/**
 * Writes numbers in one way: all plain with the digits that are needed (at most 4 after the point), or all with an exponent.
 * Only what is exactly zero is written 0: where 0.0 stands, something is left.
 */
function formatter(values: readonly number[], dtype: DType): (v: number) => string {
  if (dtype === "bool") return (v) => (v ? "true" : "false");
  if (dtype === "i32") return String;
  const finite = values.filter(Number.isFinite);
  const sizes = finite.filter((v) => v !== 0).map(Math.abs);
  const largest = Math.max(0, ...sizes);
  const smallest = Math.min(Infinity, ...sizes);
  const special = (v: number): string | undefined =>
    Number.isNaN(v) ? "NaN" : v === Infinity ? "∞" : v === -Infinity ? "-∞" : v === 0 ? "0" : undefined;
  if (finite.every(Number.isInteger) && largest < 1e8) return (v) => special(v) ?? String(v);
  if (largest >= 1e8 || (smallest < 1e-4 && largest < 1e-3) || largest / smallest > 1e9)
    return (v) => special(v) ?? v.toExponential(4);
  const digits = Math.max(...finite.map((v) => (v.toFixed(4).replace(/0+$/, "").split(".")[1] ?? "").length));
  return (v) => special(v) ?? v.toFixed(digits);
}

/** A tensor as text: what it is, then its entries in aligned columns. */
export function showTensor(t: Tensor): string {
  const data = readable(t);
  if (typeof data === "string") return `${title(t)} (${data})`;
  const { shape, rank, size } = t as Tensor;
  const all = size <= whole;
  const axes = shape.map((n) => shown(n, all));
  const picked: number[] = [];
  const gather = (axis: number, at: number): void => {
    if (axis === rank) picked.push(data[at]!);
    else for (const i of axes[axis]!) if (i >= 0) gather(axis + 1, at * shape[axis]! + i);
  };
  if (size > 0) gather(0, 0);
  const format = formatter(picked, t.dtype);
  const texts = picked.map(format);
  const width = Math.max(0, ...texts.map((s) => s.length));
  let next = 0;
  const block = (axis: number, indent: string): string => {
    if (axis === rank) return texts[next++]!.padStart(rank === 0 ? 0 : width);
    if (axis < rank - 1) {
      const parts = axes[axis]!.map((i) => (i < 0 ? "…" : block(axis + 1, `${indent} `)));
      return `[${parts.join(`,${"\n".repeat(rank - 1 - axis)}${indent} `)}]`;
    }
    const entries = axes[axis]!.map((i) => (i < 0 ? "…" : block(axis + 1, indent)));
    // A long row is broken into lines that stay aligned.
    const perLine = Math.max(1, Math.floor((lineWidth - indent.length) / (width + 2)));
    const lines: string[] = [];
    for (let i = 0; i < entries.length; i += perLine) lines.push(entries.slice(i, i + perLine).join(", "));
    return `[${lines.join(`,\n${indent} `)}]`;
  };
  if (size === 0) return `${title(t)}\n[]`;
  return rank === 0 ? `${title(t)}: ${block(0, "")}` : `${title(t)}\n${block(0, "")}`;
}

/** Whether every row is a probability distribution, as far as its digits tell. */
function areDistributions(data: TypedArray, n: number): boolean {
  if (n < 2) return false;
  for (let start = 0; start < data.length; start += n) {
    let sum = 0;
    for (let i = start; i < start + n; i++) {
      if (!(data[i]! >= 0)) return false;
      sum += data[i]!;
    }
    if (Math.abs(sum - 1) > 1e-3) return false;
  }
  return true;
}

/** A tensor as an HTML table, one line for each row of the last axis; rows that are distributions are shown as bars too. A single number is no table. */
export function showHTML(t: Tensor): string {
  const caption = `<caption style="text-align:left;white-space:nowrap">${title(t)}</caption>`;
  const data = readable(t);
  if (typeof data === "string") return `<table>${caption}<tr><td>${data}</td></tr></table>`;
  const { shape, rank, size, dtype } = t as Tensor;
  if (rank === 0) return showTensor(t);
  const n = shape[rank - 1]!;
  const rows = n === 0 ? 0 : size / n;
  const columns = shown(n, size <= whole);
  const lines = shown(rows, size <= whole);
  const picked = lines.flatMap((r) =>
    r < 0 ? [] : columns.flatMap((c) => (c < 0 ? [] : [data[r * n + c]!])),
  );
  const format = formatter(picked, dtype);
  const bars = (dtype === "f32" || dtype === "f64") && areDistributions(data, n);
  const cell = (v: number): string => {
    const bar = bars
      ? `min-width:5em;background:linear-gradient(90deg,#4285d655 ${(v * 100).toFixed(1)}%,transparent 0);`
      : "";
    return `<td style="${bar}text-align:right">${format(v)}</td>`;
  };
  const body = lines.map((r) => {
    const cells = columns.map((c) => (r < 0 || c < 0 ? "<td>…</td>" : cell(data[r * n + c]!)));
    const name = rank < 2 ? "" : `<th>${r < 0 ? "…" : position(r, shape.slice(0, -1))}</th>`;
    return `<tr>${name}${cells.join("")}</tr>`;
  });
  return `<table>${caption}${body.join("")}</table>`;
}

/** The indices of the row with number r: `0, 2`. */
function position(r: number, shape: readonly number[]): string {
  const indices: number[] = [];
  let rest = r;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    indices.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return indices.join(", ");
}
