// The card of a loss, a penalty, a metric or a map to one number: its value, its gradient as bars, and its curve along the score
// of the right class.

import { gradientBars } from "./bars.ts";
import { curve, type Entry, sumOf, valueAndGradient } from "./catalogue.ts";
import { curvePicture, samples } from "./curve.ts";
import { fixed, h, significant, write } from "./dom.ts";
import { opCard } from "./op-card.ts";
import type { Store } from "./state.ts";

export function valueCard(entry: Entry, store: Store): HTMLElement {
  const what = entry.isLoss ? "loss" : "value";
  const bars = gradientBars();
  const value = h("p", { class: "value" });
  const along = curvePicture(what, !entry.smooth);
  const facts = h("p", { class: "facts" });
  return opCard(entry, store, {
    body: entry.smooth ? [value, bars.element, along.element] : [value, along.element],
    facts,
    show: ({ scores, target }, settings) => {
      const outcome = valueAndGradient(entry, scores, target, settings);
      const { value: v, gradient } =
        outcome.error === undefined ? outcome : { value: 0, gradient: scores.map(() => 0) };
      write(value, `${what} ${significant(v)}`);
      const asked = outcome.error === undefined ? samples : [];
      along.show(curve(entry, scores, target, settings, target, asked), target, scores[target]!, v);
      if (entry.smooth) bars.show(gradient, entry.labelled ? target : undefined);
      const total = sumOf(gradient);
      // What is left of the rounding of n terms is no sum.
      const sum = Math.abs(total) < 1e-12 ? 0 : total;
      const slope = `gradient sums to ${fixed(sum)} · bars reach ±${bars.scale()}`;
      write(facts, entry.smooth ? slope : "no gradient: its steps have none");
      return outcome;
    },
  });
}
