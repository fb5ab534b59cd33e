// Calibration metrics and the fitted temperature against plain loops; the general Fenchel–Young loss against the special ones.

import { describe, expect, test } from "vitest";
import { ArgumentError, DomainError, grad, normal, tensor, useDevice } from "../core/index.ts";
import {
  asSpeedSteps,
  crossEntropy,
  ece,
  entmaxLoss,
  fenchelYoung,
  fitTemperature,
  mce,
  reliability,
  sparsemaxLoss,
  temperatureScaledNll,
} from "../losses/index.ts";
import { add, div, entmax, mul, softmax, sparsemax, taylorSoftmax } from "../ops/index.ts";

const n = 4;
const rows = 97;
const labels = Array.from({ length: rows }, (_, i) => (i * i + 3 * i) % n);

describe.each(["js", "wasm"] as const)("on %s", (device) => {
  const scores = async () => {
    await useDevice(device);
    // Right more often than not, and too sure of it.
    const right = labels.map((label) => Array.from({ length: n }, (_, k) => Number(k === label)));
    return mul(add(normal([rows, n], { seed: 1, dtype: "f64" }), tensor(right, { dtype: "f64" })), 4);
  };

  test.each(["width", "mass"] as const)("bins of equal %s are those of a plain loop", async (by) => {
    const p = softmax(await scores());
    const bins = 7;
    const hits = p.toArray().map((row, i) => {
      const c = Math.max(...row);
      return { c, right: Number(row.indexOf(c) === labels[i]) };
    });
    if (by === "mass") hits.sort((a, b) => a.c - b.c);
    const table = Array.from({ length: bins }, () => ({ count: 0, c: 0, right: 0 }));
    hits.forEach(({ c, right }, i) => {
      const b =
        by === "mass"
          ? Math.floor((i * bins) / rows)
          : table.findIndex((_, b) => c > b / bins && c <= (b + 1) / bins);
      table[b]!.count++;
      table[b]!.c += c;
      table[b]!.right += right;
    });
    const got = reliability(p, labels, { bins, by });
    const mean = (total: number, count: number) => total / Math.max(count, 1);
    expect(got.count.toArray()).toEqual(table.map((b) => b.count));
    table.forEach((b, k) => {
      expect(got.confidence.toArray()[k]).toBeCloseTo(mean(b.c, b.count), 12);
      expect(got.accuracy.toArray()[k]).toBeCloseTo(mean(b.right, b.count), 12);
    });
    const gaps = table.map((b) => Math.abs(mean(b.c, b.count) - mean(b.right, b.count)));
    expect(mce(p, labels, { bins, by }).item()).toBeCloseTo(Math.max(...gaps), 12);
    const expected = gaps.reduce((s, gap, k) => s + (table[k]!.count / rows) * gap, 0);
    expect(ece(p, labels, { bins, by }).item()).toBeCloseTo(expected, 12);
  });

  test("the fitted temperature has slope zero, and follows the scale of the scores", async () => {
    const x = await scores();
    const t = await fitTemperature(x, labels);
    const at = tensor([t], { dtype: "f64" });
    const slope = grad((temperature: typeof at) => temperatureScaledNll(x, labels, { temperature }))(at);
    expect(slope.item()).toBeCloseTo(0, 9);
    expect(await fitTemperature(div(x, 3), labels)).toBeCloseTo(t / 3, 9);
  });

  test("rows that are all right want it cold, worse than chance the hottest", async () => {
    await useDevice(device);
    const x = tensor([[3, 0]], { dtype: "f64" });
    expect(await fitTemperature(x, [0])).toBeLessThan(0.05);
    expect(await fitTemperature(x, [1])).toBeCloseTo(2 ** 10, 3);
  });

  test("fenchelYoung gives cross-entropy for softmax, and the losses of sparsemax and entmax", async () => {
    const x = await scores();
    const q = softmax(mul(x, -0.3));
    const close = (a: readonly number[], b: readonly number[]) =>
      a.forEach((v, i) => {
        expect(v).toBeCloseTo(b[i]!, 10);
      });
    const pairs = [
      [fenchelYoung(softmax), crossEntropy],
      [fenchelYoung(sparsemax), sparsemaxLoss],
      [fenchelYoung(entmax), entmaxLoss],
    ] as const;
    for (const [ours, theirs] of pairs) {
      close(
        ours(x, labels, { reduction: "none" }).toArray() as number[],
        theirs(x, labels, { reduction: "none" }).toArray() as number[],
      );
      const dx = (f: typeof ours) => Array.from(grad((s: typeof x) => f(s, labels))(x).dataSync());
      close(dx(ours), dx(theirs as typeof ours));
    }
    const [ours, theirs] = pairs[2];
    const alpha = tensor([1.3], { dtype: "f64" });
    const dAlpha = (f: typeof theirs) => grad((a: typeof alpha) => f(x, q, { alpha: a }))(alpha).item();
    expect(dAlpha(ours as typeof theirs)).toBeCloseTo(dAlpha(theirs), 10);
    expect(ours(x, q, { alpha }).item()).toBeCloseTo(theirs(x, q, { alpha }).item(), 10);
  });

  test("what cannot be done is refused", async () => {
    const p = softmax(await scores());
    expect(() => ece(p, labels, { bins: 0 })).toThrow(DomainError);
    expect(() => ece(p, labels, { by: "size" as "mass" })).toThrow(ArgumentError);
    expect(() => ece(p, labels.with(0, -100))).toThrow(DomainError);
    expect(() => fenchelYoung(taylorSoftmax)).toThrow(ArgumentError);
    expect(() => asSpeedSteps({ samples: 1, easy: 2, previous: 1, maxSteps: 2 })).toThrow(DomainError);
  });
});
