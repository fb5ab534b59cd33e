// Writes the walks over a row as WGSL: the loop over entries, what is folded and what is written on the way, and how the
// invocations of a workgroup put their shares together. Knows nothing of the order of passes.

import type { Expr, SeriesParts } from "../../row/expr.ts";
import type { Pass } from "../../row/schedule.ts";
import type { Shader } from "./emit-values.ts";

/** An array of each invocation, for the entries that it keeps at hand. */
interface Held {
  readonly name: string;
  readonly type: string;
  row: Expr;
}

/** Where rows stand. */
export interface Frame {
  readonly shader: Shader;
  readonly arrays: Held[];
  /** Rows at hand, and where. */
  readonly held: Map<Expr, Held>;
  /** Texts of the memory of rows, at an entry. */
  readonly memory: Map<Expr, (i: string) => string>;
  /** Walks so far, the last one that reads each row, and the inputs that more than one reads: as far as the text has come, */
  walks: number;
  readonly reads: Map<Expr, number>;
  readonly repeated: Set<Expr>;
  /** and as a first text has told. */
  readonly lastReads: ReadonlyMap<Expr, number>;
  readonly again: readonly Expr[];
  /** Whether an iteration stands around what is being written: what it reads, it reads again. */
  iterates: boolean;
}

/** Steps of a share between which nothing is looked at: a long sum is carried over then. */
const blockSteps = 16;

/** Where an invocation keeps an entry that it has at hand. */
export const slot = ({ grid }: Shader): string => (grid.unit === "row" ? "i" : "k");

/**
 * Writes the loop of an invocation over the entries that it sees to; `body` reads the rows at entry `i`. Behind it the rows
 * `keeps` are at hand, and so are inputs that it was the first to read.
 */
export function walk(
  frame: Frame,
  rows: readonly Expr[],
  body: () => void,
  keeps: readonly Expr[] = [],
  blockEnd?: () => void,
): void {
  const { shader, held, arrays, iterates } = frame;
  const { unit, width, held: size } = shader.grid;
  const now = ++frame.walks;
  shader.count([...rows, ...keeps], held);
  const kept = new Set(keeps);
  if (!iterates) for (const e of frame.again) if (!held.has(e) && shader.counts(e)) kept.add(e);
  const places = Array.from(kept, (row) => {
    const type = shader.typeOf(row);
    // An array whose row no later walk reads is written over.
    let place = iterates
      ? undefined
      : arrays.find((a) => a.type === type && (frame.lastReads.get(a.row) ?? Infinity) <= now);
    if (place === undefined) {
      place = { name: holding(shader, `${shader.title(row)}_row`, type), type, row };
      arrays.push(place);
    }
    place.row = row;
    return place;
  });
  shader.source = (e) => {
    if (e.word === "input" && (iterates || frame.reads.has(e))) frame.repeated.add(e);
    frame.reads.set(e, iterates ? Infinity : now);
    const place = held.get(e);
    return place ? `${place.name}[${slot(shader)}]` : frame.memory.get(e)?.("i");
  };

  const entry = (): void => {
    body();
    const values = places.map(({ row }) => shader.value(row));
    for (const [j, { name }] of places.entries()) shader.line(`${name}[${slot(shader)}] = ${values[j]};`);
  };
  // A count of turns that compilers know, so that reads need not wait for one another.
  const turns = (count: number, start: string): void =>
    shader.block(`for (var k = 0u; k < ${count}u; k++)`, () => {
      shader.line(`let i = ${start}k * ${width}u + me;`);
      shader.block("if (i < n)", entry);
    });
  if (unit === "row") shader.block("for (var i = 0u; i < n; i++)", entry);
  else if (unit !== "share") entry();
  else if (size > 0) turns(size, "");
  else
    shader.block(`for (var start = 0u; start < n; start += ${blockSteps * width}u)`, () => {
      turns(blockSteps, "start + ");
      blockEnd?.();
    });

  for (const [e, place] of held) if (place.row !== e) held.delete(e);
  for (const place of places) held.set(place.row, place);
}

/** Writes a loop over the entries from … to − 1, which is no share as `walk` deals them out. */
export function walkChunk(
  frame: Frame,
  from: string,
  to: string,
  row: Expr,
  take: (v: string) => void,
): void {
  const { shader } = frame;
  shader.count([row], frame.memory);
  shader.source = (e) => frame.memory.get(e)?.("i");
  shader.block(`for (var i = ${from}; i < ${to}; i++)`, () => take(shader.value(row, "f32")));
}

/** An array for the entries that an invocation keeps at hand. */
export function holding(shader: Shader, base: string, type: string): string {
  const name = shader.name(base);
  shader.locals.push(`var ${name}: array<${type}, ${shader.grid.held}>;`);
  return name;
}

// ---------------------------------------------------------------------------------------------------------------
// Folds

interface Kind {
  readonly type: string;
  /** What the fold of no entries is. */
  readonly start: string;
  readonly join: (a: string, b: string) => string;
}

const sum = (a: string, b: string): string => `${a} + ${b}`;
const call =
  (name: string) =>
  (a: string, b: string): string =>
    `${name}(${a}, ${b})`;

const kinds: { readonly [kind: string]: Kind } = {
  sum: { type: "f32", start: "0.0", join: sum },
  max: { type: "f32", start: "-s_inf()", join: /* @__PURE__ */ call("s_maximum") },
  min: { type: "f32", start: "s_inf()", join: /* @__PURE__ */ call("s_minimum") },
  // Of integers
  count: { type: "i32", start: "0", join: sum },
  largest: { type: "i32", start: "-2147483648", join: /* @__PURE__ */ call("max") },
  smallest: { type: "i32", start: "2147483647", join: /* @__PURE__ */ call("min") },
  argmax: { type: "First", start: "First(0u, 0u)", join: /* @__PURE__ */ call("s_first") },
};

const ofIntegers: { readonly [word: string]: string } = { sum: "count", max: "largest", min: "smallest" };

/** What an entry adds to a fold. */
function term(shader: Shader, e: Expr): string {
  const row = e.args[0]!;
  const text = shader.value(row);
  if (e.word === "count") return `i32(${text})`;
  if (e.word !== "argmax") return shader.operand(row, shader.typeOf(e));
  return `First(${shader.typeOf(row) === "i32" ? `bitcast<u32>(${text}) ^ 0x80000000u` : `s_order(${text})`}, i)`;
}

/** Writes a pass of the schedule: its reductions become known, its results are written. */
export function emitPass(frame: Frame, pass: Pass): void {
  const { shader } = frame;
  const { unit, held } = shader.grid;
  const keeps = held > 0 ? pass.keeps : [];
  const terms = pass.terms.map((e) => (e.detail as SeriesParts).value);
  const rows = [...pass.reductions.map((e) => e.args[0]!), ...pass.writes.map((w) => w.row), ...terms];
  if (rows.length + keeps.length === 0) return;

  const folds = pass.reductions.map((e) => {
    const kind = (shader.typeOf(e) === "i32" && ofIntegers[e.word]) || e.word;
    const acc = shader.name(e.word);
    shader.line(`var ${acc} = ${kinds[kind]!.start};`);
    // Long sums are taken in blocks, and the blocks are added up with what rounding loses.
    const carry = kind === "sum" && unit === "share" && held === 0 ? shader.name("carry") : undefined;
    if (carry !== undefined) shader.line(`var ${carry} = vec2(0.0, 0.0);`);
    return { e, kind, acc, carry };
  });
  walk(
    frame,
    rows,
    () => {
      for (const { e, kind, acc } of folds)
        shader.line(`${acc} = ${kinds[kind]!.join(acc, term(shader, e))};`);
      for (const { row, hot, result } of pass.writes) {
        let text = shader.stored(row, shader.kernel.outputs[result]!);
        for (const { label, value, negative } of hot) {
          const v = shader.operand(value, "f32");
          const here = `${shader.typeOf(label)}(i) == ${shader.operand(label)}`;
          text += ` + select(0.0, ${negative ? `-${v}` : v}, ${here})`;
        }
        shader.line(`out${result}[row * n + i] = ${text};`);
      }
      for (const [j, e] of pass.terms.entries()) {
        const place = frame.held.get(e);
        const at = place ? `${place.name}[${slot(shader)}]` : frame.memory.get(e)!("i");
        shader.line(`${at} += ${shader.value(terms[j]!, "f32")};`);
      }
    },
    keeps,
    () => {
      for (const { acc, carry } of folds) {
        if (carry === undefined) continue;
        shader.line(`${carry} = s_carry(${carry}, ${acc});`, `${acc} = 0.0;`);
      }
    },
  );
  let found = folds.map(({ acc, carry }) => (carry === undefined ? acc : `s_carried(${carry})`));
  if (unit === "share" && folds.length > 0)
    found = together(
      shader,
      folds.map((f) => f.kind),
      found,
    );
  folds.forEach(({ e }, j) => {
    shader.define(e, e.word === "argmax" ? `i32(${found[j]}.at)` : found[j]!);
  });
}

/** Puts the shares of a workgroup together, all folds of a pass at once. Gives texts that are the same in every invocation. */
function together(shader: Shader, folded: readonly string[], mine: readonly string[]): string[] {
  const { width } = shader.grid;
  const name = folded.join("_");
  const fields = folded.map((kind, j) => `${kind}_${j}`);
  const all = (text: (j: number) => string): string => folded.map((_, j) => text(j)).join("");
  if (!shader.globals.has(name)) {
    // The shares of every type stand in arrays that all passes use.
    const arrays = folded.map((kind, j) => {
      const { type } = kinds[kind]!;
      const array = `shares_${type}_${folded.slice(0, j).filter((k) => kinds[k]!.type === type).length}`;
      shader.globals.set(array, `var<workgroup> ${array}: array<${type}, ${width}>;\n`);
      return array;
    });
    const joined = (j: number): string => kinds[folded[j]!]!.join(`${arrays[j]}[me]`, `${arrays[j]}[other]`);
    shader.globals.set(
      name,
      `
struct Fold_${name} {
${all((j) => `  ${fields[j]}: ${kinds[folded[j]!]!.type},\n`)}}
var<workgroup> whole_${name}: Fold_${name};
fn together_${name}(me: u32, mine: Fold_${name}) -> Fold_${name} {
${all((j) => `  ${arrays[j]}[me] = mine.${fields[j]};\n`)}  for (var left = ${width}u; left > 1u;) {
    let step = (left + 7u) / 8u;
    workgroupBarrier();
    if (me < step) {
      for (var other = me + step; other < left; other += step) {
${all((j) => `        ${arrays[j]}[me] = ${joined(j)};\n`)}      }
    }
    left = step;
  }
  if (me == 0u) { whole_${name} = Fold_${name}(${arrays.map((array) => `${array}[0]`).join(", ")}); }
  return workgroupUniformLoad(&whole_${name});
}
`,
    );
  }
  const whole = shader.let("whole", `together_${name}(me, Fold_${name}(${mine.join(", ")}))`);
  return fields.map((field) => `${whole}.${field}`);
}
