// What all optimizers share: parameters in groups, what is remembered of each, `minimize`, and state that can be saved.
// A method of optimization is one formula in a file of its own: old parameter, gradient and moments in, new ones out.

import type { DeviceName } from "../core/backends/backend.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DeviceError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { Parameter } from "../core/parameter.ts";
import { putRowsOf, RowSparse, rowsOf } from "../core/rowsparse.ts";
import { drop, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { counted, handleOn, numbered, type StateDict, snakeCase } from "../core/state.ts";
import { lossAndGradients } from "../core/tape.ts";
import { newTensor, type Tensor } from "../core/tensor.ts";
import { checkGradients, checkParameters } from "./checks.ts";
import { type AnyGradient, type Clip, checkClip, clipped } from "./clip.ts";
import { optionTensor, Reading, type Writing } from "./state.ts";

/** Parameters that share options; those not named are the optimizer's. */
export type ParameterGroup<O extends object> = { readonly params: readonly Parameter[] } & Partial<O>;

type Floats = Tensor<Shape, FloatDType>;

/** What an optimizer is given: parameters, or groups of them with options of their own. */
export type Trained<O extends object> = readonly Parameter[] | readonly ParameterGroup<O>[];

/** A group as an optimizer keeps it. Its options may be changed between steps: `optimizer.groups[0].lr *= 0.5`. */
export type Group<O extends object> = { readonly params: readonly Parameter[] } & {
  -readonly [K in keyof O]-?: O[K];
};

/** What a method remembers of each parameter besides the count of its updates, by the names that files have for it. */
export interface Remembered {
  /** Tensors in the shape of the parameter, each with the number that it is filled with at first. */
  readonly moments?: { readonly [name: string]: number };
  /** Numbers, each as it is at first. */
  readonly numbers?: { readonly [name: string]: number };
}

/** What an optimizer remembers of one parameter. A parameter that no gradient reaches keeps all of it. */
interface Slot<O extends object> {
  readonly parameter: Parameter;
  readonly group: Group<O>;
  moments: { [name: string]: Parameter };
  numbers: { [name: string]: number };
  /** The moments in their order, and what asked for them. */
  cells: readonly Parameter[];
  asked: Remembered | undefined;
  /** How often it was updated. */
  steps: number;
}

/** One parameter's turn: what an update reads. */
export interface Turn<O extends object> {
  /** The parameter, or those rows of it that the gradient has. */
  readonly theta: Floats;
  /** Its gradient. */
  readonly g: Floats;
  /** Which rows of the parameter these are; undefined: all. */
  readonly rows: Tensor | undefined;
  /** Its options. */
  readonly options: Group<O>;
  /** Which update this is, counted from 1. */
  readonly t: number;
  /** Its moments, in the order in which `remembers` names them. */
  readonly moments: readonly Floats[];
  /** Its numbers, which the update changes in place. */
  readonly numbers: { [name: string]: number };
}

/** How a step is taken. */
export interface StepOptions {
  /** Bounds gradients before they are used: all together by their norm, as `clipGradNorm`, or each entry, as `clipGradValue`. */
  readonly clip?: Clip;
}

/**
 * Changes parameters so that a loss falls: what all methods have in common. A method of one's own says what its options must be
 * (`check`), what it remembers of a parameter (`remembers`), and how a step changes parameter and moments (`update`). If rows
 * without gradient stay what they are, `leavesRows` says so, and row-sparse gradients cost what their rows cost.
 *
 * @example
 * import type { Tensor } from "simplexgrad";
 * import { mul, sign, sub } from "simplexgrad/ops";
 * import { type Group, Optimizer, type Trained, type Turn } from "simplexgrad/optim";
 *
 * interface Options {
 *   readonly lr?: number;
 * }
 * class SignDescent extends Optimizer<Options> {
 *   constructor(params: Trained<Options>, options: Options = {}) {
 *     super("SignDescent", params, options, { lr: 1e-3 }); // a default for every option; undefined: it must be given
 *   }
 *   protected override check({ lr }: Group<Options>): void {
 *     if (!(lr >= 0)) throw new RangeError(`lr is ${lr}`);
 *   }
 *   protected override update({ theta, g, options }: Turn<Options>): readonly Tensor[] {
 *     return [sub(theta, mul(sign(g), options.lr))]; // the parameter, then the moments
 *   }
 * }
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
    options: Partial<O> | undefined,
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
      group.params.map((parameter) => ({
        parameter,
        group,
        moments: {},
        numbers: {},
        cells: [],
        asked: undefined,
        steps: 0,
      })),
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

  /**
   * What is remembered of each parameter with these options; nothing if not said. What is no longer named is forgotten. The same
   * object for the same answer saves the time of comparing.
   */
  protected remembers(_options: Group<O>): Remembered {
    return NOTHING;
  }

  /** Whether rows whose gradient is zero keep their values and moments, bit by bit, with these options. */
  protected leavesRows(_options: Group<O>): boolean {
    return false;
  }

  /** The new parameter and the new moments in their order, in one kernel. */
  protected abstract update(turn: Turn<O>): readonly Tensor[];

  /**
   * One step: computes the loss, walks back, and changes the parameters. Returns the loss, which stays readable; everything
   * else made on the way is freed. Parameters that the loss does not reach keep their value and moments. Throws GradientError
   * when it reaches none, or is no single number.
   *
   * @example
   * const adam = new Adam(model.parameters(), { lr: 1e-3 });
   * const loss = adam.minimize(() => crossEntropy(model.forward(x), y), { clip: { norm: 5 } });
   */
  minimize<T extends Tensor>(loss: () => T, options: StepOptions = {}): T {
    checkStep("minimize", options);
    if (typeof loss !== "function")
      throw new ArgumentError("minimize", `${showValue(loss)} is not a function`, "give () => loss");
    let value: T | undefined;
    // Assigned, not returned: the scope then leaves of it a copy on the host, and a loop without a scope gathers no memory.
    scope(() => {
      const found = lossAndGradients("minimize", loss, this.parameters);
      value = found.value;
      hide(found.gradients);
      this.change(found.gradients, options);
    });
    return value!;
  }

  /**
   * One step from gradients in the order of `parameters`, tensors or `RowSparse`; undefined leaves a parameter and its moments as
   * they are. For gradients that come from elsewhere, or are clipped or summed first.
   *
   * @example
   * const { value, gradients } = valueAndGrad(loss, sgd.parameters);
   * sgd.step(gradients);
   */
  step(gradients: readonly AnyGradient[], options: StepOptions = {}): void {
    const place = `${this.name}.step`;
    checkStep(place, options);
    checkGradients(place, gradients, this.parameters);
    scope(() => this.change(gradients, options));
  }

  /**
   * Brings what the optimizer remembers to the device that the parameters were brought to.
   *
   * @example
   * await model.to("webgpu");
   * await adam.to("webgpu");
   */
  async to(device: DeviceName): Promise<this> {
    const moments = this.slots.flatMap((slot) => Object.values(slot.moments));
    const there = await Promise.all(moments.map(({ value }) => value.to(device)));
    moments.forEach((cell, i) => {
      cell.value = there[i]!;
    });
    return this;
  }

  /**
   * All that the next step depends on besides parameters and gradients, as tensors by name: `param_groups.0.lr`, `state.3.step`,
   * `state.3.exp_avg`. Parameters that were never updated have no state. The values stay what they are when training goes on.
   *
   * @example
   * const saved = adam.stateDict();
   * new Adam(model.parameters()).loadStateDict(saved); // goes on with the same bits
   */
  stateDict(): StateDict {
    const state: Writing = {};
    this.groups.forEach(({ params: _, ...options }, k) => {
      for (const [option, value] of Object.entries(options)) {
        const t = optionTensor(value);
        if (t) state[`param_groups.${k}.${snakeCase(option)}`] = t;
      }
    });
    this.slots.forEach((slot, i) => {
      if (slot.steps === 0) return;
      this.recall(slot);
      const { moments, numbers } = slot;
      state[`state.${i}.step`] = counted(slot.steps);
      for (const [name, value] of Object.entries(numbers)) state[`state.${i}.${name}`] = numbered(value);
      for (const [name, { value }] of Object.entries(moments)) state[`state.${i}.${name}`] = handleOn(value);
    });
    return state;
  }

  /**
   * Takes over what `stateDict` of an optimizer of this kind gave, with the options of its groups. Throws ArgumentError,
   * ShapeError, DTypeError or DomainError for what does not fit the parameters and groups here; nothing has changed then.
   */
  loadStateDict(state: StateDict): void {
    const reading = new Reading(`${this.name}.loadStateDict`, state);
    scope(() => {
      const groups = this.groups.map(({ params, ...options }, k) => {
        const read = Object.entries(options).map(([option, now]) => [
          option,
          reading.option(`param_groups.${k}.${snakeCase(option)}`, now),
        ]);
        return { params, ...Object.fromEntries(read) } as Group<O>;
      });
      for (const group of groups) this.check(group);
      const found = this.slots.map(({ parameter, group }, i) => {
        if (!reading.has(`state.${i}.step`)) return undefined;
        const { moments = {}, numbers = {} } = this.remembers(groups[this.groups.indexOf(group)]!);
        return {
          steps: reading.count(`state.${i}.step`, 1),
          numbers: mapValues(numbers, (_, name) => reading.number(`state.${i}.${name}`)),
          moments: mapValues(moments, (_, name) => reading.tensor(`state.${i}.${name}`, parameter.value)),
        };
      });
      reading.done();
      this.groups.forEach((group, k) => {
        Object.assign(group, groups[k]);
      });
      this.slots.forEach((slot, i) => {
        for (const { value } of Object.values(slot.moments)) drop(value);
        const { steps = 0, numbers = {}, moments = {} } = found[i] ?? {};
        Object.assign(slot, { steps, numbers, moments: mapValues(moments, cellOf), asked: undefined });
      });
    });
  }

  private change(gradients: readonly AnyGradient[], { clip }: StepOptions): void {
    for (const group of this.groups) this.check(group);
    const bounded = clip ? clipped(gradients, clip).gradients : gradients;
    for (let i = 0; i < bounded.length; i++) {
      const g = bounded[i];
      if (g === undefined) continue;
      const slot = this.slots[i]!;
      if (!(g instanceof RowSparse)) this.turn(slot, g as Floats);
      else if (this.leavesRows(slot.group)) {
        const { rows, values } = g.coalesced();
        this.turn(slot, values, rows);
      } else {
        const dense = g.toDense();
        this.turn(slot, dense);
        drop(dense);
      }
    }
  }

  /** Updates a parameter and its moments; or their rows, by the same formula on tables of these alone, which then go back. */
  private turn(slot: Slot<O>, g: Floats, rows?: Tensor): void {
    const { parameter, group: options } = slot;
    const cells = this.recall(slot);
    const read = ({ value }: Parameter): Floats => (rows ? rowsOf(value, rows) : value);
    const write = (cell: Parameter, value: Tensor): void => {
      if (rows) putRowsOf(cell, rows, value);
      else cell.value = value as Floats;
    };
    const t = slot.steps + 1;
    const [theta, moments] = [read(parameter), cells.map(read)];
    const made = this.update({ theta, g, rows, options, t, moments, numbers: slot.numbers });
    slot.steps = t;
    write(parameter, made[0]!);
    for (let k = 0; k < cells.length; k++) {
      const old = cells[k]!.value;
      write(cells[k]!, made[k + 1]!);
      drop(old);
    }
  }

  /** What is remembered of a parameter with the options of now: what is new begins, what is no longer named is forgotten. */
  private recall(slot: Slot<O>): readonly Parameter[] {
    const { parameter, group } = slot;
    const asked = this.remembers(group);
    if (asked !== slot.asked) {
      const { moments = {}, numbers = {} } = asked;
      slot.asked = asked;
      slot.numbers = mapValues(numbers, (first, name) => slot.numbers[name] ?? first);
      slot.moments = mapValues(moments, (first, name) => slot.moments[name] ?? begun(parameter, first));
      slot.cells = Object.values(slot.moments);
    }
    for (const { value } of slot.cells) {
      if (value.backend !== parameter.value.backend)
        throw new DeviceError(
          this.name,
          `${parameter.name} lives on ${parameter.value.device} and its moments on another device`,
          `await ${this.name.toLowerCase()}.to(${JSON.stringify(parameter.value.device)}), or make a new optimizer`,
        );
    }
    return slot.cells;
  }
}

/** What methods without moments remember. */
export const NOTHING: Remembered = {};

const mapValues = <A, B>(
  record: { readonly [name: string]: A },
  f: (value: A, name: string) => B,
): { [name: string]: B } =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value, name)]));

/** Holds a moment between steps. */
const cellOf = (value: Tensor): Parameter =>
  new Parameter(value as Parameter["value"], { name: "moment", trainable: false });

/** A moment at its beginning: one number everywhere. */
function begun({ value }: Parameter, first: number): Parameter {
  const filled = newTensor<FloatDType>(value.backend, value.dtype, value.shape, "moment");
  if (filled.size > 0) value.backend.fill(filled.storage, filled.dtype, filled.size, first);
  return cellOf(filled);
}

/** Marks gradients that no user sees: their scope copies nothing out. */
export function hide(gradients: readonly AnyGradient[]): void {
  for (const g of gradients) if (g) (g instanceof RowSparse ? g.values : g).hidden = true;
}

/** Refuses options of a step that are none. */
export function checkStep(place: string, options: StepOptions): void {
  checkOptions(place, options, ["clip"]);
  if (options.clip !== undefined) checkClip(place, options.clip);
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
    checkParameters(place, members);
  });
  return groups as ParameterGroup<O>[];
}
