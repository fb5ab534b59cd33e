// Every op keeps the laws that its card names, and those that follow from them, with the options of each example.

import { describe, test } from "vitest";
import { checkLaws, type LawFunction } from "../../core/check/index.ts";
import type { Example } from "../../core/op.ts";
import type { Shape } from "../../core/shape.ts";
import { Tensor } from "../../core/tensor.ts";
import { place } from "../place.ts";
import {
  type AnyOp,
  byName,
  generator,
  mapSlots,
  type Setting,
  settings,
  templateOf,
  upload,
} from "./samples.ts";

/** The op as a function of scores alone; labels, masks and class weights are made to fit them. */
function ofScores(op: AnyOp, example: Example, setting: Setting): LawFunction {
  const { info } = op;
  if (info.kind === "map") return op as unknown as LawFunction;
  const template = templateOf(op, example);
  return (x: Tensor<Shape>) => {
    const [rows, n] = [x.size / x.shape.at(-1)!, x.shape.at(-1)!];
    const random = generator(41);
    let first = true;
    const args = mapSlots(template, (s) => {
      if (first) {
        first = false;
        return x;
      }
      if (s.name === "target" && s.stored === "i32") {
        return upload(
          { ...s, shape: [rows], data: Array.from({ length: rows }, (_, i) => (i * 5) % n) },
          setting,
        );
      }
      if (info.kind === "structure") return upload(s, setting);
      const shape = info.kind === "loss" && s.name !== "target" ? [n] : [rows, n];
      // Beside the scores of a map stand bounds: all alike, and wide enough for a single class.
      const entry = (): number =>
        s.stored === "bool" ? Number(random() < 0.7) : info.kind === "loss" ? 0.5 + random() : 1;
      return upload(
        { ...s, shape, data: Array.from({ length: shape.reduce((a, b) => a * b) }, entry) },
        setting,
      );
    });
    if (info.kind !== "loss") return op(...args) as Tensor;
    const last = args.at(-1);
    const ends = args.length > 1 && !(last instanceof Tensor);
    const options = { ...(ends ? (last as object) : {}), reduction: "none" };
    return op(...(ends ? args.slice(0, -1) : args), options) as Tensor;
  };
}

/** Laws that options may take away: temperature 0 is not strict, α = 1 not sparse. They hold for the first example. */
const optional: readonly string[] = ["exactZeros", "strictlyMonotone"];

const lawful = byName.filter(([, op]) => op.info.laws.length > 0);

describe.each(lawful)("%s", (_, op) => {
  const { laws: named, kind } = op.info;
  // What a loss makes of an infinite score is its own affair.
  const laws =
    kind === "rowMap" && named.includes("nanRow") && !named.includes("emptyRow")
      ? [...named, "infiniteRow"]
      : named;
  describe.each(settings)("on $device in $dtype", (setting) => {
    test.each(laws)("%s", async (law) => {
      // Without that law a score of −∞ has no meaning for the op.
      const without = laws.includes("masked") ? [] : (["masked"] as const);
      const examples =
        kind === "map" || optional.includes(law) ? op.info.examples.slice(0, 1) : op.info.examples;
      for (const example of examples)
        await checkLaws(ofScores(op, example, setting), [law], { ...setting, without, runs: place.shapes });
    });
  });
});
