// Products of matrices, vectors and batches of matrices. The kernel is the backend's; here operands are laid out for it
// without copies wherever memory allows, and the rule is stated. Scaling and elementwise products are `mul`.

import type { MatrixOperand } from "../core/backends/backend.ts";
import { matmul as matmulKernel } from "../core/backends/kernels.ts";
import type { FloatDType } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { checkFloat, describe, type Op, sameBackend } from "../core/op.ts";
import {
  type Checked,
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
function operand(t: Tensor, batch: readonly number[]): MatrixOperand {
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

/** One matrix, however many axes of size 1 stand before it. */
const isOne = (t: Tensor): boolean => sizeOf(t.shape.slice(0, -2)) === 1;

/** All rows of a batch below one another. */
const stacked = (t: Tensor): Tensor =>
  t.rank === 2 ? t : reshape(t, [sizeOf(t.shape.slice(0, -1)), t.shape.at(-1)!]);

/** A matrix whose columns lie in one piece and whose rows do not: the transpose of one in row-major order. */
const isTurned = (t: Tensor): boolean => t.rank === 2 && !isContiguous(t) && t.strides[0] === 1;

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
    if (joins) {
      const rows: MatrixOperand = {
        storage: a.storage,
        offset: a.offset,
        stride: k,
        transposed: false,
        batchOffsets: [0],
      };
      out.backend.run(matmulKernel, dtype, rows, operand(b, []), out.storage, out.size / n, k, n);
    } else out.backend.run(matmulKernel, dtype, operand(a, batch), operand(b, batch), out.storage, m, k, n);
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
      if (!isOne(b) || !sameShape(a.shape.slice(0, -1), g!.shape.slice(0, -1)))
        return sumTo(product(transpose(a), g!), b.shape);
      // (aᵀg)ᵀ = gᵀa: the matrix that b is the transpose of gets its cotangent in row-major order.
      if (isTurned(b)) return transpose(product(transpose(stacked(g!)), stacked(a)));
      const sum = product(transpose(stacked(a)), stacked(g!));
      return b.rank === 2 ? sum : reshape(sum, b.shape);
    };
    return [wantA ? toA() : undefined, wantB ? toB() : undefined];
  },
};

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
    const dtype = checkFloat("matmul", a);
    if (b.dtype !== dtype) {
      const finding = `element types ${dtype} and ${b.dtype} differ`;
      throw new DTypeError("matmul", finding, `convert one: cast(x, "${dtype}")`);
    }
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
