// Figures of the notebooks: distributions as bars, curves, and paths on the simplex, each shown as an image by any Jupyter.
// Draws only: what it is given are tensors, and nothing is computed from them.

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Tensor } from "../../core/index.ts";

/** What Jupyter shows instead of the object, by MIME type. */
export interface Figure {
  readonly [way: symbol]: () => { readonly [type: string]: string };
}

/** Tensors by what is written beside them. */
export interface Named {
  readonly [name: string]: Tensor;
}

/** What is written at the axes. */
export interface AxisNames {
  readonly x: string;
  readonly y: string;
}

const colours = ["#4269d0", "#e8743b", "#3ca951", "#a463f2", "#9c6b4e", "#6cc5b0", "#ff8ab7"];
const grey = "#9aa0a6";

/** Distributions side by side, one bar for each class. A ring marks a probability of exactly 0. */
export function bars(distributions: Named): Figure {
  const names = Object.keys(distributions);
  const all = names.flatMap((name) => rowsOf(distributions[name]!)[0]!.map((p, i) => ({ name, i, p })));
  return figure(`bars: ${names.join(", ")}`, {
    width: 120 * names.length + 50,
    height: 150,
    marginTop: 28,
    x: { type: "band", label: null, tickSize: 0, padding: 0.2 },
    y: { domain: [0, 1], ticks: [0, 0.5, 1], label: null },
    fx: { domain: names, label: null, axis: "top", padding: 0.15 },
    marks: [
      Plot.barY(all, { fx: "name", x: "i", y: "p", fill: colours[0]! }),
      Plot.ruleY([0], { stroke: grey }),
      Plot.dot(
        all.filter(({ p }) => p === 0),
        { fx: "name", x: "i", y: 0, dy: -5, r: 3, stroke: colours[1]! },
      ),
    ],
  });
}

/** Curves over the same x. */
export function curves(x: Tensor, ys: Named, label: AxisNames, options: Plot.PlotOptions = {}): Figure {
  const names = Object.keys(ys);
  const at = flat(x);
  const all = names.flatMap((name) => flat(ys[name]!).map((y, i) => ({ name, x: at[i]!, y })));
  return figure(`${label.y} over ${label.x}: ${names.join(", ")}`, {
    width: 560,
    height: 260,
    marginTop: 24,
    marginBottom: 36,
    marginRight: 20 + legendWidth(names),
    color: { domain: names, range: colours },
    grid: true,
    ...options,
    x: { label: label.x, labelAnchor: "center", ...options.x },
    y: { label: label.y, ...options.y },
    marks: [
      Plot.line(all, { x: "x", y: "y", stroke: "name", strokeWidth: 1.8 }),
      ...legend(names),
      ...(options.marks ?? []),
    ],
  });
}

/** Paths through the triangle of all distributions over three classes; each tensor is [steps, 3]. A dot marks the end. */
export function paths(ways: Named): Figure {
  const names = Object.keys(ways);
  const corners = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ] as const;
  const all = names.flatMap((name) => rowsOf(ways[name]!).map((p) => ({ name, ...place(p) })));
  const side = 240;
  const margin = 24;
  const height = (side * Math.sqrt(3)) / 2;
  const marginRight = margin + legendWidth(names);
  return figure(`paths on the simplex: ${names.join(", ")}`, {
    width: side + margin + marginRight,
    height: height + 2 * margin,
    margin,
    marginRight,
    x: { axis: null, domain: [0, 1] },
    y: { axis: null, domain: [0, Math.sqrt(3) / 2] },
    color: { domain: names, range: colours },
    marks: [
      Plot.line([...corners, corners[0]].map(place), { x: "x", y: "y", stroke: grey }),
      ...corners.map((corner, i) =>
        Plot.text([place(corner)], { x: "x", y: "y", text: () => `class ${i}`, dy: i === 2 ? -10 : 12 }),
      ),
      Plot.line(all, { x: "x", y: "y", stroke: "name", strokeWidth: 1.8 }),
      Plot.dot(all, Plot.selectLast({ x: "x", y: "y", z: "name", fill: "name", r: 4 })),
      ...legend(names),
    ],
  });
}

/** Any drawing of Observable Plot. */
export function figure(title: string, options: Plot.PlotOptions): Figure {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const svg = Plot.plot({
    ...options,
    document,
    ariaLabel: title,
    style: { background: "white", color: "#333", fontFamily: "sans-serif", fontSize: "12px" },
  });
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  // A tenth of a pixel is enough; then what an address in an attribute must not hold as it is.
  const text = svg.outerHTML
    .replace(/ (d|x\d?|y\d?|cx|cy|width|height|transform)="[^"]*"/g, (attribute) =>
      attribute.replace(/\d+\.\d\d+/g, (v) => String(Number(Number(v).toFixed(1)))),
    )
    .replace(/[%#]/g, encodeURIComponent)
    .replaceAll("&", "&amp;")
    .replaceAll('"', "&quot;");
  const html = `<img alt="${title}" src="data:image/svg+xml;utf8,${text}">`;
  return {
    [Symbol.for("Jupyter.display")]: () => ({ "text/plain": `Figure (${title})`, "text/html": html }),
  };
}

/** The names of the curves beside the frame, in the colours of the curves. */
function legend(names: readonly string[]): Plot.Markish[] {
  return names.map((name, i) =>
    Plot.text([name], {
      frameAnchor: "top-right",
      textAnchor: "start",
      dx: 12,
      dy: 18 * i,
      text: (d: string) => d,
      fill: (d: string) => d,
      fontWeight: "bold",
    }),
  );
}

const legendWidth = (names: readonly string[]): number => 8 * Math.max(...names.map((name) => name.length));

/** Where a distribution lies in a triangle of side 1. */
const place = ([, b, c]: readonly [number, number, number] | readonly number[]): {
  x: number;
  y: number;
} => ({
  x: b! + c! / 2,
  y: (c! * Math.sqrt(3)) / 2,
});

const flat = (t: Tensor): number[] => Array.from(t.dataSync() as ArrayLike<number>);

function rowsOf(t: Tensor): number[][] {
  const n = t.shape.at(-1) ?? 1;
  const data = flat(t);
  return Array.from({ length: data.length / n }, (_, r) => data.slice(r * n, (r + 1) * n));
}
