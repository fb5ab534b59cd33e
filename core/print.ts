// Prints formulas as a lecturer would write them down: one line per named intermediate, reductions and roots named.
// For reading only; nothing parses this.

import type { Formula } from "./formula.ts";
import { nodesOf } from "./row/differentiate.ts";
import type { Expr, InputInfo, RootParts, SeriesParts } from "./row/expr.ts";
import type { Program } from "./row/program.ts";

const infix: { readonly [word: string]: readonly [symbol: string, precedence: number] } = {
  or: ["or", 1],
  and: ["and", 2],
  greater: [">", 3],
  greaterEqual: ["≥", 3],
  equal: ["=", 3],
  add: ["+", 4],
  sub: ["−", 4],
  mul: ["·", 5],
  mulZero: ["·₀", 5],
  div: ["/", 5],
};

/** Whether a node deserves a line of its own: what is folded from a row, and what is used in several places. */
function isNamed(e: Expr, uses: ReadonlyMap<Expr, number>): boolean {
  if (e.args.length === 0) return false;
  if (
    [
      "sum",
      "max",
      "min",
      "count",
      "argmax",
      "kth",
      "root",
      "series",
      "cumsum",
      "totalVariation",
      "groupMeans",
    ].includes(e.word)
  )
    return true;
  return (uses.get(e) ?? 0) > 1 && !["neg", "stop", "pick"].includes(e.word);
}

class Printer {
  private readonly names = new Map<Expr, string>();
  private readonly uses = new Map<Expr, number>();
  private readonly taken = new Map<string, number>();
  readonly lines: string[] = [];
  /** How many root equations are being written. */
  private inside = 0;

  constructor(roots: readonly Expr[]) {
    for (const e of nodesOf(roots)) for (const a of e.args) this.uses.set(a, (this.uses.get(a) ?? 0) + 1);
  }

  private fresh(stem: string): string {
    const count = (this.taken.get(stem) ?? 0) + 1;
    this.taken.set(stem, count);
    return count === 1 ? stem : `${stem}${count}`;
  }

  /** The text of a node as an operand of something of the given precedence. */
  text(e: Expr, outer = 0): string {
    const known = this.names.get(e);
    if (known !== undefined) return known;
    if (this.inside === 0 && isNamed(e, this.uses)) {
      const body = this.body(e, 0);
      const stem =
        e.word === "root"
          ? "τ"
          : e.kind === "scalar"
            ? ({ sum: "Σ", count: "#", max: "m", min: "l" }[e.word as string] ?? "s")
            : "r";
      const name = this.fresh(stem);
      this.names.set(e, name);
      this.lines.push(`${name} = ${body}`);
      return name;
    }
    return this.body(e, outer);
  }

  private body(e: Expr, outer: number): string {
    const [a, b, c] = e.args as [Expr, Expr, Expr];
    const rule = infix[e.word];
    if (rule) {
      const [symbol, precedence] = rule;
      const text = `${this.text(a, precedence)} ${symbol} ${this.text(b, precedence + (e.word === "sub" || e.word === "div" ? 1 : 0))}`;
      return precedence < outer ? `(${text})` : text;
    }
    switch (e.word) {
      case "const":
        return String(e.detail).replace("-Infinity", "−∞").replace("Infinity", "∞").replace("-", "−");
      case "input":
        return (e.detail as InputInfo).name;
      case "bound":
        return "t";
      case "neg":
        return outer > 4 ? `(−${this.text(a, 5)})` : `−${this.text(a, 5)}`;
      case "pick":
        return `${this.text(a, 9)}[${this.text(b)}]`;
      case "select":
        return `(${this.text(a)} ? ${this.text(b)} : ${this.text(c)})`;
      case "root": {
        const { value, support } = e.detail as RootParts;
        const where = support ? ` on ${this.inline(support)}` : "";
        return `the t in [${this.text(a)}, ${this.text(b)}] with ${this.inline(value)} = 0${where}`;
      }
      case "series":
        return `Σ over t < ${this.text(a)} of ${this.inline((e.detail as SeriesParts).value)}`;
      case "n":
      case "index":
        return e.word;
      default:
        return `${e.word}${typeof e.detail === "number" && e.detail > 0 ? `_${e.detail}` : ""}(${e.args.map((x) => this.text(x)).join(", ")})`;
    }
  }

  /** A root's equation on one line: its parts hang on the unknown, so they get no lines of their own. */
  private inline(e: Expr): string {
    this.inside++;
    const text = this.body(e, 0);
    this.inside--;
    return text;
  }
}

/** The formulas of a program, one line for each intermediate worth a name. */
export function printProgram(program: Program): string {
  const printer = new Printer(program.results);
  const results = program.results.map((e, k) => `→ ${program.kinds[k]} ${printer.text(e)}`);
  return [
    `${program.name}(${program.inputs.map((e) => `${e.kind} ${(e.detail as InputInfo).name}`).join(", ")})`,
    ...printer.lines,
    ...results,
  ].join("\n  ");
}

/** The derived gradient of a formula as a program of its inputs and cotangents. */
export function printGradient(formula: Formula, order = 1): string {
  let f = formula;
  for (let k = 0; k < order; k++) f = f.gradient(f.floatInputs).pure;
  return printProgram(f.runnable.program);
}
