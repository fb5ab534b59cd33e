// One step of a recurrent network: the formulas of the gates, each one kernel, and the cells RNNCell, GRUCell and LSTMCell.
// Sequences of steps are `recurrent.ts`.

import { type CreateOptions, zeros } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { type Key, split as splitKey } from "../core/random.ts";
import { add, mul, relu, sub } from "../core/row/expr.ts";
import { type Shape, sameShape } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { sigmoid, tanh } from "../core/words.ts";
import { linear } from "../ops/matmul.ts";
import { split } from "../ops/movement.ts";
import { checkSize, checkSwitch, uniformParameter } from "./drawn.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Module } from "./module.ts";

// ---------------------------------------------------------------------------------------------------------------
// Gates

/** The hidden state, and for an LSTM the cell state beside it. */
export type State = readonly Tensor[];

/** What distinguishes one recurrent network from another. */
export interface Kind {
  /** Blocks of rows of the weights. */
  readonly gates: number;
  /** Parts of the state, by the names they have as a result. */
  readonly states: readonly ("h" | "c")[];
  /** The next state, from what the inputs and the hidden state give to each gate. */
  readonly next: (ofInput: readonly Tensor[], ofHidden: readonly Tensor[], state: State) => State;
}

type Gates = (...gates: readonly Tensor[]) => Tensor;
type GatesOfTwo = (...gates: readonly Tensor[]) => readonly Tensor[];

const gate = (name: string, squash: typeof tanh): Gates =>
  map<Gates>(name, {
    doc: "The next hidden state of a simple recurrent network.",
    inputs: ["i", "h"],
    program: ({ i, h }) => squash(add(i!, h!)),
    examples: [],
  });

const tanhGate: Gates = /* @__PURE__ */ gate("rnnTanh", tanh);
const reluGate: Gates = /* @__PURE__ */ gate("rnnRelu", relu);

const gruGates: Gates = /* @__PURE__ */ map<Gates>("gruGates", {
  doc: "The next hidden state of a gated recurrent unit.",
  inputs: ["ir", "iz", "in", "hr", "hz", "hn", "h"],
  program: (x) => {
    const r = sigmoid(add(x.ir!, x.hr!));
    const z = sigmoid(add(x.iz!, x.hz!));
    const n = tanh(add(x.in!, mul(r, x.hn!)));
    return add(n, mul(z, sub(x.h!, n)));
  },
  examples: [],
});

const lstmGates: GatesOfTwo = /* @__PURE__ */ map<GatesOfTwo>("lstmGates", {
  doc: "The next hidden state and cell state of a long short-term memory.",
  inputs: ["ii", "if", "ig", "io", "hi", "hf", "hg", "ho", "c"],
  program: (x) => {
    const i = sigmoid(add(x.ii!, x.hi!));
    const f = sigmoid(add(x.if!, x.hf!));
    const g = tanh(add(x.ig!, x.hg!));
    const o = sigmoid(add(x.io!, x.ho!));
    const c = add(mul(f, x.c!), mul(i, g));
    return [mul(o, tanh(c)), c];
  },
  examples: [],
});

/** What follows the sum in a simple recurrent network. */
export type Nonlinearity = "tanh" | "relu";

export function rnnKind(place: string, nonlinearity: Nonlinearity): Kind {
  if (nonlinearity !== "tanh" && nonlinearity !== "relu")
    throw new ArgumentError(place, `nonlinearity is ${showValue(nonlinearity)}`, 'give "tanh" or "relu"');
  const next = nonlinearity === "tanh" ? tanhGate : reluGate;
  return { gates: 1, states: ["h"], next: ([i], [h]) => [next(i!, h!)] };
}

export const gruKind: Kind = {
  gates: 3,
  states: ["h"],
  next: (ofInput, ofHidden, [h]) => [gruGates(...ofInput, ...ofHidden, h!)],
};

export const lstmKind: Kind = {
  gates: 4,
  states: ["h", "c"],
  next: (ofInput, ofHidden, [, c]) => lstmGates(...ofInput, ...ofHidden, c!),
};

/** A parameter of any element type, for reading. */
export interface Held {
  readonly value: Tensor;
}

/** The four parameters of a step; biases may be missing. */
export interface Weights {
  readonly weightIh: Held;
  readonly weightHh: Held;
  readonly biasIh: Held | null;
  readonly biasHh: Held | null;
}

/** x·Wᵀ + b. */
const product = (x: Tensor, weight: Held, bias: Held | null): Tensor =>
  linear(x as Floats, weight.value as Floats, bias?.value as Floats | undefined) as Tensor;

type Floats = Tensor<Shape, FloatDType>;

/** What inputs [..., In] give to all gates: one product for as many steps as there are. */
export const fromInputs = (x: Tensor, { weightIh, biasIh }: Weights): Tensor => product(x, weightIh, biasIh);

/** The next state; `gates` is what this step's inputs give to all gates. Parts of both products are read where they stand. */
export function advance(
  { gates: count, next }: Kind,
  gates: Tensor,
  state: State,
  { weightHh, biasHh }: Weights,
): State {
  const hidden = product(state[0]!, weightHh, biasHh);
  return next(split(gates, count, -1), split(hidden, count, -1), state);
}

/** Draws the weights of a step, all uniformly within ±1/√hidden, with `suffix` behind their names. */
export function drawWeights<D extends FloatDType>(
  key: Key,
  [inputSize, hiddenSize, gates]: readonly [number, number, number],
  bias: boolean,
  suffix: string,
  options: CreateOptions<D>,
): { readonly [name: string]: Parameter<Shape, D> | null } {
  const keys = splitKey(key, 4);
  const draw = (name: string, shape: number[], i: number): Parameter<Shape, D> =>
    uniformParameter(name + suffix, shape as Shape, 1 / Math.sqrt(hiddenSize), keys[i]!, options);
  const rows = gates * hiddenSize;
  return {
    [`weightIh${suffix}`]: draw("weightIh", [rows, inputSize], 0),
    [`weightHh${suffix}`]: draw("weightHh", [rows, hiddenSize], 1),
    [`biasIh${suffix}`]: bias ? draw("biasIh", [rows], 2) : null,
    [`biasHh${suffix}`]: bias ? draw("biasHh", [rows], 3) : null,
  };
}

/** Refuses inputs of other features or of another element type than a layer has. */
export function checkFeatures(place: string, x: unknown, features: number, like: Held): void {
  checkTensor(place, x);
  if (x.shape.at(-1) !== features) {
    const finding = `rows of ${x.shape.at(-1) ?? "no"} features in x of shape ${showShape(x.shape)}, where the layer takes ${features}`;
    throw new ShapeError(place, finding, `give [..., ${features}]`);
  }
  checkLike(place, x, like);
}

function checkLike(place: string, x: Tensor, { value: { dtype } }: Held): void {
  if (x.dtype !== dtype)
    throw new DTypeError(place, `${x.dtype} stands beside weights of ${dtype}`, `cast(x, "${dtype}")`);
}

/** The parts of a state that a caller gives, checked; zeros where none is given. */
export function stateOf(
  place: string,
  { states }: Kind,
  given: { readonly [part: string]: unknown } | undefined,
  shape: readonly number[],
  like: Held,
): Tensor[] {
  if (given === undefined) {
    const { dtype, device } = like.value as Floats;
    return states.map(() => zeros(shape, { dtype, device }) as Tensor);
  }
  return states.map((part) => {
    const t = given[part];
    checkTensor(`${place}: ${part}`, t);
    checkLike(`${place}: ${part}`, t, like);
    if (!sameShape(t.shape, shape))
      throw new ShapeError(
        place,
        `the state ${part} has shape ${showShape(t.shape)}`,
        `give shape ${showShape(shape)}`,
      );
    return t;
  });
}

// ---------------------------------------------------------------------------------------------------------------
// Cells

export interface CellOptions<D extends FloatDType = FloatDType> extends LayerRandomness, CreateOptions<D> {
  /** Whether there are biases (default true). */
  readonly bias?: boolean;
}

const known: readonly string[] = ["bias", "key", "seed", "dtype", "device"];

/** What the cells share: sizes, weights and one step. */
abstract class Cell<D extends FloatDType> extends Module implements Weights {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly weightIh: Parameter<Shape, D>;
  readonly weightHh: Parameter<Shape, D>;
  readonly biasIh: Parameter<Shape, D> | null;
  readonly biasHh: Parameter<Shape, D> | null;

  constructor(
    place: string,
    { gates }: Kind,
    inputSize: number,
    hiddenSize: number,
    options: CellOptions<D>,
    more: readonly string[] = [],
  ) {
    super();
    checkOptions(place, options, [...more, ...known]);
    for (const size of [inputSize, hiddenSize]) checkSize(place, size, "features");
    const { bias = true } = options;
    checkSwitch(place, "bias", bias);
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    const drawn = drawWeights<D>(
      layerKey(place, options, inputSize, hiddenSize),
      [inputSize, hiddenSize, gates],
      bias,
      "",
      options,
    );
    this.weightIh = drawn.weightIh!;
    this.weightHh = drawn.weightHh!;
    this.biasIh = drawn.biasIh!;
    this.biasHh = drawn.biasHh!;
  }

  /** One step for inputs [..., In] and a state [..., Hidden], zeros where none is given. */
  protected step(kind: Kind, x: Tensor, given: { readonly [part: string]: unknown } | undefined): State {
    const place = this.constructor.name;
    checkFeatures(place, x, this.inputSize, this.weightIh);
    const state = stateOf(place, kind, given, [...x.shape.slice(0, -1), this.hiddenSize], this.weightIh);
    return advance(kind, fromInputs(x, this), state, this);
  }

  protected override shown(): string {
    return `${this.inputSize}, ${this.hiddenSize}, bias=${this.biasIh !== null}`;
  }
}

/** One part of a state, as a record. */
const named = (h: Tensor | undefined): { h: Tensor } | undefined => (h === undefined ? undefined : { h });

export interface RNNCellOptions<D extends FloatDType = FloatDType> extends CellOptions<D> {
  /** What follows the sum: "tanh" (default) or "relu". */
  readonly nonlinearity?: Nonlinearity;
}

/**
 * One step of a simple recurrent network, h′ = tanh(W·x + b + U·h + c): inputs [..., In] and a hidden state [..., Hidden] (zeros
 * when none is given) give the next. Weights, names and their uniform start within ±1/√Hidden are PyTorch's.
 *
 * Throws ShapeError for other sizes, DTypeError for another element type. Source: Elman 1990.
 * @example
 * const cell = new RNNCell(10, 20);
 * let h = cell.forward(zeros([3, 10]));
 * h = cell.forward(ones([3, 10]), h); // [3, 20]
 */
export class RNNCell<D extends FloatDType = "f32"> extends Cell<D> {
  readonly nonlinearity: Nonlinearity;

  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions<D> = {}) {
    const { nonlinearity = "tanh" } = options ?? {};
    super("RNNCell", rnnKind("RNNCell", nonlinearity), inputSize, hiddenSize, options, ["nonlinearity"]);
    this.nonlinearity = nonlinearity;
  }

  /** The next hidden state. */
  override forward(x: Tensor<Shape, D>, h?: Tensor<Shape, D>): Tensor<Shape, D> {
    return this.step(rnnKind("RNNCell", this.nonlinearity), x as Tensor, named(h as Tensor))[0] as Tensor<
      Shape,
      D
    >;
  }
}

/**
 * One step of a gated recurrent unit: a gate r decides how much of the past enters the candidate n, a gate z how much of the
 * past stays. Inputs [..., In] and a hidden state [..., Hidden] (zeros when none is given) give the next. The gates are one kernel.
 *
 * r = σ(W_r x + b_r + U_r h + c_r), z likewise, n = tanh(W_n x + b_n + r·(U_n h + c_n)), h′ = (1 − z)·n + z·h: PyTorch's order of
 * gates, names and start. Throws ShapeError for other sizes. Source: Cho et al. 2014, eq. 5–8, with r behind the product.
 * @example
 * new GRUCell(10, 20).forward(zeros([3, 10])).shape; // [3, 20]
 */
export class GRUCell<D extends FloatDType = "f32"> extends Cell<D> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions<D> = {}) {
    super("GRUCell", gruKind, inputSize, hiddenSize, options);
  }

  /** The next hidden state. */
  override forward(x: Tensor<Shape, D>, h?: Tensor<Shape, D>): Tensor<Shape, D> {
    return this.step(gruKind, x as Tensor, named(h as Tensor))[0] as Tensor<Shape, D>;
  }
}

/** The two parts of an LSTM's state. */
export interface LSTMState<D extends FloatDType = FloatDType> {
  readonly h: Tensor<Shape, D>;
  readonly c: Tensor<Shape, D>;
}

/**
 * One step of a long short-term memory: gates decide what enters the cell state (i), what stays of it (f) and what is shown (o).
 * Inputs [..., In] and a state { h, c } of [..., Hidden] each (zeros when none is given) give the next. The gates are one kernel.
 *
 * c′ = f·c + i·g, h′ = o·tanh(c′), with σ for i, f, o and tanh for g: PyTorch's order i, f, g, o, names and start. Throws
 * ShapeError for other sizes. Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.
 * @example
 * const { h, c } = new LSTMCell(10, 20).forward(zeros([3, 10]));
 */
export class LSTMCell<D extends FloatDType = "f32"> extends Cell<D> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions<D> = {}) {
    super("LSTMCell", lstmKind, inputSize, hiddenSize, options);
  }

  /** The next state. */
  override forward(x: Tensor<Shape, D>, state?: LSTMState<D>): LSTMState<D> {
    const [h, c] = this.step(lstmKind, x as Tensor, checkState("LSTMCell", state));
    return { h, c } as LSTMState<D>;
  }
}

/** A state of two parts, as a record. */
export function checkState(place: string, state: unknown): { readonly [part: string]: unknown } | undefined {
  checkOptions(place, state, ["h", "c"]);
  return state as { readonly [part: string]: unknown } | undefined;
}
