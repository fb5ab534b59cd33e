// A curve that grows: one line in colour over those of earlier runs. Draws with uPlot in the colours of the page.

import uPlot from "uplot";
import { h } from "./dom.ts";

/** Points of a line, in the order of their steps. */
export interface Line {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly number[];
}

export interface Chart {
  readonly element: HTMLElement;
  /** Shows these lines, the last one as the current, on an axis of so many steps. */
  readonly show: (lines: readonly Line[], steps: number) => void;
}

interface Options {
  readonly title: string;
  readonly range: (least: number, greatest: number) => readonly [number, number];
  readonly format: (v: number) => string;
}

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name);

export function chart({ title, range, format }: Options): Chart {
  const element = h("figure", { class: "chart", role: "img", "aria-label": title });
  element.append(h("figcaption", {}, title));
  const frame = h("div", { class: "frame" });
  element.append(frame);
  let plot: uPlot | undefined;
  let shown: readonly Line[] = [];
  let reach = 1;

  const size = (): { width: number; height: number } => ({
    width: frame.clientWidth,
    height: frame.clientHeight,
  });
  const axis: uPlot.Axis = {
    stroke: () => colour("--quiet"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
  };
  /** A plot anew: the number of lines is part of its options. */
  const draw = (): void => {
    plot?.destroy();
    const options: uPlot.Options = {
      ...size(),
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [0, reach] },
        y: { range: (_, min, max) => [...range(min, max)] },
      },
      axes: [
        { ...axis, space: 60, size: 26, values: (_, ticks) => ticks.map(String) },
        { ...axis, space: 28, size: 46, values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        {},
        ...shown.map(
          (_, i): uPlot.Series => ({
            stroke: () => colour(i === shown.length - 1 ? "--accent" : "--faint"),
            width: i === shown.length - 1 ? 2 : 1.5,
            points: { show: false },
            spanGaps: true,
          }),
        ),
      ],
    };
    plot = new uPlot(options, dataOf(shown), frame);
  };

  new ResizeObserver(() => plot?.setSize(size())).observe(frame);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot?.redraw());
  return {
    element,
    show: (lines, steps) => {
      reach = steps;
      const same = plot && lines.length === shown.length;
      shown = lines;
      if (same) plot!.setData(dataOf(lines));
      else draw();
    },
  };
}

/** The lines on one common axis of steps. */
function dataOf(lines: readonly Line[]): uPlot.AlignedData {
  if (lines.length === 0) return [[]];
  return uPlot.join(lines.map(({ x, y }) => [[...x], [...y]] as uPlot.AlignedData));
}
