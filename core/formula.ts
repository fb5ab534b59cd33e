// A row program together with its derivatives, each a row program again, derived when first asked for.
// Knows expressions and kernels; knows no tensor, no tape and no device.

import type { FloatDType } from "./dtype.ts";
import { adjoints, nodesOf } from "./row/differentiate.ts";
import {
  add,
  constant,
  constantOf,
  type Expr,
  equal,
  evaluated,
  freeUnknowns,
  type InputInfo,
  isReadBack,
  type Kind,
  pick,
  type Row,
  reads,
  rowInput,
  type Scalar,
  savedInput,
  scalarInput,
  select,
  strict,
  substitute,
  type Value,
} from "./row/expr.ts";
import { Kernel, type Program } from "./row/program.ts";

/**
 * A shorter gradient by hand: given the cotangents of the results (as expressions), those of some inputs by name.
 * What it leaves out is derived.
 */
export type HandWrittenGradient = (cotangents: readonly Value[]) => { readonly [input: string]: Value };

/** Where an operand of a backward kernel comes from. */
export interface Source {
  readonly from: "input" | "cotangent" | "result" | "saved";
  readonly at: number;
}

/** How the cotangent of one wanted input is had: by no work at all, or as a result of the backward kernel. */
export type Part =
  | { readonly how: "zero" }
  | { readonly how: "cotangent"; readonly at: number }
  | { readonly how: "computed"; readonly at: number };

/** The gradient of a formula with respect to some of its inputs, in two forms. */
export interface Gradient {
  /** The inputs that it is with respect to, as bits. */
  readonly bits: number;
  /** For each input; undefined where it is not wanted. */
  readonly parts: readonly (Part | undefined)[];
  /** Forward and the scalars that the backward program wants to find saved (after the formula's own results). */
  readonly forward: Runnable;
  /** The backward program that reads results and saved scalars, with the origin of its operands. */
  readonly backward: Runnable;
  readonly sources: readonly Source[];
  /** The same as a function of inputs and cotangents alone, which can be differentiated again. */
  readonly pure: Formula;
}

/** A program and its kernels, one per float type. */
export class Runnable {
  readonly program: Program;
  private f32: Kernel | undefined;
  private f64: Kernel | undefined;

  constructor(program: Program) {
    this.program = program;
  }

  kernel(float: FloatDType): Kernel {
    if (float === "f32") {
      this.f32 ??= Kernel.of(this.program, "f32");
      return this.f32;
    }
    this.f64 ??= Kernel.of(this.program, "f64");
    return this.f64;
  }
}

const storedOf = (e: Expr): "float" | "bool" => (e.sort === "bool" ? "bool" : "float");

/** A formula that can be run and differentiated, as often as one likes. */
export class Formula {
  readonly name: string;
  readonly inputs: readonly Expr[];
  readonly results: readonly Expr[];
  readonly kinds: readonly Kind[];
  readonly stored: Program["stored"];
  /** Whether any result can carry a derivative. */
  readonly differentiable: boolean;
  /** The inputs that can carry one, as bits. */
  readonly floatInputs: number;
  /** Without derivatives: what runs when nothing is recorded. */
  readonly runnable: Runnable;
  /** A NaN in a row makes the whole row of the gradient NaN, also where a mask would hide it. */
  private readonly nanRows: boolean;
  private readonly byHand: HandWrittenGradient | undefined;
  private readonly gradients = new Map<number, Gradient>();

  constructor(
    name: string,
    inputs: readonly Expr[],
    results: readonly Expr[],
    options: {
      kinds?: readonly Kind[];
      stored?: Program["stored"];
      vjp?: HandWrittenGradient | undefined;
      nanRows?: boolean;
    } = {},
  ) {
    this.name = name;
    this.inputs = inputs;
    this.results = results;
    this.kinds = options.kinds ?? results.map((e) => e.kind);
    this.stored = options.stored ?? results.map(storedOf);
    this.differentiable = this.stored.includes("float");
    this.floatInputs = inputs.reduce(
      (bits, e, i) => ((e.detail as InputInfo).stored === "float" ? bits | (1 << i) : bits),
      0,
    );
    this.byHand = options.vjp;
    this.nanRows = options.nanRows ?? false;
    this.runnable = new Runnable({
      name,
      inputs,
      results: evaluated(results),
      kinds: this.kinds,
      stored: this.stored,
    });
  }

  /** The cotangent of every input: by hand where there is a hand, otherwise derived. */
  adjoints(cotangents: readonly Value[], wanted: readonly Expr[]): Value[] {
    const given = this.byHand?.(cotangents) ?? {};
    const derived = adjoints(
      this.results,
      cotangents,
      wanted.filter((e) => !(nameOf(e) in given)),
    );
    return wanted.map((e) => given[nameOf(e)] ?? derived.shift()!);
  }

  /** The gradient with respect to the inputs whose bit is set. */
  gradient(wantedBits: number): Gradient {
    let found = this.gradients.get(wantedBits);
    if (!found) {
      found = this.derive(wantedBits);
      this.gradients.set(wantedBits, found);
    }
    return found;
  }

  private derive(wantedBits: number): Gradient {
    const wanted = this.inputs.filter((_, i) => wantedBits & (1 << i));
    const cotangents = this.results.map((_, k) =>
      this.kinds[k] === "row" ? rowInput(`g${k || ""}`) : scalarInput(`g${k || ""}`),
    );
    const seeds = cotangents.map((g, k) => (this.stored[k] === "float" ? g : constant(0)));
    const found = this.adjoints(seeds, wanted);

    // What is cotangent-free was or can be computed going forward: results are read, scalars saved; rows are recomputed,
    // because a row saved costs as much traffic as it spares work.
    const count = this.results.length;
    const marks = this.results.map((e, k) => (isReadBack(e) ? rowInput(`y${k || ""}`) : undefined));
    const marked = substitute(found, (e) => marks[this.results.indexOf(e)]);
    const all = evaluated([...this.results, ...marked]);
    const results = all.slice(0, count);
    const lateOnly = new Set<Expr>(cotangents);
    const overRow = new Set<Expr>();
    const nodes = nodesOf(all);
    const free = freeUnknowns(nodes);
    for (const e of nodes) {
      if (reads(e).some((a) => lateOnly.has(a))) lateOnly.add(e);
      if (e.kind === "row" || reads(e).some((a) => overRow.has(a))) overRow.add(e);
    }
    const saved: Expr[] = [];
    const placeholders = new Map<Expr, { node: Expr; source: Source }>();
    marks.forEach((node, at) => {
      if (node) placeholders.set(results[at]!, { node, source: { from: "result", at } });
    });
    const place = (e: Expr): Expr | undefined => {
      const known = placeholders.get(e);
      if (known) return known.node;
      const k = results.indexOf(e);
      if (
        k >= 0 &&
        this.stored[k] === "float" &&
        e.word !== "input" &&
        e.word !== "const" &&
        this.kinds[k] === e.kind
      ) {
        const node = e.kind === "row" ? rowInput(`y${k || ""}`) : scalarInput(`y${k || ""}`);
        placeholders.set(e, { node, source: { from: "result", at: k } });
        return node;
      }
      if (
        e.kind === "scalar" &&
        e.sort === "number" &&
        overRow.has(e) &&
        !lateOnly.has(e) &&
        free.get(e)!.size === 0
      ) {
        const node = savedInput(`saved${saved.length}`, e);
        placeholders.set(e, { node, source: { from: "saved", at: saved.length } });
        saved.push(e);
        return node;
      }
      return undefined;
    };
    const settled = substitute(all.slice(count), place) as Value[];
    const parts = new Array<Part | undefined>(this.inputs.length).fill(undefined);
    const computed: Value[] = [];
    const pure: Value[] = [];
    const kinds: Kind[] = [];
    const first = this.stored.indexOf("float");
    const origins = [this.inputs[0]!, ...results];
    const hidden = [...placeholders].flatMap(([e, { node, source }]) =>
      source.from === "result" || followsNaN(e, origins) ? [node] : [],
    );
    settled.forEach((e, i) => {
      const input = wanted[i]!;
      const slot = this.inputs.indexOf(input);
      const at = cotangents.indexOf(e as (typeof cotangents)[number]);
      if (constantOf(e) === 0 && !this.nanRows) parts[slot] = { how: "zero" };
      else if (at >= 0 && e.kind === input.kind && !this.nanRows) parts[slot] = { how: "cotangent", at };
      else {
        const hides = this.nanRows && !carriesNaN(e, hidden, results[first]!);
        const cotangent = hides ? add(e, poison(place(results[first]!) ?? results[first]!)) : e;
        // Inputs that are only added have one cotangent, which is stored once.
        const twin = computed.findIndex((other, k) => other === cotangent && kinds[k] === input.kind);
        parts[slot] = { how: "computed", at: twin < 0 ? computed.length : twin };
        if (twin >= 0) return;
        computed.push(cotangent);
        pure.push(hides ? add(found[i]!, poison(this.results[first]!)) : found[i]!);
        kinds.push(input.kind);
      }
    });

    const used = new Set(nodesOf(computed));
    const sources: Source[] = [];
    const operands: Expr[] = [];
    const take = (node: Expr, source: Source): void => {
      if (!used.has(node)) return;
      operands.push(node);
      sources.push(source);
    };
    this.inputs.forEach((e, at) => {
      take(e, { from: "input", at });
    });
    cotangents.forEach((e, at) => {
      take(e, { from: "cotangent", at });
    });
    for (const { node, source } of placeholders.values()) take(node, source);

    const name = `${this.name}Gradient`;
    return {
      bits: wantedBits,
      parts,
      forward: new Runnable({
        name: this.name,
        inputs: this.inputs,
        // Going forward a result is computed, not read.
        results: [...results, ...substitute(saved, (e) => results[marks.indexOf(e as Row)])],
        kinds: [...this.kinds, ...saved.map(() => "scalar" as const)],
        stored: [...this.stored, ...saved.map(() => "float" as const)],
      }),
      backward: new Runnable({
        name,
        inputs: operands,
        results: computed,
        kinds,
        stored: computed.map(() => "float" as const),
      }),
      sources,
      pure: new Formula(name, [...this.inputs, ...cotangents], pure, {
        kinds,
        stored: computed.map(() => "float" as const),
      }),
    };
  }
}

/** 0, or NaN where the row's result is NaN. */
function poison(result: Expr): Scalar {
  const y = pick(result as Value, 0);
  return select(equal(y, y), 0, Number.NaN) as Scalar;
}

function nameOf(input: Expr): string {
  return (input.detail as InputInfo).name;
}

/** Whether a NaN in an argument makes e NaN; of a row, somewhere. */
const isStrict = ({ word }: Expr): boolean =>
  strict.has(word) || word === "sum" || word === "max" || word === "differentiateAs";

/** Whether a NaN in what e is made from, scores or results, surely is in e, or makes e NaN. */
const followsNaN = (e: Expr, origins: readonly Expr[]): boolean =>
  origins.includes(e) || (isStrict(e) && e.args.some((a) => followsNaN(a, origins)));

/** Whether plain arithmetic leads from e to something that is NaN whenever the result of the row is. */
function carriesNaN(e: Expr, sources: readonly Expr[], result: Expr): boolean {
  if (sources.includes(e)) return true;
  // A row that is left out as a whole: so is its result.
  if (e.word === "select")
    return (
      result.word === "select" && result.args[0] === e.args[0] && carriesNaN(e.args[1]!, sources, result)
    );
  return (e.word === "mulZero" || isStrict(e)) && e.args.some((a) => carriesNaN(a, sources, result));
}
