// Layers and models. Activations are ops: `import { relu } from "simplexgrad/ops"`.

export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export {
  fromCheckpoint,
  loadCheckpoint,
  loadFile,
  type Parts,
  saveCheckpoint,
  saveFile,
  toCheckpoint,
} from "./checkpoint.ts";
export { Batches, type BatchOptions, batches } from "./data/batches.ts";
export type { Column, Columns, Rows } from "./data/columns.ts";
export { type CategoryColumn, type CsvOptions, type NumberColumn, readCsv, type Table } from "./data/csv.ts";
export { readIdx } from "./data/idx.ts";
export { readNpy } from "./data/npy.ts";
export { type SplitOptions, trainTestSplit } from "./data/split.ts";
export { Dropout } from "./dropout.ts";
export * as init from "./init.ts";
export type { LayerRandomness } from "./keys.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Module } from "./module.ts";
export * from "./output/index.ts";
export { fromSafetensors, type Metadata, type Tensors, toSafetensors } from "./safetensors.ts";
export { type Layer, Sequential } from "./sequential.ts";
export type { LoadOptions, LoadResult, Stateful } from "./state.ts";
