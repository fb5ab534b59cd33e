// The laws of probability maps and their losses, each a sentence and a test of any function on given rows.
// Ops name their laws by string and know nothing of this file. A law says what holds; the rows come from `arbitraries.ts`.

import fc from "fast-check";
import type { DeviceName } from "../backends/backend.ts";
import { tensor } from "../create.ts";
import { dtypes, type FloatDType } from "../dtype.ts";
import { ArgumentError, showValue } from "../errors.ts";
import { normal } from "../random.ts";
import { openScope } from "../scope.ts";
import type { Shape } from "../shape.ts";
import { vjp } from "../tape.ts";
import type { Tensor } from "../tensor.ts";
import { type ScoreKind, scoreRows } from "./arbitraries.ts";

/** A row of numbers, and several of one length. */
type Numbers = readonly number[];
type Rows = readonly Numbers[];

/** Rows of scores: the last axis is the row. */
type Scores = Tensor<Shape, FloatDType>;

/** What laws are about: a map of rows (or a loss that gives a number per row), or an op of two tensors. */
export type LawFunction = ((x: Scores) => Tensor) | ((x: Scores, y: Scores) => Tensor);

/** The names of the laws. */
export type LawName =
  | "sumsToOne"
  | "sumsToOneOrZero"
  | "sumsToAtMostOne"
  | "sumsAlike"
  | "nonNegative"
  | "atMostOne"
  | "expSumsToOne"
  | "exactZeros"
  | "oneClassIsOne"
  | "monotone"
  | "strictlyMonotone"
  | "monotoneUnderEqualBounds"
  | "shiftInvariant"
  | "shiftEquivariant"
  | "gradientSumsToZero"
  | "scaleInvariant"
  | "gradientOrthogonalToScores"
  | "permutationEquivariant"
  | "permutationEquivariantWithoutTies"
  | "permutationInvariant"
  | "idempotentOnSimplex"
  | "jacobianSymmetric"
  | "positiveSemidefinite"
  | "nanRow"
  | "infiniteRow"
  | "emptyRow"
  | "finiteScoresOnly"
  | "masked"
  | "commutative";

/** A law: what it says, and how a function is held against it. */
export interface Law {
  readonly sentence: string;
  /** What contradicts the law on these rows (x of shape [rows, classes], f32 or f64), as a sentence; undefined where nothing does. Laws of two arguments take y too. */
  readonly objection: (f: LawFunction, x: Scores, y?: Scores) => Promise<string | undefined>;
  /** The kinds of rows on which it is to hold, where that is not all for which maps have a value. */
  readonly kinds?: readonly ScoreKind[];
  /** Rows that are always tried, besides random ones. */
  readonly always?: () => readonly Rows[];
  /** Laws that follow from it. */
  readonly implies?: readonly LawName[];
}

/** Every law by its name. */
export const laws: { readonly [Name in LawName]: Law } = {
  sumsToOne: {
    sentence: "Every row sums to one.",
    objection: (f, x) => eachSum(f, x, (total, tolerance) => Math.abs(total - 1) <= tolerance),
  },
  sumsToOneOrZero: {
    sentence: "Every row sums to one, or is 0 throughout.",
    objection: (f, x) =>
      eachSum(f, x, (total, tolerance, p) => Math.abs(total - 1) <= tolerance || p.every((v) => v === 0)),
  },
  sumsToAtMostOne: {
    sentence: "No row sums to more than one.",
    objection: (f, x) => eachSum(f, x, (total, tolerance) => total <= 1 + tolerance),
  },
  sumsAlike: {
    sentence: "What a row sums to does not depend on its scores.",
    objection: async (f, x) => {
      const zeros = like(
        x,
        (await rowsOf(x)).map((row) => row.map(() => 0)),
      );
      const totals = (await rowsOf(applied(f, zeros))).map(total);
      return eachSum(
        f,
        x,
        (sum, tolerance, _, r) => Math.abs(sum - totals[r]!) <= tolerance * Math.max(1, sum),
      );
    },
  },
  nonNegative: {
    sentence: "No probability and no loss is negative.",
    objection: (f, x) =>
      eachRow(f, x, (p, scores, [tolerance]) => {
        // A probability is exact; a loss, a difference of terms of the size of the scores, is only as good as these.
        const below = p.length === scores.length && p.length > 1 ? 0 : -tolerance * largest(scores);
        const at = p.findIndex((v) => !(v >= below));
        return at < 0 ? undefined : `entry ${at} is ${p[at]}`;
      }),
  },
  atMostOne: {
    sentence: "No probability, and no share of hits, exceeds one.",
    objection: (f, x) =>
      eachRow(f, x, (p) => {
        const at = p.findIndex((v) => !(v <= 1));
        return at < 0 ? undefined : `entry ${at} is ${p[at]}`;
      }),
  },
  expSumsToOne: {
    sentence: "The exponentials of every row sum to one, or are 0 throughout.",
    objection: (f, x) =>
      eachRow(f, x, (y, _, [tolerance]) => {
        const sum = total(y.map(Math.exp));
        return Math.abs(sum - 1) <= tolerance || y.every((v) => v === Number.NEGATIVE_INFINITY)
          ? undefined
          : `the exponentials sum to ${sum}`;
      }),
  },
  exactZeros: {
    sentence: "Scores far enough below the largest get probability 0 exactly.",
    always: () => [8, 9, 40].map((n) => [Array.from({ length: n }, (_, i) => -30 * i)]),
    kinds: [],
    objection: (f, x) =>
      eachRow(f, x, (p, scores) => {
        const at = scores.indexOf(Math.min(...scores));
        return p[at] === 0 ? undefined : `entry ${at}, of the smallest score, is ${p[at]}`;
      }),
  },
  oneClassIsOne: {
    sentence: "A single class has probability 1 exactly, and gradient 0.",
    always: () => [0, 1, -3, 7.25, 1e4, -1e4].map((v) => [[v]]),
    kinds: [],
    objection: async (f, x) =>
      (await eachRow(f, x, ([p]) => (p === 1 ? undefined : `the probability is ${p}`))) ??
      (await eachRow(gradientOf(f, 1), x, ([dx]) => (dx === 0 ? undefined : `the gradient is ${dx}`))),
  },
  monotone: {
    sentence: "A larger score never has a smaller probability.",
    objection: monotonicity,
  },
  strictlyMonotone: {
    sentence: "A larger score has a larger probability.",
    kinds: ["plain"],
    implies: ["monotone"],
    objection: (f, x) =>
      eachRow(f, x, (p, scores) =>
        pairwise(scores, (i, j) =>
          p[i]! > p[j]! ? undefined : `entry ${i} is ${p[i]}, and entry ${j} is ${p[j]}`,
        ),
      ),
  },
  monotoneUnderEqualBounds: {
    sentence: "Where all upper bounds are equal, a larger score never has a smaller probability.",
    // Few masked entries are left with less than 1 to their bounds.
    kinds: ["plain", "ties", "offset", "spread", "edge"],
    objection: monotonicity,
  },
  shiftInvariant: {
    sentence: "Adding one number to all scores changes nothing.",
    implies: ["gradientSumsToZero"],
    objection: (f, x) =>
      inTurn([1, -0.5, 1024], (shift) => changed(f, x, (v) => v + shift, `${shift} is added to the scores`)),
  },
  shiftEquivariant: {
    sentence: "Adding one number to all scores adds it to the result.",
    objection: (f, x) =>
      inTurn([1, -0.5, 1024], (shift) =>
        changed(
          f,
          x,
          (v) => v + shift,
          `${shift} is added to the scores`,
          (y) => y + shift,
        ),
      ),
  },
  gradientSumsToZero: {
    sentence: "The gradient of a shift-invariant map sums to zero.",
    objection: (f, x) =>
      eachRow(gradientOf(f, 2), x, (dx, _, [, tolerance]) => {
        const sum = total(dx);
        return Math.abs(sum) <= tolerance * largest(dx) ? undefined : `the gradient sums to ${sum}`;
      }),
  },
  scaleInvariant: {
    sentence: "Multiplying all scores by a positive number changes nothing.",
    implies: ["gradientOrthogonalToScores"],
    objection: (f, x) =>
      inTurn([2, 0.5], (factor) =>
        changed(f, x, (v) => v * factor, `the scores are multiplied by ${factor}`),
      ),
  },
  gradientOrthogonalToScores: {
    sentence: "The gradient of a scale-invariant map is orthogonal to the scores.",
    objection: (f, x) =>
      eachRow(gradientOf(f, 3), x, (dx, scores, [, tolerance]) => {
        const product = dot(dx, scores);
        return Math.abs(product) <= tolerance * largest(scores) * largest(dx)
          ? undefined
          : `their product is ${product}`;
      }),
  },
  permutationEquivariant: {
    sentence:
      "Scores in another order, with what stands beside them, give the same probabilities in that order.",
    objection: (f, x) => inOtherOrders(f, x, (before, order) => order.map((i) => before[i]!)),
  },
  permutationEquivariantWithoutTies: {
    sentence: "Scores that all differ, in another order, give the same probabilities in that order.",
    objection: async (f, x) => {
      const rows = (await rowsOf(x)).filter((row) => new Set(row).size === row.length);
      if (rows.length === 0) return undefined;
      return inOtherOrders(f, like(x, rows), (before, order) => order.map((i) => before[i]!));
    },
  },
  permutationInvariant: {
    sentence: "Scores in another order, with what stands beside them, give the same result.",
    objection: (f, x) => inOtherOrders(f, x, (before) => before),
  },
  idempotentOnSimplex: {
    sentence: "A row that is a distribution already stays as it is.",
    kinds: ["edge"],
    objection: async (f, x) => {
      const points = (await rowsOf(x)).flatMap((row) => {
        const kept = row.map((v) => Math.max(v, 0));
        return total(kept) > 0 ? [kept.map((v) => v / total(kept))] : [];
      });
      if (points.length === 0) return undefined;
      const p = like(x, points);
      const before = await rowsOf(p);
      return eachRow(f, p, (again, _, [tolerance], r) =>
        differs(again, before[r]!, tolerance, "for a distribution"),
      );
    },
  },
  jacobianSymmetric: {
    sentence: "The Jacobian is symmetric: the map is the gradient of a convex function.",
    objection: async (f, x) => {
      const [g, h, toG] = (await Promise.all(
        [cotangentLike(x, 4), cotangentLike(x, 5), gradientOf(f, 4)(x)].map(rowsOf),
      )) as [number[][], number[][], number[][]];
      return eachRow(gradientOf(f, 5), x, (toH, _, [, tolerance], r) => {
        const [one, other] = [dot(h[r]!, toG[r]!), dot(g[r]!, toH)];
        return Math.abs(one - other) <= tolerance * largest([...toG[r]!, ...toH])
          ? undefined
          : `⟨h, J g⟩ is ${one}, but ⟨g, J h⟩ is ${other}`;
      });
    },
  },
  positiveSemidefinite: {
    sentence: "The Jacobian is positive semidefinite: probabilities follow the scores.",
    objection: async (f, x) => {
      const g = await rowsOf(cotangentLike(x, 6));
      return eachRow(gradientOf(f, 6), x, (dx, _, [, tolerance], r) => {
        const product = dot(g[r]!, dx);
        return product >= -tolerance * largest(dx) ? undefined : `⟨g, J g⟩ is ${product}`;
      });
    },
  },
  nanRow: {
    sentence: "A NaN anywhere makes its row and the gradient of its row NaN, and leaves other rows alone.",
    // Every place: of tails of all sizes, of whole vectors with a tail, and of many.
    always: () =>
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 40].map((n) => [
        Array.from({ length: n }, (_, i) => ((i * 7) % 11) / 4 - 1),
      ]),
    kinds: [],
    objection: async (f, x) =>
      inTurn(await rowsOf(x), async (row) => {
        // One row for each place of the NaN, and one without.
        const poisoned = like(x, [...row.map((_, at) => row.with(at, Number.NaN)), row]);
        const spoilt =
          (what: string) =>
          (p: Numbers, _: Numbers, __: readonly number[], r: number): string | undefined => {
            const at = p.findIndex((v) => Number.isNaN(v) !== r < row.length);
            if (at < 0) return undefined;
            return r < row.length
              ? `with NaN at ${r} of ${row.length}, entry ${at} of the ${what} is ${p[at]}`
              : `NaN leaks into the ${what} of another row`;
          };
        return (
          (await eachRow(f, poisoned, spoilt("row"))) ??
          (await eachRow(gradientOf(f, 7), poisoned, spoilt("gradient")))
        );
      }),
  },
  infiniteRow: {
    sentence: "A row that holds +∞, or is −∞ throughout, is NaN.",
    kinds: ["infinite"],
    objection: (f, x) =>
      eachRow(f, x, (p, scores) => {
        const undefinedRow =
          scores.includes(Number.POSITIVE_INFINITY) || scores.every((v) => v === Number.NEGATIVE_INFINITY);
        const at = p.findIndex((v) => Number.isNaN(v) !== undefinedRow);
        return at < 0 ? undefined : `entry ${at} is ${p[at]}`;
      }),
  },
  emptyRow: {
    sentence: "A row that is −∞ throughout is 0, and one that holds +∞ is NaN.",
    kinds: ["infinite"],
    objection: (f, x) =>
      eachRow(f, x, (p, scores) => {
        const undefinedRow = scores.includes(Number.POSITIVE_INFINITY);
        const empty = scores.every((v) => v === Number.NEGATIVE_INFINITY);
        const at = p.findIndex((v) => Number.isNaN(v) !== undefinedRow || (empty && v !== 0));
        return at < 0 ? undefined : `entry ${at} is ${p[at]}`;
      }),
  },
  finiteScoresOnly: {
    sentence: "A row that holds an infinity is NaN.",
    kinds: ["masked", "infinite"],
    implies: ["infiniteRow"],
    objection: (f, x) =>
      eachRow(f, x, (p, scores) => {
        const at = p.findIndex((v) => Number.isNaN(v) === scores.every(Number.isFinite));
        return at < 0 ? undefined : `entry ${at} is ${p[at]}`;
      }),
  },
  masked: {
    sentence:
      "A score of −∞ is masked: its probability and gradient are 0, and the others are as if it were not there.",
    kinds: ["masked"],
    objection: async (f, x) =>
      inTurn(await rowsOf(x), async (row) => {
        const kept = row.flatMap((v, i) => (v === Number.NEGATIVE_INFINITY ? [] : [i]));
        const alone = like(x, [kept.map((i) => row[i]!)]);
        const spread = (p: Numbers): number[] =>
          row.map((_, i) => (kept.includes(i) ? p[kept.indexOf(i)]! : 0));
        const all = like(x, [row]);
        const zeros = (values: Numbers, what: string): string | undefined => {
          const at = row.findIndex((v, i) => v === Number.NEGATIVE_INFINITY && values[i] !== 0);
          return at < 0 ? undefined : `the ${what} of the masked entry ${at} is ${values[at]}`;
        };
        const expected = spread((await rowsOf(applied(f, alone)))[0]!);
        return (
          (await eachRow(
            f,
            all,
            (p, _, [tolerance]) =>
              zeros(p, "probability") ?? differs(p, expected, tolerance, "beside masked entries"),
          )) ??
          (await eachRow(
            gradientOf(f, 8),
            all,
            (dx) => zeros(dx, "gradient") ?? (dx.some(Number.isNaN) ? "the gradient holds NaN" : undefined),
          ))
        );
      }),
  },
  commutative: {
    sentence: "The order of the two arguments does not matter.",
    objection: async (f, x, y = x) => {
      const [given, swapped] = await Promise.all([rowsOf(applied(f, x, y)), rowsOf(applied(f, y, x))]);
      return first(given, (row, r) => differs(row, swapped[r]!, 0, "with the arguments exchanged"));
    },
  },
};

/** What every map onto the probability simplex fulfils. */
export const simplexLaws: readonly LawName[] = [
  "sumsToOne",
  "nonNegative",
  "permutationEquivariant",
  "nanRow",
  "oneClassIsOne",
];

/** How laws are checked. */
export interface LawOptions {
  /** f64 when not said. */
  readonly dtype?: FloatDType;
  /** The current device when not said. */
  readonly device?: DeviceName;
  /** Random inputs for each law; 50 when not said. */
  readonly runs?: number;
  /** Chooses the random inputs; 0 when not said. */
  readonly seed?: number;
  /** Kinds of rows that the function has no value for, such as "masked". */
  readonly without?: readonly ScoreKind[];
  /** What becomes of each random score first, for maps whose scores lie in a part of the numbers; `Math.abs`, for one. */
  readonly score?: (v: number) => number;
  /** Laws that follow from one of the names but do not hold: those of gradients, for one, where a straight-through estimator has another's. */
  readonly except?: readonly string[];
}

/**
 * Holds a function against laws, those that follow from them included: on the rows that each law names and on random ones.
 * Rejects on the first that is broken, with its sentence and the smallest rows found that break it; with ArgumentError for a law that there is not.
 * A promise because results are read on every device. Await one before the next: each frees what was made since it began.
 *
 * @example
 * import { checkLaws, simplexLaws } from "simplexgrad/check";
 * import { sparsemax } from "simplexgrad/ops";
 *
 * await checkLaws(sparsemax, [...simplexLaws, "shiftInvariant", "exactZeros"]);
 */
export async function checkLaws(
  f: LawFunction,
  names: readonly string[],
  options: LawOptions = {},
): Promise<void> {
  const { runs = 50, seed = 0, without = [], score = (v) => v, except = [] } = options;
  const how = settingFor("checkLaws", f, options);
  const fail = (law: Law, objection: string | undefined): void => {
    if (objection !== undefined) throw new Error(`${law.sentence} But ${objection}.`);
  };
  const usual = (["plain", "ties", "offset", "spread", "edge", "masked"] as const).filter(
    (kind) => !without.includes(kind),
  );
  for (const law of withConsequences(names, except)) {
    if (law === laws.commutative) {
      const pair = fc.array(fc.double({ noDefaultInfinity: true, noNaN: true, min: -1e3, max: 1e3 }), {
        minLength: 1,
        maxLength: 9,
      });
      const property = fc.asyncProperty(pair, async (values) => {
        using _ = openScope();
        const x = tensor([values], how) as Scores;
        const y = tensor([values.toReversed()], how) as Scores;
        fail(law, await law.objection(f, x, y));
      });
      await fc.assert(property, { numRuns: runs, seed, includeErrorInReport: true });
      continue;
    }
    const holds = async (rows: Rows): Promise<void> => {
      using _ = openScope();
      const x = tensor(
        rows.map((row) => row.map(score)),
        how,
      ) as Scores;
      fail(law, await law.objection(f, x));
    };
    for (const rows of law.always?.() ?? []) await holds(rows);
    const kinds = (law.kinds ?? usual).filter((kind) => !without.includes(kind));
    if (kinds.length > 0)
      await fc.assert(fc.asyncProperty(scoreRows({ kinds }), holds), {
        numRuns: runs,
        seed,
        includeErrorInReport: true,
      });
  }
}

/**
 * What contradicts a law on given rows, as a sentence; undefined where nothing does. For counterexamples: `info.breaks` of an op
 * holds rows for the laws that it breaks. Rejects with ArgumentError for a law that there is not.
 *
 * @example
 * import { objectionTo } from "simplexgrad/check";
 * import { softmax } from "simplexgrad/ops";
 *
 * await objectionTo(softmax, "scaleInvariant", [[0, 1]]); // "entry 0 is 0.1192… instead of 0.2689… when …"
 */
export async function objectionTo(
  f: LawFunction,
  name: string,
  rows: Rows,
  options: Pick<LawOptions, "dtype" | "device"> = {},
): Promise<string | undefined> {
  const how = settingFor("objectionTo", f, options);
  using _ = openScope();
  return await lawOf("objectionTo", name).objection(f, tensor(rows, how) as Scores);
}

/** Where rows are made, once it is sure that there is something to hold against laws. */
function settingFor(
  place: string,
  f: unknown,
  { dtype = "f64", device }: LawOptions,
): { readonly dtype: FloatDType; readonly device?: DeviceName } {
  if (typeof f !== "function")
    throw new ArgumentError(place, `${showValue(f)} is not a function`, "give a function of tensors");
  return { dtype, ...(device ? { device } : {}) };
}

function lawOf(place: string, name: string): Law {
  if (Object.hasOwn(laws, name)) return laws[name as LawName];
  const known = Object.keys(laws).join(", ");
  throw new ArgumentError(place, `there is no law ${showValue(name)}`, `the laws are ${known}`);
}

/** The laws of these names and those that follow, each once. */
function withConsequences(names: readonly string[], except: readonly string[]): Set<Law> {
  const found = new Set<Law>();
  const visit = (name: string): void => {
    const law = lawOf("checkLaws", name);
    if (found.has(law) || except.includes(name)) return;
    found.add(law);
    law.implies?.forEach(visit);
  };
  names.forEach(visit);
  return found;
}

// ---------------------------------------------------------------------------------------------------------------
// Rows of tensors

/** The function of one or of two tensors. A second argument of a map would be its options: it gets one only where two are meant. */
const applied = (f: LawFunction, ...args: readonly Scores[]): Tensor =>
  (f as (...args: readonly Scores[]) => Tensor)(...args);

/** The entries along the last axis; a number per row counts as a row of one where `perRow`. */
async function rowsOf(t: Tensor): Promise<number[][]> {
  const data = Array.from(await t.data());
  const n = t.rank < 2 ? 1 : t.shape.at(-1)!;
  return Array.from({ length: data.length / n }, (_, r) => data.slice(r * n, (r + 1) * n));
}

/** Rows as a tensor of the element type and device of another. */
const like = (t: Scores, rows: Rows): Scores => tensor(rows, { dtype: t.dtype, device: t.device }) as Scores;

/** The first objection that any row of f(x) gives rise to. */
async function eachRow(
  f: LawFunction,
  x: Scores,
  objection: (
    result: number[],
    scores: number[],
    tolerance: readonly [value: number, gradient: number],
    row: number,
  ) => string | undefined,
): Promise<string | undefined> {
  const [scores, results] = await Promise.all([rowsOf(x), rowsOf(applied(f, x))]);
  const { tolerance } = dtypes[x.dtype];
  return first(results, (row, r) => objection(row, scores[r]!, tolerance, r));
}

/** The first objection to what a row of f(x) sums to. */
const eachSum = (
  f: LawFunction,
  x: Scores,
  allowed: (sum: number, tolerance: number, p: Numbers, row: number) => boolean,
): Promise<string | undefined> =>
  eachRow(f, x, (p, _, [tolerance], r) => {
    const sum = total(p);
    return allowed(sum, tolerance, p, r) ? undefined : `the row sums to ${sum}`;
  });

/** An objection where a larger score has a smaller probability. */
function monotonicity(f: LawFunction, x: Scores): Promise<string | undefined> {
  return eachRow(f, x, (p, scores, [tolerance]) =>
    pairwise(scores, (i, j) =>
      p[i]! >= p[j]! - tolerance * largest(p)
        ? undefined
        : `entry ${i} is ${p[i]}, but entry ${j} is ${p[j]}`,
    ),
  );
}

/** An objection where scores in another order give something else than what is wanted then. */
async function inOtherOrders(
  f: LawFunction,
  x: Scores,
  wanted: (before: Numbers, order: Numbers) => Numbers,
): Promise<string | undefined> {
  const [rows, before] = await Promise.all([rowsOf(x), rowsOf(applied(f, x))]);
  const places = rows[0]!.map((_, i) => i);
  return inTurn([places.toReversed(), places.map((i) => (i + 1) % places.length)], (order) => {
    const reordered = like(
      x,
      rows.map((row) => order.map((i) => row[i]!)),
    );
    return eachRow(f, reordered, (p, _, [tolerance], r) =>
      differs(p, wanted(before[r]!, order), tolerance, `in the order ${order.join(", ")}`),
    );
  });
}

function first<T>(
  items: readonly T[],
  objection: (item: T, i: number) => string | undefined,
): string | undefined {
  for (const [i, item] of items.entries()) {
    const found = objection(item, i);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The same for objections that read. */
async function inTurn<T>(
  items: readonly T[],
  objection: (item: T) => Promise<string | undefined>,
): Promise<string | undefined> {
  for (const item of items) {
    const found = await objection(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The same cotangents for every law that asks for a seed: random, never ones, which rows that sum to one would hide behind. */
const cotangentLike = (t: Tensor, seed: number): Tensor =>
  normal(t.shape, { seed, dtype: t.dtype as FloatDType, device: t.device });

/** The pullback of random cotangents. */
const gradientOf =
  (f: LawFunction, seed: number): ((x: Scores) => Tensor) =>
  (x) => {
    const { value, pullback } = vjp((x: Scores) => applied(f, x), x);
    return pullback(cotangentLike(value, seed))[0];
  };

/** An objection where f does not do as expected after the scores have changed: by default it gives the same. */
async function changed(
  f: LawFunction,
  x: Scores,
  change: (v: number) => number,
  how: string,
  expected: (y: number) => number = (y) => y,
): Promise<string | undefined> {
  const [rows, before] = await Promise.all([rowsOf(x), rowsOf(applied(f, x))]);
  const moved = like(
    x,
    rows.map((row) => row.map(change)),
  );
  return eachRow(f, moved, (after, _, [tolerance], r) =>
    differs(after, before[r]!.map(expected), tolerance, `when ${how}`),
  );
}

/** An objection where two rows differ by more than the tolerance, relative to their largest entry. */
function differs(found: Numbers, wanted: Numbers, tolerance: number, when: string): string | undefined {
  const allowed = tolerance * largest(wanted);
  const at = found.findIndex((v, i) => !(Object.is(v, wanted[i]) || Math.abs(v - wanted[i]!) <= allowed));
  return at < 0 ? undefined : `entry ${at} is ${found[at]} instead of ${wanted[at]} ${when}`;
}

/** An objection for a pair of entries of which the first has the larger score. */
function pairwise(
  scores: Numbers,
  objection: (larger: number, smaller: number) => string | undefined,
): string | undefined {
  return first(scores, (a, i) => first(scores, (b, j) => (a > b ? objection(i, j) : undefined)));
}

/** The size of the largest finite entry, at least 1. */
const largest = (row: Numbers): number =>
  row.reduce((m, v) => (Number.isFinite(v) ? Math.max(m, Math.abs(v)) : m), 1);

const total = (row: Numbers): number => row.reduce((sum, v) => sum + v, 0);

/** Entries that are 0 or infinite add nothing. */
const dot = (a: Numbers, b: Numbers): number =>
  a.reduce((sum, v, i) => (v === 0 || !Number.isFinite(b[i]!) ? sum : sum + v * b[i]!), 0);
