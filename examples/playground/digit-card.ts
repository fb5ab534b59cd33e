// A test digit with the probabilities that the network gives its ten classes, exact zeros as rings.

import { h, probability, svg, write } from "./dom.ts";
import type { Sample } from "./messages.ts";

export interface DigitCard {
  readonly element: HTMLElement;
  /** Shows ten probabilities, or that there are none yet. */
  readonly show: (p?: ArrayLike<number>) => void;
}

const side = 8;

function picture({ pixels, label }: Sample): SVGSVGElement {
  const ink = [...pixels].flatMap((shade, i) =>
    shade === 0
      ? []
      : [svg("rect", { x: i % side, y: Math.floor(i / side), width: 1.02, height: 1.02, opacity: shade })],
  );
  return svg(
    "svg",
    { class: "digit", viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": `A handwritten ${label}` },
    ...ink,
  );
}

export function digitCard(sample: Sample): DigitCard {
  const bars = Array.from({ length: 10 }, () => h("span", { class: "bar" }));
  const columns = bars.map((bar, k) =>
    h("li", { class: k === sample.label ? "marked" : "" }, h("span", { class: "track" }, bar), String(k)),
  );
  const answer = h("figcaption", { class: "answer" });
  const element = h(
    "figure",
    { class: "prediction" },
    picture(sample),
    h("ol", { class: "columns", "aria-hidden": "true" }, ...columns),
    answer,
  );
  return {
    element,
    show: (p) => {
      let best = sample.label;
      bars.forEach((bar, k) => {
        if (p && p[k]! > p[best]!) best = k;
        columns[k]!.classList.toggle("zero", p?.[k] === 0);
        bar.style.transform = `scaleY(${p?.[k] ?? 0})`;
      });
      element.classList.toggle("wrong", best !== sample.label);
      const says = best === sample.label ? `says ${best}` : `says ${best} for ${sample.label}`;
      write(answer, p ? `${says}, p = ${probability(p[best]!)}` : "not asked yet");
    },
  };
}
