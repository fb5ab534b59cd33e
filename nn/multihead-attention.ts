// Attention of several heads: projections of queries, keys and values, the heads side by side, and a projection of what they
// give. What a head does stands in `attention.ts` (any map) and in ops (softmax in tiles, Taylor softmax in linear time).

import type { CreateOptions } from "../core/create.ts";
import { tensor, zeros } from "../core/create.ts";
import type { FloatDType } from "../core/dtype.ts";
import { ArgumentError, DomainError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import type { Parameter } from "../core/parameter.ts";
import { type Key, split as splitKey } from "../core/random.ts";
import { scope } from "../core/scope.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { attention } from "../ops/attention.ts";
import { div, exp, logicalAnd } from "../ops/elementwise.ts";
import { maskedSoftmax, softmax } from "../ops/maps/softmax.ts";
import { linear } from "../ops/matmul.ts";
import { broadcastTo, expandDims, reshape, split, transpose } from "../ops/movement.ts";
import { taylorAttention } from "../ops/taylor-attention.ts";
import { type AttentionOptions, attend } from "./attention.ts";
import { checkSize, checkSwitch, destinationOf, parameter } from "./drawn.ts";
import { Dropout } from "./dropout.ts";
import { xavierUniform } from "./init.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";

export interface MultiheadAttentionOptions<D extends FloatDType = FloatDType>
  extends LayerRandomness,
    CreateOptions<D> {
  /** Whether projections have biases (default true). */
  readonly bias?: boolean;
  /** The probability, while training, with which a weight is dropped (default 0). */
  readonly dropout?: number;
  /** Features of keys, if they are not those of queries; and of values. */
  readonly kdim?: number;
  readonly vdim?: number;
  /** From rows of scores to rows of weights: any map of `simplexgrad/ops`; softmax by default. */
  readonly map?: AttentionOptions<D>["map"];
  /** Whether weights are those of `taylorSoftmax` of order 2, in time linear in the length (default false). */
  readonly taylor?: boolean;
  /** What the scores of each head are divided by: "learned", which starts at 1; a number; or one for each head. */
  readonly temperature?: "learned" | number | readonly number[];
}

export interface MultiheadOptions {
  /** True where a query may look at a key: [L, S], [B, L, S] or [B, H, L, S], each axis perhaps 1. */
  readonly mask?: Tensor<Shape, "bool">;
  /** Whether query i sees no key after i + S − L (default false). */
  readonly causal?: boolean;
  /** Whether the weights of the heads are wanted too (default false). */
  readonly needWeights?: boolean;
}

/** What the layer gives. */
export interface Multihead<D extends FloatDType = FloatDType> {
  /** [..., L, Embed]. */
  readonly out: Tensor<Shape, D>;
  /** The weights of each head, [..., H, L, S]; only where they were asked for. */
  readonly weights?: Tensor<Shape, D>;
}

const known: readonly string[] = [
  "bias",
  "dropout",
  "kdim",
  "vdim",
  "map",
  "taylor",
  "temperature",
  "key",
  "seed",
  "dtype",
  "device",
];

/**
 * Lets each position gather from all others what it asks for: `numHeads` attentions on projections of the features, side by side,
 * and a projection of what they give. Queries [..., L, Embed], keys [..., S, Kdim] and values [..., S, Vdim] → { out, weights? };
 * keys are the queries, and values the keys, where they are not given.
 *
 * The batch comes first, always, as in PyTorch's layer with batch_first; names and start are PyTorch's. Beyond it: weights by any
 * map, a temperature for each head, and Taylor softmax in time linear in the length, `{ taylor: true }`. With softmax scores are
 * never held together, and a query that may look at nothing gives the bias of the projection alone; with a map it gives what the
 * map makes of a row of −∞ (see `scaledDotProductAttention`).
 *
 * Throws ShapeError for sizes that do not fit and for features that heads do not divide. Source: Vaswani et al. 2017, §3.2.2.
 * @example
 * const layer = new MultiheadAttention(64, 4, { map: sparsemax, temperature: "learned" });
 * const x = normal([8, 10, 64], { key: randomKey(1) });
 * const { out, weights } = layer.forward(x, x, x, { causal: true, needWeights: true });
 * out.shape;      // [8, 10, 64]
 * weights!.shape; // [8, 4, 10, 10]
 */
export class MultiheadAttention<D extends FloatDType = "f32"> extends Module {
  readonly embedDim: number;
  readonly numHeads: number;
  /** Projections of queries, keys and values below one another, [3·Embed, Embed]; null where keys or values have other features. */
  readonly inProjWeight: Parameter<Shape, D> | null;
  readonly qProjWeight: Parameter<Shape, D> | null;
  readonly kProjWeight: Parameter<Shape, D> | null;
  readonly vProjWeight: Parameter<Shape, D> | null;
  readonly inProjBias: Parameter<Shape, D> | null;
  readonly outProj: Linear<number, number, D>;
  /** The logarithm of each head's temperature, [H]; null where scores are not divided. */
  readonly logTemperature: Parameter<Shape, D> | null;
  readonly map: AttentionOptions<D>["map"];
  readonly taylor: boolean;
  private readonly drop: Dropout | null;

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions<D> = {}) {
    super();
    const place = "MultiheadAttention";
    checkOptions(place, options, known);
    const { bias = true, dropout = 0, kdim = embedDim, vdim = embedDim, map, taylor = false } = options;
    for (const size of [embedDim, kdim, vdim]) checkSize(place, size, "features");
    checkSize(place, numHeads, "heads");
    checkSwitch(place, "bias", bias);
    checkSwitch(place, "taylor", taylor);
    if (embedDim % numHeads !== 0)
      throw new ShapeError(
        place,
        `${numHeads} heads do not divide ${embedDim} features`,
        "give a number of heads that divides embedDim",
      );
    if (map !== undefined && typeof map !== "function")
      throw new ArgumentError(place, `map is ${showValue(map)}`, "give a map of rows, such as sparsemax");
    if (taylor && (map !== undefined || dropout > 0))
      throw new ArgumentError(
        place,
        `taylor stands beside ${map ? "a map" : "dropout"}, but in linear time there are no weights`,
        "leave one of the two out, or give taylorSoftmax as the map",
      );
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    const { temperature } = options;
    const where = destinationOf(options);
    const keys = splitKey(layerKey(place, options, embedDim, numHeads), 5) as [Key, Key, Key, Key, Key];
    const draw = (name: string, rows: number, columns: number, i: number): Parameter<Shape, D> =>
      parameter(name, () => xavierUniform([rows, columns], { ...where, key: keys[i]! }));
    // What can be refused is refused before anything is drawn.
    const logs = logsOf(place, temperature, numHeads);
    const drop = new Dropout(dropout, { key: keys[4] });
    this.drop = dropout > 0 ? drop : null;
    const packed = kdim === embedDim && vdim === embedDim;
    this.inProjWeight = packed ? draw("inProjWeight", 3 * embedDim, embedDim, 0) : null;
    this.qProjWeight = packed ? null : draw("qProjWeight", embedDim, embedDim, 0);
    this.kProjWeight = packed ? null : draw("kProjWeight", embedDim, kdim, 1);
    this.vProjWeight = packed ? null : draw("vProjWeight", embedDim, vdim, 2);
    this.inProjBias = bias ? parameter("inProjBias", () => zeros([3 * embedDim], where)) : null;
    this.outProj = new Linear<number, number, D>(embedDim, embedDim, { ...where, bias, key: keys[3] });
    const { bias: start } = this.outProj;
    if (start)
      scope(() => {
        start.value = zeros([embedDim], where) as never;
      });
    const trainable = temperature === "learned";
    this.logTemperature =
      logs &&
      parameter("logTemperature", () => tensor(logs, where as never) as unknown as Tensor<Shape, D>, {
        trainable,
      });
    this.map = map;
    this.taylor = taylor;
  }

  /** What the queries gather, and the weights if they are wanted. */
  override forward(
    q: Tensor<Shape, D>,
    k: Tensor<Shape, D> = q,
    v: Tensor<Shape, D> = k,
    options: MultiheadOptions = {},
  ): Multihead<D> {
    const place = "MultiheadAttention";
    checkOptions(place, options, ["mask", "causal", "needWeights"]);
    const { causal = false, needWeights = false } = options;
    checkSwitch(place, "causal", causal);
    checkSwitch(place, "needWeights", needWeights);
    this.check(q as Tensor, k as Tensor, v as Tensor);
    const batch = q.shape.slice(0, -2) as number[];
    const [length, keys] = [q.shape.at(-2) as number, k.shape.at(-2) as number];
    const mask = options.mask && this.maskOf(options.mask, sizeOf(batch), length, keys);
    const heads = this.project(q as Floats, k as Floats, v as Floats);
    const found = this.attend(heads, mask, causal, needWeights);
    // [1, B, H, L, E/H] → [..., L, E]
    const side = transpose(found.out as Tensor, [0, 1, 3, 2, 4]);
    const out = this.outProj.forward(
      reshape(side, [...batch, length, this.embedDim]) as never,
    ) as unknown as Tensor<Shape, D>;
    if (!needWeights) return { out };
    const weights = reshape(found.weights as Tensor, [...batch, this.numHeads, length, keys]);
    return { out, weights: weights as unknown as Tensor<Shape, D> };
  }

  /** Attention of heads that lie as [1, B, H, length, E/H]. */
  private attend(
    [q, k, v]: Heads,
    mask: Tensor<Shape, "bool"> | undefined,
    causal: boolean,
    weights: boolean,
  ): { readonly out: Floats; readonly weights?: Floats } {
    const place = "MultiheadAttention";
    const log = this.logTemperature?.value as Floats | undefined;
    const temperature = log && exp(log);
    const common = { causal, ...(mask && { mask }), ...(temperature && { temperature }) };
    if (this.taylor) {
      if (weights)
        throw new ArgumentError(
          place,
          "weights are wanted of attention in linear time, which makes none",
          "give taylorSoftmax as the map in place of taylor",
        );
      return { out: taylorAttention(q, k, v, common) };
    }
    const drop = this.training ? this.drop : null;
    if (this.map === undefined && drop === null) return attention(q, k, v, { ...common, weights });
    const [length, keys] = [q.shape.at(-2) as number, k.shape.at(-2) as number];
    const sight = causal ? ahead(length, keys, q, mask) : mask;
    const own = (this.map ?? softmaxOf(sight)) as (scores: Floats) => Floats;
    const map = drop ? (scores: Floats) => drop.forward(own(scores)) : own;
    // One factor for each query, so that rows are scaled where they stand.
    const factor =
      temperature &&
      broadcastTo(
        reshape(div(1 / Math.sqrt(q.shape.at(-1) as number), temperature), [this.numHeads, 1, 1]) as Floats,
        [...(q.shape.slice(0, -1) as number[]), 1],
      );
    return attend(place, q, k, v, { map, ...(sight && { mask: sight }) }, factor as Floats | undefined);
  }

  /** Queries, keys and values of the heads, [1, B, H, length, E/H]: views of the products. */
  private project(q: Floats, k: Floats, v: Floats): Heads {
    const apart = (t: Floats, parts: number): Floats => {
      const [batch, length] = [sizeOf(t.shape.slice(0, -2) as number[]), t.shape.at(-2) as number];
      const split = [batch, length, parts, this.numHeads, this.embedDim / this.numHeads];
      return transpose(reshape(t, split) as Floats, [2, 0, 3, 1, 4]) as Floats;
    };
    const packed = this.inProjWeight?.value as Floats | undefined;
    const bias = this.inProjBias?.value as Floats | undefined;
    if (packed && q === k && k === v) return split(apart(linear(q, packed, bias) as Floats, 3), 3) as never;
    const weights = packed
      ? split(packed, 3)
      : [this.qProjWeight, this.kProjWeight, this.vProjWeight].map((p) => p!.value as Floats);
    const biases = bias ? split(bias, 3) : [];
    return [q, k, v].map((x, i) => apart(linear(x, weights[i]!, biases[i]) as Floats, 1)) as never;
  }

  private check(q: Tensor, k: Tensor, v: Tensor): void {
    const place = "MultiheadAttention";
    const widths = {
      queries: this.embedDim,
      keys: this.kProjWeight?.value.shape[1] ?? this.embedDim,
      values: this.vProjWeight?.value.shape[1] ?? this.embedDim,
    };
    Object.entries(widths).forEach(([name, width], i) => {
      const t = [q, k, v][i]!;
      checkTensor(`${place}: ${name}`, t);
      if (t.rank < 2 || t.shape.at(-1) !== width)
        throw new ShapeError(
          place,
          `${name} have shape ${showShape(t.shape)}`,
          `give [..., length, ${width as number}]`,
        );
      if (sizeOf(t.shape.slice(0, -2)) !== sizeOf(q.shape.slice(0, -2)))
        throw new ShapeError(
          place,
          `${name} of shape ${showShape(t.shape)} stand beside queries of shape ${showShape(q.shape)}`,
          "give the same batch",
        );
    });
  }

  /** A mask with an axis for the heads. */
  private maskOf(
    mask: Tensor<Shape, "bool">,
    batch: number,
    rows: number,
    columns: number,
  ): Tensor<Shape, "bool"> {
    checkTensor("MultiheadAttention: mask", mask);
    const wide = (mask.rank === 3 ? expandDims(mask, 1) : mask) as Tensor;
    const full = [batch, this.numHeads, rows, columns].slice(-Math.max(2, wide.rank));
    const fits = [2, 4].includes(wide.rank) && wide.shape.every((size, i) => size === 1 || size === full[i]);
    if (!fits)
      throw new ShapeError(
        "MultiheadAttention",
        `a mask of shape ${showShape(mask.shape)} stands beside ${rows} queries and ${columns} keys in a batch of ${batch}`,
        `give shape [${rows}, ${columns}], [${batch}, ${rows}, ${columns}] or one with an axis for the heads`,
      );
    return wide as Tensor<Shape, "bool">;
  }

  protected override shown(): string {
    const { embedDim, numHeads, taylor, map } = this;
    const weights = taylor ? ", taylor=true" : map ? `, map=${map.name || "function"}` : "";
    return `${embedDim}, ${numHeads}${weights}`;
  }
}

type Floats = Tensor<Shape, FloatDType>;
type Heads = readonly [Floats, Floats, Floats];

/** Softmax where a mask may leave nothing. */
const softmaxOf =
  (sight: Tensor<Shape, "bool"> | undefined) =>
  (scores: Floats): Floats =>
    sight ? maskedSoftmax(scores, sight) : softmax(scores);

/** What temperatures the option asks for, as logarithms. */
function logsOf(
  place: string,
  temperature: MultiheadAttentionOptions["temperature"],
  heads: number,
): number[] | null {
  if (temperature === undefined) return null;
  if (temperature === "learned") return new Array<number>(heads).fill(0);
  const each = typeof temperature === "number" ? new Array<number>(heads).fill(temperature) : temperature;
  if (!Array.isArray(each) || each.length !== heads)
    throw new ArgumentError(
      place,
      `temperature is ${showValue(temperature)} beside ${heads} heads`,
      `give "learned", a number, or ${heads} numbers`,
    );
  const wrong = each.find((t) => typeof t !== "number" || !(t > 0) || !Number.isFinite(t));
  if (wrong !== undefined)
    throw new DomainError(place, `temperature is ${showValue(wrong)}`, "temperature must be greater than 0");
  return each.map(Math.log);
}

/** Which keys lie not ahead of a query, sequences being aligned at their ends. */
function ahead(
  rows: number,
  columns: number,
  like: Tensor<Shape, FloatDType>,
  mask: Tensor<Shape, "bool"> | undefined,
): Tensor<Shape, "bool"> {
  const data = Uint8Array.from({ length: rows * columns }, (_, at) =>
    Number((at % columns) - columns <= Math.floor(at / columns) - rows),
  );
  const past = tensor(data, { shape: [rows, columns], dtype: "bool", device: like.device });
  return (mask ? logicalAnd(past as never, mask as never) : past) as Tensor<Shape, "bool">;
}
