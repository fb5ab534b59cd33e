// Every number that the errata state is what the computation gives, and a wrong one would be found.

import { describe, expect, test } from "vitest";
import { type Erratum, faultsOf, printed, row } from "../examples/errata/erratum.ts";
import { lossErrata } from "../examples/errata/losses.ts";
import { mapErrata } from "../examples/errata/maps.ts";

const errata = [...mapErrata(), ...lossErrata()];

describe.each(errata.map((erratum) => [erratum.id, erratum] as const))("%s", (_, erratum) => {
  test("gives the numbers that it states", () => {
    expect(erratum.findings.flatMap((finding) => faultsOf(erratum, finding))).toEqual([]);
    expect(erratum.findings.some(({ digits }) => digits !== undefined)).toBe(true);
  });

  test("differs from what was published", () => {
    const differs = erratum.findings.some(
      ({ published, right, digits }) =>
        typeof published === "string" || typeof right === "string" || digits?.published !== digits?.right,
    );
    expect(differs).toBe(true);
  });
});

test("the errata that can be run are here, each once", () => {
  const without = ["P5", "P10", "L12"];
  const all = ["P", "L"].flatMap((letter) => Array.from({ length: 12 }, (_, i) => `${letter}${i + 1}`));
  expect(errata.map(({ id }) => id)).toEqual(all.filter((id) => !without.includes(id)));
});

describe("a number", () => {
  const erratum: Erratum = { id: "X", title: "", says: "", why: "", findings: [] };
  const faults = (right: readonly number[] | string, stated: string): string[] =>
    faultsOf(erratum, {
      what: "probabilities",
      input: "",
      published: "",
      right: typeof right === "string" ? right : row(...right),
      digits: { right: stated },
    });

  test.each<[number[] | string, string]>([
    [[0.12345], "0.123"],
    [[0.1235, -3e-9], "0.123 -3e-9"],
    [[1.23e-7], "1.2e-7"],
    [[Number.NaN, Infinity, 0], "NaN Infinity 0"],
    ["ShapeError: sizes differ", "ShapeError"],
  ])("%s has the digits %s", (right, stated) => {
    expect(faults(right, stated)).toEqual([]);
  });

  test.each<[number[] | string, string]>([
    [[0.12351], "0.123"],
    [[0.123], "0.123 0.5"],
    [[1.26e-7], "1.2e-7"],
    [[0], "NaN"],
    [[Number.NaN], "0"],
    ["no complaint", "ShapeError"],
  ])("%s has not the digits %s", (right, stated) => {
    expect(faults(right, stated)).toHaveLength(1);
  });
});

test("prints what, input, both results and why", () => {
  const text = printed(errata.find(({ id }) => id === "P9")!);
  for (const words of [
    "P9",
    "Published: ",
    "Why it is wrong: ",
    "as published",
    "0, 1, (800)",
    "not a number",
    "0.0609",
  ])
    expect(text).toContain(words);
});
