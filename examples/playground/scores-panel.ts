// The scores: a slider for each class, which class is the right one, how many classes there are, and some rows worth a look.

import { fixed, h, letter, write } from "./dom.ts";
import { fewest, most, presets, reach, type Scene, type Store } from "./state.ts";

interface Line {
  readonly row: HTMLElement;
  readonly show: (score: number, right: boolean) => void;
}

export function mountScores(into: HTMLElement, store: Store): void {
  const heading = ["", "", "score", "mask", "right"].map((text) => h("span", {}, text));
  const list = h(
    "div",
    { class: "scores", role: "group", "aria-label": "Scores" },
    h("div", { class: "score heading", "aria-hidden": "true" }, ...heading),
  );
  const lines: Line[] = [];
  const fewer = h("button", { type: "button", click: () => store.resize(lines.length - 1) }, "−");
  const more = h("button", { type: "button", click: () => store.resize(lines.length + 1) }, "+");
  const count = h("output", { class: "count" });
  fewer.setAttribute("aria-label", "One class fewer");
  more.setAttribute("aria-label", "One class more");
  const tools = h(
    "div",
    { class: "tools" },
    h("div", { class: "stepper" }, fewer, count, more),
    ...presets.map(({ name, scores }) =>
      h("button", { type: "button", click: () => store.set({ scores: scores(lines.length) }) }, name),
    ),
  );
  into.append(list, tools);

  store.subscribe(({ scores, target }: Scene) => {
    while (lines.length > scores.length) lines.pop()!.row.remove();
    while (lines.length < scores.length) {
      const made = line(lines.length, store);
      lines.push(made);
      list.append(made.row);
    }
    scores.forEach((score, k) => void lines[k]!.show(score, k === target));
    fewer.disabled = scores.length <= fewest;
    more.disabled = scores.length >= most;
    write(count, `${scores.length} classes`);
  });
}

function line(k: number, store: Store): Line {
  const change = (score: number): void =>
    store.set({ scores: store.scene.scores.map((v, j) => (j === k ? score : v)) });
  const name = letter(k);
  const slider = h("input", {
    type: "range",
    min: -reach,
    max: reach,
    step: 0.05,
    "aria-label": `Score of class ${name}`,
    input: () => change(slider.valueAsNumber),
  });
  const value = h("output", { class: "number" });
  const masked = h(
    "button",
    {
      type: "button",
      class: "mask",
      title: "Mask this class: its score is −∞",
      "aria-label": `Mask class ${name}`,
      click: () =>
        change(
          store.scene.scores[k] === Number.NEGATIVE_INFINITY
            ? slider.valueAsNumber
            : Number.NEGATIVE_INFINITY,
        ),
    },
    "−∞",
  );
  const right = h("input", {
    type: "radio",
    name: "target",
    title: "The right class, for the losses",
    "aria-label": `${name} is the right class`,
    change: () => store.set({ target: k }),
  });
  return {
    row: h("div", { class: "score" }, h("span", { class: "name" }, name), slider, value, masked, right),
    show: (score, isRight) => {
      const finite = Number.isFinite(score);
      if (finite && slider.valueAsNumber !== score) slider.value = String(score);
      slider.disabled = !finite;
      masked.setAttribute("aria-pressed", String(!finite));
      write(value, score === 0 ? "0.00" : fixed(score, 2));
      if (right.checked !== isRight) right.checked = isRight;
    },
  };
}
