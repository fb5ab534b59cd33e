// The card of one op: its name, its sentence, its source, its controls, a place for what it gives, and its formula to unfold.

import type { Entry, Outcome } from "./catalogue.ts";
import { controlPanel, type Panel } from "./controls.ts";
import { h, words, write } from "./dom.ts";

export interface OpCard extends Pick<Panel, "settings" | "resize"> {
  readonly element: HTMLElement;
  /** Shows the sentence of a refusal in the place of what the op would give, or takes it away. */
  readonly refuse: (outcome: Outcome<object>) => void;
}

/** `body` is what the op gives, `facts` a line about it. */
export function opCard(
  entry: Entry,
  body: readonly Element[],
  facts: HTMLElement,
  changed: () => void,
): OpCard {
  const { elements, settings, resize } = controlPanel(entry.name, entry.controls, changed);
  const sentence = h("p", { class: "refusal", role: "status" });
  const element = h(
    "article",
    { class: "card", "data-op": entry.name },
    h("h3", {}, h("code", {}, entry.name)),
    h("p", { class: "doc" }, entry.doc),
    h("p", { class: "source" }, entry.source),
    h("div", {}, ...elements),
    h("div", { class: "result" }, ...body, sentence),
    facts,
    formulaOf(entry),
  );
  return {
    element,
    settings,
    resize,
    refuse: ({ error = "" }) => {
      element.classList.toggle("refused", error !== "");
      write(sentence, error);
    },
  };
}

/** The formula, its gradient and the laws, written when they are first unfolded. */
function formulaOf(entry: Entry): HTMLElement {
  const details = h("details", { class: "formula" }, h("summary", {}, "Formula"));
  details.addEventListener(
    "toggle",
    () => {
      const formula = entry.formula();
      if (formula)
        details.append(
          h("pre", { tabindex: 0 }, formula.program),
          h("p", { class: "quiet" }, "The gradient, derived from it:"),
          h("pre", { tabindex: 0 }, formula.gradient),
        );
      else details.append(h("p", { class: "quiet" }, "Written with other ops: see its source."));
      if (entry.laws.length > 0)
        details.append(h("p", { class: "quiet" }, `Tested laws: ${entry.laws.map(words).join(", ")}.`));
    },
    { once: true },
  );
  return details;
}
