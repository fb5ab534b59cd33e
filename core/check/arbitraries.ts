// fast-check arbitraries of what ops take: shapes, tensors in every layout, rows of scores with their hard cases, labels,
// distributions and masks. They shrink to few, small, round numbers. Nothing here states what should hold: see `laws.ts`.

import fc from "fast-check";
import type { DeviceName } from "../backends/backend.ts";
import { tensor } from "../create.ts";
import { type DType, dtypes, isFloat } from "../dtype.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { broadcastTo, flip, slice, transpose } from "../views.ts";

// ---------------------------------------------------------------------------------------------------------------
// Shapes and tensors

/** How large shapes get. */
export interface ShapeOptions {
  /** 0 when not said. */
  readonly minRank?: number;
  /** 4 when not said. */
  readonly maxRank?: number;
  /** Smallest size of an axis; 1 when not said. 0 makes empty tensors too. */
  readonly minSize?: number;
  /** 6 when not said. */
  readonly maxSize?: number;
}

/** Shapes: arrays of sizes. */
export function shapes({
  minRank = 0,
  maxRank = 4,
  minSize = 1,
  maxSize = 6,
}: ShapeOptions = {}): fc.Arbitrary<number[]> {
  return fc.array(fc.integer({ min: minSize, max: maxSize }), { minLength: minRank, maxLength: maxRank });
}

/** How the entries of a tensor lie in memory; all but the first are views. */
export type Layout = "contiguous" | "transposed" | "sliced" | "flipped" | "broadcast";

const layouts: readonly Layout[] = ["contiguous", "transposed", "sliced", "flipped", "broadcast"];

/** What tensors are made of. */
export interface TensorOptions<D extends DType = DType> extends ShapeOptions {
  /** The shape, or how to choose it; any of `shapes` when not said. */
  readonly shape?: readonly number[] | fc.Arbitrary<readonly number[]>;
  /** f64 when not said. */
  readonly dtype?: D;
  /** The current device when not said. */
  readonly device?: DeviceName;
  /** −10 when not said (0 for truth values). */
  readonly min?: number;
  /** 10 when not said (1 for truth values). */
  readonly max?: number;
  /** All when not said. */
  readonly layouts?: readonly Layout[];
}

/** Floats are multiples of 1/64: exact in f32, and readable in a counterexample. */
const grain = 64;

/**
 * Tensors of any shape, in memory of any layout: contiguous, or views of larger tensors by transposing, slicing with steps,
 * flipping and broadcasting. Made when they are drawn, so draw them outside of scopes.
 *
 * @example
 * import fc from "fast-check";
 * import { tensors } from "simplexgrad/check";
 * import { neg } from "simplexgrad/ops";
 *
 * fc.assert(fc.property(tensors(), (x) => String(neg(neg(x)).toArray()) === String(x.toArray())));
 */
export function tensors<D extends DType = "f64">(
  options: TensorOptions<D> = {},
): fc.Arbitrary<Tensor<Shape, D>> {
  const { dtype = "f64" as D, device, layouts: allowed = layouts } = options;
  const { min = dtype === "bool" ? 0 : -10, max = dtype === "bool" ? 1 : 10 } = options;
  const { shape = shapes(options) } = options;
  const entry = isFloat(dtype)
    ? fc.integer({ min: Math.ceil(min * grain), max: Math.floor(max * grain) }).map((v) => v / grain)
    : fc.integer({ min, max });
  return fc
    .tuple(
      Array.isArray(shape) ? fc.constant(shape) : (shape as fc.Arbitrary<readonly number[]>),
      fc.constantFrom(...allowed),
    )
    .chain(([wanted, layout]) => {
      const { stored, view } = arrangement(wanted, layout);
      const size = sizeOf(stored);
      return fc.array(entry, { minLength: size, maxLength: size }).map((values) => {
        const data = new dtypes[dtype].array(size);
        data.set(values);
        return view(tensor(data, { shape: stored, dtype, ...(device ? { device } : {}) })) as Tensor<
          Shape,
          D
        >;
      });
    });
}

/** The shape to store, and the view of it that has the shape that is wanted. */
function arrangement(
  shape: readonly number[],
  layout: Layout,
): { stored: readonly number[]; view: (t: Tensor) => Tensor } {
  switch (layout) {
    case "contiguous":
      return { stored: shape, view: (t) => t };
    case "transposed":
      return { stored: [...shape].reverse(), view: (t) => transpose(t, [...shape.keys()].reverse()) };
    case "sliced":
      // Every second entry, after one that is left out.
      return {
        stored: shape.map((size) => 2 * size + 1),
        view: (t) => slice(t, ...shape.map((size) => [1, 2 * size + 1, 2] as const)),
      };
    case "flipped":
      return { stored: shape, view: (t) => flip(t) };
    case "broadcast":
      // Repeated along every other axis, beginning with the last.
      return {
        stored: shape.map((size, i) => ((shape.length - i) % 2 === 1 ? Math.min(size, 1) : size)),
        view: (t) => broadcastTo(t, shape),
      };
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Rows of scores

/**
 * plain: within ±8 · ties: few distinct values · offset: all near 1e4 or −1e4 · spread: far apart · edge: an entry at or next
 * to the threshold of a sparse map · masked: some −∞ · infinite: a +∞, or −∞ throughout · nan: a NaN somewhere.
 */
export type ScoreKind = "plain" | "ties" | "offset" | "spread" | "edge" | "masked" | "infinite" | "nan";

/** What rows of scores are drawn. */
export interface ScoreOptions {
  /** 1 when not said. */
  readonly minClasses?: number;
  /** 12 when not said. */
  readonly maxClasses?: number;
  /** All for which maps have a value when not said: without "infinite" and "nan". */
  readonly kinds?: readonly ScoreKind[];
}

const usualKinds: readonly ScoreKind[] = ["plain", "ties", "offset", "spread", "edge", "masked"];

/** Multiples of 1/64 in [−limit, limit]. */
const grains = (limit: number): fc.Arbitrary<number> =>
  fc.integer({ min: -limit * grain, max: limit * grain }).map((v) => v / grain);

/** One row of scores with the hard cases of probability maps among them; see `ScoreKind`. All are exact in f32. */
export function scoreRow({
  minClasses = 1,
  maxClasses = 12,
  kinds = usualKinds,
}: ScoreOptions = {}): fc.Arbitrary<number[]> {
  return fc
    .integer({ min: minClasses, max: maxClasses })
    .chain((n) => fc.oneof(...kinds.map((kind) => rowOfKind(kind, n))));
}

/** Several rows of scores of one length, each with hard cases of its own. */
export function scoreRows(
  options: ScoreOptions & { readonly maxRows?: number } = {},
): fc.Arbitrary<number[][]> {
  const { minClasses = 1, maxClasses = 12, maxRows = 3 } = options;
  return fc
    .integer({ min: minClasses, max: maxClasses })
    .chain((n) =>
      fc.array(scoreRow({ ...options, minClasses: n, maxClasses: n }), { minLength: 1, maxLength: maxRows }),
    );
}

function rowOfKind(kind: ScoreKind, n: number): fc.Arbitrary<number[]> {
  const row = <T>(entry: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc.array(entry, { minLength: n, maxLength: n });
  const plain = row(grains(8));
  const position = fc.nat(n - 1);
  switch (kind) {
    case "plain":
      return plain;
    case "ties":
      return row(fc.constantFrom(0, 1, -0.5));
    case "offset":
      return fc.tuple(plain, fc.constantFrom(1e4, -1e4)).map(([x, offset]) => x.map((v) => v + offset));
    case "spread":
      return row(grains(1e4));
    case "edge":
      // A point of the simplex is its own sparsemax, with threshold 0; half of it is on entmax-1.5's way there.
      return fc
        .tuple(distributions(n), row(fc.constantFrom(0, 2 ** -20, -(2 ** -20))), fc.constantFrom(1, 0.5))
        .map(([p, delta, scale]) => p.map((v, i) => (v === 0 ? delta[i]! : v * scale)));
    case "masked":
      // At least one entry stays.
      return fc
        .tuple(plain, row(fc.boolean()), position)
        .map(([x, mask, kept]) => x.map((v, i) => (mask[i] && i !== kept ? Number.NEGATIVE_INFINITY : v)));
    case "infinite":
      return fc.oneof(
        fc.constant(new Array<number>(n).fill(Number.NEGATIVE_INFINITY)),
        fc.tuple(plain, position).map(([x, at]) => x.with(at, Number.POSITIVE_INFINITY)),
      );
    case "nan":
      return fc.tuple(plain, position).map(([x, at]) => x.with(at, Number.NaN));
  }
}

// ---------------------------------------------------------------------------------------------------------------
// What goes with scores

/** Class indices, one for each of `rows` rows. */
export function labels(classes: number, rows: number): fc.Arbitrary<number[]> {
  return fc.array(fc.nat(classes - 1), { minLength: rows, maxLength: rows });
}

/** A probability for each class, in multiples of 1/64, often with exact zeros; sums to exactly one. */
export function distributions(classes: number): fc.Arbitrary<number[]> {
  return fc.array(fc.nat(grain), { minLength: classes - 1, maxLength: classes - 1 }).map((cuts) => {
    // The gaps between cuts of [0, 1].
    const ends = [0, ...cuts.toSorted((a, b) => a - b), grain];
    return ends.slice(1).map((end, i) => (end - ends[i]!) / grain);
  });
}

/** Which entries of rows take part, one row of truth values for each; at least one entry does unless `allowEmpty`. */
export function masks(
  classes: number,
  rows: number,
  { allowEmpty = false }: { readonly allowEmpty?: boolean } = {},
): fc.Arbitrary<boolean[][]> {
  const row = fc
    .tuple(fc.array(fc.boolean(), { minLength: classes, maxLength: classes }), fc.nat(classes - 1))
    .map(([mask, kept]) => (allowEmpty ? mask : mask.with(kept, true)));
  return fc.array(row, { minLength: rows, maxLength: rows });
}
