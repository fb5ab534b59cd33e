// First and second derivatives of every op against central differences, at random points of its domain away from kinks.

import { describe, expect, test } from "vitest";
import { gradcheck, gradgradcheck } from "../../core/check/index.ts";
import { tensor } from "../../core/create.ts";
import { dtypes, isFloat } from "../../core/dtype.ts";
import { GradientError } from "../../core/errors.ts";
import { memory, scope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { stopGradient, vjp } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { circleLoss, circleLossClasses, crossEntropy } from "../../losses/index.ts";
import {
  add,
  logsumexp,
  matmul,
  mul,
  normalize,
  oneHot,
  relu,
  softplus,
  sub,
  transpose,
  tSoftmax,
} from "../../ops/index.ts";
import {
  type AnyOp,
  byName,
  draw,
  drawn,
  firstDifference,
  generator,
  mapSlots,
  type Setting,
  type Slot,
  slotsOf,
  type Template,
  templateOf,
  tensorsIn,
  upload,
  waysOf,
  withScalars,
} from "./samples.ts";

const sizes = { rows: 2, n: 5 };
const on = (["js", "wasm"] as const).map((device): Setting => ({ device, dtype: "f64" }));

/** Random arguments like those of each example, with numbers as numbers, as shared tensors and as one per row. */
function points(op: AnyOp): Template[] {
  const random = generator(7);
  return op.info.examples.flatMap((example) =>
    waysOf(op).map((scalars) =>
      withScalars(op, drawn(op, templateOf(op, example), sizes, random), scalars, sizes, random),
    ),
  );
}

/** The op as a function of its float arguments, the others and its constants fixed. */
function ofFloats(
  op: AnyOp,
  template: Template,
  setting: Setting,
): [f: (...floats: Tensor[]) => Tensor[], floats: Tensor[]] {
  const differentiable = (s: Slot): boolean => s.stored === "float" && !op.info.constants?.includes(s.name);
  const floats = slotsOf(template).filter(differentiable);
  const f = (...given: Tensor[]): Tensor[] => {
    let next = 0;
    return tensorsIn(
      op(...mapSlots(template, (s) => (differentiable(s) ? given[next++] : upload(s, setting)))),
    );
  };
  return [f, floats.map((s) => upload(s, setting))];
}

/** For each row the distance of its r-quantile to its maximum. */
function quantileDistance(x: Tensor, r: number | Tensor): Tensor {
  const rows = x.toArray() as number[][];
  const fractions = [typeof r === "number" ? r : r.toArray()].flat(9) as number[];
  const distances = rows.map((row, i) => {
    const z = row.map((v) => v - Math.max(...row)).sort((a, b) => a - b);
    const place = fractions[i % fractions.length]! * (z.length - 1);
    const low = z[Math.floor(place)]!;
    return [-(low + (place - Math.floor(place)) * (z[Math.ceil(place)]! - low))];
  });
  return tensor(distances, { dtype: "f64", device: x.device });
}

type Floats = Tensor<Shape, "f64">;
type Circle = { readonly m?: Floats | number; readonly gamma: Floats | number };

/** What circle loss makes of similarities s that are to be near 1, or near 0, with weights that are constants. */
const likeness = (s: Floats, m: Floats | number, gamma: Floats | number): Floats =>
  times(times(gamma, stopGradient(relu(plus(minus(1, s), m)))), plus(minus(s, 1), m));
const nearness = (s: Floats, m: Floats | number, gamma: Floats | number): Floats =>
  times(times(gamma, stopGradient(relu(plus(s, m)))), minus(s, m));

type Operand = Floats | number;
const [plus, minus, times] = [add, sub, mul] as unknown as ((a: Operand, b: Operand) => Floats)[] as [
  (a: Operand, b: Operand) => Floats,
  (a: Operand, b: Operand) => Floats,
  (a: Operand, b: Operand) => Floats,
];
const cosinesOf = (x: Floats, y: Floats): Floats =>
  matmul(normalize(x), transpose(normalize(y)) as never) as never;

/** For ops that hold something fixed which moves with their arguments: the op to which it is given. */
const held: { readonly [name: string]: AnyOp } = {
  rSoftmax: Object.assign(
    (x: Tensor<Shape, "f64">, { r }: { r: number | Tensor }) =>
      r === 1 ? mul(x, 0) : tSoftmax(x, { t: quantileDistance(x, r) }),
    { info: { ...tSoftmax.info, constants: ["r"] } },
  ) as unknown as AnyOp,
  circleLossClasses: Object.assign(
    (x: Floats, weight: Floats, target: Tensor<Shape, "i32">, { m = 0.25, gamma }: Circle) => {
      const c = cosinesOf(x, weight);
      const right = oneHot(target, weight.shape[0]!, { dtype: "f64" }) as Floats;
      const z = plus(times(right, likeness(c, m, gamma)), times(minus(1, right), nearness(c, m, gamma)));
      return crossEntropy(z, target, { reduction: "none" });
    },
    { info: circleLossClasses.info },
  ) as unknown as AnyOp,
  circleLoss: Object.assign(
    (z: Floats, labels: Tensor<Shape, "i32">, { m = 0.4, gamma }: Circle) => {
      const s = cosinesOf(z, z);
      const own = Array.from(labels.dataSync());
      const sum = (terms: Floats, belongs: (i: number, j: number) => boolean): Floats => {
        const mask = own.map((_, i) => own.map((_, j) => (belongs(i, j) ? 0 : Number.NEGATIVE_INFINITY)));
        return logsumexp(plus(terms, tensor(mask, { dtype: "f64", device: z.device }) as Floats)) as Floats;
      };
      const wrong = sum(nearness(s, m, gamma), (i, j) => own[i] !== own[j]);
      const right = sum(times(-1, likeness(s, m, gamma)), (i, j) => own[i] === own[j] && i !== j);
      return softplus(plus(wrong, right));
    },
    { info: circleLoss.info },
  ) as unknown as AnyOp,
};

describe.each(byName)("%s", (_, op) => {
  test.each(on)("its first and second derivatives are right on $device", (setting) => {
    const before = memory().tensors;
    for (const template of points(op)) {
      scope(() => {
        const [f, floats] = ofFloats(op, template, setting);
        if (floats.length === 0) return;
        const integers = f(...floats).every((t) => !isFloat(t.dtype));
        if (integers) {
          expect(() => vjp(f, ...floats).pullback(f(...floats)), "integers end a path").toThrow(
            GradientError,
          );
          return;
        }
        const derivativesOf = op.info.derivativesOf ?? held[op.info.name];
        if (derivativesOf !== undefined) {
          const [soft] = ofFloats(derivativesOf as AnyOp, template, setting);
          const [got, want] = [f, soft].map((f) => {
            const { value, pullback } = vjp(f, ...floats);
            const g = value.map((t) =>
              upload(draw({ ...op.info, domain: {} }, "float", "g", t.shape, generator(3)), setting),
            );
            return (pullback(g) as readonly Tensor[]).flatMap((t) => [t.toArray()].flat(9) as number[]);
          });
          const [, tolerance] = dtypes[setting.dtype].tolerance;
          expect(firstDifference(got!, want!, tolerance), "another gradient").toBeUndefined();
          return;
        }
        const { worst } = gradcheck(f, floats, { seed: 1 });
        gradgradcheck(f, floats, { seed: 2 });
        if (op.info.smooth === false) expect(worst.analytic, "a gradient that is zero").toBe(0);
      });
    }
    expect(memory().tensors).toBe(before);
  });
});
