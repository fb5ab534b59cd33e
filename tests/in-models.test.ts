// Every map within a model and as attention's map, and every loss as the loss of a model, forward and back: what is declared
// alone is used together. Read off the lists, with the arguments of the cards.

import { describe, expect, expectTypeOf, test } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { Parameter } from "../core/parameter.ts";
import { scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { allLosses } from "../losses/index.ts";
import { Linear, MultiheadAttention, Sequential, scaledDotProductAttention } from "../nn/index.ts";
import { mul, relu } from "../ops/elementwise.ts";
import { allOps } from "../ops/index.ts";
import * as maps from "../ops/maps/index.ts";
import { reshape, split, stack } from "../ops/movement.ts";
import { sum } from "../ops/reduce.ts";
import {
  type AnyOp,
  drawn,
  generator,
  mapSlots,
  type Setting,
  type Slot,
  slotsOf,
  templateOf,
  upload,
} from "./suite/samples.ts";

const setting: Setting = { device: "wasm", dtype: "f64" };
const [rows, n, features] = [4, 6, 5] as const;
type Floats = Tensor<Shape, "f64">;

/** Numbers of either sign, of the size of 1. */
const wave = (shape: readonly number[], seed: number): Floats => {
  const random = generator(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float64Array.from({ length: size }, () => 2 * random() - 1),
    { shape },
  );
};

/** Random arguments for an op like those of its first example, nothing masked: the shape of its scores, and what comes after them. */
function argumentsOf(op: AnyOp): [scores: readonly number[], rest: unknown[]] {
  const template = drawn(op, templateOf(op, op.info.examples[0]!), { rows, n }, generator(1));
  const shape = slotsOf(template)[0]!.shape;
  const open = (slot: Slot): Slot =>
    op.info.kind === "rowMap" && slot.stored === "bool" ? { ...slot, data: slot.data.map(() => 1) } : slot;
  return [shape, mapSlots(template, (slot) => upload(open(slot), setting)).slice(1)];
}

/** The op as a function of scores of any sign. */
function ofScores(op: AnyOp, rest: readonly unknown[]): (x: Floats) => Floats {
  const positive = (op.info.domain?.x?.min ?? -1) >= 0;
  return (x) => op(positive ? maps.softmax(x) : x, ...rest) as Floats;
}

/** That value and gradients are numbers; the gradients 0 throughout where the op is piecewise constant, and only there. */
function expectGradients(op: AnyOp, value: Tensor, gradients: readonly (Tensor | undefined)[]): void {
  const numbers = gradients.map((g) => [...g!.dataSync()]);
  expect([...value.dataSync(), ...numbers.flat()].filter((v) => !Number.isFinite(v))).toEqual([]);
  expect(numbers.flat().some((v) => v !== 0)).toBe(op.info.smooth !== false);
}

const rowMaps = allOps
  .filter(({ info }) => info.kind === "rowMap")
  .map((op) => [op.info.name, op as AnyOp] as const);

describe.each(rowMaps)("%s", (_, op) => {
  const [shape, rest] = argumentsOf(op);
  const map = ofScores(op, rest);
  const outer = shape.slice(0, -1);

  test("is a layer of a model", () => {
    scope(() => {
      const first = new Linear(features, n, { dtype: "f64" });
      const model = new Sequential(first, map, new Linear(n, 3, { dtype: "f64", seed: 1 }));
      const x = wave([...outer, features], 2);
      const { value, gradients } = valueAndGrad(
        () => sum(mul(model.forward(x), wave([...outer, 3], 3))),
        first.parameters(),
      );
      expect(model.forward(x).shape).toEqual([...outer, 3]);
      expectGradients(op, value, gradients);
    });
  });

  test("is a map of attention", () => {
    scope(() => {
      const length = outer.length === 0 ? 1 : rows;
      // One query for each row of scores, where the op has arguments for each.
      const [q, k, v] = [wave([length, features], 1), wave([n, features], 2), wave([n, 3], 3)].map(
        (t) => new Parameter(t),
      ) as [Parameter<Shape, "f64">, Parameter<Shape, "f64">, Parameter<Shape, "f64">];
      const { value, gradients } = valueAndGrad(() => {
        const out = scaledDotProductAttention(q.value, k.value, v.value, { map });
        return sum(mul(out, wave([length, 3], 4)));
      }, [q, k]);
      expectGradients(op, value, gradients);
    });
  });

  test("is the map of several heads", () => {
    scope(() => {
      // One query of one head for each row of scores, where the op has arguments for each.
      const length = outer.length === 0 ? 1 : rows;
      const ofHeads = (x: Floats): Floats => {
        const heads = split(x, x.shape[2]!, 2).map((head) => map(reshape(head, [...outer, n])));
        return stack(heads.map((head) => reshape(head, [1, 1, length, n])))
          .transpose([1, 2, 0, 3, 4])
          .reshape(x.shape) as Floats;
      };
      const layer = new MultiheadAttention(4, 2, {
        dtype: "f64",
        map: ofHeads as never,
        temperature: "learned",
      });
      const [q, k] = [new Parameter(wave([1, length, 4], 1)), wave([1, n, 4], 2)];
      const { value, gradients } = valueAndGrad(() => {
        const { out, weights } = layer.forward(q.value, k, k, { needWeights: true });
        expect(weights!.shape).toEqual([1, 2, length, n]);
        return sum(mul(out, wave([1, length, 4], 4)));
      }, [q, layer.logTemperature!]);
      expectGradients(op, value, gradients);
    });
  });
});

describe.each(allLosses.map((op) => [op.info.name, op as AnyOp] as const))("%s", (_, op) => {
  const [shape, rest] = argumentsOf(op);
  const loss = ofScores(op, rest);

  test("is the loss of a model", () => {
    scope(() => {
      const model = new Sequential(
        new Linear(features, 16, { dtype: "f64" }),
        relu,
        new Linear(16, shape.at(-1)!, { dtype: "f64", seed: 1 }),
      );
      const x = wave([...shape.slice(0, -1), features], 2);
      const { value, gradients } = valueAndGrad(() => sum(loss(model.forward(x))), model.parameters());
      expectGradients(op, value, gradients);
    });
  });
});

test("maps keep the sizes of a model in its type, by themselves; with options a function takes them", () => {
  const model = new Sequential(
    new Linear(features, n),
    maps.softmax,
    maps.sparsemax,
    maps.entmax,
    maps.normmax,
    maps.taylorSoftmax,
    maps.sphericalSoftmax,
    maps.softmaxSink,
    maps.ssmax,
    maps.perturbMax,
    maps.evSoftmax,
    maps.asentmax,
    maps.hardmax,
    new Linear(n, 3),
  );
  expectTypeOf(model.forward(zeros([rows, features]))).toEqualTypeOf<Tensor<[4, 3], "f32">>();
  const wrong = () =>
    // @ts-expect-error softmax keeps the 6 features, which meet a layer of 7
    new Sequential(new Linear(features, n), maps.softmax, new Linear(7, 3)).forward(zeros([rows, features]));
  expect(wrong).toThrow("7");
  const withOptions = new Sequential(
    new Linear(features, n),
    (x) => maps.sparseSoftmax(x, { k: 2 }),
    (x) => maps.entmax(x, { alpha: 1.2 }),
  );
  expect(withOptions.forward(zeros([rows, features])).shape).toEqual([rows, n]);
  const without = () =>
    // @ts-expect-error sparseSoftmax needs its k
    new Sequential(new Linear(features, n), maps.sparseSoftmax).forward(zeros([rows, features]));
  expect(without).toThrow("k is not given");
});
