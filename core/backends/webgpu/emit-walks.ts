// Writes the walks over a row as WGSL: the loop over entries, what is folded and what is written on the way, and how the
// invocations of a workgroup put their shares together. Knows nothing of the order of passes.

import type { Expr } from "../../row/expr.ts";
import type { Pass } from "../../row/schedule.ts";
import type { Shader, ValueType } from "./emit-values.ts";

/** Where rows stand. */
export interface Frame {
  readonly shader: Shader;
  /** Rows at hand in arrays of each invocation, as many entries as its share has. */
  readonly held: Map<Expr, string>;
  /** Texts of the memory of rows, at an entry. */
  readonly memory: Map<Expr, (i: string) => string>;
  /** How often each row is read from memory, more often in an iteration. */
  readonly loads: Map<Expr, number>;
  /** How many iterations stand around what is being written. */
  iterations: number;
}

/** Steps of a share after which a long sum is carried over. */
const blockSteps = 16;

/** The source of rows in a walk; `shares` says whether entries lie as they do in the arrays. */
function reading(frame: Frame, shares: boolean): (e: Expr) => string | undefined {
  return (e) => {
    const array = shares ? frame.held.get(e) : undefined;
    if (array !== undefined) return `${array}[k]`;
    const memory = frame.memory.get(e)?.("i");
    if (e.word === "input" && shares)
      frame.loads.set(e, (frame.loads.get(e) ?? 0) + (frame.iterations > 0 ? 2 : 1));
    return memory;
  };
}

/** Writes the loop of an invocation over the entries that it sees to; `body` reads the rows at entry `i`. */
export function walk(frame: Frame, rows: readonly Expr[], body: () => void, blockEnd?: () => void): void {
  const { shader } = frame;
  const { unit, width, held } = shader.grid;
  shader.source = reading(frame, true);
  shader.count(rows);
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
  shader.source = reading(frame, false);
  shader.count([row]);
  shader.block(`for (var i = ${from}; i < ${to}; i++)`, () => take(shader.value(row, "f32")));
}

/** An array of each invocation for the entries of its share. */
export function holding(shader: Shader, base: string, type: string): string {
  const name = shader.name(base);
  shader.locals.push(`var ${name}: array<${type}, ${shader.grid.held}>;`);
  return name;
}

/** Stores rows in arrays as a walk computes them. Gives what makes them known afterwards. */
function keeping(frame: Frame, rows: readonly Expr[]): { take(): void; done(): void } {
  const { shader, held } = frame;
  const arrays = rows.map((e) =>
    holding(shader, `${e.word === "input" ? shader.inputName(e) : e.word}_row`, shader.typeOf(e)),
  );
  return {
    take() {
      rows.forEach((e, j) => {
        shader.line(`${arrays[j]}[k] = ${shader.value(e)};`);
      });
    },
    done() {
      rows.forEach((e, j) => {
        held.set(e, arrays[j]!);
      });
    },
  };
}

/** Computes rows once, to have them at hand from then on. */
export function hold(frame: Frame, rows: readonly Expr[]): void {
  if (rows.length === 0) return;
  const kept = keeping(frame, rows);
  walk(frame, rows, () => kept.take());
  kept.done();
}

// ---------------------------------------------------------------------------------------------------------------
// Folds

/** Makes a float an integer in the order of floats, NaN above all; and back. */
export const ordered = `
fn s_order(x: f32) -> u32 {
  if (s_isNaN(x)) { return 0xffffffffu; }
  let bits = bitcast<u32>(select(x, 0.0, x == 0.0));
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn s_unorder(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key ^ 0x80000000u, key >= 0x80000000u));
}
`;

/** A sum with what rounding has taken from it (Knuth's two-sum), and its value. */
export const carried = `
fn s_carry(sum: vec2<f32>, x: f32) -> vec2<f32> {
  let total = sum.x + x;
  let added = total - sum.x;
  return vec2(total, sum.y + ((sum.x - (total - added)) + (x - added)));
}
fn s_carried(sum: vec2<f32>) -> f32 {
  let lost = (bitcast<u32>(sum.y) & 0x7f800000u) != 0x7f800000u;
  return select(sum.x, sum.x + sum.y, lost);
}
`;

/** The first largest entry: NaN counts as larger than any number. */
const first = `
struct First { key: u32, at: u32 }
fn s_first(a: First, b: First) -> First {
  if (b.key > a.key || (b.key == a.key && b.at < a.at)) { return b; }
  return a;
}
`;

interface Kind {
  readonly type: string;
  /** What the fold of no entries is. */
  readonly start: (shader: Shader) => string;
  readonly join: (shader: Shader, a: string, b: string) => string;
}

const kinds: { readonly [kind: string]: Kind } = {
  sum: { type: "f32", start: () => "0.0", join: (_, a, b) => `${a} + ${b}` },
  total: { type: "i32", start: () => "0", join: (_, a, b) => `${a} + ${b}` },
  max: {
    type: "f32",
    start: (s) => `-${s.call("inf")}`,
    join: (s, a, b) => s.call("maximum", a, b),
  },
  min: { type: "f32", start: (s) => s.call("inf"), join: (s, a, b) => s.call("minimum", a, b) },
  largest: { type: "i32", start: () => "-2147483648", join: (_, a, b) => `max(${a}, ${b})` },
  smallest: { type: "i32", start: () => "2147483647", join: (_, a, b) => `min(${a}, ${b})` },
  first: {
    type: "First",
    start: () => "First(0u, 0xffffffffu)",
    join(s, a, b) {
      s.functions.add("isNaN");
      s.globals.set("ordered", ordered);
      s.globals.set("first", first);
      return `s_first(${a}, ${b})`;
    },
  },
};

const kindOf = (e: Expr, type: ValueType): string => {
  if (e.word === "argmax") return "first";
  if (e.word === "count") return "total";
  if (type === "f32") return e.word;
  return e.word === "sum" ? "total" : e.word === "max" ? "largest" : "smallest";
};

/** What an entry adds to a fold. */
function term(shader: Shader, e: Expr): string {
  const row = e.args[0]!;
  if (e.word === "count") return `i32(${shader.value(row)})`;
  if (e.word !== "argmax") return shader.value(row, shader.typeOf(e));
  return shader.typeOf(row) === "i32"
    ? `First(bitcast<u32>(${shader.value(row)}) ^ 0x80000000u, i)`
    : `First(s_order(${shader.value(row)}), i)`;
}

/** Writes a pass of the schedule: its reductions become known, its results are written. */
export function emitPass(frame: Frame, pass: Pass): void {
  const { shader } = frame;
  const { unit, held } = shader.grid;
  const keeps = held > 0 ? pass.keeps : [];
  const rows = [...pass.reductions.map((e) => e.args[0]!), ...keeps, ...pass.writes.map((w) => w.row)];
  if (rows.length === 0) return;

  const long = unit === "share" && held === 0;
  const folds = pass.reductions.map((e) => {
    const kind = kindOf(e, shader.typeOf(e));
    const acc = shader.name(e.word);
    const start = kinds[kind]!.start(shader);
    shader.line(`var ${acc} = ${start};`);
    // Long sums are taken in blocks, and the blocks are added up with what rounding loses.
    const carry = long && kind === "sum" ? shader.name("carry") : undefined;
    if (carry !== undefined) {
      shader.globals.set("carried", carried);
      shader.line(`var ${carry} = vec2(0.0, 0.0);`);
    }
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
        shader.line(`${acc} = ${kinds[kind]!.join(shader, acc, term(shader, e))};`);
      for (const { row, hot, result } of pass.writes) write(shader, result, row, hot);
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
  const mine = folds.map(({ acc, carry }) => (carry === undefined ? acc : `s_carried(${carry})`));
  const whole =
    unit === "share" && folds.length > 0
      ? together(
          shader,
          folds.map((f) => f.kind),
          mine,
        )
      : mine;
  folds.forEach(({ e, kind }, j) => {
    const text = kind === "first" ? `i32(${whole[j]}.at)` : whole[j]!;
    if (unit === "row") shader.values.set(e, text);
    else shader.define(e, text);
  });
}

function write(shader: Shader, result: number, row: Expr, hot: Pass["writes"][number]["hot"]): void {
  const type = shader.kernel.outputs[result]!;
  const as = type === "f32" ? "f32" : type === "bool" ? "bool" : "i32";
  let text = shader.value(row, as);
  for (const { label, value, negative } of hot) {
    const at = shader.typeOf(label);
    const v = shader.value(value, "f32");
    text += ` + select(0.0, ${negative ? `-(${v})` : v}, ${at}(i) == ${shader.value(label)})`;
  }
  shader.line(`out_${result}[row * n + i] = ${as === "bool" ? `u32(${text})` : text};`);
}

/** Puts the shares of a workgroup together, all folds of a pass at once. Gives texts that are the same in every invocation. */
function together(shader: Shader, folded: readonly string[], mine: readonly string[]): string[] {
  const name = folded.join("_");
  const fields = folded.map((kind, j) => `${kind}_${j}`);
  const { width } = shader.grid;
  if (!shader.globals.has(`together_${name}`)) {
    // The shares of every type stand in arrays that all passes use.
    const used = new Map<string, number>();
    const shares = folded.map((kind) => {
      const { type } = kinds[kind]!;
      const count = used.get(type) ?? 0;
      used.set(type, count + 1);
      const array = `shares_${type}_${count}`;
      if (!shader.globals.has(array)) shader.shared += width * (type === "First" ? 8 : 4);
      shader.globals.set(array, `var<workgroup> ${array}: array<${type}, ${width}>;\n`);
      return array;
    });
    const join = folded.map((kind, j) =>
      kinds[kind]!.join(shader, `${shares[j]}[me]`, `${shares[j]}[other]`),
    );
    shader.globals.set(
      `together_${name}`,
      `
struct Fold_${name} {
${folded.map((kind, j) => `  ${fields[j]}: ${kinds[kind]!.type},\n`).join("")}}
var<workgroup> whole_${name}: Fold_${name};
// The fold of all shares, the same in every invocation.
fn together_${name}(me: u32, mine: Fold_${name}) -> Fold_${name} {
${shares.map((array, j) => `  ${array}[me] = mine.${fields[j]};\n`).join("")}  for (var step = ${width / 4}u; step > 0u; step /= 4u) {
    workgroupBarrier();
    if (me < step) {
      for (var other = me + step; other < 4u * step; other += step) {
${shares.map((array, j) => `        ${array}[me] = ${join[j]};\n`).join("")}      }
    }
  }
  if (me == 0u) { whole_${name} = Fold_${name}(${shares.map((array) => `${array}[0]`).join(", ")}); }
  return workgroupUniformLoad(&whole_${name});
}
`,
    );
  }
  const whole = shader.let("whole", `together_${name}(me, Fold_${name}(${mine.join(", ")}))`);
  return fields.map((field) => `${whole}.${field}`);
}

/** A value that every invocation has found alike, in a form that a compiler believes. */
export function alike(shader: Shader, text: string): string {
  if (shader.grid.unit !== "share") return text;
  shader.globals.set(
    "alike",
    `
var<workgroup> agreed: f32;
fn s_alike(me: u32, x: f32) -> f32 {
  if (me == 0u) { agreed = x; }
  return workgroupUniformLoad(&agreed);
}
`,
  );
  return `s_alike(me, ${text})`;
}
