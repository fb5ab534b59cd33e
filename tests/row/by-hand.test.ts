// Gradients written by hand are for speed, never for existence: each equals the one derived from the formula.

import { expect, test } from "vitest";
import { Formula } from "../../core/formula.ts";
import type { InputInfo } from "../../core/row/expr.ts";
import { allLosses } from "../../losses/index.ts";
import { allOps } from "../../ops/index.ts";
import { derived } from "./read.ts";

const n = 7;

/** Numbers that look random and are the same on every run, away from ties. */
const noise = (seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => {
    const v = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
    return v - Math.floor(v);
  });

const formulas = [...allOps, ...allLosses].filter(
  (op) =>
    op.info.formula && op.info.smooth !== false && (op.info.kind === "rowMap" || op.info.kind === "loss"),
);

test.each(formulas.map((op) => [op.info.name, op] as const))("%s", (_, op) => {
  const byHand = op.info.formula!();
  const { name, inputs, results, kinds, stored } = byHand;
  const bare = new Formula(name, inputs, results, { kinds, stored });
  const values = inputs.map((e, i) => {
    const { name: input, stored: as } = e.detail as InputInfo;
    const { min = -1, max = 1 } = op.info.domain?.[input] ?? {};
    const count = e.kind === "row" ? n : 1;
    if (as === "bool") return noise(i, count).map((v) => (v > 0.3 ? 1 : 0));
    if (as === "i32") return [2];
    if (input === "k") return [3];
    return noise(i + 1, count).map((v) => min + (max - min) * v);
  });
  const cotangents = kinds.map((kind, k) => noise(40 + k, kind === "row" ? n : 1));
  const want = derived(bare, values, cotangents, n).pure;
  const got = derived(byHand, values, cotangents, n);
  want.forEach((gradient, i) => {
    if ((inputs[i]!.detail as InputInfo).stored !== "float") return;
    gradient.forEach((v, j) => {
      expect(
        Math.abs(got.saved[i]![j]! - v),
        `${(inputs[i]!.detail as InputInfo).name}[${j}], saved`,
      ).toBeLessThan(1e-9 * (1 + Math.abs(v)));
      expect(
        Math.abs(got.pure[i]![j]! - v),
        `${(inputs[i]!.detail as InputInfo).name}[${j}], pure`,
      ).toBeLessThan(1e-9 * (1 + Math.abs(v)));
    });
  });
});
