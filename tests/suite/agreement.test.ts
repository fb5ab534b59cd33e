// js ≡ wasm in f64 ≡ wasm in f32 ≡ webgpu in f32, values and gradients, for every op and rows of every length: the plain reading in f64 is the oracle.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { scoreRows } from "../../core/check/index.ts";
import { dtypes, isFloat } from "../../core/dtype.ts";
import { openScope } from "../../core/scope.ts";
import { vjp } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { place } from "../place.ts";
import {
  type AnyOp,
  byName,
  draw,
  drawn,
  firstDifference,
  generator,
  isSizable,
  mapSlots,
  numbersOf,
  type Scalars,
  type Setting,
  type Sizes,
  settings,
  slotsOf,
  type Template,
  templateOf,
  tensorsIn,
  upload,
  waysOf,
  withScalars,
} from "./samples.ts";

const [oracle, ...others] = settings as [Setting, ...Setting[]];
const onCpu = others.filter(({ device }) => device !== "webgpu");

interface Result {
  readonly name: string;
  readonly data: ArrayLike<number>;
  /** Entries of a row. */
  readonly n: number;
  readonly gradient: boolean;
  readonly exact: boolean;
}

/** Values and gradients on a device. */
async function results(
  op: AnyOp,
  template: Template,
  setting: Setting,
  withGradients: boolean,
): Promise<Result[]> {
  using _ = openScope();
  const tensors: Tensor[] = [];
  const found: Omit<Result, "data">[] = [];
  const add = (name: string, t: Tensor, gradient: boolean): void => {
    tensors.push(t);
    found.push({ name, n: Math.max(1, t.shape.at(-1) ?? 1), gradient, exact: !isFloat(t.dtype) });
  };
  const floats = slotsOf(template).filter((s) => s.stored === "float");
  const f = (...given: Tensor[]): Tensor[] => {
    let next = 0;
    return tensorsIn(
      op(...mapSlots(template, (s) => (s.stored === "float" ? given[next++] : upload(s, setting)))),
    );
  };
  const args = floats.map((s) => upload(s, setting));
  const plain = f(...args);
  for (const [i, t] of plain.entries()) add(`result ${i}`, t, false);
  if (withGradients && floats.length > 0 && plain.some((t) => isFloat(t.dtype))) {
    const { value, pullback } = vjp(f, ...args);
    // What a tape records must not change what is computed.
    for (const [i, t] of value.entries()) add(`result ${i} under a tape`, t, false);
    const random = generator(3);
    const cotangents = value.map((t) =>
      isFloat(t.dtype) ? upload(draw({ ...op.info, domain: {} }, "float", "g", t.shape, random), setting) : t,
    );
    for (const [i, t] of (pullback(cotangents) as readonly Tensor[]).entries()) add(`gradient ${i}`, t, true);
  }
  const data = await Promise.all(tensors.map((t) => t.data()));
  return found.map((result, i) => ({ ...result, data: data[i]! }));
}

/** The first entry that differs by more than the tolerance of the element type, relative to the largest entry of its row. */
function difference(
  op: AnyOp,
  got: readonly Result[],
  want: readonly Result[],
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

/** What differs on other devices from the oracle, and on a GPU from WebAssembly too. */
async function differences(
  op: AnyOp,
  template: Template,
  on: readonly Setting[],
  withGradients = true,
): Promise<string[]> {
  const want = await results(op, template, oracle, withGradients);
  const found: string[] = [];
  let wasm = want;
  for (const setting of on) {
    const got = await results(op, template, setting, withGradients);
    const against = (from: string, what: readonly Result[]): void => {
      const wrong = difference(op, got, what, setting);
      if (wrong) found.push(`${setting.device} in ${setting.dtype} and ${from}: ${wrong}`);
    };
    against("the plain reading", want);
    if (setting.device === "webgpu") against("WebAssembly", wasm);
    else wasm = got;
  }
  return found;
}

/** An example of a card, and how its numbers are given. */
type Form = readonly [example: number, scalars: Scalars];

function formsOf(op: AnyOp): Form[] {
  // Arguments that must fit one another are the same for every example.
  const fitted = op.info.kind === "structure" && isSizable(op);
  const examples = fitted ? [0] : [...op.info.examples.keys()];
  return examples.flatMap((i) => waysOf(op).map((scalars): Form => [i, scalars]));
}

/** Random arguments of a form. */
function like(op: AnyOp, [example, scalars]: Form, sizes: Sizes, random: () => number): Template {
  const template = drawn(op, templateOf(op, op.info.examples[example]!), sizes, random);
  return withScalars(op, template, scalars, sizes, random);
}

/** Up to 70,000 entries in few rows, up to 5,000 rows of few entries: what every device is tried with, then at random. */
const corners: readonly Sizes[] = [
  { rows: 3, n: 1 },
  { rows: 3, n: 2000 },
  { rows: 1, n: 70_000 },
  { rows: 5000, n: 3 },
  { rows: 70, n: 64 },
  { rows: 17, n: 257 },
];
/** Sizes of every order of magnitude, the corners among them. They shrink to one entry. */
const sizesUpTo = (...limits: readonly number[]): fc.Arbitrary<number> =>
  fc.oneof(...limits.map((max) => fc.integer({ min: 1, max })));
const anySizes = fc.record({ rows: sizesUpTo(4, 70, 5000), n: sizesUpTo(33, 1100, 5000, 70_000) });
/** Entries of the random ones: the plain reading takes a microsecond for each. */
const mostEntries = place.page ? 2 ** 12 : 2 ** 14;
/** The product of many numbers leaves f32. */
const onlyShort: readonly string[] = ["prod"];
/** Overflow where they should not, in f32 long before f64: to show that they do. */
const overflowing: readonly string[] = ["naiveSoftmax"];
/** Costs some hundred times the others, and more by the plain reading. */
const dear: readonly string[] = ["perturbMax"];

/** Arguments that are few enough to be read. */
const shown = (template: Template): string =>
  slotsOf(template).every(({ data }) => data.length <= 16) ? ` ${JSON.stringify(template)}` : "";

/** The results for integers, or how they are refused. */
async function ofIntegers(op: AnyOp, template: Template, setting: Setting): Promise<unknown> {
  using _ = openScope();
  try {
    const args = mapSlots(template, (s) =>
      upload(s.stored === "float" ? { ...s, stored: "i32" } : s, setting),
    );
    const found = tensorsIn(op(...args));
    const data = await numbersOf(...found);
    return found.map((t, i) => [t.dtype, ...data[i]!]);
  } catch (error) {
    return (error as Error).message;
  }
}

describe.each(byName)("%s", (name, op) => {
  test("integers give the same on all devices, or are refused alike", async () => {
    for (const example of op.info.examples) {
      const template = templateOf(op, example);
      if (!slotsOf(template).every(({ data }) => data.every(Number.isInteger))) continue;
      const onJs = await ofIntegers(op, template, oracle);
      for (const setting of others)
        expect(await ofIntegers(op, template, setting), setting.device).toEqual(onJs);
      if (typeof onJs === "string") expect(onJs).toMatch(/^[^:;]+: .+; .+$/);
    }
  });

  // Every tail of every vector, with and without whole ones before it.
  const most = dear.includes(name) ? 9 : 70;
  const lengths = place.page ? [] : isSizable(op) ? Array.from({ length: most }, (_, i) => i + 1) : [1];
  if (lengths.length > 0)
    test("vectors agree with the plain reading for rows of 1 to 70 entries", async () => {
      const found: string[] = [];
      const random = generator(11);
      for (const n of lengths)
        for (const form of formsOf(op)) {
          const wrong = await differences(op, like(op, form, { rows: 3, n }, random), onCpu);
          found.push(...wrong.map((what) => `n = ${n}, ${form.join(", ")}: ${what}`));
        }
      expect(found.slice(0, 4)).toEqual([]);
    });

  test("all devices agree on rows of any number and length", async () => {
    const property = fc.asyncProperty(anySizes, fc.nat(), async (sizes, seed) => {
      const costs = dear.includes(name);
      const n = costs || onlyShort.includes(name) ? Math.min(sizes.n, 70) : sizes.n;
      const rows = costs ? 1 : Math.ceil(Math.min(sizes.rows, mostEntries / n));
      const forms = formsOf(op);
      const random = generator(seed);
      // Of large arguments one form says enough.
      for (const form of rows * n > (costs ? 20 : 500) ? [forms[seed % forms.length]!] : forms) {
        const template = like(op, form, { rows, n }, random);
        const found = await differences(op, template, others);
        expect(found.join("; "), `${form.join(", ")}${shown(template)}`).toBe("");
      }
    });
    await fc.assert(property, {
      numRuns: isSizable(op) ? place.shapes : 1,
      examples: corners.map((sizes, i): [Sizes, number] => [sizes, i]),
      seed: 0,
      includeErrorInReport: true,
    });
  });

  const [x] = slotsOf(templateOf(op, op.info.examples[0]!));
  if (op.info.kind === "map" || op.info.kind === "structure" || onlyShort.includes(name)) return;
  if (x!.stored !== "float" || overflowing.includes(name)) return;
  test("all devices agree on rows with ties, masks and thresholds", async () => {
    const kinds = [
      "plain",
      "ties",
      "spread",
      "edge",
      ...(op.info.laws.includes("masked") ? (["masked"] as const) : []),
    ] as const;
    const property = fc.asyncProperty(scoreRows({ kinds }), async (scores) => {
      const sizes = { rows: scores.length, n: scores[0]!.length };
      const template = mapSlots(like(op, [0, "numbers"], sizes, generator(5)), (s) =>
        s.name === "x" ? { ...s, shape: [sizes.rows, sizes.n], data: scores.flat().map(Math.fround) } : s,
      );
      // At a threshold the gradient is a matter of the last digit.
      const found = await differences(op, template, others, false);
      expect(found.join("; "), shown(template)).toBe("");
    });
    await fc.assert(property, { numRuns: 2 * place.shapes, seed: 0, includeErrorInReport: true });
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

  // A GPU may take numbers too small for a full mantissa for 0.
  const flushed = everywhere.map((v) => (Math.abs(v) < 2 ** -126 ? 0 * v : v));

  test.each(unary)("%s agrees with the plain reading over the whole range of numbers", async (_, op) => {
    const template = templateOf(op, op.info.examples[0]!);
    if (slotsOf(template)[0]!.stored !== "float") return;
    using _scope = openScope();
    const run = (data: readonly number[], setting: Setting): Tensor =>
      tensorsIn(
        op(...mapSlots(template, (s) => upload({ ...s, shape: [everywhere.length], data }, setting))),
      )[0]!;
    const [want, wantFlushed] = await numbersOf(run(everywhere, oracle), run(flushed, oracle));
    for (const setting of others) {
      const result = run(everywhere, setting);
      const [got] = await numbersOf(result);
      const [tolerance] = dtypes[setting.dtype].tolerance;
      // Entry by entry: no entry stands for another here. Past the largest f32 there is ∞.
      const round = setting.dtype === "f32" && isFloat(result.dtype) ? Math.fround : (v: number) => v;
      const agrees = (v: number, w: number): boolean =>
        Object.is(v, w) || v === w || Math.abs(v - w) <= tolerance * Math.max(1, Math.abs(w));
      const at = got!.findIndex(
        (v, i) =>
          !agrees(v, round(want![i]!)) &&
          !(setting.device === "webgpu" && agrees(v, round(wantFlushed![i]!))),
      );
      expect(
        at < 0
          ? undefined
          : `${setting.device} in ${setting.dtype}: ${op.info.name}(${everywhere[at]}) is ${got![at]} instead of ${round(want![at]!)}`,
      ).toBeUndefined();
    }
  });
});
