// Golden adapters of output layers and contrastive losses.

import { tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import * as nn from "../../nn/index.ts";
import { add, attention, expandDims, log, onlineSoftmax, onlineSoftmaxStats } from "../../ops/index.ts";
import { type Adapters, type Tensors, withTensors } from "./adapter.ts";
import { head } from "./margins.ts";

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

export const outputs: Adapters = {
  ...streaming,
  // Output layers
  adaptive_log_softmax:
    () =>
    ({ x, target, ...weights }, { params }) => {
      const { inFeatures, nClasses, cutoffs, divValue: div, headBias } = params as unknown as Adaptive;
      const layer = new nn.AdaptiveSoftmax(inFeatures, nClasses, { cutoffs, div, headBias, ...like(x) });
      const path = (name: string): string => name.replace(".proj.", ".0.").replace(".out.", ".1.");
      withTensors(layer, Object.fromEntries(Object.entries(weights).map(([name, t]) => [path(name), t])));
      return answers(layer, x!, target!, params);
    },
  adaptive_optimal_cutoffs:
    () =>
    async ({ frequency }, { params, floats }) => {
      const { nClusters: clusters, inFeatures: dim, divValue: div } = params as unknown as Adaptive;
      const found = nn.adaptiveCutoffs(await frequency!.data(), { clusters, dim, div });
      return {
        cutoffs: tensor(found.cutoffs, { dtype: "i32" }),
        cost: floats(found.cost),
        full_cost: floats(found.fullCost),
        speedup: floats(found.speedup),
      };
    },
  class_based_softmax:
    () =>
    ({ x, target, assignment, ...weights }, { params }) => {
      const layer = new nn.ClassBasedSoftmax(x!.shape.at(-1)!, assignment!.dataSync(), like(x));
      return answers(withTensors(layer, weights), x!, target!, params);
    },
  hierarchical_softmax:
    () =>
    ({ x, target, "tree.left": left, "tree.right": right, ...weights }, { params }) => {
      const tree = { left: left!.dataSync(), right: right!.dataSync() } as nn.Tree;
      const layer = withTensors(new nn.HierarchicalSoftmax(x!.shape.at(-1)!, tree, like(x)), weights);
      const { values, indices } = layer.topK(x as Floats, params.topk as number);
      return {
        ...answers(layer, x!, target!, params),
        topk_log_prob: values,
        topk_index: indices,
        path_length: tensor(nn.codeLengths(tree)),
      };
    },
  balanced_tree:
    () =>
    (_, { params: { nClasses } }) =>
      treeOf(nn.balancedTree(nClasses as number)),
  huffman_tree:
    () =>
    async ({ frequency }, { floats }) => {
      const f = await frequency!.data();
      const tree = nn.huffmanTree(f);
      const length = nn.codeLengths(tree).reduce((sum, l, i) => sum + l * f[i]!, 0);
      return { ...treeOf(tree), weighted_path_length: floats(length) };
    },
  // Contrastive losses
  info_nce:
    () =>
    ({ query, key, target }, call) =>
      head(losses.infoNce)()({ x: query!, weight: key!, target: target! }, call),
  nt_xent:
    () =>
    ({ z }, { params: { temperature } }) => {
      const fn = losses.ntXent as unknown as (...args: readonly unknown[]) => Tensor;
      return { loss_per_sample: fn(z, { temperature, reduction: "none" }), loss: fn(z, { temperature }) };
    },
  clip_loss:
    () =>
    ({ a, b, log_scale }) =>
      losses.clipLoss(a as never, b as never, { logScale: log_scale! }),
  sup_con_loss:
    () =>
    ({ z, label }, { params: { temperature } }) =>
      losses.supConLoss(z as never, label as never, { temperature: temperature as number }),
};

/** Parameters of the adaptive softmax and its cutoffs. */
interface Adaptive {
  readonly inFeatures: number;
  readonly nClasses: number;
  readonly cutoffs: number[];
  readonly divValue: number;
  readonly headBias: boolean;
  readonly nClusters: number;
}

/** Options for parameters beside a tensor, if there is one. */
const like = (x: Tensor | undefined): { dtype: FloatDType; device: Tensor["device"] } | object =>
  x ? { dtype: x.dtype as FloatDType, device: x.device } : {};

/** What every output layer answers. */
const answers = (
  layer: nn.OutputLayer<FloatDType>,
  x: Tensor,
  target: Tensor,
  { ignoreIndex, reduction }: nn.OutputOptions,
): Tensors => ({
  ...layer.forward(x as Floats, target as Tensor<Shape, "i32">, {
    ...(ignoreIndex === undefined ? {} : { ignoreIndex }),
    ...(reduction === undefined ? {} : { reduction }),
  }),
  log_prob: layer.logProb(x as Floats),
  predict: layer.predict(x as Floats),
});

const treeOf = (tree: nn.Tree): Tensors => ({
  left: tensor(tree.left),
  right: tensor(tree.right),
  code_length: tensor(nn.codeLengths(tree)),
});
