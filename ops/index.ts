// Every op, in reading order: the table of contents. Nothing registers itself; tests, docs and pages read `allOps`.

import type { Op } from "../core/op.ts";
import * as elementwise from "./elementwise.ts";
import * as indexing from "./indexing.ts";
import * as maps from "./maps/index.ts";
import * as products from "./matmul.ts";
import * as movement from "./movement.ts";
import * as reduce from "./reduce.ts";

export * from "./elementwise.ts";
export * from "./indexing.ts";
export * from "./maps/index.ts";
export * from "./matmul.ts";
export * from "./movement.ts";
export * from "./reduce.ts";

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
  // Scores → probabilities
  maps.softmax,
  maps.logSoftmax,
  maps.logsumexp,
  maps.maskedSoftmax,
  maps.hardmax,
  maps.sparsemax,
  maps.entmax15,
  maps.entmax,
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
  maps.sparseSoftmax,
  maps.asSoftmax,
  maps.evSoftmax,
  maps.tSoftmax,
  maps.rSoftmax,
  maps.rankmax,
  maps.gumbelSoftmax,
  maps.gumbelSoftmaxSt,
  maps.sampledArgmax,
]);
