// What the compiler refuses, the run refuses too: every wrong call below stands under a `@ts-expect-error`, so that
// compiling the suite fails if the types let it pass, and inside an `expect(…).toThrow`. And the compiler's own words are read
// once for each rule, since a message that does not read like a sentence helps nobody.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, expectTypeOf, test } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { ShapeError } from "../core/errors.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { Linear, Sequential } from "../nn/index.ts";
import { add, mul, relu } from "../ops/elementwise.ts";
import { logsumexp, softmax, sparsemax } from "../ops/maps/index.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { reshape } from "../ops/movement.ts";
import { argmax, max, mean, sum } from "../ops/reduce.ts";

const x = zeros([4, 3]);
const named = zeros([4, 3]).expect(["batch", 3]);
const size: number = 3;

describe("sizes that agree pass, and the result has the sizes of the rule", () => {
  test("in products", () => {
    expectTypeOf(matmul(x, zeros([3, 2]))).toEqualTypeOf<Tensor<[4, 2], "f32">>();
    expectTypeOf(matmul(named, zeros([3, 2]))).toEqualTypeOf<Tensor<["batch", 2], "f32">>();
    expectTypeOf(matmul(x, zeros([size, 2]))).toEqualTypeOf<Tensor<[4, 2], "f32">>();
    expectTypeOf(matmul(zeros([2, 1, 4, 3]), zeros([5, 3, 1]))).toEqualTypeOf<Tensor<[2, 5, 4, 1], "f32">>();
    expectTypeOf(matmul(zeros([3]), zeros([3]))).toEqualTypeOf<Tensor<[], "f32">>();
    expectTypeOf(matmul(x.transpose(), x)).toEqualTypeOf<Tensor<[3, 3], "f32">>();
    expectTypeOf(matmul(x as Tensor<Shape, "f32">, zeros([3, 2]))).toEqualTypeOf<Tensor<Shape, "f32">>();
    expectTypeOf(linear(x, zeros([2, 3]), zeros([2]))).toEqualTypeOf<Tensor<[4, 2], "f32">>();
    expectTypeOf(linear(named, zeros([2, 3]))).toEqualTypeOf<Tensor<["batch", 2], "f32">>();
    expectTypeOf(linear(x, zeros([size, 3]), zeros([size]))).toEqualTypeOf<Tensor<[4, number], "f32">>();
  });

  test("in broadcasting", () => {
    expectTypeOf(add(x, zeros([3]))).toEqualTypeOf<Tensor<[4, 3], "f32">>();
    expectTypeOf(add(zeros([4, 1]), zeros([1, 3]))).toEqualTypeOf<Tensor<[4, 3], "f32">>();
    expectTypeOf(mul(named, zeros([3]))).toEqualTypeOf<Tensor<["batch", 3], "f32">>();
    expectTypeOf(mul(x, 2)).toEqualTypeOf<Tensor<[4, 3], "f32">>();
  });

  test("in folds", () => {
    expectTypeOf(sum(x)).toEqualTypeOf<Tensor<[], "f32">>();
    expectTypeOf(sum(x, { axis: -1 })).toEqualTypeOf<Tensor<[4], "f32">>();
    expectTypeOf(mean(x, { axis: [0, 1], keepDims: true })).toEqualTypeOf<Tensor<[1, 1], "f32">>();
    expectTypeOf(max(named, { axis: 1 })).toEqualTypeOf<Tensor<["batch"], "f32">>();
    expectTypeOf(argmax(x, { axis: 0 })).toEqualTypeOf<Tensor<[3], "i32">>();
    expectTypeOf(logsumexp(x)).toEqualTypeOf<Tensor<[4], "f32">>();
    expectTypeOf(sum(x, { axis: size - 3 })).toEqualTypeOf<Tensor<Shape, "f32">>();
    expectTypeOf(sum(tensor([true]))).toEqualTypeOf<Tensor<[], "i32">>();
  });

  test("in maps of rows and of entries", () => {
    expectTypeOf(softmax(x)).toEqualTypeOf<Tensor<[4, 3], "f32">>();
    expectTypeOf(sparsemax(named)).toEqualTypeOf<Tensor<["batch", 3], "f32">>();
    expectTypeOf(relu(sparsemax(x))).toEqualTypeOf<Tensor<[4, 3], "f32">>();
  });

  test("in layers", () => {
    const model = new Sequential(new Linear(3, 8), relu, new Linear(8, 2));
    expectTypeOf(new Linear(3, 8).forward(x)).toEqualTypeOf<Tensor<[4, 8], "f32">>();
    expectTypeOf(model.forward(x)).toEqualTypeOf<Tensor<[4, 2], "f32">>();
    expectTypeOf(model.forward(named)).toEqualTypeOf<Tensor<["batch", 2], "f32">>();
    expectTypeOf(new Linear(size, 2).forward(x)).toEqualTypeOf<Tensor<[4, 2], "f32">>();
  });

  test("and a tensor of any shape is accepted everywhere, and expected back into sizes", () => {
    const anything: Tensor<Shape, "f32"> = x;
    expectTypeOf(add(anything, x)).toEqualTypeOf<Tensor<Shape, "f32">>();
    expectTypeOf(softmax(anything).expect([4, 3])).toEqualTypeOf<Tensor<[4, 3], "f32">>();
    expectTypeOf(reshape(x, [2, -1])).toEqualTypeOf<Tensor<[2, number], "f32">>();
  });
});

describe("sizes that differ are refused by the compiler and by the run", () => {
  test("in products", () => {
    // @ts-expect-error 3 ≠ 5
    expect(() => matmul(zeros([2, 3]), zeros([5, 4]))).toThrow(ShapeError);
    // @ts-expect-error 3 ≠ 4
    expect(() => matmul(x, zeros([4]))).toThrow(ShapeError);
    // @ts-expect-error the batches of 2 and 5 do not broadcast
    expect(() => matmul(zeros([2, 4, 3]), zeros([5, 3, 1]))).toThrow(ShapeError);
    // @ts-expect-error a scalar has no rows
    expect(() => matmul(x, tensor(2))).toThrow(ShapeError);
    // @ts-expect-error a name is equal only to itself; here the run finds 4 rows and 3
    expect(() => matmul(named.transpose(), zeros([3, 2]))).toThrow(ShapeError);
    // @ts-expect-error rows of 3, weights of 4
    expect(() => linear(x, zeros([2, 4]))).toThrow(ShapeError);
    // @ts-expect-error 2 results, 3 biases
    expect(() => linear(x, zeros([2, 3]), zeros([3]))).toThrow(ShapeError);
    // @ts-expect-error the result of one product meets the next
    expect(() => matmul(matmul(x, zeros([3, 2])), zeros([3, 2]))).toThrow(ShapeError);
  });

  test("in broadcasting", () => {
    // @ts-expect-error 3 and 4
    expect(() => add(x, zeros([4]))).toThrow(ShapeError);
    // @ts-expect-error 4 and 2
    expect(() => mul(zeros([2, 3]), x)).toThrow(ShapeError);
    // @ts-expect-error rows folded without keepDims no longer fit their rows
    expect(() => add(x, sum(x, { axis: -1 }))).toThrow(ShapeError);
  });

  test("in folds", () => {
    // @ts-expect-error two axes only
    expect(() => sum(x, { axis: 2 })).toThrow(ShapeError);
    // @ts-expect-error the second of these is missing
    expect(() => max(x, { axis: [0, -3] })).toThrow(ShapeError);
    // @ts-expect-error a scalar has no last axis
    expect(() => logsumexp(tensor(1))).toThrow(ShapeError);
  });

  test("in maps of rows", () => {
    // @ts-expect-error a scalar has no rows
    expect(() => softmax(tensor(1))).toThrow(ShapeError);
    // @ts-expect-error a scalar has no rows
    expect(() => sparsemax(sum(x))).toThrow(ShapeError);
  });

  test("in layers", () => {
    const [wide, narrow] = [new Linear(3, 8), new Linear(5, 2)];
    // @ts-expect-error 8 features meet a layer of 5
    expect(() => narrow.forward(wide.forward(x))).toThrow(ShapeError);
    // @ts-expect-error 8 features meet a layer of 5
    expect(() => new Sequential(wide, relu, narrow).forward(x)).toThrow(ShapeError);
    // @ts-expect-error 3 features meet a layer of 5
    expect(() => new Sequential(narrow, relu).forward(x)).toThrow(ShapeError);
  });

  test("and in what a variable is said to hold", () => {
    // @ts-expect-error the product is [4, 2]
    const wrong: Tensor<[4, 5], "f32"> = matmul(x, zeros([3, 2]));
    expect(() => wrong.expect([4, 5])).toThrow(ShapeError);
    // @ts-expect-error f32 is not f64
    const other: Tensor<[4, 3], "f64"> = relu(x);
    expect(other.dtype).toBe("f32");
  });
});

test("the compiler's complaint reads like a sentence", { timeout: 60_000 }, () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "sizes-"));
  const complaints: [code: string, sentence: string][] = [
    [
      "matmul(zeros([2, 3]), zeros([5, 4]));",
      `'Tensor<[5, 4], "f32">' is not assignable to parameter of type 'Mismatch<"matmul: inner sizes differ", [3, 5]>'`,
    ],
    [
      "add(zeros([2, 3]), zeros([4]));",
      `'Tensor<[4], "f32">' is not assignable to parameter of type 'Mismatch<"broadcasting: sizes differ and neither is 1", [3, 4]>'`,
    ],
    [
      "sum(zeros([2, 3]), { axis: 2 });",
      `'Tensor<[2, 3], "f32">' is not assignable to parameter of type 'Mismatch<"there is no such axis", [2, [2, 3]]>'`,
    ],
    [
      "sparsemax(tensor(1));",
      `'Tensor<[], "f32">' is not assignable to parameter of type 'Mismatch<"a scalar has no last axis", []>'`,
    ],
    [
      "new Linear(100, 10).forward(zeros([32, 128]));",
      `'Tensor<[32, 128], "f32">' is not assignable to parameter of type 'Mismatch<"matmul: inner sizes differ", [128, 100]>'`,
    ],
    [
      "new Sequential(new Linear(784, 128), new Linear(100, 10));",
      `'Mismatch<"Sequential: the layer before gives another number of features than this one takes", [128, 100]>'`,
    ],
  ];
  try {
    const from = (path: string): string => JSON.stringify(join(root, path));
    const lines = [
      `import { tensor, zeros } from ${from("core/create.ts")};`,
      `import { add } from ${from("ops/elementwise.ts")};`,
      `import { sparsemax } from ${from("ops/maps/index.ts")};`,
      `import { Linear, Sequential } from ${from("nn/index.ts")};`,
      `import { matmul } from ${from("ops/matmul.ts")};`,
      `import { sum } from ${from("ops/reduce.ts")};`,
      ...complaints.map(([code]) => code),
    ];
    writeFileSync(join(folder, "wrong.ts"), lines.join("\n"));
    const options = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: { noEmit: true, rootDir: "/", types: [] },
      files: ["wrong.ts"],
      include: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(options));
    let output = "";
    try {
      execFileSync(process.execPath, [join(root, "node_modules/typescript/lib/tsc.js"), "-p", folder], {
        encoding: "utf8",
      });
    } catch (failure) {
      output = (failure as { stdout: string }).stdout;
    }
    complaints.forEach(([, sentence], i) => {
      const line = lines.length - complaints.length + i + 1;
      const said = output.split(/\n(?=\S)/).find((s) => s.includes(`wrong.ts(${line},`));
      expect(said).toContain(sentence);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
