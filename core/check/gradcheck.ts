// Gradients against central differences, in f64, for any function of tensors.
// Knows no op: it calls the function, moves one entry at a time, and compares. It never decides what the right gradient is.

import { tensor } from "../create.ts";
import { dtypes, isFloat } from "../dtype.ts";
import { ArgumentError, DomainError, DTypeError, GradientError, showShape, showValue } from "../errors.ts";
import { Parameter } from "../parameter.ts";
import { normal, permutation, randomKey, split } from "../random.ts";
import { eachTensor, isRecord, scope } from "../scope.ts";
import { vjp } from "../tape.ts";
import { hostCopy, Tensor } from "../tensor.ts";

/** What a checked function may return: a tensor, or an array or record of tensors. */
export type Outputs = Tensor | readonly Tensor[] | { readonly [name: string]: Tensor };

/** How a gradient is checked. */
export interface GradcheckOptions {
  /** Chooses the cotangents and, of large inputs, the entries that are moved; 0 when not said. */
  readonly seed?: number;
  /** Largest accepted difference, relative to the gradient where that is larger than 1; 1e-6 when not said. */
  readonly tolerance?: number;
  /** How many entries are moved, chosen at random where there are more; 200 when not said. */
  readonly entries?: number;
  /** The share of entries that may lie on kinks, where there is no derivative to compare with; ¼ when not said. */
  readonly kinks?: number;
}

/** What a check that passed has found. */
export interface GradcheckReport {
  /** Entries whose derivative was compared. */
  readonly checked: number;
  /** Entries left out because they lie on a kink. */
  readonly kinks: number;
  /** The entry with the largest difference. */
  readonly worst: Comparison;
}

/** A derivative with respect to one entry of an input, as the tape gives it and as differences do. */
export interface Comparison {
  /** Where the input stands: `argument 1.weight`. */
  readonly input: string;
  /** The entry of the input. */
  readonly index: readonly number[];
  readonly analytic: number;
  readonly numeric: number;
}

const { eps } = dtypes.f64;
/** Near the cube root of eps, where truncation and rounding of a central difference are about equal; a power of 2 adds no rounding. */
const firstStep = 2 ** -17;
/** Where the first step disagrees, shorter ones tell a kink or a strong curvature from a wrong gradient. */
const steps: readonly number[] = [firstStep, firstStep / 8, firstStep / 64, firstStep / 512];

/**
 * Compares the gradient of a function of tensors with central differences, for random cotangents of all that it returns, and
 * says how close they are. A cotangent of ones would hide most mistakes: rows of probabilities sum to one.
 *
 * The inputs are the arguments of the function: f64 tensors, f64 parameters, arrays and records of them; integers and all else
 * are passed as they are. An entry at a kink (where the slopes on its two sides stay apart as the step shrinks) is left out.
 * Throws GradientError with the worst entry when a derivative is wrong, when too many entries lie on kinks, when the value is NaN or does not depend
 * on an input; DTypeError for f32 inputs, whose differences have no digits.
 *
 * @example
 * import { tensor } from "simplexgrad";
 * import { gradcheck } from "simplexgrad/check";
 * import { matmul, softmax } from "simplexgrad/ops";
 *
 * const x = tensor([[1, -2, 0.5]], { dtype: "f64" });
 * const w = tensor([[1, 2], [0, 1], [3, -1]], { dtype: "f64" });
 * gradcheck((x, w) => softmax(matmul(x, w)), [x, w]); // { checked: 9, kinks: 0, worst: … }
 */
export function gradcheck<const A extends readonly unknown[]>(
  f: (...inputs: A) => Outputs,
  inputs: A,
  options: GradcheckOptions = {},
): GradcheckReport {
  return compare("gradcheck", f as Checked, inputs, options);
}

/**
 * As `gradcheck`, for the second derivative: the gradient itself is differentiated, with respect to the inputs and to the
 * cotangents, and compared with differences of the gradient.
 *
 * @example
 * import { tensor } from "simplexgrad";
 * import { gradgradcheck } from "simplexgrad/check";
 * import { softmax } from "simplexgrad/ops";
 *
 * gradgradcheck(softmax, [tensor([1, -2, 0.5], { dtype: "f64" })]);
 */
export function gradgradcheck<const A extends readonly unknown[]>(
  f: (...inputs: A) => Outputs,
  inputs: A,
  options: GradcheckOptions = {},
): GradcheckReport {
  const place = "gradgradcheck";
  checkArguments(place, f, inputs);
  return scope(() => {
    const values = floatsOf((f as Checked)(...inputs));
    const cotangents = randomLike(values, options.seed ?? 0);
    const count = inputs.length;
    const gradient: Checked = (...all) => {
      const floats: Checked = (...args) => floatsOf(f(...(args as unknown as A)));
      const found = vjp(floats, ...all.slice(0, count)).pullback(all.slice(count) as Tensor[]);
      // A gradient need not depend on every input. The inputs themselves are returned too: what they add is known.
      return [...tensorsOf(found), ...floatsOf(all)];
    };
    const name = (i: number): string => (i < count ? `argument ${i}` : `cotangent ${i - count}`);
    return compare(place, gradient, [...inputs, ...cotangents], options, name);
  });
}

type Checked = (...inputs: readonly unknown[]) => Outputs;

/** A tensor or parameter among the inputs. */
interface Leaf {
  readonly path: string;
  readonly leaf: Tensor | Parameter;
}

function compare(
  place: string,
  f: Checked,
  inputs: readonly unknown[],
  options: GradcheckOptions,
  name = (i: number): string => `argument ${i}`,
): GradcheckReport {
  checkArguments(place, f, inputs);
  const { seed = 0, tolerance = 1e-6, entries = 200, kinks: share = 0.25 } = options;
  for (const [option, v] of Object.entries({ seed, tolerance, entries, kinks: share })) {
    if (typeof v !== "number" || !(v >= 0))
      throw new DomainError(place, `${option} is ${showValue(v)}`, "give a number of at least 0");
  }
  return scope(() => {
    const leaves = leavesOf(place, inputs, name);
    const at = leaves.map(({ leaf }) => hostCopy(tensorOf(leaf)) as Float64Array);
    leaves.forEach(({ path }, i) => {
      if (at[i]!.some(Number.isNaN)) throw new GradientError(place, `${path} holds NaN`, "check at numbers");
    });

    // The tape's answer.
    const floats: Checked = (...args) => floatsOf(f(...args));
    const { value, pullback } = vjp(floats, ...inputs) as {
      value: readonly Tensor[];
      pullback: (g: readonly Tensor[]) => unknown;
    };
    if (value.length === 0)
      throw new GradientError(
        place,
        "the function returned no float tensor",
        "return what is to be differentiated",
      );
    const cotangents = randomLike(value, seed);
    const analytic = tensorsOf(pullback(cotangents)).map((t) => hostCopy(t));
    const weights = joined(cotangents);
    const centre = joined(value);
    const nan = centre.findIndex(Number.isNaN);
    if (nan >= 0)
      throw new GradientError(
        place,
        `entry ${nan} of the value is NaN`,
        "check where the function has a value",
      );

    /** The values of the function with one entry of one leaf moved to `to`. */
    const moved = (leaf: number, entry: number, to: number): Float64Array =>
      scope(() => {
        const data = at[leaf]!.slice();
        data[entry] = to;
        const old = leaves[leaf]!.leaf;
        const { shape, device } = tensorOf(old);
        const fresh = tensor(data, { shape, device, dtype: "f64" });
        if (!(old instanceof Parameter)) return joined(floatsOf(f(...withLeaf(inputs, leaf, fresh))));
        const before = old.value;
        try {
          old.value = fresh;
          return joined(floatsOf(f(...inputs)));
        } finally {
          old.value = before;
        }
      });

    let worst: Comparison = { input: leaves[0]!.path, index: [], analytic: 0, numeric: 0 };
    let largest = -1;
    let checked = 0;
    let kinks = 0;
    for (const [leaf, entry] of chosen(at, entries, seed)) {
      const x = at[leaf]![entry]!;
      const a = analytic[leaf]![entry]!;
      const slopes = (step: number): Slopes => {
        // Beyond 2¹⁷ the spacing of numbers asks for a longer step.
        const h = step * Math.max(1, Math.abs(x) / 2 ** 17);
        return slopesOf(
          weights,
          centre,
          x,
          x + h,
          moved(leaf, entry, x + h),
          x - h,
          moved(leaf, entry, x - h),
        );
      };
      // What is infinite does not move: its derivative is 0.
      const verdict = Number.isFinite(x)
        ? judge(a, slopes, tolerance)
        : { numeric: 0, agrees: a === 0, kink: false };
      const { numeric } = verdict;
      if (verdict.kink) {
        kinks++;
        continue;
      }
      checked++;
      const { path } = leaves[leaf]!;
      const index = positionOf(entry, tensorOf(leaves[leaf]!.leaf).shape);
      if (!verdict.agrees) {
        throw new GradientError(
          place,
          `the derivative with respect to ${path} at ${showShape(index)} is ${numeric} by differences, but ${a} by the tape`,
          "correct the gradient of an op on the way, or the point where it is checked",
        );
      }
      const distance = Math.abs(a - numeric);
      if (distance > largest) {
        largest = distance;
        worst = { input: path, index, analytic: a, numeric };
      }
    }
    if (kinks > share * (kinks + checked)) {
      throw new GradientError(
        place,
        `${kinks} of ${kinks + checked} entries lie on kinks, where no derivative exists`,
        "check at inputs away from them",
      );
    }
    return { checked, kinks, worst };
  });
}

/** What the values at two sides say of the derivative. */
interface Slopes {
  readonly central: number;
  /** Slope on the right less slope on the left. */
  readonly bend: number;
  /** What rounding alone may add to a slope. */
  readonly noise: number;
}

function slopesOf(
  weights: Float64Array,
  centre: Float64Array,
  x: number,
  right: number,
  above: Float64Array,
  left: number,
  below: Float64Array,
): Slopes {
  let up = 0;
  let down = 0;
  let size = 0;
  for (let k = 0; k < weights.length; k++) {
    const w = weights[k]!;
    up += w * difference(above[k]!, centre[k]!);
    down += w * difference(centre[k]!, below[k]!);
    if (Number.isFinite(centre[k]!))
      size += Math.abs(w) * Math.max(Math.abs(above[k]!), Math.abs(centre[k]!), Math.abs(below[k]!));
  }
  return {
    central: (up + down) / (right - left),
    bend: up / (right - x) - down / (x - left),
    // A value is trusted to some sixteen units in its last place.
    noise: (16 * eps * size) / (right - left),
  };
}

/** An infinite value that stays contributes nothing. */
const difference = (a: number, b: number): number => (a === b ? 0 : a - b);

/** Whether a derivative agrees with the slopes, and if not, whether there is one: at a kink the bend stays as the step shrinks. */
function judge(
  analytic: number,
  slopes: (step: number) => Slopes,
  tolerance: number,
): { numeric: number; agrees: boolean; kink: boolean } {
  let first: Slopes | undefined;
  let closest = Number.NaN;
  let bends = true;
  for (const step of steps) {
    const found = slopes(step);
    first ??= found;
    const allowed = tolerance * Math.max(1, Math.abs(analytic), Math.abs(found.central)) + found.noise;
    if (Math.abs(analytic - found.central) <= allowed)
      return { numeric: found.central, agrees: true, kink: false };
    if (!(Math.abs(analytic - found.central) > Math.abs(analytic - closest))) closest = found.central;
    bends &&= Math.abs(found.bend) > Math.max(Math.abs(first.bend) / 2, allowed, 4 * found.noise);
  }
  return { numeric: closest, agrees: false, kink: bends };
}

/** Places of entries to move: all, or as many as allowed, every leaf in turn. */
function* chosen(
  leaves: readonly Float64Array[],
  limit: number,
  seed: number,
): Generator<readonly [leaf: number, entry: number]> {
  const total = leaves.reduce((sum, data) => sum + data.length, 0);
  const orders = leaves.map((data, i) =>
    total <= limit
      ? [...data.keys()]
      : permutation(data.length, { key: split(randomKey(seed), i + 2)[i + 1]! }).toArray(),
  );
  let left = Math.min(total, limit);
  for (let turn = 0; left > 0; turn++) {
    for (let leaf = 0; leaf < leaves.length && left > 0; leaf++) {
      const entry = orders[leaf]![turn];
      if (entry === undefined) continue;
      yield [leaf, entry];
      left--;
    }
  }
}

function checkArguments(place: string, f: unknown, inputs: unknown): void {
  if (typeof f !== "function")
    throw new ArgumentError(place, `${showValue(f)} is not a function`, "give a function of tensors");
  if (!Array.isArray(inputs))
    throw new ArgumentError(
      place,
      `the inputs are ${showValue(inputs)}`,
      "give an array: the arguments of the function",
    );
}

const tensorOf = (leaf: Tensor | Parameter): Tensor => (leaf instanceof Parameter ? leaf.value : leaf);

/** The float tensors and parameters among the inputs, in the order in which the tape finds them. */
function leavesOf(place: string, inputs: readonly unknown[], name: (i: number) => string): Leaf[] {
  const leaves: Leaf[] = [];
  const visit = (value: unknown, path: string): void => {
    if (value instanceof Tensor || value instanceof Parameter) {
      if (value.dtype === "f32")
        throw new DTypeError(
          place,
          `${path} is f32, and differences of f32 have no digits`,
          'give f64: tensor(…, { dtype: "f64" })',
        );
      if (isFloat(value.dtype)) leaves.push({ path, leaf: value });
    } else if (Array.isArray(value)) value.forEach((item, i) => void visit(item, `${path}[${i}]`));
    else if (isRecord(value)) for (const [key, item] of Object.entries(value)) visit(item, `${path}.${key}`);
  };
  inputs.forEach((value, i) => void visit(value, name(i)));
  if (leaves.length === 0)
    throw new ArgumentError(
      place,
      "the inputs hold no f64 tensor",
      "give the function what to differentiate with respect to",
    );
  return leaves;
}

/** The inputs with another tensor in the place of the i-th leaf. */
function withLeaf(inputs: readonly unknown[], i: number, fresh: Tensor): unknown[] {
  let next = 0;
  const copy = (value: unknown): unknown => {
    if (value instanceof Tensor || value instanceof Parameter)
      return isFloat(value.dtype) && next++ === i ? fresh : value;
    if (Array.isArray(value)) return value.map(copy);
    if (isRecord(value))
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)]));
    return value;
  };
  return inputs.map(copy);
}

function tensorsOf(value: unknown): Tensor[] {
  const found: Tensor[] = [];
  eachTensor(value, (t) => found.push(t));
  return found;
}

/** The tensors that carry gradients; integers and truth values carry none. */
const floatsOf = (value: unknown): Tensor[] => tensorsOf(value).filter((t) => isFloat(t.dtype));

function randomLike(values: readonly Tensor[], seed: number): Tensor[] {
  const keys = split(randomKey(seed), values.length);
  return values.map((t, i) => normal(t.shape, { key: keys[i]!, dtype: t.dtype as "f64", device: t.device }));
}

/** All entries of several tensors in one array. */
function joined(tensors: readonly Tensor[]): Float64Array {
  const parts = tensors.map((t) => hostCopy(t));
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let start = 0;
  for (const part of parts) {
    all.set(part, start);
    start += part.length;
  }
  return all;
}

function positionOf(entry: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length);
  let rest = entry;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return index;
}
