// Optimizers: what changes parameters so that a loss falls.

export { Accumulation, type AccumulationOptions, type Counted } from "./accumulate.ts";
export { Adam, type AdamOptions } from "./adam.ts";
export { AdamW } from "./adamw.ts";
export { type Group, Optimizer, type ParameterGroup, type Trained, type Turn } from "./optimizer.ts";
export { SGD, type SGDOptions } from "./sgd.ts";
