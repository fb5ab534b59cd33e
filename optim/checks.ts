// What optimizers and schedules refuse: options without meaning, and what are no gradients of the parameters at hand.

import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  ShapeError,
  showShape,
  showValue,
} from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { sameShape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";

/** Refuses a number that makes no sense as an option. */
export function checkNumber(
  place: string,
  name: string,
  value: unknown,
  holds: boolean,
  wayOut: string,
): void {
  if (typeof value !== "number")
    throw new ArgumentError(place, `${name} is ${showValue(value)}`, "give a number");
  if (!holds || !Number.isFinite(value))
    throw new DomainError(place, `${name} is ${showValue(value)}`, wayOut);
}

/** Refuses what is no number of things, of which there are at least so many. */
export function checkCount(place: string, name: string, value: unknown, least = 1): number {
  if (!Number.isInteger(value) || (value as number) < least)
    throw new DomainError(place, `${name} is ${showValue(value)}`, `give an integer of at least ${least}`);
  return value as number;
}

/** Refuses what is neither true nor false. */
export function checkFlag(place: string, name: string, value: unknown): void {
  if (typeof value !== "boolean")
    throw new ArgumentError(place, `${name} is ${showValue(value)}`, "give true or false");
}

/** Refuses what is not one of some words. */
export function checkWord(place: string, name: string, value: unknown, words: readonly string[]): void {
  if (!words.includes(value as string))
    throw new ArgumentError(
      place,
      `${name} is ${showValue(value)}`,
      `give ${words.map((word) => JSON.stringify(word)).join(" or ")}`,
    );
}

/** Options that several methods share, as far as a method has them. */
interface Shared {
  readonly lr: number;
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly momentum?: number;
  readonly weightDecay?: number;
  readonly maximize?: boolean;
}

/** Refuses those of the options shared by methods that make no sense. */
export function checkShared(place: string, options: Shared): void {
  const { lr, betas, maximize } = options;
  checkNumber(place, "lr", lr, lr >= 0, "give a step size ≥ 0");
  if (betas !== undefined) {
    if (!Array.isArray(betas) || betas.length !== 2)
      throw new ArgumentError(
        place,
        `betas is ${showValue(betas)}`,
        "give two numbers, such as [0.9, 0.999]",
      );
    betas.forEach((β: number, i) => {
      checkNumber(place, `betas[${i}]`, β, β >= 0 && β < 1, "give a number in [0, 1)");
    });
  }
  for (const [name, wayOut] of notNegative) {
    const value = options[name];
    if (value !== undefined) checkNumber(place, name, value, value >= 0, wayOut);
  }
  if (maximize !== undefined) checkFlag(place, "maximize", maximize);
}

const notNegative = [
  ["eps", "give a number ≥ 0"],
  ["momentum", "give a momentum ≥ 0, such as 0.9"],
  ["weightDecay", "give a decay ≥ 0"],
] as const;

/** Refuses what are no parameters. */
export function checkParameters(place: string, params: unknown): asserts params is readonly Parameter[] {
  if (!Array.isArray(params))
    throw new ArgumentError(
      place,
      `${showValue(params)} stands where parameters are wanted`,
      "give an array of them, such as model.parameters()",
    );
  params.forEach((p: unknown, k) => {
    if (!(p instanceof Parameter))
      throw new ArgumentError(
        place,
        `entry ${k} of the parameters is ${showValue(p)}`,
        "give parameters, such as model.parameters()",
      );
  });
}

/** Refuses what are no gradients of these parameters. */
export function checkGradients(place: string, gradients: unknown, parameters: readonly Parameter[]): void {
  if (!Array.isArray(gradients) || gradients.length !== parameters.length) {
    const found = Array.isArray(gradients) ? `${gradients.length} gradients` : showValue(gradients);
    throw new ArgumentError(
      place,
      `${found} for ${parameters.length} parameters`,
      "give one gradient or undefined for each, in the order of `parameters`",
    );
  }
  gradients.forEach((g: unknown, i) => {
    if (g !== undefined) checkGradient(place, g, parameters[i]!, i);
  });
}

function checkGradient(place: string, g: unknown, p: Parameter, i: number): void {
  const what = `gradient ${i} (of ${p.name})`;
  if (!(g instanceof Tensor || g instanceof RowSparse))
    throw new ArgumentError(place, `${what} is ${showValue(g)}`, "give tensors, or undefined");
  if (!p.trainable)
    throw new ArgumentError(
      place,
      `${what} is for a parameter that is not trainable`,
      "give undefined there",
    );
  if (!sameShape(g.shape, p.shape))
    throw new ShapeError(
      place,
      `${what} has shape ${showShape(g.shape)}, the parameter ${showShape(p.shape)}`,
      "give the shape of the parameter",
    );
  if (g.dtype !== p.dtype)
    throw new DTypeError(
      place,
      `${what} is ${g.dtype}, the parameter ${p.dtype}`,
      `convert it: cast(g, "${p.dtype}")`,
    );
  const { backend, device } = g instanceof RowSparse ? g.values : g;
  if (backend !== p.value.backend)
    throw new DeviceError(
      place,
      `${what} lives on ${device}, the parameter on ${p.value.device}`,
      "make them on one device",
    );
}
