// An output layer of very many classes whose every step is exact and costs O(d²), whatever their number: for losses that read
// the scores through their sum, their square sum and the few target entries. A state of its own in doubles on the host, since
// nothing in it is the size of the classes but a matrix of which a step touches single rows. Plain SGD; no Module, as there is
// no gradient of the weights to give away.

import { type CreateOptions, tensor } from "../../core/create.ts";
import { type FloatDType, isFloat } from "../../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { randomWords } from "../../core/random.ts";
import type { Shape } from "../../core/shape.ts";
import { hostCopy, Tensor } from "../../core/tensor.ts";
import { unitDouble } from "../../core/threefry.ts";
import { type LayerRandomness, layerKey } from "../keys.ts";

/** Options of `SphericalOutput`. */
export interface SphericalOptions extends LayerRandomness {
  /** Σ(o − y)² for a sparse y, or the negative log-probability of the spherical or the Taylor softmax (default). */
  readonly loss?: "squared" | "logSpherical" | "logTaylor";
  /** ε > 0 of the spherical softmax, (o² + ε)/Σ(o² + ε); 0.01 by default. */
  readonly eps?: number;
  /** Where the weights begin: a float tensor [classes, inFeatures]. Drawn uniformly within ±1/√inFeatures by default. */
  readonly weight?: Tensor;
  /** Steps after which the factors are multiplied out; by default as many as cost what that costs, at least 1000. */
  readonly rebuildEvery?: number;
}

/** What a step gives: the loss before it, and the gradient of the features. */
export interface SphericalStep {
  readonly loss: number;
  readonly gradH: Float64Array;
}

/** A loss and its output gradient α·o + β + γ, with γ on the targets alone. */
interface Output {
  readonly loss: number;
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: Float64Array;
}

/** Below this a factor of U counts as singular. */
const singular = 0.05;
/** How far hᵀU⁻¹U may be from hᵀ, relative to its largest entry. */
const drift = 1e-8;

/** M·v for a matrix of rows of d. */
function timesColumn(m: Float64Array, v: Float64Array): Float64Array {
  const d = v.length;
  const out = new Float64Array(m.length / d);
  const whole = d & ~3;
  for (let i = 0, at = 0; i < out.length; i++, at += d) {
    // Four sums, since each addition waits for the one before it.
    let [a, b, c, e] = [0, 0, 0, 0];
    for (let j = 0; j < whole; j += 4) {
      a += m[at + j]! * v[j]!;
      b += m[at + j + 1]! * v[j + 1]!;
      c += m[at + j + 2]! * v[j + 2]!;
      e += m[at + j + 3]! * v[j + 3]!;
    }
    for (let j = whole; j < d; j++) a += m[at + j]! * v[j]!;
    out[i] = a + b + (c + e);
  }
  return out;
}

/** vᵀ·M for a square matrix, where v may be a row of another. Four rows go in at a time: the result is written less often. */
function rowTimes(v: Float64Array, m: Float64Array, d: number = v.length, from = 0): Float64Array {
  const out = new Float64Array(d);
  const whole = d & ~3;
  for (let i = 0; i < whole; i += 4) {
    const [a, b, c, e] = [v[from + i]!, v[from + i + 1]!, v[from + i + 2]!, v[from + i + 3]!];
    const at = i * d;
    for (let j = 0; j < d; j++)
      out[j] =
        out[j]! + a * m[at + j]! + b * m[at + d + j]! + (c * m[at + 2 * d + j]! + e * m[at + 3 * d + j]!);
  }
  for (let i = whole; i < d; i++) addScaled(out, v[from + i]!, m, i * d);
  return out;
}

/** out += factor · a row of a matrix. */
function addScaled(out: Float64Array, factor: number, m: Float64Array, at: number): void {
  for (let j = 0; j < out.length; j++) out[j] = out[j]! + factor * m[at + j]!;
}

/** M += factor · u vᵀ. */
function addOuter(m: Float64Array, factor: number, u: Float64Array, v: Float64Array): void {
  const d = v.length;
  for (let i = 0, at = 0; i < u.length; i++, at += d) {
    const f = factor * u[i]!;
    for (let j = 0; j < d; j++) m[at + j] = m[at + j]! + f * v[j]!;
  }
}

function dot(u: Float64Array, v: Float64Array, at = 0): number {
  let total = 0;
  for (let j = 0; j < v.length; j++) total += u[at + j]! * v[j]!;
  return total;
}

const sumOf = (v: Float64Array): number => v.reduce((a, b) => a + b, 0);

function identity(d: number): Float64Array {
  const m = new Float64Array(d * d);
  for (let i = 0; i < d; i++) m[i * (d + 1)] = 1;
  return m;
}

/**
 * A linear output layer o = W·h of D classes together with its loss, trained by exact steps of SGD in about 12d² operations each:
 * what a dense step does to all D·d weights, without touching more than the rows of the targets. W is held as V·U + 1·ωᵀ, with
 * U⁻¹, WᵀW and Wᵀ1 beside it. One example a step; rates may change from step to step, but there is no momentum and no Adam, whose
 * state is dense.
 *
 * The factors are multiplied out (O(D·d²), the cost of the set-up) every `rebuildEvery` steps, before a step that would make U
 * nearly singular, and when U⁻¹ has drifted from U by more than 1e-8. All of it is in f64 on the host, on every device; features
 * that are on a GPU are read with `await h.data()`. Vincent, de Brébisson & Bouthillier 2015; losses: de Brébisson & Vincent 2016.
 *
 * @example
 * const output = new SphericalOutput(2, 1000, { loss: "logTaylor", seed: 0 });
 * const { loss, gradH } = output.step([0.5, -1], 17, { lr: 0.1 });
 * // below the layer: the gradient of sum(mul(h, tensor(gradH)))
 */
export class SphericalOutput {
  readonly inFeatures: number;
  readonly classes: number;
  readonly loss: "squared" | "logSpherical" | "logTaylor";
  readonly eps: number;
  readonly rebuildEvery: number;

  private readonly v: Float64Array;
  private u: Float64Array;
  private inverse: Float64Array;
  /** WᵀW. */
  private q: Float64Array;
  private readonly omega: Float64Array;
  /** Wᵀ1. */
  private nu: Float64Array;
  /** Steps since the factors were multiplied out. */
  private steps = 0;

  constructor(inFeatures: number, classes: number, options: SphericalOptions = {}) {
    const place = "SphericalOutput";
    checkOptions(place, options, ["loss", "eps", "weight", "rebuildEvery", "key", "seed"]);
    for (const size of [inFeatures, classes])
      if (!Number.isSafeInteger(size) || size < 1)
        throw new ShapeError(
          place,
          `the size ${showValue(size)} is not a number of features or classes`,
          "give 1, 2, 3, …",
        );
    const { loss = "logTaylor", eps = 0.01, weight } = options;
    const { rebuildEvery = Math.max(1000, Math.ceil(classes / 4)) } = options;
    if (loss !== "squared" && loss !== "logSpherical" && loss !== "logTaylor")
      throw new ArgumentError(
        place,
        `loss is ${showValue(loss)}`,
        'give "squared", "logSpherical" or "logTaylor"',
      );
    if (typeof eps !== "number" || !(eps > 0 && eps < Number.POSITIVE_INFINITY))
      throw new DomainError(place, `eps is ${showValue(eps)}`, "give a number greater than 0");
    if (!Number.isInteger(rebuildEvery) || rebuildEvery < 1)
      throw new DomainError(
        place,
        `rebuildEvery is ${showValue(rebuildEvery)}`,
        "give a number of steps from 1",
      );
    this.inFeatures = inFeatures;
    this.classes = classes;
    this.loss = loss;
    this.eps = eps;
    this.rebuildEvery = rebuildEvery;
    const size = classes * inFeatures;
    if (weight === undefined) {
      const reach = 1 / Math.sqrt(inFeatures);
      const words = randomWords(layerKey(place, options, inFeatures, classes), 2 * size);
      this.v = new Float64Array(size);
      for (let i = 0; i < size; i++)
        this.v[i] = reach * (2 * unitDouble(words[2 * i]!, words[2 * i + 1]!) - 1);
    } else {
      if (!(weight instanceof Tensor) || !isFloat(weight.dtype))
        throw new ArgumentError(place, `weight is ${showValue(weight)}`, "give a float tensor");
      if (weight.rank !== 2 || weight.shape[0] !== classes || weight.shape[1] !== inFeatures)
        throw new ShapeError(
          place,
          `weight has shape ${showShape(weight.shape)}`,
          `give ${showShape([classes, inFeatures])}`,
        );
      this.v = Float64Array.from(hostCopy(weight));
    }
    this.omega = new Float64Array(inFeatures);
    [this.u, this.inverse] = [identity(inFeatures), identity(inFeatures)];
    [this.q, this.nu] = this.moments();
  }

  /** All scores W·h of an example, in O(D·d): for evaluation. */
  scores(h: ArrayLike<number> | Tensor): Float64Array {
    const features = this.features(h);
    const scores = timesColumn(this.v, timesColumn(this.u, features));
    const shared = dot(this.omega, features);
    return scores.map((score) => score + shared);
  }

  /** W as a tensor [classes, inFeatures]: f32 on the current device unless options say otherwise. */
  weight<D extends FloatDType = "f32">(options: CreateOptions<D> = {}): Tensor<Shape, D> {
    this.rebuild();
    const shape = [this.classes, this.inFeatures];
    return tensor(this.v, { dtype: "f32" as D, ...options, shape }) as Tensor<Shape, D>;
  }

  /**
   * One step of SGD on the loss of an example: features of `inFeatures` numbers, and its class; for "squared" any classes at
   * which y is not 0, with its values there (1 unless `value` is given; those of a class that is named twice add up).
   */
  step(
    h: ArrayLike<number> | Tensor,
    target: number | ArrayLike<number>,
    options: { readonly lr: number; readonly value?: number | ArrayLike<number> },
  ): SphericalStep {
    checkOptions("SphericalOutput", options, ["lr", "value"]);
    const { lr } = options ?? {};
    if (typeof lr !== "number" || !(lr >= 0 && lr < Number.POSITIVE_INFINITY))
      throw new DomainError("SphericalOutput", `lr is ${showValue(lr)}`, "give a number from 0");
    const features = this.features(h);
    const [targets, values] = this.targets(target, options.value);
    const norm = dot(features, features);
    if (this.steps >= this.rebuildEvery) this.rebuild();
    let left = rowTimes(features, this.inverse);
    if (this.hasDrifted(left, features)) {
      this.rebuild();
      left = features.slice();
    }

    const d = this.inFeatures;
    const through = timesColumn(this.u, features);
    const hat = timesColumn(this.q, features);
    // Rounding must not make a square sum negative.
    const s = Math.max(0, dot(features, hat));
    const q = dot(this.nu, features);
    const shared = dot(this.omega, features);
    const own = Float64Array.from(targets, (t) => dot(this.v, through, t * d) + shared);
    const { loss, alpha, beta, gamma } = this.output(s, q, own, values);
    const total = sumOf(gamma);

    const touched = new Float64Array(d);
    targets.forEach((t, i) => {
      addScaled(touched, gamma[i]!, this.v, t * d);
    });
    const gradH = rowTimes(touched, this.u);
    for (let j = 0; j < d; j++)
      gradH[j] = gradH[j]! + alpha * hat[j]! + beta * this.nu[j]! + total * this.omega[j]!;

    const square =
      alpha * alpha * s +
      beta * beta * this.classes +
      dot(gamma, gamma) +
      2 * (alpha * beta * q + alpha * dot(gamma, own) + beta * total);
    const factor = 1 - lr * alpha * norm;
    if (Math.abs(factor) < singular) this.denseStep(features, lr, alpha, beta, targets, gamma);
    else {
      this.steps++;
      addOuter(this.u, -lr * alpha, through, features);
      addOuter(this.inverse, (lr * alpha) / factor, features, left);
      addScaled(this.omega, -lr * (alpha * shared + beta), features, 0);
      targets.forEach((t, i) => {
        const f = (lr * gamma[i]!) / factor;
        for (let j = 0; j < d; j++) this.v[t * d + j] = this.v[t * d + j]! - f * left[j]!;
      });
      addScaled(this.nu, -lr * (alpha * q + beta * this.classes + total), features, 0);
      // h∇ᵀ + ∇hᵀ − η‖g‖²hhᵀ is h·aᵀ + a·hᵀ with a = ∇ − η‖g‖²h/2.
      const a = gradH.slice();
      addScaled(a, (-lr * square) / 2, features, 0);
      addBoth(this.q, -lr, features, a);
    }
    return { loss, gradH };
  }

  /** Multiplies the factors out, V ← V·U + 1·ωᵀ, and sums WᵀW and Wᵀ1 anew. */
  rebuild(): void {
    if (this.steps === 0) return;
    const d = this.inFeatures;
    for (let at = 0; at < this.v.length; at += d) {
      const row = rowTimes(this.v, this.u, d, at);
      for (let j = 0; j < d; j++) this.v[at + j] = row[j]! + this.omega[j]!;
    }
    this.settle();
  }

  /** What holds where V is W. */
  private settle(): void {
    [this.u, this.inverse] = [identity(this.inFeatures), identity(this.inFeatures)];
    this.omega.fill(0);
    [this.q, this.nu] = this.moments();
    this.steps = 0;
  }

  /** VᵀV and Vᵀ1, four rows at a time. */
  private moments(): [square: Float64Array, sum: Float64Array] {
    const { v, inFeatures: d } = this;
    const [square, sum] = [new Float64Array(d * d), new Float64Array(d)];
    // Rows beyond the last are zero.
    let rows = v;
    for (let at = 0; at < v.length; at += 4 * d) {
      let first = at;
      if (at + 4 * d > v.length) {
        rows = new Float64Array(4 * d);
        rows.set(v.subarray(at));
        first = 0;
      }
      const [second, third, fourth] = [first + d, first + 2 * d, first + 3 * d];
      for (let i = 0; i < d; i++) {
        const [a, b, c, e] = [rows[first + i]!, rows[second + i]!, rows[third + i]!, rows[fourth + i]!];
        sum[i] = sum[i]! + (a + b + (c + e));
        const to = i * d;
        for (let j = i; j < d; j++)
          square[to + j] =
            square[to + j]! +
            (a * rows[first + j]! + b * rows[second + j]! + (c * rows[third + j]! + e * rows[fourth + j]!));
      }
    }
    for (let i = 0; i < d; i++) for (let j = 0; j < i; j++) square[i * d + j] = square[j * d + i]!;
    return [square, sum];
  }

  /** Whether hᵀU⁻¹ has become something else: what a step gives to the rows of targets would be wrong by as much. */
  private hasDrifted(left: Float64Array, h: Float64Array): boolean {
    const back = rowTimes(left, this.u);
    let [error, size] = [0, 0];
    for (let j = 0; j < h.length; j++) {
      error = Math.max(error, Math.abs(back[j]! - h[j]!));
      size = Math.max(size, Math.abs(h[j]!));
    }
    return error > drift * size;
  }

  /** The step as it stands in the books, for one that would make U singular. */
  private denseStep(
    h: Float64Array,
    lr: number,
    alpha: number,
    beta: number,
    targets: readonly number[],
    gamma: Float64Array,
  ): void {
    const d = this.inFeatures;
    this.rebuild();
    const extra = new Map(targets.map((t, i) => [t, gamma[i]!]));
    for (let t = 0; t < this.classes; t++) {
      const g = alpha * dot(this.v, h, t * d) + beta + (extra.get(t) ?? 0);
      for (let j = 0; j < d; j++) this.v[t * d + j] = this.v[t * d + j]! - lr * g * h[j]!;
    }
    this.settle();
  }

  /** The loss and its output gradient, from the square sum, the sum and the scores of the targets. */
  private output(s: number, q: number, own: Float64Array, values: Float64Array): Output {
    const { classes, eps } = this;
    if (this.loss === "squared") {
      const loss = s - 2 * dot(values, own) + dot(values, values);
      return { loss: Math.max(0, loss), alpha: 2, beta: 0, gamma: values.map((y) => -2 * y) };
    }
    const [o] = own as unknown as [number];
    if (this.loss === "logSpherical") {
      const [all, right] = [s + classes * eps, o * o + eps];
      const gamma = Float64Array.of((-2 * o) / right);
      return { loss: Math.log(all) - Math.log(right), alpha: 2 / all, beta: 0, gamma };
    }
    const [all, right] = [classes + q + s / 2, 1 + o + (o * o) / 2];
    const gamma = Float64Array.of(-(1 + o) / right);
    return { loss: Math.log(all) - Math.log(right), alpha: 1 / all, beta: 1 / all, gamma };
  }

  private features(h: ArrayLike<number> | Tensor): Float64Array {
    const data = h instanceof Tensor ? hostCopy(h) : h;
    if (typeof data !== "object" || data === null || typeof data.length !== "number")
      throw new ArgumentError(
        "SphericalOutput",
        `the features are ${showValue(h)}`,
        "give an array or a tensor",
      );
    if (data.length !== this.inFeatures)
      throw new ShapeError(
        "SphericalOutput",
        `${data.length} features are given, where the layer takes ${this.inFeatures}`,
        "give one example",
      );
    return Float64Array.from(data);
  }

  /** Classes, each once, with the values of y there. */
  private targets(
    target: number | ArrayLike<number>,
    value: number | ArrayLike<number> | undefined,
  ): [targets: readonly number[], values: Float64Array] {
    const place = "SphericalOutput";
    const list = (given: number | ArrayLike<number>, name: string): number[] => {
      if (typeof given === "number") return [given];
      if (typeof given !== "object" || given === null || typeof given.length !== "number")
        throw new ArgumentError(
          place,
          `${name} is ${showValue(given)}`,
          "give a number or an array of numbers",
        );
      return Array.from(given);
    };
    const classes = list(target, "target");
    classes.forEach((t, i) => {
      if (!Number.isInteger(t) || t < 0 || t >= this.classes)
        throw new DomainError(
          place,
          `target[${i}] is ${showValue(t)}`,
          `classes lie in [0, ${this.classes})`,
        );
    });
    if (this.loss !== "squared") {
      if (classes.length !== 1 || value !== undefined)
        throw new ArgumentError(
          place,
          value === undefined ? `${classes.length} classes are right` : "value is given",
          'give one class, or take the loss "squared"',
        );
      return [classes, Float64Array.of(1)];
    }
    const values = value === undefined ? classes.map(() => 1) : list(value, "value");
    if (values.length !== classes.length)
      throw new ShapeError(
        place,
        `${values.length} values stand beside ${classes.length} classes`,
        "give one for each",
      );
    const sums = new Map<number, number>();
    classes.forEach((t, i) => {
      sums.set(t, (sums.get(t) ?? 0) + values[i]!);
    });
    return [[...sums.keys()], Float64Array.from(sums.values())];
  }
}

/** M += factor · (u vᵀ + v uᵀ). */
function addBoth(m: Float64Array, factor: number, u: Float64Array, v: Float64Array): void {
  const d = u.length;
  for (let i = 0, at = 0; i < d; i++, at += d) {
    const [a, b] = [factor * u[i]!, factor * v[i]!];
    for (let j = 0; j < d; j++) m[at + j] = m[at + j]! + a * v[j]! + b * u[j]!;
  }
}
