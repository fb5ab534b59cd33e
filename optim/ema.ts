// Averages of weights: a second set of values that follows the trained ones slowly, and takes their place where models are used.

import type { DeviceName } from "../core/backends/backend.ts";
import type { DType, FloatDType } from "../core/dtype.ts";
import { isFloat } from "../core/dtype.ts";
import { ArgumentError, DeviceError, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkOptions } from "../core/op.ts";
import { Parameter } from "../core/parameter.ts";
import { add, mul } from "../core/row/expr.ts";
import { drop, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { counted, handleOn, type StateDict } from "../core/state.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkNumber, checkParameters } from "./checks.ts";
import { Reading, type Writing } from "./state.ts";

export interface EMAOptions {
  /** δ in [0, 1]: how much of the average each update keeps; 0.999 by default. */
  readonly decay?: number;
}

type Follow = (s: Tensor, theta: Tensor, numbers: { δ: number; ω: number }) => Tensor;

const follow: Follow = /* @__PURE__ */ map<Follow>("ema", {
  doc: "An average that forgets at a constant rate.",
  inputs: ["s", "θ"],
  params: { δ: 0, ω: 1 },
  program: ({ s, θ, δ, ω }) => add(mul(δ!, s!), mul(ω!, θ!)),
  examples: [],
});

/**
 * Exponential moving averages of parameters, which generalise better than the last values do: after every step s ← δ·s + (1 − δ)·θ,
 * beginning at the values of now. Parameters that are not trainable, such as running statistics, are averaged as well; integers
 * are left alone. `applyTo` has a function see the averages, for validation; `swap` exchanges both sets, for good or until the
 * next `swap`.
 *
 * Throws DomainError for a decay outside [0, 1]. Source: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, eq. 2.
 * @example
 * const average = new EMA(model.parameters(), { decay: 0.999 });
 * for (const { x, y } of batches) {
 *   adam.minimize(() => crossEntropy(model.forward(x), y));
 *   average.update();
 * }
 * const accuracyOfAverage = average.applyTo(() => accuracy(model.forward(xTest), yTest));
 */
export class EMA {
  readonly name = "EMA";
  /** The parameters that are averaged. */
  readonly parameters: readonly Parameter[];
  /** δ, which may be changed between updates. */
  decay: number;
  private readonly shadows: readonly Parameter[];
  private taken = 0;
  private swapped = false;

  constructor(parameters: readonly Parameter<Shape, DType>[], options: EMAOptions = {}) {
    const { name } = this;
    checkParameters(name, parameters);
    checkOptions(name, options, ["decay"]);
    const { decay = 0.999 } = options;
    checkDecay(name, decay);
    this.decay = decay;
    this.parameters = parameters.filter((p) => isFloat(p.dtype));
    this.shadows = scope(() =>
      this.parameters.map(
        ({ value }) => new Parameter(handleOn(value) as Floats, { name: "average", trainable: false }),
      ),
    );
  }

  /** How often the averages were updated. */
  get updates(): number {
    return this.taken;
  }

  /** Takes the values of now into the averages: after a step of the optimizer. */
  update(): void {
    const place = `${this.name}.update`;
    checkDecay(place, this.decay);
    this.refuseSwapped(place);
    scope(() => {
      this.shadows.forEach((shadow, i) => {
        const { value, name } = this.parameters[i]!;
        const old = shadow.value;
        if (value.backend !== old.backend)
          throw new DeviceError(
            place,
            `${name} lives on ${value.device} and its average on ${old.device}`,
            `await average.to(${JSON.stringify(value.device)})`,
          );
        shadow.value = follow(old, value, { δ: this.decay, ω: 1 - this.decay }) as Floats;
        drop(old);
      });
    });
    this.taken++;
  }

  /** Exchanges averages and parameters. Until they are exchanged back, `update` is refused. */
  swap(): void {
    scope(() => {
      this.shadows.forEach((shadow, i) => {
        const parameter = this.parameters[i]!;
        const [average, trained] = [handleOn(shadow.value), handleOn(parameter.value)];
        parameter.value = average as Floats;
        shadow.value = trained as Floats;
      });
    });
    this.swapped = !this.swapped;
  }

  /**
   * Runs a function while the parameters hold the averages, and gives them their own values back whatever happens: for a promise
   * when it is settled. Returns what the function returns.
   */
  applyTo<T>(f: () => T): T {
    if (typeof f !== "function")
      throw new ArgumentError("applyTo", `${showValue(f)} is not a function`, "give () => …");
    this.refuseSwapped("applyTo");
    this.swap();
    let later = false;
    try {
      const value = f();
      if (!(value instanceof Promise)) return value;
      later = true;
      return value.finally(() => this.swap()) as T;
    } finally {
      if (!later) this.swap();
    }
  }

  /** Brings the averages to the device that the parameters were brought to. */
  async to(device: DeviceName): Promise<this> {
    const there = await Promise.all(this.shadows.map(({ value }) => value.to(device)));
    this.shadows.forEach((shadow, i) => {
      shadow.value = there[i]!;
    });
    return this;
  }

  /** The averages and the count of updates: `shadow.0`, …, `updates`. */
  stateDict(): StateDict {
    this.refuseSwapped(`${this.name}.stateDict`);
    const state: Writing = { updates: counted(this.taken) };
    this.shadows.forEach(({ value }, i) => {
      state[`shadow.${i}`] = handleOn(value);
    });
    return state;
  }

  /** Takes over what `stateDict` gave. Throws for what does not fit; nothing has changed then. */
  loadStateDict(state: StateDict): void {
    const place = `${this.name}.loadStateDict`;
    this.refuseSwapped(place);
    const reading = new Reading(place, state);
    scope(() => {
      const taken = reading.count("updates");
      const found = this.shadows.map(({ value }, i) => reading.tensor(`shadow.${i}`, value));
      reading.done();
      this.taken = taken;
      this.shadows.forEach((shadow, i) => {
        shadow.value = found[i] as Floats;
      });
    });
  }

  private refuseSwapped(place: string): void {
    if (this.swapped)
      throw new ArgumentError(place, "the parameters hold the averages now", "swap() them back first");
  }
}

type Floats = Tensor<Shape, FloatDType>;

function checkDecay(place: string, decay: number): void {
  checkNumber(place, "decay", decay, decay >= 0 && decay <= 1, "give a number in [0, 1], such as 0.999");
}
