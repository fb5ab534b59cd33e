// The heads of the main job: each is a map from scores to probabilities, with the loss that trains it.

import type { Shape, Tensor } from "simplexgrad";
import {
  crossEntropy,
  entmax15Loss,
  entmaxLoss,
  logSphericalCe,
  sparsemaxLoss,
  sparseSoftmaxLoss,
  taylorCe,
} from "simplexgrad/losses";
import {
  entmax,
  entmax15,
  softmax,
  sparsemax,
  sparseSoftmax,
  sphericalSoftmax,
  taylorSoftmax,
} from "simplexgrad/ops";

type Scores = Tensor<Shape, "f32">;
type Labels = Tensor<Shape, "i32">;

export interface Head {
  /** What `--loss` calls it. */
  readonly name: string;
  readonly title: string;
  /** How scores become probabilities, in one line. */
  readonly note: string;
  readonly loss: (scores: Scores, labels: Labels) => Tensor<Shape, "f32">;
  readonly map: (scores: Scores) => Tensor<Shape, "f32">;
}

/** With ε = 0 a right score of exactly 0 has loss ∞. */
const eps = 0.01;

export const heads: readonly Head[] = [
  {
    name: "softmax",
    title: "softmax",
    note: "p ∝ exp(x)",
    loss: (x, y) => crossEntropy(x, y),
    map: (x) => softmax(x),
  },
  {
    name: "smoothing",
    title: "label smoothing 0.1",
    note: "p ∝ exp(x), targets smoothed",
    loss: (x, y) => crossEntropy(x, y, { labelSmoothing: 0.1 }),
    map: (x) => softmax(x),
  },
  {
    name: "sparsemax",
    title: "sparsemax",
    note: "p = max(x − τ, 0)",
    loss: (x, y) => sparsemaxLoss(x, y),
    map: (x) => sparsemax(x),
  },
  {
    name: "entmax15",
    title: "entmax 1.5",
    note: "p = max(x/2 − τ, 0)²",
    loss: (x, y) => entmax15Loss(x, y),
    map: (x) => entmax15(x),
  },
  {
    name: "entmax125",
    title: "entmax 1.25",
    note: "p = max(x/4 − τ, 0)⁴",
    loss: (x, y) => entmaxLoss(x, y, { alpha: 1.25 }),
    map: (x) => entmax(x, { alpha: 1.25 }),
  },
  {
    name: "taylor",
    title: "Taylor, order 2",
    note: "p ∝ 1 + x + x²/2",
    loss: (x, y) => taylorCe(x, y, { order: 2 }),
    map: (x) => taylorSoftmax(x, { order: 2 }),
  },
  {
    name: "spherical",
    title: "spherical",
    note: `p ∝ x² + ${eps}`,
    loss: (x, y) => logSphericalCe(x, y, { eps }),
    map: (x) => sphericalSoftmax(x, { eps }),
  },
  {
    name: "top3",
    title: "top-3 softmax",
    note: "p ∝ exp(x), three classes",
    loss: (x, y) => sparseSoftmaxLoss(x, y, { k: 3 }),
    map: (x) => sparseSoftmax(x, { k: 3 }),
  },
];
