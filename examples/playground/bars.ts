// Rows of numbers as bars: name, bar, number. An exact zero is a hollow ring, told apart from a bar too short to see.
// Widths are transforms, so that dragging lays nothing out anew.

import { fixed, h, letter, probability, write } from "./dom.ts";

/** A list of bars that can be shown other values. */
export interface Bars {
  readonly element: HTMLElement;
  /** `marked` is the class to set apart; entries beyond the `classes` first have no class. */
  readonly show: (values: readonly number[], marked?: number, classes?: number) => void;
  /** The number that a full bar stands for. */
  readonly scale: () => number;
}

/** On which side of zero bars lie. */
export type Side = "positive" | "negative" | "both";

interface Line {
  readonly row: HTMLElement;
  readonly name: HTMLElement;
  readonly bar: HTMLElement;
  readonly number: HTMLElement;
}

function line(): Line {
  const name = h("span", { class: "name" });
  const bar = h("span", { class: "bar" });
  const number = h("span", { class: "number" });
  const track = h("span", { class: "track", "aria-hidden": "true" }, bar);
  return { row: h("li", {}, name, track, number), name, bar, number };
}

/**
 * Bars to the given side of zero, or to both when a value lies on the other. The scale is 1, and doubles when a value would leave
 * it; `text` writes a value.
 */
function barsOf(side: Side, text: (v: number) => string): Bars {
  const element = h("ol", { class: "bars" });
  const made: Line[] = [];
  let scale = 1;
  return {
    element,
    scale: () => scale,
    show: (values, marked, classes = values.length) => {
      while (made.length > values.length) made.pop()!.row.remove();
      while (made.length < values.length) {
        made.push(line());
        element.append(made.at(-1)!.row);
      }
      const largest = Math.max(1, ...values.filter(Number.isFinite).map(Math.abs));
      scale = 2 ** Math.ceil(Math.log2(largest) - 1e-9);
      const other = values.some((v) => (side === "positive" ? v < 0 : v > 0));
      element.classList.toggle("both", side === "both" || other);
      element.classList.toggle("below", side === "negative" && !other);
      element.classList.toggle("rest", values.length > classes);
      values.forEach((value, k) => {
        const { row, name, bar, number } = made[k]!;
        row.classList.toggle("zero", value === 0);
        row.classList.toggle("marked", k === marked);
        row.classList.toggle("negative", value < 0);
        write(name, k < classes ? letter(k) : "rest");
        const width = Number.isFinite(value) ? Math.abs(value) / scale : Number.isNaN(value) ? 0 : 1;
        bar.style.transform = `scaleX(${width})`;
        write(number, text(value));
      });
    },
  };
}

/** Bars of probabilities, from 0 at the left to 1; what is none is drawn as the number that it is. */
export const probabilityBars = (): Bars =>
  barsOf("positive", (p) => (p >= 0 && p <= 1 ? probability(p) : fixed(p)));

/** Bars of other numbers. */
export const numberBars = (side: Side): Bars => barsOf(side, (v) => fixed(v));

/** Bars of a gradient, to both sides of 0. */
export const gradientBars = (): Bars => barsOf("both", (g) => (g > 0 ? `+${fixed(g)}` : fixed(g)));
