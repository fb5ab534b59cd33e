// Sliders, choices and switches for what an op can be set to, made from its controls. Knows no op and computes nothing.

import type { Control, Settings } from "./catalogue.ts";
import { h, letter } from "./dom.ts";
import { most } from "./state.ts";

/** Elements that set something, and what they are set to. */
export interface Panel {
  readonly elements: readonly HTMLElement[];
  readonly settings: () => Settings;
  /** Shows the switches of so many classes. */
  readonly resize: (n: number) => void;
}

/** Names as a lecturer writes them. */
const symbols: { readonly [name: string]: string } = { alpha: "α", eps: "ε", epsilon: "ε" };
const title = (name: string): string => symbols[name] ?? name.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`);

/** The controls of one op; `changed` is called whenever one was moved. */
export function controlPanel(owner: string, controls: readonly Control[], changed: () => void): Panel {
  const values: { [name: string]: number | string | number[] } = {};
  const resizers: ((n: number) => void)[] = [];
  const set = (name: string, value: number | string | number[]): void => {
    values[name] = value;
    changed();
  };
  const elements = controls.map((control) => {
    const { name } = control;
    const label = `${title(name)} of ${owner}`;
    switch (control.kind) {
      case "number": {
        values[name] = control.initial;
        return numberControl(control, label, (v) => set(name, v));
      }
      case "choice": {
        values[name] = control.initial;
        return choiceControl(control, label, (v) => set(name, v));
      }
      default: {
        const list = Array.from({ length: most }, (_, k) => control.initial(k));
        values[name] = list;
        const { element, resize } = classesControl(control, owner, list, changed);
        resizers.push(resize);
        return element;
      }
    }
  });
  return { elements, settings: () => values, resize: (n) => resizers.forEach((resize) => void resize(n)) };
}

/** A slider within the bounds, and a field that takes any number: what lies outside is refused by the op itself. */
function numberControl(
  { name, initial, least, most, step }: Extract<Control, { kind: "number" }>,
  label: string,
  change: (value: number) => void,
): HTMLElement {
  const slider = h("input", {
    type: "range",
    min: least,
    max: most,
    step,
    value: initial,
    "aria-label": label,
    input: () => {
      field.value = slider.value;
      change(slider.valueAsNumber);
    },
  });
  const field = h("input", {
    type: "number",
    step: "any",
    value: initial,
    "aria-label": `${label}, any number`,
    input: () => {
      const value = field.valueAsNumber;
      if (Number.isNaN(value)) return; // being typed
      slider.value = String(value);
      change(value);
    },
  });
  return h("div", { class: "control" }, h("span", { class: "label" }, title(name)), slider, field);
}

function choiceControl(
  { name, initial, choices }: Extract<Control, { kind: "choice" }>,
  label: string,
  change: (value: number | string) => void,
): HTMLElement {
  const select = h(
    "select",
    { "aria-label": label, change: () => change(choices[select.selectedIndex]!) },
    ...choices.map((value) => h("option", { selected: value === initial }, String(value))),
  );
  return h("div", { class: "control" }, h("span", { class: "label" }, title(name)), select);
}

/** A switch or a small field for every class. */
function classesControl(
  { name, mask }: Extract<Control, { kind: "classes" }>,
  owner: string,
  list: number[],
  changed: () => void,
): { readonly element: HTMLElement; readonly resize: (n: number) => void } {
  const fields = list.map((value, k) => {
    const what = `${title(name)} of ${owner} for class ${letter(k)}`;
    const input: HTMLInputElement = mask
      ? h("input", { type: "checkbox", checked: value !== 0, "aria-label": what })
      : h("input", { type: "number", step: 0.5, value, "aria-label": what });
    input.addEventListener("input", () => {
      const v = mask ? Number(input.checked) : input.valueAsNumber;
      if (Number.isNaN(v)) return; // being typed
      list[k] = v;
      changed();
    });
    return h("label", { class: "each" }, letter(k), input);
  });
  return {
    element: h("div", { class: "control classes" }, h("span", { class: "label" }, title(name)), ...fields),
    resize: (n) =>
      fields.forEach((field, k) => {
        field.hidden = k >= n;
      }),
  };
}
