// Layers and models. Activations are ops: `import { relu } from "simplexgrad/ops"`.

export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export { BatchNorm1d, type BatchNormOptions } from "./batch-norm.ts";
export {
  type CellOptions,
  GRUCell,
  LSTMCell,
  type LSTMState,
  type Nonlinearity,
  RNNCell,
  type RNNCellOptions,
} from "./cells.ts";
export {
  fromCheckpoint,
  loadCheckpoint,
  loadFile,
  type Parts,
  saveCheckpoint,
  saveFile,
  toCheckpoint,
} from "./checkpoint.ts";
export { Conv1d, Conv2d, type ConvLayerOptions } from "./conv.ts";
export { Batches, type BatchOptions, batches } from "./data/batches.ts";
export type { Column, Columns, Rows } from "./data/columns.ts";
export { type CategoryColumn, type CsvOptions, type NumberColumn, readCsv, type Table } from "./data/csv.ts";
export { readIdx } from "./data/idx.ts";
export { readNpy } from "./data/npy.ts";
export { type SplitOptions, trainTestSplit } from "./data/split.ts";
export { Dropout } from "./dropout.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
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
export { LayerNorm, type LayerNormOptions, RMSNorm, type RMSNormOptions } from "./norm.ts";
export * from "./output/index.ts";
export { AvgPool1d, AvgPool2d, Flatten, MaxPool1d, MaxPool2d } from "./pool.ts";
export { GRU, LSTM, type RecurrentOptions, RNN, type RNNOptions, type Sequence } from "./recurrent.ts";
export { Residual } from "./residual.ts";
export { fromSafetensors, type Metadata, type Tensors, toSafetensors } from "./safetensors.ts";
export { type Layer, Sequential } from "./sequential.ts";
export type { LoadOptions, LoadResult, Stateful } from "./state.ts";
export { TransformerBlock, type TransformerBlockOptions } from "./transformer.ts";
