// Every op, in reading order: the table of contents. Nothing registers itself; tests, docs and pages read `allOps`.

import type { Op } from "../core/op.ts";
import * as streaming from "./attention.ts";
import * as conv from "./conv.ts";
import * as elementwise from "./elementwise.ts";
import * as indexing from "./indexing.ts";
import * as maps from "./maps/index.ts";
import * as products from "./matmul.ts";
import * as movement from "./movement.ts";
import { normalize } from "./normalize.ts";
import * as online from "./online.ts";
import * as pool from "./pool.ts";
import * as reduce from "./reduce.ts";
import * as linearTime from "./taylor-attention.ts";

export {
  type Attended,
  attention,
  type SoftmaxAttention,
  type SoftmaxAttentionOptions,
} from "./attention.ts";
export {
  type Conv1dOp,
  type Conv2dOp,
  type ConvOptions,
  type Convolved,
  conv1d,
  conv2d,
  type Patches,
  patches,
} from "./conv.ts";
export * from "./elementwise.ts";
export * from "./indexing.ts";
export * from "./maps/index.ts";
export { type LinearMap, linear, type MatrixProduct, matmul } from "./matmul.ts";
export * from "./movement.ts";
export { normalize } from "./normalize.ts";
export {
  type MergeSoftmaxStats,
  mergeSoftmaxStats,
  type OnlineSoftmax,
  type OnlineSoftmaxStats,
  onlineSoftmax,
  onlineSoftmaxStats,
  type SoftmaxStats,
} from "./online.ts";
export {
  type AvgPoolOptions,
  avgPool1d,
  avgPool2d,
  type MaxPoolOptions,
  maxPool1d,
  maxPool2d,
  type Pool,
  type Pooled,
  type PoolOptions,
} from "./pool.ts";
export * from "./reduce.ts";
export { type TaylorAttention, type TaylorAttentionOptions, taylorAttention } from "./taylor-attention.ts";

/** All ops, as the table of contents that tests, docs and pages read. */
export const allOps: readonly Op[] = /* @__PURE__ */ Object.freeze([
  // Elementwise
  elementwise.add,
  elementwise.sub,
  elementwise.mul,
  elementwise.div,
  elementwise.pow,
  elementwise.maximum,
  elementwise.minimum,
  elementwise.neg,
  elementwise.abs,
  elementwise.sign,
  elementwise.square,
  elementwise.exp,
  elementwise.expm1,
  elementwise.log,
  elementwise.log1p,
  elementwise.sqrt,
  elementwise.rsqrt,
  elementwise.floor,
  elementwise.round,
  elementwise.clip,
  elementwise.sin,
  elementwise.cos,
  elementwise.tanh,
  elementwise.erf,
  elementwise.sigmoid,
  elementwise.logSigmoid,
  elementwise.softplus,
  elementwise.relu,
  elementwise.leakyRelu,
  elementwise.elu,
  elementwise.gelu,
  elementwise.silu,
  elementwise.mish,
  elementwise.greater,
  elementwise.greaterEqual,
  elementwise.less,
  elementwise.lessEqual,
  elementwise.equal,
  elementwise.notEqual,
  elementwise.logicalAnd,
  elementwise.logicalOr,
  elementwise.logicalNot,
  elementwise.where,
  elementwise.cast,
  // Reduce
  reduce.sum,
  reduce.mean,
  reduce.variance,
  reduce.std,
  reduce.norm,
  normalize,
  reduce.prod,
  reduce.max,
  reduce.min,
  reduce.argmax,
  reduce.argmin,
  reduce.any,
  reduce.all,
  // Matrix products
  products.matmul,
  products.linear,
  // Convolution and pooling
  conv.patches,
  conv.conv1d,
  conv.conv2d,
  pool.maxPool1d,
  pool.maxPool2d,
  pool.avgPool1d,
  pool.avgPool2d,
  // Movement
  movement.reshape,
  movement.transpose,
  movement.slice,
  movement.broadcastTo,
  movement.flip,
  movement.expandDims,
  movement.squeeze,
  movement.flatten,
  movement.concat,
  movement.stack,
  movement.split,
  movement.pad,
  movement.tile,
  movement.repeat,
  // Indexing
  indexing.gather,
  indexing.take,
  indexing.scatterAdd,
  indexing.oneHot,
  indexing.sort,
  indexing.argsort,
  indexing.topK,
  indexing.cumsum,
  // Attention
  streaming.attention,
  linearTime.taylorAttention,
  online.onlineSoftmaxStats,
  online.mergeSoftmaxStats,
  online.onlineSoftmax,
  // Scores → probabilities
  maps.softmax,
  maps.naiveSoftmax,
  maps.logSoftmax,
  maps.logsumexp,
  maps.maskedSoftmax,
  maps.maskedLogSoftmax,
  maps.mellowmax,
  maps.hardmax,
  maps.straightThroughArgmax,
  maps.sparsemax,
  maps.entmax15,
  maps.entmax,
  maps.temperedSoftmax,
  maps.normmax,
  maps.budgetSparsemax,
  maps.sigmoidTopk,
  maps.csoftmax,
  maps.csparsemax,
  maps.sparsegenLin,
  maps.sparsehourglass,
  maps.alphaRelu,
  maps.taylorSoftmax,
  maps.logTaylorSoftmax,
  maps.sphericalSoftmax,
  maps.sumNormalization,
  maps.normalizedRelu,
  maps.reluPowerNorm,
  maps.normalizedSigmoid,
  maps.normalizedSoftplus,
  maps.sinSoftmax,
  maps.sin2MaxShifted,
  maps.ssmax,
  maps.asentmax,
  maps.sigmoidAttention,
  maps.softmaxOne,
  maps.softmaxSink,
  maps.softpick,
  maps.sigsoftmax,
  maps.adaptiveTemperatureSoftmax,
  maps.saSoftmax,
  maps.multimax,
  maps.mixtureOfSoftmaxes,
  maps.logMixtureOfSoftmaxes,
  maps.stickBreaking,
  maps.sparseSoftmax,
  maps.asSoftmax,
  maps.evSoftmax,
  maps.tSoftmax,
  maps.rSoftmax,
  maps.rankmax,
  maps.gumbelSoftmax,
  maps.gumbelSoftmaxSt,
  maps.sampledArgmax,
  maps.perturbMax,
  maps.fusedmax,
]);
