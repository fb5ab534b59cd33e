// A block of a transformer: attention over positions, then a small network on each of them, both with residuals and
// normalisation. Embeddings and positions are not here.

import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { type Key, split } from "../core/random.ts";
import type { Shape } from "../core/shape.ts";
import type { Tensor } from "../core/tensor.ts";
import { add, relu } from "../ops/elementwise.ts";
import { checkSize, checkSwitch, destinationOf } from "./drawn.ts";
import { Dropout } from "./dropout.ts";
import { layerKey } from "./keys.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import {
  MultiheadAttention,
  type MultiheadAttentionOptions,
  type MultiheadOptions,
} from "./multihead-attention.ts";
import { LayerNorm } from "./norm.ts";

export interface TransformerBlockOptions<D extends FloatDType = FloatDType>
  extends Omit<MultiheadAttentionOptions<D>, "kdim" | "vdim"> {
  /** Features between the two layers of the network (default 2048). */
  readonly dimFeedforward?: number;
  /** The probability, while training, with which weights of attention and what both parts give are dropped (default 0.1). */
  readonly dropout?: number;
  /** What follows the first layer of the network: a function that keeps shapes (default relu). */
  readonly activation?: (x: Tensor<Shape, D>) => Tensor<Shape, D>;
  /** Whether parts read normalised inputs, and not sums are normalised (default false). */
  readonly normFirst?: boolean;
  /** What is added to variances (default 1e-5). */
  readonly layerNormEps?: number;
}

const known: readonly string[] = [
  "dimFeedforward",
  "dropout",
  "activation",
  "normFirst",
  "layerNormEps",
  "bias",
  "map",
  "taylor",
  "temperature",
  "key",
  "seed",
  "dtype",
  "device",
];

/**
 * A layer of a transformer for [..., L, Embed]: each position gathers from the others by attention (see `MultiheadAttention`,
 * whose map, temperature and linear time are options here too), then goes through two linear layers by itself. The shape stays.
 *
 * It is PyTorch's TransformerEncoderLayer with the batch first: names, defaults and start. x ← norm1(x + attention(x)), x ←
 * norm2(x + network(x)); with `normFirst`, which trains more easily, x ← x + attention(norm1(x)), x ← x + network(norm2(x)). In
 * linear time there are no weights to drop.
 *
 * Throws ShapeError for sizes that do not fit. Source: Vaswani et al. 2017, §3.1; Xiong et al. 2020 for normalising first.
 * @example
 * const block = new TransformerBlock(64, 4, { dimFeedforward: 256, map: entmax15, activation: gelu, normFirst: true });
 * block.forward(zeros([8, 10, 64]), { causal: true }).shape; // [8, 10, 64]
 */
export class TransformerBlock<D extends FloatDType = "f32"> extends Module {
  readonly selfAttn: MultiheadAttention<D>;
  readonly linear1: Linear<number, number, D>;
  readonly dropout: Dropout;
  readonly linear2: Linear<number, number, D>;
  readonly norm1: LayerNorm<number, D>;
  readonly norm2: LayerNorm<number, D>;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly activation: (x: Tensor<Shape, D>) => Tensor<Shape, D>;
  readonly normFirst: boolean;

  constructor(dModel: number, nhead: number, options: TransformerBlockOptions<D> = {}) {
    super();
    const place = "TransformerBlock";
    checkOptions(place, options, known);
    const { dimFeedforward = 2048, dropout = 0.1, normFirst = false, layerNormEps: eps = 1e-5 } = options;
    const { bias = true, activation = relu as never, map, taylor = false, temperature } = options;
    checkSwitch(place, "normFirst", normFirst);
    checkSize(place, dimFeedforward, "features");
    if (typeof activation !== "function")
      throw new ArgumentError(
        place,
        `activation is ${showValue(activation)}`,
        "give a function such as relu",
      );
    const keys = split(layerKey(place, options, dModel, nhead), 6) as [Key, Key, Key, Key, Key, Key];
    const where = destinationOf(options);
    this.selfAttn = new MultiheadAttention<D>(dModel, nhead, {
      ...where,
      bias,
      taylor,
      dropout: taylor === true ? 0 : dropout,
      key: keys[0],
      ...(map !== undefined && { map }),
      ...(temperature !== undefined && { temperature }),
    });
    this.linear1 = new Linear<number, number, D>(dModel, dimFeedforward, { ...where, bias, key: keys[1] });
    this.dropout = new Dropout(dropout, { key: keys[2] });
    this.linear2 = new Linear<number, number, D>(dimFeedforward, dModel, { ...where, bias, key: keys[3] });
    this.norm1 = new LayerNorm<number, D>(dModel, { ...where, eps, bias });
    this.norm2 = new LayerNorm<number, D>(dModel, { ...where, eps, bias });
    this.dropout1 = new Dropout(dropout, { key: keys[4] });
    this.dropout2 = new Dropout(dropout, { key: keys[5] });
    this.activation = activation;
    this.normFirst = normFirst;
  }

  /** [..., L, Embed] → the same shape. `mask` and `causal` are those of the attention. */
  override forward(
    x: Tensor<Shape, D>,
    options: Pick<MultiheadOptions, "mask" | "causal"> = {},
  ): Tensor<Shape, D> {
    checkOptions("TransformerBlock", options, ["mask", "causal"]);
    const attend = (t: Tensor<Shape, D>): Tensor<Shape, D> =>
      this.dropout1.forward(this.selfAttn.forward(t, t, t, options).out);
    const network = (t: Tensor<Shape, D>): Tensor<Shape, D> => {
      const wide = this.activation(this.linear1.forward(t as never) as never);
      return this.dropout2.forward(
        this.linear2.forward(this.dropout.forward(wide) as never) as unknown as Tensor<Shape, D>,
      );
    };
    const plus = (a: Tensor<Shape, D>, b: Tensor<Shape, D>) => add(a, b as never) as Tensor<Shape, D>;
    const norm = (layer: LayerNorm<number, D>, t: Tensor<Shape, D>) =>
      layer.forward(t as never) as unknown as Tensor<Shape, D>;
    if (this.normFirst) {
      const h = plus(x, attend(norm(this.norm1, x)));
      return plus(h, network(norm(this.norm2, h)));
    }
    const h = norm(this.norm1, plus(x, attend(x)));
    return norm(this.norm2, plus(h, network(h)));
  }

  protected override shown(): string {
    return `normFirst=${this.normFirst}`;
  }
}
