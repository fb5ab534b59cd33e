// Accumulation: an optimizer that steps once for several mini-batches, by the mean of their gradients; as many as it is told, or
// as a rule makes of the share of samples that are still learned from. The rule of AS-Speed is `asSpeedSteps` of the losses.

import type { DeviceName } from "../core/backends/backend.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { drop, keep, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { counted, handleOn, type StateDict } from "../core/state.ts";
import { lossAndGradients } from "../core/tape.ts";
import { Tensor } from "../core/tensor.ts";
import { add, equal, mul } from "../ops/elementwise.ts";
import { concat, reshape } from "../ops/movement.ts";
import { mean, sum } from "../ops/reduce.ts";
import { checkCount, checkGradients } from "./checks.ts";
import { type AnyGradient, type AnyRows, mapEntries } from "./clip.ts";
import { checkStep, type Group, hide, Optimizer, type StepOptions } from "./optimizer.ts";
import { Reading, type Writing } from "./state.ts";

/** What was counted since the rule was asked last. */
export interface Counted {
  /** Samples seen. */
  readonly samples: number;
  /** Those of them whose loss was exactly 0. */
  readonly easy: number;
  /** The number of mini-batches per step until now. */
  readonly previous: number;
}

export interface AccumulationOptions {
  /** Mini-batches per step, at first or always; 1 by default. */
  readonly steps?: number;
  /** The number of mini-batches per step from what was counted; without it the number stays. */
  readonly adapt?: (counted: Counted) => number;
  /** Steps from one question to the rule to the next; 100 by default. */
  readonly window?: number;
}

/**
 * Steps once for several mini-batches, by the mean of their gradients: what one large batch would give, in the memory of a small
 * one, and with the cost of an update paid once. Wraps any optimizer, whose groups and options stay its own.
 *
 * With a rule `adapt` the number of mini-batches follows the data: `minimize` is then given the losses of the samples
 * (`reduction: "none"`), of which those that are exactly 0 count as easy. Losses such as `asSoftmaxLoss` and `sparsemaxLoss`
 * have them. On a GPU the counts arrive a moment later, and the new number with them. Mini-batches should be of one size: a mean
 * of means is the mean of all only then. What has been collected when training ends waits for `flush`.
 *
 * Throws DomainError for numbers of mini-batches and steps below 1. Source: Lv et al. 2025, arXiv:2508.03175 (AS-Speed).
 * @example
 * const adam = new Adam(model.parameters(), { lr: 1e-3 });
 * const speed = new Accumulation(adam, { adapt: (counted) => asSpeedSteps({ ...counted, maxSteps: 8 }) });
 * for (const { x, y } of batches) speed.minimize(() => asSoftmaxLoss(model.forward(x), y, { reduction: "none" }));
 * speed.flush();
 */
export class Accumulation<O extends object = object> {
  readonly name = "Accumulation";
  /** The optimizer that steps. */
  readonly inner: Optimizer<O>;
  private readonly adapt: AccumulationOptions["adapt"];
  private readonly window: number;
  private k: number;
  private taken = 0;
  /** Sums of the gradients of the mini-batches since the last step; undefined for parameters that none has reached. */
  private sums: AnyGradient[] = [];
  private batches = 0;
  private samples = 0;
  /** How many samples of each mini-batch were easy, since the rule was asked last. */
  private easy: Tensor<Shape, "i32">[] = [];

  constructor(inner: Optimizer<O>, options: AccumulationOptions = {}) {
    const { name } = this;
    if (!(inner instanceof Optimizer))
      throw new ArgumentError(name, `${showValue(inner)} is no optimizer`, "give one, such as an Adam");
    checkOptions(name, options, ["steps", "adapt", "window"]);
    const { steps = 1, window = 100, adapt } = options;
    checkCount(name, "steps", steps);
    checkCount(name, "window", window);
    if (adapt !== undefined && typeof adapt !== "function")
      throw new ArgumentError(name, `adapt is ${showValue(adapt)}`, "give a function of what was counted");
    this.inner = inner;
    this.adapt = adapt;
    this.window = window;
    this.k = steps;
  }

  /** The number of mini-batches per step now. */
  get steps(): number {
    return this.k;
  }

  /** How many steps the optimizer has taken. */
  get updates(): number {
    return this.taken;
  }

  /** The groups of the optimizer, whose options may be changed between steps. */
  get groups(): readonly Group<O>[] {
    return this.inner.groups;
  }

  /** The parameters of the optimizer, in the order that `step` takes gradients in. */
  get parameters(): readonly Parameter[] {
    return this.inner.parameters;
  }

  /**
   * Takes in one mini-batch: computes the loss and walks back, and steps if it is the last of its step. Returns the loss (with a
   * rule the mean of the losses), which stays readable. What is clipped is the mean that the step is taken by. Throws as
   * `minimize` of an optimizer does, and with a rule ArgumentError for a loss that is a number already.
   */
  minimize(loss: () => Tensor, options: StepOptions = {}): Tensor {
    checkStep("minimize", options);
    if (typeof loss !== "function")
      throw new ArgumentError("minimize", `${showValue(loss)} is not a function`, "give () => loss");
    let value: Tensor | undefined;
    scope(() => {
      let rows: Tensor<Shape, FloatDType> | undefined;
      const meanLoss = (): Tensor => {
        const made = loss();
        if (!(made instanceof Tensor)) return made; // refused where all such are
        if (made.rank === 0)
          throw new ArgumentError(
            "minimize",
            "the loss is one number, and easy samples are to be counted",
            'give the losses of the samples: { reduction: "none" }',
          );
        rows = made as typeof rows;
        return mean(rows!);
      };
      const found = lossAndGradients("minimize", this.adapt ? meanLoss : loss, this.parameters);
      value = found.value;
      hide(found.gradients);
      if (rows) {
        this.samples += rows.size;
        this.easy.push(sum(equal(rows, 0)));
      }
      this.collect(found.gradients, options);
    });
    return value!;
  }

  /**
   * Takes in the gradients of one mini-batch, in the order of `parameters`, and steps if it is the last of its step. Samples are
   * not counted.
   */
  step(gradients: readonly AnyGradient[], options: StepOptions = {}): void {
    const place = `${this.name}.step`;
    checkStep(place, options);
    checkGradients(place, gradients, this.parameters);
    scope(() => this.collect(gradients, options));
  }

  /** Steps by the mean of what has been collected since the last step, if anything has: at the end of training. */
  flush(options: StepOptions = {}): void {
    checkStep(`${this.name}.flush`, options);
    if (this.batches > 0) this.update(undefined, options);
  }

  /** Brings the optimizer, and what has been collected, to the device that the parameters were brought to. */
  async to(device: DeviceName): Promise<this> {
    await this.inner.to(device);
    const there = await Promise.all(
      this.sums.map(async (g): Promise<AnyGradient> => {
        if (!(g instanceof RowSparse)) return g?.to(device);
        const [rows, values] = await Promise.all([g.rows.to(device), g.values.to(device)]);
        return new RowSparse(g.shape, rows, values);
      }),
    );
    this.hold(there);
    return this;
  }

  /**
   * All that training depends on from here: the state of the optimizer under `optimizer.`, the number of mini-batches per step,
   * and what has been collected and counted since the last step.
   */
  stateDict(): StateDict {
    const { k, taken, batches, samples, easy } = this;
    const state: Writing = {};
    for (const [name, t] of Object.entries(this.inner.stateDict())) state[`optimizer.${name}`] = t;
    for (const [name, count] of Object.entries({ steps: k, updates: taken, batches, samples }))
      state[name] = counted(count);
    if (easy.length > 0) state.easy = concat(easy.map((t) => reshape(t, [-1])) as never);
    this.sums.forEach((g, i) => {
      if (g instanceof RowSparse) {
        state[`sums.${i}.rows`] = handleOn(g.rows);
        state[`sums.${i}.values`] = handleOn(g.values);
      } else if (g) state[`sums.${i}`] = handleOn(g);
    });
    return state;
  }

  /** Takes over what `stateDict` gave, the optimizer's part included. Throws as that of an optimizer; nothing has changed then. */
  loadStateDict(state: StateDict): void {
    const reading = new Reading(`${this.name}.loadStateDict`, state);
    scope(() => {
      const [k, taken] = [reading.count("steps", 1), reading.count("updates")];
      const [batches, samples] = [reading.count("batches"), reading.count("samples")];
      const { backend } = this.parameters[0]!.value;
      const easy = reading.has("easy")
        ? [reading.tensor("easy", { backend, dtype: "i32", shape: reading.shapeOf("easy").slice(0, 1) })]
        : [];
      const sums = this.parameters.map(({ value }, i): AnyGradient => {
        const [whole, rows, values] = [`sums.${i}`, `sums.${i}.rows`, `sums.${i}.values`];
        if (reading.has(whole)) return reading.tensor(whole, value);
        if (!reading.has(rows)) return undefined;
        const { dtype, shape } = value;
        const [size = 0] = reading.shapeOf(rows);
        return new RowSparse(
          shape,
          reading.tensor(rows, { backend: value.backend, dtype: "i32", shape: [size] }) as Tensor<
            Shape,
            "i32"
          >,
          reading.tensor(values, {
            backend: value.backend,
            dtype,
            shape: [size, ...shape.slice(1)],
          }) as Floats,
        );
      });
      const inner = reading.within("optimizer.");
      reading.done();
      this.inner.loadStateDict(inner);
      Object.assign(this, { k, taken, batches, samples, easy: keep(easy) });
      this.hold(sums);
    });
  }

  private collect(gradients: readonly AnyGradient[], options: StepOptions): void {
    this.batches++;
    // A single mini-batch needs no sum.
    if (this.batches === 1 && this.k === 1) this.update(gradients, options);
    else {
      this.hold(this.parameters.map((_, i) => plus(this.sums[i], gradients[i])));
      if (this.batches >= this.k) this.update(undefined, options);
    }
  }

  /** Keeps sums from here on in the place of those before. */
  private hold(sums: AnyGradient[]): void {
    const before = this.sums;
    before.forEach((old, i) => {
      if (old !== sums[i]) for (const t of partsOf(old)) drop(t);
    });
    sums.forEach((g, i) => {
      if (g !== before[i]) keep(partsOf(g));
    });
    this.sums = sums;
  }

  /** Steps by gradients, or by the means of those collected. */
  private update(gradients: readonly AnyGradient[] | undefined, options: StepOptions): void {
    scope(() => {
      const means = gradients ?? mapEntries(this.sums, (t) => mul(t as Floats, 1 / this.batches));
      if (!gradients) hide(means);
      this.inner.step(means, options);
    });
    this.hold([]);
    this.batches = 0;
    this.taken++;
    if (this.adapt && this.taken % this.window === 0) this.ask();
  }

  /** Has the rule say the number of mini-batches from what was counted; nothing was: it stays. */
  private ask(): void {
    const { samples, easy } = this;
    [this.samples, this.easy] = [0, []];
    if (samples === 0) return;
    const decide = (counts: readonly Int32Array[]): void => {
      const total = counts.reduce((all, some) => some.reduce((a, n) => a + n, all), 0);
      this.k = checkCount(
        this.name,
        "adapt's answer",
        this.adapt!({ samples, easy: total, previous: this.k }),
      );
    };
    // A device that is lost meanwhile says so in the next step.
    if (easy[0]!.device === "webgpu") Promise.all(easy.map((t) => t.data())).then(decide, () => {});
    else decide(easy.map((t) => t.dataSync()));
  }
}

type Floats = Tensor<Shape, FloatDType>;

const partsOf = (g: AnyGradient): Tensor[] => (g instanceof RowSparse ? [g.rows, g.values] : g ? [g] : []);

/** A sum of gradients with one more: nothing of those given is kept. */
function plus(sum: AnyGradient, g: AnyGradient): AnyGradient {
  if (g === undefined) return sum;
  if (sum === undefined)
    return g instanceof RowSparse
      ? new RowSparse(g.shape, handleOn(g.rows) as typeof g.rows, handleOn(g.values) as typeof g.values)
      : handleOn(g);
  if (sum instanceof RowSparse && g instanceof RowSparse) return sum.plus(g as RowSparse);
  const dense = (t: Tensor | AnyRows): Floats => (t instanceof RowSparse ? t.toDense() : (t as Floats));
  return add(dense(sum), dense(g));
}
