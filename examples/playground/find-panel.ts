// Finds maps and losses by words, and leads to their families. Computes nothing.

import type { Entry } from "./catalogue.ts";
import { h, words, write } from "./dom.ts";

/** A family on the page. */
export interface Group {
  readonly title: string;
  readonly id: string;
  readonly element: HTMLElement;
  readonly cards: readonly { readonly entry: Entry; readonly element: HTMLElement }[];
}

/** Lists of families, each under the name of its part of the page. */
export type Contents = readonly (readonly [part: string, groups: readonly Group[]])[];

/** What an entry is found by: whatever its card says, and how its name reads. */
const textOf = ({ name, doc, source, laws }: Entry, family: string): string =>
  [name, words(name), doc, source, ...laws.map(words), family].join(" ").toLowerCase();

export function mountFind(into: HTMLElement, contents: Contents): void {
  const groups = contents.flatMap(([, families]) => families);
  const cards = groups.flatMap(({ title, cards }) =>
    cards.map(({ entry, element }) => ({ element, text: textOf(entry, title) })),
  );
  const found = h("p", { class: "quiet found", role: "status" });
  const links = new Map(groups.map(({ title, id }) => [id, h("a", { href: `#${id}` }, title)]));
  const show = (): void => {
    const wanted = field.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const { element, text } of cards) {
      element.hidden = !wanted.every((word) => text.includes(word));
      if (!element.hidden) count++;
    }
    for (const { id, element, cards } of groups) {
      const shown = cards.filter((card) => !card.element.hidden).length;
      element.hidden = shown === 0;
      element.style.setProperty("--cards", String(shown));
      links.get(id)!.classList.toggle("without", shown === 0);
    }
    const all = count === cards.length;
    write(found, all ? `${count} maps and losses` : `${count} of ${cards.length} match`);
  };
  const field = h("input", {
    type: "search",
    placeholder: "Find: sparse, focal, Gumbel …",
    "aria-label": "Find maps and losses",
    input: () => {
      show();
      // What is found may lie above what was in sight.
      const first = groups.find(({ element }) => !element.hidden)?.element;
      if (first && first.getBoundingClientRect().top < 0) first.scrollIntoView({ behavior: "instant" });
    },
  });
  const parts = contents.flatMap(([part, families]) => [
    h("p", { class: "part" }, part),
    h("ul", {}, ...families.map(({ id }) => h("li", {}, links.get(id)!))),
  ]);
  const folded = h(
    "details",
    { class: "contents" },
    h("summary", {}, "Families"),
    h("nav", { "aria-label": "Families" }, ...parts),
  );
  // Beside the cards there is room for it, above them there is none.
  const beside = matchMedia("(min-width: 52rem)");
  const unfold = (): void => {
    folded.open = beside.matches;
  };
  beside.addEventListener("change", unfold);
  unfold();
  into.append(h("div", { class: "find" }, field, found), folded);
  show();
}
