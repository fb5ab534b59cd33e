// An erratum as data: what was published, what is right, and the numbers that say so, each with the digits that are vouched
// for. Comparing and printing; the errata themselves are `maps.ts` and `losses.ts`.

import { type Shape, Tensor, tensor } from "simplexgrad";
import { align } from "../main-job/table.ts";

/** Scores, probabilities, gradients: here all in f64. */
export type Row = Tensor<Shape, "f64">;

/** A row from numbers. */
export const row = (...values: readonly number[]): Row => tensor(values, { dtype: "f64" });

/** What a computation gives, or (a text) what it says in words. */
type Given = Tensor | number | string;

/** One number or row that differs: computed from what was published, and computed rightly. */
export interface Finding {
  readonly what: string;
  readonly input: string;
  readonly published: Given;
  readonly right: Given;
  /** The digits that both are to have, or how an error begins. Words and numbers that nobody vouches for have none. */
  readonly digits?: { readonly published?: string; readonly right?: string };
}

export interface Erratum {
  readonly id: string;
  readonly title: string;
  /** Where it stands, and what it says. */
  readonly says: string;
  readonly why: string;
  readonly findings: readonly Finding[];
}

const numbersOf = (given: Tensor | number): number[] =>
  given instanceof Tensor ? Array.from(given.dataSync()) : [given];

/** Whether a number has the digits of a text: at most half a unit away in the last of them. */
function hasDigits(value: number, text: string): boolean {
  const wanted = Number(text);
  if (!Number.isFinite(wanted)) return Object.is(value, wanted);
  const [mantissa, exponent = "0"] = text.split("e");
  const decimals = mantissa!.split(".")[1]?.length ?? 0;
  return Math.abs(value - wanted) <= 0.500001 * 10 ** (Number(exponent) - decimals);
}

/** What of a finding is not as it is stated, each as a sentence. */
export function faultsOf({ id }: Erratum, finding: Finding): string[] {
  return (["published", "right"] as const).flatMap((side) => {
    const [given, digits] = [finding[side], finding.digits?.[side]];
    if (digits === undefined) return [];
    const stated = digits.split(" ");
    if (typeof given === "string")
      return given.startsWith(digits)
        ? []
        : [`${id}, ${finding.what}, ${side}: "${given}" where "${digits}" is stated`];
    const values = numbersOf(given);
    const agrees = values.length === stated.length && values.every((v, i) => hasDigits(v, stated[i]!));
    return agrees
      ? []
      : [`${id}, ${finding.what}, ${side}: ${values.join(" ")} where ${stated.join(" ")} is stated`];
  });
}

/** A number to read. */
function written(value: number): string {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size === 0 || Number.isInteger(value)
      ? String(value)
      : size < 1e-3
        ? value.toExponential(2)
        : value.toFixed(4);
  return text.replaceAll("-", "−");
}

const shown = (given: Given, digits: string | undefined): string =>
  typeof given === "string"
    ? given
    : (digits?.replaceAll("-", "−").replaceAll("NaN", "not a number").replaceAll("Infinity", "∞") ??
      numbersOf(given).map(written).join(" "));

/** The erratum as a paragraph and a table. */
export function printed({ id, title, says, why, findings }: Erratum): string {
  const rows = findings.map(({ what, input, published, right, digits = {} }) => [
    what,
    input,
    shown(published, digits.published),
    shown(right, digits.right),
  ]);
  const table = align([["what", "input", "as published", "right"], ...rows]);
  return [
    `${id}  ${title}`,
    `Published: ${says}`,
    `Why it is wrong: ${why}`,
    "",
    table.replace(/^/gm, "    "),
  ].join("\n");
}
