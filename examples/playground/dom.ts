// Elements in one expression, and numbers as the page writes them. Knows nothing of what is shown.

type Child = Node | string;
type Props = { readonly [name: string]: string | number | boolean | ((event: Event) => void) | undefined };

/** An element with attributes (functions listen, booleans switch) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  set(made, props);
  made.append(...children);
  return made;
}

/** The same for drawings. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(made, props);
  made.append(...children);
  return made;
}

function set(element: Element, props: Props): void {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
}

/** Changes a text only where it differs: writing the same text again would still cost a layout. */
export function write(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** The element of index.html with this id. */
export function place(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element with the id ${id}`);
  return found;
}

/** With a true minus sign, so that columns of signed numbers align. */
const minus = (text: string): string => text.replace("-", "−");

/** A probability in three digits that tells exact 0 and 1 from what only rounds to them. */
export function probability(p: number): string {
  if (p === 0 || p === 1) return String(p);
  if (p < 0.0005) return "<0.001";
  return p > 0.9995 ? ">0.999" : p.toFixed(3);
}

/** A number with a fixed count of digits behind the point; exact zero is plain. */
export function fixed(v: number, digits = 3): string {
  if (v === 0) return "0";
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "∞" : "−∞";
  const text = v.toFixed(digits);
  return Number(text) === 0 ? `${v < 0 ? "−" : ""}<${(10 ** -digits).toFixed(digits)}` : minus(text);
}

/** A number in three significant digits, whatever its size. */
export function significant(v: number): string {
  if (!Number.isFinite(v)) return fixed(v);
  if (Number.isInteger(v) && Math.abs(v) < 1e6) return minus(String(v));
  const size = Math.abs(v);
  if (size < 1e-4 || size >= 1e6) return minus(v.toExponential(1));
  return minus(size >= 1000 ? v.toFixed(0) : v.toPrecision(3));
}

/** The name of class k where classes have no names: A, B, C … */
export const letter = (k: number): string => String.fromCharCode(65 + k);

/** `sumsToOne` as "sums to one". */
export const words = (camelCase: string): string =>
  camelCase.replace(/[A-Z0-9]+/g, (part) => ` ${part.toLowerCase()}`).trim();
