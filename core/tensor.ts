// The value: an immutable strided window on device memory, with its element type and sizes.
// Methods only read, view and display. Arithmetic is functions (`ops/`); lifetimes are `scope.ts`; gradients `tape.ts`.

import { type Backend, type DeviceName, type Storage, type View, ways } from "./backends/backend.ts";
import { type ArrayOf, type DType, dtypes, type TypedArray } from "./dtype.ts";
import { ArgumentError, DeviceError, ShapeError, showShape, showValue } from "./errors.ts";
import { display, showHTML, showTensor } from "./inspect.ts";
import { type NdArray, toNdarray } from "./ndarray.ts";
import { adopt, type Owner, RESCUED, revive } from "./scope.ts";
import {
  contiguousStrides,
  type Plain,
  type Result,
  type Shape,
  type Size,
  type Sizes,
  sizeOf,
  type Transpose,
} from "./shape.ts";
import type { Link, Mark } from "./tape.ts";
import { expectShape, type Range, type Reshaped, reshape, slice, transpose } from "./views.ts";

/** The element of a tensor as a JavaScript value. */
export type Element<D extends DType> = [D] extends ["bool"]
  ? boolean
  : "bool" extends D
    ? number | boolean
    : number;

/** Nested arrays, one level for each axis: what `toArray` gives. */
export type Nested<S extends Shape, E> = S extends readonly []
  ? E
  : S extends readonly [Size, ...infer Rest extends Shape]
    ? Nested<Rest, E>[]
    : NestedAny<E>;
/** Nested arrays of a depth that only the run knows. */
export type NestedAny<E> = E | NestedAny<E>[];

/**
 * A value of any rank: `shape`, `dtype`, and elements on a device. Made by `tensor`, `zeros`, … and by ops.
 *
 * @example
 * const x = tensor([[1, 2], [3, 4]]);
 * x.shape;                  // [2, 2]
 * x.transpose().toArray();  // [[1, 3], [2, 4]]
 */
export class Tensor<S extends Shape = Shape, D extends DType = DType> implements View {
  readonly dtype: D;
  readonly shape: Sizes<S>;
  /** The number of elements. */
  readonly size: number;
  readonly backend: Backend;
  /** What made it, for messages. */
  readonly origin: string;
  /** Element of the storage that the first entry lies at. */
  readonly offset: number;
  /** @internal Strides, or null where they are those of row-major order. Read through `strides`. */
  readonly steps: readonly number[] | null;

  /** @internal The memory while it lives. */
  held: Storage | null;
  /** @internal The elements on the host: of a small tensor that outlived its scope, or of integers that came from there. */
  host: TypedArray | null = null;
  /** @internal The host copy on its way, where a device cannot be read at once, and the memory until it is there. */
  arriving: { readonly data: Promise<TypedArray>; readonly storage: Storage } | null = null;
  /** @internal Who frees the memory. */
  owner: Owner | null = null;
  /** @internal Places that a walk back holds this cotangent at. */
  uses = 0;
  /** @internal Whether no user can have seen it: its scope copies nothing out. */
  hidden = false;

  /** @internal The tape that tracks this tensor, and the slot there; other tapes hang on `links`. */
  mark: Mark | null = null;
  /** @internal */
  slot = -1;
  /** @internal */
  links: Link | null = null;

  /** @internal Tensors are made by `newTensor` and `viewOf`. */
  constructor(
    backend: Backend,
    dtype: D,
    shape: readonly number[],
    size: number,
    steps: readonly number[] | null,
    offset: number,
    held: Storage | null,
    origin: string,
  ) {
    this.dtype = dtype;
    this.shape = shape as Sizes<S>;
    this.size = size;
    this.backend = backend;
    this.origin = origin;
    this.offset = offset;
    this.steps = steps;
    this.held = held;
  }

  /** The number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Elements from one entry to the next along each axis. */
  get strides(): readonly number[] {
    return this.steps ?? contiguousStrides(this.shape);
  }

  /** The device that the elements live on. */
  get device(): DeviceName {
    return this.backend.name;
  }

  /** The memory behind the tensor. Throws LifetimeError after its scope has ended, unless it was small enough to be copied out. */
  get storage(): Storage {
    return this.held ?? revive(this);
  }

  /**
   * The elements in row-major order, as a typed array of their own: float32 → Float32Array, bool → bytes of 0 or 1.
   * The way to read on every device.
   *
   * @example
   * await tensor([1, 2, 3]).data(); // Float32Array [1, 2, 3]
   */
  async data(): Promise<ArrayOf<D>> {
    if (this.size > 0 && this.held !== null) return (await fetched(this)) as ArrayOf<D>;
    return (this.arriving === null ? hostCopy(this) : (await this.arriving.data).slice()) as ArrayOf<D>;
  }

  /**
   * A copy on another device ("wasm", "webgpu", "js"), or this tensor where it lives there already. A constant to tapes: nothing
   * is differentiated across devices. Throws DeviceError where the device is missing or has not this element type.
   *
   * @example
   * const onGpu = await x.to("webgpu");
   */
  async to(device: DeviceName): Promise<Tensor<S, D>> {
    const backend = await ways.open!(device);
    if (backend === this.backend) return this;
    if (this.dtype === "f64" && !backend.floats.includes("f64"))
      throw new DeviceError("to", `${device} has no f64`, 'cast to "f32" first, or stay on wasm');
    const data = await this.data();
    const copy = newTensor<D, S>(backend, this.dtype, this.shape, this.origin);
    if (copy.size > 0) backend.write(copy.storage, data);
    return copy;
  }

  /** The elements at once, as `data`; throws DeviceError where reading is only asynchronous (WebGPU). */
  dataSync(): ArrayOf<D> {
    return hostCopy(this) as ArrayOf<D>;
  }

  /** The one element as a number (or boolean). Throws ShapeError when there are more, or none. */
  item(): Element<D> {
    if (this.size !== 1) {
      const finding = `the tensor of shape ${showShape(this.shape)} has ${this.size} elements, not one`;
      throw new ShapeError("item", finding, "read all with dataSync() or toArray(), or reduce it first");
    }
    const value = hostCopy(this)[0]!;
    return (this.dtype === "bool" ? value !== 0 : value) as Element<D>;
  }

  /** The elements as nested arrays of numbers (or booleans); a plain value for a tensor without axes. */
  toArray(): Nested<S, Element<D>> {
    const data = hostCopy(this);
    const { shape } = this;
    let next = 0;
    const level = (axis: number): NestedAny<number | boolean> => {
      if (axis < shape.length) return Array.from({ length: shape[axis]! }, () => level(axis + 1));
      const value = data[next++]!;
      return this.dtype === "bool" ? value !== 0 : value;
    };
    return level(0) as Nested<S, Element<D>>;
  }

  /** A copy as an `ndarray` of the package of that name. */
  toNdarray(): NdArray<ArrayOf<D>> {
    return toNdarray(this.dataSync(), this.shape) as NdArray<ArrayOf<D>>;
  }

  /** The same elements in order under other sizes; one of them may be −1: whatever is left. */
  reshape<const T extends readonly number[]>(shape: T): Tensor<Reshaped<T>, D> {
    return reshape(this, shape);
  }

  /** Axes in another order; the last two exchanged when none is given. */
  transpose<const A extends readonly number[] | undefined = undefined>(
    axes?: A,
  ): Tensor<Result<Transpose<S, A>>, D> {
    return transpose(this, axes);
  }

  /**
   * A part, one range for each axis from the first: `[start, end]` or `[start, end, step]` (half-open, negative counted
   * from the end), a number (that entry; the axis goes), or null (all). Axes not named are kept whole.
   *
   * @example
   * const x = tensor([[1, 2, 3], [4, 5, 6]]);
   * x.slice(1).toArray();            // [4, 5, 6]
   * x.slice(null, [0, 2]).toArray(); // [[1, 2], [4, 5]]
   */
  slice(...ranges: readonly Range[]): Tensor<Shape, D> {
    return slice(this, ...ranges);
  }

  /**
   * This tensor with the given sizes in its type, after checking them; a name stands for any size, the same wherever it recurs.
   *
   * @example
   * const typed = zeros([4, 3]).reshape([-1, 3]).expect(["batch", 3]); // Tensor<["batch", 3]>
   */
  expect<const T extends Shape>(shape: T): Tensor<Plain<T>, D> {
    return expectShape(this, shape);
  }

  toString(): string {
    return showTensor(this);
  }

  /** A table for notebooks and pages. */
  toHTML(): string {
    return showHTML(this);
  }

  static {
    display(Tensor.prototype);
  }
}

/** A fresh contiguous tensor of undefined contents; it joins the current scope. Sizes are trusted. */
export function newTensor<D extends DType, S extends Shape = Shape>(
  backend: Backend,
  dtype: D,
  shape: readonly number[],
  origin = "tensor",
): Tensor<S, D> {
  const size = sizeOf(shape);
  const t = new Tensor<S, D>(backend, dtype, shape, size, null, 0, backend.allocate(dtype, size), origin);
  adopt(t);
  return t;
}

/** Host data of the right type as a tensor; sizes are trusted. */
export function fromHost<D extends DType, S extends Shape = Shape>(
  backend: Backend,
  dtype: D,
  shape: readonly number[],
  data: TypedArray,
  origin: string,
): Tensor<S, D> {
  const t = newTensor<D, S>(backend, dtype, shape, origin);
  if (t.size > 0) backend.write(t.storage, data);
  // Class indices, positions and a few numbers are checked at the call, which a device that is read later could not do.
  if (backend.name === "webgpu" && (dtype === "i32" || t.size <= RESCUED)) t.host = data.slice();
  return t;
}

/** Zeros of the sizes and the element type of a tensor, beside it. */
export function zerosBeside<S extends Shape, D extends DType>(like: Tensor<S, D>): Tensor<S, D> {
  const t = newTensor<D, S>(like.backend, like.dtype, like.shape, "zeros");
  if (t.size > 0) like.backend.fill(t.storage, t.dtype, t.size, 0);
  return t;
}

/** A small constant that stays on the host until a device asks for it: rules that take numbers never do. */
export function hostTensor<D extends DType>(
  backend: Backend,
  dtype: D,
  shape: readonly number[],
  data: TypedArray,
): Tensor<Shape, D> {
  const t = new Tensor<Shape, D>(backend, dtype, shape, data.length, null, 0, null, "constant");
  t.host = data;
  return t;
}

/** Another window on the same memory; it joins the current scope and is recorded nowhere. Sizes are trusted. */
export function viewOf<D extends DType, S extends Shape = Shape>(
  t: Tensor<Shape, D>,
  shape: readonly number[],
  strides: readonly number[] | null,
  offset: number,
  origin: string = t.origin,
): Tensor<S, D> {
  const steps = strides === null || isRowMajor(shape, strides) ? null : strides;
  const view = new Tensor<S, D>(
    t.backend,
    t.dtype,
    shape,
    sizeOf(shape),
    steps,
    offset,
    t.storage.retain(),
    origin,
  );
  if (steps === null && view.size === t.size) view.host = t.host;
  adopt(view);
  return view;
}

/** Whether strides are those of row-major order wherever they matter (an axis of one entry has none). */
function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i]!;
    if (size === 0) return true;
    if (size !== 1 && strides[i] !== step) return false;
    step *= size;
  }
  return true;
}

/** Whether the elements lie in row-major order without gaps, from `offset` on. */
export function isContiguous(t: Tensor): boolean {
  return t.steps === null;
}

/** The tensor itself where its elements lie in row-major order from the start of its storage, else a copy in the current scope. Never recorded. */
export function contiguous<S extends Shape, D extends DType>(t: Tensor<S, D>): Tensor<S, D> {
  return t.steps === null && t.offset === 0 ? t : copyOf(t);
}

/** A copy in memory of its own, in the current scope. Never recorded: being the same value, it shares the slots on tapes. */
export function copyOf<S extends Shape, D extends DType>(t: Tensor<S, D>): Tensor<S, D> {
  const out = newTensor<D, S>(t.backend, t.dtype, t.shape, t.origin);
  if (out.size > 0) t.backend.copy(t, out.storage, t.dtype);
  out.mark = t.mark;
  out.slot = t.slot;
  out.links = t.links;
  return out;
}

/** The elements as one run of memory, and where it starts; the caller releases the storage. */
function gathered(t: Tensor): [Storage, number] {
  return t.steps === null ? [t.storage.retain(), t.offset] : [packed(t), 0];
}

/** A copy of the elements in memory of their own. */
function packed(t: Tensor): Storage {
  const run = t.backend.allocate(t.dtype, t.size);
  if (t.size > 0) t.backend.copy(t, run, t.dtype);
  return run;
}

/** The elements of a tensor that has memory. It may be freed meanwhile. */
function fetched(t: Tensor): Promise<TypedArray> {
  const [run, offset] = gathered(t);
  const data = t.backend.read(run, t.dtype, offset, t.size);
  run.release();
  return data;
}

/** Has the elements copied to the host, where they arrive later; until then a copy stays on the device. */
export function copyOut(t: Tensor): void {
  const [run, offset] = gathered(t);
  const storage = t.backend.setAside!(run, t.dtype, offset, t.size);
  run.release();
  const arriving = { data: t.backend.read(storage, t.dtype, 0, t.size), storage };
  t.arriving = arriving;
  const settle = (host: TypedArray | null): void => {
    t.host = host;
    if (host !== null) t.arriving = null;
    storage.release();
  };
  // Whoever reads the tensor is told of a failure.
  arriving.data.then(settle, () => settle(null));
}

/** Whether `hostCopy` has the elements at once: on the CPU, and what came from the host. */
export const isReadable = (t: Tensor): boolean => t.backend.name !== "webgpu" || t.host !== null;

/** The elements in row-major order on the host, in an array of their own. */
export function hostCopy(t: Tensor): TypedArray {
  if (t.host !== null) return t.host.slice();
  if (t.size === 0) return new dtypes[t.dtype].array(0);
  if (t.held === null && t.arriving === null) revive(t); // from here on it has memory, or has thrown
  if (t.backend.name === "webgpu")
    throw new DeviceError("dataSync", "a tensor on webgpu can only be read asynchronously", "await data()");
  if (t.steps === null) return t.backend.readSync(t.storage, t.dtype, t.offset, t.size);
  const [run, offset] = gathered(t);
  const data = t.backend.readSync(run, t.dtype, offset, t.size);
  run.release();
  return data;
}

/** Refuses what is not a tensor. */
export function checkTensor(place: string, value: unknown): asserts value is Tensor {
  if (!(value instanceof Tensor)) {
    const wayOut =
      typeof value === "object" && value !== null && "value" in value
        ? "give its value: p.value"
        : "give a tensor";
    throw new ArgumentError(place, `${showValue(value)} is not a tensor`, wayOut);
  }
}
