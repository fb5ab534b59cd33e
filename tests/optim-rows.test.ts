// Row-sparse gradients: where a method leaves other rows alone they change what dense ones would, in place; elsewhere they are dense.

import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { DTypeError, LifetimeError, ShapeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { keep, memory, scope } from "../core/scope.ts";
import { tape } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { add, square } from "../ops/elementwise.ts";
import { take } from "../ops/indexing.ts";
import { sum } from "../ops/reduce.ts";
import {
  Accumulation,
  Adagrad,
  Adam,
  type AnyGradient,
  clipGradNorm,
  clipGradValue,
  Lion,
  type Optimizer,
  RMSprop,
  SGD,
  SparseAdam,
} from "../optim/index.ts";
import { firstDifference } from "./suite/samples.ts";

const [rows, width] = [40, 3];
const values = (size: number, seed: number): Float64Array =>
  Float64Array.from({ length: size }, (_, i) => Math.sin(seed + i * i));
const table = (): Parameter => new Parameter(tensor(values(rows * width, 1), { shape: [rows, width] }));
/** The gradient of step t: six rows, two of them the same. */
const gradientAt = (t: number): RowSparse => {
  const ids = [0, 1, 2, 3, 4].map((k) => (t * 7 + k * k * 11) % rows);
  return new RowSparse(
    [rows, width],
    tensor(Int32Array.of(...ids, ids[0]!)),
    tensor(values(6 * width, t), { shape: [6, width] }),
  );
};
const numbers = (p: Parameter): number[] => [...p.value.dataSync()];

function expectClose(found: readonly number[], wanted: readonly number[]): void {
  expect(firstDifference(found, wanted, 1e-13)).toBeUndefined();
}

const exact: readonly (readonly [string, (p: Parameter[]) => Optimizer])[] = [
  ["SGD", (p) => new SGD(p, { lr: 0.1 })],
  ["SGD that climbs", (p) => new SGD(p, { lr: 0.1, maximize: true })],
  ["Adagrad", (p) => new Adagrad(p, { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.2 })],
  ["SparseAdam", (p) => new SparseAdam(p, { lr: 0.1 })],
];
const dense: readonly (readonly [string, (p: Parameter[]) => Optimizer])[] = [
  ["SGD with momentum", (p) => new SGD(p, { lr: 0.1, momentum: 0.9 })],
  ["SGD with decay", (p) => new SGD(p, { lr: 0.1, weightDecay: 0.1 })],
  ["Adagrad with decay", (p) => new Adagrad(p, { lr: 0.1, weightDecay: 0.1 })],
  ["Adam", (p) => new Adam(p, { lr: 0.1 })],
  ["RMSprop", (p) => new RMSprop(p, { lr: 0.1 })],
  ["Lion", (p) => new Lion(p, { lr: 0.1 })],
];

test.each([...exact, ...dense])(
  "%s makes of rows what it makes of the tensor that they stand for, bit by bit",
  (_, make) => {
    const [one, two] = [table(), table()];
    const [sparse, whole] = [make([one]), make([two])];
    for (let t = 1; t <= 12; t++) {
      sparse.step([gradientAt(t)]);
      whole.step([gradientAt(t).toDense()]);
      expect(numbers(one)).toEqual(numbers(two));
    }
  },
);

describe.each(exact)("%s", (_, make) => {
  test("leaves rows without gradient alone, and their moments", () => {
    const p = table();
    const before = numbers(p);
    const optimizer = make([p]);
    for (let i = 0; i < 3; i++)
      optimizer.step([
        new RowSparse(
          [rows, width],
          tensor(Int32Array.of(5, 7)),
          tensor(values(6, 2), { shape: [2, width] }),
        ),
      ]);
    const after = numbers(p);
    const changed = [...after.keys()].filter((i) => after[i] !== before[i]).map((i) => Math.floor(i / width));
    expect([...new Set(changed)]).toEqual([5, 7]);
    for (const [name, moment] of Object.entries(optimizer.stateDict())) {
      if (moment.shape.join() !== `${rows},${width}`) continue;
      const entries = [...moment.dataSync()];
      const other = entries.filter((_, i) => ![5, 7].includes(Math.floor(i / width)));
      expect(new Set(other).size, name).toBe(1);
    }
  });

  test("a step of minimize through take writes the table where it stands", () => {
    const p = table();
    const optimizer = make([p]);
    const ids = tensor(Int32Array.of(3, 9, 3));
    const loss = () => sum(square(take(p.value, ids)));
    optimizer.minimize(loss);
    const storage = p.value.storage;
    const { bytes, tensors } = memory();
    for (let i = 0; i < 5; i++) optimizer.minimize(loss);
    expect(p.value.storage).toBe(storage);
    expect(memory()).toMatchObject({ bytes, tensors });
  });

  test("no rows are a step that changes nothing but the count", () => {
    const p = table();
    const before = numbers(p);
    const optimizer = make([p]);
    optimizer.step([
      new RowSparse([rows, width], tensor(new Int32Array(0)), zeros([0, width], { dtype: "f64" })),
    ]);
    expect(numbers(p)).toEqual(before);
    expect(optimizer.stateDict()["state.0.step"]!.item()).toBe(1);
  });

  test("tables of one axis have rows of one number", () => {
    const [one, two] = [1, 1].map(() => new Parameter(tensor(values(100, 3))));
    const g = new RowSparse([100], tensor(Int32Array.of(98, 4, 98)), tensor(values(3, 4)));
    make([one!]).step([g]);
    make([two!]).step([g.toDense()]);
    expect(numbers(one!)).toEqual(numbers(two!));
  });
});

describe("whoever holds an old value keeps it, or is told that it is gone", () => {
  const step = (p: Parameter): void => new SGD([p], { lr: 1 }).step([gradientAt(1)]);
  test("a view, a kept tensor, the state of an average, and what a tape looks on at stay", () => {
    const p = table();
    const before = numbers(p);
    const view = p.value.slice(0);
    step(p);
    expect([...view.dataSync()]).toEqual(before.slice(0, width));
    const kept = keep(p.value);
    const then = numbers(p);
    step(p);
    expect([...kept.dataSync()]).toEqual(then);
    const now = numbers(p);
    let seen: Tensor | undefined;
    tape(() => {
      seen = p.value;
      step(p);
      expect([...seen.dataSync()]).toEqual(now);
    });
  });
  test("a small table is copied out as it was", () => {
    const p = new Parameter(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    const old = p.value;
    new SGD([p], { lr: 1 }).step([new RowSparse([2, 2], tensor(Int32Array.of(0)), tensor([[1, 1]]))]);
    expect(old.toArray()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(p.value.toArray()).toEqual([
      [0, 1],
      [3, 4],
    ]);
  });
  test("the value itself is gone, as after every step", () => {
    const p = table();
    const old = p.value;
    step(p);
    expect(() => old.dataSync()).toThrow(LifetimeError);
  });
});

test("SparseAdam is lazy: a row that was seen once does not go on moving, and one that is not seen is no row", () => {
  const [lazy, dense] = [table(), table()];
  const [sparse, adam] = [new SparseAdam([lazy], { lr: 0.1 }), new Adam([dense], { lr: 0.1 })];
  for (const optimizer of [sparse, adam]) optimizer.step([gradientAt(1)]);
  const [a, b] = [numbers(lazy), numbers(dense)];
  const elsewhere = new RowSparse(
    [rows, width],
    tensor(Int32Array.of(39)),
    tensor(values(width, 1), { shape: [1, width] }),
  );
  for (const optimizer of [sparse, adam]) optimizer.step([elsewhere]);
  expect(numbers(lazy).slice(0, 39 * width)).toEqual(a.slice(0, 39 * width));
  expect(numbers(dense).slice(0, 39 * width)).not.toEqual(b.slice(0, 39 * width));
});

describe("clipping", () => {
  const gradients = (): AnyGradient[] => [gradientAt(1), undefined, tensor(values(4, 9))];
  const whole = (): AnyGradient[] => gradients().map((g) => (g instanceof RowSparse ? g.toDense() : g));
  const numbersOf = (gs: readonly AnyGradient[]): (number[] | undefined)[] =>
    gs.map((g) => g && [...(g instanceof RowSparse ? g.toDense() : g).dataSync()]);

  test("rows have the norm of the tensor that they stand for, and stay rows", () => {
    for (const normType of [1, 2, 3, Number.POSITIVE_INFINITY]) {
      const [some, all] = [gradients(), whole()].map((gs) => clipGradNorm(gs, 0.1, { normType }));
      expect(some!.norm.item()).toBeCloseTo(all!.norm.item(), 13);
      expect(some!.gradients[0]).toBeInstanceOf(RowSparse);
      numbersOf(some!.gradients).forEach((g, i) => {
        if (g) expectClose(g, numbersOf(all!.gradients)[i]!);
      });
    }
  });
  test("entries are bounded after rows that are named twice have been summed", () => {
    expect(numbersOf(clipGradValue(gradients(), 0.3))).toEqual(numbersOf(clipGradValue(whole(), 0.3)));
  });
  test("a step clips rows as it clips tensors", () => {
    const [one, two] = [table(), table()];
    new SGD([one], { lr: 1 }).step([gradientAt(1)], { clip: { norm: 0.5 } });
    new SGD([two], { lr: 1 }).step([gradientAt(1).toDense()], { clip: { norm: 0.5 } });
    expectClose(numbers(one), numbers(two));
  });
});

test.each(exact)("accumulated, the rows of mini-batches are the rows of their mean: %s", (_, make) => {
  const [one, two] = [table(), table()];
  const [parts, whole] = [new Accumulation(make([one]), { steps: 3 }), make([two])];
  for (let t = 0; t < 6; t += 3) {
    for (let i = 0; i < 3; i++) scope(() => parts.step([gradientAt(t + i)], { clip: { norm: 2 } }));
    const sum = gradientAt(t)
      .plus(gradientAt(t + 1))
      .plus(gradientAt(t + 2));
    const mean = scope(() => [...sum.toDense().dataSync()].map((v) => v / 3));
    whole.step([tensor(Float64Array.from(mean), { shape: [rows, width] })], { clip: { norm: 2 } });
    expectClose(numbers(one), numbers(two));
  }
});

test("mini-batches of rows and of whole tensors are added", () => {
  const [one, two] = [table(), table()];
  const parts = new Accumulation(new SGD([one], { lr: 1 }), { steps: 2 });
  parts.step([gradientAt(1)]);
  parts.step([gradientAt(2).toDense()]);
  new SGD([two], { lr: 0.5 }).step([add(gradientAt(1).toDense(), gradientAt(2).toDense() as never)]);
  expectClose(numbers(one), numbers(two));
});

test("hundreds of accumulated steps through take leave no memory behind", () => {
  const p = table();
  const parts = new Accumulation(new Adagrad([p]), { steps: 3 });
  const ids = tensor(Int32Array.of(3, 9, 3));
  const run = (): void => {
    for (let i = 0; i < 30; i++) parts.minimize(() => sum(square(take(p.value, ids))));
  };
  run();
  const { tensors, bytes } = memory();
  for (let i = 0; i < 10; i++) run();
  expect(memory()).toMatchObject({ tensors, bytes });
});

test("rows of another table or element type are refused", () => {
  const sgd = new SGD([table()], { lr: 1 });
  const ids = tensor(Int32Array.of(0));
  expect(() => sgd.step([new RowSparse([rows, 2], ids, zeros([1, 2], { dtype: "f64" }))])).toThrow(
    ShapeError,
  );
  expect(() => sgd.step([new RowSparse([rows, width], ids, zeros([1, width]))])).toThrow(DTypeError);
});
