// All maps, or all losses, of the library as cards under the headings of their families.

import type { Entry, Family } from "./catalogue.ts";
import { h } from "./dom.ts";
import type { Group } from "./find-panel.ts";
import { rowCard } from "./row-card.ts";
import type { Store } from "./state.ts";
import { valueCard } from "./value-card.ts";

const cardOf = (entry: Entry, store: Store): HTMLElement =>
  entry.gives === "number" ? valueCard(entry, store) : rowCard(entry, store);

export function mountCards(into: HTMLElement, families: readonly Family[], store: Store): Group[] {
  return families.map(({ title, entries }) => {
    const cards = entries.map((entry) => ({ entry, element: cardOf(entry, store) }));
    const id = `${into.id}-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
    const heading = h("h3", { class: "family-title", id }, title);
    const list = h("div", { class: "cards" }, ...cards.map(({ element }) => element));
    const element = h("section", { class: "family", "aria-labelledby": id }, heading, list);
    element.style.setProperty("--cards", String(cards.length));
    into.append(element);
    return { title, id, element, cards };
  });
}
