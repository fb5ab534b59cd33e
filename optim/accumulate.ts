// Accumulation: an optimizer that steps once for several mini-batches, by the mean of their gradients; as many as it is told, or
// as a rule makes of the share of samples that are still learned from. The rule of AS-Speed is `asSpeedSteps` of the losses.

import type { DeviceName } from "../core/backends/backend.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { Parameter } from "../core/parameter.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { drop, scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { lossAndGradients } from "../core/tape.ts";
import { copyOf, Tensor } from "../core/tensor.ts";
import { add, equal, mul } from "../ops/elementwise.ts";
import { mean, sum } from "../ops/reduce.ts";
import { checkGradients, type Group, Optimizer } from "./optimizer.ts";

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
  private sums: (Parameter | undefined)[] = [];
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
   * rule the mean of the losses), which stays readable. Throws as `minimize` of an optimizer does, and with a rule
   * ArgumentError for a loss that is a number already.
   */
  minimize(loss: () => Tensor): Tensor {
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
      const gradients = found.gradients.map((g) => (g instanceof RowSparse ? g.toDense() : g));
      for (const g of gradients) if (g) g.hidden = true;
      if (rows) {
        this.samples += rows.size;
        this.easy.push(sum(equal(rows, 0)));
      }
      this.collect(gradients);
    });
    return value!;
  }

  /**
   * Takes in the gradients of one mini-batch, in the order of `parameters`, and steps if it is the last of its step. Samples are
   * not counted.
   */
  step(gradients: readonly (Tensor | undefined)[]): void {
    checkGradients(`${this.name}.step`, gradients, this.parameters);
    scope(() => this.collect(gradients));
  }

  /** Steps by the mean of what has been collected since the last step, if anything has: at the end of training. */
  flush(): void {
    if (this.batches > 0) this.update();
  }

  /** Brings the optimizer, and what has been collected, to the device that the parameters were brought to. */
  async to(device: DeviceName): Promise<this> {
    await this.inner.to(device);
    for (const cell of this.sums) if (cell) cell.value = await cell.value.to(device);
    return this;
  }

  private collect(gradients: readonly (Tensor | undefined)[]): void {
    this.batches++;
    // A single mini-batch needs no sum.
    if (this.batches === 1 && this.k === 1) this.update(gradients);
    else {
      gradients.forEach((g, i) => {
        const cell = this.sums[i];
        if (g === undefined) return;
        if (cell === undefined) this.sums[i] = new Parameter(copyOf(g) as Floats, { trainable: false });
        else {
          const old = cell.value;
          cell.value = add(old, g as Floats) as Floats;
          drop(old);
        }
      });
      if (this.batches >= this.k) this.update();
    }
  }

  /** Steps by gradients, or by the means of those collected. */
  private update(gradients?: readonly (Tensor | undefined)[]): void {
    scope(() => {
      const means = this.parameters.map((_, i) => {
        const cell = this.sums[i];
        const g = cell && mul(cell.value, 1 / this.batches);
        if (g) g.hidden = true;
        return g;
      });
      this.inner.step(gradients ?? means);
    });
    for (const cell of this.sums) if (cell) drop(cell.value);
    this.sums = [];
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
      const total = counts.reduce((all, [n]) => all + n!, 0);
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

/** Refuses what is no number of things, of which there is at least one. */
function checkCount(place: string, name: string, value: unknown): number {
  if (!Number.isInteger(value) || (value as number) < 1)
    throw new DomainError(place, `${name} is ${showValue(value)}`, "give an integer of at least 1");
  return value as number;
}
