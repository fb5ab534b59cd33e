// Writes the walks over a row as WGSL: the loop over entries, what is folded and what is written on the way, and how the
// invocations of a workgroup put their shares together. Knows nothing of the order of passes.

import type { Expr } from "../../row/expr.ts";
import type { Pass } from "../../row/schedule.ts";
import type { Shader } from "./emit-values.ts";

/** Where rows stand. */
export interface Frame {
  readonly shader: Shader;
  /** Rows at hand in arrays of each invocation, as many entries as its share has. */
  readonly held: Map<Expr, string>;
  /** Texts of the memory of rows, at an entry. */
  readonly memory: Map<Expr, (i: string) => string>;
  /** How often each input is read from memory, more often in an iteration. */
  readonly loads: Map<Expr, number>;
  /** How many iterations stand around what is being written. */
  iterations: number;
}

/** Steps of a share after which a long sum is carried over. */
const blockSteps = 16;

/** Writes the loop of an invocation over the entries that it sees to; `body` reads the rows at entry `i`. */
export function walk(frame: Frame, rows: readonly Expr[], body: () => void, blockEnd?: () => void): void {
  const { shader } = frame;
  const { unit, width, held } = shader.grid;
  shader.count(rows);
  shader.source = (e) => {
    const array = frame.held.get(e);
    if (array !== undefined) return `${array}[k]`;
    if (e.word === "input") frame.loads.set(e, (frame.loads.get(e) ?? 0) + 1 + frame.iterations);
    return frame.memory.get(e)?.("i");
  };
  if (unit === "entry") body();
  else if (unit === "row") shader.block("for (var i = 0u; i < n; i++)", body);
  else if (held > 0)
    shader.block(`for (var k = 0u; k < ${held}u; k++)`, () => {
      shader.line(`let i = k * ${width}u + me;`);
      shader.block("if (i < n)", body);
    });
  else if (blockEnd === undefined) shader.block(`for (var i = me; i < n; i += ${width}u)`, body);
  else
    shader.block(`for (var start = me; start < n; start += ${blockSteps * width}u)`, () => {
      shader.line(`let end = min(n, start + ${blockSteps * width}u);`);
      shader.block(`for (var i = start; i < end; i += ${width}u)`, body);
      blockEnd();
    });
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
  shader.count([row]);
  shader.source = (e) => frame.memory.get(e)?.("i");
  shader.block(`for (var i = ${from}; i < ${to}; i++)`, () => take(shader.value(row, "f32")));
}

/** An array of each invocation for the entries of its share. */
export function holding(shader: Shader, base: string, type: string): string {
  const name = shader.name(base);
  shader.locals.push(`var ${name}: array<${type}, ${shader.grid.held}>;`);
  return name;
}

/** Stores rows in arrays as a walk computes them: what the walk writes for an entry, and what makes them known behind it. */
function keeping(frame: Frame, rows: readonly Expr[]): { take(): void; done(): void } {
  const { shader, held } = frame;
  const arrays = rows.map((e) => holding(shader, `${shader.title(e)}_row`, shader.typeOf(e)));
  return {
    take() {
      for (const [j, e] of rows.entries()) shader.line(`${arrays[j]}[k] = ${shader.value(e)};`);
    },
    done() {
      for (const [j, e] of rows.entries()) held.set(e, arrays[j]!);
    },
  };
}

/** Computes rows once, to have them at hand from then on. */
export function hold(frame: Frame, rows: readonly Expr[]): void {
  if (rows.length === 0) return;
  const kept = keeping(frame, rows);
  walk(frame, rows, kept.take);
  kept.done();
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
      kept.take();
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
${all((j) => `  ${arrays[j]}[me] = mine.${fields[j]};\n`)}  for (var step = ${width / 4}u; step > 0u; step /= 4u) {
    workgroupBarrier();
    if (me < step) {
      for (var other = me + step; other < 4u * step; other += step) {
${all((j) => `        ${arrays[j]}[me] = ${joined(j)};\n`)}      }
    }
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
