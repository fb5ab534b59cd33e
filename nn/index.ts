// Layers and models. Activations are ops: `import { relu } from "simplexgrad/ops"`.

export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export {
  type CellOptions,
  GRUCell,
  LSTMCell,
  type LSTMState,
  type Nonlinearity,
  RNNCell,
  type RNNCellOptions,
} from "./cells.ts";
export { Dropout } from "./dropout.ts";
export * as init from "./init.ts";
export type { LayerRandomness } from "./keys.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Module } from "./module.ts";
export {
  type Multihead,
  MultiheadAttention,
  type MultiheadAttentionOptions,
  type MultiheadOptions,
} from "./multihead-attention.ts";
export * from "./output/index.ts";
export { GRU, LSTM, type RecurrentOptions, RNN, type RNNOptions, type Sequence } from "./recurrent.ts";
export { type Layer, Sequential } from "./sequential.ts";
export { TransformerBlock, type TransformerBlockOptions } from "./transformer.ts";
