// What can be set of an op, read from its card: its controls, and the arguments that are made of what they are set to.
// Calls no op in particular and draws nothing.

import { gumbel, type Op, type Tensor, tensor } from "simplexgrad";
import { broadcastTo, entmax15, softmax, sparsemax, stack } from "simplexgrad/ops";
import { againstDistributions, begin, ofProbabilities, stacked } from "./special.ts";

/** What a control of an op can be set to. */
export type Control =
  | {
      readonly kind: "number";
      readonly name: string;
      /** Undefined: the op finds it itself. */
      readonly initial: number | undefined;
      readonly least: number;
      /** "n": as many as there are classes, "<n": less than that. */
      readonly most: number | "n" | "<n";
      readonly step: number;
    }
  | {
      readonly kind: "choice";
      readonly name: string;
      readonly initial: Choice;
      readonly choices: readonly Choice[];
    }
  /** One value for each class: whether it belongs to a set, a share of one, or a number. */
  | {
      readonly kind: "classes";
      readonly name: string;
      readonly as: "set" | "shares" | "numbers";
      readonly least: number;
      readonly most: number;
      readonly step: number;
      /** The value of class k at first. */
      readonly initial: (k: number) => number;
    }
  /** Some numbers, whatever the classes are. */
  | { readonly kind: "list"; readonly name: string; readonly initial: readonly number[] }
  /** The seed of noise. */
  | { readonly kind: "seed"; readonly name: string; readonly initial: number };

export type Choice = number | string | boolean;
export type Setting = Choice | readonly number[] | undefined;
/** What the controls of an op are set to; lists may be longer than there are classes. */
export type Settings = { readonly [name: string]: Setting };

/** How an op is called for rows of scores [rows, n], and what can be set of it. */
export interface Reading {
  readonly controls: readonly Control[];
  readonly arguments: (x: Scores, settings: Settings, label: number) => readonly unknown[];
}

export type Scores = Tensor<[number, number], "f64">;
type Params = NonNullable<Op["info"]["params"]>;
type Param = Params[string];
type Numbered<K extends Control["kind"]> = Extract<Control, { kind: K }>;

/** An argument: what sets it, and what it is for these scores. Undefined leaves it out. */
interface Argument {
  readonly name: string;
  readonly control?: Control | undefined;
  readonly of: (x: Scores, setting: Setting, label: number) => unknown;
}

const dtype = "f64";

// ---------------------------------------------------------------------------------------------------------------
// Examples

/** `{ bool: [...] }` and its like mark tensors in examples; other records are options. */
const marks = ["f32", "f64", "i32", "bool"];
type Options = { readonly [key: string]: unknown };
const isRecord = (value: unknown): value is Options =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isOptions = (value: unknown): value is Options =>
  isRecord(value) && !Object.keys(value).some((key) => marks.includes(key));
const bare = (value: unknown): unknown =>
  isRecord(value) && !isOptions(value) ? Object.values(value)[0] : value;
const numbersOf = (value: unknown): number[] => ([bare(value)].flat(9) as unknown[]).map(Number);

/** The arguments of an example: those before the options, the scores first, and the options. */
const splitArguments = (args: readonly unknown[]): { before: unknown[]; options: Options } => ({
  before: args.filter((argument) => !isOptions(argument)),
  options: args.find(isOptions) ?? {},
});

/** What the examples give for an argument, by name or by its place after the scores. */
const exampled = ({ info }: Op, name: string, place: number): unknown[] =>
  info.examples.flatMap(({ args }) => {
    const { before, options } = splitArguments(args);
    if (name in options) return [bare(options[name])];
    return place < before.length ? [bare(before[place])] : [];
  });

/** Whether an example has one row for each class, [n, n], beside scores that are n numbers. */
const isSquare = ({ info }: Op, example: unknown): boolean => {
  const n = numbersOf(info.examples[0]!.args[0]).length;
  return Array.isArray(example) && example.length === n && numbersOf(example).length === n * n && n > 1;
};

// ---------------------------------------------------------------------------------------------------------------
// Controls

/** The smallest of some digits times a power of ten that is at least v. */
function roundUp(v: number, digits: readonly number[] = [1, 2, 3, 4, 5, 8]): number {
  const power = 10 ** Math.floor(Math.log10(v));
  return power * (digits.find((m) => m * power >= v * (1 - 1e-9)) ?? 10);
}
const stepOf = (v: number): number => Number(roundUp(v, [1, 2, 5]).toPrecision(1));

/** v in whole steps, without the dust of multiplying. */
const inSteps = (v: number, step: number): number => Number((Math.round(v / step) * step).toPrecision(12));

function numberControl(
  op: Op,
  name: string,
  param: Extract<Param, { is: "scalar" }>,
  examples: readonly unknown[],
): Numbered<"number"> {
  const domain = op.info.domain?.[name];
  const least = param.min ?? param.above ?? Math.min(0, domain?.min ?? 0);
  const bound = param.max ?? param.below;
  const classes = param.max === "n" ? "n" : bound === "n" ? "<n" : undefined;
  const greatest = typeof bound === "number" && Number.isFinite(bound) ? bound : undefined;
  const inside = (v: unknown): v is number =>
    typeof v === "number" && v > least && (greatest === undefined || v < greatest);
  const middle =
    domain?.min !== undefined && domain.max !== undefined ? (domain.min + domain.max) / 2 : undefined;
  const usual =
    param.default ?? examples.find(inside) ?? middle ?? least + ((greatest ?? least + 1) - least) / 10;
  // A default that is refused when it is given stands for what the op finds itself.
  const found = param.default !== undefined && usual < (param.min ?? Number.NEGATIVE_INFINITY);
  if (param.integer) {
    const initial = Math.round(usual);
    return {
      kind: "number",
      name,
      initial,
      least,
      most: classes ?? greatest ?? Math.max(8, 2 * initial),
      step: 1,
    };
  }
  const most = greatest ?? roundUp(Math.max(1, 2 * usual, 2 * (domain?.max ?? 0)));
  const step = stepOf((most - least) / 400);
  // Bounds that are themselves refused lie a step outside.
  const strict = (param.above !== undefined && param.min === undefined) || (param.nonzero && least === 0);
  const last = param.below !== undefined && param.max === undefined ? inSteps(most - step, step) : most;
  return {
    kind: "number",
    name,
    initial: found ? undefined : param.default === undefined ? Number(usual.toFixed(2)) : usual,
    least: strict ? inSteps(least + step, step) : least,
    most: classes ?? last,
    step,
  };
}

function choiceControl(
  name: string,
  param: Extract<Param, { is: "static" }>,
  examples: readonly unknown[],
): Numbered<"choice"> {
  const candidates = [
    param.default,
    ...examples,
    false,
    true,
    ...Array.from({ length: 12 }, (_, i) => i + 1),
  ];
  const choices = candidates.filter(
    (v): v is Choice => typeof v !== "object" && param.check(v) === undefined,
  );
  const initial = choices.includes(param.default) ? param.default : choices[0]!;
  return { kind: "choice", name, initial, choices: [...new Set(choices)].toSorted(ascending) };
}

const ascending = (a: Choice, b: Choice): number =>
  typeof a === "number" && typeof b === "number" ? a - b : 0;

/** Another row of scores than those of the page. */
const others = [0.5, 1.5, -1, 0, 0.5, -0.5, -1.5, 1];
const otherScores = (name: string): Numbered<"classes"> => ({
  kind: "classes",
  name,
  as: "numbers",
  least: -5,
  most: 5,
  step: 0.1,
  initial: (k) => others[k % others.length]!,
});

function classesControl(
  op: Op,
  name: string,
  set: boolean,
  examples: readonly unknown[],
): Numbered<"classes"> {
  const domain = op.info.domain?.[name];
  const pattern = numbersOf(examples[0] ?? 1);
  const initial = (k: number): number => pattern[k % pattern.length]!;
  if (set) return { kind: "classes", name, as: "set", least: 0, most: 1, step: 1, initial };
  if ((domain?.min ?? 0) < 0) return otherScores(name);
  if (name === "target" && againstDistributions.has(op.info.name)) {
    const share = (k: number): number => (k === 1 ? 0.7 : 0.15);
    return { kind: "classes", name, as: "shares", least: 0, most: 1, step: 0.01, initial: share };
  }
  const most = roundUp(Math.max(domain?.max ?? 0, ...pattern));
  return { kind: "classes", name, as: "numbers", least: 0, most, step: stepOf(most / 50), initial };
}

// ---------------------------------------------------------------------------------------------------------------
// Arguments

/** One row for all rows of scores. */
const alike = (x: Scores, values: readonly number[], as: "f64" | "bool" = dtype): Tensor =>
  broadcastTo(tensor(values, { dtype: as }), [x.shape[0], values.length]) as Tensor;

function perClass(x: Scores, setting: Setting, control: Numbered<"classes">): number[] {
  const values = (setting as readonly number[]).slice(0, x.shape[1]);
  if (control.as !== "shares") return values;
  const total = values.reduce((sum, v) => sum + v, 0);
  return values.map((v) => v / total);
}

function argumentOf(op: Op, name: string, param: Param, place: number): Argument | undefined {
  const examples = exampled(op, name, place);
  const plain = (control: Control): Argument => ({
    name,
    control,
    // What is at its default is left out: a formula is simplified for that.
    of: (_, setting) => ("default" in param && setting === param.default ? undefined : setting),
  });
  switch (param.is) {
    case "scalar":
      return plain(numberControl(op, name, param, examples));
    case "static":
      return plain(choiceControl(name, param, examples));
    case "label":
      return { name, of: (x, _, label) => new Array<number>(x.shape[0]).fill(label) };
  }
  // What no example gives is left to the op, or its own affair.
  if (examples.length === 0 || ("optional" in param && param.optional)) return undefined;
  if (name === "noise")
    return {
      name,
      control: { kind: "seed", name, initial: 0 },
      of: (x, seed) =>
        broadcastTo(gumbel([1, x.shape[1]], { seed: seed as number, dtype }), x.shape as [number, number]),
    };
  if (isSquare(op, examples[0])) {
    const diagonal: Param = { is: "scalar", default: 3, min: 0 };
    return {
      name,
      control: numberControl(op, name, diagonal, []),
      of: ({ shape: [, n] }, setting) =>
        tensor(
          Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? (setting as number) : 0)),
          { shape: [n, n], dtype },
        ),
    };
  }
  const set = param.is === "row" && param.stored === "bool";
  const control = classesControl(op, name, set, examples);
  return {
    name,
    control,
    of: (x, setting) => {
      const values = perClass(x, setting, control);
      return param.is === "classes" ? tensor(values, { dtype }) : alike(x, values, set ? "bool" : dtype);
    },
  };
}

/** An argument that is some numbers, whatever the classes are: no card of a row op has one, but an example does. */
const listArgument = (name: string, examples: readonly unknown[], of: Argument["of"]): Argument => ({
  name,
  control: { kind: "list", name, initial: numbersOf(examples.at(-1)) },
  of,
});

const maps: { readonly [name: string]: (x: Scores) => Tensor } = { softmax, sparsemax, entmax15 };

/** What the op is given first: the scores, or what is made of them. */
function firstArgument({ info: { name } }: Op): Argument {
  if (stacked.has(name))
    return {
      name: "second",
      control: otherScores("second"),
      of: (x, second) => stack([x, alike(x, (second as readonly number[]).slice(0, x.shape[1]))], -2),
    };
  if (ofProbabilities.has(name))
    return {
      name: "of",
      control: { kind: "choice", name: "of", initial: "softmax", choices: Object.keys(maps) },
      of: (x, map) => maps[map as string]!(x),
    };
  return { name: "x", of: (x) => x };
}

/** Reads a card. */
export function readCard(op: Op): Reading {
  const { info } = op;
  const { before, options } = splitArguments(info.examples[0]?.args ?? [[]]);
  const params = Object.entries(info.params ?? {}).filter(
    // The mark of rows to leave out means nothing where there is one row.
    ([name]) => name !== "ignoreIndex",
  );
  const declared = params.flatMap(([name, param], i) => argumentOf(op, name, param, i + 1) ?? []);
  const known = new Set(["reduction", "axis", ...params.map(([name]) => name)]);
  const priors = params.length === 0 && before.length > 1 ? [before[1]] : [];
  const positional = [
    firstArgument(op),
    ...declared.slice(0, params.length === 0 ? 0 : before.length - 1),
    ...priors.map((prior) => listArgument("prior", [prior], (x, v) => alike(x, v as readonly number[]))),
  ];
  const named = [
    ...declared.filter((argument) => !positional.includes(argument)),
    ...Object.keys(options)
      .filter((name) => !known.has(name))
      .map((name) => listArgument(name, exampled(op, name, Infinity), (_, v) => v)),
  ];
  // Losses are wanted row by row; the reductions fold each row.
  const fixed = info.options?.includes("reduction")
    ? { reduction: "none" }
    : info.kind === "reduction"
      ? { axis: -1 }
      : {};
  const first = begin[info.name] ?? {};
  return {
    controls: [...positional, ...named].flatMap(({ control }) =>
      control === undefined
        ? []
        : [control.name in first ? ({ ...control, initial: first[control.name] } as Control) : control],
    ),
    arguments: (x, settings, label) => {
      const given = named
        .map(({ name, of }) => [name, of(x, settings[name], label)] as const)
        .filter(([, value]) => value !== undefined);
      const record = { ...fixed, ...Object.fromEntries(given) };
      const values = positional.map(({ name, of }) => of(x, settings[name], label));
      return Object.keys(record).length > 0 ? [...values, record] : values;
    },
  };
}
