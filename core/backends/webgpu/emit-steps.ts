// Writes the words that take steps of their own as WGSL: roots by Newton's iteration, the sums of series, the k-th largest entry, running sums.

import type { Expr, RootParts, SeriesParts } from "../../row/expr.ts";
import type { RootStep, ScanStep, SeriesStep, Step } from "../../row/schedule.ts";
import { type Frame, holding, slot, walk, walkChunk } from "./emit-walks.ts";

/** The τ where a decreasing function is zero. */
export function emitRoot(frame: Frame, step: RootStep, emitSteps: (steps: readonly Step[]) => void): void {
  const { shader } = frame;
  const { node } = step;
  const { variable, value, slope, straight } = node.detail as RootParts;
  // What the iteration reads again and again is at hand before it begins.
  const missing = frame.again.filter((e) => !frame.held.has(e));
  if (missing.length > 0) {
    walk(frame, [], () => {}, missing);
    frame.walks--;
  }
  const [lo, hi] = node.args.map((e) => shader.value(e, "f32"));
  const s = shader.name("search");
  shader.line(`var ${s} = Search(${lo}, ${lo}, ${hi}, ${lo}, s_inf(), 0, false);`);
  // Bisecting every other time, enough turns for all bits
  shader.block(`for (var turn = 0; turn < 120 && !${s}.done; turn++)`, () => {
    shader.values.set(variable, shader.let("tau", `${s}.tau`));
    const { iterates } = frame;
    frame.iterates = true;
    emitSteps(step.body);
    frame.iterates = iterates;
    const f = shader.operand(value, "f32");
    const df = shader.operand(slope, "f32");
    let newton = `${f} / ${df}`;
    if (straight) {
      // On the scale where F is straighter
      shader.values.set(straight.variable, f);
      for (const e of step.straight) shader.define(e, shader.word(e));
      newton = `${shader.operand(straight.value, "f32")} / (${shader.operand(straight.slope, "f32")} * ${df})`;
    }
    shader.line(`${s} = s_search(${s}, ${f}, ${newton});`);
  });
  shader.define(node, `${s}.best`);
}

/** The sum of a series: the steps of its terms in a loop. A sum of rows stands at hand, or in memory of its own. */
export function emitSeries(
  frame: Frame,
  step: SeriesStep,
  emitSteps: (steps: readonly Step[]) => void,
  memory: () => (i: string) => string,
): void {
  const { shader } = frame;
  const { node } = step;
  const { variable, value } = node.detail as SeriesParts;
  const total = shader.name("total");
  if (node.kind === "scalar") shader.line(`var ${total} = 0.0;`);
  else if (shader.grid.held > 0) {
    const name = holding(shader, "total_row", "f32");
    frame.held.set(node, { name, type: "f32", row: node });
    walk(frame, [], () => shader.line(`${name}[${slot(shader)}] = 0.0;`), frame.iterates ? [] : frame.again);
  } else {
    const at = memory();
    frame.memory.set(node, at);
    walk(frame, [], () => shader.line(`${at("i")} = 0.0;`));
  }
  const count = shader.let("count", shader.value(step.node.args[0]!, "i32"));
  const k = shader.name("term");
  const { iterates } = frame;
  frame.iterates = true;
  shader.block(`for (var ${k} = 0; ${k} < ${count}; ${k}++)`, () => {
    shader.values.set(variable, shader.let("number", `f32(${k})`));
    emitSteps(step.body);
    if (node.kind === "scalar") shader.line(`${total} += ${shader.value(value, "f32")};`);
  });
  frame.iterates = iterates;
  if (node.kind === "scalar") shader.values.set(node, total);
}

/**
 * The k-th largest entry, exactly: its place in the order of floats, four bits at a time from the highest, by counting the
 * entries that agree so far under their next four bits.
 */
export function emitKth(frame: Frame, step: ScanStep): void {
  const { shader } = frame;
  const [row, rank] = step.node.args as [Expr, Expr];
  const order = (): string => `s_order(${shader.value(row, "f32")})`;
  const keys = shader.grid.held > 0 ? `${holding(shader, "keys", "u32")}[k]` : undefined;
  if (keys !== undefined) walk(frame, [row], () => shader.line(`${keys} = ${order()};`));

  // The bin behind the others counts NaN.
  shader.globals.set("bins", "var<workgroup> bins: array<atomic<u32>, 17>;\n");
  const found = shader.name("found");
  const left = shader.name("left");
  shader.line(`var ${found} = 0u;`, `var ${left} = u32(clamp(${shader.value(rank, "i32")}, 1, i32(n)));`);
  shader.block("for (var shift = 32u; shift > 0u;)", () => {
    shader.line("shift -= 4u;", "if (me < 17u) { atomicStore(&bins[me], 0u); }", "workgroupBarrier();");
    walk(frame, [row], () => {
      const key = shader.let("key", keys ?? order());
      shader.line(
        `if (((${key} ^ ${found}) >> shift) < 16u) { atomicAdd(&bins[(${key} >> shift) & 15u], 1u); }`,
        `if (${key} == 0xffffffffu) { atomicAdd(&bins[16], 1u); }`,
      );
    });
    shader.line(
      "workgroupBarrier();",
      "var digit = 15u;",
      `for (; digit > 0u && ${left} > atomicLoad(&bins[digit]); digit--) { ${left} -= atomicLoad(&bins[digit]); }`,
      `${found} |= digit << shift;`,
      `if (atomicLoad(&bins[16]) > 0u) { ${found} = 0xffffffffu; }`,
      "workgroupBarrier();",
    );
  });
  shader.define(step.node, `s_alike(me, s_unorder(${found}))`);
}

/** The running sum, into memory of its own: the sums of chunks first, then along each chunk from the sum of those before it. */
export function emitCumsum(frame: Frame, step: ScanStep, memory: (i: string) => string): void {
  const { shader } = frame;
  const { width } = shader.grid;
  shader.globals.set("runs", `var<workgroup> runs: array<vec2f, ${width}>;\n`);
  const row = step.node.args[0]!;
  const run = shader.name("run");
  const chunk = shader.let("chunk", `(n + ${width - 1}u) / ${width}u`);
  const from = shader.let("from", `min(n, me * ${chunk})`);
  const to = shader.let("to", `min(n, ${from} + ${chunk})`);
  const carry = (v: string): string => `${run} = s_carry(${run}, ${v});`;
  shader.line(`var ${run} = vec2(0.0, 0.0);`);
  walkChunk(frame, from, to, row, (v) => shader.line(carry(v)));
  shader.line(`runs[me] = ${run};`, "workgroupBarrier();", `${run} = vec2(0.0, 0.0);`);
  shader.block("for (var before = 0u; before < me; before++)", () =>
    shader.line(carry("runs[before].x"), `${run}.y += runs[before].y;`),
  );
  walkChunk(frame, from, to, row, (v) => shader.line(carry(v), `${memory("i")} = s_carried(${run});`));
  // What one invocation wrote others read.
  shader.line("storageBarrier();");
  frame.memory.set(step.node, memory);
}

/** A walk that is the word's own text: one invocation goes along the row, on memory that all of them have written and will read. */
export function emitWalk(frame: Frame, step: ScanStep, memory: () => (i: string) => string): void {
  const { shader } = frame;
  const { node } = step;
  const out = memory();
  const written = new Map<Expr, (i: string) => string>();
  const operands = node.args.map((e) => {
    if (e.kind === "scalar") return () => shader.value(e, "f32");
    const known = e.word === "input" ? undefined : frame.memory.get(e);
    if (known) return known;
    const at = memory();
    written.set(e, at);
    return at;
  });
  if (written.size > 0)
    walk(frame, [...written.keys()], () => {
      for (const [e, at] of written) shader.line(`${at("i")} = ${shader.value(e, "f32")};`);
    });
  const share = shader.grid.unit === "share";
  if (share) shader.line("storageBarrier();");
  shader.block(share ? "if (me == 0u)" : "", () => {
    for (const line of node.meaning!.wgsl!(out, ...operands).split("\n")) shader.line(line);
  });
  if (share) shader.line("storageBarrier();");
  frame.memory.set(node, out);
}
