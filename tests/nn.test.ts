// Layers and models: names, printing, sizes (at compile time and at run time), first weights, dropout.

import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { randomKey } from "../core/random.ts";
import { scope } from "../core/scope.ts";
import { grad, valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { Dropout, init, Linear, Module, Sequential } from "../nn/index.ts";
import { add, mul, relu, tanh } from "../ops/elementwise.ts";
import { softmax } from "../ops/maps/index.ts";
import { sum } from "../ops/reduce.ts";

const names = (module: Module): string[] => module.namedParameters().map(([name]) => name);

/** A model of one's own, with layers in fields, arrays and records, and one that is shared. */
class Made extends Module {
  readonly layers = [new Linear(4, 4), new Linear(4, 4, { bias: false, seed: 1 })];
  readonly heads = { left: new Linear(4, 2) };
  readonly tied = this.layers[0];
  readonly scale = new Parameter(tensor([2]), { name: "scale" });
  readonly seen = new Parameter(tensor([0]), { trainable: false });
  readonly note = "not a parameter";

  override forward(x: Tensor<[number, 4], "f32">): Tensor {
    return mul(
      this.heads.left.forward(relu(this.layers[0]!.forward(x))),
      this.scale.value as Tensor<[1], "f32">,
    );
  }
}

describe("modules", () => {
  test("parameters are named by where they stand, each once", () => {
    expect(names(new Made())).toEqual([
      "layers.0.weight",
      "layers.0.bias",
      "layers.1.weight",
      "heads.left.weight",
      "heads.left.bias",
      "scale",
      "seen",
    ]);
    expect(names(new Sequential(new Linear(4, 3), relu, new Linear(3, 2, { bias: false })))).toEqual([
      "0.weight",
      "0.bias",
      "2.weight",
    ]);
    expect(names(new Sequential(new Sequential(new Linear(2, 2)), new Dropout()))).toEqual([
      "0.0.weight",
      "0.0.bias",
    ]);
    expect(new Made().parameters().filter((p) => p.trainable)).toHaveLength(6);
  });

  test("a module that holds itself or its parent is walked once", () => {
    class Child extends Module {
      readonly weight = new Parameter(tensor([1]));
      parent: Module | null = null;
      override forward(): void {}
    }
    class Parent extends Child {
      readonly child = new Child();
    }
    const parent = new Parent();
    parent.child.parent = parent;
    expect(names(parent)).toEqual(["weight", "child.weight"]);
    expect(parent.eval().child.training).toBe(false);
  });

  test("train and eval reach every module inside", () => {
    const model = new Sequential(new Dropout(), new Sequential(new Dropout()));
    const inner = model.layers[1].layers[0];
    expect([model.training, inner.training]).toEqual([true, true]);
    expect(model.eval()).toBe(model);
    expect([model.training, model.layers[0].training, inner.training]).toEqual([false, false, false]);
    model.train();
    expect(inner.training).toBe(true);
    expect(() => model.train("yes" as never)).toThrow(ArgumentError);
  });

  test("a model prints as a listing", () => {
    const model = new Sequential(
      new Linear(64, 32),
      relu,
      new Sequential(new Dropout(0.25), new Linear(32, 10, { bias: false })),
    );
    expect(inspect(model)).toBe(
      [
        "Sequential(",
        "  (0): Linear(inFeatures=64, outFeatures=32, bias=true)",
        "  (1): relu()",
        "  (2): Sequential(",
        "    (0): Dropout(p=0.25)",
        "    (1): Linear(inFeatures=32, outFeatures=10, bias=false)",
        "  )",
        ")",
      ].join("\n"),
    );
    expect(String(new Made())).toContain("  (layers.1): Linear(");
    expect(String(new Made())).toContain("  (heads.left): Linear(");
  });
});

describe("Linear", () => {
  const layer = new Linear(3, 2, { dtype: "f64" });
  layer.weight.value = tensor(
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    { dtype: "f64" },
  );
  layer.bias!.value = tensor([10, 20], { dtype: "f64" });

  test("gives x·Wᵀ + b for one row, several, and batches of them", () => {
    expect(layer.forward(tensor([1, 0, -1], { dtype: "f64" })).toArray()).toEqual([8, 18]);
    expect(
      layer
        .forward(
          tensor(
            [
              [1, 0, -1],
              [0, 1, 0],
            ],
            { dtype: "f64" },
          ),
        )
        .toArray(),
    ).toEqual([
      [8, 18],
      [12, 25],
    ]);
    expect(layer.forward(tensor([[[1, 0, -1]], [[0, 1, 0]]], { dtype: "f64" })).toArray()).toEqual([
      [[8, 18]],
      [[12, 25]],
    ]);
    expect(layer.forward(zeros([0, 3], { dtype: "f64" })).shape).toEqual([0, 2]);
  });

  test("without bias it has one parameter", () => {
    const plain = new Linear(2, 1, { bias: false });
    plain.weight.value = tensor([[3, 4]]);
    expect(plain.forward(tensor([[1, 1]])).toArray()).toEqual([[7]]);
    expect(plain.bias).toBeNull();
    expect(names(plain)).toEqual(["weight"]);
  });

  test.each([[[2, 3]], [[2, 2, 3]], [[3]]])(
    "its gradients are gᵀ·x, the sum of g, and g·W, for x of shape %j",
    (shape) => {
      const x = init.normal(shape as number[], { seed: 3, dtype: "f64" });
      const c = init.normal([...(shape as number[]).slice(0, -1), 2], { seed: 4, dtype: "f64" });
      const loss = (x: Tensor): Tensor =>
        sum(mul(layer.forward(x as Tensor<[3], "f64">), c as Tensor<[2], "f64">));
      const [{ gradients }, dx] = scope(
        () => [valueAndGrad(() => loss(x), layer.parameters()), grad(loss)(x)] as const,
      );
      const [xs, cs] = [x.reshape([-1, 3]).toArray(), c.reshape([-1, 2]).toArray()];
      const close = (found: unknown, wanted: number[]) =>
        (found as number[]).forEach((v, i) => {
          expect(v).toBeCloseTo(wanted[i]!, 12);
        });
      const at = (f: (row: number) => number): number => xs.reduce((total, _, row) => total + f(row), 0);
      close(
        [...gradients[0]!.dataSync()],
        [0, 1].flatMap((o) => [0, 1, 2].map((i) => at((row) => cs[row]![o]! * xs[row]![i]!))),
      );
      close(
        [...gradients[1]!.dataSync()],
        [0, 1].map((o) => at((row) => cs[row]![o]!)),
      );
      close(
        [...dx.dataSync()],
        cs.flatMap(([a, b]) => [0, 1, 2].map((i) => a! * (1 + i) + b! * (4 + i))),
      );
    },
  );

  test("the weight's gradient comes in row-major order", () => {
    const { gradients } = valueAndGrad(
      () => sum(layer.forward(zeros([5, 3], { dtype: "f64" }))),
      layer.parameters(),
    );
    expect(gradients[0]!.strides).toEqual([3, 1]);
  });

  test("first weights are uniform within ±1/√in, the same each time, others for other seeds and sizes", () => {
    const data = (l: Linear): number[] => [...l.weight.value.dataSync(), ...l.bias!.value.dataSync()];
    const first = data(new Linear(100, 50));
    expect(Math.max(...first.map(Math.abs))).toBeLessThanOrEqual(0.1);
    expect(Math.max(...first.map(Math.abs))).toBeGreaterThan(0.0995);
    const variance = first.reduce((total, v) => total + v * v, 0) / first.length;
    expect(variance / (0.01 / 3)).toBeCloseTo(1, 1);
    expect(data(new Linear(100, 50))).toEqual(first);
    expect(data(new Linear(100, 50, { seed: 0 }))).toEqual(first);
    for (const other of [
      new Linear(100, 50, { seed: 1 }),
      new Linear(50, 100),
      new Linear(100, 50, { key: randomKey(0) }),
    ]) {
      expect(data(other).slice(0, 5)).not.toEqual(first.slice(0, 5));
    }
    expect(data(new Linear(100, 50, { key: randomKey(7) }))).toEqual(
      data(new Linear(100, 50, { key: randomKey(7) })),
    );
  });

  test.each<[string, () => unknown, new (...args: never[]) => Error]>([
    [
      "Linear: rows of 4 features in x of shape [2, 4], where the layer takes 3; give [..., 3]",
      () => layer.forward(zeros([2, 4], { dtype: "f64" }) as never),
      ShapeError,
    ],
    ["Linear: rows of no features in x of shape []", () => layer.forward(tensor(1) as never), ShapeError],
    ["element types f32 and f64 differ", () => layer.forward(zeros([2, 3]) as never), DTypeError],
    ["Linear: 3 is not a tensor", () => layer.forward(3 as never), ArgumentError],
    ["Linear: the size 0 is not a number of features", () => new Linear(0, 1), ShapeError],
    ["Linear: the size 1.5 is not a number of features", () => new Linear(2, 1.5), ShapeError],
    ["Linear: there is no option bais", () => new Linear(2, 1, { bais: true } as never), ArgumentError],
    ["Linear: bias is 1; give true or false", () => new Linear(2, 1, { bias: 1 as never }), ArgumentError],
    [
      "Linear: both a key and a seed are given",
      () => new Linear(2, 1, { key: randomKey(0), seed: 0 }),
      ArgumentError,
    ],
    ["the seed -1 is not a natural number", () => new Linear(2, 1, { seed: -1 }), DomainError],
    ["floats are drawn, not i32", () => new Linear(2, 1, { dtype: "i32" as never }), DTypeError],
  ])("refuses: %s", (message, attempt, kind) => {
    expect(attempt).toThrow(kind);
    expect(attempt).toThrow(message);
  });
});

describe("Sequential", () => {
  test("applies its layers in order", () => {
    const double = (x: Tensor): Tensor => mul(x, 2);
    expect(new Sequential(double, relu, (x: Tensor) => add(x, 1)).forward(tensor([-1, 3])).toArray()).toEqual(
      [1, 7],
    );
    expect(new Sequential().forward(tensor([1])).toArray()).toEqual([1]);
  });

  test("sizes are checked by the compiler", () => {
    const model = new Sequential(new Linear(8, 4), relu, new Dropout(0), tanh, softmax, new Linear(4, 2));
    const out: Tensor<[3, 2], "f32"> = model.forward(zeros([3, 8]));
    expect(out.shape).toEqual([3, 2]);
    // @ts-expect-error: Mismatch<"Sequential: the layer before gives another number of features than this one takes", [5, 4]>
    const wrong = new Sequential(new Linear(8, 5), relu, new Linear(4, 2));
    expect(() => wrong.forward(zeros([3, 8]))).toThrow(
      "rows of 5 features in x of shape [3, 5], where the layer takes 4",
    );
    // @ts-expect-error: Mismatch<"matmul: inner sizes differ", [7, 8]>
    expect(() => model.forward(zeros([3, 7]))).toThrow(ShapeError);
    // @ts-expect-error: Mismatch<"matmul: inner sizes differ", [9, 8]>
    expect(() => new Linear(8, 4).forward(zeros([3, 9]))).toThrow(ShapeError);
  });

  test("where a function may change sizes, and where only the run knows them, the compiler leaves it to the run", () => {
    const pick = (x: Tensor): Tensor => x.slice(null, [0, 2]);
    expect(new Sequential(new Linear(4, 3), pick, new Linear(2, 1)).forward(zeros([5, 4])).shape).toEqual([
      5, 1,
    ]);
    const sizes = [4, 3, 2];
    const model = new Sequential(...sizes.slice(1).map((out, i) => new Linear(sizes[i]!, out)));
    expect(model.forward(zeros([5, 4])).shape).toEqual([5, 2]);
    expect(
      new Sequential(new Sequential(new Linear(4, 3)), new Linear(3, 2)).forward(zeros([5, 4])).shape,
    ).toEqual([5, 2]);
  });

  test("refuses what is no layer", () => {
    expect(() => new Sequential(relu, 3 as never)).toThrow(
      "Sequential: layer 1 is 3; give modules and functions of a tensor",
    );
    expect(() => new Sequential(undefined as never)).toThrow(ArgumentError);
  });
});

describe("Dropout", () => {
  const x = init.uniform([100, 50], { seed: 1, low: 1, high: 2 });

  test("drops about p and divides the others by 1 − p", () => {
    const y = new Dropout(0.2).forward(x).dataSync();
    const data = x.dataSync();
    const dropped = y.filter((v) => v === 0).length / y.length;
    expect(Math.abs(dropped - 0.2)).toBeLessThan(0.02);
    y.forEach((v, i) => {
      if (v !== 0) expect(v).toBeCloseTo(data[i]! / 0.8, 5);
    });
  });

  test("the gradient passes where the entry does", () => {
    const layer = new Dropout(0.4);
    const { key } = layer;
    const y = layer.forward(x).dataSync();
    layer.key = key;
    const g = grad((x: Tensor) => sum(layer.forward(x as Tensor<[100, 50], "f32">)))(x).dataSync();
    g.forEach((v, i) => {
      expect(v).toBeCloseTo(y[i] === 0 ? 0 : 1 / 0.6, 6);
    });
  });

  test("every pass drops anew; the same seed drops the same; a key set back repeats", () => {
    const passes = (layer: Dropout): number[][] => [1, 2].map(() => [...layer.forward(x).dataSync()]);
    const [first, second] = passes(new Dropout());
    expect(first).not.toEqual(second);
    expect(passes(new Dropout())).toEqual([first, second]);
    expect(passes(new Dropout(0.5, { seed: 1 }))[0]).not.toEqual(first);
    const layer = new Dropout();
    const { key } = layer;
    layer.forward(x);
    layer.key = key;
    expect(passes(layer)).toEqual([first, second]);
  });

  test("the same entries are dropped on every device", () => {
    const on = (device: "js" | "wasm") => [
      ...new Dropout().forward(init.ones([7, 9], { device })).dataSync(),
    ];
    expect(on("js")).toEqual(on("wasm"));
  });

  test("p = 0, and use instead of training, pass everything; p = 1 passes nothing, without NaN", () => {
    expect(new Dropout(0).forward(x)).toBe(x);
    expect(new Dropout(1).eval().forward(x)).toBe(x);
    expect(
      new Dropout(1)
        .forward(x)
        .dataSync()
        .every((v) => v === 0),
    ).toBe(true);
    const g = grad((x: Tensor) => sum(new Dropout(1).forward(x as Tensor<[3], "f32">)))(tensor([1, 2, 3]));
    expect(g.toArray()).toEqual([0, 0, 0]);
  });

  test.each<[string, () => unknown]>([
    ["Dropout: p is 1.1; a probability lies between 0 and 1", () => new Dropout(1.1)],
    ["Dropout: p is NaN", () => new Dropout(Number.NaN)],
    ['Dropout: p is "0.5"', () => new Dropout("0.5" as never)],
    ["Dropout: there is no option p", () => new Dropout(0.5, { p: 1 } as never)],
    ["Dropout: an object is not a tensor", () => new Dropout().forward({} as never)],
    [
      "Dropout: i32 stands where floats are wanted",
      () => new Dropout().forward(tensor([1], { dtype: "i32" }) as never),
    ],
  ])("refuses: %s", (message, attempt) => {
    expect(attempt).toThrow(message);
  });
});

describe("initialisers", () => {
  const spread = (t: Tensor): { std: number; reach: number } => {
    const data = [...t.dataSync()];
    return {
      std: Math.sqrt(data.reduce((total, v) => total + v * v, 0) / data.length),
      reach: Math.max(...data.map(Math.abs)),
    };
  };
  const shape = [60, 140] as const;

  test.each<[string, (shape: readonly number[]) => Tensor, number]>([
    ["xavierNormal", (s) => init.xavierNormal(s, { seed: 1 }), Math.sqrt(2 / 200)],
    ["xavierUniform", (s) => init.xavierUniform(s, { seed: 1, gain: 2 }), 2 * Math.sqrt(2 / 200)],
    ["kaimingNormal", (s) => init.kaimingNormal(s, { seed: 1, nonlinearity: "relu" }), Math.sqrt(2 / 140)],
    ["kaimingUniform", (s) => init.kaimingUniform(s, { seed: 1, mode: "fanOut" }), Math.sqrt(2 / 60)],
    [
      "kaimingUniform of a leaky slope",
      (s) => init.kaimingUniform(s, { seed: 1, a: Math.sqrt(5) }),
      1 / Math.sqrt(3 * 140),
    ],
  ])("%s has the standard deviation it is defined by", (_, draw, std) => {
    const found = spread(draw(shape));
    expect(found.std / std).toBeCloseTo(1, 1);
    expect(draw(shape).toArray()).toEqual(draw(shape).toArray());
  });

  test("uniform initialisers reach √3 standard deviations and no further", () => {
    const { reach } = spread(init.xavierUniform(shape, { seed: 1 }));
    expect(reach / Math.sqrt(6 / 200)).toBeLessThanOrEqual(1);
    expect(reach / Math.sqrt(6 / 200)).toBeGreaterThan(0.99);
  });

  test("taps of a kernel count into the fans", () => {
    expect(spread(init.kaimingNormal([20, 16, 5, 5], { seed: 1 })).std / Math.sqrt(2 / 400)).toBeCloseTo(
      1,
      1,
    );
  });

  test.each([[[8, 20]], [[20, 8]], [[6, 6]], [[4, 3, 2]], [[1, 1]]])(
    "orthogonal weights of shape %j have orthonormal rows or columns",
    (s) => {
      const [out, inner] = [s[0]!, s.slice(1).reduce((a, b) => a * b, 1)];
      const w = init.orthogonal(s, { seed: 2, gain: 3, dtype: "f64" }).reshape([out, inner]).toArray();
      const vectors = out <= inner ? w : Array.from({ length: inner }, (_, j) => w.map((row) => row[j]!));
      for (const [i, a] of vectors.entries()) {
        for (const [k, b] of vectors.entries())
          expect(a.reduce((total, v, j) => total + v * b[j]!, 0)).toBeCloseTo(i === k ? 9 : 0, 12);
      }
    },
  );

  test.each<[string, () => unknown]>([
    ["xavierNormal: the shape [3] has no inputs and outputs", () => init.xavierNormal([3], { seed: 0 })],
    ["xavierUniform: gain is -1", () => init.xavierUniform([2, 2], { seed: 0, gain: -1 })],
    [
      'kaimingUniform: mode is "fan_in"',
      () => init.kaimingUniform([2, 2], { seed: 0, mode: "fan_in" as never }),
    ],
    [
      'gain: "swish" is no nonlinearity that it knows',
      () => init.kaimingNormal([2, 2], { seed: 0, nonlinearity: "swish" as never }),
    ],
    ["kaimingNormal: a is NaN", () => init.kaimingNormal([2, 2], { seed: 0, a: Number.NaN })],
    [
      "kaimingNormal: there is no option gain",
      () => init.kaimingNormal([2, 2], { seed: 0, gain: 1 } as never),
    ],
    ["neither a key nor a seed is given", () => init.orthogonal([2, 2], {})],
  ])("refuses: %s", (message, attempt) => {
    expect(attempt).toThrow(message);
  });

  test("gains are those of the literature", () => {
    const all = (["linear", "sigmoid", "tanh", "relu", "leakyRelu", "selu"] as const).map((name) =>
      init.gain(name),
    );
    [1, 1, 5 / 3, Math.SQRT2, Math.sqrt(2 / 1.0001), 0.75].forEach((g, i) => {
      expect(all[i]).toBeCloseTo(g, 12);
    });
  });
});
