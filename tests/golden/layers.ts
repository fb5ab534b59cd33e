// Golden adapters of layers.

import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as nn from "../../nn/index.ts";
import { type Adapters, withTensors } from "./adapter.ts";

export const layers: Adapters = {
  linear: () => (inputs) => {
    const { x, weight, bias } = inputs as { [name: string]: Tensor<Shape, FloatDType> };
    const layer = withTensors(
      new nn.Linear(weight!.shape[1]!, weight!.shape[0]!, {
        bias: bias !== undefined,
        dtype: x!.dtype,
        device: x!.device,
      }),
      bias ? { weight: weight!, bias } : { weight: weight! },
    );
    return { out: layer.forward(x as never) };
  },
  dropout:
    () =>
    ({ x }, { params: { p, training } }) => {
      const layer = new nn.Dropout(p as number);
      if (training === false) layer.eval();
      return { out: layer.forward(x as Tensor<Shape, FloatDType>) };
    },
};
