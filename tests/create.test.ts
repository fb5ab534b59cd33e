// A loss by name and options: it is the loss itself, wrong names and options are refused by the compiler and by the run, and
// what JSON brings back is the same to the last bit. The names are read off the list of losses.

import { describe, expect, expectTypeOf, test } from "vitest";
import { tensor } from "../core/create.ts";
import { ArgumentError, DTypeError } from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { Tensor } from "../core/tensor.ts";
import { createLoss, type LossName, lossFromJSON } from "../losses/create.ts";
import { allLosses, crossEntropy, focal, kdComposite, sparsemaxLoss } from "../losses/index.ts";
import { allOps } from "../ops/index.ts";
import { type AnyOp, type Setting, templateOf, uploaded } from "./suite/samples.ts";

/** For names that only the run knows. */
const create = createLoss as unknown as (name: string, options?: object) => ReturnType<typeof lossFromJSON>;

const x = tensor([
  [1, 0.5, -2],
  [0, 3, 1],
]);
const y = [2, 1];

/** The bytes of a result. */
const bits = (t: Tensor): string => Buffer.from(t.dataSync().buffer).toString("hex");

/** The options in an argument list, if any. */
function split(op: AnyOp, args: readonly unknown[]): [inputs: unknown[], options: object | undefined] {
  const at = "target" in (op.info.params ?? {}) ? 2 : 1;
  return [args.slice(0, at), args[at] as object | undefined];
}

describe.each(allLosses.map((op) => [op.info.name, op as AnyOp] as const))("%s", (name, op) => {
  const settings: Setting[] = [
    { device: "wasm", dtype: "f64" },
    { device: "wasm", dtype: "f32" },
  ];
  /** Argument lists: those of the examples, and each option of the card at an odd value within its domain. */
  const lists = (setting: Setting): (readonly unknown[])[] => {
    const { examples, domain = {}, params = {} } = op.info;
    const given = examples.map((example) => uploaded(templateOf(op, example), setting));
    const [inputs, first] = split(op, given[0]!);
    const n = (inputs[0] as Tensor).shape.at(-1)!;
    const odd = Object.entries(params).flatMap(([key, { is }]) => {
      if (key === "target" || domain[key] === undefined || (is !== "scalar" && is !== "classes")) return [];
      const value = (domain[key].min! * 2 + domain[key].max!) / 3;
      const values = Array<number>(is === "classes" ? n : 1).fill(value);
      const one = tensor(values, setting) as Tensor;
      return is === "classes" ? [{ [key]: one }] : [{ [key]: value }, { [key]: one }];
    });
    return [...given, ...odd.map((options) => [...inputs, { ...first, ...options }])];
  };

  test.each(settings)("is made by its name, and comes back from JSON, in $dtype", (setting) => {
    scope(() => {
      for (const args of lists(setting)) {
        const [inputs, options] = split(op, args);
        const loss = create(name, options);
        const again = lossFromJSON(JSON.stringify(loss));
        const wanted = bits(op(...args) as Tensor);
        expect(loss.name).toBe(name);
        expect(bits(loss(inputs[0] as Tensor<Shape, "f64">, ...inputs.slice(1)))).toBe(wanted);
        expect(bits(again(inputs[0] as Tensor<Shape, "f64">, ...inputs.slice(1)))).toBe(wanted);
        expect(again.name).toBe(name);
        expect(JSON.stringify(again)).toBe(JSON.stringify(loss));
      }
    });
  });

  test("lists its options on its card, and refuses others when it is made", () => {
    expect(() => create(name, { notAnOption: 1 })).toThrow(ArgumentError);
    expect(() => create(name, { notAnOption: 1 })).toThrow("there is no option notAnOption");
    const said = (): unknown => op(x, ...("target" in (op.info.params ?? {}) ? [y] : []), { notAnOption: 1 });
    expect(said).toThrow(`the options are ${op.info.options!.join(", ")}`);
  });
});

describe("calling", () => {
  test("options of the call come before those of the loss", () => {
    const loss = createLoss("focal", { gamma: 1, reduction: "none" });
    expect(loss(x, y).toArray()).toEqual(focal(x, y, { gamma: 1, reduction: "none" }).toArray());
    expect(loss(x, y, { gamma: 3, reduction: "sum" }).item()).toBe(
      focal(x, y, { gamma: 3, reduction: "sum" }).item(),
    );
    expect(loss.options).toEqual({ gamma: 1, reduction: "none" });
  });

  test("what a loss requires is given to it, or to its calls", () => {
    const teacher = tensor([
      [0, 1, 0],
      [1, 0, 0],
    ]);
    const loss = createLoss("kdComposite", { alpha: 0.3 });
    expect(loss(x, y, { teacher }).item()).toBe(kdComposite(x, y, { teacher, alpha: 0.3 }).item());
    expect(() => create("kdComposite")(x, y)).toThrow("kdComposite: teacher is not given");
  });

  test("penalties and metrics take no target where they have none", () => {
    expect(createLoss("entropy", { reduction: "none" })(x).shape).toEqual([2]);
    expect(createLoss("entropy")(x, { reduction: "none" }).shape).toEqual([2]);
    expect(createLoss("topKAccuracy", { k: 2 })(x, y).item()).toBe(0.5);
  });

  test("fenchelYoung takes its map by name, with the map's options", () => {
    const loss = createLoss("fenchelYoung", { map: "entmax", alpha: 2 });
    const again = lossFromJSON(JSON.stringify(loss));
    const wanted = sparsemaxLoss(x, y).item();
    expect(loss(x, y).item()).toBeCloseTo(wanted, 6);
    expect(loss(x, y, { alpha: 1 }).item()).toBeCloseTo(crossEntropy(x, y).item(), 6);
    expect(again(x, y).item()).toBe(loss(x, y).item());
    for (const { info } of allOps)
      if (info.maximises) expect(create("fenchelYoung", { map: info.name })(x, y).item()).toBeGreaterThan(0);
  });
});

describe("types", () => {
  test("the options are those of the loss, and results have the element type of the scores", () => {
    const loss = createLoss("focal", { gamma: 2 });
    expectTypeOf(loss(x, y)).toEqualTypeOf<Tensor<Shape, "f32">>();
    expectTypeOf(loss.options).toEqualTypeOf<{ readonly gamma: 2 }>();
    expectTypeOf<"focal">().toExtend<LossName>();
    expectTypeOf<"rowLoss" | "fitTemperature" | "ece">().not.toExtend<LossName>();
  });

  test("wrong names and options do not compile, and are refused by the run", () => {
    // @ts-expect-error there is no such loss
    expect(() => createLoss("focla")).toThrow(
      'createLoss: there is no loss named "focla"; the nearest are focal',
    );
    // @ts-expect-error there is no such option
    expect(() => createLoss("focal", { gama: 2 })).toThrow("createLoss: focal: there is no option gama");
    // @ts-expect-error there is no such option beside one that there is
    expect(() => createLoss("focal", { gamma: 2, gama: 2 })).toThrow("the options are");
    // @ts-expect-error an option of another loss
    expect(() => createLoss("crossEntropy", { gamma: 2 })).toThrow(ArgumentError);
    // @ts-expect-error gamma is a number or a tensor
    expect(() => createLoss("focal", { gamma: "2" })(x, y)).toThrow(ArgumentError);
    // @ts-expect-error there is no such option, at the call
    expect(() => createLoss("focal")(x, y, { gama: 2 })).toThrow(ArgumentError);
    // @ts-expect-error the target is missing
    expect(() => createLoss("focal")(x)).toThrow(ArgumentError);
    // @ts-expect-error focal takes labels, no distributions
    expect(() => createLoss("focal")(x, x)).toThrow(DTypeError);
    // @ts-expect-error k is required, and given nowhere
    expect(() => createLoss("topKAccuracy")(x, y)).toThrow(ArgumentError);
    // @ts-expect-error a distribution of another element type
    expect(() => createLoss("crossEntropy")(x, tensor(x.toArray(), { dtype: "f64" }))).toThrow(DTypeError);
    // @ts-expect-error the loss of a map needs the map
    expect(() => createLoss("fenchelYoung")).toThrow("no map with an entropy named undefined");
    // @ts-expect-error sparsemax has no alpha
    expect(() => createLoss("fenchelYoung", { map: "sparsemax", alpha: 2 })).toThrow("no option alpha");
    // @ts-expect-error there is no such map
    expect(() => createLoss("fenchelYoung", { map: "sparsmax" })).toThrow("the nearest are sparsemax");
    // @ts-expect-error takes a function, which no name stands for
    expect(() => createLoss("stopgradFyLoss")).toThrow(ArgumentError);
  });
});

describe("JSON", () => {
  test("holds every number to the last bit, with −0, infinities and NaN as words", () => {
    const values = [
      0.1,
      -0,
      1 / 3,
      5e-324,
      1.7976931348623157e308,
      Number.NaN,
      Infinity,
      -Infinity,
      2 ** -149,
    ];
    for (const dtype of ["f64", "f32"] as const) {
      const weight = tensor(values, { dtype });
      const text = JSON.stringify(createLoss("crossEntropy", { weight }));
      const back = lossFromJSON(text).options as { weight: Tensor };
      expect(back.weight).toBeInstanceOf(Tensor);
      expect([back.weight.dtype, back.weight.shape]).toEqual([dtype, [9]]);
      expect(bits(back.weight)).toBe(bits(weight));
    }
    const loss = createLoss("symmetricCe", { logZero: -Infinity, alpha: -0, beta: Number.NaN });
    expect(JSON.stringify(loss)).toBe(
      '{"loss":"symmetricCe","options":{"logZero":{"number":"-Infinity"},"alpha":{"number":"-0"},"beta":{"number":"NaN"}}}',
    );
    expect(Object.values(lossFromJSON(JSON.stringify(loss)).options)).toEqual([-Infinity, -0, Number.NaN]);
  });

  test("holds tensors of any shape and element type, and lists", () => {
    const confusion = tensor([
      [4, 0, 1],
      [0, 4, 0],
      [2, 0, 4],
    ]);
    const loss = createLoss("learnableLabelSmoothing", { confusion, smoothing: 0.2 });
    expect(loss.toJSON()).toEqual({
      loss: "learnableLabelSmoothing",
      options: {
        confusion: { tensor: { dtype: "f32", shape: [3, 3], data: [4, 0, 1, 0, 4, 0, 2, 0, 4] } },
        smoothing: 0.2,
      },
    });
    expect(lossFromJSON(loss.toJSON())(x, y).item()).toBe(loss(x, y).item());
    expect(lossFromJSON(JSON.stringify(createLoss("polyLoss", { epsilons: [1, 0.5] }))).options).toEqual({
      epsilons: [1, 0.5],
    });
    expect(lossFromJSON('{"loss":"entropy"}')(x).item()).toBe(createLoss("entropy")(x).item());
  });

  test("tensors that it brings back outlive the scope they are read in", () => {
    const n = 100;
    const text = JSON.stringify(createLoss("crossEntropy", { weight: tensor(new Float32Array(n).fill(2)) }));
    const loss = scope(() => lossFromJSON(text));
    const many = tensor(new Float32Array(n), { shape: [1, n] });
    expect(loss(many, [3], { reduction: "sum" }).item()).toBeCloseTo(2 * Math.log(n), 5);
  });

  test.each<[string, unknown, string]>([
    ["no JSON", "focal", 'lossFromJSON: "focal" is no JSON'],
    ["no record", "3", "lossFromJSON: 3 holds no name of a loss with options"],
    ["no name", "{}", "lossFromJSON: an object holds no name of a loss with options"],
    ["options that are none", '{"loss":"focal","options":3}', "holds no name of a loss with options"],
    ["an unknown name", '{"loss":"focl"}', "the nearest are focal"],
    ["an unknown option", '{"loss":"focal","options":{"g":1}}', "there is no option g"],
    [
      "a word that is no number",
      '{"loss":"focal","options":{"gamma":{"number":"two"}}}',
      '"two" stands where',
    ],
    ["an unknown record", '{"loss":"focal","options":{"gamma":{"value":2}}}', "an object is no tensor"],
    [
      "data that do not fill the shape",
      '{"loss":"focal","options":{"gamma":{"tensor":{"dtype":"f32","shape":[2],"data":[1]}}}}',
      "tensor: ",
    ],
    [
      "an unknown element type",
      '{"loss":"focal","options":{"gamma":{"tensor":{"dtype":"f16","shape":[1],"data":[1]}}}}',
      '"f16" is no element type',
    ],
  ])("refuses %s", (_, json, message) => {
    expect(() => lossFromJSON(json as string)).toThrow(message);
  });

  test("refuses to write what it cannot bring back", () => {
    const loss = create("focal", { gamma: () => 2 });
    expect(() => JSON.stringify(loss)).toThrow("focal: gamma: the function gamma cannot be written");
  });
});
