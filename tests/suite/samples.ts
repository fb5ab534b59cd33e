// Arguments for ops, made from their cards: those of the examples as they stand, and random ones of other sizes like them.
// Knows no op, but for the sizes of a few whose arguments must fit one another.

import type { DeviceName } from "../../core/backends/backend.ts";
import { tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import type { Example, Op, OpInfo } from "../../core/op.ts";
import { isRecord } from "../../core/scope.ts";
import { sizeOf } from "../../core/shape.ts";
import { Tensor } from "../../core/tensor.ts";
import { allFeatureLosses, allLosses } from "../../losses/index.ts";
import { allOps } from "../../ops/index.ts";
import { withoutGpu } from "../place.ts";

/** An op as a function of whatever its arguments are. */
export type AnyOp = Op & ((...args: readonly unknown[]) => unknown);

/** Every op and every loss. */
export const everyOp: readonly AnyOp[] = [
  ...allOps,
  ...allLosses,
  ...allFeatureLosses,
] as unknown as readonly AnyOp[];

/** For `describe.each` and `test.each`: the name, then the op. */
export const byName: readonly (readonly [string, AnyOp])[] = everyOp.map((op) => [op.info.name, op]);

/** Where and in which element type arguments are made. */
export interface Setting {
  readonly device: DeviceName;
  readonly dtype: FloatDType;
}

export const settings: readonly Setting[] = [
  { device: "js", dtype: "f64" },
  { device: "wasm", dtype: "f64" },
  { device: "wasm", dtype: "f32" },
  ...(withoutGpu === undefined ? [{ device: "webgpu", dtype: "f32" } as const] : []),
];

/** A tensor that an op is to be called with. */
export interface Slot {
  readonly stored: "float" | "i32" | "bool";
  /** The name of the argument, as in the card's domain. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** An argument list in which tensors are slots: to be uploaded, or to be drawn anew. */
export type Template = readonly unknown[];

// ---------------------------------------------------------------------------------------------------------------
// From examples

const markers: { readonly [key: string]: Slot["stored"] } = {
  f64: "float",
  f32: "float",
  i32: "i32",
  bool: "bool",
};

/** What `{ i32: … }` and its like mark, or undefined. */
function marked(value: unknown): [stored: Slot["stored"], data: unknown] | undefined {
  if (!isRecord(value)) return undefined;
  const [key, ...others] = Object.keys(value);
  return key !== undefined && others.length === 0 && key in markers ? [markers[key]!, value[key]] : undefined;
}

/** Whether a mark of floats occurs: then arrays without a mark are plain (shapes, ranges). */
function marksFloats(value: unknown): boolean {
  if (marked(value)) return marked(value)![0] === "float";
  return Array.isArray(value)
    ? value.some(marksFloats)
    : isRecord(value) && Object.values(value).some(marksFloats);
}

const holdsMarks = (value: unknown): boolean =>
  Array.isArray(value) && value.some((item) => marked(item) !== undefined || holdsMarks(item));

function sizesOf(data: unknown): number[] {
  return Array.isArray(data) ? [data.length, ...(data.length > 0 ? sizesOf(data[0]) : [])] : [];
}

const slot = (stored: Slot["stored"], name: string, data: unknown): Slot => ({
  stored,
  name,
  shape: sizesOf(data),
  data: ([data].flat(9) as (number | boolean)[]).map(Number),
});

const isSlot = (value: unknown): value is Slot => isRecord(value) && "stored" in value && "data" in value;

/** The arguments of an example: arrays and marked arrays are slots, all else stays. */
export function templateOf({ info }: Op, example: Example): Template {
  const explicit = example.args.some(marksFloats);
  const inputs =
    info.kind === "structure"
      ? []
      : (info.formula?.().inputs ?? []).map((e) => (e.detail as { name: string }).name);
  const nameAt = (i: number): string =>
    (info.kind === "map"
      ? inputs[i]
      : i === 0
        ? "x"
        : i === 1 && "target" in (info.params ?? {})
          ? "target"
          : undefined) ?? `argument ${i}`;
  const read = (value: unknown, name: string): unknown => {
    const mark = marked(value);
    if (mark) return slot(mark[0], name, mark[1]);
    if (Array.isArray(value)) {
      if (holdsMarks(value)) return value.map((item) => read(item, name));
      if (explicit) return value;
      const labels = name === "target" && typeof value[0] === "number";
      return slot(labels ? "i32" : "float", name, value);
    }
    return isRecord(value)
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, read(item, key)]))
      : value;
  };
  return example.args.map((value, i) => read(value, nameAt(i)));
}

/** Replaces the slots of a template. */
export function mapSlots(template: Template, change: (slot: Slot) => unknown): unknown[] {
  const visit = (value: unknown): unknown => {
    if (isSlot(value)) return change(value);
    if (Array.isArray(value)) return value.map(visit);
    return isRecord(value)
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item)]))
      : value;
  };
  return template.map(visit);
}

export function slotsOf(template: Template): Slot[] {
  const found: Slot[] = [];
  mapSlots(template, (s) => found.push(s));
  return found;
}

export const upload = ({ stored, shape, data }: Slot, { device, dtype }: Setting): Tensor =>
  tensor(Float64Array.from(data), { shape, device, dtype: stored === "float" ? dtype : stored });

/** A template with its slots as tensors. */
export const uploaded = (template: Template, setting: Setting): unknown[] =>
  mapSlots(template, (s) => upload(s, setting));

// ---------------------------------------------------------------------------------------------------------------
// Random ones

/** Numbers in [0, 1), always the same ones for a seed. */
export function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    // mulberry32: enough to scatter inputs.
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A slot of random entries within the domain of the argument. Floats are exact in f32, so that every device gets the same ones. */
export function draw(
  info: OpInfo,
  stored: Slot["stored"],
  name: string,
  shape: readonly number[],
  random: () => number,
): Slot {
  const { min = -3, max = 3, avoid = [] } = info.domain?.[name] ?? {};
  const float = (): number => {
    const v = Math.fround(min + (max - min) * random());
    return avoid.some((kink) => Math.abs(v - kink) < 0.02) ? float() : v;
  };
  const entry = stored === "float" ? float : () => Number(random() < 0.7);
  return { stored, name, shape, data: Array.from({ length: sizeOf(shape) }, entry) };
}

/** Sizes of random arguments: so many rows of so many entries. */
export interface Sizes {
  readonly rows: number;
  readonly n: number;
}

/** Rows of a product, whose result has as many columns, and of a square. */
const few = (rows: number): number => Math.min(rows, 300);

type Floats = (shape: readonly number[], name?: string) => Slot;
type Fitted = (sizes: Sizes, x: Floats, index: (shape: readonly number[], below: number) => Slot) => Template;

/** Rows of a batch of which all pairs are looked at. */
const pairs = (rows: number): number => Math.min(rows, 40);

/** Features beside a few class rows, labels, and options. */
const beside =
  (options: (x: Floats, rows: number) => object, classes: readonly number[] = [5]): Fitted =>
  ({ rows, n }, x, index) => [
    x([rows, n]),
    x([...classes, n]),
    index([rows], classes[0]!),
    { ...options(x, rows), reduction: "none" },
  ];

/** A batch with labels, and options. */
const labelled = ({ rows, n }: Sizes, x: Floats, index: Parameters<Fitted>[2], options: object): Template => [
  x([pairs(rows) + 2, n]),
  index([pairs(rows) + 2], 3),
  { ...options, reduction: "none" },
];

/** Features of seven or so classes, and candidates for all rows. */
const ofCandidates =
  (counts: boolean): (typeof fitted)[string] =>
  ({ rows, n }, x, index) => [
    x([rows, n]),
    x([7, n]),
    x([7]),
    index([rows], 7),
    {
      sampled: index([5], 7),
      ...(counts
        ? { expectedTrue: x([rows], "expectedTrue"), expectedSampled: x([5], "expectedSampled") }
        : {}),
      reduction: "none",
    },
  ];

/** A loss of a whole layer of 4 features, one number a row. */
const ofLayer =
  (options: object): (typeof fitted)[string] =>
  ({ rows, n }, x, index) => [
    x([rows, 4]),
    x([n, 4]),
    x([n]),
    index([rows], n),
    { ...options, reduction: "none" },
  ];

/** Ops whose arguments must fit one another: x, and what is made beside it. */
const fitted: { readonly [name: string]: Fitted } = {
  matmul: ({ rows, n }, x) => [x([few(rows), n]), x([n, few(rows) + 1])],
  linear: ({ rows, n }, x) => [x([few(rows), n]), x([few(rows) + 1, n]), x([few(rows) + 1])],
  patches: ({ rows, n }, x) => [x([1, Math.min(rows, 5), 2, n]), [1, 2], { padding: [1, 1], stride: [1, 2] }],
  conv1d: ({ rows, n }, x) => [
    x([2, 2, n]),
    x([Math.min(rows, 5), 2, Math.min(n, 3)]),
    { bias: x([Math.min(rows, 5)]), padding: 2, stride: 2, dilation: 2 },
  ],
  conv2d: ({ rows, n }, x) => [
    x([2, 4, 3, n]),
    x([2, 2, 2, 2]),
    { groups: 2, padding: 1, bias: x([2]), stride: [1, 1 + (rows % 2)] },
  ],
  maxPool1d: ({ rows, n }, x) => [x([Math.min(rows, 5), n]), 2, { padding: 1, stride: 1 }],
  maxPool2d: ({ rows, n }, x) => [x([Math.min(rows, 5), 3, n]), [2, 3], { padding: 1, stride: [2, 1] }],
  avgPool1d: ({ rows, n }, x) => [
    x([Math.min(rows, 5), n]),
    2,
    { padding: 1, stride: 1, countIncludePad: false },
  ],
  avgPool2d: ({ rows, n }, x) => [x([Math.min(rows, 5), 3, n]), [2, 3], { padding: 1, ceilMode: true }],
  attention: ({ rows, n }, x) => [
    x([2, few(rows), n]),
    x([2, few(rows) + 1, n]),
    x([2, few(rows) + 1, 3]),
    { causal: true, temperature: x([2], "temperature"), tile: Math.ceil(few(rows) / 2) },
  ],
  taylorAttention: ({ rows, n }, x) => [
    x([2, few(rows), Math.min(n, 8)]),
    x([2, few(rows) + 1, Math.min(n, 8)]),
    x([2, few(rows) + 1, 3]),
    { causal: true, temperature: x([2], "temperature") },
  ],
  onlineSoftmaxStats: ({ rows, n }, x) => [x([rows, n])],
  onlineSoftmax: ({ rows, n }, x) => [x([rows, n]), { max: x([rows], "max"), sum: x([rows], "sum") }],
  transpose: ({ rows, n }, x) => [x([rows, n])],
  concat: ({ rows, n }, x) => [[x([rows, n]), x([rows, 3])], -1],
  pad: ({ rows, n }, x) => [
    x([rows, n]),
    [
      [1, 0],
      [2, 3],
    ],
  ],
  flip: ({ rows, n }, x) => [x([rows, n])],
  gather: ({ rows, n }, x, index) => [x([rows, n]), index([rows, 5], n)],
  take: ({ rows, n }, x, index) => [x([n, rows]), index([7], n)],
  scatterAdd: ({ rows, n }, x, index) => [x([n, rows]), index([9], n), x([9, rows])],
  sort: ({ rows, n }, x) => [x([rows, n])],
  argsort: ({ rows, n }, x) => [x([rows, n]), { descending: true }],
  topK: ({ rows, n }, x) => [x([rows, n]), Math.min(n, 3)],
  cumsum: ({ rows, n }, x) => [x([rows, n])],
  multimax: ({ rows, n }, x) => [x([rows, n]), { ranges: x([4]), ts: x([4]) }],
  stickBreaking: ({ rows, n }, x) => [x([rows, n])],
  mixtureOfSoftmaxes: ({ rows, n }, x) => [x([rows, 3, n]), x([rows, 3])],
  logMixtureOfSoftmaxes: ({ rows, n }, x) => [x([rows, 3, n]), x([rows, 3])],
  jsDivergence: ({ rows, n }, x) => [x([rows, 3, n]), { weights: x([3], "weights"), reduction: "none" }],
  learnableLabelSmoothing: ({ rows, n }, x, index) => [
    x([rows, few(n)]),
    index([rows], few(n)),
    { confusion: x([few(n), few(n)]), reduction: "none" },
  ],
  polyLoss: ({ rows, n }, x, index) => [
    x([rows, n]),
    index([rows], n),
    { epsilons: x([2]), reduction: "none" },
  ],
  normalize: ({ rows, n }, x) => [x([rows, n])],
  cosineSoftmax: beside((x) => ({ scale: x([1], "scale") })),
  cosface: beside((x, rows) => ({ scale: x([1], "scale"), margin: x([rows], "margin") })),
  arcface: beside((x, rows) => ({ scale: x([1], "scale"), margin: x([rows], "margin") })),
  combinedMargin: beside((x) => ({
    scale: 2,
    m1: x([1], "m1"),
    m2: x([1], "m2"),
    m3: x([1], "m3"),
  })),
  sphereface: beside((x) => ({ m: 3, lambda: x([1], "lambda") })),
  lSoftmax: beside((x) => ({ m: 2, lambda: x([1], "lambda") })),
  subcenterArcface: beside((x) => ({ scale: x([1], "scale") }), [5, 3]),
  adacos: beside((x) => ({ scale: x([1], "scale") })),
  curricularface: beside((x) => ({ scale: x([1], "scale"), t: x([1], "t") })),
  magface: beside((x) => ({ scale: 2, lA: 1, uA: 7, lambdaG: x([1], "lambdaG") })),
  circleLoss: (sizes, x, index) => labelled(sizes, x, index, { gamma: 2 }),
  circleLossClasses: beside((x) => ({ m: x([1], "m"), gamma: x([1], "gamma") })),
  infoNce: beside((x) => ({ temperature: x([1], "temperature") })),
  ntXent: ({ rows, n }, x) => [
    x([2 * pairs(rows), n]),
    { temperature: x([1], "temperature"), reduction: "none" },
  ],
  clipLoss: ({ rows, n }, x) => [
    x([pairs(rows), n]),
    x([pairs(rows), n]),
    { logScale: x([1], "logScale"), reduction: "none" },
  ],
  supConLoss: (sizes, x, index) => labelled(sizes, x, index, { temperature: x([1], "temperature") }),
  centerLoss: ({ rows, n }, x, index) => [
    x([rows, n]),
    x([4, n], "centers"),
    index([rows], 4),
    { reduction: "none" },
  ],
  prototypicalLoss: beside((x) => ({ scale: x([1], "scale") })),
  hypersphericalPrototypeLoss: ({ rows, n }, x, index) => [
    x([rows, n]),
    x([4, n], "prototypes"),
    index([rows], 4),
    { reduction: "none" },
  ],
  prototypeSeparationLoss: ({ rows, n }, x) => [x([1 + pairs(rows), n]), { reduction: "none" }],
  nceLoss: ofCandidates(true),
  negativeSamplingLoss: ofCandidates(false),
  rankingNceLoss: ofCandidates(true),
  sampledSoftmaxLoss: ofCandidates(true),
  fusedLinearCrossEntropy: ofLayer({ labelSmoothing: 0.1, zLoss: 0.01, chunkRows: 16, chunkClasses: 100 }),
  fusedLinearSparsemaxLoss: ofLayer({ chunkRows: 16, chunkClasses: 100 }),
  fusedLinearEntmax15Loss: ofLayer({ chunkRows: 16, chunkClasses: 100 }),
};

/** Whether an op has arguments of any size; the others are called with the sizes of their examples. */
export const isSizable = ({ info }: Op): boolean => info.kind !== "structure" || info.name in fitted;

/** Random arguments like those of an example, of the given sizes where the op can have any. */
export function drawn(op: Op, example: Template, sizes: Sizes, random: () => number): Template {
  const { info } = op;
  const { rows, n } = sizes;
  if (info.name in fitted) {
    const index = (shape: readonly number[], below: number): Slot => ({
      stored: "i32",
      name: "index",
      shape,
      data: Array.from({ length: sizeOf(shape) }, () => Math.floor(random() * below)),
    });
    return fitted[info.name]!(sizes, (shape, name = "x") => draw(info, "float", name, shape, random), index);
  }
  const shapeOf = ({ name, shape }: Slot): readonly number[] => {
    switch (info.kind) {
      case "structure":
        return shape;
      case "reduction":
        return [2, rows, n].slice(3 - shape.length);
      case "rowMap":
        return name === "target" ? [rows] : [rows, n];
      case "loss":
        return name === "x" || (name === "target" && shape.length > 1)
          ? [rows, n]
          : name === "target"
            ? [rows]
            : [n];
      default:
        return [rows, n];
    }
  };
  return mapSlots(example, (s) => {
    if (s.stored === "i32" && info.kind === "structure") return s;
    if (s.name === "target" && s.stored === "i32") {
      const label = (i: number): number =>
        s.data.includes(-100) && i % 3 === 1 ? -100 : Math.floor(random() * n);
      return { ...s, shape: [rows], data: Array.from({ length: rows }, (_, i) => label(i)) };
    }
    const positive =
      info.kind === "loss" && s.stored === "float" && s.name !== "x" && info.domain?.[s.name] === undefined;
    const drawn = draw(info, s.stored, s.name, shapeOf(s), random);
    return positive ? { ...drawn, data: drawn.data.map((v) => Math.abs(v) + 0.5) } : drawn;
  });
}

/** How the numbers among an op's options are given: as numbers, as a tensor of one value, or as one value per row. */
export type Scalars = "numbers" | "shared" | "perRow";

/** Names of options that the card gives a domain: they may be tensors, and are differentiable. */
export const scalarsOf = ({ info }: Op): string[] =>
  info.kind === "rowMap" || info.kind === "loss" || info.kind === "reduction"
    ? Object.keys(info.domain ?? {}).filter((name) =>
        ["scalar", "classes"].includes(info.params?.[name]?.is ?? ""),
      )
    : [];

/** The ways to give the options of an op that differ. */
export const waysOf = (op: AnyOp): readonly Scalars[] =>
  scalarsOf(op).length > 0 ? ["numbers", "shared", "perRow"] : ["numbers"];

/** The same arguments with every option that has a domain given as a tensor. */
export function withScalars(
  op: AnyOp,
  template: Template,
  scalars: Scalars,
  sizes: Sizes,
  random: () => number,
): Template {
  const names = scalarsOf(op);
  if (scalars === "numbers" || names.length === 0) return template;
  const last = template.at(-1);
  const hasOptions = template.length > 1 && isRecord(last) && !isSlot(last);
  const options: { [name: string]: unknown } = hasOptions ? { ...(last as object) } : {};
  const classes = classWeights(op);
  const perRow = [...slotsOf(template)[0]!.shape.slice(0, -1), 1];
  for (const name of names) {
    const shape = classes.includes(name) ? [sizes.n] : scalars === "shared" ? [1] : perRow;
    options[name] = draw(op.info, "float", name, shape, random);
  }
  return [...(hasOptions ? template.slice(0, -1) : template), options];
}

/** Options that have one value per class. */
const classWeights = ({ info }: Op): readonly string[] =>
  Object.entries(info.params ?? {}).flatMap(([name, { is }]) => (is === "classes" ? [name] : []));

// ---------------------------------------------------------------------------------------------------------------
// Results

/** The tensors of a result, in order: one, several, or a record of them. */
export function tensorsIn(result: unknown): Tensor[] {
  if (result instanceof Tensor) return [result];
  return typeof result === "object" && result !== null ? Object.values(result).flatMap(tensorsIn) : [];
}

/** The elements of tensors as plain numbers; all are asked for at once, because each answer of a GPU takes its time. */
export const numbersOf = (...tensors: readonly Tensor[]): Promise<number[][]> =>
  Promise.all(tensors.map(async (t) => Array.from(await t.data())));

/** The first entry that differs by more than a tolerance, relative to the largest entry of its row of n, after `spared` others; undefined if none does. */
export function firstDifference(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: number,
  n: number = want.length,
  spared = 0,
): string | undefined {
  let passedOver = 0;
  if (got.length !== want.length) return `${got.length} entries instead of ${want.length}`;
  for (let start = 0; start < want.length; start += n) {
    let largest = 1;
    for (let i = start; i < start + n; i++)
      if (Number.isFinite(want[i]!)) largest = Math.max(largest, Math.abs(want[i]!));
    for (let i = start; i < start + n; i++) {
      const [v, w] = [got[i]!, want[i]!];
      if (!(Object.is(v, w) || Math.abs(v - w) <= tolerance * largest) && ++passedOver > spared)
        return `entry ${i} of ${want.length} is ${v} instead of ${w}`;
    }
  }
  return undefined;
}
