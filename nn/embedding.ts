// Rows of a table by their ids: words, users, categories.

import { type CreateOptions, range } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { DomainError, DTypeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { normal } from "../core/random.ts";
import { positionOf, type Shape } from "../core/shape.ts";
import { stopGradient, tracked } from "../core/tape.ts";
import { checkTensor, hostCopy, type Tensor } from "../core/tensor.ts";
import { reshape } from "../core/views.ts";
import { equal, where } from "../ops/elementwise.ts";
import { take } from "../ops/indexing.ts";
import { checkSize, destinationOf, parameter } from "./drawn.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Module } from "./module.ts";

export interface EmbeddingOptions<D extends FloatDType = FloatDType>
  extends LayerRandomness,
    CreateOptions<D> {
  /** An id whose row begins as zeros and gets no gradient; from −numEmbeddings on it counts from the end. */
  readonly paddingIdx?: number;
}

/**
 * Rows of a table by their ids: [...] of i32 in [0, V) → [..., d], where the table `weight` is [V, d], drawn from N(0, 1) as in
 * PyTorch. The gradient of the table has the rows that were read and no others, so that a step costs what a batch reads.
 *
 * The row of `paddingIdx` begins as zeros and stays what it is: it gets no gradient. Throws DTypeError for ids that are not i32,
 * DomainError for one that is no row of the table.
 * @example
 * const words = new Embedding(10000, 64, { paddingIdx: 0 });
 * words.forward(tensor([[5, 17, 0]], { dtype: "i32" })).shape; // [1, 3, 64]
 */
export class Embedding<
  const V extends number = number,
  const Dim extends number = number,
  D extends FloatDType = "f32",
> extends Module {
  readonly numEmbeddings: V;
  readonly embeddingDim: Dim;
  readonly paddingIdx: number | null;
  readonly weight: Parameter<[V, Dim], D>;

  constructor(numEmbeddings: V, embeddingDim: Dim, options: EmbeddingOptions<D> = {}) {
    super();
    const place = "Embedding";
    checkOptions(place, options, ["paddingIdx", "key", "seed", "dtype", "device"]);
    checkSize(place, numEmbeddings, "rows");
    checkSize(place, embeddingDim, "features");
    const { paddingIdx } = options;
    if (
      paddingIdx !== undefined &&
      !(Number.isInteger(paddingIdx) && paddingIdx >= -numEmbeddings && paddingIdx < numEmbeddings)
    )
      throw new DomainError(
        place,
        `paddingIdx is ${showValue(paddingIdx)}`,
        `give an id of [0, ${numEmbeddings}), or a negative one that counts from the end`,
      );
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.paddingIdx = paddingIdx === undefined ? null : (paddingIdx + numEmbeddings) % numEmbeddings;
    const key = layerKey(place, options, numEmbeddings, embeddingDim);
    this.weight = parameter("weight", () => {
      const drawn = normal([numEmbeddings, embeddingDim], { ...destinationOf(options), key });
      if (this.paddingIdx === null) return drawn as Tensor<Shape, D>;
      const ids = range(numEmbeddings, { ...destinationOf(options), dtype: "i32" });
      return where(reshape(equal(ids, this.paddingIdx), [-1, 1]), 0, drawn) as Tensor<Shape, D>;
    });
  }

  /** [...] of ids → [..., d]. */
  override forward<S extends Shape>(index: Tensor<S, "i32">): Tensor<[...S, Dim], D> {
    checkTensor("Embedding", index);
    this.check(index);
    const weight = this.weight.value as Tensor<Shape, D>;
    const rows = take(weight, index) as Tensor<Shape, D>;
    if (this.paddingIdx === null || !tracked([weight])) return rows as Tensor<[...S, Dim], D>;
    const padding = reshape(equal(index, this.paddingIdx), [...index.shape, 1]) as Tensor<Shape, "bool">;
    return where(padding, stopGradient(rows), rows) as Tensor<[...S, Dim], D>;
  }

  /** Refuses ids that are no rows of the table, as far as they can be read at once. */
  private check(index: Tensor<Shape, "i32">): void {
    const place = "Embedding";
    if (index.dtype !== "i32")
      throw new DTypeError(
        place,
        `index holds ${index.dtype as string}`,
        'give ids as i32: tensor([0, 2], { dtype: "i32" })',
      );
    if (index.device === "webgpu" && index.host === null) return;
    const ids = hostCopy(index);
    const wrong = ids.findIndex((id) => id < 0 || id >= this.numEmbeddings);
    if (wrong >= 0)
      throw new DomainError(
        place,
        `index${showShape(positionOf(wrong, index.shape))} is ${ids[wrong]}`,
        `ids lie in [0, ${this.numEmbeddings})`,
      );
  }

  protected override shown(): string {
    const padding = this.paddingIdx === null ? "" : `, paddingIdx=${this.paddingIdx}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}`;
  }
}
