// Layers and models. Activations are ops: `import { relu } from "simplexgrad/ops"`.

export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export { BatchNorm1d, type BatchNormOptions } from "./batch-norm.ts";
export { Conv1d, Conv2d, type ConvLayerOptions } from "./conv.ts";
export { Dropout } from "./dropout.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export * as init from "./init.ts";
export type { LayerRandomness } from "./keys.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Module } from "./module.ts";
export { LayerNorm, type LayerNormOptions, RMSNorm, type RMSNormOptions } from "./norm.ts";
export * from "./output/index.ts";
export { AvgPool1d, AvgPool2d, Flatten, MaxPool1d, MaxPool2d } from "./pool.ts";
export { Residual } from "./residual.ts";
export { type Layer, Sequential } from "./sequential.ts";
