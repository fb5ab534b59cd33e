// Bad arguments: every public function refuses each kind that it can be given by an error of ours, in a sentence with place,
// finding and way out, and leaves memory as it was. For ops the bad arguments follow from their cards.

import { beforeAll, describe, expect, test } from "vitest";
import * as core from "../core/index.ts";
import type { Param } from "../core/rowop.ts";
import { allFeatureLosses, allLosses, crossEntropy } from "../losses/index.ts";
import * as nn from "../nn/index.ts";
import * as ops from "../ops/index.ts";
import * as optim from "../optim/index.ts";
import {
  type AnyOp,
  byName,
  drawn,
  everyOp,
  generator,
  isSizable,
  mapSlots,
  type Setting,
  type Slot,
  scalarsOf,
  slotsOf,
  type Template,
  templateOf,
  upload,
} from "./suite/samples.ts";

const {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  FormatError,
  GradientError,
  LifetimeError,
  memory,
  Parameter,
  scope,
  ShapeError,
  Tensor,
  tensor,
  zeros,
} = core;

const ours = [
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  FormatError,
  GradientError,
  LifetimeError,
  ShapeError,
] as const;
type Ours = (typeof ours)[number];

/** Makes something the first time that it is asked for. */
function once<T>(make: () => T): () => T {
  let made: readonly T[] = [];
  return () => {
    if (made.length === 0) made = [make()];
    return made[0]!;
  };
}

/** What is wrong with the way in which a call is refused; undefined if nothing is. */
function complaint(call: () => unknown, wanted?: Ours): string | undefined {
  try {
    scope(call);
  } catch {
    // What is made once, kernels among it, is made now.
  }
  const before = memory();
  let found: string | undefined;
  try {
    scope(call);
    found = "it is accepted";
  } catch (error) {
    const known = ours.find((kind) => error instanceof kind);
    const { message } = error as Error;
    if (!known) found = `it throws ${String(error)}`;
    else if (wanted && known !== wanted) found = `it throws ${String(error)}, which is no ${wanted.name}`;
    else if (!/^[^:;]+: .+; .+$/s.test(message)) found = `"${message}" lacks place, finding or way out`;
    else if (message.includes("[object")) found = `"${message}" prints an object badly`;
  }
  const after = memory();
  if (after.tensors !== before.tensors || after.bytes !== before.bytes)
    found ??= `it leaves ${after.tensors - before.tensors} tensors and ${after.bytes - before.bytes} bytes`;
  return found;
}

beforeAll(() => core.useDevice("wasm"));

// ---------------------------------------------------------------------------------------------------------------
// From the cards

const wasm: Setting = { device: "wasm", dtype: "f64" };
const js: Setting = { device: "js", dtype: "f64" };

interface BadCall {
  readonly what: string;
  readonly args: () => readonly unknown[];
  readonly wanted?: Ours;
}

/** The arguments with something else in the place of the k-th slot. */
function withSlot(
  template: Template,
  k: number,
  other: (s: Slot) => unknown,
  setting: Setting = wasm,
): unknown[] {
  let next = 0;
  return mapSlots(template, (s) => (next++ === k ? other(s) : upload(s, setting)));
}

const isPlain = (value: unknown): value is { [key: string]: unknown } =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** Whether the last argument of a call is a record of options. */
const endsInOptions = (args: readonly unknown[]): boolean => args.length > 1 && isPlain(args.at(-1));

const withOptions = (args: readonly unknown[], options: object): unknown[] =>
  endsInOptions(args)
    ? [...args.slice(0, -1), { ...(args.at(-1) as object), ...options }]
    : [...args, options];

/** Values that an option of a name must refuse. */
const badOptions: { readonly [name: string]: readonly unknown[] } = {
  temperature: [-1, Number.NaN, "1", null],
  alpha: [0.5, Number.NaN, "1.5", null],
  eps: [-1, Number.NaN, "0"],
  k: [0, -1, 1.5, Number.NaN, "2"],
  order: [0, 1, 3, 2.5, -2, Number.NaN, "2"],
  labelSmoothing: [-0.1, 1.1, Number.NaN, "0.1"],
  epsilon: [-0.1, 1.1, Number.NaN, "0.1"],
  correction: [-1, Number.NaN, "1"],
  ignoreIndex: [0.5, Number.NaN, "0"],
  reduction: ["avg", 3, null],
  keepDims: ["yes", 1],
  axis: [9, -9, 0.5, Number.NaN, "x", null],
  nonsense: [1],
};

/** Whether a card says that a number is in order: what one op refuses another may take. */
function admits(param: Param | undefined, value: unknown): boolean {
  if (param?.is !== "scalar" || typeof value !== "number") return false;
  const { min = Number.NEGATIVE_INFINITY, above = Number.NEGATIVE_INFINITY, integer } = param;
  return value >= min && value > above && !integer;
}

/** Options that an op takes: those of its kind, of its examples and of its domain. */
function optionsOf(op: AnyOp): string[] {
  const { kind, examples } = op.info;
  const shown = examples.flatMap(({ args }) =>
    endsInOptions(args) && !("f64" in (args.at(-1) as object)) ? Object.keys(args.at(-1) as object) : [],
  );
  const common =
    kind === "rowMap"
      ? ["axis"]
      : kind === "loss"
        ? ["axis", "reduction", ...(op.info.name.startsWith("soft") ? [] : ["ignoreIndex"])]
        : kind === "reduction"
          ? ["axis", "keepDims"]
          : [];
  const takes = common.length > 0 || shown.length > 0;
  return [...new Set([...common, ...shown, ...scalarsOf(op), ...(takes ? ["nonsense"] : [])])].filter(
    (name) => name in badOptions,
  );
}

/** Kinds of bad arguments that an op can be given, by its card. */
function badCalls(op: AnyOp): BadCall[] {
  const { info } = op;
  const rowwise = info.kind === "rowMap" || info.kind === "loss";
  const template = templateOf(op, info.examples[0]!);
  const good = mapSlots(template, (s) => upload(s, wasm));
  const slots = slotsOf(template);
  const calls: BadCall[] = [];
  const add = (what: string, args: () => readonly unknown[], wanted?: Ours): void => {
    calls.push({ what, args, ...(wanted ? { wanted } : {}) });
  };

  slots.forEach((slot, k) => {
    const isLabels = info.kind === "loss" && slot.stored === "i32";
    const isX = k === 0;
    const junk: [string, unknown][] = [
      ["a string", "junk"],
      ["null", null],
      ["a record", { shape: [2] }],
      ["a function", Math.max],
      ["an array of arrays", [[[[1]]]]],
    ];
    if (info.kind !== "map") junk.push(["a number", 3]);
    // What an example does without may be undefined.
    const optional = template[k] === slot && info.examples.some(({ args }) => args.length <= k);
    if (!optional) junk.push(["undefined", undefined]);
    for (const [what, value] of junk)
      add(`${what} as ${slot.name}`, () => withSlot(template, k, () => value));
    if (info.kind === "map" && slot.stored !== "bool")
      add(
        `truth values as ${slot.name}`,
        () => withSlot(template, k, (s) => upload({ ...s, stored: "bool", data: s.data.map(() => 1) }, wasm)),
        DTypeError,
      );
    if (slot.stored === "bool" && rowwise)
      add(
        "floats as truth values",
        () => withSlot(template, k, (s) => upload({ ...s, stored: "float" }, wasm)),
        DTypeError,
      );
    if (rowwise && slot.stored === "float")
      add(
        `integers as ${slot.name}`,
        () =>
          withSlot(template, k, (s) => upload({ ...s, stored: "i32", data: s.data.map(Math.trunc) }, wasm)),
        isX ? DTypeError : undefined,
      );
    if (isLabels) {
      const [n] = slots[0]!.shape.slice(-1);
      for (const bad of [n, -1, 0.5, Number.NaN, "0"])
        add(`the label ${bad}`, () => withSlot(template, k, (s) => [bad, ...s.data.slice(1)]), DomainError);
      add("too many labels", () => withSlot(template, k, (s) => [...s.data, 0]), ShapeError);
      add("labels of floats", () => withSlot(template, k, (s) => upload({ ...s, stored: "float" }, wasm)));
      add(
        "a tensor of labels out of range",
        () => withSlot(template, k, (s) => upload({ ...s, data: s.data.map(() => 99) }, wasm)),
        DomainError,
      );
    }
    if (slots.length > 1) {
      add(`${slot.name} on another device`, () => withSlot(template, k, (s) => upload(s, js)), DeviceError);
      if (slot.stored === "float" && slots.filter((s) => s.stored === "float").length > 1) {
        add(
          `${slot.name} in another element type`,
          () => withSlot(template, k, (s) => upload(s, { ...wasm, dtype: "f32" })),
          DTypeError,
        );
      }
    }
  });

  // More than 64 elements: nothing is copied out.
  const large = drawn(op, template, { rows: 9, n: 9 }, generator(1));
  const freed = (s: Slot): InstanceType<typeof Tensor> => {
    let t: InstanceType<typeof Tensor> | undefined;
    scope(() => {
      t = upload(s, wasm);
    });
    return t!;
  };
  slotsOf(large).forEach((s, k) => {
    if (isSizable(op) && s.data.length > 64)
      add(`${s.name} used after its scope`, () => withSlot(large, k, freed), LifetimeError);
  });

  if (info.kind === "map" && slots.length > 1) {
    const shapes = [[2, 3], [4], [2]];
    add(
      "shapes that do not broadcast",
      () => {
        let next = 0;
        return mapSlots(template, (s) => {
          const shape = shapes[next++]!;
          return upload({ ...s, shape, data: new Array(shape.reduce((a, b) => a * b)).fill(1) }, wasm);
        });
      },
      ShapeError,
    );
  }
  // What `map` declares takes no more than it names; a function around it may not look.
  if (info.kind === "map" && op.length === 0)
    add("too many arguments", () => [...good, {}, {}], ArgumentError);
  if (rowwise) {
    const firstSlot = (shape: readonly number[]) =>
      withSlot(template, 0, (s) =>
        upload({ ...s, shape, data: new Array(shape.reduce((a, b) => a * b, 1)).fill(0.5) }, wasm),
      );
    add("a scalar as scores", () => firstSlot([]), ShapeError);
    add("empty rows", () => firstSlot([2, 0]), ShapeError);
    if (slots.length > 1)
      add("scores of another shape than what goes with them", () => firstSlot([5, 7]), undefined);
  }
  for (const name of optionsOf(op))
    for (const value of badOptions[name]!.filter((value) => !admits(info.params?.[name], value)))
      add(`${name} = ${String(value)}`, () => withOptions(good, { [name]: value }));
  if (info.kind === "reduction")
    add(
      "an axis twice",
      () =>
        withOptions(
          withSlot(template, 0, (s) => upload({ ...s, shape: [1, ...s.shape] }, wasm)),
          { axis: [0, 0] },
        ),
      ShapeError,
    );
  if (rowwise || info.kind === "reduction")
    for (const junk of ["mean", 3, [1]])
      add(`${String(junk)} as options`, () => [...(endsInOptions(good) ? good.slice(0, -1) : good), junk]);
  for (const name of scalarsOf(op)) {
    add(`${name} of a shape that fits no rows`, () =>
      withOptions(good, { [name]: zeros([7, 3], { dtype: "f64" }) }),
    );
    add(`${name} of integers`, () => withOptions(good, { [name]: zeros([1], { dtype: "i32" }) }));
    add(
      `${name} on another device`,
      () =>
        withOptions(good, {
          [name]: core.ones([info.params?.[name]?.is === "classes" ? slots[0]!.shape.at(-1)! : 1], {
            dtype: "f64",
            device: "js",
          }),
        }),
      DeviceError,
    );
  }
  return calls;
}

describe("ops refuse bad arguments", () => {
  test.each(byName)("%s", (name, op) => {
    const calls = scope(() => badCalls(op).map(({ what }) => what));
    expect(calls.length).toBeGreaterThan(5);
    const wrong = calls.flatMap((what, i) => {
      // The arguments are made in a scope of their own: what stays is the op's doing.
      const found = scope(() => {
        const { args, wanted } = badCalls(op)[i]!;
        const given = args();
        return complaint(() => op(...given), wanted);
      });
      return found ? [`${what}: ${found}`] : [];
    });
    expect(wrong, name).toEqual([]);
  });
});

// ---------------------------------------------------------------------------------------------------------------
// Everything else, by hand

type Cases = readonly (readonly [what: string, call: () => unknown, wanted: Ours])[];

/** A call that is meant to be wrong: the compiler would refuse many of them. */
const any = (value: unknown): never => value as never;

const float = (): InstanceType<typeof Tensor> =>
  tensor(
    [
      [1, 2, 3],
      [4, 5, 6],
    ],
    { dtype: "f64" },
  ) as InstanceType<typeof Tensor>;
const index = (data: number[]): InstanceType<typeof Tensor> =>
  tensor(data, { dtype: "i32" }) as InstanceType<typeof Tensor>;

const movement: Cases = [
  ["reshape to another size", () => ops.reshape(float(), [4]), ShapeError],
  ["reshape with two unknowns", () => ops.reshape(float(), [-1, -1]), ShapeError],
  ["reshape to junk", () => ops.reshape(float(), any("6")), ArgumentError],
  ["reshape to a fraction", () => ops.reshape(float(), [1.5, 4]), ShapeError],
  ["transpose with an axis twice", () => ops.transpose(float(), any([0, 0])), ShapeError],
  ["transpose with too few axes", () => ops.transpose(float(), any([0])), ShapeError],
  ["transpose with junk", () => ops.transpose(float(), any("01")), ArgumentError],
  ["slice beyond the end", () => ops.slice(float(), [0, 9]), ShapeError],
  ["slice by a fraction", () => ops.slice(float(), 0.5), ArgumentError],
  ["slice with a negative step", () => ops.slice(float(), [0, 2, -1]), ShapeError],
  ["slice with too many ranges", () => ops.slice(float(), 0, 0, 0), ShapeError],
  ["slice by junk", () => ops.slice(float(), any("1")), ArgumentError],
  ["broadcastTo fewer axes", () => ops.broadcastTo(float(), [3]), ShapeError],
  ["broadcastTo another size", () => ops.broadcastTo(float(), [2, 4]), ShapeError],
  ["flip of an axis that is not there", () => ops.flip(float(), 2), ShapeError],
  ["expandDims too far out", () => ops.expandDims(float(), 4), ShapeError],
  ["squeeze of a wide axis", () => ops.squeeze(float(), 0), ShapeError],
  ["flatten from an axis that is not there", () => ops.flatten(float(), 5), ShapeError],
  ["concat of nothing", () => ops.concat([]), ArgumentError],
  ["concat of junk", () => ops.concat(any(float())), ArgumentError],
  [
    "concat of sizes that differ elsewhere",
    () => ops.concat([float(), zeros([2, 4], { dtype: "f64" })] as never, 0),
    ShapeError,
  ],
  ["concat of element types that differ", () => ops.concat([float(), zeros([2, 3])] as never), DTypeError],
  [
    "stack of shapes that differ",
    () => ops.stack([float(), zeros([2, 4], { dtype: "f64" })] as never),
    ShapeError,
  ],
  ["split in parts that do not fit", () => ops.split(float(), 2, 1), ShapeError],
  ["split in sizes that do not add up", () => ops.split(float(), [1, 1], 1), ShapeError],
  ["split by junk", () => ops.split(float(), any("2")), ArgumentError],
  ["pad without a border for each axis", () => ops.pad(any(float()), [[1, 1]]), ArgumentError],
  [
    "pad by a negative width",
    () =>
      ops.pad(any(float()), [
        [-1, 1],
        [0, 0],
      ]),
    ShapeError,
  ],
  [
    "pad with junk",
    () =>
      ops.pad(
        any(float()),
        [
          [1, 1],
          [0, 0],
        ],
        any("0"),
      ),
    ArgumentError,
  ],
  ["tile by fractions", () => ops.tile(float(), [0.5]), ShapeError],
  ["repeat a negative number of times", () => ops.repeat(float(), -1), ShapeError],
  [
    "matmul of inner sizes that differ",
    () => ops.matmul(any(float()), any(zeros([4, 2], { dtype: "f64" }))),
    ShapeError,
  ],
  ["matmul of scalars", () => ops.matmul(any(tensor(1)), any(tensor(2))), ShapeError],
  [
    "matmul of integers",
    () => ops.matmul(any(zeros([2, 2], { dtype: "i32" })), any(zeros([2, 2], { dtype: "i32" }))),
    DTypeError,
  ],
  [
    "linear of rows that weights do not fit",
    () => ops.linear(any(float()), any(zeros([4, 5], { dtype: "f64" }))),
    ShapeError,
  ],
  [
    "linear with a bias of another size",
    () => ops.linear(any(float()), any(zeros([4, 3], { dtype: "f64" })), any(zeros([3], { dtype: "f64" }))),
    ShapeError,
  ],
  [
    "gather at a place that is not there",
    () => ops.gather(float(), any(tensor([[3], [0]], { dtype: "i32" }))),
    DomainError,
  ],
  ["gather by floats", () => ops.gather(float(), any(float())), DTypeError],
  [
    "gather of shapes that do not fit",
    () => ops.gather(float(), any(tensor([[0]], { dtype: "i32" }))),
    ShapeError,
  ],
  ["take at a negative place", () => ops.take(float(), any(index([-1]))), DomainError],
  ["take along an axis that is not there", () => ops.take(float(), any(index([0])), 2), ShapeError],
  [
    "scatterAdd of values that do not fit",
    () => ops.scatterAdd(any(float()), any(index([0])), any(zeros([2, 2], { dtype: "f64" }))),
    ShapeError,
  ],
  [
    "scatterAdd of integers",
    () => ops.scatterAdd(any(index([1])), any(index([0])), any(index([0]))),
    DTypeError,
  ],
  ["oneHot of a label out of range", () => ops.oneHot(any(index([3])), 3), DomainError],
  ["oneHot of no classes", () => ops.oneHot(any(index([0])), 0), DomainError],
  ["oneHot in integers", () => ops.oneHot(any(index([0])), 3, { dtype: any("i32") }), DTypeError],
  [
    "sort in a direction that is none",
    () => ops.sort(any(float()), { descending: any("down") }),
    ArgumentError,
  ],
  ["topK of more than there are", () => ops.topK(any(float()), 4), DomainError],
  ["topK of none", () => ops.topK(any(float()), 0), DomainError],
  ["cumsum of truth values", () => ops.cumsum(any(tensor([true]))), DTypeError],
  ["cast to what is no type", () => ops.cast(float(), any("f16")), DTypeError],
  [
    "gelu by an approximation that there is not",
    () => ops.gelu(any(float()), { approximate: any("cubic") }),
    ArgumentError,
  ],
  ["max of nothing", () => ops.max(any(zeros([0]))), ShapeError],
  ["a truth value of floats", () => ops.any(any(float())), DTypeError],
];

const making: Cases = [
  ["tensor of ragged arrays", () => tensor([[1, 2], [3]] as never), ShapeError],
  ["tensor of junk", () => tensor(any("1")), ArgumentError],
  ["tensor of a tensor", () => tensor(any(float())), ArgumentError],
  ["tensor of numbers among booleans", () => tensor(any([1, true])), DTypeError],
  ["tensor that does not fill its shape", () => tensor([1, 2, 3], { shape: [2, 2] }), ShapeError],
  ["tensor of an unknown type", () => tensor([1], { dtype: any("f16") }), DTypeError],
  ["tensor of a fraction as integer", () => tensor([0.5], { dtype: "i32" }), DomainError],
  ["tensor of 2 as a truth value", () => tensor([2], { dtype: "bool" }), DomainError],
  ["tensor with an unknown option", () => tensor([1], any({ dtyp: "f32" })), ArgumentError],
  ["tensor on a device that is none", () => tensor([1], { device: any("gpu") }), DeviceError],
  ["tensor of a typed array of no type of ours", () => tensor(any(new Int8Array(2))), DTypeError],
  ["zeros of a negative size", () => zeros([-1]), ShapeError],
  ["zeros of junk", () => zeros(any(3)), ArgumentError],
  ["full of junk", () => core.full([2], any("1")), ArgumentError],
  ["full of a fraction as integer", () => core.full([2], 0.5, { dtype: "i32" }), DomainError],
  ["onesLike of junk", () => core.onesLike(any([1])), ArgumentError],
  ["eye of a fraction", () => core.eye(1.5), ShapeError],
  ["range in steps of 0", () => core.range(0, 1, { step: 0 }), DomainError],
  ["range to infinity", () => core.range(Number.POSITIVE_INFINITY), ArgumentError],
  ["linspace of a fraction of points", () => core.linspace(0, 1, 1.5), ShapeError],
  ["uniform without a seed", () => core.uniform([2], any({})), ArgumentError],
  ["uniform with seed and key", () => core.uniform([2], { seed: 1, key: core.randomKey(1) }), ArgumentError],
  ["uniform in an empty interval", () => core.uniform([2], { seed: 1, low: 1, high: 1 }), DomainError],
  ["uniform of integers", () => core.uniform([2], { seed: 1, dtype: any("i32") }), DTypeError],
  ["normal with a negative deviation", () => core.normal([2], { seed: 1, std: -1 }), DomainError],
  ["bernoulli of more than 1", () => core.bernoulli([2], { seed: 1, p: 1.5 }), DomainError],
  ["randomInt between fractions", () => core.randomInt([2], { seed: 1, high: 1.5 }), DomainError],
  ["permutation of a negative number", () => core.permutation(-1, { seed: 1 }), ShapeError],
  ["a seed that is a fraction", () => core.randomKey(0.5), DomainError],
  ["a key that is none", () => core.splitKey(any([1])), ArgumentError],
];

const reading: Cases = [
  ["item of many", () => float().item(), ShapeError],
  ["expect of another shape", () => float().expect([2, 4]), ShapeError],
  ["expect of junk", () => float().expect(any("2, 3")), ArgumentError],
  ["data of what its scope has freed", () => afterScope().dataSync(), LifetimeError],
  ["toArray of what its scope has freed", () => afterScope().toArray(), LifetimeError],
  ["a view of what its scope has freed", () => afterScope().transpose(), LifetimeError],
  ["a scope around a promise", () => scope(async () => 1), ArgumentError],
  ["keep of what its scope has freed", () => core.keep(afterScope()), LifetimeError],
];

/** A tensor that is too large to be copied out. */
function afterScope(): InstanceType<typeof Tensor> {
  let t: InstanceType<typeof Tensor> | undefined;
  scope(() => {
    t = zeros([9, 9]) as InstanceType<typeof Tensor>;
  });
  return t!;
}

const x = (): never => any(tensor([1, 2], { dtype: "f64" }));
const cell = once(() => new Parameter(tensor([1, 2], { dtype: "f64" })));
const differentiating: Cases = [
  ["grad of junk", () => core.grad(any("softmax")), ArgumentError],
  ["grad of a vector", () => core.grad(any(ops.exp))(x()), GradientError],
  ["grad of a function of nothing", () => core.grad(any(ops.sum))(any(3)), ArgumentError],
  ["grad with respect to integers", () => core.grad(any(ops.sum))(any(index([1]))), GradientError],
  ["grad of a constant", () => core.grad(any(() => tensor(1)))(x()), GradientError],
  [
    "grad of a path that ends in integers",
    () => core.grad(any((t: never) => ops.sum(ops.cast(ops.argmax(t), "f64"))))(x()),
    GradientError,
  ],
  ["grad of a number", () => core.grad(any(() => 3))(x()), GradientError],
  ["grad of a promise", () => core.grad(any(async () => 3))(x()), GradientError],
  [
    "grad of a truth value",
    () => core.grad(any((t: never) => ops.any(ops.greater(t, 0))))(x()),
    GradientError,
  ],
  [
    "grad with an argument that is not there",
    () => core.grad(any(ops.sum), { argnums: 3 as never })(x()),
    ArgumentError,
  ],
  [
    "grad with an argument twice",
    () => core.grad(any(ops.sum), { argnums: [0, 0] as never })(x()),
    ArgumentError,
  ],
  [
    "valueAndGrad of what is no parameter",
    () =>
      core.valueAndGrad(
        any(() => ops.sum(x())),
        any([x()]),
      ),
    ArgumentError,
  ],
  [
    "valueAndGrad that reaches no parameter",
    () =>
      core.valueAndGrad(
        any(() => ops.sum(x())),
        any([cell()]),
      ),
    GradientError,
  ],
  [
    "vjp of a number",
    () =>
      core.vjp(
        any(() => 3),
        x(),
      ),
    GradientError,
  ],
  [
    "vjp without a tensor",
    () =>
      core.vjp(
        any(() => x()),
        3,
      ),
    ArgumentError,
  ],
  [
    "a cotangent of another shape",
    () => core.vjp(any(ops.exp), x()).pullback(any(tensor([1], { dtype: "f64" }))),
    ShapeError,
  ],
  [
    "a cotangent of another type",
    () => core.vjp(any(ops.exp), x()).pullback(any(tensor([1, 2]))),
    DTypeError,
  ],
  ["no cotangent", () => core.vjp(any(ops.exp), x()).pullback(any(undefined)), ArgumentError],
  ["stopGradient of junk", () => core.stopGradient(any([1])), ArgumentError],
  ["a tape of junk", () => core.tape(any(3)), ArgumentError],
];

const cells: Cases = [
  ["a parameter of junk", () => new Parameter(any([1])), ArgumentError],
  ["a parameter with a name that is none", () => new Parameter(x(), { name: any(3) }), ArgumentError],
  ["a value of another shape", () => (cell().value = any(tensor([1], { dtype: "f64" }))), ShapeError],
  ["a value of another type", () => (cell().value = any(tensor([1, 2]))), DTypeError],
  ["a parameter where a tensor is wanted", () => ops.exp(any(cell())), ArgumentError],
];

const declaring: Cases = [
  [
    "a formula of something that is no expression",
    () => core.map("odd", { doc: "", program: any(() => "x"), examples: [] })(x()),
    ArgumentError,
  ],
  [
    "a reduction whose formula gives a row",
    () =>
      core.rowReduction("odd", {
        doc: "",
        over: "last",
        program: any(({ x }: { x: never }) => x),
        examples: [],
      })(x()),
    ArgumentError,
  ],
  ["a word of junk", () => core.words.add(any("x"), 1), ArgumentError],
  ["a root without its unknown", () => core.root(() => core.words.n, 0, 1), ArgumentError],
];

const linear = once(() => new nn.Linear(2, 3));
const layers: Cases = [
  ["Linear of no features", () => new nn.Linear(0, 3), ShapeError],
  ["Linear with an unknown option", () => new nn.Linear(2, 3, any({ biass: false })), ArgumentError],
  ["Linear with a bias that is none", () => new nn.Linear(2, 3, { bias: any("no") }), ArgumentError],
  ["Linear on rows of another size", () => linear().forward(any(zeros([4, 3]))), ShapeError],
  ["Linear on junk", () => linear().forward(any([[1, 2]])), ArgumentError],
  [
    "Linear on another element type",
    () => linear().forward(any(zeros([4, 2], { dtype: "f64" }))),
    DTypeError,
  ],
  ["Dropout of more than 1", () => new nn.Dropout(1.5), DomainError],
  ["Dropout of junk", () => new nn.Dropout(any("0.5")), DomainError],
  ["Dropout on integers", () => new nn.Dropout(0.5).forward(any(index([1]))), DTypeError],
  ["Sequential of junk", () => new nn.Sequential(any("relu")), ArgumentError],
  ["an initialiser of a vector", () => nn.init.xavierUniform([3], { seed: 1 }), ShapeError],
  ["an initialiser without a seed", () => nn.init.kaimingNormal([3, 3], any({})), ArgumentError],
];

const gru = once(() => new nn.GRU(2, 3));
const heads = once(() => new nn.MultiheadAttention(4, 2));
const fastHeads = once(() => new nn.MultiheadAttention(4, 2, { taylor: true }));
const [lstm, lstmCell] = [once(() => new nn.LSTM(2, 3)), once(() => new nn.LSTMCell(2, 3))];
const block = once(() => new nn.TransformerBlock(4, 2));
const steps = (...shape: number[]): never => any(zeros(shape));
const sequences: Cases = [
  ["GRU of no features", () => new nn.GRU(2, 0), ShapeError],
  ["GRU of half a layer", () => new nn.GRU(2, 3, { numLayers: 0.5 }), ShapeError],
  ["GRU with an unknown option", () => new nn.GRU(2, 3, any({ layers: 2 })), ArgumentError],
  ["GRU with a direction that is none", () => new nn.GRU(2, 3, { bidirectional: any(2) }), ArgumentError],
  ["GRU that drops more than all", () => new nn.GRU(2, 3, { dropout: 1.5 }), DomainError],
  ["RNN with a nonlinearity of its own", () => new nn.RNN(2, 3, { nonlinearity: any("sin") }), ArgumentError],
  ["RNN with options that are none", () => new nn.RNN(2, 3, any(null)), ArgumentError],
  ["GRU on rows of another size", () => gru().forward(steps(5, 1, 4)), ShapeError],
  ["GRU on a vector", () => gru().forward(steps(2)), ShapeError],
  ["GRU on four axes", () => gru().forward(steps(5, 1, 1, 2)), ShapeError],
  ["GRU on no steps", () => gru().forward(steps(0, 1, 2)), ShapeError],
  ["GRU with a state of another shape", () => gru().forward(steps(5, 1, 2), steps(1, 2, 3)), ShapeError],
  [
    "GRU with a state of another type",
    () => gru().forward(steps(5, 1, 2), any(zeros([1, 1, 3], { dtype: "f64" }))),
    DTypeError,
  ],
  ["GRU on another element type", () => gru().forward(any(zeros([5, 1, 2], { dtype: "f64" }))), DTypeError],
  ["GRU on junk", () => gru().forward(any([[1, 2]])), ArgumentError],
  ["LSTM with half a state", () => lstm().forward(steps(5, 1, 2), any({ h: 3 })), ArgumentError],
  ["LSTMCell with a state of one part", () => lstmCell().forward(steps(1, 2), steps(1, 3)), ArgumentError],
  ["heads that do not divide features", () => new nn.MultiheadAttention(6, 4), ShapeError],
  ["no heads", () => new nn.MultiheadAttention(6, 0), ShapeError],
  [
    "heads with a map that is none",
    () => new nn.MultiheadAttention(4, 2, { map: any("softmax") }),
    ArgumentError,
  ],
  [
    "heads with a temperature too few",
    () => new nn.MultiheadAttention(4, 2, { temperature: [1] }),
    ArgumentError,
  ],
  ["heads with a temperature of 0", () => new nn.MultiheadAttention(4, 2, { temperature: 0 }), DomainError],
  [
    "heads in linear time with a map",
    () => new nn.MultiheadAttention(4, 2, { taylor: true, map: any(ops.sparsemax) }),
    ArgumentError,
  ],
  [
    "weights of what has none",
    () =>
      fastHeads().forward(steps(3, 4), steps(3, 4), steps(3, 4), {
        needWeights: true,
      }),
    ArgumentError,
  ],
  ["heads on rows of another size", () => heads().forward(steps(1, 3, 5)), ShapeError],
  ["heads on other batches", () => heads().forward(steps(2, 3, 4), steps(1, 3, 4)), ShapeError],
  [
    "heads on fewer values than keys",
    () => heads().forward(steps(3, 4), steps(3, 4), steps(2, 4)),
    ShapeError,
  ],
  [
    "heads with a mask of another shape",
    () => heads().forward(steps(3, 4), steps(3, 4), steps(3, 4), { mask: any(ops.greater(steps(2, 3), 0)) }),
    ShapeError,
  ],
  [
    "heads with a mask of numbers",
    () => heads().forward(steps(3, 4), steps(3, 4), steps(3, 4), { mask: steps(3, 3) }),
    DTypeError,
  ],
  ["a block of junk", () => new nn.TransformerBlock(4, 2, { activation: any("relu") }), ArgumentError],
  ["a block on junk", () => block().forward(any(3)), ArgumentError],
  [
    "attention on one tile of half a query",
    () => ops.attention(steps(2, 3), steps(2, 3), steps(2, 3), { tile: 0.5 }),
    ArgumentError,
  ],
  ["attention to no keys", () => ops.attention(steps(2, 3), steps(0, 3), steps(0, 3)), ShapeError],
  [
    "attention of other batches",
    () => ops.attention(steps(2, 2, 3), steps(1, 2, 3), steps(2, 2, 3)),
    ShapeError,
  ],
  [
    "a temperature of another number of heads",
    () => ops.attention(steps(2, 2, 3), steps(2, 2, 3), steps(2, 2, 3), { temperature: steps(3) }),
    ShapeError,
  ],
  [
    "a temperature of 0",
    () => ops.attention(steps(2, 3), steps(2, 3), steps(2, 3), { temperature: 0 }),
    ArgumentError,
  ],
  [
    "attention in linear time with a mask of its own for each query",
    () =>
      ops.taylorAttention(steps(2, 3), steps(2, 3), steps(2, 3), { mask: any(ops.greater(steps(2, 2), 0)) }),
    ShapeError,
  ],
];

const state = (): { [name: string]: never } => any(linear().stateDict());
const column = (): never => any({ x: zeros([4, 2]) });
const states: Cases = [
  ["a state of junk", () => linear().loadStateDict(any(3)), ArgumentError],
  ["a state without a name", () => linear().loadStateDict({ weight: state().weight! }), ArgumentError],
  ["a state of other sizes", () => linear().loadStateDict({ ...state(), bias: zeros([2]) }), ShapeError],
  ["a state of integers", () => linear().loadStateDict({ ...state(), bias: index([1, 2, 3]) }), DTypeError],
  ["a random state of nothing", () => new nn.Dropout().loadRandomState({}), ArgumentError],
  ["a file of junk", () => nn.fromSafetensors(any("file")), ArgumentError],
  ["a file of noise", () => nn.fromSafetensors(new Uint8Array(20).fill(7)), FormatError],
  ["a checkpoint of noise", () => nn.fromCheckpoint(new Uint8Array(20), { linear: linear() }), FormatError],
  [
    "a checkpoint of what has no state",
    () => nn.fromCheckpoint(new Uint8Array(20), any({ x: 3 })),
    ArgumentError,
  ],
  ["batches of junk", () => nn.batches(any([1]), { size: 1 }), ArgumentError],
  ["batches without a size", () => nn.batches(column(), any({})), DomainError],
  ["a split that leaves nothing", () => nn.trainTestSplit(column(), { test: 4 }), DomainError],
  [
    "a split by what is no column",
    () => nn.trainTestSplit(column(), { test: 1, stratify: "y" }),
    ArgumentError,
  ],
];

const p = (): never => any([cell()]);
const descent = once(() => new optim.SGD(p(), { lr: 1 }));
const optimizers: Cases = [
  ["SGD without a rate", () => new optim.SGD(p(), any({})), ArgumentError],
  ["SGD with a negative rate", () => new optim.SGD(p(), { lr: -1 }), DomainError],
  ["SGD with nesterov but no momentum", () => new optim.SGD(p(), { lr: 1, nesterov: true }), ArgumentError],
  ["SGD with an unknown option", () => new optim.SGD(p(), any({ lr: 1, rate: 2 })), ArgumentError],
  ["SGD of junk", () => new optim.SGD(any("model"), { lr: 1 }), ArgumentError],
  ["SGD of nothing", () => new optim.SGD([], { lr: 1 }), ArgumentError],
  ["Adam with a rate that is no number", () => new optim.Adam(p(), { lr: any("1e-3") }), ArgumentError],
  ["Adam with β₁ = 1", () => new optim.Adam(p(), { betas: [1, 0.999] }), DomainError],
  ["Adam with one β", () => new optim.Adam(p(), { betas: any([0.9]) }), ArgumentError],
  ["AdamW with a negative ε", () => new optim.AdamW(p(), { eps: -1 }), DomainError],
  ["a parameter in two groups", () => new optim.Adam([{ params: p() }, { params: p() }]), ArgumentError],
  ["minimize without a parameter", () => descent().minimize(any(() => tensor(1))), GradientError],
  ["minimize of a vector", () => descent().minimize(() => cell().value), GradientError],
  ["minimize of junk", () => descent().minimize(any(3)), ArgumentError],
  ["a step with too few gradients", () => descent().step([]), ArgumentError],
  [
    "a step with a gradient of another shape",
    () => descent().step([any(tensor([1], { dtype: "f64" }))]),
    ShapeError,
  ],
  ["a step with a gradient of another type", () => descent().step([any(tensor([1, 2]))]), DTypeError],
];

const targets: Cases = [
  [
    "a distribution with ignored labels",
    () => crossEntropy(any(float()), any(float()), { ignoreIndex: 1 }),
    ArgumentError,
  ],
  [
    "class weights of another size",
    () => crossEntropy(any(float()), [0, 1], { weight: any(x()) }),
    ShapeError,
  ],
  [
    "a distribution of another shape",
    () =>
      crossEntropy(
        any(float()),
        any(
          tensor([[1, 2]], { dtype: "f64" })
            .reshape([2, 1])
            .slice([0, 2], [0, 1])
            .reshape([1, 2]),
        ),
      ),
    ShapeError,
  ],
];

describe.each([
  ["making tensors", making],
  ["reading and lifetimes", reading],
  ["moving and indexing", movement],
  ["differentiating", differentiating],
  ["parameters", cells],
  ["declaring ops", declaring],
  ["layers", layers],
  ["sequences", sequences],
  ["states and data", states],
  ["optimizers", optimizers],
  ["targets of losses", targets],
])("%s", (_, cases) => {
  test.each(cases)("%s is refused", (_, call, wanted) => {
    expect(complaint(call, wanted)).toBeUndefined();
  });
});

test("the ops that are tested are all that the entries export", () => {
  const exported = [...Object.values(ops), ...allLosses, ...allFeatureLosses].filter(
    (value): value is AnyOp => typeof value === "function" && "info" in value,
  );
  expect(exported.filter((op) => !everyOp.includes(op)).map(({ info }) => info.name)).toEqual([]);
});
