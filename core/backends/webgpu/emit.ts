// Writes a kernel as a WGSL shader: bindings and parameters, the loop over rows, and the steps of the schedule in their order.
// Walks, roots and scans stand in files of their own. Knows no queue; which shader runs is chosen in `rows.ts`.

import type { Expr } from "../../row/expr.ts";
import type { Kernel } from "../../row/program.ts";
import { type Schedule, type Step, schedule } from "../../row/schedule.ts";
import { emitCumsum, emitKth, emitRoot } from "./emit-steps.ts";
import { type Grid, Shader } from "./emit-values.ts";
import { alike, emitPass, type Frame, hold } from "./emit-walks.ts";
import { library } from "./math.ts";

/** A kernel's shader. */
export interface RowShader {
  readonly text: string;
  /** Rows of memory, beside inputs and outputs, that hold running sums. */
  readonly temporaries: number;
}

/** Words of the parameters in which a kernel's own begin. */
export const firstWord = 4;

/** Memory that a workgroup has on every device, in bytes. */
const workgroupBytes = 16_384;

const word = (k: number): string => `p[${k >> 2}].${"xyzw"[k & 3]}`;

const elements = { f32: "f32", f64: "f32", i32: "i32", bool: "u32" } as const;

/**
 * Writes the shader of a kernel. `isNumber` tells for each input whether a number is given: those stand among the parameters,
 * one word each; a tensor has two there, its offset and how far the next row lies, and a binding.
 */
export function emitRows(
  kernel: Kernel,
  plan: Schedule,
  grid: Grid,
  isNumber: (input: number) => boolean,
): RowShader {
  const first = write(kernel, plan, grid, isNumber, []);
  if (first.bytes > workgroupBytes)
    return emitRows(kernel, plan, { ...grid, width: grid.width / 4, held: grid.held * 4 }, isNumber);
  // What one walk after another reads is kept at hand: only a text that was written once can tell.
  const again = grid.held > 0 ? [...first.loads].filter(([, times]) => times > 1).map(([e]) => e) : [];
  return again.length > 0 ? write(kernel, plan, grid, isNumber, again) : first;
}

/** The shader of a kernel whose inputs are all tensors, to be read. */
export const printWgsl = (kernel: Kernel, grid: Grid): string =>
  emitRows(kernel, schedule(kernel.program), grid, () => false).text;

interface Written extends RowShader {
  readonly loads: ReadonlyMap<Expr, number>;
  /** Of workgroup memory. */
  readonly bytes: number;
}

function write(
  kernel: Kernel,
  plan: Schedule,
  grid: Grid,
  isNumber: (input: number) => boolean,
  again: readonly Expr[],
): Written {
  const { program } = kernel;
  const { unit, width } = grid;
  const shader = new Shader(kernel, grid);
  const frame: Frame = { shader, held: new Map(), memory: new Map(), loads: new Map(), iterations: 0 };
  const bindings: string[] = [];
  const bind = (name: string, type: string, access: string): void => {
    bindings.push(`@group(0) @binding(${bindings.length}) var<storage, ${access}> ${name}: array<${type}>;`);
  };

  // Where inputs stand, and the texts that load them
  const starts: string[] = [];
  const taken = new Set<string>();
  const scalars = new Map<Expr, string>();
  let next = firstWord;
  program.inputs.forEach((e, k) => {
    let name = shader.inputName(e);
    if (taken.has(name)) name += k;
    taken.add(name);
    const type = elements[kernel.inputs[k]!];
    if (isNumber(k)) {
      const bits = word(next++);
      scalars.set(e, e.sort === "bool" ? `(${bits} != 0u)` : `bitcast<${type}>(${bits})`);
      return;
    }
    bind(`in_${name}`, type, "read");
    starts.push(`let at_${name} = ${word(next)} + row * ${word(next + 1)};`);
    next += 2;
    const load = (at: string): string => {
      const element = `in_${name}[at_${name}${at}]`;
      return e.sort === "bool" ? `(${element} != 0u)` : element;
    };
    if (e.kind === "row") frame.memory.set(e, (i) => load(` + ${i}`));
    else scalars.set(e, load(""));
  });
  kernel.outputs.forEach((dtype, k) => {
    bind(`out_${k}`, elements[dtype], "read_write");
  });
  let temporaries = 0;

  const emitScalar = (e: Expr): void => {
    if (e.word === "n") return;
    if (e.word !== "pick") {
      shader.define(e, scalars.get(e) ?? shader.word(e));
      return;
    }
    const [row, label] = e.args as [Expr, Expr];
    const at = shader.let("at", `u32(clamp(${shader.value(label, "i32")}, 0, i32(n) - 1))`);
    const load = frame.memory.get(row)!(at);
    shader.define(e, row.word === "cumsum" ? alike(shader, load) : load);
  };
  const emitSteps = (steps: readonly Step[]): void => {
    for (const step of steps) {
      switch (step.kind) {
        case "pass":
          emitPass(frame, step);
          break;
        case "scalar":
          emitScalar(step.node);
          break;
        case "root":
          emitRoot(frame, step, emitSteps);
          break;
        case "kth":
          emitKth(frame, step);
          break;
        default: {
          const name = `sums_${temporaries++}`;
          bind(name, "f32", "read_write");
          emitCumsum(frame, step, (i) => `${name}[row * n + ${i}]`);
        }
      }
    }
  };
  const emitRow = (): void => {
    for (const start of starts) shader.line(start);
    hold(frame, again);
    emitSteps(plan.steps);
    if (plan.scalars.length === 0) return;
    const store = (): void => {
      for (const { result, node } of plan.scalars) {
        const dtype = elements[kernel.outputs[result]!];
        const value = shader.value(node, dtype === "u32" ? "bool" : dtype);
        shader.line(`out_${result}[row] = ${dtype === "u32" ? `u32(${value})` : value};`);
      }
    };
    if (unit === "share") shader.block("if (me == 0u)", store);
    else store();
  };

  if (unit === "entry")
    shader.block(`for (var id = thread.x; id < rows * n; id += groups.x * ${width}u)`, () => {
      shader.line("var row = 0u;");
      shader.line("if (rows > 1u) { row = id / n; }");
      shader.line("let i = id - row * n;");
      emitRow();
    });
  else if (unit === "row")
    shader.block(`for (var row = thread.x; row < rows; row += groups.x * ${width}u)`, emitRow);
  else shader.block("for (var row = group.x; row < rows; row += groups.x)", emitRow);

  const globals = [...shader.globals.values()].join("");
  const text = `// ${program.name}: ${about(grid)}
@group(1) @binding(0) var<uniform> p: array<vec4<u32>, 16>;
${bindings.join("\n")}

${library(shader.functions)}${globals}
@compute @workgroup_size(${width})
fn main(
  @builtin(global_invocation_id) thread: vec3<u32>,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) me: u32,
) {
  let rows = p[0].x;
  let n = p[0].y;
${shader.locals.map((l) => `  ${l}\n`).join("")}${shader.text}
}
`;
  return { text, temporaries, loads: frame.loads, bytes: shader.shared };
}

function about({ unit, width, held }: Grid): string {
  if (unit === "entry") return "an invocation for each entry";
  if (unit === "row") return "an invocation for each row";
  return `${width} invocations for each row${held > 0 ? `, with ${held} entries at hand in each` : ""}`;
}

/** Whether any step looks at several entries of a row. */
export function walks(steps: readonly Step[]): boolean {
  return steps.some((s) => (s.kind === "pass" ? s.reductions.length > 0 : s.kind !== "scalar"));
}

/** Whether any result or fold is along the row. */
export function hasPasses({ steps }: Schedule): boolean {
  return steps.some((s) => s.kind !== "scalar");
}
