// The losses with exact zeros of a linear layer without the tensor of its scores. Only scores within a margin of a row's
// largest can be in its support: tiles of scores are made one after the other and all but these candidates forgotten; the
// loss is that of the candidates, and its gradient touches their classes alone. Products and checks are `tiles.ts`.

import { customOp } from "../core/custom.ts";
import { dtypes, type FloatDType } from "../core/dtype.ts";
import { checkOptions, describe, type Op } from "../core/op.ts";
import { type Loss, type Reduction, reduceLosses, reductionOf } from "../core/rowloss.ts";
import { IGNORED, type Labels } from "../core/rowop.ts";
import { RowSparse } from "../core/rowsparse.ts";
import { scope } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { vjp } from "../core/tape.ts";
import { fromHost, hostCopy, type Tensor, viewOf } from "../core/tensor.ts";
import { broadcastTo, reshape } from "../core/views.ts";
import { cast, equal, mul, sub } from "../ops/elementwise.ts";
import { take } from "../ops/indexing.ts";
import { linear } from "../ops/matmul.ts";
import { concat } from "../ops/movement.ts";
import { sum } from "../ops/reduce.ts";
import { entmax15Loss, sparsemaxLoss } from "./fenchel-young.ts";
import { type ChunkOptions, checkLayer, chunkSize, inverse, Layer, type Span, spans } from "./tiles.ts";

type Float = Tensor<Shape, FloatDType>;

/** Options of `fusedLinearSparsemaxLoss` and `fusedLinearEntmax15Loss`. */
export interface FusedSparseOptions extends ChunkOptions {
  /** The class index that marks rows to leave out; −100 by default. */
  readonly ignoreIndex?: number;
  readonly reduction?: Reduction;
}

/** The type of both losses. */
export interface FusedSparseLoss extends Op {
  <D extends FloatDType>(
    x: Tensor<Shape, D>,
    weight: Tensor<Shape, D>,
    bias: Tensor<Shape, D> | undefined,
    target: Labels,
    options?: FusedSparseOptions,
  ): Tensor<Shape, D>;
}

// ---------------------------------------------------------------------------------------------------------------
// Candidates

/** Scores of some rows that hold all of their support, and where the row's own class stands among them. */
interface Candidates {
  readonly rows: Span;
  readonly z: Float;
  readonly target: Tensor<Shape, "i32">;
  readonly ignoreIndex: number;
  /** The class of each score; without it they are those of all classes, in order. */
  readonly classes?: Int32Array;
}

/** How far below the threshold a score must be to be forgotten: what rounding may decide stays. */
const slack = 1e-6;

/**
 * The candidates of one row: its largest scores and their classes. The threshold of some scores is never above that of more,
 * so what lies below it can be forgotten at once: the list is about as long as the support.
 */
class Candidate {
  /** Scores up to this one have no share. */
  bound: number = Number.NEGATIVE_INFINITY;
  count = 0;
  scores: Float64Array = new Float64Array(32);
  classes: Int32Array = new Int32Array(32);
  private most = Number.NEGATIVE_INFINITY;

  /** Takes up a score; `margin` is how far below the largest one the support may reach. */
  add(score: number, of: number, margin: number): void {
    if (score > this.most) {
      this.most = score;
      if (score - margin > this.bound) this.bound = score - margin;
    }
    if (this.count === this.scores.length) {
      this.prune(margin);
      if (2 * this.count > this.scores.length) {
        const [scores, classes] = [new Float64Array(2 * this.count), new Int32Array(2 * this.count)];
        scores.set(this.scores.subarray(0, this.count));
        classes.set(this.classes.subarray(0, this.count));
        this.scores = scores;
        this.classes = classes;
      }
    }
    this.scores[this.count] = score;
    this.classes[this.count++] = of;
  }

  /** Raises the bound to the threshold of what is here, and forgets what lies below. A NaN stays. */
  prune(margin: number): void {
    const { scores, classes, most } = this;
    // Σ ((z − max)/m − τ)₊ᵐ = 1 by Newton's method, which stays below the root of a convex function: each step is a bound.
    let tau = -1;
    for (let step = 0; step < 20; step++) {
      let [value, slope] = [-1, 0];
      for (let k = 0; k < this.count; k++) {
        const r = (scores[k]! - most) / margin - tau;
        if (r <= 0) continue;
        value += r ** margin;
        slope += margin * r ** (margin - 1);
      }
      if (!(value > slack)) break;
      tau += value / slope;
    }
    let kept = 0;
    for (let k = 0; k < this.count; k++) {
      if ((scores[k]! - most) / margin <= tau - slack) continue;
      scores[kept] = scores[k]!;
      classes[kept++] = classes[k]!;
    }
    this.count = kept;
    const bound = most + margin * (tau - slack) - 1e-15 * Math.abs(most);
    if (bound > this.bound) this.bound = bound;
  }
}

/** The scores of some rows that may be in their support, after that of the row's own class; and the classes of all. */
function candidatesOf(
  layer: Layer,
  rows: Span,
  target: Int32Array,
  { margin, ignoreIndex, chunkClasses }: Settings,
): Candidates {
  const found = Array.from({ length: rows.count }, () => new Candidate());
  const own = new Float64Array(rows.count);
  scope(() => {
    const space = layer.space(rows.count * Math.min(chunkClasses, layer.classes));
    for (const tile of spans(layer.classes, chunkClasses)) {
      const z = scope(() => hostCopy(layer.scores(rows, tile, space)));
      for (let i = 0; i < rows.count; i++) {
        const label = target[rows.start + i]!;
        if (label === ignoreIndex) continue;
        const row = found[i]!;
        const at = label - tile.start;
        for (let j = 0, k = i * tile.count; j < tile.count; j++, k++) {
          const v = z[k]!;
          if (v <= row.bound) continue; // a NaN is kept, and spoils the row as it should
          row.add(v, tile.start + j, margin);
        }
        if (at >= 0 && at < tile.count) own[i] = z[i * tile.count + at]!;
      }
    }
  });
  for (const row of found) row.prune(margin);
  const width = 1 + found.reduce((most, { count }) => Math.max(most, count), 0);
  const { backend, dtype } = layer;
  const scores = new dtypes[dtype].array(rows.count * width).fill(Number.NEGATIVE_INFINITY);
  const classes = new Int32Array(rows.count * width);
  const labels = new Int32Array(rows.count);
  found.forEach((row, i) => {
    const label = target[rows.start + i]!;
    scores[i * width] = own[i]!;
    classes[i * width] = label;
    for (let k = 0, to = i * width; k < row.count; k++) {
      if (row.classes[k] === label) continue;
      scores[++to] = row.scores[k]!;
      classes[to] = row.classes[k]!;
    }
    if (label === ignoreIndex) labels[i] = IGNORED;
  });
  return {
    rows,
    z: fromHost(backend, dtype, [rows.count, width], scores, "candidates"),
    target: fromHost(backend, "i32", [rows.count], labels, "candidates"),
    ignoreIndex: IGNORED,
    classes,
  };
}

/** The scores of some rows for all classes, where nothing can be read on the way. */
function allScores(layer: Layer, rows: Span, { labels, ignoreIndex }: Settings): Candidates {
  const every = { start: 0, count: layer.classes };
  const z = layer.scores(rows, every, layer.space(rows.count, layer.classes));
  const target = viewOf<"i32">(labels, [rows.count], null, labels.offset + rows.start);
  return { rows, z, target, ignoreIndex };
}

// ---------------------------------------------------------------------------------------------------------------
// Gradients

/** The entries of a gradient of scores that are not zero, class after class. */
interface Entries {
  /** Classes that have any, ascending; entries of the i-th are those from `first[i]` to `first[i + 1]`. */
  readonly classes: Int32Array;
  readonly first: Int32Array;
  readonly rows: Int32Array;
  readonly values: Float64Array;
}

/** Sorts by class what is not zero among gradients of candidates. */
function entriesOf(
  all: readonly Candidates[],
  gradients: readonly ArrayLike<number>[],
  classes: number,
): Entries {
  const end = new Int32Array(classes + 1);
  const each = (visit: (of: number, row: number, value: number) => void): void =>
    all.forEach(({ rows, classes: ids }, c) => {
      const g = gradients[c]!;
      const width = g.length / rows.count;
      for (let k = 0; k < g.length; k++) {
        // What is NaN is not zero.
        if (g[k] !== 0) visit(ids![k]!, rows.start + Math.floor(k / width), g[k]!);
      }
    });
  each((of) => {
    end[of + 1]!++;
  });
  const present: number[] = [];
  for (let of = 0; of < classes; of++) {
    if (end[of + 1]! > 0) present.push(of);
    end[of + 1]! += end[of]!;
  }
  const next = end.slice(0, classes);
  const rows = new Int32Array(end[classes]!);
  const values = new Float64Array(end[classes]!);
  each((of, row, value) => {
    const at = next[of]!++;
    rows[at] = row;
    values[at] = value;
  });
  return {
    classes: Int32Array.from(present),
    first: Int32Array.from([...present.map((of) => end[of]!), end[classes]!]),
    rows,
    values,
  };
}

/** The gradients of the layer from the entries of that of its scores: of weight and bias only the rows that have any. */
function carried(
  [x, weight, bias]: Arguments,
  { classes, first, rows, values }: Entries,
  wanted: readonly boolean[],
): (Tensor | RowSparse | undefined)[] {
  const { backend, dtype } = x;
  const n = x.shape[0]!;
  const ids = fromHost<"i32", [number]>(backend, "i32", [classes.length], classes, "rows");
  const read = take(weight as Tensor, ids) as Float;
  const part = new Layer(x, read, undefined);
  const like = [x, read, bias && part.space(classes.length)];
  const sums = part.sums(wanted, like, classes.length === 0);
  // A tile of gradients is no larger than one of scores.
  for (const tile of spans(classes.length, Math.max(16, Math.floor(65536 / n)))) {
    const g = new dtypes[dtype].array(n * tile.count);
    for (let k = 0; k < tile.count; k++) {
      for (let e = first[tile.start + k]!; e < first[tile.start + k + 1]!; e++)
        g[rows[e]! * tile.count + k]! += values[e]!;
    }
    scope(() => {
      const dz = fromHost(backend, dtype, [n, tile.count], g, "fused");
      part.addTo(sums, dz, { start: 0, count: n }, tile, { x: tile.start > 0, weight: false });
    });
  }
  const sparse = (t: Tensor | undefined, of: Tensor | undefined): RowSparse | undefined =>
    t && new RowSparse(of!.shape, ids, t as Float);
  return [sums.x, sparse(sums.weight, weight), sparse(sums.bias, bias)];
}

// ---------------------------------------------------------------------------------------------------------------
// The losses

/** What stays the same from tile to tile. */
interface Settings {
  /** The loss of scores that are there. */
  readonly loss: Loss<{ readonly ignoreIndex?: number }, "either">;
  /** How far below the largest score of a row its support may reach. */
  readonly margin: number;
  readonly labels: Tensor<Shape, "i32">;
  readonly ignoreIndex: number;
  readonly counted: Float;
  readonly reduction: Reduction;
  readonly chunkRows: number;
  readonly chunkClasses: number;
}

type Arguments = readonly [x: Float, weight: Float, bias: Float | undefined];

const fused = (
  name: string,
  settings: Settings,
): { readonly [form in "definition" | "op"]: (...args: Arguments) => Float } => {
  const { loss, labels, ignoreIndex, counted, reduction } = settings;
  const lossOf = ({ z, target, ignoreIndex }: Candidates, scores: Float = z): Float =>
    loss(scores, target, { reduction: "none", ignoreIndex }) as Float;
  const chunks = spans(labels.size, settings.chunkRows);
  const definition = (x: Float, weight: Float, bias: Float | undefined): Float =>
    loss(linear(x, weight as never, bias as never) as Float, labels, { reduction, ignoreIndex }) as Float;
  const op = customOp<Arguments, Float, readonly Candidates[]>(name, {
    forward: (args) => {
      const layer = new Layer(...args);
      const readable = layer.backend.name !== "webgpu";
      const target = readable ? (hostCopy(labels) as Int32Array) : undefined;
      const each = chunks.map((rows) =>
        scope(() => {
          if (!target) return { loss: lossOf(allScores(layer, rows, settings)) };
          const found = candidatesOf(layer, rows, target, settings);
          return { loss: lossOf(found), found };
        }),
      );
      const saved = each.flatMap(({ found }) => (found ? [found] : []));
      const losses = each.map(({ loss }) => loss);
      const all = losses.length === 1 ? losses[0]! : (concat(losses as never) as Float);
      return { value: reduction === "none" ? all : (reduceLosses(all, counted, reduction) as Float), saved };
    },
    vjp: ([g], { args, saved, wanted }) => {
      const layer = new Layer(...args);
      const upstream =
        reduction === "mean"
          ? (mul(g as Float, inverse(sum(counted as never) as Float)) as Float)
          : (g as Float);
      const gradientOf = (c: Candidates): Float => {
        const { count, start } = c.rows;
        const own = upstream.size === 1 ? upstream : upstream.slice([start, start + count]);
        const { pullback } = vjp((z: Float) => lossOf(c, z), c.z);
        return pullback(broadcastTo(own, [count]) as Float)[0] as Float;
      };
      if (saved.length > 0) {
        const gradients = saved.map((c) => scope(() => hostCopy(gradientOf(c))));
        return carried(args, entriesOf(saved, gradients, layer.classes), wanted);
      }
      const sums = layer.sums(wanted, args, false);
      for (const rows of chunks) {
        scope(() => {
          const dz = gradientOf(allScores(layer, rows, settings));
          const every = { start: 0, count: layer.classes };
          layer.addTo(sums, dz, rows, every, { x: false, weight: rows.start > 0 });
        });
      }
      return [sums.x, sums.weight, sums.bias];
    },
    definition,
  });
  return { definition, op };
};

const known: readonly string[] = ["ignoreIndex", "reduction", "chunkRows", "chunkClasses"];

/** The loss of a linear layer from that of its scores. */
function declared(
  name: string,
  loss: Settings["loss"],
  margin: number,
  card: Pick<Op["info"], "doc" | "source" | "examples">,
): FusedSparseLoss {
  const fn = (
    x: Float,
    weight: Float,
    bias: Float | undefined,
    target: Labels,
    options: FusedSparseOptions = {},
  ): Float => {
    checkOptions(name, options, known);
    const { ignoreIndex = IGNORED } = options;
    const shaped = checkLayer(name, x, weight, bias, target, ignoreIndex);
    const labels = reshape(shaped, [shaped.size]) as Tensor<Shape, "i32">;
    const settings: Settings = {
      loss,
      margin,
      labels,
      ignoreIndex,
      counted: sub(1, cast(equal(labels, ignoreIndex), x.dtype)) as Float,
      reduction: reductionOf(name, options.reduction),
      // A device that cannot be read at once computes with the scores of all classes.
      chunkRows: chunkSize(name, options, "chunkRows", x.device === "webgpu" ? 32 : 128),
      chunkClasses: chunkSize(name, options, "chunkClasses", 512),
    };
    const rows = reshape(x, [labels.size, weight.shape[1]!]) as Float;
    const { definition, op } = fused(name, settings);
    const all = (rows.size === 0 ? definition : op)(rows, weight, bias);
    return settings.reduction === "none" ? (reshape(all, shaped.shape) as Float) : all;
  };
  return describe(fn, {
    name,
    kind: "structure",
    laws: [],
    options: known,
    domain: { x: { min: -1, max: 1 } },
    ...card,
  }) as unknown as FusedSparseLoss;
}

/**
 * The sparsemax loss of a linear layer, sparsemaxLoss(linear(x, weight, bias), target), without a tensor of its scores: of N
 * rows and V classes a tile is there at a time, and beyond it only the scores within 1 of a row's largest. The gradient
 * touches the classes in the support of some row or right for it: those of weight and bias are of these rows alone
 * (`RowSparse`, where an optimizer takes them).
 *
 * x [..., d], weight [V, d], bias [V] or undefined, target [...] of class indices; float tensors of one type. Gives one
 * number, a mean over the rows that count, or with `reduction: "none"` one a row. Second derivatives are those of the layer
 * with all its scores. Throws ShapeError where sizes do not fit, and DomainError for classes that are not there. On WebGPU,
 * which cannot be read on the way, the scores of `chunkRows` rows are there at a time, and the gradient is dense.
 *
 * @formula L = \langle p-e_t,\,z\rangle+H(p),\qquad z=Wx+b,\quad p=\mathrm{sparsemax}(z),\quad
 *   H(p)=\tfrac12\Bigl(1-\sum_j p_j^2\Bigr)
 * @gradient dz = p-e_t,\qquad dx=W^\top dz,\quad dW=dz\,x^\top
 * @see sparsemaxLoss: of scores that are there
 * @see fusedLinearEntmax15Loss: smoother, with more classes
 * @see fusedLinearCrossEntropy: with all classes
 * @example fusedLinearSparsemaxLoss(tensor([[1, 2]]), tensor([[0, 0], [0.2, 0], [0, 0.05]]), undefined, [1]) // 0.2433
 */
export const fusedLinearSparsemaxLoss: FusedSparseLoss = /* @__PURE__ */ declared(
  "fusedLinearSparsemaxLoss",
  sparsemaxLoss as Settings["loss"],
  1,
  {
    doc: "The sparsemax loss of a linear layer without the tensor of its scores.",
    source: "Martins & Astudillo 2016, eq. 18",
    examples: [
      {
        args: [
          [[1, 2]],
          [
            [0, 0],
            [0.2, 0],
            [0, 0.05],
          ],
          undefined,
          { i32: [1] },
        ],
        gives: 0.24333333333333335,
      },
    ],
  },
);

/**
 * The 1.5-entmax loss of a linear layer, entmax15Loss(linear(x, weight, bias), target), without a tensor of its scores: as
 * `fusedLinearSparsemaxLoss`, with the scores within 2 of a row's largest.
 *
 * @formula L = \langle p-e_t,\,z\rangle+H(p),\qquad z=Wx+b,\quad p=\mathrm{entmax15}(z),\quad H(p)=\tfrac43\Bigl(1-\sum_j
 *   p_j^{3/2}\Bigr)
 * @gradient dz = p-e_t,\qquad dx=W^\top dz,\quad dW=dz\,x^\top
 * @see entmax15Loss: of scores that are there
 * @see fusedLinearSparsemaxLoss: with fewer classes
 * @example fusedLinearEntmax15Loss(tensor([[1, 2]]), tensor([[5, 0], [0, 0], [0, 0.5]]), undefined, [0]) // 0
 */
export const fusedLinearEntmax15Loss: FusedSparseLoss = /* @__PURE__ */ declared(
  "fusedLinearEntmax15Loss",
  entmax15Loss as Settings["loss"],
  2,
  {
    doc: "The 1.5-entmax loss of a linear layer without the tensor of its scores.",
    source: "Peters, Niculae & Martins 2019, eq. 8",
    examples: [
      {
        args: [
          [[1, 2]],
          [
            [5, 0],
            [0, 0],
            [0, 0.5],
          ],
          undefined,
          { i32: [0] },
        ],
        gives: 0,
      },
    ],
  },
);
