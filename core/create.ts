// New tensors: from data on the host, and filled with numbers. Nothing here is recorded: what is made is constant.

import type { Backend, DeviceName } from "./backends/backend.ts";
import { backendOf, currentBackend } from "./device.ts";
import { type DType, dtypeOf, dtypes, isDType } from "./dtype.ts";
import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  ShapeError,
  showShape,
  showValue,
} from "./errors.ts";
import { isNdArrayLike, type NdArrayLike, ndarrayEntries } from "./ndarray.ts";
import { checkShape, type Plain, type Shape, sizeOf } from "./shape.ts";
import { checkTensor, fromHost, newTensor, type Tensor } from "./tensor.ts";

/** Where and as what a new tensor is stored. */
export interface CreateOptions<D extends DType = DType> {
  /** Element type; f32 when not said, or what the data tells (booleans: bool, a typed array: its own). */
  readonly dtype?: D;
  /** The current device when not said. */
  readonly device?: DeviceName;
}

/** The backend and element type that options ask for. */
export function destination<D extends DType>(
  place: string,
  options: CreateOptions<D>,
  fallback: D,
  known: readonly string[] = [],
): [Backend, D] {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new ArgumentError(
      place,
      `${showValue(options)} stands where options are wanted`,
      'give a record such as { dtype: "f64" }',
    );
  }
  for (const key of Object.keys(options)) {
    if (key !== "dtype" && key !== "device" && !known.includes(key)) {
      throw new ArgumentError(
        place,
        `there is no option ${key}`,
        `the options are ${["dtype", "device", ...known].join(", ")}`,
      );
    }
  }
  const { dtype = fallback, device } = options;
  if (!isDType(dtype))
    throw new DTypeError(
      place,
      `${showValue(dtype)} is no element type`,
      'the element types are "f32", "f64", "i32" and "bool"',
    );
  const backend = device === undefined ? currentBackend() : backendOf(device);
  if (dtype === "f64" && !backend.floats.includes("f64"))
    throw new DeviceError(place, `${backend.name} has no f64`, 'use "f32" there, or the wasm device');
  return [backend, dtype];
}

// ---------------------------------------------------------------------------------------------------------------
// From data

/** Any typed array of numbers. */
type Numbers = ArrayBufferView & ArrayLike<number>;

/** Arrays of arrays of numbers or booleans; a level may be a typed array. */
export type Data = number | boolean | Numbers | readonly Data[];

/** The sizes that nested literals show; `number` where they do not. */
export type ShapeOfData<T> = [Data] extends [T]
  ? Shape
  : T extends number | boolean
    ? []
    : T extends ArrayBufferView
      ? [number]
      : T extends readonly unknown[]
        ? [T["length"], ...ShapeOfData<T[number]>]
        : Shape;

/** The element type that data tells. */
export type DTypeOfData<T> = [Data] extends [T]
  ? DType
  : T extends number
    ? "f32"
    : T extends boolean
      ? "bool"
      : T extends Float64Array
        ? "f64"
        : T extends Int32Array
          ? "i32"
          : T extends Uint8Array
            ? "bool"
            : T extends Float32Array
              ? "f32"
              : T extends readonly unknown[]
                ? DTypeOfData<T[number]>
                : DType;

/** Sizes for flat data. */
interface ShapedOptions<D extends DType, S> extends CreateOptions<D> {
  readonly shape?: S;
}

/**
 * A tensor from numbers: nested arrays, a typed array (with `shape`, or flat), an `ndarray` of any strides, a single number
 * or boolean. Numbers become f32 and booleans bool, typed arrays keep their type, unless `dtype` says otherwise. Throws ShapeError for ragged
 * arrays, DomainError for numbers that the element type does not hold, ArgumentError for what is no number.
 *
 * @example
 * tensor([[1, 2], [3, 4]]);                                      // Tensor<[2, 2], "f32">
 * tensor([1, 2, 3], { dtype: "i32" });
 * tensor(new Float64Array(6), { shape: [2, 3] });                // Tensor<[2, 3], "f64">
 */
export function tensor<D extends DType = DType>(
  data: NdArrayLike,
  options?: CreateOptions<D>,
): Tensor<Shape, D>;
export function tensor<
  const S extends readonly number[],
  const T extends Data,
  D extends DType = DTypeOfData<T> & DType,
>(data: T, options: ShapedOptions<D, S> & { readonly shape: S }): Tensor<Plain<S>, D>;
export function tensor<const T extends Data, D extends DType = DTypeOfData<T> & DType>(
  data: T,
  options?: CreateOptions<D>,
): Tensor<ShapeOfData<T>, D>;
export function tensor(
  data: Data | NdArrayLike,
  options: ShapedOptions<DType, readonly number[]> = {},
): Tensor {
  if (isNdArrayLike(data)) {
    const [backend, dtype] = destination("tensor", options, storedAs(data.data, options));
    checkShape("tensor", data.shape);
    return upload(backend, dtype, data.shape, ndarrayEntries(data));
  }
  const found = { shape: [] as number[], values: [] as number[], kind: undefined as DType | undefined };
  let values: ArrayLike<number> = found.values;
  if (isNumbers(data)) {
    values = data;
    found.kind = storedAs(data, options);
    found.shape.push(data.length);
  } else collect(data, 0, found, []);
  const [backend, dtype] = destination("tensor", options, found.kind ?? "f32", ["shape"]);
  const { shape = found.shape } = options;
  checkShape("tensor", shape);
  if (options.shape !== undefined && sizeOf(shape) !== values.length) {
    throw new ShapeError(
      "tensor",
      `${values.length} numbers do not fill the shape ${showShape(shape)}`,
      `give ${sizeOf(shape)} numbers, or another shape`,
    );
  }
  return upload(backend, dtype, shape, values);
}

function isNumbers(data: unknown): data is Numbers {
  return ArrayBuffer.isView(data) && "length" in data;
}

/** The element type of flat data: what is asked for, else what a typed array holds. */
function storedAs(data: ArrayLike<number>, { dtype }: CreateOptions): DType {
  return dtype ?? (isNumbers(data) ? dtypeOf("tensor", data) : "f32");
}

/** Flattens nested arrays, finding shape and element type on the way. */
function collect(
  data: unknown,
  depth: number,
  found: { shape: number[]; values: number[]; kind: DType | undefined },
  path: number[],
): void {
  const { shape, values } = found;
  const where = (): string => (path.length === 0 ? "" : ` at [${path.join(", ")}]`);
  if (!Array.isArray(data) && !isNumbers(data)) {
    if (typeof data !== "number" && typeof data !== "boolean") {
      const wayOut =
        typeof data === "object" && data !== null && "dtype" in data
          ? "that is a tensor already; use it as it is, or its data"
          : "give numbers or booleans, nested in arrays";
      throw new ArgumentError("tensor", `${showValue(data)}${where()} is no number`, wayOut);
    }
    if (depth < shape.length)
      throw new ShapeError(
        "tensor",
        `the data is ragged: a number${where()} where arrays of ${shape[depth]} are`,
        "make all rows equally long and deep",
      );
    const kind = typeof data === "boolean" ? "bool" : "f32";
    found.kind ??= kind;
    if (found.kind !== kind)
      throw new DTypeError("tensor", `numbers and booleans are mixed${where()}`, "give one kind");
    values.push(Number(data));
    return;
  }
  const items: ArrayLike<unknown> = data;
  if (depth === shape.length) {
    // A leaf was seen at this depth before: everything here must be a leaf.
    if (values.length > 0 || found.kind !== undefined)
      throw new ShapeError(
        "tensor",
        `the data is ragged: an array${where()} where numbers are`,
        "make all rows equally long and deep",
      );
    shape.push(items.length);
  } else if (shape[depth] !== items.length) {
    throw new ShapeError(
      "tensor",
      `the data is ragged: ${items.length} entries${where()} where others have ${shape[depth]}`,
      "make all rows equally long",
    );
  }
  for (let i = 0; i < items.length; i++) {
    path.push(i);
    collect(items[i], depth + 1, found, path);
    path.pop();
  }
}

/** Host data as a tensor, each number checked against the element type. */
function upload(backend: Backend, dtype: DType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const { array: Kind } = dtypes[dtype];
  if (dtype !== "bool" && values instanceof Kind)
    return fromHost(backend, dtype, [...shape], values, "tensor");
  const array = new Kind(values.length);
  const exact = dtype === "i32" || dtype === "bool";
  for (let i = 0; i < values.length; i++) {
    const v: unknown = values[i];
    if (typeof v !== "number")
      throw new ArgumentError("tensor", `entry ${i} is ${showValue(v)}`, "give numbers");
    array[i] = v;
    if (exact && (array[i] !== v || (dtype === "bool" && v > 1))) {
      const wayOut =
        dtype === "bool"
          ? 'give 0 and 1, or { dtype: "f32" }'
          : 'give integers of 32 bits, or { dtype: "f32" }';
      throw new DomainError("tensor", `entry ${i} is ${v}, which ${dtype} does not hold`, wayOut);
    }
  }
  return fromHost(backend, dtype, [...shape], array, "tensor");
}

// ---------------------------------------------------------------------------------------------------------------
// Filled

function filled<D extends DType, S extends Shape>(
  place: string,
  backend: Backend,
  dtype: D,
  shape: readonly number[],
  value: unknown,
): Tensor<S, D> {
  checkShape(place, shape);
  if (typeof value !== "number" && typeof value !== "boolean")
    throw new ArgumentError(place, `${showValue(value)} is no number`, "give a number");
  const v = Number(value);
  if ((dtype === "i32" && (v | 0) !== v) || (dtype === "bool" && v !== 0 && v !== 1)) {
    throw new DomainError(
      place,
      `${v} is nothing that ${dtype} holds`,
      dtype === "bool" ? "give true or false" : "give an integer of 32 bits",
    );
  }
  const t = newTensor<D, S>(backend, dtype, [...shape], place);
  if (t.size > 0) backend.fill(t.storage, dtype, t.size, v);
  return t;
}

/** A tensor of zeros. */
export function zeros<const S extends readonly number[], D extends DType = "f32">(
  shape: S,
  options: CreateOptions<D> = {},
): Tensor<Plain<S>, D> {
  return filled("zeros", ...destination("zeros", options, "f32" as D), shape, 0);
}

/** A tensor of ones. */
export function ones<const S extends readonly number[], D extends DType = "f32">(
  shape: S,
  options: CreateOptions<D> = {},
): Tensor<Plain<S>, D> {
  return filled("ones", ...destination("ones", options, "f32" as D), shape, 1);
}

/** A tensor with the same number everywhere. */
export function full<const S extends readonly number[], D extends DType = "f32">(
  shape: S,
  value: number | boolean,
  options: CreateOptions<D> = {},
): Tensor<Plain<S>, D> {
  return filled(
    "full",
    ...destination("full", options, (typeof value === "boolean" ? "bool" : "f32") as D),
    shape,
    value,
  );
}

/** Zeros of the shape, element type and device of a tensor. */
export function zerosLike<S extends Shape, D extends DType>(t: Tensor<S, D>): Tensor<S, D> {
  checkTensor("zerosLike", t);
  return filled("zeros", t.backend, t.dtype, t.shape, 0);
}

/** Ones of the shape, element type and device of a tensor. */
export function onesLike<S extends Shape, D extends DType>(t: Tensor<S, D>): Tensor<S, D> {
  checkTensor("onesLike", t);
  return filled("ones", t.backend, t.dtype, t.shape, 1);
}

/** The same number everywhere, with the shape, element type and device of a tensor. */
export function fullLike<S extends Shape, D extends DType>(
  t: Tensor<S, D>,
  value: number | boolean,
): Tensor<S, D> {
  checkTensor("fullLike", t);
  return filled("full", t.backend, t.dtype, t.shape, value);
}

/** The identity matrix with `n` rows. */
export function eye<const N extends number, D extends DType = "f32">(
  n: N,
  options: CreateOptions<D> = {},
): Tensor<[N, N], D> {
  const [backend, dtype] = destination("eye", options, "f32" as D);
  checkShape("eye", [n]);
  const data = new dtypes[dtype].array(n * n);
  for (let i = 0; i < n; i++) data[i * (n + 1)] = 1;
  return fromHost(backend, dtype, [n, n], data, "eye");
}

/** Options of `range`. */
export interface RangeOptions<D extends DType = DType> extends CreateOptions<D> {
  /** Distance of neighbours, 1 when not said; may be negative. */
  readonly step?: number;
}

/**
 * Equally spaced numbers, the end excluded: 0 … stop − 1, or from start towards stop. Positions are computed as start + i·step.
 *
 * @example
 * range(4);                        // 0 1 2 3
 * range(1, 0, { step: -0.25 });    // 1 0.75 0.5 0.25
 */
export function range<const N extends number, D extends DType = "f32">(
  stop: N,
  options?: CreateOptions<D>,
): Tensor<[N], D>;
export function range<D extends DType = "f32">(
  start: number,
  stop: number,
  options?: RangeOptions<D>,
): Tensor<[number], D>;
export function range(first: number, second: number | RangeOptions = {}, third: RangeOptions = {}): Tensor {
  const [start, stop, options] = typeof second === "number" ? [first, second, third] : [0, first, second];
  const [backend, dtype] = destination("range", options, "f32" as DType, ["step"]);
  const { step = 1 } = options;
  for (const v of [start, stop, step])
    if (!Number.isFinite(v))
      throw new ArgumentError(
        "range",
        `${showValue(v)} is no finite number`,
        "give start, stop and step as numbers",
      );
  if (step === 0) throw new DomainError("range", "a step of 0 never arrives", "give another step");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  return upload(
    backend,
    dtype,
    [count],
    Array.from({ length: count }, (_, i) => start + i * step),
  );
}

/** `count` equally spaced numbers from start to stop, both included. */
export function linspace<const N extends number, D extends DType = "f32">(
  start: number,
  stop: number,
  count: N,
  options: CreateOptions<D> = {},
): Tensor<[N], D> {
  const [backend, dtype] = destination("linspace", options, "f32" as D);
  checkShape("linspace", [count]);
  for (const v of [start, stop])
    if (!Number.isFinite(v))
      throw new ArgumentError(
        "linspace",
        `${showValue(v)} is no finite number`,
        "give start and stop as numbers",
      );
  // Interpolated from both ends, so that the last entry is `stop` itself.
  const at = (i: number): number =>
    count === 1 ? start : (start * (count - 1 - i) + stop * i) / (count - 1);
  return upload(
    backend,
    dtype,
    [count],
    Array.from({ length: count }, (_, i) => at(i)),
  ) as Tensor<[N], D>;
}
