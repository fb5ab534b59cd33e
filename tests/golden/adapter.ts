// What adapters of golden ops are made of: their types, names in camelCase, and modules over given tensors. Knows no op.

import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { Module } from "../../nn/index.ts";
import { concat, reshape } from "../../ops/index.ts";

export type Tensors = { readonly [name: string]: Tensor };
export type Options = { readonly [name: string]: unknown };

/** What an adapter is given besides the tensors. */
export interface Call {
  /** Arguments that are no tensors, by their names in camelCase. */
  readonly params: Options;
  /** The axis, where it is not the last. */
  readonly axis: { readonly axis?: number };
  /** The sizes of what is wanted, by name: how many steps a schedule is asked for is said nowhere else. */
  readonly wanted: { readonly [name: string]: readonly number[] };
  /** Host numbers as floats of the element type that is checked. */
  readonly floats: (data: unknown, shape?: readonly number[]) => Tensor<Shape, FloatDType>;
}

/** Adapters by the names of the golden files. */
export type Adapters = { readonly [op: string]: () => Adapter | undefined };

/** Calls an op with what a case holds; several results by name. */
export type Adapter = (inputs: Tensors, call: Call) => Result | Promise<Result>;
export type Result = Tensor | Tensors;

export const camelCase = (name: string): string =>
  name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Tensors of one shape along a first axis; numbers as a vector. */
export const stacked = (tensors: readonly Tensor[]): Tensor =>
  concat(tensors.map((t) => reshape(t, t.size === 1 && t.rank === 0 ? [1] : [1, ...t.shape])) as never[]);

/** Options with their names in camelCase. */
export const camelKeys = (options: Options): Options =>
  Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value]));

/**
 * A module whose parameters are the given tensors themselves, by their paths (`tail.0.weight`), so that gradients of these are
 * found. Throws where the module has no such parameter.
 */
export function withTensors<M extends Module>(module: M, given: Tensors): M {
  for (const [path, value] of Object.entries(given)) {
    const steps = path.split(".");
    const last = steps.pop()!;
    let owner = module as unknown as { [name: string]: unknown };
    for (const step of steps) owner = owner[step] as { [name: string]: unknown };
    if (!(owner[last] as { value?: unknown } | null)?.value) throw new Error(`there is no parameter ${path}`);
    owner[last] = { value };
  }
  return module;
}
