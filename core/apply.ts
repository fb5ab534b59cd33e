// Applies a formula to tensors: runs its kernel, records it, and answers the tape with the derived backward kernel.
// Sizes are already laid out as rows here (see `op.ts`); nothing in this file knows what a formula means.

import type { Backend, RowOperand, Storage } from "./backends/backend.ts";
import type { DType, FloatDType } from "./dtype.ts";
import { Formula, type Gradient, type Runnable } from "./formula.ts";
import { add, rowInput } from "./row/expr.ts";
import { sameShape } from "./shape.ts";
import { record, type TapeRecord, trackedBits } from "./tape.ts";
import { contiguous, isContiguous, newTensor, type Tensor, zerosBeside } from "./tensor.ts";
import { reshape, sumTo } from "./views.ts";

/** Tensors and numbers laid out for a formula: `rows` rows of `n` entries. */
export interface Layout {
  readonly rows: number;
  readonly n: number;
  /** Elements from one row of each operand to the next; 0 where all rows share one. Numbers have no use for it. */
  readonly strides: readonly number[];
}

/** What a record keeps to go back. */
interface Application {
  readonly formula: Formula;
  readonly operands: readonly (Tensor | number)[];
  readonly layout: Layout;
  readonly float: FloatDType;
  readonly gradient: Gradient;
  readonly saved: readonly Tensor[];
}

/** Runs a kernel; result k has shape `shapes[k]`, or [rows] where none is given (saved scalars). */
function run(
  runnable: Runnable,
  operands: readonly (Tensor | number)[],
  strides: readonly number[],
  { rows, n }: Layout,
  backend: Backend,
  float: FloatDType,
  shapes: readonly (readonly number[])[],
): Tensor[] {
  const kernel = runnable.kernel(float);
  const { outputs } = kernel;
  const inputs = new Array<RowOperand | number>(operands.length);
  for (let i = 0; i < operands.length; i++) {
    const t = operands[i]!;
    inputs[i] = typeof t === "number" ? t : { storage: t.storage, offset: t.offset, rowStride: strides[i]! };
  }
  const made = new Array<Tensor>(outputs.length);
  const storages = new Array<Storage>(outputs.length);
  for (let k = 0; k < outputs.length; k++) {
    const t = newTensor<DType>(backend, outputs[k]!, shapes[k] ?? [rows], kernel.program.name);
    if (k >= shapes.length) t.hidden = true; // saved for the way back
    made[k] = t;
    storages[k] = t.storage;
  }
  if (rows > 0 && n > 0) backend.rows(kernel, inputs, storages, rows, n);
  // The cotangent of what every entry shares, of which there are none, is 0.
  else for (const t of made) if (t.size > 0) backend.fill(t.storage, t.dtype, t.size, 0);
  return made;
}

/**
 * The results of a formula, of the given shapes. Operands are numbers, or tensors in row-major order whose floats are all of
 * the type `float`.
 */
export function apply(
  formula: Formula,
  operands: readonly (Tensor | number)[],
  layout: Layout,
  backend: Backend,
  float: FloatDType,
  shapes: readonly (readonly number[])[],
): Tensor[] {
  const tracked = trackedBits(operands);
  const bits = formula.differentiable ? tracked & formula.floatInputs : 0;
  if (bits === 0) {
    const made = run(formula.runnable, operands, layout.strides, layout, backend, float, shapes);
    // Integers end the path: messages say where.
    if (tracked !== 0 && !formula.differentiable)
      record({ name: formula.name, vjp: formulaVjp }, tensorsAmong(operands), made);
    return made;
  }
  const gradient = formula.gradient(bits);
  const made = run(gradient.forward, operands, layout.strides, layout, backend, float, shapes);
  const saved = made.length > shapes.length ? made.splice(shapes.length) : NONE;
  const application: Application = { formula, operands, layout, float, gradient, saved };
  record({ name: formula.name, vjp: formulaVjp }, tensorsAmong(operands), made, application);
  return made;
}

function tensorsAmong(operands: readonly (Tensor | number)[]): Tensor[] {
  const tensors: Tensor[] = [];
  for (let i = 0; i < operands.length; i++) {
    const t = operands[i]!;
    if (typeof t !== "number") tensors.push(t);
  }
  return tensors;
}

const NONE: readonly Tensor[] = /* @__PURE__ */ Object.freeze([]);

/**
 * The rule of every formula: its gradient, from saved values where that is possible, recorded where an outer tape looks on.
 * Loops without closures: this runs for every op of every step.
 */
function formulaVjp(found: readonly (Tensor | undefined)[], record: TapeRecord): (Tensor | undefined)[] {
  const application = record.saved as Application;
  const { formula, operands, layout, gradient } = application;
  const { inputs, kinds } = formula;
  const { parts } = gradient;
  const { rows, n } = layout;

  const cotangents = new Array<Tensor | number>(found.length);
  for (let k = 0; k < found.length; k++) {
    const g = found[k];
    // A result that the loss does not depend on has cotangent zero.
    if (g === undefined) cotangents[k] = kinds[k] === "scalar" ? 0 : zerosBeside(record.outputs[k]!);
    // A number that never left the host is given as one.
    else if (g.held === null && g.host !== null && g.size === 1 && kinds[k] === "scalar")
      cotangents[k] = g.host[0]!;
    else cotangents[k] = isContiguous(g) ? g : contiguous(g);
  }

  // An operand with a value of its own for every row receives its cotangent in its own shape; a shared one, to be summed.
  const shapes: (readonly number[])[] = [];
  for (let i = 0; i < operands.length; i++) {
    const part = parts[i];
    if (part?.how !== "computed" || shapes[part.at] !== undefined) continue;
    const t = operands[i] as Tensor;
    const row = inputs[i]!.kind === "row";
    shapes[part.at] = t.size === (row ? rows * n : rows) ? t.shape : row ? [rows, n] : [rows];
  }
  const computed = shapes.length > 0 ? backward(application, cotangents, record.outputs, shapes) : NONE;

  const passed: (Tensor | undefined)[] = [];
  for (let i = 0; i < operands.length; i++) {
    const t = operands[i]!;
    if (typeof t === "number") continue;
    const part = parts[i];
    if (part === undefined) passed.push(undefined);
    else if (part.how === "zero") passed.push(zerosBeside(t));
    else {
      const g = part.how === "computed" ? computed[part.at]! : (cotangents[part.at] as Tensor);
      passed.push(sameShape(g.shape, t.shape) ? g : fitted(g, t, rows, inputs[i]!.kind === "row" ? n : 1));
    }
  }
  return passed;
}

/** What the backward program computes, from saved values; or from inputs and cotangents alone if a tape records it. */
function backward(
  { formula, operands, layout, float, gradient, saved }: Application,
  cotangents: readonly (Tensor | number)[],
  outputs: readonly Tensor[],
  shapes: readonly (readonly number[])[],
): readonly Tensor[] {
  const { n } = layout;
  const { backend } = outputs[0]!;
  const { kinds } = formula;
  if (trackedBits(operands) !== 0 || trackedBits(cotangents) !== 0) {
    const strides = [
      ...layout.strides.slice(0, operands.length),
      ...kinds.map((kind) => (kind === "row" ? n : 1)),
    ];
    return apply(gradient.pure, [...operands, ...cotangents], { ...layout, strides }, backend, float, shapes);
  }
  const { sources } = gradient;
  const given = new Array<Tensor | number>(sources.length);
  const strides = new Array<number>(sources.length);
  for (let i = 0; i < sources.length; i++) {
    const { from, at } = sources[i]!;
    if (from === "input") {
      given[i] = operands[at]!;
      strides[i] = layout.strides[at]!;
    } else if (from === "saved") {
      given[i] = saved[at]!;
      strides[i] = 1;
    } else {
      given[i] = (from === "cotangent" ? cotangents : outputs)[at]!;
      strides[i] = kinds[at] === "row" ? n : 1;
    }
  }
  return run(gradient.backward, given, strides, layout, backend, float, shapes);
}

/** A cotangent in the shape of the operand: the sum over rows where all rows read the same one. */
function fitted(g: Tensor, t: Tensor, rows: number, width: number): Tensor {
  if (g.size === t.size) return reshape(g, t.shape);
  return reshape(sumTo(reshape(g, [rows, width]), [1, width]), t.shape);
}

let addition: Formula | undefined;

/** The sum of two tensors of one shape: what the tape accumulates cotangents with. */
export function addTensors(a: Tensor, b: Tensor): Tensor {
  if (addition === undefined) {
    const [x, y] = [rowInput("x"), rowInput("y")];
    addition = new Formula("add", [x, y], [add(x, y)]);
  }
  const operands = [isContiguous(a) ? a : contiguous(a), isContiguous(b) ? b : contiguous(b)];
  const layout = { rows: 1, n: a.size, strides: [0, 0] };
  return apply(addition, operands, layout, a.backend, a.dtype as FloatDType, [a.shape])[0]!;
}
