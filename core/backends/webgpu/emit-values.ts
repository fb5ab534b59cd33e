// Turns expressions of the row language into WGSL: the text of one shader while it is written, its names, and the words.
// One text serves rows (at one entry) and scalars. No loops here.

import type { DType } from "../../dtype.ts";
import { constantOf, type Expr, type InputInfo } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";

/** How a value is held. Integers stay integers as long as they can: labels and positions are exact at any size. */
export type ValueType = "f32" | "i32" | "bool";

/** How rows are laid over invocations. */
export interface Grid {
  /**
   * What one invocation computes: some entries of an elementwise kernel, the same of the only row there is, a row, or its share
   * of a row that a workgroup has.
   */
  readonly unit: "entry" | "entry of one row" | "row" | "share";
  /** Invocations of a workgroup. */
  readonly width: number;
  /** Entries that an invocation keeps at hand from pass to pass; 0: rows are read from memory as often as they are needed. */
  readonly held: number;
}

/** Longer expressions are cut by a name. */
const longest = 72;

const operators: { readonly [word: string]: string } = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  and: "&&",
  or: "||",
  greater: ">",
  greaterEqual: ">=",
  equal: "==",
};

/** What other words of integers are called; those of floats, but for the first, are functions of `math.ts`. */
const ofIntegers: { readonly [word: string]: string } = {
  abs: "abs",
  sign: "sign",
  maximum: "max",
  minimum: "min",
  clamp: "clamp",
  relu: "max",
  floor: "i32",
  round: "i32",
};

/** Words that integers are closed under; and those that may leave 32 bits: only integer kernels have them so. */
const closed: ReadonlySet<string> = /* @__PURE__ */ new Set(
  "add sub neg abs sign maximum minimum clamp relu floor round select max min pick".split(" "),
);
const closedHere: ReadonlySet<string> = /* @__PURE__ */ new Set(["mul", "sum"]);
const integers: ReadonlySet<string> = /* @__PURE__ */ new Set(["index", "n", "count", "argmax"]);

export class Shader {
  readonly kernel: Kernel;
  readonly grid: Grid;
  /** Declarations outside the entry point, by name. */
  readonly globals: Map<string, string> = new Map();
  /** Variables at the head of the entry point. */
  readonly locals: string[] = [];
  readonly lines: string[] = [];
  /** What is known at this point of the text. */
  values: Map<Expr, string> = new Map();
  /** Where a row stands in memory or in an array, if it does; asked before it is computed. */
  source: (e: Expr) => string | undefined = () => undefined;
  private uses = new Map<Expr, number>();
  private readonly names = new Map<string, number>();
  private readonly types = new Map<Expr, ValueType>();
  /** Texts that need parentheses to be operands. */
  private readonly loose = new Set<string>();
  private indent = "  ";

  constructor(kernel: Kernel, grid: Grid) {
    this.kernel = kernel;
    this.grid = grid;
  }

  line(...texts: readonly string[]): void {
    for (const text of texts) this.lines.push(this.indent + text);
  }

  /** A block in braces; what becomes known inside is forgotten behind it. */
  block(head: string, body: () => void): void {
    const { values, indent } = this;
    this.values = new Map(values);
    this.line(`${head} {`.trimStart());
    this.indent += "  ";
    body();
    this.indent = indent;
    this.line("}");
    this.values = values;
  }

  /** A name that nothing else has. */
  name(base: string): string {
    const count = (this.names.get(base) ?? 0) + 1;
    this.names.set(base, count);
    return `${base}_${count}`;
  }

  /** What an expression is called: an input as its author does, as far as WGSL allows. */
  title(e: Expr): string {
    if (e.word !== "input") return e.word;
    return (e.detail as InputInfo).name.replace(/^[^a-z]+|[^a-z0-9]/gi, "") || "input";
  }

  /** Gives a value a name. */
  let(base: string, text: string): string {
    const name = this.name(base);
    this.line(`let ${name} = ${text};`);
    return name;
  }

  /** Makes the value of an expression known under a name. */
  define(e: Expr, text: string): string {
    const name = this.let(this.title(e), text);
    this.values.set(e, name);
    return name;
  }

  /** Sees how often each row is read by what is written next; what is at hand needs nothing else. */
  count(rows: readonly Expr[], held: ReadonlyMap<Expr, unknown>): void {
    this.uses = new Map();
    const visit = (e: Expr): void => {
      if (e.kind === "scalar") return;
      const before = this.uses.get(e) ?? 0;
      this.uses.set(e, before + 1);
      if (before === 0 && !held.has(e)) e.args.forEach(visit);
    };
    rows.forEach(visit);
  }

  /** Whether what is written next reads a row. */
  counts(e: Expr): boolean {
    return this.uses.has(e);
  }

  typeOf(e: Expr): ValueType {
    let type = this.types.get(e);
    if (type === undefined) {
      const { program, inputs, float } = this.kernel;
      const whole =
        e.word === "input"
          ? inputs[program.inputs.indexOf(e)] === "i32"
          : integers.has(e.word) ||
            ((closed.has(e.word) || (float === "f64" && closedHere.has(e.word))) &&
              this.whole(e.word === "pick" ? e.args.slice(0, 1) : e.args));
      type = e.sort === "bool" ? "bool" : whole ? "i32" : "f32";
      this.types.set(e, type);
    }
    return type;
  }

  /** Whether the numbers among these are integers. */
  private whole(args: readonly Expr[]): boolean {
    const numbers = args.filter((a) => a.sort === "number");
    return (
      numbers.some((a) => a.word !== "const") &&
      numbers.every((a) => {
        const c = constantOf(a);
        return c === undefined ? this.typeOf(a) === "i32" : c === (c | 0);
      })
    );
  }

  /** The value of an expression, in the type that is wanted. */
  value(e: Expr, as: ValueType = this.typeOf(e)): string {
    const c = constantOf(e);
    if (c !== undefined) return literal(c, as);
    const own = this.typeOf(e);
    // Positions are unsigned in the loops.
    if (integers.has(e.word) && e.args.length === 0) return `${as}(${e.word === "n" ? "n" : "i"})`;
    const text = this.values.get(e) ?? this.compute(e);
    return own === as ? text : as === "bool" ? this.infix(text, "!=", "0") : `${as}(${text})`;
  }

  /** The same as a part of a larger expression. */
  operand(e: Expr, as?: ValueType): string {
    const text = this.value(e, as);
    return this.loose.has(text) ? `(${text})` : text;
  }

  /** A value as a result stores it. */
  stored(e: Expr, dtype: DType): string {
    if (dtype === "bool") return `u32(${this.value(e, "bool")})`;
    return this.value(e, dtype === "i32" ? "i32" : "f32");
  }

  private infix(a: string, operator: string, b: string): string {
    const text = `${a} ${operator} ${b}`;
    this.loose.add(text);
    return text;
  }

  /** Computes what is not known yet; what is read again, or long, gets a name. */
  private compute(e: Expr): string {
    if (e.kind === "scalar") return this.word(e);
    const loaded = this.source(e);
    const text = loaded ?? this.word(e);
    return loaded !== undefined || (this.uses.get(e) ?? 0) > 1 || text.length > longest
      ? this.define(e, text)
      : text;
  }

  /** An elementwise word. */
  word(e: Expr): string {
    const [a, b] = e.args as [Expr, Expr];
    const type = this.typeOf(e);
    const operator = operators[e.word];
    if (operator !== undefined) {
      // A compiler may take x == x for true.
      if (e.word === "equal" && a === b) return `!s_isNaN(${this.value(a, "f32")})`;
      // Division is good to 2.5 ulp: by a power of two it can be exact.
      const d = constantOf(b) ?? 0;
      if (e.word === "div" && Number.isInteger(Math.log2(Math.abs(d))))
        return this.infix(this.operand(a, type), "*", literal(1 / d, type));
      const as = type !== "bool" ? type : a.sort === "bool" ? "bool" : this.whole(e.args) ? "i32" : "f32";
      return this.infix(this.operand(a, as), operator, this.operand(b, as));
    }
    const args = e.args.map((x) => this.value(x, x.sort === "bool" ? "bool" : type));
    if (e.word === "relu" && type === "i32") args.push("0");
    switch (e.word) {
      case "neg":
        return `-${this.operand(a, type)}`;
      case "not":
        return `!${this.operand(a)}`;
      case "select":
        return `select(${args.reverse().join(", ")})`;
      default: {
        const order = typeof e.detail === "number" ? `_${e.detail}` : "";
        const name = type === "i32" || e.word === "abs" ? ofIntegers[e.word] : `s_${e.word}${order}`;
        return `${name}(${args.join(", ")})`;
      }
    }
  }
}

function literal(c: number, as: ValueType): string {
  if (as === "i32") return String(c);
  if (Number.isNaN(c)) return "s_nan()";
  if (!Number.isFinite(Math.fround(c))) return c < 0 ? "-s_inf()" : "s_inf()";
  if (Object.is(c, -0)) return "-0.0";
  return Number.isInteger(c) && Math.abs(c) < 1e15 ? c.toFixed(1) : String(c);
}
