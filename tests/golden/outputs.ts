// Golden adapters of output layers, sampling and contrastive losses.

import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, attention, expandDims, log, onlineSoftmax, onlineSoftmaxStats } from "../../ops/index.ts";
import type { Adapters } from "./adapter.ts";

type Floats = Tensor<Shape, FloatDType>;

/** Softmax in pieces, and attention that never holds all scores. */
const streaming: Adapters = {
  online_softmax_stats:
    () =>
    ({ z }, { params }) => {
      const bounds = (params.chunkBounds ?? params.chunk_bounds) as readonly number[];
      const pieces = bounds.slice(1).map((end, i) => z!.slice(null, [bounds[i]!, end]) as Floats);
      const stats = pieces
        .slice(1)
        .reduce((s, x) => onlineSoftmaxStats(x, s), onlineSoftmaxStats(pieces[0]!));
      const lse = add(stats.max, log(stats.sum) as never);
      return { ...stats, lse, softmax: onlineSoftmax(z as Floats, stats) };
    },
  attention:
    () =>
    ({ q, k, v, mask, temperature }, { params: { causal } }) => {
      const options = {
        causal: causal === true,
        ...(mask && { mask: expandDims(mask, 1) as Tensor<Shape, "bool"> }),
        ...(temperature && { temperature: temperature as Floats }),
      };
      const all = [q, k, v] as [Floats, Floats, Floats];
      // Weights come with all scores at once; out and lse, and with them the gradients, tile by tile.
      const { weights } = attention(...all, { ...options, weights: true });
      return { ...attention(...all, { ...options, tile: 2 }), weights: weights! };
    },
};

export const outputs: Adapters = { ...streaming };
