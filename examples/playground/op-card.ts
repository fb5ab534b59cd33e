// The card of one op: its name, its sentence, its source, its controls, a place for what it gives, and its formula to unfold.
// Asks for what it gives when it is in sight.

import type { Settings } from "./arguments.ts";
import type { Entry, Outcome } from "./catalogue.ts";
import { controlPanel } from "./controls.ts";
import { h, words, write } from "./dom.ts";
import { whenSeen } from "./seen.ts";
import type { Scene, Store } from "./state.ts";

/** What a card shows of its op. */
export interface Content {
  readonly body: readonly Element[];
  /** A line about it. */
  readonly facts: HTMLElement;
  /** Shows the op for a scene and settings; an outcome that is a refusal is written in the place of the body. */
  readonly show: (scene: Scene, settings: Settings) => Outcome<object>;
}

export function opCard(entry: Entry, store: Store, { body, facts, show }: Content): HTMLElement {
  const { elements, settings, resize } = controlPanel(entry.name, entry.controls, () => update());
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
  const update = whenSeen(element, () => {
    resize(store.scene.scores.length);
    const { error = "" } = show(store.scene, settings());
    element.classList.toggle("refused", error !== "");
    write(sentence, error);
  });
  store.subscribe(update);
  return element;
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
