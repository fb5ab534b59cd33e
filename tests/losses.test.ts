// Losses as tensors meet them: reductions, weights, smoothing, ignored rows, both kinds of target; on both devices.

import { beforeEach, describe, expect, test } from "vitest";
import { DomainError, DTypeError, grad, ShapeError, scope, tensor, useDevice } from "../core/index.ts";
import {
  crossEntropy,
  entmax15Loss,
  entmaxLoss,
  labelSmoothingCe,
  logSphericalCe,
  softCrossEntropy,
  sparsemaxLoss,
  sparseSoftmaxLoss,
  taylorCe,
  weightedCrossEntropy,
} from "../losses/index.ts";
import { logSoftmax, sparsemax, sub, sum } from "../ops/index.ts";

const rows = [
  [2, 0.5, -1, 0.1],
  [0.3, 0.2, 0.9, -0.4],
  [-1.5, 2.2, 0.4, 0.6],
];
const labels = [0, 3, 1];
const weights = [1, 2, 0.5, 3];

/** −log softmax(x)[t], term by term. */
const nll = (x: readonly number[], t: number): number =>
  Math.log(x.reduce((s, v) => s + Math.exp(v), 0)) - x[t]!;

describe.each(["js", "wasm"] as const)("on %s", (device) => {
  beforeEach(() => useDevice(device));
  const f64 = (values: number[] | number[][]) => tensor(values, { dtype: "f64" });

  test("smoothing by 0 is no smoothing, also beside a masked class", () => {
    const masked = f64([[1, 0, Number.NEGATIVE_INFINITY]]);
    const smoothed = (x: typeof masked) => crossEntropy(x, [0], { labelSmoothing: 0 });
    expect(smoothed(masked).item()).toBeCloseTo(crossEntropy(masked, [0]).item(), 12);
    expect(grad(smoothed)(masked).toArray()).toEqual(
      grad((x: typeof masked) => crossEntropy(x, [0]))(masked).toArray(),
    );
    expect(crossEntropy(masked, [0], { labelSmoothing: 0.1 }).item()).toBe(Number.POSITIVE_INFINITY);
  });

  test("the mean divides by the rows, the sum does not, none keeps them", () => {
    const want = rows.map((x, i) => nll(x, labels[i]!));
    const total = want.reduce((a, b) => a + b);
    expect(crossEntropy(f64(rows), labels).item()).toBeCloseTo(total / 3, 12);
    expect(crossEntropy(f64(rows), labels, { reduction: "sum" }).item()).toBeCloseTo(total, 12);
    const each = crossEntropy(f64(rows), labels, { reduction: "none" }).dataSync();
    want.forEach((v, i) => {
      expect(each[i]).toBeCloseTo(v, 12);
    });
  });

  test("a weighted mean divides by the weights of the rows that count", () => {
    const want = rows.map((x, i) => weights[labels[i]!]! * nll(x, labels[i]!));
    const divisor = labels.reduce((s, t) => s + weights[t]!, 0);
    const got = crossEntropy(f64(rows), labels, { weight: f64(weights) }).item();
    expect(got).toBeCloseTo(want.reduce((a, b) => a + b) / divisor, 12);
    const sumOf = weightedCrossEntropy(f64(rows), labels, { weights: f64(weights), reduction: "sum" }).item();
    expect(sumOf).toBeCloseTo(
      want.reduce((a, b) => a + b),
      12,
    );
  });

  test("smoothing with weights follows PyTorch", () => {
    const eps = 0.1;
    const n = 4;
    let numerator = 0;
    let divisor = 0;
    rows.forEach((x, i) => {
      const t = labels[i]!;
      numerator += (1 - eps) * weights[t]! * nll(x, t);
      for (let j = 0; j < n; j++) numerator += (eps / n) * weights[j]! * nll(x, j);
      divisor += weights[t]!;
    });
    const got = crossEntropy(f64(rows), labels, { weight: f64(weights), labelSmoothing: eps }).item();
    expect(got).toBeCloseTo(numerator / divisor, 12);
  });

  test("ignored rows neither count nor move, whatever they hold", () => {
    const x = f64([rows[0]!, [Number.NaN, 1, 2, 3], [Number.NEGATIVE_INFINITY, 0, 0, 1e4], rows[2]!]);
    const t = [0, -100, -100, 1];
    const alone = crossEntropy(f64([rows[0]!, rows[2]!]), [0, 1]).item();
    expect(crossEntropy(x, t).item()).toBeCloseTo(alone as number, 12);
    const g = grad((v: typeof x) => crossEntropy(v, t))(x).toArray() as number[][];
    expect(g[1]!.every((v) => v === 0)).toBe(true);
    expect(g[2]!.every((v) => v === 0)).toBe(true);
    expect(crossEntropy(x, [7, 7, 7, 7], { ignoreIndex: 7 }).item()).toBe(0);
  });

  test("a one-hot distribution is an index", () => {
    const q = labels.map((t) => [0, 1, 2, 3].map((j) => (j === t ? 1 : 0)));
    for (const loss of [crossEntropy, sparsemaxLoss, entmax15Loss, entmaxLoss]) {
      const byIndex = loss(f64(rows), labels).item() as number;
      expect(loss(f64(rows), f64(q)).item()).toBeCloseTo(byIndex, 12);
    }
    const smooth = crossEntropy(f64(rows), labels, { labelSmoothing: 0.2 }).item() as number;
    expect(softCrossEntropy(f64(rows), f64(q), { labelSmoothing: 0.2 }).item()).toBeCloseTo(smooth, 12);
    expect(labelSmoothingCe(f64(rows), labels, { epsilon: 0.2 }).item()).toBeCloseTo(smooth, 12);
  });

  test("a confident row keeps its loss in f32: [17, 0] has 4.14e-8", () => {
    const loss = crossEntropy(tensor([[17, 0]]), [0]).item() as number;
    expect(loss / Math.log1p(Math.exp(-17))).toBeCloseTo(1, 5);
    const l = logSoftmax(tensor([[17, 0]])).dataSync();
    expect(l[0]! / -Math.log1p(Math.exp(-17))).toBeCloseTo(1, 5);
  });

  test("the gradient of a Fenchel–Young loss is p − q, and beyond the margin nothing is left", () => {
    const x = f64(rows);
    const g = grad((v: typeof x) => sparsemaxLoss(v, labels, { reduction: "sum" }))(x);
    const q = f64(labels.map((t) => [0, 1, 2, 3].map((j) => (j === t ? 1 : 0))));
    expect((sum(sub(g, sub(sparsemax(x), q))).item() as number) + 0).toBeCloseTo(0, 12);
    const clear = f64([[5, 0, 1]]);
    for (const loss of [sparsemaxLoss, entmax15Loss]) {
      expect(loss(clear, [0]).item()).toBe(0);
      expect((grad((v: typeof clear) => loss(v, [0]))(clear).toArray() as number[][])[0]).toEqual([0, 0, 0]);
    }
  });

  test("entmaxLoss at α = 1 is cross-entropy, and α has a gradient", () => {
    expect(entmaxLoss(f64(rows), labels, { alpha: 1 }).item()).toBeCloseTo(
      crossEntropy(f64(rows), labels).item() as number,
      12,
    );
    const alpha = f64([1.3]);
    const of = (a: number): number => entmaxLoss(f64(rows), labels, { alpha: a }).item() as number;
    const numeric = (of(1.3 + 1e-5) - of(1.3 - 1e-5)) / 2e-5;
    const g = grad((a: typeof alpha) => entmaxLoss(f64(rows), labels, { alpha: a }))(alpha).item();
    expect(g).toBeCloseTo(numeric, 8);
  });

  test("a tie that the k largest leave out does not count", () => {
    expect(sparseSoftmaxLoss(f64([[1, 1, 0]]), [0], { k: 1 }).item()).toBe(0);
    expect(sparseSoftmaxLoss(f64([[1, 1, 0]]), [2], { k: 1 }).item()).toBe(1);
  });

  test("other axes and further leading axes", () => {
    const x = f64(rows);
    const byColumns = crossEntropy(x.transpose(), labels, { axis: 0 }).item() as number;
    expect(byColumns).toBeCloseTo(crossEntropy(x, labels).item() as number, 12);
    const alphas = f64([[1.2], [1.5], [1.8]]);
    expect(entmaxLoss(x.transpose(), labels, { axis: 0, alpha: alphas.transpose() }).item()).toBeCloseTo(
      entmaxLoss(x, labels, { alpha: alphas }).item() as number,
      12,
    );
    const three = tensor([rows, rows], { dtype: "f64" });
    const t = tensor([labels, labels], { dtype: "i32" });
    expect(crossEntropy(three, t, { reduction: "none" }).shape).toEqual([2, 3]);
    expect(crossEntropy(three, t).item()).toBeCloseTo(byColumns, 12);
  });

  test("no rows at all: the loss is 0, and its gradient is empty", () => {
    const none = tensor(new Float64Array(0), { shape: [0, 4] });
    expect(crossEntropy(none, new Int32Array(0)).item()).toBe(0);
    expect((grad((x: typeof none) => crossEntropy(x, new Int32Array(0)))(none) as typeof none).shape).toEqual(
      [0, 4],
    );
  });

  test("bad labels and options are refused by name", () => {
    const x = f64(rows);
    const refused = (fn: () => unknown, kind: new (...a: never[]) => Error, text: string): void =>
      scope(() => {
        expect(fn).toThrow(kind);
        expect(fn).toThrow(text);
      });
    refused(
      () => crossEntropy(x, [0, 4, 1]),
      DomainError,
      "crossEntropy: target[1] is 4; class indices lie in [0, 4)",
    );
    refused(() => crossEntropy(x, [0, 0.5, 1]), DomainError, "crossEntropy: target[1] is 0.5");
    refused(() => crossEntropy(x, [0, 1]), ShapeError, "crossEntropy: target of shape [2]");
    refused(
      () => taylorCe(x, labels, { order: 3 }),
      DomainError,
      "taylorCe: order is 3; give an even integer",
    );
    refused(
      () => entmaxLoss(x, labels, { alpha: 0.5 }),
      DomainError,
      "entmaxLoss: alpha is 0.5; alpha must be at least 1",
    );
    refused(() => sparseSoftmaxLoss(x, labels, { k: 0 }), DomainError, "sparseSoftmaxLoss: k is 0");
    refused(() => logSphericalCe(x, labels, { eps: -1 }), DomainError, "logSphericalCe: eps is -1");
    refused(() => labelSmoothingCe(x, labels, { epsilon: 2 }), DomainError, "labelSmoothingCe: epsilon is 2");
    refused(
      () => crossEntropy(x, labels, { weight: f64([1, 2]) }),
      ShapeError,
      "crossEntropy: weight: shape [2]",
    );
    refused(
      () => crossEntropy(x, tensor([0, 1, 2]) as never),
      DTypeError,
      "target: f32 stands beside scores of f64",
    );
    refused(() => sparseSoftmaxLoss(x, tensor([0, 1, 2]) as never, { k: 2 }), DTypeError, "target holds f32");
  });
});
