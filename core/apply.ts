// Applies a formula to tensors: runs its kernel, records it, and answers the tape with the derived backward kernel.
// Sizes are already laid out as rows here (see `op.ts`); nothing in this file knows what a formula means.

import type { Backend, RowOperand, Storage } from "./backends/backend.ts";
import type { DType, FloatDType } from "./dtype.ts";
import type { Formula, Gradient, Runnable } from "./formula.ts";
import type { Kind } from "./row/expr.ts";
import { sameShape } from "./shape.ts";
import { record, type TapeRecord, trackedBits } from "./tape.ts";
import { contiguous, isContiguous, newTensor, type Tensor } from "./tensor.ts";
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
    made[k] = t;
    storages[k] = t.storage;
  }
  if (rows > 0 && n > 0) backend.rows(kernel, inputs, storages, rows, n);
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
  const bits = formula.differentiable ? trackedBits(operands) & formula.floatInputs : 0;
  if (bits === 0) return run(formula.runnable, operands, layout.strides, layout, backend, float, shapes);
  const gradient = formula.gradient(bits);
  const made = run(gradient.forward, operands, layout.strides, layout, backend, float, shapes);
  const saved = made.splice(shapes.length);
  const application: Application = { formula, operands, layout, float, gradient, saved };
  const tensors = operands.filter((t) => typeof t !== "number");
  record({ name: formula.name, vjp: formulaVjp }, tensors, made, application);
  return made;
}

/** The rule of every formula: its gradient, from saved values where that is possible, recorded where an outer tape looks on. */
export function formulaVjp(
  found: readonly (Tensor | undefined)[],
  record: TapeRecord,
): (Tensor | undefined)[] {
  const { formula, operands, layout, float, gradient, saved } = record.saved as Application;
  const { rows, n } = layout;
  const { backend } = record.outputs[0]!;
  const spread = (kind: Kind): number => (kind === "row" ? n : 1);

  const cotangents = found.map((g, k) => {
    if (g) return isContiguous(g) ? g : contiguous(g);
    // A result that the loss does not depend on.
    return formula.kinds[k] === "scalar" ? 0 : zeros(record.outputs[k]!);
  });

  // What each wanted operand receives as it comes: in its own shape where it has a value per row, else to be summed.
  const wanted = operands.flatMap((t, i) =>
    gradient.bits & (1 << i) ? [{ t: t as Tensor, kind: formula.inputs[i]!.kind }] : [],
  );
  const fits = wanted.map(({ t, kind }) => t.size === rows * (kind === "row" ? n : 1));
  const shapes: (readonly number[])[] = [];
  gradient.parts.forEach((part, i) => {
    if (part.how === "computed")
      shapes.push(fits[i] ? wanted[i]!.t.shape : wanted[i]!.kind === "row" ? [rows, n] : [rows]);
  });

  let computed: Tensor[] = [];
  if (shapes.length > 0) {
    if (trackedBits(operands) !== 0 || trackedBits(cotangents) !== 0) {
      const strides = [...layout.strides, ...formula.kinds.map(spread)];
      computed = apply(
        gradient.pure,
        [...operands, ...cotangents],
        { rows, n, strides },
        backend,
        float,
        shapes,
      );
    } else {
      const given = new Array<Tensor | number>(gradient.sources.length);
      const strides = new Array<number>(gradient.sources.length);
      gradient.sources.forEach(({ from, at }, i) => {
        given[i] = (
          from === "input"
            ? operands
            : from === "cotangent"
              ? cotangents
              : from === "result"
                ? record.outputs
                : saved
        )[at]!;
        strides[i] =
          from === "input" ? layout.strides[at]! : from === "saved" ? 1 : spread(formula.kinds[at]!);
      });
      computed = run(gradient.backward, given, strides, layout, backend, float, shapes);
    }
  }

  const received = gradient.parts.map((part, i) => {
    const { t, kind } = wanted[i]!;
    if (part.how === "zero") return zeros(t);
    const g = part.how === "computed" ? computed[part.at]! : (cotangents[part.at] as Tensor);
    if (fits[i]) return sameShape(g.shape, t.shape) ? g : reshape(g, t.shape);
    // Every row read the same operand: it receives the sum over rows.
    const perRow = reshape(g, kind === "row" ? [rows, n] : [rows, 1]);
    return reshape(sumTo(perRow, kind === "row" ? [1, n] : [1, 1]), t.shape);
  });
  let next = 0;
  return operands.flatMap((t, i) =>
    typeof t === "number" ? [] : [gradient.bits & (1 << i) ? received[next++] : undefined],
  );
}

function zeros(like: Tensor): Tensor {
  const t = newTensor(like.backend, like.dtype, like.shape, "zeros");
  like.backend.fill(t.storage, t.dtype, t.size, 0);
  return t;
}
