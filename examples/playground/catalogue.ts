// Finds the maps and losses in the lists of the library and computes them for one row of scores. What can be set of them is read
// from their cards in `arguments.ts`. An op that is added to the lists appears by itself. Draws nothing.

import { full, type Op, printGradient, printProgram, scope, type Tensor, tensor, vjp } from "simplexgrad";
import { allLosses } from "simplexgrad/losses";
import { allOps } from "simplexgrad/ops";
import { type Control, readCard, type Scores, type Settings } from "./arguments.ts";
import { type Heading, lossFamilies, mapFamilies } from "./special.ts";

export type { Control, Setting, Settings } from "./arguments.ts";

/** A map or a loss, with what its arguments can be set to. */
export interface Entry {
  readonly name: string;
  readonly doc: string;
  readonly source: string;
  readonly laws: readonly string[];
  readonly controls: readonly Control[];
  /** What it makes of a row of scores: probabilities, other numbers one for each class (perhaps one more), or one number. */
  readonly gives: "distribution" | "row" | "number";
  /** Whether what it gives is a loss of scores against a target; else it is a value. */
  readonly isLoss: boolean;
  /** Whether one class is the right one. */
  readonly labelled: boolean;
  /** Whether there is a gradient to show. */
  readonly smooth: boolean;
  /** No number that it gives is below zero, or none above; else undefined. */
  readonly sign: "positive" | "negative" | undefined;
  /** The formula and its derived gradient as text, or undefined where the op is not one formula. */
  readonly formula: () => { readonly program: string; readonly gradient: string } | undefined;
  /** For scores [rows, n], results [rows, ..]; every row has the same settings and the same right class. */
  readonly call: (x: Scores, settings: Settings, label: number) => Tensor;
}

/** Entries under a heading. */
export interface Family {
  readonly title: string;
  readonly entries: readonly Entry[];
}

/** What came out, or the sentence that says why nothing did. */
export type Outcome<T> = ({ readonly error?: never } & T) | { readonly error: string };

// ---------------------------------------------------------------------------------------------------------------
// Finding

const depth = (value: unknown): number => (Array.isArray(value) ? 1 + depth(value[0]) : 0);

const numbersIn = (value: unknown): number[] => [value].flat(9) as number[];

/** Whether a card promises distributions over the classes; those with empty rows show one in their first example. */
function givesDistributions({ info }: Op): boolean {
  if (info.laws.includes("sumsToOne")) return true;
  const row = numbersIn(info.examples[0]?.gives);
  return isDistribution(row);
}

/** What the laws of a map promise of the signs of its results, or else its examples show. */
function signOf({ info }: Op): Entry["sign"] {
  const shown = info.examples.flatMap(({ gives }) => numbersIn(gives));
  if (info.laws.includes("nonNegative") || !shown.some((v) => v < 0)) return "positive";
  return shown.some((v) => v > 0) ? undefined : "negative";
}

function entryOf(op: Op, ofLosses: boolean): Entry {
  const { info } = op;
  const reading = readCard(op);
  const fn = op as unknown as (...args: readonly unknown[]) => Tensor;
  const number = ofLosses || info.kind === "reduction" || depth(info.examples[0]?.gives) === 0;
  return {
    name: info.name,
    doc: info.doc,
    source: info.source ?? "",
    laws: info.laws,
    controls: reading.controls,
    gives: number ? "number" : givesDistributions(op) ? "distribution" : "row",
    isLoss: info.params?.target !== undefined && info.smooth !== false,
    labelled: info.params?.target?.is === "label",
    smooth: info.smooth !== false,
    sign: signOf(op),
    formula: () => {
      const formula = info.formula?.();
      return formula && { program: printProgram(formula.runnable.program), gradient: printGradient(formula) };
    },
    call: (x, settings, label) => fn(...reading.arguments(x, settings, label)),
  };
}

/** Ops of rows: declared as such, or written with others after a source, with laws of rows. Movements and attention have none. */
const isMap = ({ info }: Op): boolean =>
  info.kind === "rowMap" ||
  (info.kind === "reduction" && info.source !== undefined) ||
  (info.kind === "structure" && info.source !== undefined && info.laws.length > 0);

/** Entries under the headings that stand before them; under none, those before the first. */
function inFamilies(entries: readonly Entry[], headings: readonly Heading[]): Family[] {
  const titles = new Map(headings.map(([title, first]) => [first, title]));
  const families: { title: string; entries: Entry[] }[] = [];
  for (const entry of entries) {
    const title = titles.get(entry.name) ?? (families.length === 0 ? "More" : undefined);
    if (title !== undefined) families.push({ title, entries: [] });
    families.at(-1)!.entries.push(entry);
  }
  return families;
}

/** Every map from scores to a row or to one number, in the order of the library. */
export const mapEntries = (): Entry[] => allOps.filter(isMap).map((op) => entryOf(op, false));

/** Every loss and metric. */
export const lossEntries = (): Entry[] => allLosses.map((op) => entryOf(op, true));

export const families = (): { readonly maps: Family[]; readonly losses: Family[] } => ({
  maps: inFamilies(mapEntries(), mapFamilies),
  losses: inFamilies(lossEntries(), lossFamilies),
});

// ---------------------------------------------------------------------------------------------------------------
// Computing

/** Runs a computation whose tensors end with it; a refusal becomes its sentence. */
function attempt<T extends object>(compute: () => T): Outcome<T> {
  try {
    return scope(compute);
  } catch (error) {
    return { error: (error as Error).message };
  }
}

const rowsOf = (rows: readonly (readonly number[])[]): Scores =>
  tensor(rows.flat(), { shape: [rows.length, rows[0]!.length], dtype: "f64" });

function nothing({ name, gives, controls }: Entry, scores: readonly number[]): string {
  const change = controls.length > 0 ? "move a score or what is set" : "move a score";
  const wayOut = scores.includes(Number.NEGATIVE_INFINITY) ? "unmask a class" : change;
  return `${name}: these scores have no ${gives === "distribution" ? "distribution" : "value"} (NaN); ${wayOut}`;
}

/** What a map makes of one row of scores. */
export function rowOf(
  entry: Entry,
  scores: readonly number[],
  label: number,
  settings: Settings,
): Outcome<{ readonly row: readonly number[] }> {
  const found = attempt(() => ({ row: [...entry.call(rowsOf([scores]), settings, label).dataSync()] }));
  return found.error === undefined && found.row.some(Number.isNaN)
    ? { error: nothing(entry, scores) }
    : found;
}

/** The probabilities of the scores multiplied by each of several factors; a row is empty where there are none. */
export function path(
  entry: Entry,
  scores: readonly number[],
  label: number,
  settings: Settings,
  factors: readonly number[],
): readonly (readonly number[])[] {
  const found = attempt(() => {
    const x = rowsOf(factors.map((t) => scores.map((v) => t * v)));
    return { p: [...entry.call(x, settings, label).dataSync()] };
  });
  if (found.error !== undefined) return factors.map(() => []);
  const size = found.p.length / factors.length;
  return factors.map((_, i) => {
    const row = found.p.slice(i * size, (i + 1) * size);
    return isDistribution(row) ? row : [];
  });
}

export const sumOf = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0);

/** The value of one row of scores, and its gradient where it has one. */
export function valueAndGradient(
  entry: Entry,
  scores: readonly number[],
  label: number,
  settings: Settings,
): Outcome<{ readonly value: number; readonly gradient: readonly number[] }> {
  const call = (x: Scores): Tensor<readonly number[], "f64"> =>
    entry.call(x, settings, label) as Tensor<readonly number[], "f64">;
  const found = attempt(() => {
    const x = rowsOf([scores]);
    if (!entry.smooth) return { value: sumOf([...call(x).dataSync()]), gradient: [] };
    const { value, pullback } = vjp(call, x);
    const [g] = pullback(full(value.shape, 1, { dtype: "f64" }));
    return { value: sumOf([...value.dataSync()]), gradient: [...g.dataSync()] };
  });
  return found.error === undefined && Number.isNaN(found.value) ? { error: nothing(entry, scores) } : found;
}

/** The values as the score of class k takes each of several; NaN where there is none. */
export function curve(
  entry: Entry,
  scores: readonly number[],
  label: number,
  settings: Settings,
  k: number,
  at: readonly number[],
): readonly number[] {
  const found = attempt(() => {
    const x = rowsOf(at.map((v) => scores.with(k, v)));
    return { values: [...entry.call(x, settings, label).dataSync()] };
  });
  if (found.error !== undefined) return at.map(() => Number.NaN);
  const size = found.values.length / at.length;
  return at.map((_, i) => sumOf(found.values.slice(i * size, (i + 1) * size)));
}

export const isDistribution = (row: readonly number[]): boolean =>
  row.every((p) => p >= 0) && Math.abs(sumOf(row) - 1) < 1e-6;

/** How many classes have a probability above zero. */
export const supportOf = (p: readonly number[]): number => p.filter((v) => v > 0).length;

/** Shannon's entropy in nats. */
export const entropyOf = (p: readonly number[]): number =>
  p.reduce((sum, v) => (v > 0 ? sum - v * Math.log(v) : sum), 0);
