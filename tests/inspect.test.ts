// How tensors print: aligned, elided when large, readable when freed; and as tables for notebooks.
import { inspect } from "node:util";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, expect, test } from "vitest";
import { full, range, tensor, zeros } from "../core/create.ts";
import { currentBackend, useDevice } from "../core/device.ts";
import { Parameter } from "../core/parameter.ts";
import { scope } from "../core/scope.ts";
import type { Tensor } from "../core/tensor.ts";

const initial = currentBackend().name;
beforeAll(() => useDevice("js"));
afterAll(() => useDevice(initial));

test("columns are aligned and digits are those that are needed", () => {
  expect(
    inspect(
      tensor([
        [1, -2.5],
        [10, 0.25],
      ]),
    ),
  ).toBe(["Tensor [2, 2] f32 on js", "[[ 1.00, -2.50],", " [10.00,  0.25]]"].join("\n"));
  expect(inspect(tensor([1, 20, 300]))).toBe("Tensor [3] f32 on js\n[  1,  20, 300]");
  expect(inspect(tensor([[true], [false]]))).toBe("Tensor [2, 1] bool on js\n[[ true],\n [false]]");
  expect(inspect(tensor([7, -1], { dtype: "i32" }))).toBe("Tensor [2] i32 on js\n[ 7, -1]");
});

test("a tensor without axes is one line", () => {
  expect(inspect(tensor(3.5))).toBe("Tensor [] f32 on js: 3.5");
});

test("only an exact zero is written 0", () => {
  expect(inspect(tensor([0, 1e-6, 0.5]))).toMatch(/\[ {2}0, 0\.0, 0\.5\]/);
  expect(inspect(tensor([0, 1e-6]))).toMatch(/\[ {8}0, 1\.0000e-6\]/);
});

test("infinities and NaN are shown as such", () => {
  expect(inspect(tensor([0.5, Number.NaN, Number.NEGATIVE_INFINITY]))).toMatch(/\[0\.5, NaN, {2}-∞\]/);
});

test("very large and very small numbers have exponents", () => {
  expect(inspect(tensor([1e-9, 3, 1e12], { dtype: "f64" }))).toMatch(
    /1\.0000e-9, {2}3\.0000e\+0, 1\.0000e\+12/,
  );
  expect(inspect(tensor([1e-6, 2e-6]))).toMatch(/1\.0000e-6/);
});

test("blocks of more than two axes are separated, long rows broken", () => {
  expect(inspect(range(8).reshape([2, 2, 2]))).toMatch(
    /\[\[\[0, 1\],\n {2}\[2, 3\]\],\n\n \[\[4, 5\],\n {2}\[6, 7\]\]\]/,
  );
  const lines = inspect(range(100)).split("\n");
  expect(lines.length).toBeGreaterThan(3);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
});

test("large tensors show the ends of each axis", () => {
  const text = inspect(range(10000).reshape([100, 100]));
  expect(text.split("\n").length).toBe(8);
  expect(text).toMatch(/\[\[ {3}0, {4}1, {4}2, …, {3}97, {3}98, {3}99\],/);
  expect(text).toMatch(/\n …,\n/);
  expect(text).toMatch(/9999\]\]$/);
});

test("empty tensors and freed ones print without throwing", () => {
  expect(inspect(zeros([0, 3]))).toBe("Tensor [0, 3] f32 on js\n[]");
  let lost: Tensor | undefined;
  scope(() => {
    lost = zeros([100]);
  });
  expect(inspect(lost)).toBe("Tensor [100] f32 on js (freed)");
  expect(lost!.toHTML()).toMatch(/freed/);
});

test("parameters print with their name", () => {
  expect(inspect(new Parameter(tensor([1, 2]), { name: "bias" }))).toBe("bias: Tensor [2] f32 on js\n[1, 2]");
});

test("in notebooks a tensor is a table, and rows that are distributions have bars", () => {
  const p = tensor([
    [0.25, 0.75],
    [1, 0],
  ]);
  const bundle = (p as unknown as Record<symbol, () => Record<string, string>>)[
    Symbol.for("Jupyter.display")
  ]!();
  expect(bundle["text/plain"]).toBe(inspect(p));
  const { document } = parseHTML(bundle["text/html"]!);
  expect([...document.querySelectorAll("td")].map((cell) => cell.textContent)).toEqual([
    "0.25",
    "0.75",
    "1.00",
    "0",
  ]);
  expect([...document.querySelectorAll("th")].map((cell) => cell.textContent)).toEqual(["0", "1"]);
  expect(bundle["text/html"]).toMatch(/linear-gradient\(90deg,#4285d655 25\.0%/);
  expect(tensor([[2, 3]]).toHTML()).not.toMatch(/gradient/);
  expect(tensor(2).toHTML()).toBe(inspect(tensor(2)));
  expect(range(10000).reshape([10, 10, 100]).toHTML().match(/<tr>/g)!.length).toBe(7);
  expect(full([2, 2, 2], 3).toHTML()).toMatch(/<th>1, 0<\/th>/);
  expect(zeros([0]).toHTML()).toMatch(/<table>/);
});
