// Sliders, choices and switches for what an op can be set to, made from its controls. Knows no op and computes nothing.

import type { Choice, Control, Setting, Settings } from "./arguments.ts";
import { fixed, h, letter, write } from "./dom.ts";
import { most } from "./state.ts";

/** Elements that set something, and what they are set to. */
export interface Panel {
  readonly elements: readonly HTMLElement[];
  readonly settings: () => Settings;
  /** Shows what is to be set for so many classes. */
  readonly resize: (n: number) => void;
}

/** One control: what it looks like, and what it does when the number of classes changes. */
interface Made {
  readonly element: HTMLElement;
  readonly initial: Setting;
  readonly resize?: (n: number) => void;
}

type Numbered<K extends Control["kind"]> = Extract<Control, { kind: K }>;

/** Names as a lecturer writes them. */
const symbols: { readonly [word: string]: string } = {
  alpha: "α",
  beta: "β",
  gamma: "γ",
  delta: "δ",
  eps: "ε",
  epsilon: "ε",
  epsilons: "ε",
  lambda: "λ",
  tau: "τ",
  omega: "ω",
  u: "upper bounds",
  ts: "weights",
  coef: "coefficient",
  pos: "positive",
  confusion: "confusion diagonal",
  second: "other scores",
  prior: "prior scores",
};
const title = (name: string): string =>
  name
    .replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`)
    .split(" ")
    .map((word) => symbols[word] ?? word)
    .join(" ");

/** The controls of one op; `changed` is called whenever one was moved. */
export function controlPanel(owner: string, controls: readonly Control[], changed: () => void): Panel {
  const values: { [name: string]: Setting } = {};
  const made = controls.map((control) => {
    const set = (value: Setting): void => {
      values[control.name] = value;
      changed();
    };
    const one = controlOf(control, owner, set);
    values[control.name] = one.initial;
    return one;
  });
  return {
    elements: made.map(({ element }) => element),
    settings: () => values,
    resize: (n) => made.forEach(({ resize }) => void resize?.(n)),
  };
}

function controlOf(control: Control, owner: string, set: (value: Setting) => void): Made {
  switch (control.kind) {
    case "number":
      return numberControl(control, owner, set);
    case "choice":
      return choiceControl(control, owner, set);
    case "list":
      return listControl(control, owner, set);
    case "seed":
      return seedControl(control, owner, set);
    default:
      return control.as === "set" ? setControl(control, owner, set) : mixer(control, owner, set);
  }
}

const label = (name: string): HTMLElement => h("span", { class: "label" }, title(name));

/** A slider within the bounds, and a field that takes any number: what lies outside is refused by the op itself. */
function numberControl(
  { name, initial, least, most, step }: Numbered<"number">,
  owner: string,
  set: (value: Setting) => void,
): Made {
  const what = `${title(name)} of ${owner}`;
  const slider = h("input", {
    type: "range",
    min: least,
    max: typeof most === "number" ? most : undefined,
    step,
    value: initial ?? least,
    "aria-label": what,
    input: () => {
      field.value = slider.value;
      set(slider.valueAsNumber);
    },
  });
  const field = h("input", {
    type: "number",
    step: "any",
    value: initial ?? "",
    placeholder: initial === undefined ? "auto" : undefined,
    "aria-label": `${what}, any number`,
    input: () => {
      const value = field.valueAsNumber;
      if (!Number.isNaN(value)) {
        slider.value = String(value);
        set(value);
      } else if (initial === undefined) set(undefined); // otherwise it is being typed
    },
  });
  return {
    element: h("div", { class: "control" }, label(name), slider, field),
    initial,
    resize: (n) => {
      if (typeof most === "string") slider.max = String(most === "n" ? n : n - step);
      if (!Number.isNaN(field.valueAsNumber)) slider.value = field.value;
    },
  };
}

function choiceControl(
  { name, initial, choices }: Numbered<"choice">,
  owner: string,
  set: (value: Setting) => void,
): Made {
  const text = (value: Choice): string =>
    typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
  const select = h(
    "select",
    { "aria-label": `${title(name)} of ${owner}`, change: () => set(choices[select.selectedIndex]!) },
    ...choices.map((value) => h("option", { selected: value === initial }, text(value))),
  );
  return { element: h("div", { class: "control" }, label(name), select), initial };
}

/** A button that draws again. */
function seedControl(
  { name, initial }: Numbered<"seed">,
  owner: string,
  set: (value: Setting) => void,
): Made {
  let seed = initial;
  const shown = h("output", { class: "seed" }, `seed ${seed}`);
  const again = h(
    "button",
    {
      type: "button",
      "aria-label": `Draw ${title(name)} of ${owner} again`,
      click: () => {
        seed++;
        write(shown, `seed ${seed}`);
        set(seed);
      },
    },
    "Draw again",
  );
  return { element: h("div", { class: "control several" }, label(name), again, shown), initial };
}

/** Small fields beside one another. */
function listControl(
  { name, initial }: Numbered<"list">,
  owner: string,
  set: (value: Setting) => void,
): Made {
  const list = [...initial];
  const fields = initial.map((value, i) => {
    const field: HTMLInputElement = h("input", {
      type: "number",
      step: 0.1,
      value,
      "aria-label": `${title(name)} of ${owner}, number ${i + 1}`,
      input: () => {
        if (Number.isNaN(field.valueAsNumber)) return; // being typed
        list[i] = field.valueAsNumber;
        set(list);
      },
    });
    return h("label", { class: "each" }, field);
  });
  return { element: h("div", { class: "control several" }, label(name), ...fields), initial };
}

/** The first value of every class there may be. */
const beginning = ({ initial }: Numbered<"classes">): number[] =>
  Array.from({ length: most }, (_, k) => initial(k));

/** Shows as many as there are classes. */
const showFirst =
  (elements: readonly HTMLElement[]) =>
  (n: number): void =>
    elements.forEach((element, k) => {
      element.hidden = k >= n;
    });

/** A switch for every class. */
function setControl(control: Numbered<"classes">, owner: string, set: (value: Setting) => void): Made {
  const { name } = control;
  const list = beginning(control);
  const switches = list.map((value, k) => {
    const input: HTMLInputElement = h("input", {
      type: "checkbox",
      checked: value !== 0,
      "aria-label": `${title(name)} of ${owner} for class ${letter(k)}`,
      input: () => {
        list[k] = Number(input.checked);
        set(list);
      },
    });
    return h("label", { class: "each" }, letter(k), input);
  });
  const element = h("div", { class: "control several" }, label(name), ...switches);
  return { element, initial: list, resize: showFirst(switches) };
}

/** An upright slider for every class, as of a mixing desk. Shares are moved together: they sum to one. */
function mixer(control: Numbered<"classes">, owner: string, set: (value: Setting) => void): Made {
  const { name, as, least, most: reach, step } = control;
  const list = beginning(control);
  let classes = list.length;
  const sliders = list.map((_, k) => {
    const slider: HTMLInputElement = h("input", {
      type: "range",
      min: least,
      max: reach,
      step,
      "aria-label": `${title(name)} of ${owner} for class ${letter(k)}`,
      input: () => {
        if (as === "shares") share(k, slider.valueAsNumber);
        else list[k] = slider.valueAsNumber;
        show();
        set(list);
      },
    });
    return slider;
  });
  const numbers = list.map(() => h("output", { class: "number" }));
  const columns = list.map((_, k) =>
    h("label", { class: "fader" }, numbers[k]!, sliders[k]!, h("span", {}, letter(k))),
  );
  const sumOf = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0);
  /** Class k takes its share; the others keep their proportions, or are alike where they have none. */
  function share(k: number, wanted: number): void {
    const rest = sumOf(list.slice(0, classes)) - list[k]!;
    for (let j = 0; j < classes; j++)
      list[j] = j === k ? wanted : (1 - wanted) * (rest > 0 ? list[j]! / rest : 1 / (classes - 1));
  }
  function show(): void {
    if (as === "shares") {
      const all = sumOf(list.slice(0, classes));
      for (let k = 0; k < classes; k++) list[k] = all > 0 ? list[k]! / all : 1 / classes;
    }
    list.forEach((value, k) => {
      sliders[k]!.value = String(value);
      write(numbers[k]!, reach >= 100 ? String(Math.round(value)) : fixed(value, reach > 1 ? 1 : 2));
    });
  }
  show();
  const element = h(
    "div",
    { class: "control mixer" },
    label(name),
    h("div", { class: "faders" }, ...columns),
  );
  return {
    element,
    initial: list,
    resize: (n) => {
      if (n === classes) return;
      classes = n;
      showFirst(columns)(n);
      show();
    },
  };
}
