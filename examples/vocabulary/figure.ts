// The figure of the vocabulary example: perplexity against the time that training took, a line for each output layer. Text in, SVG
// out; writes no file.

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Point } from "./train.ts";

export interface Curve {
  readonly title: string;
  readonly points: readonly Point[];
}

const colors = ["#0b6e99", "#6b4fbb", "#c2410c", "#15803d", "#a16207", "#be185d", "#475569", "#9ca3af"];

/** An SVG that stands alone. */
export function figure(curves: readonly Curve[], unigram: number): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const colored = curves.map((curve, i) => ({ ...curve, color: colors[i % colors.length]! }));
  const rows = colored.flatMap(({ title, color, points }) =>
    points.map(({ seconds, perplexity }) => ({ title, color, seconds, perplexity })),
  );
  const last = colored.flatMap(({ title, color, points }) => {
    const end = points.at(-1);
    return end ? [{ title, color, ...end }] : [];
  });
  // Names stand in a column of their own: lines end close together.
  const worstFirst = last.toSorted((a, b) => b.perplexity - a.perplexity);
  const drawing = Plot.plot({
    document,
    width: 860,
    height: 480,
    marginRight: 180,
    marginLeft: 60,
    inset: 12,
    color: { type: "identity" },
    style: {
      background: "#fff",
      color: "#1d2327",
      fontFamily: "system-ui, sans-serif",
      fontSize: "12px",
    } as object,
    x: {
      type: "log",
      label: "seconds of training →",
      grid: true,
      ticks: 6,
      tickFormat: (d: number) => String(d),
    },
    y: {
      type: "log",
      label: "↑ validation perplexity",
      grid: true,
      ticks: 8,
      tickFormat: (d: number) => String(d),
    },
    marks: [
      Plot.ruleY([unigram], { stroke: "#9ca3af", strokeDasharray: "4 3" }),
      Plot.text([unigram], {
        y: (d) => d,
        text: () => "word frequencies alone",
        frameAnchor: "left",
        dx: 6,
        dy: -7,
        textAnchor: "start",
        fill: "#66707a",
      }),
      Plot.lineY(rows, { x: "seconds", y: "perplexity", z: "title", stroke: "color", strokeWidth: 2 }),
      Plot.dot(last, { x: "seconds", y: "perplexity", fill: "color", r: 3 }),
      ...worstFirst.map((end, i) =>
        Plot.text([end], {
          frameAnchor: "top-right",
          text: ({ title, perplexity }) => `${title}  ${perplexity.toFixed(0)}`,
          fill: "color",
          dx: 150,
          dy: 18 * i,
          textAnchor: "end",
        }),
      ),
    ],
  });
  drawing.setAttribute("role", "img");
  drawing.setAttribute(
    "aria-label",
    "Validation perplexity against seconds of training, a line for each output layer",
  );
  drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return drawing.outerHTML;
}
