// Orders the work of a row program for kernels that walk over a row several times: what each pass over the row folds and
// writes, which scalars are computed between passes, and which rows are computed once and read again.
// Knows no instruction set and no memory: every emitter reads the same schedule.

import {
  alongRow,
  constant,
  constantOf,
  type Expr,
  evaluated,
  type Mask,
  neg,
  type RootParts,
  type SeriesParts,
  select,
  strict,
  type Value,
} from "./expr.ts";
import type { Program } from "./program.ts";

/** Where a row stands that is read again: in the memory of a result that is written later, or in scratch row `slot`. */
export type Place = { readonly result: number } | { readonly slot: number };

/** ±value at the entry `label`, to be added to a result after its pass. */
export interface HotEntry {
  readonly label: Expr;
  readonly value: Expr;
  readonly negative: boolean;
}

/** A result that a pass writes: `row` at every entry (a scalar is repeated), then the hot entries on top. */
export interface Write {
  readonly result: number;
  readonly row: Expr;
  readonly hot: readonly HotEntry[];
}

interface Common {
  /** Position among all steps in order of execution. */
  readonly order: number;
  /** Rows to be stored as this step computes them. */
  readonly keeps: Expr[];
}

/** One walk over the row. */
export interface Pass extends Common {
  readonly kind: "pass";
  readonly reductions: Expr[];
  readonly writes: Write[];
  /** Series of rows, to whose sum this pass adds a term. */
  readonly terms: Expr[];
}

/** A scalar that is a function of scalars. */
export interface ScalarStep extends Common {
  readonly kind: "scalar";
  readonly node: Expr;
}

/**
 * A row whose entries hang on their neighbours, written to its place, or the k-th largest entry, which needs a scratch row of
 * its own.
 */
export interface ScanStep extends Common {
  readonly kind: "cumsum" | "totalVariation" | "groupMeans" | "groupDrift" | "kth";
  readonly node: Expr;
  readonly slot: number;
  /** A scratch row for the entries that say which belong together. */
  readonly beside: number | undefined;
}

/** Newton's iteration on a root's formula. */
export interface RootStep extends Common {
  readonly kind: "root";
  readonly node: Expr;
  /** What is computed anew for every τ. */
  readonly body: readonly Step[];
  /** The scalars of Newton's rescaling, once F is known. */
  readonly straight: readonly Expr[];
  /** If there: the rows that the body reads are gathered once where the support holds, and the body walks over those alone. */
  readonly gather: Gather | undefined;
}

export interface Gather {
  readonly support: Expr;
  /** The rows to gather, and the scratch row of each. */
  readonly rows: ReadonlyMap<Expr, number>;
  /**
   * A maximum computed earlier, of a row that every gathered row is a function of: what its accumulators hold are entries of
   * the row, and the root over those entries alone is a lower bound.
   */
  readonly sample: Expr | undefined;
}

/** The sum of a series: of rows in its place, or of scalars. */
export interface SeriesStep extends Common {
  readonly kind: "series";
  readonly node: Expr;
  /** The scratch row of its sum, if that is a row. */
  readonly slot: number | undefined;
  /** What is computed for every term. */
  readonly body: readonly Step[];
}

export type Step = Pass | ScalarStep | ScanStep | RootStep | SeriesStep;

export interface Schedule {
  readonly steps: readonly Step[];
  /** Results that are one number per row. */
  readonly scalars: readonly { readonly result: number; readonly node: Expr }[];
  /** Every kept row: its place and the step that computes it. Steps after that one read it back. */
  readonly kept: ReadonlyMap<Expr, { readonly place: Place; readonly from: Step }>;
  /** Scratch rows that are needed. */
  readonly slots: number;
  /** Maxima and minima that must look for NaN themselves, because nothing else makes the results NaN. */
  readonly careful: ReadonlySet<Expr>;
}

/** Words that cost more to compute again than to store and load. */
const costly: ReadonlySet<string> = /* @__PURE__ */ new Set(
  "exp expm1 log log1p pow posPow sin cos tanh erf logNormalCdf sigmoid softplus xlogx log1pRatio expm1Ratio".split(
    " ",
  ),
);

const folds = (e: Expr): boolean =>
  e.word === "sum" || e.word === "max" || e.word === "min" || e.word === "count" || e.word === "argmax";

/** What one iteration of a root or a series computes, or (without one) the whole program. */
class Region {
  readonly depth: number;
  /** Nodes that belong here, arguments first. */
  readonly nodes: Expr[] = [];
  /** What nodes here read from further out. */
  readonly reads = new Set<Expr>();

  constructor(depth: number) {
    this.depth = depth;
  }
}

/** Orders a program's work. */
export function schedule(program: Program): Schedule {
  return new Scheduler(program).finish();
}

class Scheduler {
  private readonly outer = new Region(0);
  private readonly home = new Map<Expr, Region>();
  /** For each root and series, what its iteration computes, and what the root's rescaling does. */
  private readonly regions = new Map<Expr, { body: Region; straight: Region }>();
  /** Rows that the body being ordered reads from where they were gathered. */
  private readonly gathered = new Set<Expr>();
  /** How many passes over the row must be done before a node of its region can be computed. */
  private readonly level = new Map<Expr, number>();
  private readonly firstSeen = new Map<Expr, Step>();
  private readonly kept = new Map<Expr, { from: Step; lastUse: number }>();
  private readonly program: Program;
  private readonly results: readonly Expr[];
  private order = 0;
  private slots = 0;

  constructor(program: Program) {
    this.program = program;
    this.results = evaluated(program.results);
  }

  finish(): Schedule {
    const { program } = this;
    const scalars: { result: number; node: Expr }[] = [];
    const writes: { write: Write; level: number }[] = [];
    this.results.forEach((node, result) => {
      if (program.kinds[result] === "scalar") {
        this.place(node, this.outer);
        scalars.push({ result, node });
        return;
      }
      const split = program.stored[result] === "float" ? splitHot(node) : { row: node, hot: [] };
      let level = this.place(split.row, this.outer);
      for (const { label, value } of split.hot)
        level = Math.max(level, this.place(label, this.outer), this.place(value, this.outer));
      writes.push({ write: { result, ...split }, level });
    });
    const steps = this.steps(this.outer, writes);
    const written = new Map<number, number>();
    for (const step of steps)
      if (step.kind === "pass") for (const w of step.writes) written.set(w.result, step.order);
    return {
      steps,
      scalars,
      kept: this.places(written),
      slots: this.slots,
      careful: this.careful(),
    };
  }

  /** Finds the region and level of a node and of all that it reads. Gives the level from which on it can be read. */
  private place(e: Expr, inside: Region): number {
    if (this.home.has(e)) return this.available(e);
    let reads: Iterable<Expr> = e.args;
    if (e.word === "root") {
      const { variable, value, slope, support, straight } = e.detail as RootParts;
      const body = this.open(variable, support ? [value, slope, support] : [value, slope], inside);
      const rescaling = straight
        ? this.open(straight.variable, [straight.value, straight.slope], body)
        : new Region(0);
      this.regions.set(e, { body, straight: rescaling });
      reads = new Set([...e.args, ...body.reads, ...rescaling.reads]);
    } else if (e.word === "series") {
      const { variable, value } = e.detail as SeriesParts;
      const body = this.open(variable, [value], inside);
      this.regions.set(e, { body, straight: new Region(0) });
      reads = new Set([...e.args, ...body.reads]);
    }
    let home = this.outer;
    for (const arg of reads) {
      this.place(arg, inside);
      const h = this.home.get(arg)!;
      if (h.depth > home.depth) home = h;
    }
    let level = 0;
    for (const arg of reads) {
      if (this.home.get(arg) !== home) home.reads.add(arg);
      else level = Math.max(level, this.available(arg));
    }
    this.home.set(e, home);
    this.level.set(e, level);
    home.nodes.push(e);
    return this.available(e);
  }

  /** How many passes of its region must be done before a node can be read. */
  private available(e: Expr): number {
    return this.level.get(e)! + (folds(e) ? 1 : 0);
  }

  /** The region of what reads this variable. */
  private open(variable: Expr, parts: readonly Expr[], inside: Region): Region {
    const region = new Region(inside.depth + 1);
    this.home.set(variable, region);
    this.level.set(variable, 0);
    for (const part of parts) {
      this.place(part, region);
      if (this.home.get(part) !== region) region.reads.add(part);
    }
    return region;
  }

  /** The steps of a region: for each level its scalars, then a pass over the row. */
  private steps(region: Region, writes: readonly { write: Write; level: number }[], series?: Expr): Step[] {
    const steps: Step[] = [];
    let last = 0;
    for (const e of region.nodes) last = Math.max(last, this.level.get(e)!);
    for (const w of writes) last = Math.max(last, w.level);
    const { value: term } = (series?.detail ?? {}) as Partial<SeriesParts>;
    for (let level = 0; level <= last; level++) {
      const pass: Pass = { kind: "pass", order: 0, keeps: [], reductions: [], writes: [], terms: [] };
      for (const node of region.nodes) {
        if (this.level.get(node) !== level) continue;
        if (folds(node)) pass.reductions.push(node);
        else if (node.word === "root") this.root(node, steps);
        else if (node.word === "series") this.series(node, steps);
        else if (node.word === "kth" || alongRow.has(node.word)) {
          const step: ScanStep = {
            kind: node.word as ScanStep["kind"],
            node,
            slot: this.slots++,
            beside: node.word === "groupMeans" || node.word === "groupDrift" ? this.slots++ : undefined,
            order: this.order++,
            keeps: [],
          };
          steps.push(step);
          this.walk(step, node.args);
          if (node.word !== "kth") this.kept.set(node, { from: step, lastUse: step.order });
        } else if (node.kind === "scalar" && node.word !== "const" && node.word !== "bound") {
          steps.push({ kind: "scalar", node, order: this.order++, keeps: [] });
        }
      }
      for (const w of writes) if (w.level === level) pass.writes.push(w.write);
      if (term?.kind === "row" && this.level.get(term) === level) pass.terms.push(series!);
      if (pass.reductions.length + pass.writes.length + pass.terms.length === 0) continue;
      const placed = { ...pass, order: this.order++ };
      steps.push(placed);
      this.walk(placed, [
        ...placed.reductions.map((r) => r.args[0]!),
        ...placed.writes.map((w) => w.row),
        ...(placed.terms.length > 0 ? [term!] : []),
      ]);
    }
    return steps;
  }

  private root(node: Expr, steps: Step[]): void {
    const { support } = node.detail as RootParts;
    const { body: region, straight } = this.regions.get(node)!;
    const frontier = [...region.reads].filter((e) => e.kind === "row");
    // Entries may be left out only where nothing but sums looks at them.
    const sums = region.nodes.every((e) =>
      e.kind === "row"
        ? e.word !== "series" && !alongRow.has(e.word)
        : !(e.word === "kth" || e.word === "pick" || (folds(e) && e.word !== "sum" && e.word !== "count")),
    );
    let gather: Gather | undefined;
    let prepare: Pass | undefined;
    const rows = new Map<Expr, number>();
    if (support?.kind === "row" && sums) {
      for (const e of frontier) rows.set(e, this.slots++);
      gather = { support, rows, sample: this.sample(frontier, node) };
    } else {
      prepare = this.prepare(frontier, steps);
    }
    const step = {
      kind: "root" as const,
      node,
      gather,
      straight: straight.nodes,
      order: this.order++,
      keeps: [],
      body: [] as Step[],
    };
    this.walk(step, rows.keys());
    for (const e of rows.keys()) this.gathered.add(e);
    step.body = this.steps(region, []);
    for (const e of rows.keys()) this.gathered.delete(e);
    steps.push(step);
    // A row first computed in the body is needed only there, or the walk above has kept it.
    if (prepare && prepare.keeps.length === 0) steps.splice(steps.indexOf(prepare), 1);
  }

  private series(node: Expr, steps: Step[]): void {
    const { body: region } = this.regions.get(node)!;
    const prepare = this.prepare(
      [...region.reads].filter((e) => e.kind === "row"),
      steps,
    );
    const step = {
      kind: "series" as const,
      node,
      slot: node.kind === "row" ? this.slots++ : undefined,
      order: this.order++,
      keeps: [],
      body: [] as Step[],
    };
    step.body = this.steps(region, [], node);
    steps.push(step);
    if (node.kind === "row") this.kept.set(node, { from: step, lastUse: step.order });
    if (prepare.keeps.length === 0) steps.splice(steps.indexOf(prepare), 1);
  }

  /** Rows that an iteration reads and that are dear are computed before it, not in it. */
  private prepare(rows: readonly Expr[], steps: Step[]): Pass {
    const pass: Pass = {
      kind: "pass",
      order: this.order++,
      keeps: [],
      reductions: [],
      writes: [],
      terms: [],
    };
    steps.push(pass);
    this.walk(pass, rows);
    return pass;
  }

  /** A maximum, computed before the root, over a row that all these rows are functions of, entry by entry. */
  private sample(rows: readonly Expr[], root: Expr): Expr | undefined {
    if (this.home.get(root) !== this.outer) return undefined;
    return this.outer.nodes.find((e) => {
      if (e.word !== "max" || this.available(e) > this.level.get(root)!) return false;
      const seen = new Set<Expr>([e.args[0]!]);
      const only = (x: Expr): boolean => {
        if (x.kind === "scalar" || seen.has(x)) return true;
        if (x.args.length === 0 || x.word === "series" || alongRow.has(x.word)) return false;
        seen.add(x);
        return x.args.every(only);
      };
      return rows.every(only);
    });
  }

  /** Notes what a step computes of rows; what an earlier step has computed too, and is dear, is kept. */
  private walk(step: Step, rows: Iterable<Expr>): void {
    const again = new Map<Expr, ReadonlySet<Expr>>();
    const seen = new Set<Expr>();
    const go = (e: Expr): void => {
      if (e.kind === "scalar" || seen.has(e) || this.gathered.has(e)) return;
      seen.add(e);
      const kept = this.kept.get(e);
      if (kept) {
        kept.lastUse = step.order;
        return;
      }
      const from = this.firstSeen.get(e);
      if (from === undefined) this.firstSeen.set(e, step);
      else if (from !== step && e.sort === "number") {
        const dear = this.dear(e);
        if (dear.size > 0) {
          again.set(e, dear);
          return;
        }
      }
      e.args.forEach(go);
    };
    for (const e of rows) go(e);
    // As much as was computed before; but what several of these hang on is one row, and they would be several.
    const readers = new Map<Expr, number>();
    for (const dear of again.values()) for (const d of dear) readers.set(d, (readers.get(d) ?? 0) + 1);
    const computed: Expr[] = [];
    for (const [e, dear] of again) {
      const apart = [...dear].every((d) => readers.get(d) === 1);
      if (!apart) computed.push(e);
      for (const row of apart ? [e] : dear) {
        if (this.kept.has(row)) continue;
        const from = this.firstSeen.get(row)!;
        from.keeps.push(row);
        this.kept.set(row, { from, lastUse: step.order });
      }
    }
    // What else those read is read here.
    again.clear();
    for (const e of computed) e.args.forEach(go);
  }

  /** The uppermost of the dear words that a row is made of, as far as it is not kept. */
  private dear(row: Expr): ReadonlySet<Expr> {
    const found = new Set<Expr>();
    const go = (e: Expr): void => {
      if (e.kind === "scalar" || this.kept.has(e) || this.gathered.has(e)) return;
      if (costly.has(e.word)) found.add(e);
      else e.args.forEach(go);
    };
    go(row);
    return found;
  }

  /** Gives every kept row a place: the memory of a result that is written at or after its last use, or a scratch row. */
  private places(written: ReadonlyMap<number, number>): Schedule["kept"] {
    const taken = new Set<number>();
    const out = new Map<Expr, { place: Place; from: Step }>();
    for (const [e, { from, lastUse }] of this.kept) {
      let place: Place | undefined;
      if (from.kind !== "pass" && from.kind !== "root" && from.kind !== "scalar" && from.node === e)
        place = { slot: from.slot! };
      for (const [result, order] of written) {
        if (place || taken.has(result) || this.program.stored[result] !== "float") continue;
        if (order >= lastUse || this.results[result] === e) {
          place = { result };
          taken.add(result);
        }
      }
      out.set(e, { place: place ?? { slot: this.slots++ }, from });
    }
    return out;
  }

  /** The extremes of rows whose NaN might go unnoticed. */
  private careful(): Set<Expr> {
    const out = new Set<Expr>();
    for (const region of [this.outer, ...[...this.regions.values()].map((r) => r.body)]) {
      for (const e of region.nodes) {
        if (
          (e.word === "max" || e.word === "min") &&
          !(region === this.outer && this.results.every((r) => this.spoils(e.args[0]!, r, new Map())))
        )
          out.add(e);
      }
    }
    return out;
  }

  /** Whether a NaN anywhere in `row` makes all of e NaN, whatever the extremes of the row come out as. */
  private spoils(row: Expr, e: Expr, memo: Map<Expr, boolean>): boolean {
    let r = memo.get(e);
    if (r !== undefined) return r;
    const at = new Map<Expr, boolean>();
    const here = (x: Expr): boolean => {
      let y = at.get(x);
      if (y === undefined) {
        y = x === row || (x.kind === "row" && strict.has(x.word) && x.args.some(here));
        at.set(x, y);
      }
      return y;
    };
    if (e.word === "kth") r = here(e.args[0]!);
    else if (e.word === "sum") r = here(e.args[0]!) || this.spoils(row, e.args[0]!, memo);
    else if (e.word === "root") r = this.spoils(row, (e.detail as RootParts).value, memo);
    else if (e.word === "clamp") r = this.spoils(row, e.args[0]!, memo);
    else r = strict.has(e.word) && e.args.some((a) => this.spoils(row, a, memo));
    memo.set(e, r);
    return r;
  }
}

/** select(index = label, value, 0) with a scalar label and value. */
function hotEntry(e: Expr): Omit<HotEntry, "negative"> | undefined {
  if (e.word !== "select" || constantOf(e.args[2]!) !== 0) return undefined;
  const [mask, value] = e.args as [Expr, Expr];
  if (mask.word !== "equal" || value.kind === "row") return undefined;
  const [a, b] = mask.args as [Expr, Expr];
  if (a.word === "index" && b.kind === "scalar") return { label: b, value };
  if (b.word === "index" && a.kind === "scalar") return { label: a, value };
  return undefined;
}

/** Takes the one-hot terms off the outside of a row: one entry to add to is cheaper than a comparison at every entry. */
function splitHot(e: Expr): { row: Expr; hot: HotEntry[] } {
  const alone = hotEntry(e);
  if (alone) return { row: constant(0), hot: [{ ...alone, negative: false }] };
  const [a, b, c] = e.args as [Value, Value, Value];
  if (e.word === "add" || e.word === "sub") {
    const second = hotEntry(b);
    if (second) {
      const { row, hot } = splitHot(a);
      return { row, hot: [...hot, { ...second, negative: e.word === "sub" }] };
    }
    const first = hotEntry(a);
    if (first) {
      const { row, hot } = splitHot(e.word === "add" ? b : neg(b));
      return { row, hot: [...hot, { ...first, negative: false }] };
    }
  }
  if (e.word === "select" && a.kind === "scalar" && constantOf(c) === 0) {
    const { row, hot } = splitHot(b);
    if (hot.length > 0) {
      const mask = a as Expr as Mask;
      return {
        row: select(mask, row as Value, 0),
        hot: hot.map((h) => ({ ...h, value: select(mask, h.value as Value, 0) })),
      };
    }
  }
  return { row: e, hot: [] };
}
