// Every op keeps the laws that its card names, and those that follow from them, with the options of each example; and breaks
// those of which the card says so, on the rows that it gives.

import { describe, expect, test } from "vitest";
import { checkLaws, type LawFunction, objectionTo } from "../../core/check/index.ts";
import { tensor } from "../../core/create.ts";
import type { Example } from "../../core/op.ts";
import type { Shape } from "../../core/shape.ts";
import { Tensor } from "../../core/tensor.ts";
import { reshape, slice } from "../../core/views.ts";
import {
  argsort,
  concat,
  csoftmax,
  evSoftmax,
  expandDims,
  greater,
  mul,
  multimax,
  normalizedRelu,
  perturbMax,
  sigmoid,
  sin,
  softmaxSink,
  sparsehourglass,
  sphericalSoftmax,
  sub,
  temperedSoftmax,
} from "../../ops/index.ts";
import { place } from "../place.ts";
import {
  type AnyOp,
  byName,
  generator,
  mapSlots,
  type Setting,
  type Slot,
  settings,
  templateOf,
  upload,
} from "./samples.ts";

type X = Tensor<Shape, "f64">;

/** Random inputs for a law. A reading of a GPU takes ten times as long as one of the CPU, and agreement speaks for it too. */
const runsOn = (device: Setting["device"]): number =>
  device === "webgpu" ? Math.ceil(place.shapes / 4) : place.shapes;

/** Ops of several rows at once: they get each row, and half of it. */
const ofGroups: readonly string[] = ["mixtureOfSoftmaxes", "logMixtureOfSoftmaxes", "jsDivergence"];
const paired = (x: X): Tensor =>
  concat([expandDims(x, -2) as X, expandDims(mul(x, 0.5) as X, -2) as X] as never, -2);

/** For each row the class whose score has a certain rank: a label that moves with the scores. */
function rankedLabels(x: X): Tensor {
  const [rows, n] = x.shape as [number, number];
  return reshape(slice(argsort(x as never) as unknown as X, [0, rows], [5 % n, (5 % n) + 1]) as X, [rows]);
}

/** What stands beside scores, made from them entry by entry so that it moves with them. */
const beside = (x: X, stored: Slot["stored"]): Tensor =>
  stored === "bool"
    ? (greater(sin(x) as never, -0.5 as never) as Tensor)
    : (sub(1, mul(sigmoid(x) as X, 0.5) as never) as Tensor);

/** The op as a function of scores alone; labels, masks and class weights are made to fit them. */
function ofScores(op: AnyOp, example: Example, setting: Setting, law = ""): LawFunction {
  const { info } = op;
  if (info.kind === "map") return op as unknown as LawFunction;
  const template = templateOf(op, example);
  const moving = law.startsWith("permutation");
  return (x: Tensor<Shape>) => {
    const [rows, n] = [x.size / x.shape.at(-1)!, x.shape.at(-1)!];
    const random = generator(41);
    let first = true;
    const args = mapSlots(template, (s) => {
      if (first) {
        first = false;
        return ofGroups.includes(info.name) ? paired(x as X) : x;
      }
      const made = (shape: readonly number[], entry: (i: number) => number): Tensor =>
        upload(
          { ...s, shape, data: Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => entry(i)) },
          setting,
        );
      if (s.name === "target" && s.stored === "i32")
        return moving ? rankedLabels(x as X) : made([rows], (i) => (i * 5) % n);
      // Almost the identity, whatever order the classes have.
      if (s.name === "confusion") return made([n, n], (i) => (i % (n + 1) === 0 ? 2 : 0));
      if (ofGroups.includes(info.name) && s.name === "argument 1")
        return made([rows, s.shape[0]!], (i) => s.data[i % s.shape[0]!]!);
      if (info.kind === "structure") return upload(s, setting);
      const ofRows = s.name === "target" || ["row", undefined].includes(info.params?.[s.name]?.is);
      if (moving && ofRows) return beside(x as X, s.stored);
      const shape = info.kind === "loss" && s.name !== "target" ? [n] : [rows, n];
      // Beside the scores of a map stand bounds: all alike, and wide enough for a single class.
      const bound = law === "monotoneUnderEqualBounds" && n > 1 ? 0.6 : 1;
      return made(shape, () =>
        s.stored === "bool"
          ? Number(random() < 0.7)
          : info.kind !== "loss"
            ? bound
            : s.name === "target"
              ? random()
              : 0.5 + (moving ? 0.25 : random()),
      );
    });
    if (!info.options?.includes("reduction")) return op(...args) as Tensor;
    const last = args.at(-1);
    const ends = args.length > 1 && !(last instanceof Tensor);
    const options = { ...(ends ? (last as object) : {}), reduction: "none" };
    return op(...(ends ? args.slice(0, -1) : args), options) as Tensor;
  };
}

/** The op with all that its first example has, but for the scores. */
function besideExample(op: AnyOp, setting: Setting): LawFunction {
  const template = templateOf(op, op.info.examples[0]!);
  return (x: Tensor<Shape>) => {
    let first = true;
    return op(
      ...mapSlots(template, (s) => {
        if (first) {
          first = false;
          return x;
        }
        const isRow = op.info.params?.[s.name]?.is === "row" && s.shape.length === 1;
        return upload(isRow ? { ...s, shape: [1, ...s.shape] } : s, setting);
      }),
    ) as Tensor;
  };
}

/** Laws that options may take away: temperature 0 is not strict, α = 1 not sparse. They hold for the first example. */
const optional: readonly string[] = ["exactZeros", "strictlyMonotone", "scaleInvariant"];

/** Scores that are not any numbers. */
const positive = (v: number): number => Math.abs(v) + 1 / 64;
const probability = (v: number): number => 1 / (1 + Math.abs(v));
const scoreOf: { readonly [name: string]: (v: number) => number } = {
  sumNormalization: positive,
  nll: probability,
  brierScoreMean: probability,
  shannonEntropy: probability,
};

const lawful = byName.filter(([, op]) => op.info.laws.length > 0);

describe.each(lawful)("%s", (name, op) => {
  const { laws, kind, breaks = {} } = op.info;
  describe.each(settings)("on $device in $dtype", (setting) => {
    test.each(laws)("%s", async (law) => {
      // Without that law a score of −∞ has no meaning for the op.
      const without = laws.includes("masked") || law === "finiteScoresOnly" ? [] : (["masked"] as const);
      const examples =
        kind === "map" || optional.includes(law) ? op.info.examples.slice(0, 1) : op.info.examples;
      const how = {
        ...setting,
        without,
        runs: runsOn(setting.device),
        except: Object.keys(breaks),
        ...(scoreOf[name] ? { score: scoreOf[name] } : {}),
      };
      for (const example of examples) await checkLaws(ofScores(op, example, setting, law), [law], how);
    });
  });

  const broken = Object.entries(breaks);
  if (broken.length === 0) return;
  describe.each(settings.filter(({ dtype }) => dtype === "f64"))("on $device in $dtype", (setting) => {
    test.each(broken)("breaks %s", async (law, rows) => {
      // In another order noise goes with the scores.
      const f = law.startsWith("permutation")
        ? ofScores(op, op.info.examples[0]!, setting, law)
        : besideExample(op, setting);
      expect(await objectionTo(f, law, rows, setting)).toBeDefined();
    });
  });
});

/** What there is to say of a map of rows: the columns of the table of maps, by the laws that say it, and what NaN and ∞ do. */
const properties: readonly (readonly string[])[] = [
  ["sumsToOne", "sumsToOneOrZero"],
  ["nonNegative"],
  ["shiftInvariant"],
  ["monotone"],
  ["strictlyMonotone"],
  ["permutationEquivariant"],
  ["scaleInvariant"],
  ["idempotentOnSimplex"],
  ["exactZeros"],
];
const edges: readonly (readonly string[])[] = [["nanRow"], ["infiniteRow", "emptyRow", "finiteScoresOnly"]];

describe("of every property", () => {
  const maps = byName.filter(([, { info }]) => info.kind === "rowMap" || info.breaks);

  test.each(maps)("%s says that it has it, or has rows against it", (name, { info }) => {
    const { laws, breaks = {} } = info;
    // Logarithms of probabilities are no probabilities. What a mask leaves out may be NaN. A stick may break at ∞.
    const wanted = [
      ...(laws.includes("expSumsToOne") ? [] : properties),
      ...(name.startsWith("masked") ? [] : name === "stickBreaking" ? edges.slice(0, 1) : edges),
    ];
    const unsaid = wanted.filter((names) => !names.some((law) => laws.includes(law) || law in breaks));
    expect(unsaid).toEqual([]);
    expect(laws.filter((law) => law in breaks)).toEqual([]);
  });
});

/** Laws that options give and take: a map with options, what it keeps then, and what it breaks then. */
interface Variant {
  readonly says: string;
  readonly map: (x: X) => Tensor;
  readonly keeps?: readonly string[];
  readonly breaks?: { readonly [law: string]: readonly (readonly number[])[] };
  readonly score?: (v: number) => number;
}

/** Scores within ±2, and none far below the others. */
const near = (v: number): number => v / 4;

const variants: readonly Variant[] = [
  ...(["normal", "logistic", "laplace", "exponential"] as const).map(
    (noise): Variant => ({
      says: `perturbMax with ${noise} noise is strictly monotone and has no zeros`,
      map: (x) => perturbMax(x, { noise }),
      keeps: ["strictlyMonotone"],
      breaks: { scaleInvariant: [[0, 1]], idempotentOnSimplex: [[0.25, 0.75]], exactZeros: [[0, -4]] },
      score: near,
    }),
  ),
  {
    says: "perturbMax with uniform noise has zeros, and ties at 0",
    map: (x) => perturbMax(x, { noise: "uniform" }),
    keeps: ["exactZeros"],
    breaks: {
      strictlyMonotone: [[2, 0, -1]],
      scaleInvariant: [[0, 0.5]],
      idempotentOnSimplex: [[0.25, 0.75]],
    },
  },
  {
    says: "temperedSoftmax of t above 1 is strictly monotone and has no zeros",
    map: (x) => temperedSoftmax(x, { t: 2 }),
    keeps: ["strictlyMonotone"],
    breaks: { exactZeros: [[0, -30]], idempotentOnSimplex: [[0.25, 0.75]] },
  },
  {
    says: "sparsehourglass at q = 0 is scale-invariant where the sum is positive",
    map: (x) => sparsehourglass(x, { q: 0 }),
    keeps: ["scaleInvariant", "idempotentOnSimplex"],
    breaks: { shiftInvariant: [[0, 0.5]] },
    score: positive,
  },
  {
    says: "sphericalSoftmax with ε is not scale-invariant",
    map: (x) => sphericalSoftmax(x, { eps: 1 }),
    breaks: { scaleInvariant: [[1, 2]] },
  },
  {
    says: "normalizedRelu with ε sums to less than one, and is not scale-invariant",
    map: (x) => normalizedRelu(x, { eps: 1 }),
    keeps: ["sumsToAtMostOne", "monotone"],
    breaks: { sumsToOne: [[1]], scaleInvariant: [[1]], idempotentOnSimplex: [[1]] },
  },
  {
    says: "evSoftmax with ε has no zeros",
    map: (x) => evSoftmax(x, { eps: 0.1 }),
    keeps: ["sumsToOne", "monotone", "shiftInvariant", "permutationEquivariant"],
    breaks: { exactZeros: [[0, -30]] },
  },
  {
    says: "softmaxSink sums to one where nothing goes to the sink",
    map: (x) => softmaxSink(x, { sink: Number.NEGATIVE_INFINITY }),
    keeps: ["sumsToOne", "shiftInvariant"],
  },
  {
    says: "csoftmax under equal bounds does not separate what reaches them",
    map: (x) => csoftmax(x, { u: tensor([0.4, 0.4, 0.4], { device: x.device, dtype: x.dtype }) as never }),
    breaks: { strictlyMonotone: [[9, 8, 0]] },
  },
  {
    says: "multimax is not monotone where its transform falls",
    map: (x) => multimax(x, { ranges: [0, 0, 0, 0], ts: [2, 0, 0, 0] }),
    keeps: ["sumsToOne", "permutationEquivariant"],
    breaks: { monotone: [[-1, 0]], strictlyMonotone: [[-1, 0]] },
  },
];

describe.each(variants.map((v) => [v.says, v] as const))(
  "%s",
  (_, { map, keeps = [], breaks = {}, score }) => {
    test.each(settings.filter(({ dtype }) => dtype === "f64"))("on $device", async (setting) => {
      const f = map as LawFunction;
      await checkLaws(f, keeps, {
        ...setting,
        runs: runsOn(setting.device),
        without: ["masked"],
        ...(score ? { score } : {}),
      });
      for (const [law, rows] of Object.entries(breaks))
        expect(await objectionTo(f, law, rows, setting), law).toBeDefined();
    });
  },
);
