// Gradients held within bounds before a step: all together by their norm, or each entry by itself. Gradients in, gradients out.

import { zeros } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DeviceError, GradientError, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkFloat, checkOptions, sameBackend } from "../core/op.ts";
import { abs, add, and, div, greater, less, max, minimum, mul, select, sum } from "../core/row/expr.ts";
import { type Param, rowReduction } from "../core/rowop.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { passingOn } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { pow } from "../core/words.ts";
import { cast, clip } from "../ops/elementwise.ts";
import { concat, reshape } from "../ops/movement.ts";
import { checkFlag, checkNumber } from "./checks.ts";

/** Rows of whichever element type. */
export type AnyRows = RowSparse | RowSparse<"f32"> | RowSparse<"f64">;

/** The gradient of a parameter, whole or as its rows; undefined where there is none. */
export type AnyGradient = Tensor | AnyRows | undefined;

export interface ClipNormOptions {
  /** p > 0: which norm, (Σ|g|ᵖ)^(1/p); 2 by default, Infinity for the largest entry. */
  readonly normType?: number;
  /** Throws GradientError for a norm that is ∞ or NaN. It must be read at once, which webgpu cannot. */
  readonly errorIfNonfinite?: boolean;
}

/** How `minimize` and `step` clip: by the norm of all gradients together, or entry by entry. */
export type Clip = ({ readonly norm: number } & ClipNormOptions) | { readonly value: number };

type Norm = (x: Tensor, options: { readonly p: number; readonly axis?: number }) => Tensor<Shape, FloatDType>;

/** Scaled by the largest entry: powers of large gradients would overflow, and of small ones vanish. */
const normOf: Norm = /* @__PURE__ */ rowReduction<{ readonly p: Param & { readonly is: "static" } }, Norm>(
  "norm",
  {
    doc: "A norm that overflows only where its value does.",
    params: { p: { is: "static", default: 2, check: () => undefined } },
    program: ({ x, p }) => {
      const most = max(abs(x));
      if (p === Number.POSITIVE_INFINITY) return most;
      const scale = select(and(greater(most, 0), less(most, Number.POSITIVE_INFINITY)), most, 1);
      return mul(scale, pow(sum(pow(div(abs(x), scale), p as number)), 1 / (p as number)));
    },
    over: "all",
    examples: [],
  },
);

/** Entries from which on a norm is taken row by row first, so that all of a device works on it. */
const LONG = 65_536;

/** The norm of all entries of all tensors together, in the element type of the first. */
function jointNorm(tensors: readonly Tensor[], p: number): Tensor<[], FloatDType> {
  const parts = tensors
    .filter(({ size }) => size > 0)
    .map((t) => {
      const part = t.size > LONG && t.rank > 1 ? normOf(t, { p, axis: -1 }) : normOf(t, { p });
      return cast(reshape(part, [-1]), tensors[0]!.dtype as FloatDType);
    });
  if (parts.length === 0) {
    const { dtype = "f32", device } = (tensors[0] ?? {}) as Partial<Tensor<Shape, FloatDType>>;
    return zeros([], { dtype, ...(device ? { device } : {}) });
  }
  return (parts.length === 1 && parts[0]!.size === 1
    ? reshape(parts[0]!, [])
    : normOf(concat(parts as never), { p })) as Tensor as Tensor<[], FloatDType>;
}

type Bounding = (g: Tensor, norm: Tensor, numbers: { most: number }) => Tensor;

const bounding: Bounding = /* @__PURE__ */ map<Bounding>("clipNorm", {
  doc: "A gradient, shortened by the factor that brings the norm of all down to a bound.",
  source: "Pascanu, Mikolov & Bengio 2013, algorithm 1",
  inputs: ["g", "norm"],
  params: { most: 1 },
  program: ({ g, norm, most }) => mul(g!, minimum(1, div(most!, add(norm!, 1e-6)))),
  examples: [],
});

/** @internal Gradients with their entries changed. */
export function mapEntries<G extends readonly AnyGradient[]>(
  gradients: G,
  f: (entries: Tensor) => Tensor,
): { -readonly [K in keyof G]: G[K] } {
  return gradients.map((g) =>
    g instanceof RowSparse ? new RowSparse(g.shape, g.rows, f(g.values) as typeof g.values) : g && f(g),
  ) as { -readonly [K in keyof G]: G[K] };
}

const summedRows = <G extends readonly AnyGradient[]>(gradients: G): G =>
  gradients.map((g) => (g instanceof RowSparse ? g.coalesced() : g)) as readonly AnyGradient[] as G;

/** @internal Gradients within bounds that were checked before, and the norm where it was asked for. */
export function clipped<G extends readonly AnyGradient[]>(
  gradients: G,
  bounds: Clip,
): { gradients: { -readonly [K in keyof G]: G[K] }; norm?: Tensor<[], FloatDType> } {
  const own = summedRows(gradients);
  if ("value" in bounds) {
    const { value } = bounds;
    return { gradients: mapEntries(own, (t) => clip(t as Floats, { min: -value, max: value })) };
  }
  const { norm: most, normType = 2, errorIfNonfinite = false } = bounds;
  const entries = own.flatMap((g) => (g instanceof RowSparse ? [g.values] : g ? [g] : []));
  const norm = jointNorm(entries, normType);
  if (errorIfNonfinite) checkFinite(norm);
  const norms: { [D in FloatDType]?: Tensor } = {};
  const scaled = mapEntries(own, (t) => {
    const { dtype } = t as Floats;
    norms[dtype] ??= cast(norm, dtype);
    return bounding(t, norms[dtype], { most });
  });
  return { gradients: scaled, norm };
}

type Floats = Tensor<Shape, FloatDType>;

/** @internal Refuses bounds that make no sense. */
export function checkClip(place: string, bounds: Clip): void {
  checkOptions(place, bounds, ["norm", "normType", "errorIfNonfinite", "value"]);
  const {
    norm,
    value,
    normType = 2,
    errorIfNonfinite = false,
  } = bounds as Record<string, unknown> & {
    readonly norm?: number;
    readonly value?: number;
    readonly normType?: number;
  };
  if ((norm === undefined) === (value === undefined))
    throw new ArgumentError(
      place,
      `clip has ${norm === undefined ? "neither norm nor value" : "both norm and value"}`,
      "give { norm: 5 } or { value: 1 }",
    );
  if (value !== undefined) {
    checkOptions(place, bounds, ["value"]);
    checkNumber(place, "clip.value", value, value >= 0, "give a bound ≥ 0");
    return;
  }
  checkNumber(place, "clip.norm", norm, norm! >= 0, "give a bound ≥ 0");
  if (normType !== Number.POSITIVE_INFINITY)
    checkNumber(place, "normType", normType, normType > 0, "give a power above 0, or Infinity");
  checkFlag(place, "errorIfNonfinite", errorIfNonfinite);
}

/** Refuses what are no gradients, on whatever device. */
function checkList(place: string, gradients: readonly AnyGradient[]): void {
  if (!Array.isArray(gradients))
    throw new ArgumentError(
      place,
      `${showValue(gradients)} stands where gradients are wanted`,
      "give an array of them, such as valueAndGrad(loss, parameters).gradients",
    );
  const entries = (gradients as readonly unknown[]).flatMap((g, i): Tensor[] => {
    if (g === undefined) return [];
    if (g instanceof RowSparse) return [g.values];
    if (!(g instanceof Tensor))
      throw new ArgumentError(place, `gradient ${i} is ${showValue(g)}`, "give tensors, or undefined");
    checkFloat(place, g);
    return [g];
  });
  sameBackend(place, entries);
}

function checkFinite(norm: Tensor<[], FloatDType>): void {
  const place = "clipGradNorm";
  if (norm.device === "webgpu")
    throw new DeviceError(
      place,
      "errorIfNonfinite asks for the norm at once, and webgpu gives it later",
      "leave it out, and look at the norm that clipGradNorm returns: await norm.data()",
    );
  const value = norm.item();
  if (!Number.isFinite(value))
    throw new GradientError(
      place,
      `the norm of the gradients is ${value}, which is not finite`,
      "look for what overflows in the loss, or leave out errorIfNonfinite",
    );
}

/**
 * Keeps a step from being torn away by one large gradient: all gradients are scaled by one factor, min(1, maxNorm/(‖g‖ + 10⁻⁶)),
 * so that the norm of all of them together is at most `maxNorm` and their direction stays. Returns the new gradients and the
 * norm before clipping, on their device. `undefined` stays; of a `RowSparse` rows that are named twice are summed first.
 *
 * The norm is scaled inside and overflows only where its value does. A norm that is not finite says that a gradient is not: NaN
 * anywhere makes all gradients NaN; an ∞ becomes NaN and all finite entries 0, since a direction with ∞ in it is none. This is
 * PyTorch's default, and it is loud. With `errorIfNonfinite` GradientError is thrown instead, before anything has changed.
 * Throws DomainError for bounds and powers that make no sense, DeviceError for `errorIfNonfinite` on webgpu, which reads later.
 * Source: Pascanu, Mikolov & Bengio 2013, algorithm 1; the conventions are PyTorch's.
 * @example
 * const { value, gradients } = valueAndGrad(loss, adam.parameters);
 * const clipped = clipGradNorm(gradients, 5);
 * adam.step(clipped.gradients);
 * clipped.norm.item(); // before clipping
 */
export function clipGradNorm<const G extends readonly AnyGradient[]>(
  gradients: G,
  maxNorm: number,
  options: ClipNormOptions = {},
): { gradients: { -readonly [K in keyof G]: G[K] }; norm: Tensor<[], FloatDType> } {
  const place = "clipGradNorm";
  checkOptions(place, options, ["normType", "errorIfNonfinite"]);
  checkNumber(place, "maxNorm", maxNorm, maxNorm >= 0, "give a bound ≥ 0");
  const bounds: Clip = { ...options, norm: maxNorm };
  checkClip(place, bounds);
  checkList(place, gradients);
  return passingOn(() => clipped(gradients, bounds)) as ReturnType<typeof clipGradNorm<G>>;
}

/**
 * Bounds every entry of the gradients by itself to [−clipValue, clipValue]. Their direction changes; NaN stays NaN. `undefined`
 * stays; of a `RowSparse` rows that are named twice are summed first. Throws DomainError for a bound below 0.
 *
 * @example
 * sgd.step(clipGradValue(valueAndGrad(loss, sgd.parameters).gradients, 1));
 */
export function clipGradValue<const G extends readonly AnyGradient[]>(
  gradients: G,
  clipValue: number,
): { -readonly [K in keyof G]: G[K] } {
  const place = "clipGradValue";
  checkNumber(place, "clipValue", clipValue, clipValue >= 0, "give a bound ≥ 0");
  checkList(place, gradients);
  return clipped(gradients, { value: clipValue }).gradients;
}
