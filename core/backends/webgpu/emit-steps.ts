// Writes the words that take steps of their own as WGSL: roots by Newton's iteration, the k-th largest entry, running sums.

import { dtypes } from "../../dtype.ts";
import type { Expr, RootParts } from "../../row/expr.ts";
import type { RootStep, ScanStep, Step } from "../../row/schedule.ts";
import { alike, carried, type Frame, hold, holding, ordered, walk, walkChunk } from "./emit-walks.ts";

const { eps } = dtypes.f32;

/** Evaluations after which Newton gives up: bisecting every other time, enough for all bits. */
const turns = 120;

/**
 * One turn of the search for a root: Newton's step within a bracket. It keeps the τ of smallest |F|, and ends at |F| ≤ 2 eps, at
 * an unchanged τ, or after two evaluations without progress near zero; where there is none far from zero, the step was wrong.
 */
const search = `
struct Search { tau: f32, low: f32, high: f32, best: f32, smallest: f32, stalled: i32, done: bool }
fn s_search(before: Search, value: f32, step: f32) -> Search {
  var s = before;
  if (s_isNaN(value)) {
    s.best = value;
    s.done = true;
    return s;
  }
  var bisect = false;
  if (abs(value) < s.smallest) {
    s.smallest = abs(value);
    s.best = s.tau;
    s.stalled = 0;
    s.done = s.smallest <= ${2 * eps};
  } else if (s.smallest > ${Math.sqrt(eps)}) {
    bisect = true;
  } else {
    s.stalled++;
    s.done = s.stalled == 2;
  }
  if (value > 0.0) { s.low = s.tau; } else { s.high = s.tau; }
  var next = s.tau + step;
  if (bisect || s_isNaN(next) || next < s.low || next > s.high) { next = s.low + 0.5 * (s.high - s.low); }
  s.done = s.done || next == s.tau;
  s.tau = next;
  return s;
}
`;

/** Whether a row is dear to compute again. */
function isDear(e: Expr): boolean {
  return e.kind === "row" && ((e.meaning?.js !== undefined && e.word !== "input") || e.args.some(isDear));
}

/** The τ where a decreasing function is zero. */
export function emitRoot(frame: Frame, step: RootStep, emitSteps: (steps: readonly Step[]) => void): void {
  const { shader } = frame;
  const { node } = step;
  const { variable, value, slope, straight } = node.detail as RootParts;
  if (shader.grid.held > 0 && step.gather)
    hold(
      frame,
      [...step.gather.rows.keys()].filter((e) => !frame.held.has(e) && isDear(e)),
    );
  shader.functions.add("isNaN");
  shader.globals.set("search", search);
  const [lo, hi] = node.args.map((e) => shader.value(e, "f32")) as [string, string];
  const s = shader.name("search");
  shader.line(`var ${s} = Search(${lo}, ${lo}, ${hi}, ${lo}, ${shader.call("inf")}, 0, false);`);
  shader.block(`for (var turn = 0; turn < ${turns} && !${s}.done; turn++)`, () => {
    shader.values.set(variable, shader.let("tau", `${s}.tau`));
    frame.iterations++;
    emitSteps(step.body);
    frame.iterations--;
    const f = shader.value(value, "f32");
    const df = shader.value(slope, "f32");
    let newton = `-(${f} / ${df})`;
    if (straight) {
      // On the scale where F is straighter
      shader.values.set(straight.variable, f);
      for (const e of step.straight) shader.define(e, shader.word(e));
      newton = `-(${shader.value(straight.value, "f32")} / (${shader.value(straight.slope, "f32")} * ${df}))`;
    }
    shader.line(`${s} = s_search(${s}, ${f}, ${newton});`);
  });
  shader.define(node, `${s}.best`);
}

/**
 * The k-th largest entry, exactly: its place in the order of floats, four bits at a time from the highest, by counting the
 * entries that agree so far under their next four bits.
 */
export function emitKth(frame: Frame, step: ScanStep): void {
  const { shader } = frame;
  const { unit, held } = shader.grid;
  const [row, rank] = step.node.args as [Expr, Expr];
  const share = unit === "share";
  shader.functions.add("isNaN");
  shader.globals.set("ordered", ordered);
  const keys = held > 0 ? holding(shader, "keys", "u32") : undefined;
  const order = (): string => `s_order(${shader.value(row, "f32")})`;
  if (keys !== undefined) walk(frame, [row], () => shader.line(`${keys}[k] = ${order()};`));

  const bins = share ? "bins" : shader.name("bins");
  // The bin behind the others counts NaN.
  if (share) shader.globals.set("bins", "\nvar<workgroup> bins: array<atomic<u32>, 17>;\n");
  else shader.line(`var ${bins} = array<u32, 17>();`);
  const read = (at: string): string => (share ? `atomicLoad(&${bins}[${at}])` : `${bins}[${at}]`);
  const add = (at: string): void =>
    shader.line(share ? `atomicAdd(&${bins}[${at}], 1u);` : `${bins}[${at}]++;`);
  const found = shader.name("found");
  const left = shader.name("left");
  shader.line(`var ${found} = 0u;`);
  shader.line(`var ${left} = u32(clamp(${shader.value(rank, "i32")}, 1, i32(n)));`);
  shader.block("for (var shift = 32u; shift > 0u;)", () => {
    shader.line("shift -= 4u;");
    if (share) {
      shader.line(`if (me < 17u) { atomicStore(&${bins}[me], 0u); }`);
      shader.line("workgroupBarrier();");
    } else shader.line(`${bins} = array<u32, 17>();`);
    walk(frame, [row], () => {
      const key = shader.let("key", keys !== undefined ? `${keys}[k]` : order());
      shader.block(`if (((${key} ^ ${found}) >> shift) < 16u)`, () => add(`(${key} >> shift) & 15u`));
      shader.block(`if (${key} == 0xffffffffu)`, () => add("16u"));
    });
    if (share) shader.line("workgroupBarrier();");
    shader.line("var digit = 15u;");
    shader.block(`for (; digit > 0u && ${left} > ${read("digit")}; digit--)`, () =>
      shader.line(`${left} -= ${read("digit")};`),
    );
    shader.line(`${found} |= digit << shift;`);
    shader.line(`if (${read("16u")} > 0u) { ${found} = 0xffffffffu; }`);
    if (share) shader.line("workgroupBarrier();");
  });
  shader.define(step.node, alike(shader, `s_unorder(${found})`));
}

/** The running sum, into memory of its own: the sums of chunks first, then along each chunk from the sum of those before it. */
export function emitCumsum(frame: Frame, step: ScanStep, memory: (i: string) => string): void {
  const { shader } = frame;
  const { unit, width } = shader.grid;
  const row = step.node.args[0]!;
  shader.globals.set("carried", carried);
  const run = shader.name("run");
  shader.line(`var ${run} = vec2(0.0, 0.0);`);
  let [from, to] = ["0u", "n"];
  if (unit === "share") {
    if (!shader.globals.has("runs")) shader.shared += 8 * width;
    shader.globals.set("runs", `\nvar<workgroup> runs: array<vec2<f32>, ${width}>;\n`);
    const chunk = shader.let("chunk", `(n + ${width - 1}u) / ${width}u`);
    from = shader.let("from", `min(n, me * ${chunk})`);
    to = shader.let("to", `min(n, ${from} + ${chunk})`);
    walkChunk(frame, from, to, row, (v) => shader.line(`${run} = s_carry(${run}, ${v});`));
    shader.line(`runs[me] = ${run};`);
    shader.line("workgroupBarrier();");
    shader.line(`${run} = vec2(0.0, 0.0);`);
    shader.block("for (var before = 0u; before < me; before++)", () => {
      shader.line(`${run} = s_carry(${run}, runs[before].x);`);
      shader.line(`${run}.y += runs[before].y;`);
    });
  }
  walkChunk(frame, from, to, row, (v) => {
    shader.line(`${run} = s_carry(${run}, ${v});`);
    shader.line(`${memory("i")} = s_carried(${run});`);
  });
  if (unit === "share") {
    shader.line("storageBarrier();");
    shader.line("workgroupBarrier();");
  }
  frame.memory.set(step.node, memory);
}
