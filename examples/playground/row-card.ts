// The card of a map that gives a row: bars, what they sum to, and for distributions the support, the entropy and with three
// classes the place on the simplex.

import { numberBars, probabilityBars } from "./bars.ts";
import { type Entry, entropyOf, isDistribution, path, rowOf, sumOf, supportOf } from "./catalogue.ts";
import { fixed, h, write } from "./dom.ts";
import { opCard } from "./op-card.ts";
import { simplexPicture } from "./simplex.ts";
import type { Store } from "./state.ts";

/** The scores are multiplied by these on the way to them, from next to nothing, and on from there. */
const there: readonly number[] = Array.from({ length: 24 }, (_, i) => (i + 0.2) / 24);
const onward: readonly number[] = Array.from({ length: 32 }, (_, i) => 1 + 9 * ((i + 1) / 32) ** 2);
const factors: readonly number[] = [...there, ...onward];

export function rowCard(entry: Entry, store: Store): HTMLElement {
  const promised = entry.gives === "distribution";
  const bars = entry.sign === "positive" ? probabilityBars() : numberBars(entry.sign ?? "both");
  const picture = simplexPicture();
  const facts = h("p", { class: "facts" });
  const card = opCard(entry, store, {
    body: promised ? [bars.element, picture.element] : [bars.element],
    facts,
    show: ({ scores, target }, settings) => {
      const n = scores.length;
      const outcome = rowOf(entry, scores, target, settings);
      const row = outcome.error === undefined ? outcome.row : new Array<number>(n).fill(0);
      bars.show(row, entry.labelled ? target : undefined, n);
      const three = promised && row.length === 3;
      card.classList.toggle("three", three);
      if (three) {
        const ways = outcome.error === undefined ? path(entry, scores, target, settings, factors) : [];
        picture.show(isDistribution(row) ? row : undefined, ways, there.length);
      }
      write(facts, outcome.error === undefined ? factsOf(entry, row, bars.scale()) : "nothing to show");
      return outcome;
    },
  });
  // As it will most likely be once it is in sight.
  card.classList.toggle("three", promised && store.scene.scores.length === 3);
  return card;
}

function factsOf({ gives, sign }: Entry, row: readonly number[], scale: number): string {
  const facts: string[] = [];
  const total = fixed(sumOf(row), 2);
  if (sign === "negative") facts.push(`exponentials sum to ${fixed(sumOf(row.map(Math.exp)), 2)}`);
  else if (gives === "row" || !isDistribution(row)) facts.push(`sums to ${total}`);
  if (sign === "positive") facts.push(`${supportOf(row)} of ${row.length} above zero`);
  if (gives === "distribution" && isDistribution(row)) facts.push(`entropy ${fixed(entropyOf(row), 2)} nats`);
  if (scale !== 1 || sign !== "positive") facts.push(`bars reach ${scale}`);
  return facts.join(" · ");
}
