// The models of `models.py`, from layers of the same names, each with its answer to an input of the fixtures.

import { tensor } from "../../core/create.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import {
  AdaptiveSoftmax,
  BatchNorm1d,
  Conv2d,
  Embedding,
  Flatten,
  LayerNorm,
  Linear,
  MaxPool2d,
  Module,
  Sequential,
} from "../../nn/index.ts";
import { relu } from "../../ops/elementwise.ts";

/** A tensor as JSON. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Model {
  readonly model: Module;
  readonly answer: (x: Numbers) => Tensor;
}

const floats = ({ data, shape }: Numbers): Tensor<Shape, "f32"> => tensor(data, { shape }) as never;

class Adaptive extends Module {
  readonly softmax: AdaptiveSoftmax = new AdaptiveSoftmax(8, 20, { cutoffs: [5, 12], div: 2 });
  override forward(x: Tensor<Shape, "f32">): Tensor {
    return this.softmax.logProb(x as never);
  }
}

/** A model that is called with one tensor of floats. */
const ofFloats = (model: Module & { forward(x: never): unknown }): Model => ({
  model,
  answer: (x) => model.forward(floats(x) as never) as Tensor,
});

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
  words: () => {
    const model = new Sequential(new Embedding(11, 6), new LayerNorm(6), new Linear(6, 4));
    return {
      model,
      answer: ({ data, shape }) => model.forward(tensor(data, { shape, dtype: "i32" }) as never) as Tensor,
    };
  },
  adaptive: () => ofFloats(new Adaptive()),
};
