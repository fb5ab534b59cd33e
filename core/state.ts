// State as tensors by name: what models, optimizers and whatever else goes on later from where it was write and read. Here is
// what they share: names in files, numbers as tensors, and handles on values. Knows no module and no optimizer.

import { backendOf } from "./device.ts";
import { dtypes, type TypedArray } from "./dtype.ts";
import { DeviceError } from "./errors.ts";
import { copyOf, fromHost, hostCopy, hostTensor, isContiguous, type Tensor, viewOf } from "./tensor.ts";

/** Tensors by name: what `stateDict` gives and files hold. */
export interface StateDict {
  readonly [name: string]: Tensor;
}

/** A name in files, in PyTorch's spelling: `weightDecay` is `weight_decay`, and the path `selfAttn.inProjWeight` is `self_attn.in_proj_weight`. */
export const snakeCase = (path: string): string =>
  path.replace(/(?<=[^.])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Integers of 32 bits: one, or as many as are given in an array. On the host, where they can be read at once. */
export const counted = (value: number | readonly number[]): Tensor =>
  typeof value === "number"
    ? hostTensor(backendOf("js"), "i32", [], Int32Array.of(value))
    : hostTensor(backendOf("js"), "i32", [value.length], Int32Array.from(value));

/** A number, all of its digits. */
export const numbered = (value: number): Tensor =>
  hostTensor(backendOf("js"), "f64", [], Float64Array.of(value));

/** Another handle on a value: it outlives whoever holds the value now. */
export const handleOn = (t: Tensor): Tensor =>
  isContiguous(t) ? viewOf(t, t.shape, null, t.offset) : copyOf(t);

/** A handle on the value of another tensor, on the device of `like` and of its element type. */
export function handleBeside(
  place: string,
  name: string,
  t: Tensor,
  like: Pick<Tensor, "backend" | "dtype">,
): Tensor {
  if (t.backend === like.backend && t.dtype === like.dtype) return handleOn(t);
  const data = readable(place, name, t);
  const own = new dtypes[like.dtype].array(data.length);
  own.set(data);
  return fromHost(like.backend, like.dtype, t.shape, own, name);
}

/** The elements on the host, where they can be had without waiting. */
export function readable(place: string, name: string, t: Tensor): TypedArray {
  if (t.device === "webgpu" && t.host === null && t.size > 0)
    throw new DeviceError(
      place,
      `${name} lives on webgpu, where reading takes a moment`,
      'bring it to the CPU first: await t.to("wasm")',
    );
  return hostCopy(t);
}
