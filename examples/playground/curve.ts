// A small curve: a value along the score of one class, with a dot where that score stands. Draws; computes no values.

import { h, letter, significant, svg, write } from "./dom.ts";
import { reach } from "./state.ts";

const [width, height, margin] = [200, 48, 4];

/** Where the curve is asked for: scores from one end of the sliders to the other. */
export const samples: readonly number[] = Array.from({ length: 61 }, (_, i) => reach * ((2 * i) / 60 - 1));

export interface Curve {
  readonly element: HTMLElement;
  /** The values at the samples, and where class k stands. */
  readonly show: (values: readonly number[], k: number, score: number, value: number) => void;
}

/** `what` names the value; steps are drawn as such. */
export function curvePicture(what: string, steps: boolean): Curve {
  const line = svg("path", { class: "line" });
  const here = svg("path", { class: "here" });
  const element = h("figure", { class: "curve" });
  const caption = h("figcaption");
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    line,
    here,
  );
  element.append(drawing, caption);
  return {
    element,
    show: (values, k, score, value) => {
      const finite = [...values, value].filter(Number.isFinite);
      const least = Math.min(...finite);
      const greatest = Math.max(...finite);
      const span = greatest - least || 1;
      const x = (s: number): string => ((width * (s + reach)) / (2 * reach)).toFixed(1);
      const y = (v: number): string =>
        (margin + (height - 2 * margin) * (1 - (v - least) / span || 0)).toFixed(1);
      let path = "";
      values.forEach((v, i) => {
        // What has no value is a gap.
        if (!Number.isFinite(v)) return;
        if (!Number.isFinite(values[i - 1])) path += `M${x(samples[i]!)} ${y(v)}`;
        else path += steps ? `H${x(samples[i]!)}V${y(v)}` : `L${x(samples[i]!)} ${y(v)}`;
      });
      line.setAttribute("d", path);
      const shown = Number.isFinite(score) && Number.isFinite(value);
      here.setAttribute("d", shown ? `M${x(score)} ${y(value)}h0` : "");
      const from = finite.length > 0 ? `${significant(least)} to ${significant(greatest)}` : "nothing";
      write(caption, `${what} along the score of ${letter(k)}: ${from}`);
    },
  };
}
