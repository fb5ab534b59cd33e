// Runs the examples of docstrings: with every name of the library in reach, line by line. What a line gives is compared with
// what the comment behind it says, or written there. Examples that are whole programs, with imports, are not run here.

import * as core from "simplexgrad";
import { type Op, Tensor, tensor } from "simplexgrad";
import * as losses from "simplexgrad/losses";
import * as ops from "simplexgrad/ops";

/** The entries that an example may import from, and what they export. */
const entries: readonly (readonly [entry: string, names: { readonly [name: string]: unknown }])[] = [
  ["simplexgrad", core],
  ["simplexgrad/ops", ops],
  ["simplexgrad/losses", losses],
];

/** An example that has run. */
export interface Ran {
  /** The program with its imports and its results. */
  readonly program: string;
  /** Where what came out is not what the example says. */
  readonly wrong: readonly string[];
  /** The arguments of the first call of the op. */
  readonly call: readonly unknown[] | undefined;
}

/** A line of an example: a statement, and what it says comes out. */
interface Line {
  readonly code: string;
  readonly said: string | undefined;
  readonly isExpression: boolean;
}

function lineOf(text: string): Line {
  const [, code, said] = /^(.*?);?\s*(?:\/\/ (.*))?$/.exec(text)!;
  return { code: code!, said, isExpression: code !== "" && !/^(const|let|import|for) /.test(code!) };
}

/** Runs the example of an op. */
export function runExample(op: Op, text: string): Ran {
  if (text.startsWith("import ")) return { program: text, wrong: [], call: undefined };
  const lines = text.split("\n").map(lineOf);
  const names = entries.flatMap(([, exported]) => Object.keys(exported));
  const values = new Map(entries.flatMap(([, exported]) => Object.entries(exported)));
  let call: readonly unknown[] | undefined;
  const watched = Object.assign((...args: readonly unknown[]) => {
    call ??= args;
    return (op as unknown as (...args: readonly unknown[]) => unknown)(...args);
  }, op);
  values.set(op.info.name, watched);
  const body = lines.map(({ code, isExpression }) =>
    isExpression ? `results.push((${code}));` : `${code};`,
  );
  // The text is that of our own sources.
  const run = new Function("results", ...new Set(names), `{\n${body.join("\n")}\n}`); // a block may have names of its own
  const results: unknown[] = [];
  run(results, ...[...new Set(names)].map((name) => values.get(name)));

  const wrong: string[] = [];
  let next = 0;
  const shown = lines.map(({ code, said, isExpression }, i) => {
    if (!isExpression) return code === "" ? "" : `${code};`;
    const value = plain(results[next++]);
    if (said !== undefined && !agrees(value, said)) wrong.push(`${code} gives ${show(value)}, not ${said}`);
    const result = said ?? (i === lines.length - 1 ? show(value) : undefined);
    return result === undefined ? `${code};` : `${code}; // ${result}`;
  });
  return { program: [...importsOf(text), "", ...shown].join("\n"), wrong, call };
}

/** The imports that an example needs. */
function importsOf(text: string): string[] {
  const code = text.replace(/\/\/.*|"[^"]*"/g, "");
  const used = new Set([...code.matchAll(/(?<![.\w])([A-Za-z]\w*)\b(?!\s*:)/g)].map(([name]) => name));
  return entries.flatMap(([entry, exported]) => {
    const names = [...used].filter((name) => Object.hasOwn(exported, name)).toSorted();
    return names.length > 0 ? [`import { ${names.join(", ")} } from "${entry}";`] : [];
  });
}

/** An example in the form that cards have, as a program. */
export function exampleOfCard({ info }: Op): string {
  const list = (value: unknown): string =>
    Array.isArray(value)
      ? `[${value.map(list).join(", ")}]`
      : typeof value === "number"
        ? show(value)
        : JSON.stringify(value);
  const write = (value: unknown): string => {
    if (Array.isArray(value)) return `tensor(${list(value)})`;
    if (typeof value !== "object" || value === null) return list(value);
    const [[key, data] = ["", undefined], ...others] = Object.entries(value);
    if (others.length === 0 && ["f32", "f64", "bool"].includes(key)) return `tensor(${list(data)})`;
    if (others.length === 0 && key === "i32") return `tensor(${list(data)}, { dtype: "i32" })`;
    return `{ ${Object.entries(value)
      .map(([key, v]) => `${key}: ${write(v)}`)
      .join(", ")} }`;
  };
  const args = info.examples[0]!.args.map(write);
  return `${info.name}(${args.join(", ")})`;
}

/** Tensors as nested arrays, in whatever holds them. */
function plain(value: unknown): unknown {
  if (value instanceof Tensor) return value.toArray();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
  return value;
}

/** A value in the notation of JavaScript, with four digits after the point. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (typeof value === "number") {
    const short = Number(value.toFixed(4));
    return String(short === 0 && value !== 0 ? Number(value.toPrecision(2)) : short === 0 ? 0 : short);
  }
  if (typeof value !== "object" || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, v]) => `${key}: ${show(v)}`)
    .join(", ")} }`;
}

/** Whether a value is what a comment says, as far as its digits go. */
function agrees(value: unknown, said: string): boolean {
  if (typeof value === "number")
    return Math.abs(value - Number(said)) <= 1e-4 + 1e-4 * Math.abs(value) || String(value) === said;
  if (!Array.isArray(value)) return show(value) === said;
  if (!/^\[.*\]$/.test(said)) return false;
  const parts = splitOutside(said.slice(1, -1));
  return parts.length === value.length && value.every((v, i) => agrees(v, parts[i]!));
}

/** The parts of a list between commas that stand in no brackets. */
function splitOutside(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    if ("[{".includes(text[i] ?? " ")) depth++;
    else if ("]}".includes(text[i] ?? " ")) depth--;
    else if (depth === 0 && (i === text.length || text[i] === ",")) {
      if (i > from) parts.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  return parts;
}

/** Numbers as they were written, from a tensor that may have rounded them to f32. */
const written = (t: Tensor): number[] => [...t.dataSync()].map((v) => Number(v.toPrecision(7)));

/** Whether an op takes several rows of scores at once, and nothing else says which is which: mixtures, divergences of many. */
const takesGroups = ({ info }: Op, scores: Tensor): boolean =>
  info.kind === "structure" && scores.rank === 2 && info.params === undefined;

/**
 * The arguments of a call with other scores, m rows of n in f64. Labels and masks, weights and bounds are those of the example,
 * repeated for every row and, where there are more classes, for these. Of several rows at once the first is another one.
 */
export function withScores(op: Op, call: readonly unknown[], x: Tensor): unknown[] {
  const scores = call[0] as Tensor;
  const [m, n] = x.shape as readonly [number, number];
  const params = op.info.params ?? {};
  const filled = (t: Tensor, shape: readonly number[]): Tensor => {
    const [pattern, of] = [written(t), t.shape.at(-1) ?? 1];
    const wide = shape.at(-1) ?? 1;
    // Rows of the pattern in turn, and the entries of a row in turn.
    const entry = (i: number): number =>
      pattern[(Math.floor(i / wide) * of + ((i % wide) % of)) % pattern.length]!;
    const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => entry(i));
    return tensor(data, { shape, dtype: t.dtype === "bool" || t.dtype === "i32" ? t.dtype : "f64" });
  };
  if (takesGroups(op, scores)) {
    const size = scores.shape[0]!;
    const others = ops.slice(filled(scores, [m, size, n]), null, [1, size]);
    const group = ops.concat([ops.expandDims(x as never, 1), others] as never, 1);
    const rest = call.slice(1).map((v) => (v instanceof Tensor ? filled(v, [m, size]) : v));
    return [group, ...rest];
  }
  const fitted = (value: unknown, name: string): unknown => {
    const is = params[name]?.is;
    if (is === "label") {
      const [label] = value instanceof Tensor ? written(value) : (value as readonly number[]);
      return new Array<number>(m).fill(label!);
    }
    if (!(value instanceof Tensor)) return value;
    // What is no row beside each row of scores stays as it is: matrices of classes, numbers.
    if (is === "row" && (value.rank < 2 || value.shape[0] === scores.shape[0])) return filled(value, [m, n]);
    return filled(value, is === "classes" || (is === "scalar" && value.size > 1) ? [n] : value.shape);
  };
  return call.map((value, i) => {
    if (i === 0) return x;
    if (Array.isArray(value) || value instanceof Tensor || typeof value !== "object" || value === null)
      return fitted(value, Object.keys(params)[i - 1] ?? "");
    const { seed, ...options } = value as { readonly seed?: number; readonly [name: string]: unknown };
    const drawn =
      seed === undefined ? {} : { noise: fitted(core.gumbel([n], { seed, dtype: "f64" }), "noise") };
    return {
      ...Object.fromEntries(Object.entries(options).map(([key, v]) => [key, fitted(v, key)])),
      ...drawn,
    };
  });
}
