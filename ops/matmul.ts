// Products of matrices, vectors and batches of matrices, and the linear map x·Wᵀ + b. The kernel is the backend's; here operands are laid out for it
// without copies wherever memory allows, and the rule is stated. Scaling and elementwise products are `mul`.

import type { MatrixOperand, RowOperand } from "../core/backends/backend.ts";
import { matmul as matmulKernel } from "../core/backends/kernels.ts";
import type { FloatDType } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { checkFloat, describe, type Op, rowMajor, sameBackend } from "../core/op.ts";
import {
  type Checked,
  type Linear,
  type LinearBias,
  linearShape,
  type Matmul,
  matmulShape,
  type Result,
  type Shape,
  sameShape,
  sizeOf,
} from "../core/shape.ts";
import { type Rule, record } from "../core/tape.ts";
import { checkTensor, contiguous, isContiguous, newTensor, type Tensor } from "../core/tensor.ts";
import { reshape, sumTo, transpose } from "../core/views.ts";

/** Elements from the start of a batch to each of its matrices; axes that are missing or of size 1 repeat. */
function batchOffsets(t: Tensor, batch: readonly number[]): number[] {
  const { shape, strides } = t;
  let offsets = [0];
  batch.forEach((size, i) => {
    const axis = i - batch.length + t.rank - 2;
    const step = axis < 0 || shape[axis] === 1 ? 0 : strides[axis]!;
    offsets = offsets.flatMap((at) => Array.from({ length: size }, (_, k) => at + k * step));
  });
  return offsets;
}

/** Where the one matrix of a batch of one lies. */
const ONE: readonly number[] = /* @__PURE__ */ Object.freeze([0]);

/** A tensor as the kernel reads it. A copy is made only where neither rows nor columns are contiguous. */
export function operand(t: Tensor, batch: readonly number[]): MatrixOperand {
  const { shape, rank } = t;
  const [rows, columns] = [shape[rank - 2]!, shape[rank - 1]!];
  if (rank === 2 && batch.length === 0 && isContiguous(t)) {
    return { storage: t.storage, offset: t.offset, stride: columns, transposed: false, batchOffsets: ONE };
  }
  const { strides } = t;
  const [down, across] = [strides[rank - 2]!, strides[rank - 1]!];
  const layout = (transposed: boolean, stride: number): MatrixOperand => ({
    storage: t.storage,
    offset: t.offset,
    stride,
    transposed,
    batchOffsets: batchOffsets(t, batch),
  });
  // The stride along an axis of one entry is never used, and may be anything.
  if ((across === 1 || columns === 1) && (down >= columns || rows === 1))
    return layout(false, rows === 1 ? columns : down);
  if ((down === 1 || rows === 1) && (across >= rows || columns === 1))
    return layout(true, columns === 1 ? rows : across);
  return operand(contiguous(t), batch);
}

/** All rows of a batch below one another, as the kernel reads them. */
function rowsOperand(t: Tensor): MatrixOperand {
  if (t.rank === 2) return operand(t, []);
  const { storage, offset } = rowMajor(t);
  return { storage, offset, stride: t.shape.at(-1)!, transposed: false, batchOffsets: ONE };
}

/** One matrix, however many axes of size 1 stand before it. */
const isOne = (t: Tensor): boolean => sizeOf(t.shape.slice(0, -2)) === 1;

/** All rows of a batch below one another, for the tape. */
const stacked = (t: Tensor): Tensor =>
  t.rank === 2 ? t : reshape(t, [sizeOf(t.shape.slice(0, -1)), t.shape.at(-1)!]);

/** Whether columns lie in one piece and rows do not, as in the transpose of a matrix. */
const isTurned = (t: Tensor): boolean => !isContiguous(t) && t.strides[t.rank - 2] === 1;

/** The product of tensors with at least two axes each. */
function product(a: Tensor, b: Tensor): Tensor {
  const shape = matmulShape("matmul", a.shape, b.shape);
  const out = newTensor(a.backend, a.dtype, shape, "matmul");
  const [m, n] = [shape.at(-2)!, shape.at(-1)!];
  const k = a.shape.at(-1)!;
  const dtype = a.dtype as FloatDType;
  if (out.size > 0 && k === 0) out.backend.fill(out.storage, dtype, out.size, 0);
  else if (out.size > 0) {
    const batch = shape.slice(0, -2);
    const joins = batch.length > 0 && isOne(b) && a.size === (out.size / n) * k && isContiguous(a);
    // A batch of matrices times one matrix is one product with all the rows.
    if (joins)
      out.backend.run(matmulKernel, dtype, rowsOperand(a), operand(b, []), out.storage, out.size / n, k, n);
    else out.backend.run(matmulKernel, dtype, operand(a, batch), operand(b, batch), out.storage, m, k, n);
  }
  record(matmulRule, [a, b], [out]);
  return out;
}

/** d(ab) = da·b + a·db: the cotangents are g·bᵀ and aᵀ·g, summed over the batch axes that were stretched. */
const matmulRule: Rule = {
  name: "matmul",
  vjp: ([g], { inputs }, [wantA, wantB]) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const toA = (): Tensor => sumTo(product(g!, transpose(b)), a.shape);
    const toB = (): Tensor => {
      const joins = isOne(b) && sameShape(a.shape.slice(0, -1), g!.shape.slice(0, -1));
      const [x, y] = joins ? [stacked(a), stacked(g!)] : [a, g!];
      // (aᵀg)ᵀ = gᵀa: the matrix that b is the transpose of gets its cotangent in row-major order.
      const found = isTurned(b) ? transpose(product(transpose(y), x)) : product(transpose(x), y);
      return joins && b.rank > 2 ? reshape(found, b.shape) : sumTo(found, b.shape);
    };
    return [wantA ? toA() : undefined, wantB ? toB() : undefined];
  },
};

/** The float type of all operands; any other, and two that differ, are refused. */
function sameFloat(place: string, first: Tensor, others: readonly Tensor[]): void {
  const dtype = checkFloat(place, first);
  for (const t of others) {
    if (t.dtype === dtype) continue;
    const finding = `element types ${dtype} and ${t.dtype} differ`;
    throw new DTypeError(place, finding, `convert one: cast(x, "${dtype}")`);
  }
}

/** The type of `matmul`. */
export interface MatrixProduct extends Op {
  <A extends Shape, B extends Shape, D extends FloatDType>(
    a: Tensor<A, D>,
    b: Checked<Tensor<B, D>, Matmul<A, B>>,
  ): Tensor<Result<Matmul<A, B>>, D>;
}

/**
 * The matrix product, over the last two axes: [..., m, k] · [..., k, n] → [..., m, n]. Axes before them are a batch and
 * broadcast. A vector is a row on the left and a column on the right, and its axis goes: [k] · [k] is the dot product.
 * Float tensors of one element type. Throws ShapeError when inner sizes differ. Transposed operands are read as they lie:
 * `matmul(a, b.transpose())` copies nothing.
 *
 * @example
 * matmul(tensor([[1, 2], [3, 4]]), tensor([1, 1])).toArray(); // [3, 7]
 */
export const matmul: MatrixProduct = /* @__PURE__ */ describe(
  ((a: Tensor, b: Tensor): Tensor => {
    checkTensor("matmul", a);
    checkTensor("matmul", b);
    sameBackend("matmul", [a, b]);
    sameFloat("matmul", a, [b]);
    if (a.rank >= 2 && b.rank >= 2) return product(a, b);
    const shape = matmulShape("matmul", a.shape, b.shape);
    const left = a.rank === 1 ? reshape(a, [1, a.size]) : a;
    const right = b.rank === 1 ? reshape(b, [b.size, 1]) : b;
    return reshape(product(left, right), shape);
  }) as MatrixProduct,
  {
    name: "matmul",
    kind: "structure",
    doc: "The matrix product over the last two axes; axes before them are a batch and broadcast.",
    laws: [],
    examples: [
      {
        args: [
          [
            [1, 2],
            [3, 4],
          ],
          [[5], [6]],
        ],
        gives: [[17], [39]],
      },
      {
        args: [
          [1, 2, 3],
          [4, 5, 6],
        ],
        gives: 32,
      },
    ],
  },
);

/** The cotangents of x·Wᵀ + b, all in row-major order: g·W, gᵀ·x and the sum of the rows of g. */
const linearRule: Rule = {
  name: "linear",
  vjp: ([g], { inputs }, [wantX, wantWeight, wantBias]) => {
    const [x, weight, bias] = inputs as [Tensor, Tensor, Tensor?];
    const rows = stacked(g!);
    return [
      wantX ? reshape(product(rows, weight), x.shape) : undefined,
      wantWeight ? product(transpose(rows), stacked(x)) : undefined,
      wantBias ? sumTo(g!, bias!.shape) : undefined,
    ];
  },
};

/** The type of `linear`. */
export interface LinearMap extends Op {
  <X extends Shape, W extends Shape, D extends FloatDType, B extends Shape = Shape>(
    x: Tensor<X, D>,
    weight: Checked<Tensor<W, D>, Linear<X, W>>,
    bias?: Checked<Tensor<B, D>, LinearBias<W, B>>,
  ): Tensor<Result<Linear<X, W>>, D>;
}

/**
 * x·Wᵀ + b for rows of `In` features, in one pass over the result: [..., In], [Out, In] and, if there is a bias, [Out] →
 * [..., Out]. Float tensors of one element type. Throws ShapeError where sizes do not fit.
 *
 * @example
 * linear(tensor([1, 2]), tensor([[3, 4], [5, 6]]), tensor([10, 20])).toArray(); // [21, 37]
 */
export const linear: LinearMap = /* @__PURE__ */ describe(
  ((x: Tensor, weight: Tensor, bias?: Tensor): Tensor => {
    const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
    for (const t of inputs) checkTensor("linear", t);
    const backend = sameBackend("linear", inputs);
    sameFloat("linear", x, inputs.slice(1));
    const shape = linearShape("linear", x.shape, weight.shape, bias?.shape);
    const dtype = x.dtype as FloatDType;
    const out = newTensor(backend, dtype, shape, "linear");
    const [n, k] = weight.shape as [number, number];
    if (out.size > 0 && k > 0) {
      const rows = rowsOperand(x);
      const matrix = operand(weight, []);
      const columns = { ...matrix, transposed: !matrix.transposed };
      const row = bias && rowMajor(bias);
      const added: RowOperand | undefined = row && { storage: row.storage, offset: row.offset, rowStride: 0 };
      backend.run(matmulKernel, dtype, rows, columns, out.storage, out.size / n, k, n, added);
    } else if (out.size > 0) {
      // No features: the bias in every row.
      if (bias) {
        const { storage, offset } = bias;
        const strides = [...shape.slice(1).map(() => 0), bias.strides[0]!];
        backend.copy({ storage, dtype, shape, strides, offset, size: out.size }, out.storage, dtype);
      } else backend.fill(out.storage, dtype, out.size, 0);
    }
    record(linearRule, inputs, [out]);
    return out;
  }) as LinearMap,
  {
    name: "linear",
    kind: "structure",
    doc: "Rows of features times the transpose of a matrix of weights, plus a row of biases.",
    laws: [],
    examples: [
      {
        args: [
          [
            [1, 2],
            [0, -1],
          ],
          [
            [3, 4],
            [5, 6],
            [7, 8],
          ],
          [10, 20, 30],
        ],
        gives: [
          [21, 37, 53],
          [6, 14, 22],
        ],
      },
      { args: [[1, 2], [[3, 4]]], gives: [11] },
    ],
  },
);
