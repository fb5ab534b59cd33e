// A gradient of which only some rows are not zero, as those rows: what taking rows from a table gives back. Made by `take` and by
// custom rules, consumed by optimizers; whoever wants a tensor asks for `toDense`. Is no tensor: no op takes it.

import { gather, putRows, scatterAdd } from "./backends/kernels.ts";
import type { DType, FloatDType } from "./dtype.ts";
import { DomainError, DTypeError, ShapeError, showShape } from "./errors.ts";
import { sameBackend } from "./op.ts";
import type { Parameter } from "./parameter.ts";
import { RESCUED } from "./scope.ts";
import { checkShape, type Shape, sameShape, sizeOf } from "./shape.ts";
import { isRecording } from "./tape.ts";
import {
  checkTensor,
  contiguous,
  copyOf,
  fromHost,
  hostCopy,
  isReadable,
  newTensor,
  type Tensor,
  viewOf,
} from "./tensor.ts";
import { reshape } from "./views.ts";

/**
 * The gradient of a table of which a computation has read a few rows: `values[i]` is added at row `rows[i]`, and all other rows
 * are zero. A row may be named several times.
 *
 * `shape` is that of the table, [V, …]; `rows` is i32 [k], `values` [k, …] beside it. Throws ShapeError and DTypeError where they
 * do not fit, DomainError for a row outside the table.
 * @example
 * import { RowSparse, tensor } from "simplexgrad";
 *
 * const g = new RowSparse([4, 2], tensor(Int32Array.of(3, 0, 3)), tensor([[1, 2], [3, 4], [5, 6]]));
 * g.coalesced().rows.toArray(); // [0, 3]
 * g.toDense().toArray();        // [[3, 4], [0, 0], [0, 0], [6, 8]]
 */
export class RowSparse<D extends FloatDType = FloatDType> {
  readonly shape: readonly number[];
  readonly rows: Tensor<readonly [number], "i32">;
  readonly values: Tensor<Shape, D>;

  constructor(shape: readonly number[], rows: Tensor<Shape, "i32">, values: Tensor<Shape, D>) {
    const place = "RowSparse";
    checkShape(place, shape);
    checkTensor(place, rows);
    checkTensor(place, values);
    sameBackend(place, [rows, values]);
    if ((rows.dtype as string) !== "i32")
      throw new DTypeError(place, `rows of ${rows.dtype as string}`, "give them as i32");
    if (rows.rank !== 1 || !sameShape(values.shape, [rows.size, ...shape.slice(1)]))
      throw new ShapeError(
        place,
        `rows of shape ${showShape(rows.shape)} and values of shape ${showShape(values.shape)} for a table of shape ${showShape(shape)}`,
        `give rows [k] and values ${showShape(["k" as never, ...shape.slice(1)])}`,
      );
    if (isReadable(rows)) {
      const outside = hostCopy(rows).find((row) => row < 0 || row >= shape[0]!);
      if (outside !== undefined)
        throw new DomainError(
          place,
          `row ${outside} of a table of ${shape[0]} rows`,
          `give rows from 0 to ${shape[0]! - 1}`,
        );
    }
    this.shape = shape;
    this.rows = rows as Tensor<readonly [number], "i32">;
    this.values = values;
  }

  get dtype(): D {
    return this.values.dtype;
  }

  /** The same with each row once, in ascending order. The rows are read, so they must be on the host or on the CPU. */
  coalesced(): RowSparse<D> {
    const { rows, values, shape } = this;
    const ids = hostCopy(rows);
    let ascending = true;
    for (let i = 1; i < ids.length && ascending; i++) ascending = ids[i - 1]! < ids[i]!;
    if (ascending) return this;
    const unique = ids
      .slice()
      .sort()
      .filter((id, i, all) => i === 0 || id !== all[i - 1]);
    const place = new Map<number, number>();
    unique.forEach((id, i) => void place.set(id, i));
    const { backend } = values;
    const index = fromHost<"i32", [number]>(
      backend,
      "i32",
      [ids.length],
      ids.map((id) => place.get(id)!),
      "rows",
    );
    return trusted(
      shape,
      fromHost(backend, "i32", [unique.length], unique, "rows"),
      summed(index, values, [unique.length, ...shape.slice(1)]),
    );
  }

  /** The sum with another gradient of the same table. */
  plus(other: RowSparse): RowSparse<D> {
    const rows = joined(this.rows, other.rows, []) as Tensor<readonly [number], "i32">;
    const [own, others] = [this.rows.host, other.rows.host];
    if (own && others) {
      rows.host = new Int32Array(rows.size);
      rows.host.set(own);
      rows.host.set(others, own.length);
    }
    return trusted(
      this.shape,
      rows,
      joined(this.values, other.values as Tensor<Shape, D>, this.shape.slice(1)),
    );
  }

  /** The gradient as a tensor of the table's shape. */
  toDense(): Tensor<Shape, D> {
    return summed(this.rows, this.values, this.shape);
  }
}

/** Without the checks of the constructor, which read what has been read already. */
const trusted = <D extends FloatDType>(
  shape: readonly number[],
  rows: Tensor<readonly [number], "i32">,
  values: Tensor<Shape, D>,
): RowSparse<D> => Object.assign(Object.create(RowSparse.prototype), { shape, rows, values });

/** Entries of one tensor after those of another. */
function joined<D extends DType>(
  a: Tensor<Shape, D>,
  b: Tensor<Shape, D>,
  entry: readonly number[],
): Tensor<Shape, D> {
  const out = newTensor<D>(a.backend, a.dtype, [a.shape[0]! + b.shape[0]!, ...entry], "rows");
  let at = 0;
  for (const part of [a, b]) {
    if (part.size > 0)
      out.backend.copyInto(contiguous(part).storage, out.dtype, [part.size], out.storage, at, [1]);
    at += part.size;
  }
  return out;
}

/** Zeros of a shape with values added at rows. */
function summed<D extends FloatDType>(
  rows: Tensor,
  values: Tensor<Shape, D>,
  shape: readonly number[],
): Tensor<Shape, D> {
  const { backend, dtype } = values;
  const out = newTensor<D>(backend, dtype, shape, "rows");
  const [from, index] = [contiguous(values).storage, contiguous(rows).storage];
  if (values.size > 0)
    backend.run(
      scatterAdd,
      dtype,
      from,
      index,
      out.storage,
      1,
      shape[0]!,
      sizeOf(shape.slice(1)),
      rows.size,
      false,
    );
  else if (out.size > 0) backend.fill(out.storage, dtype, out.size, 0);
  return out;
}

/**
 * @internal The cotangent of a table from which `index` took slices along its first axis; undefined where a dense one is
 * cheaper, or the positions cannot be read.
 */
export function takenRows<D extends FloatDType>(
  shape: readonly number[],
  index: Tensor,
  g: Tensor<Shape, D>,
): RowSparse<D> | undefined {
  if (2 * index.size > shape[0]! || !isReadable(index)) return undefined;
  return trusted(
    shape,
    reshape(index as Tensor<Shape, "i32">, [index.size]) as Tensor<readonly [number], "i32">,
    reshape(g, [index.size, ...shape.slice(1)]) as Tensor<Shape, D>,
  );
}

/** @internal Rows of a table, as an optimizer reads them: never recorded, positions trusted. */
export function rowsOf<D extends FloatDType>(table: Tensor<Shape, D>, rows: Tensor): Tensor<Shape, D> {
  const { backend, dtype, shape } = table;
  const out = newTensor<D>(backend, dtype, [rows.size, ...shape.slice(1)], "rows");
  if (out.size > 0) {
    const [from, index] = [contiguous(table).storage, contiguous(rows).storage];
    backend.run(
      gather,
      dtype,
      from,
      index,
      out.storage,
      1,
      shape[0]!,
      sizeOf(shape.slice(1)),
      rows.size,
      false,
    );
  }
  return out;
}

/**
 * @internal Gives rows of a parameter new values: in place where nobody else holds its memory, in a copy otherwise. Its old value
 * is freed with the scope that is open, as when it is replaced. Rows are distinct and trusted.
 */
export function putRowsOf(parameter: Parameter, rows: Tensor, values: Tensor): void {
  const table = parameter.value;
  const { backend, dtype, shape } = table;
  // A small value stays readable after its scope, and what a tape looks on at must stay.
  const sole =
    table.owner === parameter.keeper &&
    table.storage.references === 1 &&
    table.offset === 0 &&
    table.size > RESCUED &&
    !isRecording();
  const next: Tensor<Shape, FloatDType> = sole ? viewOf(table, shape, null, 0) : copyOf(table);
  if (values.size > 0) {
    const [from, index] = [contiguous(values).storage, contiguous(rows).storage];
    backend.run(putRows, dtype, from, index, next.storage, shape[0]!, sizeOf(shape.slice(1)), rows.size);
  }
  parameter.value = next;
}
