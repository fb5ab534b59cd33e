// Distributions and gradients as rows of bars: name, bar, number. An exact zero is a hollow ring, told apart from a bar too
// short to see. Widths are transforms, so that dragging lays nothing out anew.

import { fixed, h, letter, probability, write } from "./dom.ts";

/** A list of bars that can be shown other values. */
export interface Bars {
  readonly element: HTMLElement;
  /** `marked` is the class to set apart. */
  readonly show: (values: readonly number[], marked?: number) => void;
}

interface Line {
  readonly row: HTMLElement;
  readonly bar: HTMLElement;
  readonly number: HTMLElement;
}

/** Keeps as many lines as there are values, and hands each its value. */
function lines(kind: string, showLine: (line: Line, value: number, k: number) => void): Bars {
  const element = h("ol", { class: `bars ${kind}` });
  const made: Line[] = [];
  return {
    element,
    show: (values, marked) => {
      while (made.length > values.length) made.pop()!.row.remove();
      while (made.length < values.length) {
        const bar = h("span", { class: "bar" });
        const number = h("span", { class: "number" });
        const row = h(
          "li",
          {},
          h("span", { class: "name" }, letter(made.length)),
          h("span", { class: "track", "aria-hidden": "true" }, bar),
          number,
        );
        element.append(row);
        made.push({ row, bar, number });
      }
      values.forEach((value, k) => {
        const line = made[k]!;
        line.row.classList.toggle("zero", value === 0);
        line.row.classList.toggle("marked", k === marked);
        showLine(line, value, k);
      });
    },
  };
}

/** Bars of probabilities, from 0 at the left to 1. */
export function probabilityBars(): Bars {
  return lines("probabilities", ({ bar, number }, p) => {
    bar.style.transform = `scaleX(${p})`;
    write(number, probability(p));
  });
}

/** Bars of a gradient to both sides of 0, on a scale that doubles when an entry would leave it. */
export function gradientBars(): Bars & { readonly scale: () => number } {
  let scale = 1;
  const { element, show } = lines("gradient", ({ row, bar, number }, g) => {
    const width = Number.isFinite(g) ? g / scale : Math.sign(g);
    bar.style.transform = `scaleX(${width})`;
    row.classList.toggle("negative", g < 0);
    write(number, g > 0 ? `+${fixed(g)}` : fixed(g));
  });
  return {
    element,
    scale: () => scale,
    show: (values, marked) => {
      const largest = Math.max(1, ...values.filter(Number.isFinite).map(Math.abs));
      scale = 2 ** Math.ceil(Math.log2(largest) - 1e-9);
      show(values, marked);
    },
  };
}
