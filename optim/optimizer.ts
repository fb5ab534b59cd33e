// What all optimizers share: parameters in groups, their moments, and `minimize`.
// A method of optimization is one formula in a file of its own: old parameter, gradient and moments in, new ones out.

import type { DeviceName } from "../core/backends/backend.ts";
import type { FloatDType } from "../core/dtype.ts";
import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  ShapeError,
  showShape,
  showValue,
} from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { Parameter } from "../core/parameter.ts";
import { abs, greater, select, type Value } from "../core/row/expr.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { drop, scope } from "../core/scope.ts";
import { sameShape } from "../core/shape.ts";
import { lossAndGradients } from "../core/tape.ts";
import { newTensor, Tensor } from "../core/tensor.ts";

/** Parameters that share options; those not named are the optimizer's. */
export type ParameterGroup<O extends object> = { readonly params: readonly Parameter[] } & Partial<O>;

/** What an optimizer is given: parameters, or groups of them with options of their own. */
export type Trained<O extends object> = readonly Parameter[] | readonly ParameterGroup<O>[];

/** A group as an optimizer keeps it. Its options may be changed between steps: `optimizer.groups[0].lr *= 0.5`. */
export type Group<O extends object> = { readonly params: readonly Parameter[] } & {
  -readonly [K in keyof O]-?: O[K];
};

/** What an optimizer remembers of one parameter. A parameter that no gradient reaches keeps all of it. */
interface Slot<O extends object> {
  readonly parameter: Parameter;
  readonly group: Group<O>;
  /** Running averages in the shape of the parameter, made when first needed. */
  readonly moments: Parameter[];
  /** How often it was updated. */
  steps: number;
}

/** One parameter's turn: what an update reads. */
export interface Turn<O extends object> {
  /** The parameter. */
  readonly theta: Tensor;
  /** Its gradient. */
  readonly g: Tensor;
  /** Its options. */
  readonly options: Group<O>;
  /** Which update this is, counted from 1. */
  readonly t: number;
  /** Moment number `i`: zeros at first. */
  readonly moment: (i: number) => Tensor;
}

/**
 * Changes parameters so that a loss falls. `SGD`, `Adam` and `AdamW` are its methods; a method of one's own gives `check` and `update`.
 */
export abstract class Optimizer<O extends object = object> {
  /** What messages call it. */
  readonly name: string;
  /** The parameters in groups, with their options. */
  readonly groups: readonly Group<O>[];
  /** All parameters, in the order that `step` takes gradients in. */
  readonly parameters: readonly Parameter[];
  private readonly slots: readonly Slot<O>[];

  /** `defaults` has every option; undefined where the caller must give one. */
  constructor(
    name: string,
    params: Trained<O>,
    options: Partial<O>,
    defaults: { readonly [K in keyof O]-?: O[K] | undefined },
  ) {
    this.name = name;
    const known = Object.keys(defaults);
    checkOptions(name, options, known);
    this.groups = grouped(name, params).map(({ params: own, ...given }) => {
      checkOptions(name, given, known);
      const merged: { [option: string]: unknown } = { ...defaults, ...options, ...given };
      for (const key of known) {
        if (merged[key] === undefined)
          throw new ArgumentError(name, `${key} is not given`, `give it: { ${key}: … }`);
      }
      return { params: own, ...merged } as unknown as Group<O>;
    });
    this.slots = this.groups.flatMap((group) =>
      group.params.map((parameter) => ({ parameter, group, moments: [], steps: 0 })),
    );
    this.parameters = this.slots.map(({ parameter }) => parameter);
    if (!this.parameters.some((p) => p.trainable))
      throw new ArgumentError(
        name,
        "there is nothing to train",
        "give trainable parameters, such as model.parameters()",
      );
    if (new Set(this.parameters).size < this.parameters.length) {
      const twice = this.parameters.find((p, i) => this.parameters.indexOf(p) < i)!;
      throw new ArgumentError(
        name,
        `the parameter ${twice.name} of shape ${showShape(twice.shape)} is given twice`,
        "name each parameter once, in one group",
      );
    }
    for (const group of this.groups) this.check(group);
  }

  /** Refuses options without meaning. Called before every step, since options may be changed. */
  protected abstract check(options: Group<O>): void;

  /** The new parameter and the new moments, in one kernel. */
  protected abstract update(turn: Turn<O>): readonly Tensor[];

  /**
   * One step: computes the loss, walks back, and changes the parameters. Returns the loss, which stays readable; everything
   * else made on the way is freed. Parameters that the loss does not reach keep their value and moments. Throws GradientError
   * when it reaches none, or is no single number.
   *
   * @example
   * const adam = new Adam(model.parameters(), { lr: 1e-3 });
   * const loss = adam.minimize(() => crossEntropy(model.forward(x), y));
   */
  minimize<T extends Tensor>(loss: () => T): T {
    if (typeof loss !== "function")
      throw new ArgumentError("minimize", `${showValue(loss)} is not a function`, "give () => loss");
    let value: T | undefined;
    // Assigned, not returned: the scope then leaves of it a copy on the host, and a loop without a scope gathers no memory.
    scope(() => {
      const found = lossAndGradients("minimize", loss, this.parameters);
      value = found.value;
      const gradients = found.gradients.map((g) => (g instanceof RowSparse ? g.toDense() : g));
      for (const g of gradients) if (g) g.hidden = true;
      this.change(gradients);
    });
    return value!;
  }

  /**
   * One step from gradients in the order of `parameters`; undefined leaves a parameter and its moments as they are. For
   * gradients that come from elsewhere, or are clipped or summed first.
   *
   * @example
   * const { value, gradients } = valueAndGrad(loss, sgd.parameters);
   * sgd.step(gradients);
   */
  step(gradients: readonly (Tensor | undefined)[]): void {
    checkGradients(`${this.name}.step`, gradients, this.parameters);
    scope(() => this.change(gradients));
  }

  /**
   * Brings what the optimizer remembers to the device that the parameters were brought to.
   *
   * @example
   * await model.to("webgpu");
   * await adam.to("webgpu");
   */
  async to(device: DeviceName): Promise<this> {
    const moments = this.slots.flatMap((slot) => slot.moments);
    const there = await Promise.all(moments.map(({ value }) => value.to(device)));
    moments.forEach((cell, i) => {
      cell.value = there[i]!;
    });
    return this;
  }

  private change(gradients: readonly (Tensor | undefined)[]): void {
    for (const group of this.groups) this.check(group);
    for (let i = 0; i < gradients.length; i++) {
      const g = gradients[i];
      if (g === undefined) continue;
      const slot = this.slots[i]!;
      const { parameter, group, moments } = slot;
      const theta = parameter.value as Tensor;
      const moment = (k: number): Tensor => {
        moments[k] ??= zeroMoment(parameter);
        const { value } = moments[k];
        if (value.backend !== theta.backend)
          throw new DeviceError(
            this.name,
            `${parameter.name} lives on ${theta.device} and its moments on another device`,
            `await ${this.name.toLowerCase()}.to(${JSON.stringify(theta.device)}), or make a new optimizer`,
          );
        return value;
      };
      const made = this.update({ theta, g, options: group, t: slot.steps + 1, moment });
      slot.steps++;
      parameter.value = made[0]! as Tensor as Parameter["value"];
      for (let k = 1; k < made.length; k++) {
        const cell = moments[k - 1]!;
        const old = cell.value;
        cell.value = made[k]! as Parameter["value"];
        drop(old);
      }
    }
  }
}

function zeroMoment({ value }: Parameter): Parameter {
  const zeros = newTensor<FloatDType>(value.backend, value.dtype, value.shape, "moment");
  if (zeros.size > 0) value.backend.fill(zeros.storage, zeros.dtype, zeros.size, 0);
  return new Parameter(zeros, { name: "moment", trainable: false });
}

/** Groups, whichever way the parameters came. */
function grouped<O extends object>(place: string, params: unknown): ParameterGroup<O>[] {
  if (!Array.isArray(params))
    throw new ArgumentError(
      place,
      `${showValue(params)} stands where parameters are wanted`,
      "give model.parameters(), or an array of groups",
    );
  const list: readonly unknown[] = params;
  const isGroup = (item: unknown): item is ParameterGroup<O> =>
    typeof item === "object" && item !== null && "params" in item;
  const groups = list.some(isGroup) ? list : [{ params: list }];
  groups.forEach((group, i) => {
    if (!isGroup(group))
      throw new ArgumentError(
        place,
        `entry ${i} of the groups is ${showValue(group)}`,
        "give groups only: { params: […], lr: … }",
      );
    const members: unknown = group.params;
    if (!Array.isArray(members))
      throw new ArgumentError(
        place,
        `the params of group ${i} are ${showValue(members)}`,
        "give an array of parameters",
      );
    members.forEach((p: unknown, k) => {
      if (!(p instanceof Parameter))
        throw new ArgumentError(
          place,
          `entry ${k} of the parameters is ${showValue(p)}`,
          "give parameters, such as model.parameters()",
        );
    });
  });
  return groups as ParameterGroup<O>[];
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
  if (!(g instanceof Tensor))
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
  if (g.backend !== p.value.backend)
    throw new DeviceError(
      place,
      `${what} lives on ${g.device}, the parameter on ${p.value.device}`,
      "make them on one device",
    );
}

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

/** Refuses what is neither true nor false. */
export function checkFlag(place: string, name: string, value: unknown): void {
  if (typeof value !== "boolean")
    throw new ArgumentError(place, `${name} is ${showValue(value)}`, "give true or false");
}

/** Below this magnitude a moment of each element type counts as zero: see `flushed`. */
export const negligible: { readonly [D in FloatDType]: number } = { f32: 1e-30, f64: 1e-290 };

/**
 * A moment, with 0 for what is negligible. The moments of a parameter without gradient decay towards denormal numbers, and
 * arithmetic on those is dozens of times slower.
 */
export function flushed(moment: Value, least: Value): Value {
  return select(greater(abs(moment), least), moment, 0);
}
