// The entry `simplexgrad`: tensors, gradients, lifetimes, devices, random numbers, and declaring ops.
// The ops themselves are `simplexgrad/ops`.

export type { DeviceName } from "./backends/backend.ts";
export {
  type CreateOptions,
  eye,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  range,
  tensor,
  zeros,
  zerosLike,
} from "./create.ts";
export { type CustomContext, type CustomRule, customOp } from "./custom.ts";
export { useDevice } from "./device.ts";
export type { ArrayOf, DType, FloatDType, TypedArray } from "./dtype.ts";
export {
  ArgumentError,
  DeviceError,
  DeviceLostError,
  DomainError,
  DTypeError,
  FormatError,
  GradientError,
  LifetimeError,
  OutOfMemoryError,
  ShapeError,
} from "./errors.ts";
export { type MapOptions, map } from "./map.ts";
export type { Domain, Example, Op, OpInfo } from "./op.ts";
export { Parameter, type ParameterOptions } from "./parameter.ts";
export { printGradient, printProgram } from "./print.ts";
export {
  bernoulli,
  gumbel,
  type Key,
  normal,
  permutation,
  randomInt,
  randomKey,
  split as splitKey,
  uniform,
} from "./random.ts";
export { rowLoss } from "./rowloss.ts";
export { type RowMap, rowMap, rowReduction, type ScalarLike } from "./rowop.ts";
export { RowSparse } from "./rowsparse.ts";
export { keep, type Memory, memory, openScope, resetPeak, scope } from "./scope.ts";
export type { Mismatch, Shape, Size } from "./shape.ts";
export type { StateDict } from "./state.ts";
export { grad, stopGradient, Tape, tape, valueAndGrad, vjp } from "./tape.ts";
export { Tensor } from "./tensor.ts";
export * as words from "./words.ts";
export { root } from "./words.ts";
