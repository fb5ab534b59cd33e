// What changes the options of an optimizer while it trains: by schedules of the step, or where a metric no longer gets better.

import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { counted, numbered, type StateDict, snakeCase } from "../core/state.ts";
import { Tensor } from "../core/tensor.ts";
import type { Accumulation } from "./accumulate.ts";
import { checkCount, checkNumber, checkWord } from "./checks.ts";
import type { Group, Optimizer } from "./optimizer.ts";
import { optionTensor, Reading, type Writing } from "./state.ts";

/** An optimizer, or one around it. */
export type Scheduled<O extends object> = Optimizer<O> | Accumulation<O>;

/** For each option that changes: what it is in step t, given what it began as. */
export type Schedules<O extends object> = {
  readonly [K in keyof O]?: (t: number, base: Required<O>[K]) => Required<O>[K];
};

function groupsOf<O extends object>(place: string, optimizer: Scheduled<O>): readonly Group<O>[] {
  const groups: unknown = (optimizer as Partial<Scheduled<O>> | undefined)?.groups;
  if (!Array.isArray(groups))
    throw new ArgumentError(place, `${showValue(optimizer)} is no optimizer`, "give one, such as an Adam");
  return groups;
}

/**
 * Changes options of an optimizer from step to step: each group's by the same schedule, from the value with which the group came
 * here. Sets them for step 0 at once; `step` sets them for the next one and is called after each step, or each epoch if the
 * schedules count those. A schedule is a function of the step and of that first value: one of `schedules`, or your own.
 *
 * Throws ArgumentError for options that the groups do not have. What a schedule gives is checked by the optimizer's next step.
 * @example
 * const scheduler = new Scheduler(adamw, { lr: schedules.warmupCosine({ warmup: 100, total: 10_000 }) });
 * for (const { x, y } of batches) {
 *   adamw.minimize(() => crossEntropy(model.forward(x), y));
 *   scheduler.step();
 * }
 */
export class Scheduler<O extends object> {
  readonly name = "Scheduler";
  private readonly groups: readonly Group<O>[];
  private readonly schedules: Schedules<O>;
  /** What the options of each group began as. */
  private bases: readonly { readonly [option: string]: unknown }[];
  private t = 0;

  constructor(optimizer: Scheduled<O>, schedules: NoInfer<Schedules<O>>) {
    this.groups = groupsOf(this.name, optimizer);
    const { params: _, ...options } = this.groups[0]!;
    checkOptions(this.name, schedules, Object.keys(options));
    for (const [option, schedule] of Object.entries(schedules ?? {}))
      if (typeof schedule !== "function")
        throw new ArgumentError(
          this.name,
          `the schedule of ${option} is ${showValue(schedule)}`,
          "give a function of the step, such as schedules.cosine({ total: 1000 })",
        );
    if (Object.keys(schedules ?? {}).length === 0)
      throw new ArgumentError(
        this.name,
        "there is no schedule",
        "give one: { lr: schedules.cosine({ total: 1000 }) }",
      );
    this.schedules = schedules;
    this.bases = this.groups.map((group) =>
      Object.fromEntries(Object.keys(schedules).map((option) => [option, group[option as keyof O]])),
    );
    this.apply();
  }

  /** Which step the options are set for, counted from 0. */
  get steps(): number {
    return this.t;
  }

  /** Sets the options for the next step. */
  step(): void {
    this.t++;
    this.apply();
  }

  /** The count of steps, and what the options began as: `step`, `base.0.lr`. */
  stateDict(): StateDict {
    const state: Writing = { step: counted(this.t) };
    this.bases.forEach((base, k) => {
      for (const [option, value] of Object.entries(base)) {
        const t = optionTensor(value);
        if (t) state[`base.${k}.${snakeCase(option)}`] = t;
      }
    });
    return state;
  }

  /** Takes over what `stateDict` gave, and sets the options for that step. Throws for what does not fit; nothing has changed then. */
  loadStateDict(state: StateDict): void {
    const reading = new Reading(`${this.name}.loadStateDict`, state);
    const t = reading.count("step");
    const bases = this.bases.map((base, k) =>
      Object.fromEntries(
        Object.entries(base).map(([option, now]) => [
          option,
          reading.option(`base.${k}.${snakeCase(option)}`, now),
        ]),
      ),
    );
    reading.done();
    this.t = t;
    this.bases = bases;
    this.apply();
  }

  private apply(): void {
    this.groups.forEach((group, k) => {
      for (const [option, schedule] of Object.entries(this.schedules) as [
        string,
        (t: number, base: unknown) => unknown,
      ][])
        (group as { [option: string]: unknown })[option] = schedule(this.t, this.bases[k]![option]);
    });
  }
}

export interface PlateauOptions {
  /** Whether better is smaller ("min", default) or larger. */
  readonly mode?: "min" | "max";
  /** What the rate is multiplied by, in [0, 1); 0.1 by default. */
  readonly factor?: number;
  /** Metrics in a row that may be no better than the best before the rate falls; 10 by default. */
  readonly patience?: number;
  /** By how much a better metric must be better; 1e-4 by default. */
  readonly threshold?: number;
  /** Whether the threshold is a share of the best metric ("rel", default) or an amount. */
  readonly thresholdMode?: "rel" | "abs";
  /** Metrics after a fall that do not count; 0 by default. */
  readonly cooldown?: number;
  /** Below this no rate falls; 0 by default. */
  readonly minLr?: number;
  /** A fall that is no larger than this is left out; 1e-8 by default. */
  readonly eps?: number;
}

/**
 * Multiplies the step sizes of an optimizer by a factor once a metric has not become better for a while: the loss on validation
 * data, once an epoch. NaN is not better. The conventions are PyTorch's (ReduceLROnPlateau). Throws DomainError and ArgumentError
 * for options that make no sense.
 *
 * @example
 * const plateau = new Plateau(sgd, { factor: 0.5, patience: 3 });
 * plateau.step(validationLoss.item()); // after each epoch
 */
export class Plateau {
  readonly name = "Plateau";
  private readonly groups: readonly { lr: number }[];
  private readonly options: Required<PlateauOptions>;
  private best: number;
  /** Metrics in a row that were no better. */
  private bad = 0;
  /** Metrics still to come that do not count. */
  private cooling = 0;

  constructor(
    optimizer: Scheduled<{ readonly lr: number }> | Scheduled<{ readonly lr?: number }>,
    options: PlateauOptions = {},
  ) {
    const { name } = this;
    const defaults: Required<PlateauOptions> = {
      mode: "min",
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: "rel",
      cooldown: 0,
      minLr: 0,
      eps: 1e-8,
    };
    checkOptions(name, options, Object.keys(defaults));
    const all = { ...defaults, ...options };
    const { mode, factor, patience, threshold, thresholdMode, cooldown, minLr, eps } = all;
    checkWord(name, "mode", mode, ["min", "max"]);
    checkNumber(name, "factor", factor, factor >= 0 && factor < 1, "give a number in [0, 1)");
    checkCount(name, "patience", patience, 0);
    checkNumber(name, "threshold", threshold, threshold >= 0, "give a number ≥ 0");
    checkWord(name, "thresholdMode", thresholdMode, ["rel", "abs"]);
    checkCount(name, "cooldown", cooldown, 0);
    checkNumber(name, "minLr", minLr, minLr >= 0, "give a step size ≥ 0");
    checkNumber(name, "eps", eps, eps >= 0, "give a number ≥ 0");
    this.groups = groupsOf(name, optimizer as Scheduled<{ readonly lr: number }>);
    this.options = all;
    this.best = mode === "min" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  /** Takes in the next metric, and lets the step sizes fall if it is time. */
  step(metric: number | Tensor): void {
    const value: unknown = metric instanceof Tensor ? metric.item() : metric;
    if (typeof value !== "number")
      throw new ArgumentError(`${this.name}.step`, `the metric is ${showValue(value)}`, "give a number");
    const { patience, cooldown, factor, minLr, eps } = this.options;
    if (this.isBetter(value)) [this.best, this.bad] = [value, 0];
    else this.bad++;
    if (this.cooling > 0) [this.cooling, this.bad] = [this.cooling - 1, 0];
    if (this.bad <= patience) return;
    for (const group of this.groups) {
      const lr = Math.max(group.lr * factor, minLr);
      if (group.lr - lr > eps) group.lr = lr;
    }
    [this.cooling, this.bad] = [cooldown, 0];
  }

  /** The best metric so far and what has been counted: `best`, `bad`, `cooling`. The step sizes are the optimizer's. */
  stateDict(): StateDict {
    return { best: numbered(this.best), bad: counted(this.bad), cooling: counted(this.cooling) };
  }

  /** Takes over what `stateDict` gave. Throws for what does not fit; nothing has changed then. */
  loadStateDict(state: StateDict): void {
    const reading = new Reading(`${this.name}.loadStateDict`, state);
    const [best, bad, cooling] = [reading.number("best"), reading.count("bad"), reading.count("cooling")];
    reading.done();
    [this.best, this.bad, this.cooling] = [best, bad, cooling];
  }

  private isBetter(value: number): boolean {
    const { best } = this;
    const { mode, threshold, thresholdMode } = this.options;
    const sign = mode === "min" ? 1 : -1;
    const bound = thresholdMode === "rel" ? best * (1 - sign * threshold) : best - sign * threshold;
    return sign * value < sign * bound;
  }
}
