// Golden adapters of recurrent layers and of attention by heads.

import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as nn from "../../nn/index.ts";
import { expandDims, logicalNot, reshape } from "../../ops/index.ts";
import { type Adapters, type Call, type Tensors, withTensors } from "./adapter.ts";

/** A recurrent layer over the given weights, whose fields end with `suffix`. */
function recurrent<M extends nn.Module>(
  { x, weight_ih, weight_hh, bias_ih, bias_hh }: Tensors,
  suffix: string,
  make: (inputSize: number, hiddenSize: number, options: nn.CellOptions) => M,
): M {
  const { dtype, device } = x as Floats;
  const bias = bias_ih !== undefined;
  const layer = make(x!.shape.at(-1)!, weight_hh!.shape[1]!, { bias, dtype, device });
  return withTensors(layer, {
    [`weightIh${suffix}`]: weight_ih!,
    [`weightHh${suffix}`]: weight_hh!,
    ...(bias && { [`biasIh${suffix}`]: bias_ih, [`biasHh${suffix}`]: bias_hh! }),
  });
}

type Floats = Tensor<Shape, FloatDType>;

/** The state of one layer and direction, as a sequence takes it. */
const one = (t: Tensor | undefined): Floats => (t && reshape(t, [1, ...t.shape])) as Floats;

/** Which nonlinearity a case asks for: by its name, or where other cells have the order of their gates. */
function nonlinearity({ params: { nonlinearity: name, gateOrder } }: Call): {
  nonlinearity?: nn.Nonlinearity;
} {
  if (typeof name === "string") return { nonlinearity: name as nn.Nonlinearity };
  return String(gateOrder).includes("relu") ? { nonlinearity: "relu" } : {};
}

const sequences: Adapters = {
  rnn_cell: () => (inputs, call) => {
    const cell = recurrent(inputs, "", (i, h, o) => new nn.RNNCell(i, h, { ...o, ...nonlinearity(call) }));
    return { out: cell.forward(inputs.x as never, inputs.h as never) };
  },
  gru_cell: () => (inputs) => {
    const cell = recurrent(inputs, "", (i, h, o) => new nn.GRUCell(i, h, o));
    return { out: cell.forward(inputs.x as never, inputs.h as never) };
  },
  lstm_cell: () => (inputs) => {
    const cell = recurrent(inputs, "", (i, h, o) => new nn.LSTMCell(i, h, o));
    const state = inputs.h && { h: inputs.h, c: inputs.c };
    const { h, c } = cell.forward(inputs.x as never, state as never);
    return { out: h, c_out: c };
  },
  rnn: () => (inputs, call) => {
    const options = { batchFirst: true, ...nonlinearity(call) };
    const layer = recurrent(inputs, "L0", (i, h, o) => new nn.RNN(i, h, { ...o, ...options }));
    return { out: layer.forward(inputs.x as never, one(inputs.h) as never).output };
  },
  gru: () => (inputs) => {
    const layer = recurrent(inputs, "L0", (i, h, o) => new nn.GRU(i, h, { ...o, batchFirst: true }));
    return { out: layer.forward(inputs.x as never, one(inputs.h) as never).output };
  },
  lstm: () => (inputs) => {
    const layer = recurrent(inputs, "L0", (i, h, o) => new nn.LSTM(i, h, { ...o, batchFirst: true }));
    const state = inputs.h && { h: one(inputs.h), c: one(inputs.c) };
    const { output, c } = layer.forward(inputs.x as never, state as never);
    return { out: output, c_out: reshape(c, c.shape.slice(1)) };
  },
};

/** Self-attention, or attention to other keys; a key that is padding is one that nobody may look at. */
const heads: Adapters = {
  multihead_attention:
    () =>
    (inputs, { params: { embedDim, numHeads, causal } }) => {
      const { query, key, value, key_padding_mask: padding } = inputs;
      const where = query ? { dtype: (query as Floats).dtype, device: query.device } : {};
      const bias = inputs["in_proj.bias"] !== undefined;
      const layer = withTensors(
        new nn.MultiheadAttention(embedDim as number, numHeads as number, { bias, ...where }),
        {
          inProjWeight: inputs["in_proj.weight"]!,
          "outProj.weight": inputs["out_proj.weight"]!,
          ...(bias && { inProjBias: inputs["in_proj.bias"]!, "outProj.bias": inputs["out_proj.bias"]! }),
        },
      );
      const [q, k, v] = [query, key ?? query, value ?? key ?? query] as [Floats, Floats, Floats];
      const mask = padding && { mask: logicalNot(expandDims(padding as Tensor<Shape, "bool">, 1)) };
      const { out, weights } = layer.forward(q, k, v, {
        causal: causal === true,
        needWeights: true,
        ...mask,
      });
      return { out, weights: weights! };
    },
};

export const sequenceLayers: Adapters = { ...sequences, ...heads };
