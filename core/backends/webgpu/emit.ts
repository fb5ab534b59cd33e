// Writes a kernel as a WGSL shader: bindings and parameters, the loop over rows, and the steps of the schedule in their order.
// Walks, roots and scans stand in files of their own. Knows no queue; which shader runs is chosen in `rows.ts`.

import type { Expr } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";
import { type Schedule, type Step, schedule } from "../../row/schedule.ts";
import { helpers } from "./emit-helpers.ts";
import { emitCumsum, emitKth, emitRoot, emitSeries, emitWalk } from "./emit-steps.ts";
import { type Grid, Shader } from "./emit-values.ts";
import { emitPass, type Frame } from "./emit-walks.ts";
import { library } from "./math.ts";

/** A kernel's shader. */
export interface RowShader {
  readonly text: string;
  /** Rows of memory, beside inputs and outputs, that hold running sums and their like: all in one buffer. */
  readonly temporaries: number;
  /** Entries or rows, as the grid has it, that a workgroup computes. */
  readonly work: number;
}

/** The word of the parameters at which a kernel's own begin. */
export const firstWord = 4;

const elements = { f32: "f32", f64: "f32", i32: "i32", bool: "u32" } as const;

/**
 * Writes the shader of a kernel. `places` gives the binding of each input, or −1 where a number is given: that is one word of the
 * parameters; a tensor has two there, its offset and how far the next row lies.
 */
export function emitRows(kernel: Kernel, plan: Schedule, grid: Grid, places: readonly number[]): RowShader {
  const first = write(kernel, plan, grid, places);
  // What one walk after another reads is kept at hand: only a text that was written once can tell.
  return grid.held > 0 && first.repeated.size > 0 ? write(kernel, plan, grid, places, first) : first;
}

/** The shader of a kernel whose inputs are all tensors, to be read. */
export const printWgsl = (kernel: Kernel, grid: Grid): string =>
  emitRows(
    kernel,
    schedule(kernel.program),
    grid,
    kernel.inputs.map((_, k) => k),
  ).text;

/** Entries of an elementwise kernel that one invocation computes, if they are cheap; and lines of text that are. */
const copies = 4;
const cheapLines = 24;

type Written = RowShader & Pick<Frame, "reads" | "repeated">;

function write(
  kernel: Kernel,
  plan: Schedule,
  { unit, width, held }: Grid,
  places: readonly number[],
  first?: Written,
): Written {
  const { program } = kernel;
  const shader = new Shader(kernel, { unit, width, held });
  const frame: Frame = {
    shader,
    arrays: [],
    held: new Map(),
    memory: new Map(),
    walks: 0,
    reads: new Map(),
    repeated: new Set(),
    lastReads: first?.reads ?? new Map(),
    again: [...(first?.repeated ?? [])],
    iterates: false,
  };
  const bindings: string[] = [];
  const bind = (name: string, type: string, access: string): void => {
    bindings.push(
      `@group(0) @binding(${bindings.length}) var<storage, ${access}> ${name}: array<${type}>;\n`,
    );
  };

  // Where inputs stand, and the texts that load them
  const starts: string[] = [];
  const scalars = new Map<Expr, string>();
  let next = firstWord;
  const word = (): string => `p[${next >> 2}].${"xyzw"[next++ & 3]}`;
  program.inputs.forEach((e, k) => {
    const type = elements[kernel.inputs[k]!];
    const load = (text: string): string => (e.sort === "bool" ? `${text} != 0u` : text);
    const place = places[k]!;
    if (place < 0) {
      scalars.set(e, load(`bitcast<${type}>(${word()})`));
      return;
    }
    const at = `at_${shader.title(e)}_${k}`;
    if (place === bindings.length) bind(`in${place}`, type, "read");
    starts.push(`let ${at} = ${word()} + row * ${word()};`);
    if (e.kind === "row") frame.memory.set(e, (i) => load(`in${place}[${at} + ${i}]`));
    else scalars.set(e, load(`in${place}[${at}]`));
  });
  kernel.outputs.forEach((dtype, k) => {
    bind(`out${k}`, elements[dtype], "read_write");
  });
  let temporaries = 0;

  const emitScalar = (e: Expr): void => {
    if (e.word === "n") return;
    let text = scalars.get(e);
    if (e.word === "pick") {
      const [row, label] = e.args as [Expr, Expr];
      const at = shader.let("at", `clamp(${shader.value(label, "i32")}, 0, i32(n) - 1)`);
      text = frame.memory.get(row)!(`u32(${at})`);
      // What a kernel wrote itself no compiler takes for the same in every invocation.
      if (row.word !== "input" && unit === "share") text = `s_alike(me, ${text})`;
    }
    shader.define(e, text ?? shader.word(e));
  };
  const temporary = (): ((i: string) => string) => {
    if (temporaries === 0) bind("rows_beside", "f32", "read_write");
    const at = temporaries++;
    return (i) => `rows_beside[(${at === 0 ? "" : `${at}u * rows + `}row) * n + ${i}]`;
  };
  const emitSteps = (steps: readonly Step[]): void => {
    for (const step of steps) {
      if (step.kind === "pass") emitPass(frame, step);
      else if (step.kind === "scalar") emitScalar(step.node);
      else if (step.kind === "root") emitRoot(frame, step, emitSteps);
      else if (step.kind === "kth") emitKth(frame, step);
      else if (step.kind === "series") emitSeries(frame, step, emitSteps, temporary);
      else if (step.kind === "cumsum") emitCumsum(frame, step, temporary());
      else emitWalk(frame, step, temporary);
    }
  };
  const emitStarts = (): void => {
    for (const start of starts) shader.line(start);
  };
  const emitRow = (): void => {
    emitStarts();
    emitSteps(plan.steps);
    for (const { result, node } of plan.scalars) {
      const text = `out${result}[row] = ${shader.stored(node, kernel.outputs[result]!)};`;
      shader.line(unit === "share" ? `if (me == 0u) { ${text} }` : text);
    }
  };

  let work = width;
  if (unit === "share") {
    work = 1;
    shader.block("for (var row = group.x; row < rows; row += groups.x)", emitRow);
  } else if (unit === "row")
    shader.block(
      `for (var row = group.x * ${width}u + me; row < rows; row += groups.x * ${width}u)`,
      emitRow,
    );
  else {
    const single = unit === "entry of one row";
    shader.line(
      "let last = rows * n - 1u;",
      `let step = groups.x * groups.y * ${width}u;`,
      `let first = (group.y * groups.x + group.x) * ${width}u + me;`,
    );
    if (single) {
      shader.line("let row = 0u;");
      emitStarts();
      for (const step of plan.steps) if (step.kind === "scalar") emitScalar(step.node);
    }
    const passes = plan.steps.filter((s) => s.kind === "pass");
    const emitEntry = (k: number): void =>
      shader.block("", () => {
        // Behind the last entry is the last entry again: no branch.
        shader.line(`let ${single ? "i" : "id"} = min(first + ${k}u * step, last);`);
        if (!single) {
          shader.line("let row = id / n;", "let i = id - row * n;");
          emitStarts();
        }
        emitSteps(single ? passes : plan.steps);
      });
    const before = shader.lines.length;
    emitEntry(0);
    if (shader.lines.length - before <= cheapLines) {
      work *= copies;
      for (let k = 1; k < copies; k++) emitEntry(k);
    }
  }

  const main = `
@compute @workgroup_size(${width})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) me: u32,
) {
  let rows = p[0].x;
  let n = p[0].y;
${[...shader.locals.map((l) => `  ${l}`), ...shader.lines].join("\n")}
}
`;
  // What is called comes with it.
  const globals = [...shader.globals.values()].join("");
  const own = calledIn(globals + main)
    .map((name) => helpers[name] ?? "")
    .join("");
  const functions = calledIn(own + globals + main).filter((name) => !(name in helpers));
  const text = `// ${program.name}: an invocation for each ${unit}${held > 0 ? `, which has ${held} entries at hand` : ""}
@group(1) @binding(0) var<uniform> p: array<vec4<u32>, 16>;
${bindings.join("")}
${library(functions.map((name) => name.slice(2)))}${own}
${globals}${main}`;
  return { text, temporaries, work, reads: frame.reads, repeated: frame.repeated };
}

const calledIn = (text: string): string[] => [...new Set(text.match(/\bs_\w+(?=\()/g))];
