// Every loss against class indices for one row of scores and one right class: its value, and its gradient as bars.

import { gradientBars } from "./bars.ts";
import { type Entry, lossAndGradient, lossEntries } from "./catalogue.ts";
import { fixed, h, write } from "./dom.ts";
import { opCard } from "./op-card.ts";
import type { Scene, Store } from "./state.ts";

export function mountLosses(into: HTMLElement, store: Store): void {
  into.append(...lossEntries().map((entry) => lossCard(entry, store)));
}

function lossCard(entry: Entry, store: Store): HTMLElement {
  const bars = gradientBars();
  const value = h("p", { class: "loss" });
  const facts = h("p", { class: "facts" });
  const card = opCard(entry, [value, bars.element], facts, () => show(store.scene));
  const show = ({ scores, target }: Scene): void => {
    const n = scores.length;
    card.resize(n);
    const outcome = lossAndGradient(entry, scores, target, card.settings());
    card.refuse(outcome);
    const { loss, gradient } =
      outcome.error === undefined ? outcome : { loss: 0, gradient: new Array<number>(n).fill(0) };
    bars.show(gradient, target);
    write(value, `loss ${fixed(loss)}`);
    const total = gradient.reduce((sum, g) => sum + g, 0);
    // What is left of the rounding of n terms is no sum.
    const sum = Math.abs(total) < 1e-12 ? 0 : total;
    write(facts, `gradient sums to ${fixed(sum)} · bars reach ±${bars.scale()}`);
  };
  store.subscribe(show);
  return card.element;
}
