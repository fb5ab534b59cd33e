// Layers and models. Activations are ops: `import { relu } from "simplexgrad/ops"`.

export { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
export { Dropout } from "./dropout.ts";
export * as init from "./init.ts";
export type { LayerRandomness } from "./keys.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { Module } from "./module.ts";
export { type SphericalOptions, SphericalOutput, type SphericalStep } from "./output/spherical.ts";
export { type Layer, Sequential } from "./sequential.ts";
