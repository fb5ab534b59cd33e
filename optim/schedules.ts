// Schedules: what an option, most often the step size, is at each step, as pure functions of the step and of what it began as.
// `Scheduler` attaches them to an optimizer. A schedule of one's own is any such function; a chain of them is a function too.

import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { checkFlag, checkNumber, checkWord } from "./checks.ts";

/** What an option is in step t, counted from 0, given what it was before any. */
export type Schedule = (t: number, base: number) => number;

/** A check of one option: whether it holds, and what to give. */
type Rule = readonly [holds: (v: number) => boolean, wayOut: string];

const positive: Rule = [(v) => v > 0, "give a number above 0"];
const notNegative: Rule = [(v) => v >= 0, "give a number ≥ 0"];
const finite: Rule = [() => true, "give a finite number"];
const share: Rule = [(v) => v >= 0 && v <= 1, "give a number in [0, 1]"];

/** Refuses options that are missing, unknown, or break their rules. */
function check(
  place: string,
  options: object,
  rules: { readonly [option: string]: Rule },
  more: readonly string[] = [],
): void {
  const given = (options ?? {}) as { readonly [option: string]: unknown };
  checkOptions(place, options, [...Object.keys(rules), ...more]);
  for (const [option, [holds, wayOut]] of Object.entries(rules)) {
    const v = given[option];
    if (v === undefined)
      throw new ArgumentError(place, `${option} is not given`, `give it: { ${option}: … }`);
    checkNumber(place, option, v, holds(v as number), wayOut);
  }
}

/** How far along t is on the way to `total`, from 0 to 1. */
const progress = (t: number, total: number): number => (total > 0 ? Math.min(t / total, 1) : 1);

/** From 1 at x = 0 to 0 at x = 1, along half a cosine. */
const halfCosine = (x: number): number => (1 + Math.cos(Math.PI * x)) / 2;

/**
 * Multiplies the rate by γ every `stepSize` steps: base·γ^⌊t/stepSize⌋. γ is 0.1 if not given.
 *
 * @example
 * new Scheduler(sgd, { lr: schedules.step({ stepSize: 30, gamma: 0.1 }) });
 */
export function step(options: { readonly stepSize: number; readonly gamma?: number }): Schedule {
  const { stepSize, gamma = 0.1 } = options ?? {};
  check("step", { ...options, gamma }, { stepSize: positive, gamma: notNegative });
  return (t, base) => base * gamma ** Math.floor(t / stepSize);
}

/**
 * Multiplies the rate by γ at each of the milestones (steps, in any order; one that is named twice counts twice). γ is 0.1 if not
 * given.
 *
 * @example
 * schedules.multiStep({ milestones: [30, 80], gamma: 0.1 })(50, 1); // 0.1
 */
export function multiStep(options: {
  readonly milestones: readonly number[];
  readonly gamma?: number;
}): Schedule {
  const { milestones, gamma = 0.1 } = options ?? {};
  check("multiStep", { ...options, gamma }, { gamma: notNegative }, ["milestones"]);
  if (!Array.isArray(milestones))
    throw new ArgumentError("multiStep", `milestones is ${showValue(milestones)}`, "give an array of steps");
  milestones.forEach((m: number, i) => {
    checkNumber("multiStep", `milestones[${i}]`, m, m >= 0, "give a step ≥ 0");
  });
  return (t, base) => base * gamma ** milestones.filter((m: number) => m <= t).length;
}

/**
 * Multiplies the rate by γ at each step: base·γᵗ.
 *
 * @example
 * schedules.exponential({ gamma: 0.9 })(2, 1); // 0.81
 */
export function exponential(options: { readonly gamma: number }): Schedule {
  check("exponential", options, { gamma: notNegative });
  return (t, base) => base * options.gamma ** t;
}

/**
 * Brings the rate from where it began to `min` (0 if not given) along half a cosine in `total` steps, and leaves it there.
 * Source: Loshchilov & Hutter 2017, eq. 5, without restarts.
 *
 * @example
 * new Scheduler(adam, { lr: schedules.cosine({ total: 1000, min: 1e-5 }) });
 */
export function cosine(options: { readonly total: number; readonly min?: number }): Schedule {
  const { total, min = 0 } = options ?? {};
  check("cosine", { ...options, min }, { total: positive, min: finite });
  return (t, base) => min + (base - min) * halfCosine(progress(t, total));
}

/**
 * Falls along half a cosine again and again: the first time in `t0` steps, then each time in `tMult` times as many (1 if not
 * given), from where it began to `min` (0 if not given). Source: Loshchilov & Hutter 2017, eq. 5 (SGDR).
 *
 * @example
 * new Scheduler(sgd, { lr: schedules.cosineRestarts({ t0: 10, tMult: 2 }) }); // begins anew at 10, 30, 70, …
 */
export function cosineRestarts(options: {
  readonly t0: number;
  readonly tMult?: number;
  readonly min?: number;
}): Schedule {
  const { t0, tMult = 1, min = 0 } = options ?? {};
  const growing: Rule = [(v) => v >= 1, "give a factor of at least 1"];
  check("cosineRestarts", { ...options, tMult, min }, { t0: positive, tMult: growing, min: finite });
  return (t, base) => {
    let [since, period] = [t, t0];
    if (tMult === 1) since %= t0;
    for (; since >= period; period *= tMult) since -= period;
    return min + (base - min) * halfCosine(since / period);
  };
}

/**
 * Brings the rate from base·startFactor (1/3 if not given) to base·endFactor (1 if not given) along a line in `total` steps, and
 * leaves it there: a warm-up, or with the factors the other way round a decay.
 *
 * @example
 * new Scheduler(sgd, { lr: schedules.linear({ startFactor: 0.1, total: 500 }) });
 */
export function linear(options: {
  readonly total: number;
  readonly startFactor?: number;
  readonly endFactor?: number;
}): Schedule {
  const { total, startFactor = 1 / 3, endFactor = 1 } = options ?? {};
  const rules = { total: positive, startFactor: notNegative, endFactor: notNegative };
  check("linear", { ...options, startFactor, endFactor }, rules);
  return (t, base) => base * (startFactor + (endFactor - startFactor) * progress(t, total));
}

/**
 * Brings the rate to 0 in `total` steps along a power of what is left: base·(1 − t/total)^power, the power being 1 if not given.
 *
 * @example
 * schedules.polynomial({ total: 10, power: 2 })(5, 1); // 0.25
 */
export function polynomial(options: { readonly total: number; readonly power?: number }): Schedule {
  const { total, power = 1 } = options ?? {};
  check("polynomial", { ...options, power }, { total: positive, power: notNegative });
  return (t, base) => base * (1 - progress(t, total)) ** power;
}

/** What warms up in so many steps: base/warmup in step 0, base in the last of them. */
const warming = (t: number, base: number, warmup: number): number => (base * (t + 1)) / warmup;

/**
 * The schedule of most transformers: up to the rate along a line in `warmup` steps, down to base·minRatio (0 if not given) along
 * half a cosine until step `total`, and there it stays.
 *
 * @example
 * new Scheduler(adamw, { lr: schedules.warmupCosine({ warmup: 100, total: 10_000, minRatio: 0.1 }) });
 */
export function warmupCosine(options: {
  readonly warmup: number;
  readonly total: number;
  readonly minRatio?: number;
}): Schedule {
  const { warmup, total, minRatio = 0 } = options ?? {};
  const longer: Rule = [(v) => v >= warmup, "give the steps of the warm-up and those after it together"];
  check(
    "warmupCosine",
    { ...options, minRatio },
    { warmup: notNegative, total: longer, minRatio: notNegative },
  );
  return (t, base) =>
    t < warmup
      ? warming(t, base, warmup)
      : base * (minRatio + (1 - minRatio) * halfCosine(progress(t - warmup, total - warmup)));
}

/**
 * The schedule of the first transformer: up to the rate along a line in `warmup` steps, then down with the root of the step:
 * base·√(warmup/(t + 1)). Source: Vaswani et al. 2017, eq. 3, in which the rate is the top.
 *
 * @example
 * new Scheduler(adam, { lr: schedules.inverseSqrt({ warmup: 4000 }) });
 */
export function inverseSqrt(options: { readonly warmup: number }): Schedule {
  check("inverseSqrt", options, { warmup: notNegative });
  const { warmup } = options;
  return (t, base) =>
    t < warmup ? warming(t, base, warmup) : base * Math.sqrt(Math.max(warmup, 1) / (t + 1));
}

/** Options of `oneCycle`. */
export interface OneCycleOptions {
  /** The rate at the top. */
  readonly max: number;
  /** Steps of the cycle. */
  readonly total: number;
  /** Share of them in which the rate rises; 0.3 by default. */
  readonly pctStart?: number;
  /** The first rate is max/divFactor; 25 by default. */
  readonly divFactor?: number;
  /** The last rate is the first over this; 10,000 by default. */
  readonly finalDivFactor?: number;
  /** Along half a cosine (default) or a line. */
  readonly anneal?: "cos" | "linear";
  /** Falls as long as it rose, and from the first rate to the last in what remains. */
  readonly threePhase?: boolean;
  /** The momentum where the rate is highest; 0.85 by default. */
  readonly baseMomentum?: number;
  /** The momentum at both ends; 0.95 by default. */
  readonly maxMomentum?: number;
}

/**
 * One cycle: the rate rises to `max` and falls far below where it began, while the momentum does the opposite. Gives a schedule
 * for each; what the options began as does not matter. After the cycle both stay at their last values. Throws DomainError
 * and ArgumentError for options that make no sense. Source: Smith & Topin 2018; the conventions are PyTorch's.
 *
 * @example
 * new Scheduler(sgd, schedules.oneCycle({ max: 0.4, total: 1000 }));
 * const { lr, momentum } = schedules.oneCycle({ max: 4e-3, total: 1000 });
 * new Scheduler(adam, { lr, betas: (t, [β1, β2]) => [momentum(t, β1), β2] });
 */
export function oneCycle(options: OneCycleOptions): { readonly lr: Schedule; readonly momentum: Schedule } {
  const place = "oneCycle";
  const given = {
    pctStart: 0.3,
    divFactor: 25,
    finalDivFactor: 1e4,
    baseMomentum: 0.85,
    maxMomentum: 0.95,
    ...options,
  };
  const rules = {
    max: notNegative,
    total: positive,
    pctStart: share,
    divFactor: positive,
    finalDivFactor: positive,
    baseMomentum: notNegative,
    maxMomentum: notNegative,
  };
  check(place, given, rules, ["anneal", "threePhase"]);
  const { anneal = "cos", threePhase = false } = given;
  checkWord(place, "anneal", anneal, ["cos", "linear"]);
  checkFlag(place, "threePhase", threePhase);
  const { max, total, pctStart, divFactor, finalDivFactor, baseMomentum: low, maxMomentum: high } = given;
  const [first, last] = [max / divFactor, max / divFactor / finalDivFactor];
  const top = pctStart * total - 1;
  // Where each phase ends, and what both are there.
  const phases: readonly (readonly [end: number, lr: number, momentum: number])[] = [
    [0, first, high],
    [top, max, low],
    ...(threePhase ? [[2 * top, first, high] as const] : []),
    [total - 1, last, high],
  ];
  const along =
    (which: 1 | 2): Schedule =>
    (t) => {
      const next = phases.findIndex(([end], i) => i > 0 && t <= end);
      const k = next < 0 ? phases.length - 1 : next;
      const [from, to] = [phases[k - 1]!, phases[k]!];
      const left = 1 - progress(t - from[0], to[0] - from[0]);
      return to[which] + (from[which] - to[which]) * (anneal === "cos" ? halfCosine(1 - left) : left);
    };
  return { lr: along(1), momentum: along(2) };
}
