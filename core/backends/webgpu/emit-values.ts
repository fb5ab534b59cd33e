// Turns expressions of the row language into WGSL: the text of one shader while it is written, its names, and the words.
// One text serves rows (at one entry) and scalars. No loops here.

import { constantOf, type Expr, type InputInfo } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";

/** How a value is held. Integers stay integers as long as they can: labels and positions are exact at any size. */
export type ValueType = "f32" | "i32" | "bool";

/** How rows are laid over invocations. */
export interface Grid {
  /** What one invocation computes: an entry of an elementwise kernel, a row, or its share of a row that a group computes together. */
  readonly unit: "entry" | "row" | "share";
  /** Invocations of a workgroup. */
  readonly width: number;
  /** Entries of a share that stay at hand from pass to pass; 0: rows are read from memory as often as they are needed. */
  readonly held: number;
}

/** A name of the program's author, fit for WGSL. */
const clean = (name: string): string => name.replace(/^[^a-z]+|[^a-z0-9]/gi, "") || "input";

/** Without the parentheses around all of it. */
function bare(text: string): string {
  if (!text.startsWith("(")) return text;
  let open = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") open++;
    else if (text[i] === ")" && --open === 0) return i === text.length - 1 ? text.slice(1, -1) : text;
  }
  return text;
}

/** Longer expressions are cut by a name. */
const longest = 72;

export class Shader {
  readonly kernel: Kernel;
  readonly grid: Grid;
  /** Functions of `math.ts` that are called. */
  readonly functions: Set<string> = new Set();
  /** Declarations outside the entry point, by name. */
  readonly globals: Map<string, string> = new Map();
  /** Variables at the head of the entry point. */
  readonly locals: string[] = [];
  /** Bytes of workgroup memory, but for a few. */
  shared = 0;
  /** What is known at this point of the text. */
  values: Map<Expr, string> = new Map();
  /** Where a row stands in memory or in an array, if it does; asked before it is computed. */
  source: (e: Expr) => string | undefined = () => undefined;
  private uses = new Map<Expr, number>();
  private readonly names = new Map<string, number>();
  private readonly types = new Map<Expr, ValueType>();
  private readonly lines: string[] = [];
  private depth = 1;

  constructor(kernel: Kernel, grid: Grid) {
    this.kernel = kernel;
    this.grid = grid;
  }

  get text(): string {
    return this.lines.join("\n");
  }

  line(text: string): void {
    this.lines.push("  ".repeat(this.depth) + text);
  }

  /** A block in braces; what becomes known inside is forgotten behind it. */
  block(head: string, body: () => void): void {
    const { values } = this;
    this.values = new Map(values);
    this.line(`${head} {`);
    this.depth++;
    body();
    this.depth--;
    this.line("}");
    this.values = values;
  }

  /** A name that nothing else has. */
  name(base: string): string {
    const count = (this.names.get(base) ?? 0) + 1;
    this.names.set(base, count);
    return `${base}_${count}`;
  }

  /** Gives a value a name. */
  let(base: string, text: string): string {
    const name = this.name(base);
    this.line(`let ${name} = ${bare(text)};`);
    return name;
  }

  /** Makes the value of an expression known under a name. */
  define(e: Expr, text: string): string {
    const name = this.let(e.word === "input" ? this.inputName(e) : e.word, text);
    this.values.set(e, name);
    return name;
  }

  /** A call of a function of `math.ts`. */
  call(word: string, ...args: readonly string[]): string {
    this.functions.add(word);
    return `s_${word.replace(":", "_")}(${args.join(", ")})`;
  }

  inputName(e: Expr): string {
    return clean((e.detail as InputInfo).name);
  }

  /** Sees how often each row is read by what is written next. */
  count(rows: readonly Expr[]): void {
    const uses = new Map<Expr, number>();
    const visit = (e: Expr): void => {
      if (e.kind === "scalar") return;
      const before = uses.get(e) ?? 0;
      uses.set(e, before + 1);
      if (before === 0) e.args.forEach(visit);
    };
    rows.forEach(visit);
    this.uses = uses;
  }

  typeOf(e: Expr): ValueType {
    let type = this.types.get(e);
    if (type === undefined) {
      type = e.sort === "bool" ? "bool" : this.isWhole(e) ? "i32" : "f32";
      this.types.set(e, type);
    }
    return type;
  }

  /** Whether a number is held as an integer. Products and sums may leave 32 bits: only integer kernels have them so. */
  private isWhole(e: Expr): boolean {
    const { program, inputs, float } = this.kernel;
    const whole = (args: readonly Expr[]): boolean =>
      args.some((a) => constantOf(a) === undefined) &&
      args.every((a) => {
        const c = constantOf(a);
        return c === undefined ? this.typeOf(a) === "i32" : Number.isInteger(c) && Math.abs(c) < 2 ** 31;
      });
    switch (e.word) {
      case "input":
        return inputs[program.inputs.indexOf(e)] === "i32";
      case "index":
      case "n":
      case "count":
      case "argmax":
        return true;
      case "pick":
        return this.typeOf(e.args[0]!) === "i32";
      case "select":
        return whole(e.args.slice(1));
      case "mul":
      case "sum":
        return float === "f64" && whole(e.args);
      case "neg":
      case "abs":
      case "sign":
      case "relu":
      case "floor":
      case "round":
      case "add":
      case "sub":
      case "maximum":
      case "minimum":
      case "clamp":
      case "max":
      case "min":
        return whole(e.args);
      default:
        return false;
    }
  }

  /** The value of an expression as text that can stand anywhere, in the type that is wanted. */
  value(e: Expr, as: ValueType = this.typeOf(e)): string {
    const c = constantOf(e);
    if (c !== undefined) return this.literal(c, as);
    if (e.word === "index") return `${as}(i)`;
    if (e.word === "n") return `${as}(n)`;
    const text = this.values.get(e) ?? this.compute(e);
    const own = this.typeOf(e);
    if (own === as) return text;
    return as === "bool" ? `(${text} != 0)` : `${as}(${text})`;
  }

  private literal(c: number, as: ValueType): string {
    if (as === "i32") return String(c);
    if (Number.isNaN(c)) return this.call("nan");
    if (!Number.isFinite(Math.fround(c))) return (c < 0 ? "-" : "") + this.call("inf");
    if (Object.is(c, -0)) return "-0.0";
    return Number.isInteger(c) && Math.abs(c) < 1e15 ? c.toFixed(1) : String(c);
  }

  /** Computes what is not known yet; what is read again, or long, gets a name. */
  private compute(e: Expr): string {
    const loaded = e.kind === "row" ? this.source(e) : undefined;
    const text = loaded ?? this.word(e);
    const again = e.kind === "row" && ((this.uses.get(e) ?? 0) > 1 || text.length > longest);
    return again || loaded !== undefined ? this.define(e, text) : text;
  }

  /** An elementwise word. */
  word(e: Expr): string {
    const [a, b, c] = e.args as [Expr, Expr, Expr];
    const type = this.typeOf(e);
    const whole = type === "i32";
    const v = (x: Expr): string => this.value(x, type);
    switch (e.word) {
      case "neg":
        return `(-${v(a)})`;
      case "add":
        return `(${v(a)} + ${v(b)})`;
      case "sub":
        return `(${v(a)} - ${v(b)})`;
      case "mul":
        return `(${v(a)} * ${v(b)})`;
      case "mulZero":
        return `select(${v(a)} * ${v(b)}, 0.0, ${v(a)} == 0.0)`;
      case "div": {
        // Division is good to 2.5 ulp: by a power of two it can be exact.
        const d = constantOf(b) ?? 0;
        return Number.isInteger(Math.log2(Math.abs(d)))
          ? `(${v(a)} * ${this.literal(1 / d, "f32")})`
          : `(${v(a)} / ${v(b)})`;
      }
      case "abs":
      case "sqrt":
        return `${e.word}(${v(a)})`;
      case "floor":
      case "round":
        return whole ? v(a) : `${e.word}(${v(a)})`;
      case "maximum":
      case "minimum":
        return whole ? `${e.word.slice(0, 3)}(${v(a)}, ${v(b)})` : this.call(e.word, v(a), v(b));
      case "clamp":
        return whole ? `min(max(${v(a)}, ${v(b)}), ${v(c)})` : this.call("clamp", v(a), v(b), v(c));
      case "relu":
        return whole ? `max(${v(a)}, 0)` : this.call("relu", v(a));
      case "sign":
        return whole ? `sign(${v(a)})` : this.call("sign", v(a));
      case "select":
        return `select(${v(c)}, ${v(b)}, ${this.value(a)})`;
      case "not":
        return `!${this.value(a)}`;
      case "and":
        return `(${v(a)} && ${v(b)})`;
      case "or":
        return `(${v(a)} || ${v(b)})`;
      case "greater":
        return this.compare(a, ">", b);
      case "greaterEqual":
        return this.compare(a, ">=", b);
      case "equal":
        // A compiler may take x == x for true.
        return a === b ? `!${this.call("isNaN", this.value(a, "f32"))}` : this.compare(a, "==", b);
      default: {
        if (e.meaning === undefined || e.meaning.js === undefined)
          throw new Error(`the word ${e.word} has no WGSL reading`);
        const word = typeof e.detail === "number" ? `${e.word}:${e.detail}` : e.word;
        return this.call(word, ...e.args.map(v));
      }
    }
  }

  private compare(a: Expr, sign: string, b: Expr): string {
    const whole = [a, b].every(
      (x) => this.typeOf(x) === "i32" || (constantOf(x) !== undefined && Number.isInteger(constantOf(x))),
    );
    const as = whole ? "i32" : "f32";
    return `(${this.value(a, as)} ${sign} ${this.value(b, as)})`;
  }
}
