// Golden adapters of output layers, sampling and contrastive losses.

import { tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as nn from "../../nn/index.ts";
import { type Adapters, type Tensors, withTensors } from "./adapter.ts";

type Floats = Tensor<Shape, FloatDType>;

export const outputs: Adapters = {
  // Output layers
  hierarchical_softmax:
    () =>
    ({ x, target, "tree.left": left, "tree.right": right, ...weights }, { params: { topk } }) => {
      const tree = { left: left!.dataSync(), right: right!.dataSync() } as nn.Tree;
      const layer = withTensors(new nn.HierarchicalSoftmax(x!.shape.at(-1)!, tree, like(x!)), weights);
      const { values, indices } = layer.topK(x as Floats, topk as number);
      return {
        ...answers(layer, x!, target!),
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
};

const like = ({ dtype, device }: Tensor): { dtype: FloatDType; device: Tensor["device"] } => ({
  dtype: dtype as FloatDType,
  device,
});

/** What every output layer answers. */
const answers = (layer: nn.OutputLayer<FloatDType>, x: Tensor, target: Tensor): Tensors => ({
  ...layer.forward(x as Floats, target as Tensor<Shape, "i32">),
  log_prob: layer.logProb(x as Floats),
  predict: layer.predict(x as Floats),
});

const treeOf = (tree: nn.Tree): Tensors => ({
  left: tensor(tree.left),
  right: tensor(tree.right),
  code_length: tensor(nn.codeLengths(tree)),
});
