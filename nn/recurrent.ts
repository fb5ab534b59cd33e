// Recurrent networks over whole sequences: RNN, GRU and LSTM, of several layers and in both directions.
// What the inputs give to the gates is one product for all steps; a step is one product and one kernel (`cells.ts`).

import type { CreateOptions } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ShapeError, showShape } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { type Key, split as splitKey } from "../core/random.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { concat, reshape, split, transpose } from "../ops/movement.ts";
import {
  advance,
  checkFeatures,
  checkState,
  drawWeights,
  fromInputs,
  gruKind,
  type Kind,
  type LSTMState,
  lstmKind,
  type Nonlinearity,
  rnnKind,
  type State,
  stateOf,
  type Weights,
} from "./cells.ts";
import { checkSize, checkSwitch } from "./drawn.ts";
import { Dropout } from "./dropout.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Module } from "./module.ts";

export interface RecurrentOptions<D extends FloatDType = FloatDType>
  extends LayerRandomness,
    CreateOptions<D> {
  /** Networks on top of one another (default 1): each reads the outputs of the one below. */
  readonly numLayers?: number;
  /** Whether there are biases (default true). */
  readonly bias?: boolean;
  /** Whether sequences are given as [N, T, In] and not as [T, N, In] (default false). */
  readonly batchFirst?: boolean;
  /** The probability, while training, with which outputs between layers are dropped (default 0). */
  readonly dropout?: number;
  /** Whether a second network reads each sequence from its end; outputs stand side by side (default false). */
  readonly bidirectional?: boolean;
}

const known: readonly string[] = [
  "numLayers",
  "bias",
  "batchFirst",
  "dropout",
  "bidirectional",
  "key",
  "seed",
  "dtype",
  "device",
];

/** What the three networks share. Parameters are fields named `weightIhL0`, `biasHhL1Reverse`, … */
abstract class Recurrent<D extends FloatDType> extends Module {
  readonly [parameter: `${"weight" | "bias"}${"Ih" | "Hh"}L${string}`]: Parameter<Shape, D> | null;
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  private readonly between: Dropout | null;

  constructor(
    place: string,
    { gates }: Kind,
    inputSize: number,
    hiddenSize: number,
    options: RecurrentOptions<D>,
    more: readonly string[] = [],
  ) {
    super();
    checkOptions(place, options, [...more, ...known]);
    const { numLayers = 1, bias = true, batchFirst = false, dropout = 0, bidirectional = false } = options;
    for (const size of [inputSize, hiddenSize]) checkSize(place, size, "features");
    checkSize(place, numLayers, "layers");
    for (const [name, value] of Object.entries({ bias, batchFirst, bidirectional }))
      checkSwitch(place, name, value);
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    const directions = bidirectional ? 2 : 1;
    const [forDropout, ...keys] = splitKey(
      layerKey(place, options, inputSize, hiddenSize),
      1 + numLayers * directions,
    ) as [Key, ...Key[]];
    const between = new Dropout(dropout, { key: forDropout });
    this.between = dropout > 0 ? between : null;
    for (let layer = 0; layer < numLayers; layer++) {
      for (let direction = 0; direction < directions; direction++) {
        const sizes = [layer === 0 ? inputSize : directions * hiddenSize, hiddenSize, gates] as const;
        const suffix = suffixOf(layer, direction);
        const key = keys[layer * directions + direction]!;
        Object.assign(this, drawWeights<D>(key, sizes, bias, suffix, options));
      }
    }
  }

  /** The outputs of the last layer, and the last state of every layer and direction. */
  protected run(
    kind: Kind,
    x: Tensor,
    given: { readonly [part: string]: unknown } | undefined,
  ): { readonly output: Tensor; readonly state: State } {
    const place = this.constructor.name;
    const directions = this.bidirectional ? 2 : 1;
    const like = this.weightIhL0!;
    checkFeatures(place, x, this.inputSize, like);
    if (x.rank !== 2 && x.rank !== 3) {
      const wanted = this.batchFirst ? "[N, T, In]" : "[T, N, In]";
      throw new ShapeError(
        place,
        `x of shape ${showShape(x.shape)} is no sequence`,
        `give ${wanted}, or [T, In]`,
      );
    }
    const alone = x.rank === 2;
    const turn = !alone && this.batchFirst;
    const batched = alone ? reshape(x, [x.shape[0]!, 1, x.shape[1]!]) : x;
    let output = (turn ? transpose(batched, [1, 0, 2]) : batched) as Tensor;
    const [length, batch] = output.shape as [number, number];
    if (length === 0)
      throw new ShapeError(
        place,
        `the sequences in x of shape ${showShape(x.shape)} have no steps`,
        "give at least one",
      );
    const states = this.numLayers * directions;
    const shape = alone ? [states, this.hiddenSize] : [states, batch, this.hiddenSize];
    // A state is [1, N, Hidden] throughout: parts of what is given, and put together again without further axes.
    const first = stateOf(place, kind, given, shape, like).map((t) =>
      split(alone ? reshape(t, [states, 1, this.hiddenSize]) : t, states),
    );
    const last: State[] = [];
    for (let layer = 0; layer < this.numLayers; layer++) {
      if (layer > 0 && this.between !== null)
        output = this.between.forward(output as Tensor<Shape, FloatDType>);
      const sides: Tensor[] = [];
      for (let direction = 0; direction < directions; direction++) {
        const at = layer * directions + direction;
        const weights = this.weights(layer, direction);
        const gates = split(fromInputs(output, weights), length);
        const hidden = new Array<Tensor>(length);
        let state: State = first.map((parts) => parts[at]!);
        for (let i = 0; i < length; i++) {
          const t = direction === 0 ? i : length - 1 - i;
          state = advance(kind, gates[t]!, state, weights);
          hidden[t] = state[0]!;
        }
        sides.push(concat(hidden));
        last.push(state);
      }
      output = sides.length === 1 ? sides[0]! : concat(sides, -1);
    }
    const width = directions * this.hiddenSize;
    return {
      output: alone
        ? reshape(output, [length, width])
        : ((turn ? transpose(output, [1, 0, 2]) : output) as Tensor),
      state: kind.states.map((_, part) => {
        const all = concat(last.map((state) => state[part]!));
        return alone ? reshape(all, shape) : all;
      }),
    };
  }

  private weights(layer: number, direction: number): Weights {
    const suffix = suffixOf(layer, direction) as `L${string}`;
    return {
      weightIh: this[`weightIh${suffix}`]!,
      weightHh: this[`weightHh${suffix}`]!,
      biasIh: this[`biasIh${suffix}`]!,
      biasHh: this[`biasHh${suffix}`]!,
    };
  }

  protected override shown(): string {
    const { inputSize, hiddenSize, numLayers, batchFirst, bidirectional } = this;
    return `${inputSize}, ${hiddenSize}, numLayers=${numLayers}, batchFirst=${batchFirst}, bidirectional=${bidirectional}`;
  }
}

/** What stands behind the names of a layer's weights: L0, L0Reverse, L1, … */
const suffixOf = (layer: number, direction: number): string => `L${layer}${direction === 1 ? "Reverse" : ""}`;

/** What RNN and GRU give. */
export interface Sequence<D extends FloatDType = FloatDType> {
  /** The hidden states of the last layer at every step: [T, N, Directions·Hidden], in the layout of the input. */
  readonly output: Tensor<Shape, D>;
  /** The last hidden state of every layer and direction: [Layers·Directions, N, Hidden]. */
  readonly h: Tensor<Shape, D>;
}

function sequence<D extends FloatDType>({ output, state }: { output: Tensor; state: State }): Sequence<D> {
  return { output, h: state[0] } as Sequence<D>;
}

export interface RNNOptions<D extends FloatDType = FloatDType> extends RecurrentOptions<D> {
  /** What follows the sum: "tanh" (default) or "relu". */
  readonly nonlinearity?: Nonlinearity;
}

/**
 * Reads sequences with a simple recurrent network: [T, N, In] (or [N, T, In] with `batchFirst`, or one sequence [T, In]) and
 * perhaps a first state [Layers·Directions, N, Hidden] → { output, h }. Layers, layouts, names and start are PyTorch's.
 *
 * Throws ShapeError for other sizes and for sequences without a step. Source: Elman 1990.
 * @example
 * const rnn = new RNN(10, 20, { batchFirst: true });
 * rnn.forward(zeros([3, 7, 10])).output.shape; // [3, 7, 20]
 */
export class RNN<D extends FloatDType = "f32"> extends Recurrent<D> {
  readonly nonlinearity: Nonlinearity;

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions<D> = {}) {
    const { nonlinearity = "tanh" } = options ?? {};
    super("RNN", rnnKind("RNN", nonlinearity), inputSize, hiddenSize, options, ["nonlinearity"]);
    this.nonlinearity = nonlinearity;
  }

  /** The outputs at every step, and the last state. */
  override forward(x: Tensor<Shape, D>, h?: Tensor<Shape, D>): Sequence<D> {
    return sequence(this.run(rnnKind("RNN", this.nonlinearity), x as Tensor, h && { h }));
  }
}

/**
 * Reads sequences with gated recurrent units (see `GRUCell`): [T, N, In] (or [N, T, In] with `batchFirst`, or one sequence [T, In])
 * and perhaps a first state [Layers·Directions, N, Hidden] → { output, h }. Layers, layouts, names and start are PyTorch's.
 *
 * Throws ShapeError for other sizes and for sequences without a step. Source: Cho et al. 2014.
 * @example
 * const { output, h } = new GRU(10, 20, { numLayers: 2, bidirectional: true }).forward(zeros([7, 3, 10]));
 * output.shape; // [7, 3, 40]
 * h.shape;      // [4, 3, 20]
 */
export class GRU<D extends FloatDType = "f32"> extends Recurrent<D> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions<D> = {}) {
    super("GRU", gruKind, inputSize, hiddenSize, options);
  }

  /** The outputs at every step, and the last state. */
  override forward(x: Tensor<Shape, D>, h?: Tensor<Shape, D>): Sequence<D> {
    return sequence(this.run(gruKind, x as Tensor, h && { h }));
  }
}

/**
 * Reads sequences with a long short-term memory (see `LSTMCell`): [T, N, In] (or [N, T, In] with `batchFirst`, or one sequence
 * [T, In]) and perhaps a first state { h, c } of [Layers·Directions, N, Hidden] each → { output, h, c }. Layers, layouts, names
 * and start are PyTorch's.
 *
 * Throws ShapeError for other sizes and for sequences without a step. Source: Hochreiter & Schmidhuber 1997.
 * @example
 * const { output, h, c } = new LSTM(10, 20).forward(zeros([7, 3, 10]));
 */
export class LSTM<D extends FloatDType = "f32"> extends Recurrent<D> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions<D> = {}) {
    super("LSTM", lstmKind, inputSize, hiddenSize, options);
  }

  /** The outputs at every step, and the last state. */
  override forward(
    x: Tensor<Shape, D>,
    state?: LSTMState<D>,
  ): Sequence<D> & { readonly c: Tensor<Shape, D> } {
    const { output, state: last } = this.run(lstmKind, x as Tensor, checkState("LSTM", state));
    return { output, h: last[0], c: last[1] } as Sequence<D> & { readonly c: Tensor<Shape, D> };
  }
}
