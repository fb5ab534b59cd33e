// Finds the maps and losses in the lists of the library, reads from their cards what can be turned, and computes them for one
// row of scores. An op added to the lists appears by itself. Draws nothing.

import { type Op, printGradient, printProgram, scope, type Tensor, tensor, vjp } from "simplexgrad";
import { allLosses } from "simplexgrad/losses";
import { allOps } from "simplexgrad/ops";

/** What a control of an op can be set to: a number, one of several values, or one value for each class. */
export type Control =
  | {
      readonly kind: "number";
      readonly name: string;
      readonly initial: number;
      readonly least: number;
      readonly most: number;
      readonly step: number;
    }
  | {
      readonly kind: "choice";
      readonly name: string;
      readonly initial: number | string;
      readonly choices: readonly (number | string)[];
    }
  | {
      readonly kind: "classes";
      readonly name: string;
      readonly mask: boolean;
      /** The value of class k at first. */
      readonly initial: (k: number) => number;
    };

/** What the controls of an op are set to; lists may be longer than there are classes. */
export type Settings = { readonly [name: string]: number | string | readonly number[] };

/** A map or a loss, with what its arguments can be set to. */
export interface Entry {
  readonly name: string;
  readonly doc: string;
  readonly source: string;
  readonly laws: readonly string[];
  readonly controls: readonly Control[];
  /** The formula and its derived gradient as text, or undefined where the op is not one formula. */
  readonly formula: () => { readonly program: string; readonly gradient: string } | undefined;
  readonly call: (x: Tensor, settings: Settings, label?: number) => Tensor;
}

/** What came out, or the sentence that says why nothing did. */
export type Outcome<T> = ({ readonly error?: never } & T) | { readonly error: string };

type Params = NonNullable<Op["info"]["params"]>;
type Param = Params[string];

// ---------------------------------------------------------------------------------------------------------------
// Reading cards

/** `{ bool: [...] }` and its like mark tensors in examples; other records are options. */
const marks = ["f32", "f64", "i32", "bool"];
const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isOptions = (value: unknown): value is { readonly [key: string]: unknown } =>
  isRecord(value) && !Object.keys(value).some((key) => marks.includes(key));
const bare = (value: unknown): unknown =>
  isRecord(value) && !isOptions(value) ? Object.values(value)[0] : value;

/** How many arguments before the options are tensors: the scores, and what a mask or a label is given as. */
const positionsOf = ({ info }: Op): number =>
  info.examples[0]?.args.filter((argument) => !isOptions(argument)).length ?? 1;

/** What the examples give for an argument. */
function exampled({ info }: Op, name: string, position: number): unknown[] {
  return info.examples.flatMap(({ args }) => {
    const options = args.find(isOptions);
    if (options && name in options) return [bare(options[name])];
    return position < positionsOf({ info }) && position < args.length ? [bare(args[position])] : [];
  });
}

/** The smallest of 1, 2, 5 times a power of ten that is at least v. */
function roundUp(v: number): number {
  const power = 10 ** Math.floor(Math.log10(v));
  return power * ([1, 2, 3, 4, 5, 8].find((m) => m * power >= v * (1 - 1e-9)) ?? 10);
}

function numberControl(
  op: Op,
  name: string,
  param: Extract<Param, { is: "scalar" }>,
  examples: unknown[],
): Control {
  const domain = op.info.domain?.[name];
  const least = param.min ?? param.above ?? domain?.min ?? 0;
  const bound = param.max ?? param.below;
  const greatest = bound === "n" ? undefined : bound;
  const inside = (v: unknown): v is number =>
    typeof v === "number" && v > least && (greatest === undefined || v < greatest);
  const middle =
    domain?.min !== undefined && domain.max !== undefined ? (domain.min + domain.max) / 2 : undefined;
  const initial =
    param.default ?? middle ?? examples.find(inside) ?? least + ((greatest ?? least + 1) - least) / 10;
  if (param.integer) {
    const whole = Math.round(initial);
    return { kind: "number", name, initial: whole, least, most: greatest ?? Math.max(8, 2 * whole), step: 1 };
  }
  const most = greatest ?? roundUp(Math.max(1, 2 * initial, 2 * (domain?.max ?? 0)));
  const step = roundUp((most - least) / 400);
  // Bounds that are themselves refused lie a step outside.
  return {
    kind: "number",
    name,
    initial,
    least: param.above !== undefined && param.min === undefined ? least + step : least,
    most: param.below !== undefined && param.max === undefined ? most - step : most,
    step,
  };
}

function controlOf(op: Op, name: string, param: Param, position: number): Control | undefined {
  const examples = exampled(op, name, position);
  if (param.is === "scalar") return numberControl(op, name, param, examples);
  if (param.is === "static") {
    const numbers = Array.from({ length: 12 }, (_, i) => i + 1);
    const candidates = typeof param.default === "number" ? numbers : examples;
    const choices = [param.default, ...candidates].filter(
      (v): v is number | string =>
        (typeof v === "number" || typeof v === "string") && param.check(v) === undefined,
    );
    return {
      kind: "choice",
      name,
      initial: param.default,
      choices: [...new Set(choices)].toSorted(ascending),
    };
  }
  if (param.is === "label" || ("optional" in param && param.optional)) return undefined;
  const mask = param.is === "row" && param.stored === "bool";
  const pattern = ([examples[0] ?? 1].flat(9) as unknown[]).map(Number);
  return { kind: "classes", name, mask, initial: (k) => pattern[k % pattern.length]! };
}

const ascending = (a: number | string, b: number | string): number =>
  typeof a === "number" && typeof b === "number" ? a - b : 0;

function entryOf(op: Op): Entry {
  const { info } = op;
  const isLoss = info.kind === "loss";
  const labelled = info.params?.target?.is === "label";
  const params = Object.entries(info.params ?? {}).filter(
    // The mark of rows to leave out means nothing where there is one row.
    ([name]) => !labelled || (name !== "target" && name !== "ignoreIndex"),
  );
  const positional = labelled ? 0 : positionsOf(op) - 1;
  const controls = params.flatMap(([name, param], i) => controlOf(op, name, param, i + 1) ?? []);
  const defaults = Object.fromEntries(
    params.map(([name, param]) => [name, "default" in param ? param.default : undefined]),
  );
  const fn = op as unknown as (...args: readonly unknown[]) => Tensor;
  return {
    name: info.name,
    doc: info.doc,
    source: info.source ?? "",
    laws: info.laws,
    controls,
    formula: () => {
      const formula = info.formula?.();
      return formula && { program: printProgram(formula.runnable.program), gradient: printGradient(formula) };
    },
    // A map that is for training takes the first class as the right one.
    call: (x, settings, label = 0) => {
      const n = x.shape.at(-1)!;
      const given: (readonly [string, unknown])[] = controls.map((control) => {
        const value = settings[control.name];
        if (control.kind !== "classes") return [control.name, value];
        const data = (value as readonly number[]).slice(0, n);
        return [control.name, tensor(data, { dtype: control.mask ? "bool" : (x.dtype as "f64") })];
      });
      // What is at its default is left out: a formula is simplified for that.
      const changed = given.slice(positional).filter(([name, value]) => value !== defaults[name]);
      const options: { [name: string]: unknown } = Object.fromEntries(changed);
      if (isLoss) options.reduction = "sum"; // a mean would divide the weight of the only row out
      const labels = new Array<number>(x.size / n).fill(label);
      const before = labelled ? [labels] : given.slice(0, positional).map(([, value]) => value);
      return Object.keys(options).length > 0 ? fn(x, ...before, options) : fn(x, ...before);
    },
  };
}

/** Whether a card promises distributions over the classes; those with empty rows show one in their first example. */
function givesDistributions({ info }: Op): boolean {
  if (info.kind !== "rowMap") return false;
  if (info.laws.includes("sumsToOne")) return true;
  const row = info.examples[0]?.gives;
  const total = Array.isArray(row) && typeof row[0] === "number" ? row.reduce((sum, v) => sum + v, 0) : 0;
  return info.laws.includes("nonNegative") && Math.abs(total - 1) < 1e-6;
}

/** Every map from scores to a distribution over the classes, in the order of the library. */
export const mapEntries = (): Entry[] => allOps.filter(givesDistributions).map(entryOf);

/** Every loss against class indices. */
export const lossEntries = (): Entry[] =>
  allLosses.filter(({ info }) => info.params?.target?.is === "label").map(entryOf);

// ---------------------------------------------------------------------------------------------------------------
// Computing

const dtype = "f64";

/** Runs a computation whose tensors end with it; a refusal becomes its sentence. */
function attempt<T extends object>(compute: () => T): Outcome<T> {
  try {
    return scope(compute);
  } catch (error) {
    return { error: (error as Error).message };
  }
}

const noDistribution = (name: string): string =>
  `${name}: these scores have no distribution (NaN); keep one finite score and none that is +∞`;

/** The probabilities of one row of scores. */
export function probabilities(
  { name, call }: Entry,
  scores: readonly number[],
  settings: Settings,
): Outcome<{ readonly p: readonly number[] }> {
  const found = attempt(() => ({ p: [...call(tensor(scores, { dtype }), settings).dataSync()] }));
  return found.error === undefined && found.p.some(Number.isNaN) ? { error: noDistribution(name) } : found;
}

/** The probabilities of the scores multiplied by each of several factors: one row after another, or nothing. */
export function path(
  { call }: Entry,
  scores: readonly number[],
  settings: Settings,
  factors: readonly number[],
): readonly number[] {
  const rows = factors.flatMap((t) => scores.map((v) => t * v));
  const shape = [factors.length, scores.length];
  const found = attempt(() => ({ p: [...call(tensor(rows, { shape, dtype }), settings).dataSync()] }));
  return found.error === undefined && !found.p.some(Number.isNaN) ? found.p : [];
}

/** The loss of one row of scores, and its gradient. */
export function lossAndGradient(
  { name, call }: Entry,
  scores: readonly number[],
  label: number,
  settings: Settings,
): Outcome<{ readonly loss: number; readonly gradient: readonly number[] }> {
  const found = attempt(() => {
    const x = tensor(scores, { shape: [1, scores.length], dtype });
    const { value, pullback } = vjp((t: Tensor) => call(t, settings, label), x);
    const [g] = pullback(tensor(1, { dtype }));
    return { loss: value.dataSync()[0]!, gradient: [...(g as Tensor).dataSync()] };
  });
  return found.error === undefined && Number.isNaN(found.loss) ? { error: noDistribution(name) } : found;
}

/** How many classes have a probability above zero. */
export const supportOf = (p: readonly number[]): number => p.filter((v) => v > 0).length;

/** Shannon's entropy in nats. */
export const entropyOf = (p: readonly number[]): number =>
  p.reduce((sum, v) => (v > 0 ? sum - v * Math.log(v) : sum), 0);
