// Every op says what it is: a sentence, examples that hold everywhere, laws that exist.

import { describe, expect, test } from "vitest";
import { laws } from "../../core/check/index.ts";
import { type DType, dtypes } from "../../core/dtype.ts";
import type { Example } from "../../core/op.ts";
import { openScope } from "../../core/scope.ts";
import { Tensor } from "../../core/tensor.ts";
import { byName, everyOp, firstDifference, settings, templateOf, uploaded } from "./samples.ts";

/** Where a result differs from what an example gives, or undefined. */
async function difference(got: unknown, gives: unknown): Promise<string | undefined> {
  if (!(got instanceof Tensor)) {
    const [have, want] = [Object.entries(got as object), Object.entries(gives as object)];
    if (have.length !== want.length) return `${have.length} results instead of ${want.length}`;
    const found = await Promise.all(
      want.map(([key, value]) => difference((got as { [key: string]: unknown })[key], value)),
    );
    return found.find((d) => d !== undefined);
  }
  const sizes = (value: unknown): number[] =>
    Array.isArray(value) ? [value.length, ...(value.length > 0 ? sizes(value[0]) : [])] : [];
  if (got.shape.join() !== sizes(gives).join()) return `shape [${got.shape}] instead of [${sizes(gives)}]`;
  const want = ([gives].flat(9) as (number | boolean)[]).map(Number);
  const [tolerance] = dtypes[got.dtype as DType].tolerance;
  return firstDifference(await got.data(), want, tolerance);
}

describe.each(byName)("%s", (name, op) => {
  const { info } = op;

  test("its card is complete", () => {
    expect(op.name).toBe(name);
    expect(info.doc).toMatch(/^[^.]+(\.\d[^.]*)*\.$/);
    expect(info.doc[0]).toBe(info.doc[0]!.toUpperCase());
    expect(info.examples.length).toBeGreaterThan(0);
    expect(info.laws.filter((law) => !Object.hasOwn(laws, law))).toEqual([]);
    if (info.kind === "rowMap") expect(info.laws.length, "a map without laws").toBeGreaterThan(0);
  });

  test.each(settings)("its examples hold on $device in $dtype", async (setting) => {
    using _ = openScope();
    const wrong = (example: Example): Promise<string | undefined> =>
      difference(op(...uploaded(templateOf(op, example), setting)), example.gives);
    expect(await Promise.all(info.examples.map(wrong))).toEqual(info.examples.map(() => undefined));
  });
});

test("no two ops share a name", () => {
  const names = everyOp.map(({ info }) => info.name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
