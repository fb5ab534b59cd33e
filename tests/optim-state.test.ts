// State: training that is stopped and resumed gives the same bits, files can hold it, and what does not fit changes nothing.

import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { memory, scope } from "../core/scope.ts";
import type { StateDict } from "../core/state.ts";
import type { Tensor } from "../core/tensor.ts";
import { fromCheckpoint, toCheckpoint } from "../nn/index.ts";
import { mul, square, sub } from "../ops/elementwise.ts";
import { mean, sum } from "../ops/reduce.ts";
import {
  Accumulation,
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  AdamW,
  EMA,
  Lion,
  NAdam,
  type Optimizer,
  Plateau,
  RAdam,
  RMSprop,
  Scheduler,
  SGD,
  SparseAdam,
  schedules,
} from "../optim/index.ts";

const makers: readonly (readonly [string, (p: Parameter[]) => Optimizer])[] = [
  ["SGD", (p) => new SGD(p, { lr: 0.1 })],
  ["SGD with momentum", (p) => new SGD(p, { lr: 0.05, momentum: 0.9, dampening: 0.3 })],
  ["Adam", (p) => new Adam(p, { lr: 0.01 })],
  ["Adam with amsgrad", (p) => new Adam(p, { lr: 0.01, amsgrad: true })],
  ["AdamW", (p) => new AdamW(p, { lr: 0.01 })],
  ["Adagrad", (p) => new Adagrad(p, { lr: 0.1, lrDecay: 0.01, initialAccumulatorValue: 0.1 })],
  ["RMSprop", (p) => new RMSprop(p, { centered: true, momentum: 0.9 })],
  ["Adamax", (p) => new Adamax(p)],
  ["NAdam", (p) => new NAdam(p)],
  ["RAdam", (p) => new RAdam(p, { betas: [0.9, 0.9] })],
  ["Adadelta", (p) => new Adadelta(p)],
  ["Lion", (p) => new Lion(p, { lr: 0.01 })],
  ["SparseAdam", (p) => new SparseAdam(p)],
];

/** A copy as a file makes it: numbers of their own, nothing shared. */
const written = (state: StateDict): StateDict =>
  Object.fromEntries(
    Object.entries(state).map(([name, t]) => [
      name,
      tensor(t.dataSync(), { shape: t.shape as readonly number[], device: t.device }) as Tensor,
    ]),
  );
const bits = (ps: readonly Parameter[]): number[][] => ps.map(({ value }) => [...value.dataSync()]);

const parameters = (dtype: FloatDType = "f64"): Parameter[] => [
  new Parameter(
    tensor(
      [
        [1, -2, 3],
        [0.5, 0.25, -1],
      ],
      { dtype },
    ),
    { name: "w" },
  ),
  new Parameter(tensor([0.1, 0.2], { dtype }), { name: "b" }),
  new Parameter(tensor([7], { dtype }), { name: "unused" }),
];
const gradients = (t: number, dtype: FloatDType): (Tensor | undefined)[] => [
  tensor(
    Float64Array.from({ length: 6 }, (_, i) => Math.sin(t + i * i)),
    { shape: [2, 3], dtype },
  ),
  t % 2 === 0 ? tensor([Math.cos(t), 1 / t], { dtype }) : undefined,
  undefined,
];
const run = (optimizer: Optimizer, from: number, to: number, dtype: FloatDType): void => {
  for (let t = from; t < to; t++) scope(() => optimizer.step(gradients(t, dtype)));
};

describe.each(["f64", "f32"] as const)("in %s", (dtype) => {
  test.each(makers)("%s resumes with the same bits, and its state stays what it was", (_, make) => {
    const [ps, qs] = [parameters(dtype), parameters(dtype)];
    const [whole, first] = [make(ps), make(qs)];
    run(whole, 1, 6, dtype);
    run(first, 1, 6, dtype);
    // What was changed meanwhile is part of the state.
    for (const optimizer of [whole, first]) (optimizer.groups[0] as unknown as { lr: number }).lr = 0.1 + 0.2;
    const state = first.stateDict();
    const saved = written(state);
    run(first, 6, 9, dtype);
    for (const [name, t] of Object.entries(saved)) expect(state[name]!.dataSync()).toEqual(t.dataSync());

    const rs = whole.parameters.map(
      (p) => new Parameter(tensor(p.value.dataSync(), { shape: p.shape as number[] })),
    );
    const resumed = make(rs as Parameter[]);
    run(resumed, 20, 22, dtype); // forgotten when the state is loaded
    rs.forEach((r, i) => {
      r.value = tensor(ps[i]!.value.dataSync(), { shape: r.shape as number[] }) as typeof r.value;
    });
    resumed.loadStateDict(saved);
    run(resumed, 6, 20, dtype);
    run(whole, 6, 20, dtype);
    expect(bits(rs as Parameter[])).toEqual(bits(ps));
    expect(resumed.groups[0]).toMatchObject({ lr: 0.1 + 0.2 });
  });
});

test("names are PyTorch's, numbers have all digits, and what was never updated has no state", () => {
  const adam = new Adam(
    parameters("f32").map((p, i) => ({ params: [p], lr: 0.1 + i })),
    { amsgrad: true },
  );
  run(adam as Optimizer, 1, 2, "f32");
  const state = adam.stateDict();
  expect(Object.keys(state)).toEqual([
    ...[0, 1, 2].flatMap((k) =>
      ["lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"].map(
        (name) => `param_groups.${k}.${name}`,
      ),
    ),
    ...["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"].map((name) => `state.0.${name}`),
  ]);
  expect(state["param_groups.1.lr"]).toMatchObject({ dtype: "f64", shape: [] });
  expect(state["param_groups.1.lr"]!.item()).toBe(1.1);
  expect(state["param_groups.0.betas"]!.toArray()).toEqual([0.9, 0.999]);
  expect(state["state.0.step"]).toMatchObject({ dtype: "i32", shape: [] });
  expect(state["state.0.exp_avg"]).toMatchObject({ dtype: "f32", shape: [2, 3] });
});

test("state can be loaded on another device of the CPU", () => {
  const p = new Parameter(tensor([1, 2], { device: "js" }));
  const sgd = (q: Parameter): SGD => new SGD([q], { lr: 1, momentum: 0.5 });
  const here = sgd(p);
  here.step([tensor([1, 3], { device: "js" })]);
  const q = new Parameter(tensor([1, 2]));
  const there = sgd(q);
  there.loadStateDict(here.stateDict());
  there.step([tensor([0, 0])]);
  expect(q.value.toArray()).toEqual([0.5, 0.5]);
});

test("a moment that options no longer ask for is forgotten, and one that they ask for begins", () => {
  const p = new Parameter(tensor([1]));
  const sgd = new SGD([p], { lr: 1, momentum: 0.5 });
  sgd.step([tensor([1])]);
  sgd.groups[0]!.momentum = 0;
  expect(Object.keys(sgd.stateDict())).not.toContain("state.0.momentum_buffer");
  sgd.groups[0]!.momentum = 0.5;
  expect(sgd.stateDict()["state.0.momentum_buffer"]!.item()).toBe(0);
});

describe("what does not fit is refused with a sentence, and nothing has changed", () => {
  const trained = (): [Parameter[], Adam] => {
    const ps = parameters("f32");
    const adam = new Adam(ps, { lr: 0.1 });
    run(adam as Optimizer, 1, 4, "f32");
    return [ps, adam];
  };
  const cases: [
    string,
    (s: { [name: string]: Tensor }) => unknown,
    new (...args: never[]) => Error,
    string,
  ][] = [
    ["no state", () => 3, ArgumentError, "Adam.loadStateDict: 3 is no state"],
    [
      "no tensor",
      (s) => ({ ...s, "param_groups.0.lr": 0.1 }),
      ArgumentError,
      "the entry param_groups.0.lr is 0.1",
    ],
    [
      "a missing option",
      ({ "param_groups.0.eps": _, ...s }) => s,
      ArgumentError,
      "the entry param_groups.0.eps is missing",
    ],
    [
      "a missing moment",
      ({ "state.0.exp_avg": _, ...s }) => s,
      ArgumentError,
      "the entry state.0.exp_avg is missing",
    ],
    [
      "a moment without count",
      ({ "state.0.step": _, ...s }) => s,
      ArgumentError,
      "there is no place for the entry state.0.exp_avg and 1 more",
    ],
    [
      "a parameter too many",
      (s) => ({ ...s, "state.7.step": s["state.0.step"] }),
      ArgumentError,
      "there is no place for the entry state.7.step",
    ],
    [
      "another shape",
      (s) => ({ ...s, "state.0.exp_avg": tensor([1, 2]) }),
      ShapeError,
      "state.0.exp_avg has shape [2] where [2, 3] is wanted",
    ],
    [
      "another type",
      (s) => ({ ...s, "param_groups.0.lr": tensor(0.1) }),
      DTypeError,
      "param_groups.0.lr is f32 where f64 is wanted",
    ],
    [
      "a count below 1",
      (s) => ({ ...s, "state.0.step": tensor(new Int32Array([-1]), { shape: [] }) }),
      DomainError,
      "state.0.step is -1",
    ],
    [
      "an option without meaning",
      (s) => ({ ...s, "param_groups.0.lr": tensor(new Float64Array([-1]), { shape: [] }) }),
      DomainError,
      "Adam: lr is -1",
    ],
    [
      "the state of another method",
      (s) => ({ ...s, ...new SGD(parameters(), { lr: 1 }).stateDict() }),
      ArgumentError,
      "there is no place for the entry param_groups.0.momentum",
    ],
  ];
  test.each(cases)("%s", (_, change, kind, message) => {
    const [ps, adam] = trained();
    const [qs, other] = trained();
    const state = change({ ...adam.stateDict() }) as StateDict;
    const before = memory().tensors;
    const attempt = (): void => adam.loadStateDict(state);
    expect(attempt).toThrow(kind);
    expect(attempt).toThrow(message);
    expect(memory().tensors).toBe(before);
    for (const optimizer of [adam, other]) run(optimizer as Optimizer, 4, 7, "f32");
    expect(bits(ps)).toEqual(bits(qs));
  });
});

test("a schedule resumes where it was, whatever the optimizer was made with", () => {
  const make = (lr: number): [SGD, Scheduler<{ readonly lr: number; readonly momentum?: number }>] => {
    const sgd = new SGD([new Parameter(tensor([1]))], { lr, momentum: 0.9 });
    const both = {
      lr: schedules.cosine({ total: 10, min: 0.01 }),
      momentum: (t: number, base: number) => base / (1 + t),
    };
    return [sgd, new Scheduler(sgd, both)];
  };
  const [one, first] = make(0.3);
  for (let i = 0; i < 4; i++) first.step();
  const [two, second] = make(7);
  second.loadStateDict(written(first.stateDict()));
  expect(two.groups[0]).toEqual({ ...one.groups[0], params: two.groups[0]!.params });
  for (const scheduler of [first, second]) scheduler.step();
  expect([two.groups[0]!.lr, two.groups[0]!.momentum]).toEqual([one.groups[0]!.lr, one.groups[0]!.momentum]);
  expect(second.steps).toBe(5);
  const { step: _, ...rest } = first.stateDict();
  expect(() => second.loadStateDict(rest)).toThrow("Scheduler.loadStateDict: the entry step is missing");
  expect(second.steps).toBe(5);
});

test("a plateau resumes with what it has counted", () => {
  const make = (): [SGD, Plateau] => {
    const sgd = new SGD([new Parameter(tensor([1]))], { lr: 1 });
    return [sgd, new Plateau(sgd, { patience: 2, cooldown: 3, factor: 0.5 })];
  };
  const [[one, first], [two, second]] = [make(), make()];
  for (const metric of [3, 2, 2, 2, 2, 2]) first.step(metric);
  second.loadStateDict(written(first.stateDict()));
  two.loadStateDict(one.stateDict());
  for (const metric of [2, 2, 2, 2, 1, 1, 1, 1, 1]) {
    first.step(metric);
    second.step(metric);
    expect(two.groups[0]!.lr).toBe(one.groups[0]!.lr);
  }
  expect(one.groups[0]!.lr).toBeLessThan(0.5);
});

test("averages resume with the same bits", () => {
  const make = (): [Parameter, EMA] => {
    const p = new Parameter(tensor([1, 2, 3]));
    return [p, new EMA([p], { decay: 0.9 })];
  };
  const change = ([p, average]: [Parameter, EMA], t: number): void => {
    p.value = mul(p.value, Math.cos(t));
    average.update();
  };
  const [one, two] = [make(), make()];
  for (let t = 0; t < 5; t++) change(one, t);
  two[0].value = tensor(one[0].value.dataSync()) as never;
  two[1].loadStateDict(written(one[1].stateDict()));
  for (let t = 5; t < 9; t++) for (const pair of [one, two]) change(pair, t);
  expect(two[1].stateDict()["shadow.0"]!.dataSync()).toEqual(one[1].stateDict()["shadow.0"]!.dataSync());
  expect(two[1].updates).toBe(9);
  expect(() => two[1].loadStateDict({ updates: tensor(1) })).toThrow(DTypeError);
});

test("accumulation resumes in the middle of a step, with what it has counted and collected, rows among it", () => {
  const make = (): [Parameter[], Accumulation] => {
    const ps = [
      new Parameter(
        tensor([
          [1, 2],
          [3, 4],
          [5, 6],
        ]),
      ),
      new Parameter(tensor([1, -1])),
    ];
    return [
      ps,
      new Accumulation(new Adam(ps, { lr: 0.1 }) as Optimizer, {
        steps: 3,
        window: 2,
        adapt: ({ easy }) => 1 + (easy % 3),
      }),
    ];
  };
  const rows = new RowSparse(
    [3, 2],
    tensor(Int32Array.of(2, 2)),
    tensor([
      [1, 2],
      [3, 4],
    ]),
  );
  const turn = ([ps, parts]: [Parameter[], Accumulation], t: number): void => {
    if (t % 4 === 3) parts.step([rows, undefined]);
    else parts.minimize(() => mul(square(sub(ps[1]!.value, t)), tensor([t % 2, 1])));
  };
  const [one, two] = [make(), make()];
  for (let t = 0; t < 5; t++) turn(one, t);
  const saved = written(one[1].stateDict());
  expect(Object.keys(saved)).toEqual(
    expect.arrayContaining(["optimizer.state.1.exp_avg", "batches", "sums.0.rows", "sums.1", "easy"]),
  );
  one[0].forEach((p, i) => {
    two[0][i]!.value = tensor(p.value.dataSync(), { shape: p.shape as number[] }) as never;
  });
  expect(() => two[1].loadStateDict({ ...saved, "sums.1": tensor([1]) })).toThrow(ShapeError);
  expect(() => two[1].loadStateDict({ ...saved, "optimizer.state.1.step": tensor(1) })).toThrow(DTypeError);
  expect(two[1].updates).toBe(0);
  two[1].loadStateDict(saved);
  for (let t = 5; t < 30; t++) for (const pair of [one, two]) turn(pair, t);
  expect(bits(two[0])).toEqual(bits(one[0]));
  expect([two[1].steps, two[1].updates]).toEqual([one[1].steps, one[1].updates]);
});

test("a checkpoint holds all parts of a training", async () => {
  const make = () => {
    const w = new Parameter(tensor([1, -2, 3]));
    const optimizer = new Accumulation(new NAdam([w], { lr: 0.1 }), { steps: 2 });
    const scheduler = new Scheduler(optimizer, { lr: schedules.cosine({ total: 20 }) });
    return {
      w,
      optimizer,
      scheduler,
      plateau: new Plateau(optimizer),
      average: new EMA([w], { decay: 0.5 }),
    };
  };
  const turn = ({ w, optimizer, scheduler, plateau, average }: ReturnType<typeof make>): void => {
    plateau.step(optimizer.minimize(() => sum(square(w.value)), { clip: { norm: 1 } }));
    scheduler.step();
    average.update();
  };
  const [one, two] = [make(), make()];
  for (let i = 0; i < 5; i++) turn(one);
  const { w: _, ...parts } = one;
  const { w, ...into } = two;
  fromCheckpoint(await toCheckpoint(parts), into);
  w.value = tensor(one.w.value.dataSync()) as never;
  for (let i = 0; i < 6; i++) for (const training of [one, two]) turn(training);
  for (const [name, part] of Object.entries(parts)) {
    const [found, wanted] = [into[name as "average"].stateDict(), part.stateDict()];
    expect(Object.keys(found)).toEqual(Object.keys(wanted));
    for (const [key, t] of Object.entries(wanted)) expect(found[key]!.dataSync(), key).toEqual(t.dataSync());
  }
  expect(bits([two.w])).toEqual(bits([one.w]));
});

test("saving and loading again and again leaves no memory behind", () => {
  const ps = [new Parameter(tensor(new Float32Array(500)))];
  const adam = new Adam(ps);
  const again = (): void =>
    scope(() => {
      adam.minimize(() => mean(square(sub(ps[0]!.value, 1))));
      adam.loadStateDict(adam.stateDict());
      sum(ps[0]!.value).item();
      return undefined;
    });
  again();
  const { tensors, bytes } = memory();
  for (let i = 0; i < 20; i++) again();
  expect(memory()).toMatchObject({ tensors, bytes });
});
