// Every map of the library for one row of scores: bars, support, entropy, and for three classes the place on the simplex.

import { probabilityBars } from "./bars.ts";
import { type Entry, entropyOf, mapEntries, path, probabilities, supportOf } from "./catalogue.ts";
import { fixed, h, write } from "./dom.ts";
import { opCard } from "./op-card.ts";
import { simplexPicture } from "./simplex.ts";
import type { Scene, Store } from "./state.ts";

/** The scores are multiplied by these on the way to them, from next to nothing, and on from there. */
const there: readonly number[] = Array.from({ length: 24 }, (_, i) => (i + 0.2) / 24);
const onward: readonly number[] = Array.from({ length: 32 }, (_, i) => 1 + 9 * ((i + 1) / 32) ** 2);
const factors: readonly number[] = [...there, ...onward];

export function mountMaps(into: HTMLElement, store: Store): void {
  into.append(...mapEntries().map((entry) => mapCard(entry, store)));
}

function mapCard(entry: Entry, store: Store): HTMLElement {
  const bars = probabilityBars();
  const picture = simplexPicture();
  const facts = h("p", { class: "facts" });
  const card = opCard(entry, [bars.element, picture.element], facts, () => show(store.scene));
  const show = ({ scores }: Scene): void => {
    const n = scores.length;
    card.resize(n);
    const outcome = probabilities(entry, scores, card.settings());
    card.refuse(outcome);
    const p = outcome.error === undefined ? outcome.p : new Array<number>(n).fill(0);
    bars.show(p);
    card.element.classList.toggle("three", n === 3);
    if (n === 3) {
      const ways = outcome.error === undefined ? path(entry, scores, card.settings(), factors) : [];
      picture.show(p, ways, there.length);
    }
    const text = `${supportOf(p)} of ${n} classes above zero · entropy ${fixed(entropyOf(p), 2)} nats`;
    write(facts, outcome.error === undefined ? text : "no distribution");
  };
  store.subscribe(show);
  return card.element;
}
