// A softmax over the leaves of a binary tree: a class costs as many dot products as its path has steps.

import { zeros } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import { DomainError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { Parameter } from "../../core/parameter.ts";
import { type Key, split as splitKey, uniform } from "../../core/random.ts";
import { mul, neg, add as plus, type Row, type Scalar, sum } from "../../core/row/expr.ts";
import { rowReduction } from "../../core/rowop.ts";
import { scope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { untracked } from "../../core/tape.ts";
import { fromHost, hostCopy, type Tensor } from "../../core/tensor.ts";
import { reshape } from "../../core/views.ts";
import { softplus } from "../../core/words.ts";
import { add, logSigmoid, neg as negative } from "../../ops/elementwise.ts";
import { scatterAdd, take, topK } from "../../ops/indexing.ts";
import { linear } from "../../ops/matmul.ts";
import { concat, split } from "../../ops/movement.ts";
import { layerKey } from "../keys.ts";
import type { WeightOptions } from "./full.ts";
import { type Batch, indices, joined, numbers, OutputLayer } from "./layer.ts";
import { beamSearch, bestFirst, type Found } from "./search.ts";
import { balancedTree, type Level, Paths, type Tree, type TreeLike } from "./trees.ts";

type Any<D extends FloatDType> = Tensor<Shape, D>;

/** −log of the probability that nodes decide as a path wants it: softplus(−s·(x·w + b)), a row of features and of weights each. */
const stepLoss: (
  x: Tensor,
  step: { readonly w: Tensor; readonly bias: Tensor; readonly sign: Tensor },
) => Tensor = /* @__PURE__ */ rowReduction("hierarchicalSoftmax", {
  doc: "The negative log-probability that a node decides as it should.",
  params: { w: { is: "row", exact: true }, bias: { is: "scalar" }, sign: { is: "scalar" } },
  program: ({ x, w, bias, sign }) => softplus(neg(mul(sign, plus(sum(mul(x, w) as Row), bias)))) as Scalar,
  over: "last",
  examples: [],
});

/** Options of `topK`. */
export interface BeamOptions {
  /** Follows so many nodes a level (at least k) instead of searching exactly. */
  readonly beam?: number;
}

/** Classes with their log-probabilities, the most probable first. */
export interface Ranked<D extends FloatDType = FloatDType> {
  readonly values: Tensor<Shape, D>;
  readonly indices: Tensor<Shape, "i32">;
}

/**
 * A distribution over many classes that trains in time proportional to the logarithm of their number: classes are the leaves
 * of a binary tree, and each inner node decides between left and right by a logistic regression, P(right) = σ(w·x + b). A
 * training step touches the nodes on the paths of its targets alone, and gives gradients of these rows.
 *
 * The tree is a number of classes (balanced), `huffmanTree(frequency)` (frequent classes near the root: the fewest nodes on
 * average), or one's own, `{ left, right }`; one that is none throws DomainError. Parameters are `node.weight` [V − 1, d] and
 * `node.bias` [V − 1], drawn as in `Linear`. Training needs the targets on the host.
 *
 * `logProb` scores every node: no dearer than a softmax, and no cheaper. `predict` and `topK` search best first, which is exact
 * and visits few nodes once the model is sure; a descent that goes the likelier way at each node would not be exact. On a GPU
 * they score every node.
 *
 * Source: Morin & Bengio 2005; Mnih & Hinton 2008; Huffman's tree: Mikolov et al. 2013.
 * @example
 * import { normal } from "simplexgrad";
 * import { HierarchicalSoftmax, huffmanTree } from "simplexgrad/nn";
 *
 * const layer = new HierarchicalSoftmax(8, huffmanTree([50, 30, 10, 5, 5]));
 * const x = normal([2, 8], { seed: 0 });
 * layer.forward(x, [0, 4]).loss.shape; // []
 * layer.topK(x, 3).indices.shape;      // [2, 3]
 */
export class HierarchicalSoftmax<D extends FloatDType = "f32"> extends OutputLayer<D> {
  readonly node: { readonly weight: Parameter<Shape, D>; readonly bias: Parameter<Shape, D> };
  private readonly paths: Paths;

  constructor(inFeatures: number, tree: TreeLike | number, options: WeightOptions<D> = {}) {
    const place = "HierarchicalSoftmax";
    const paths = new Paths(place, typeof tree === "number" ? balancedTree(tree) : tree);
    super(place, inFeatures, paths.nClasses);
    checkOptions(place, options, ["key", "seed", "dtype", "device"]);
    const { key, seed, ...rest } = options;
    const keys = splitKey(layerKey(place, options, inFeatures, paths.nClasses));
    const reach = 1 / Math.sqrt(inFeatures);
    const draw = (name: string, shape: number[], of: Key | undefined): Parameter<Shape, D> =>
      scope(
        () =>
          new Parameter(uniform(shape, { ...rest, key: of!, low: -reach, high: reach }) as Any<D>, { name }),
      );
    this.paths = paths;
    this.node = {
      weight: draw("weight", [paths.nClasses - 1, inFeatures], keys[0]),
      bias: draw("bias", [paths.nClasses - 1], keys[1]),
    };
  }

  /** The tree: see `TreeLike`. */
  get tree(): Tree {
    return this.paths.tree;
  }

  protected override rowLosses({ rows, ids }: Batch<D>): Any<D> {
    return this.along(rows, ids, 1);
  }

  /** Negative log-probabilities of classes, `each` of them for every row. */
  private along(rows: Any<D>, ids: Int32Array, each: number): Any<D> {
    const { starts, steps } = this.paths.steps(ids);
    const owner = new Int32Array(steps.length);
    for (let i = 0; i < ids.length; i++) owner.fill(i, starts[i], starts[i + 1]);
    const nodes = indices(
      rows,
      steps.map((step) => step >> 1),
    );
    const losses = stepLoss(
      take(
        rows,
        indices(
          rows,
          owner.map((i) => Math.floor(i / each)),
        ),
      ),
      {
        w: take(this.node.weight.value, nodes),
        bias: take(this.node.bias.value, nodes),
        sign: numbers(
          rows,
          steps.map((step) => 2 * (step & 1) - 1),
        ),
      },
    ) as Any<D>;
    const none = zeros([ids.length], { dtype: rows.dtype, device: rows.device });
    return scatterAdd(none as Any<D>, indices(rows, owner), losses);
  }

  protected override rowLogProb(rows: Any<D>): Any<D> {
    const count = rows.shape[0]!;
    if (this.nClasses === 1) return reshape(this.along(rows, new Int32Array(count), 1), [count, 1]);
    const { levels, at } = this.paths.levels;
    const order = indices(rows, joined(levels.map(({ nodes }) => nodes)));
    const scores = linear(
      rows,
      take(this.node.weight.value, order) as never,
      take(this.node.bias.value, order) as never,
    ) as Any<D>;
    const parts = split(
      scores,
      levels.map(({ nodes }) => nodes.length),
      1,
    );
    let reached: Any<D> | undefined;
    const children = levels.map(({ next }: Level, i) => {
      const sides = [logSigmoid(negative(parts[i]!)), logSigmoid(parts[i]!)] as Any<D>[];
      const come = reached;
      const both = concat(come ? sides.map((side) => add(side, come as never) as Any<D>) : sides, 1);
      reached = next.length > 0 ? take(both, indices(rows, next), 1) : undefined;
      return both;
    });
    return take(concat(children, 1), indices(rows, at), 1);
  }

  protected override rowPredictions(rows: Any<D>): Tensor<Shape, "i32"> {
    if (rows.device === "webgpu") return super.rowPredictions(rows);
    return indices(
      rows,
      Int32Array.from(this.search(rows, 1), ({ classes }) => classes[0]!),
    );
  }

  /**
   * The k most probable classes of each row and their log-probabilities, [..., k], the most probable first (of equal ones the
   * smaller index). With `beam`, those that a beam of so many nodes finds. Throws DomainError for a k that is no number of classes.
   *
   * @example
   * layer.topK(x, 10);
   * layer.topK(x, 10, { beam: 50 });
   */
  topK(x: Any<D>, k: number, options?: BeamOptions): Ranked<D> {
    checkOptions(this.place, options, ["beam"]);
    const { beam } = options ?? {};
    const { rows, outer } = this.rowsOf(x);
    const integer = (name: string, v: unknown, low: number, high: number): void => {
      if (!Number.isInteger(v) || (v as number) < low || (v as number) > high)
        throw new DomainError(
          this.place,
          `${name} is ${showValue(v)}`,
          `give an integer from ${low}${high === Number.POSITIVE_INFINITY ? "" : ` to ${high}, the number of classes`}`,
        );
    };
    integer("k", k, 1, this.nClasses);
    if (beam !== undefined) integer("beam", beam, k, Number.POSITIVE_INFINITY);
    const shape = [...outer, k];
    if (rows.device === "webgpu") {
      const { values, indices: classes } = topK(this.rowLogProb(rows), k);
      return { values: reshape(values, shape), indices: reshape(classes, shape) };
    }
    const ids = Int32Array.from(this.search(rows, k, beam).flatMap(({ classes }) => classes));
    const values = reshape(negative(this.along(rows, ids, k) as never) as Any<D>, shape);
    return { values, indices: fromHost(rows.backend, "i32", shape, ids, "topK") };
  }

  /** The best leaves of each row. Rows and weights are read; a node's score is computed when a search comes by. */
  private search(rows: Any<D>, k: number, beam?: number): Found[] {
    return untracked(() => {
      const [x, weight, bias] = [rows, this.node.weight.value, this.node.bias.value].map(
        hostCopy,
      ) as unknown as Float64Array[];
      const d = this.inFeatures;
      return Array.from({ length: rows.shape[0]! }, (_, row) => {
        const from = row * d;
        const score = (node: number): number => {
          let u = bias![node]!;
          for (let j = 0, at = node * d; j < d; j++) u += x![from + j]! * weight![at + j]!;
          return u;
        };
        return beam === undefined ? bestFirst(this.tree, score, k) : beamSearch(this.tree, score, k, beam);
      });
    });
  }
}
