// The models of `models.py`, from layers of the same names, each with its answer to an input of the fixtures.

import { tensor } from "../../core/create.ts";
import type { DType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  AdaptiveSoftmax,
  BatchNorm1d,
  Conv2d,
  Embedding,
  Flatten,
  GRU,
  LayerNorm,
  Linear,
  LSTM,
  MaxPool2d,
  Module,
  Sequential,
  TransformerBlock,
} from "../../nn/index.ts";
import { gelu, relu } from "../../ops/elementwise.ts";

/** A tensor as JSON. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Model {
  readonly model: Module;
  readonly answer: (x: Numbers) => Tensor;
}

class Adaptive extends Module {
  readonly softmax: AdaptiveSoftmax = new AdaptiveSoftmax(8, 20, { cutoffs: [5, 12], div: 2 });
  override forward(x: Tensor<Shape, "f32">): Tensor {
    return this.softmax.logProb(x as never);
  }
}

/** The outputs of a sequence, without its last state. */
class Outputs extends Module {
  readonly layer: LSTM | GRU;
  constructor(layer: LSTM | GRU) {
    super();
    this.layer = layer;
  }
  override forward(x: Tensor<Shape, "f32">): Tensor {
    return this.layer.forward(x).output as Tensor;
  }
}

class Reader extends Module {
  readonly embedding = new Embedding(11, 8);
  readonly block: TransformerBlock = new TransformerBlock(8, 2, { dimFeedforward: 12, normFirst: true });
  readonly gru: GRU = new GRU(8, 5, { numLayers: 2, bidirectional: true, batchFirst: true });
  readonly lstm: LSTM = new LSTM(10, 4, { batchFirst: true });
  readonly head = new Linear(4, 3);
  override forward(x: Tensor<Shape, "i32">): Tensor {
    const { output: read } = this.gru.forward(this.block.forward(this.embedding.forward(x) as never));
    return this.head.forward(this.lstm.forward(read).output as never);
  }
}

/** A model that is called with one tensor. */
const calledWith =
  (dtype: DType) =>
  (model: Module): Model => ({
    model,
    answer: ({ data, shape }) => model.forward(tensor(data, { shape, dtype }) as never) as Tensor,
  });
const ofFloats = calledWith("f32");
const ofIds = calledWith("i32");

export const models: { readonly [name: string]: () => Model } = {
  mlp: () => ofFloats(new Sequential(new Linear(5, 7), relu, new Linear(7, 3))),
  convolutional: () =>
    ofFloats(
      new Sequential(
        new Conv2d(2, 4, 3, { padding: 1 }),
        relu,
        new MaxPool2d(2),
        new Flatten(),
        new Linear(16, 6),
        new BatchNorm1d(6),
        relu,
        new Linear(6, 3),
      ),
    ),
  words: () => ofIds(new Sequential(new Embedding(11, 6), new LayerNorm(6), new Linear(6, 4))),
  adaptive: () => ofFloats(new Adaptive()),
  lstm: () => ofFloats(new Outputs(new LSTM(3, 4, { numLayers: 2, bidirectional: true }))),
  gru: () => ofFloats(new Outputs(new GRU(3, 4, { numLayers: 2, batchFirst: true, bias: false }))),
  block: () =>
    ofFloats(new TransformerBlock(8, 2, { dimFeedforward: 12, activation: gelu, normFirst: true })),
  reader: () => ofIds(new Reader()),
};
