// Writes the walks over a row as WGSL: the loop over entries, what is folded and what is written on the way, and how the
// invocations of a workgroup put their shares together. Knows nothing of the order of passes.

import type { Expr } from "../../row/expr.ts";
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
  /** Walks so far, how many of them read an input from memory, and the last one that needs a row, as far as that is known. */
  walks: number;
  readonly loads: Map<Expr, number>;
  readonly reads: Map<Expr, number>;
  readonly lastReads: ReadonlyMap<Expr, number>;
  /** Inputs to keep at hand from their first walk on. */
  readonly again: readonly Expr[];
  /** Whether an iteration stands around what is being written: what it reads, it reads again. */
  iterates: boolean;
}

/** Steps of a share between which nothing is looked at: a long sum is carried over then. */
const blockSteps = 16;

/** Writes the loop of an invocation over the entries that it sees to; `body` reads the rows at entry `i`. */
export function walk(frame: Frame, rows: readonly Expr[], take: () => void, blockEnd?: () => void): void {
  const { shader, iterates } = frame;
  const { unit, width, held } = shader.grid;
  shader.count(rows, frame.held);
  const kept = keeping(
    frame,
    iterates ? [] : frame.again.filter((e) => !frame.held.has(e) && shader.counts(e)),
  );
  const body = (): void => {
    take();
    kept.take();
  };
  frame.walks++;
  shader.source = (e) => {
    frame.reads.set(e, iterates ? Infinity : frame.walks);
    const array = frame.held.get(e);
    if (array !== undefined) return `${array.name}[${unit === "row" ? "i" : "k"}]`;
    if (e.word === "input") frame.loads.set(e, (frame.loads.get(e) ?? 0) + (iterates ? 2 : 1));
    return frame.memory.get(e)?.("i");
  };
  if (unit === "row") shader.block("for (var i = 0u; i < n; i++)", body);
  else if (unit !== "share") body();
  else {
    // A count of turns that compilers know, so that reads need not wait for one another.
    const turns = (start: string): void =>
      shader.block(`for (var k = 0u; k < ${held || blockSteps}u; k++)`, () => {
        shader.line(`let i = ${start}k * ${width}u + me;`);
        shader.block("if (i < n)", body);
      });
    if (held > 0) turns("");
    else
      shader.block(`for (var start = 0u; start < n; start += ${blockSteps * width}u)`, () => {
        turns("start + ");
        blockEnd?.();
      });
  }
  kept.done();
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

/** Stores rows in arrays at the end of what a walk writes for an entry; they are at hand behind the walk. */
function keeping(frame: Frame, rows: readonly Expr[], anew = frame.iterates): { take(): void; done(): void } {
  const { shader, arrays, held } = frame;
  const places = rows.map((e) => {
    const type = shader.typeOf(e);
    // An array whose row no later walk reads is written over.
    let place = anew
      ? undefined
      : arrays.find((a) => a.type === type && (frame.lastReads.get(a.row) ?? Infinity) <= frame.walks + 1);
    if (place === undefined) {
      place = { name: holding(shader, `${shader.title(e)}_row`, type), type, row: e };
      arrays.push(place);
    }
    place.row = e;
    return place;
  });
  return {
    take() {
      const values = rows.map((e) => shader.value(e));
      for (const [j, { name }] of places.entries())
        shader.line(`${name}[${shader.grid.unit === "row" ? "i" : "k"}] = ${values[j]};`);
    },
    done() {
      for (const [e, place] of held) if (place.row !== e) held.delete(e);
      for (const place of places) held.set(place.row, place);
    },
  };
}

/** Has rows at hand before an iteration reads them again and again. */
export function hold(frame: Frame, rows: readonly Expr[]): void {
  const missing = rows.filter((e) => !frame.held.has(e));
  if (missing.length === 0) return;
  const kept = keeping(frame, missing, true);
  const { walks } = frame;
  walk(frame, missing, kept.take);
  kept.done();
  // Not counted: whether it is needed may differ from one writing to the next.
  frame.walks = walks;
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
  const rows = [...pass.reductions.map((e) => e.args[0]!), ...keeps, ...pass.writes.map((w) => w.row)];
  if (rows.length === 0) return;

  const folds = pass.reductions.map((e) => {
    const kind = (shader.typeOf(e) === "i32" && ofIntegers[e.word]) || e.word;
    const acc = shader.name(e.word);
    shader.line(`var ${acc} = ${kinds[kind]!.start};`);
    // Long sums are taken in blocks, and the blocks are added up with what rounding loses.
    const carry = kind === "sum" && unit === "share" && held === 0 ? shader.name("carry") : undefined;
    if (carry !== undefined) shader.line(`var ${carry} = vec2(0.0, 0.0);`);
    return { e, kind, acc, carry };
  });
  const carries = folds.filter((f) => f.carry !== undefined);
  const kept = keeping(frame, keeps);
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
      kept.take();
    },
    carries.length === 0
      ? undefined
      : () => {
          for (const { acc, carry } of carries) {
            shader.line(`${carry} = s_carry(${carry}, ${acc});`);
            shader.line(`${acc} = 0.0;`);
          }
        },
  );
  kept.done();
  let found = folds.map(({ acc, carry }) => (carry === undefined ? acc : `s_carried(${carry})`));
  if (unit === "share" && folds.length > 0)
    found = together(
      shader,
      folds.map((f) => f.kind),
      found,
    );
  folds.forEach(({ e }, j) => {
    const text = e.word === "argmax" ? `i32(${found[j]}.at)` : found[j]!;
    if (unit === "row") shader.values.set(e, text);
    else shader.define(e, text);
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
      if (!shader.globals.has(array)) shader.shared += width * (type === "First" ? 8 : 4);
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
// The fold of all shares, the same in every invocation.
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
