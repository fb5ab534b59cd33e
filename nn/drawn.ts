// What constructors of layers share: sizes that are checked, and parameters that are drawn or filled. Knows no layer.

import type { CreateOptions } from "../core/create.ts";
import type { DType, FloatDType } from "../core/dtype.ts";
import { ArgumentError, ShapeError, showValue } from "../core/errors.ts";
import { Parameter, type ParameterOptions } from "../core/parameter.ts";
import { type Key, uniform } from "../core/random.ts";
import { scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";

/** Refuses what is no number of features, channels or rows. */
export function checkSize(place: string, size: unknown, what: string): asserts size is number {
  if (!Number.isSafeInteger(size) || (size as number) < 1)
    throw new ShapeError(place, `the size ${showValue(size)} is not a number of ${what}`, "give 1, 2, 3, …");
}

/** Refuses an option that is neither true nor false. */
export function checkSwitch(place: string, name: string, value: unknown): asserts value is boolean {
  if (typeof value !== "boolean")
    throw new ArgumentError(place, `${name} is ${showValue(value)}`, "give true or false");
}

/** Where and as what parameters are stored: what options say of it. */
export const destinationOf = <D extends DType>({ dtype, device }: CreateOptions<D>): CreateOptions<D> => ({
  ...(dtype === undefined ? {} : { dtype }),
  ...(device === undefined ? {} : { device }),
});

/** A parameter that holds what a function makes; what else is made on the way is freed. */
export const parameter = <S extends Shape, D extends DType>(
  name: string,
  make: () => Tensor<Shape, D>,
  options: ParameterOptions = {},
): Parameter<S, D> => scope(() => new Parameter(make() as Tensor<S, D>, { name, ...options }));

/** A parameter drawn uniformly within ±reach. */
export const uniformParameter = <S extends Shape, D extends FloatDType>(
  name: string,
  shape: S,
  reach: number,
  key: Key,
  options: CreateOptions<D>,
): Parameter<S, D> =>
  parameter<S, D>(
    name,
    () =>
      uniform(shape as readonly number[], {
        ...destinationOf(options),
        key,
        low: -reach,
        high: reach,
      }) as Tensor<Shape, D>,
  );
