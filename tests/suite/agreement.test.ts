// js ≡ wasm in f64 ≡ wasm in f32, values and gradients, for every op and rows of every length: the plain reading in f64 is the oracle.

import { describe, expect, test } from "vitest";
import { dtypes, isFloat } from "../../core/dtype.ts";
import { scope } from "../../core/scope.ts";
import { vjp } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  type AnyOp,
  byName,
  draw,
  drawn,
  firstDifference,
  generator,
  isSizable,
  mapSlots,
  type Setting,
  type Sizes,
  slotsOf,
  type Template,
  templateOf,
  tensorsIn,
  upload,
  waysOf,
  withScalars,
} from "./samples.ts";

/** Rows of 1 to 70 entries: every tail of every vector, with and without whole ones before it. Then long ones. */
const short: readonly Sizes[] = Array.from({ length: 70 }, (_, i) => ({ rows: 3, n: i + 1 }));
const long: readonly Sizes[] = [
  { rows: 2, n: 1000 },
  { rows: 1, n: 70_000 },
];
/** The product of many numbers leaves f32. */
const onlyShort: readonly string[] = ["prod"];

const oracle: Setting = { device: "js", dtype: "f64" };
const others: readonly Setting[] = [
  { device: "wasm", dtype: "f64" },
  { device: "wasm", dtype: "f32" },
];

interface Array2 {
  readonly name: string;
  readonly data: Float64Array;
  /** Entries of a row. */
  readonly n: number;
  readonly gradient: boolean;
  readonly exact: boolean;
}

const read = (name: string, t: Tensor, gradient: boolean): Array2 => ({
  name,
  data: Float64Array.from(t.dataSync()),
  n: Math.max(1, t.shape.at(-1) ?? 1),
  gradient,
  exact: !isFloat(t.dtype),
});

/** Values and gradients on a device. */
function results(op: AnyOp, template: Template, setting: Setting): Array2[] {
  return scope(() => {
    const floats = slotsOf(template).filter((s) => s.stored === "float");
    const f = (...given: Tensor[]): Tensor[] => {
      let next = 0;
      return tensorsIn(
        op(...mapSlots(template, (s) => (s.stored === "float" ? given[next++] : upload(s, setting)))),
      );
    };
    const args = floats.map((s) => upload(s, setting));
    const plain = f(...args);
    const values = plain.map((t, i) => read(`result ${i}`, t, false));
    if (floats.length === 0 || !plain.some((t) => isFloat(t.dtype))) return values;
    const { value, pullback } = vjp(f, ...args);
    // What a tape records must not change what is computed.
    values.push(...value.map((t, i) => read(`result ${i} under a tape`, t, false)));
    const random = generator(3);
    const cotangents = value.map((t) =>
      isFloat(t.dtype) ? upload(draw({ ...op.info, domain: {} }, "float", "g", t.shape, random), setting) : t,
    );
    return [...values, ...pullback(cotangents).map((t, i) => read(`gradient ${i}`, t as Tensor, true))];
  });
}

/** The first entry that differs by more than the tolerance of the element type, relative to the largest entry of its row. */
function difference(
  op: AnyOp,
  got: readonly Array2[],
  want: readonly Array2[],
  { dtype }: Setting,
): string | undefined {
  // Of many random scores some lie so near a change of the support that f32 sees another gradient.
  const edges = (n: number): number => (op.info.laws.includes("exactZeros") ? Math.floor(n / 10_000) : 0);
  for (const [k, { name, data, n, gradient, exact }] of want.entries()) {
    const [value, slope] = dtypes[dtype].tolerance;
    const tolerance = exact ? 0 : gradient ? slope : value;
    const wrong = firstDifference(got[k]!.data, data, tolerance, n, gradient ? edges(n) : 0);
    if (wrong) return `${name}: ${wrong}`;
  }
  return undefined;
}

/** What differs on other devices, for the arguments of each example and of each way to give numbers. */
function differences(op: AnyOp, all: readonly Sizes[], seed: number): string[] {
  const random = generator(seed);
  const found: string[] = [];
  for (const sizes of all) {
    for (const example of all === long ? op.info.examples.slice(0, 1) : op.info.examples) {
      for (const scalars of waysOf(op)) {
        const template = withScalars(
          op,
          drawn(op, templateOf(op, example), sizes, random),
          scalars,
          sizes,
          random,
        );
        const want = results(op, template, oracle);
        for (const setting of others) {
          const wrong = difference(op, results(op, template, setting), want, setting);
          if (wrong) found.push(`${setting.dtype}, ${sizes.rows} × ${sizes.n}, ${scalars}: ${wrong}`);
        }
      }
    }
    if (found.length > 3) break;
  }
  return found;
}

/** The results for integers, or how they are refused. */
function ofIntegers(op: AnyOp, template: Template, device: "js" | "wasm"): unknown {
  return scope(() => {
    try {
      const args = mapSlots(template, (s) =>
        upload(s.stored === "float" ? { ...s, stored: "i32" } : s, { device, dtype: "f64" }),
      );
      return tensorsIn(op(...args)).map((t) => [t.dtype, ...t.dataSync()]);
    } catch (error) {
      return (error as Error).message;
    }
  });
}

describe.each(byName)("%s", (name, op) => {
  test("integers give the same on all devices, or are refused alike", () => {
    for (const example of op.info.examples) {
      const template = templateOf(op, example);
      if (!slotsOf(template).every(({ data }) => data.every(Number.isInteger))) continue;
      const onJs = ofIntegers(op, template, "js");
      expect(ofIntegers(op, template, "wasm")).toEqual(onJs);
      if (typeof onJs === "string") expect(onJs).toMatch(/^[^:;]+: .+; .+$/);
    }
  });

  test("all devices agree with the plain reading", () => {
    expect(differences(op, isSizable(op) ? short : short.slice(0, 1), 11)).toEqual([]);
  });

  if (!isSizable(op) || onlyShort.includes(name)) return;
  test("all devices agree on long rows", () => {
    expect(differences(op, long, 13)).toEqual([]);
  });
});

describe("elementwise ops of one argument", () => {
  const unary = byName.filter(
    ([, op]) => op.info.kind === "map" && slotsOf(templateOf(op, op.info.examples[0]!)).length === 1,
  );
  const sizesOfNumbers = Array.from({ length: 20_000 }, (_, i) => 10 ** (-40 + (45.5 * i) / 20_000));
  const special = [
    0,
    -0,
    1,
    -1,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    5e-324,
    2 ** -149,
  ];
  const everywhere = [...special, ...sizesOfNumbers, ...sizesOfNumbers.map((v) => -v)].map(Math.fround);

  test.each(unary)("%s agrees with the plain reading over the whole range of numbers", (_, op) => {
    const [slot] = slotsOf(templateOf(op, op.info.examples[0]!));
    if (slot!.stored !== "float") return;
    const run = (setting: Setting): Tensor =>
      tensorsIn(
        op(
          ...mapSlots(templateOf(op, op.info.examples[0]!), (s) =>
            upload({ ...s, shape: [everywhere.length], data: everywhere }, setting),
          ),
        ),
      )[0]!;
    scope(() => {
      const want = run(oracle).dataSync();
      for (const setting of others) {
        const got = run(setting);
        const rounded = setting.dtype === "f32" && isFloat(got.dtype) ? want.map(Math.fround) : want;
        const [tolerance] = dtypes[setting.dtype].tolerance;
        // Entry by entry: no entry stands for another here. Past the largest f32 there is ∞.
        const at = Array.from(got.dataSync()).findIndex((v, i) => {
          const w = rounded[i]!;
          return !(Object.is(v, w) || v === w || Math.abs(v - w) <= tolerance * Math.max(1, Math.abs(w)));
        });
        expect(
          at < 0
            ? undefined
            : `${setting.dtype}: ${op.info.name}(${everywhere[at]}) is ${got.dataSync()[at]} instead of ${rounded[at]}`,
        ).toBeUndefined();
      }
    });
  });
});
