// Optimizers: what changes parameters so that a loss falls.

export { Accumulation, type AccumulationOptions, type Counted } from "./accumulate.ts";
export { Adadelta, type AdadeltaOptions } from "./adadelta.ts";
export { Adagrad, type AdagradOptions } from "./adagrad.ts";
export { Adam, type AdamOptions } from "./adam.ts";
export { Adamax, type AdamaxOptions } from "./adamax.ts";
export { AdamW } from "./adamw.ts";
export { type AnyGradient, type Clip, type ClipNormOptions, clipGradNorm, clipGradValue } from "./clip.ts";
export { EMA, type EMAOptions } from "./ema.ts";
export { Lion, type LionOptions } from "./lion.ts";
export { NAdam, type NAdamOptions } from "./nadam.ts";
export {
  type Group,
  Optimizer,
  type ParameterGroup,
  type Remembered,
  type StepOptions,
  type Trained,
  type Turn,
} from "./optimizer.ts";
export { RAdam, type RAdamOptions } from "./radam.ts";
export { RMSprop, type RMSpropOptions } from "./rmsprop.ts";
export { Plateau, type PlateauOptions, type Scheduled, Scheduler, type Schedules } from "./scheduler.ts";
export type { OneCycleOptions, Schedule } from "./schedules.ts";
export * as schedules from "./schedules.ts";
export { SGD, type SGDOptions } from "./sgd.ts";
export { SparseAdam, type SparseAdamOptions } from "./sparse-adam.ts";
