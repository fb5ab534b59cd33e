// How maps and losses hang together: limits, special cases and gradients that have a name, on random rows with ties and offsets.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ScoreKind, scoreRows } from "../../core/check/index.ts";
import { tensor } from "../../core/create.ts";
import { dtypes } from "../../core/dtype.ts";
import { gumbel } from "../../core/random.ts";
import { openScope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  crossEntropy,
  entmax15Loss,
  entmaxLoss,
  logSphericalCe,
  softCrossEntropy,
  sparsemaxLoss,
  sparseSoftmaxLoss,
  taylorCe,
} from "../../losses/index.ts";
import {
  add,
  entmax,
  entmax15,
  exp,
  gumbelSoftmax,
  hardmax,
  log,
  logSoftmax,
  logsumexp,
  max,
  mul,
  neg,
  oneHot,
  sampledArgmax,
  softmax,
  sparsemax,
  sparseSoftmax,
  sphericalSoftmax,
  sub,
  sum,
  taylorSoftmax,
} from "../../ops/index.ts";
import { firstDifference, numbersOf, settings } from "./samples.ts";

type X = Tensor<Shape, "f64">;
type Map = (x: X) => Tensor;

/** The label of row r. */
const labels = (x: X): number[] => Array.from({ length: x.shape[0]! }, (_, r) => (r * 5) % x.shape[1]!);
/** Noise of the shape of the scores. */
const noiseFor = (x: X): Tensor => gumbel(x.shape, { seed: 1, dtype: x.dtype, device: x.device });
const perRow = { reduction: "none" } as const;
const pickTarget = (rows: X, x: X): Tensor =>
  neg(
    sum(
      mul(
        rows,
        oneHot(tensor(labels(x), { dtype: "i32", device: x.device }), x.shape[1]!, {
          dtype: x.dtype,
        }) as never,
      ),
      { axis: -1 },
    ) as X,
  );

/** Left and right agree on rows of these kinds, within the tolerance of the element type times `slack`. */
interface Identity {
  readonly says: string;
  readonly left: Map;
  readonly right: Map;
  readonly kinds?: readonly ScoreKind[];
  readonly slack?: number;
}

const unmasked: readonly ScoreKind[] = ["plain", "ties", "offset", "edge"];
/** Rows whose entries all differ by more than 1/100. */
const distinct = (rows: readonly (readonly number[])[]): boolean =>
  rows.every((row) => row.every((v, i) => row.every((w, j) => i === j || Math.abs(v - w) > 0.01)));

const identities: readonly Identity[] = [
  { says: "entmax at α = 1 is softmax", left: (x) => entmax(x, { alpha: 1 }), right: softmax as Map },
  { says: "entmax at α = 1.5 is entmax15", left: (x) => entmax(x, { alpha: 1.5 }), right: entmax15 as Map },
  { says: "entmax at α = 2 is sparsemax", left: (x) => entmax(x, { alpha: 2 }), right: sparsemax as Map },
  {
    says: "softmax at temperature τ is softmax of x/τ",
    left: (x) => softmax(x, { temperature: 0.25 }),
    right: (x) => softmax(mul(x, 4) as X),
    kinds: unmasked,
  },
  {
    says: "sparseSoftmax of all entries is softmax",
    left: (x) => sparseSoftmax(x, { k: 100 }),
    right: softmax as Map,
  },
  {
    says: "sparseSoftmax of one entry is hardmax",
    left: (x) => sparseSoftmax(x, { k: 1 }),
    right: hardmax as Map,
  },
  {
    says: "log-probabilities are the logarithms of probabilities",
    left: (x) => exp(logSoftmax(x) as X),
    right: softmax as Map,
  },
  {
    says: "log-probabilities are scores less their logsumexp",
    left: (x) => logSoftmax(x),
    right: (x) => sub(x, logsumexp(x, { keepDims: true }) as never),
    kinds: ["plain", "ties", "edge"],
  },
  {
    says: "the gradient of logsumexp is softmax",
    left: (x) => grad((x: X) => sum(logsumexp(x) as X))(x),
    right: softmax as Map,
  },
  {
    says: "gumbelSoftmax is softmax of scores with noise",
    left: (x) => gumbelSoftmax(x, { noise: noiseFor(x) as never, temperature: 0.5 }),
    right: (x) => softmax(add(x, noiseFor(x) as never) as X, { temperature: 0.5 }),
    kinds: ["plain", "ties", "masked"],
  },
  {
    says: "sampledArgmax is hardmax of scores with noise",
    left: (x) => sampledArgmax(x, { noise: noiseFor(x) as never }),
    right: (x) => hardmax(add(x, noiseFor(x) as never) as X),
    kinds: ["plain", "ties", "masked"],
  },
  {
    says: "cross-entropy is a log-probability",
    left: (x) => crossEntropy(x, labels(x), perRow),
    right: (x) => pickTarget(logSoftmax(x) as X, x),
    kinds: unmasked,
  },
  {
    says: "entmaxLoss at α = 1 is cross-entropy",
    left: (x) => entmaxLoss(x, labels(x), { alpha: 1, ...perRow }),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: ["plain", "ties", "edge"],
    slack: 10,
  },
  {
    says: "entmaxLoss at α = 1.5 is entmax15Loss",
    left: (x) => entmaxLoss(x, labels(x), { alpha: 1.5, ...perRow }),
    right: (x) => entmax15Loss(x, labels(x), perRow),
    kinds: unmasked,
    slack: 10,
  },
  {
    says: "entmaxLoss at α = 2 is sparsemaxLoss",
    left: (x) => entmaxLoss(x, labels(x), { alpha: 2, ...perRow }),
    right: (x) => sparsemaxLoss(x, labels(x), perRow),
    kinds: unmasked,
    slack: 10,
  },
  {
    says: "sparseSoftmaxLoss of all entries is cross-entropy",
    left: (x) => sparseSoftmaxLoss(x, labels(x), { k: 100, ...perRow }),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: unmasked,
  },
  {
    says: "cross-entropy against one-hot distributions is that against labels",
    left: (x) =>
      softCrossEntropy(
        x,
        oneHot(tensor(labels(x), { dtype: "i32", device: x.device }), x.shape[1]!, {
          dtype: x.dtype,
        }) as never,
        perRow,
      ),
    right: (x) => crossEntropy(x, labels(x), perRow),
    kinds: unmasked,
  },
  {
    says: "taylorCe is a negative log-probability of taylorSoftmax",
    left: (x) => taylorCe(x, labels(x), perRow),
    right: (x) => pickTarget(log(taylorSoftmax(x) as X) as X, x),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  {
    says: "logSphericalCe is a negative log-probability of sphericalSoftmax",
    left: (x) => logSphericalCe(x, labels(x), { eps: 0.5, ...perRow }),
    right: (x) => pickTarget(log(sphericalSoftmax(x, { eps: 0.5 }) as X) as X, x),
    kinds: ["plain", "ties"],
    slack: 10,
  },
  ...(
    [
      ["crossEntropy", crossEntropy, softmax],
      ["sparsemaxLoss", sparsemaxLoss, sparsemax],
      ["entmax15Loss", entmax15Loss, entmax15],
      [
        "entmaxLoss",
        (x: X, y: number[], o: object) => entmaxLoss(x, y, { alpha: 1.25, ...o }),
        (x: X) => entmax(x, { alpha: 1.25 }),
      ],
    ] as const
  ).map(
    ([name, loss, map]): Identity => ({
      says: `the gradient of ${name} is its map less the target`,
      left: (x) =>
        grad((x: X) =>
          (loss as (x: X, y: number[], o: object) => Tensor)(x, labels(x), { reduction: "sum" }),
        )(x),
      right: (x) =>
        sub(
          (map as Map)(x) as X,
          oneHot(tensor(labels(x), { dtype: "i32", device: x.device }), x.shape[1]!, {
            dtype: x.dtype,
          }) as never,
        ),
      kinds: unmasked,
    }),
  ),
];

describe.each(settings)("on $device in $dtype", (setting) => {
  const agree = async ({ left, right, kinds, slack = 1 }: Identity, rows: number[][]): Promise<void> => {
    using _ = openScope();
    const x = tensor(rows, setting) as unknown as X;
    const [found, wanted] = await numbersOf(left(x), right(x));
    const wrong = firstDifference(found!, wanted!, slack * dtypes[setting.dtype].tolerance[0]);
    expect(wrong, kinds?.join()).toBeUndefined();
  };

  test.each(identities.map((i) => [i.says, i] as const))("%s", async (_, identity) => {
    const rows = scoreRows(identity.kinds ? { kinds: identity.kinds } : {});
    await fc.assert(
      fc.asyncProperty(rows, (rows) => agree(identity, rows)),
      { numRuns: 30, seed: 0, includeErrorInReport: true },
    );
  });

  test("without ties, cold softmax and entmax of large α are hardmax", async () => {
    const limits: readonly Map[] = [
      (x) => softmax(x, { temperature: 1e-4 }),
      (x) => entmax(x, { alpha: 1e4 }),
      (x) => softmax(x, { temperature: 0 }),
    ];
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: ["plain"] }).filter(distinct), async (rows) => {
        for (const left of limits) await agree({ says: "", left, right: hardmax as Map }, rows);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("near α = 1, entmax differs from softmax in proportion to α − 1", async () => {
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: ["plain", "ties"], minClasses: 2 }), async (rows) => {
        using _ = openScope();
        const x = tensor(rows, setting) as unknown as X;
        const step = setting.dtype === "f64" ? 1e-6 : 1e-3;
        const [distances] = await numbersOf(sub(entmax(x, { alpha: 1 + step }) as X, softmax(x) as never));
        // Scores within ±8: the second-order coefficient is at most of the size of 16².
        expect(Math.max(...distances!.map(Math.abs))).toBeLessThanOrEqual(100 * step);
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("logsumexp lies between the largest score and that plus log n", async () => {
    await fc.assert(
      fc.asyncProperty(scoreRows({ kinds: unmasked }), async (rows) => {
        using _ = openScope();
        const x = tensor(rows, setting) as unknown as X;
        const [low, y] = await numbersOf(max(x, { axis: -1 }), logsumexp(x));
        y!.forEach((v, r) => {
          expect(v).toBeGreaterThanOrEqual(low![r]!);
          expect(v).toBeLessThanOrEqual(
            low![r]! +
              Math.log(rows[0]!.length) +
              dtypes[setting.dtype].tolerance[0] * Math.max(1, Math.abs(v)),
          );
        });
      }),
      { numRuns: 30, seed: 0 },
    );
  });

  test("a margin loss is exactly 0 beyond its margin", async () => {
    using _ = openScope();
    for (const [loss, margin] of [
      [sparsemaxLoss, 1],
      [entmax15Loss, 2],
      [entmaxLoss, 2],
    ] as const) {
      const x = tensor(
        [
          [margin, 0, -1],
          [margin + 7, 0, 3],
        ],
        setting,
      ) as unknown as X;
      const losses = (loss as (x: X, y: number[], o: object) => Tensor)(x, [0, 0], perRow);
      expect(await numbersOf(losses)).toEqual([[0, 0]]);
    }
  });

  test("the loss of a row [17, 0] keeps its digits", async () => {
    using _ = openScope();
    const x = tensor([[17, 0]], setting) as unknown as X;
    const exact = Math.log1p(Math.exp(-17));
    const [[loss], [logProbability]] = (await numbersOf(crossEntropy(x, [0]), logSoftmax(x))) as [
      [number],
      [number],
    ];
    for (const found of [loss, -logProbability]) {
      expect(Math.abs(found / exact - 1)).toBeLessThan(setting.dtype === "f64" ? 1e-14 : 1e-6);
    }
  });
});
