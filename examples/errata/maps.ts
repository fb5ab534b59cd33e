// Errata of maps from scores to probabilities. Each function named `published…` is code or a formula as it was published, in
// tensors; where a claim is wrong and not a program, it stands in words.

import { grad, type Shape, type Tensor, tensor } from "simplexgrad";
import { crossEntropy } from "simplexgrad/losses";
import {
  add,
  asSoftmax,
  cast,
  clip,
  cumsum,
  div,
  entmax,
  entmax15,
  greater,
  log,
  logicalAnd,
  maskedSoftmax,
  max,
  maximum,
  mul,
  neg,
  perturbMax,
  relu,
  softmax,
  sort,
  sparsemax,
  sqrt,
  square,
  sub,
  sum,
  take,
  taylorSoftmax,
} from "simplexgrad/ops";
import { type Erratum, type Row, row } from "./erratum.ts";

type Positions = Tensor<Shape, "i32">;

/** 1, 2, …, n. */
const counting = (n: number): Row => row(...Array.from({ length: n }, (_, i) => i + 1));

/** Where a condition holds. */
const positions = (condition: Tensor<Shape, "bool">): Positions => {
  const holds = [...condition.dataSync()];
  return tensor(Int32Array.from(holds.flatMap((held, i) => (held ? [i] : []))));
};

const entry = (x: Row, i: number): Row => take(x, tensor([i], { dtype: "i32" })) as Row;

/** P2: the class `Entmax15`. The threshold, the linear output and the last division are those of the code. */
function publishedEntmax15(x: Row): Row {
  const z = sub(x, max(x)) as Row;
  const sorted = sort(z, { descending: true }).values as Row;
  const sums = cumsum(sorted) as Row;
  const candidates = div(sub(sums, 1), counting(x.size)) as Row;
  const k = sum(cast(greater(sorted, candidates), "f64")).item();
  const tau = div(sub(entry(sums, k - 1), 1), k) as Row;
  const output = relu(sub(z, tau)) as Row;
  return div(output, add(sum(output), 1e-12)) as Row;
}

/** P3: the comment above that code, max(0, (2/3·(z − τ))^(1/0.5))², at a given τ. */
const publishedFormula = (z: Row, tau: number): Row => square(relu(square(mul(2 / 3, sub(z, tau))))) as Row;

/** P4: the class `AdaptiveEntmax`, a blend of softmax and sparsemax. */
function publishedAdaptive(x: Row, alpha: Row): Row {
  const sparse = sub(clip(alpha, { min: 1, max: 2 }), 1) as Row;
  const output = add(mul(sub(1, sparse), softmax(x)), mul(sparse, sparsemax(x))) as Row;
  return div(output, sum(output)) as Row;
}

/** P6: the function `entmat`, which looks for the threshold between two sorted scores, strictly. */
function publishedEntmat(x: Row): Row {
  const sorted = sort(div(x, 2), { descending: true }).values as Row;
  const k = counting(x.size);
  const mean = div(cumsum(sorted), k) as Row;
  const variance = sub(div(cumsum(square(sorted)), k), square(mean)) as Row;
  const candidates = sub(mean, sqrt(maximum(sub(div(1, k), variance), 0))) as Row;
  const next = row(...[...sorted.dataSync()].slice(1), Number.NEGATIVE_INFINITY);
  const found = positions(
    logicalAnd(greater(sorted, candidates), greater(candidates, next)) as Tensor<Shape, "bool">,
  );
  const threshold = take(candidates, found) as Row;
  return square(maximum(sub(div(x, 2), threshold), 0)) as Row;
}

/** P9: softmax over all, and zeros put where the mask does not hold; renormalised afterwards, or not. */
const publishedZeroing = (x: Row, mask: Row): Row => mul(softmax(x), mask) as Row;
const publishedRenormalising = (x: Row, mask: Row): Row => {
  const p = publishedZeroing(x, mask);
  return div(p, sum(p)) as Row;
};

/** P12: AS-Softmax as its paper writes it: what lies δ below the right class is masked, and not what lies more than δ below. */
function publishedAsSoftmax(x: Row, target: number, delta: number): Row {
  const p = [...softmax(x).dataSync()];
  return maskedSoftmax(x, tensor(p.map((q, i) => i === target || !(p[target]! - q >= delta))));
}

/** What a computation says when it fails. */
function complaint(compute: () => unknown): string {
  try {
    compute();
    return "no complaint";
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message.split(";")[0]}`;
  }
}

/** ∂p/∂α, entry by entry. */
const slopes = (p: (alpha: Row) => Row, alpha: number): Row =>
  row(...[0, 1, 2].map((i) => grad((a: Row) => sum(entry(p(a), i)))(row(alpha)).item()));

/** The gradient at x of ⟨g, p(x)⟩. */
const pulledBack = (p: (x: Row) => Row, x: Row, g: Row): Row => grad((x: Row) => sum(mul(p(x), g)))(x) as Row;

/** The errata of maps, in the order of their numbers. P5 (a table of costs) and P10 (sections that are missing) cannot be run. */
export function mapErrata(): Erratum[] {
  const [known, near] = [row(-2, 0, 0.5), row(0, 0.2, 0.3)];
  const [masked, mask, g] = [row(0, 1, 3), row(1, 1, 0), row(1, -1, 0)];
  const open = tensor([true, true, false]);
  const rightMasked = (x: Row): Row => maskedSoftmax(x, open);
  const large = row(1e8, 1e8 - 0.5, 1e8 - 1);
  // Where the probabilities are √p = z/2 − τ.
  const tau = 0.5 / 2 - Math.sqrt(entmax15(known).dataSync()[2]!);
  return [
    {
      id: "P1",
      title: "A softmax that was never computed",
      says: "a Keras guide prints softmax(−10, −5, 0, 5, 10).",
      why: "The digits are not those of the formula: the first is twice what it should be, the fourth a third too small.",
      findings: [
        {
          what: "softmax",
          input: "−10, −5, 0, 5, 10",
          published: "4.54e−9 3.35e−7 6.14e−5 4.50e−3 0.995",
          right: softmax(row(-10, -5, 0, 5, 10)),
          digits: { right: "2.0473e-9 3.0384e-7 4.5094e-5 6.6925e-3 0.993262" },
        },
      ],
    },
    {
      id: "P2",
      title: "An entmax-1.5 that is sparsemax",
      says: "the class Entmax15 of a Keras guide: scores are not halved, cumulative sums less 1 give the threshold, the output is linear and normalised at the end.",
      why: "Entmax-1.5 squares (x/2 − τ)₊, and its τ comes from means and variances. Without the square this is the projection on the simplex. The docstring above the code states the right numbers.",
      findings: [
        {
          what: "probabilities",
          input: "−2, 0, 0.5",
          published: publishedEntmax15(known),
          right: entmax15(known),
          digits: { published: "0 0.25 0.75", right: "0 0.3260073637 0.6739926363" },
        },
        {
          what: "probabilities",
          input: "1, 0.5, 0.2, −0.5",
          published: publishedEntmax15(row(1, 0.5, 0.2, -0.5)),
          right: entmax15(row(1, 0.5, 0.2, -0.5)),
          digits: { published: "0.75 0.25 0 0", right: "0.592624973 0.270214278 0.136767861 0.000392888" },
        },
      ],
    },
    {
      id: "P3",
      title: "A formula that sums to nothing in particular",
      says: "the comment in the same code: p = max(0, (2/3·(z − τ))^(1/0.5))².",
      why: "p = max(0, z/2 − τ)². The printed one is a fourth power with another factor; at the τ of the right one it is no distribution.",
      findings: [
        {
          what: "its sum at the right τ",
          input: "−2, 0, 0.5",
          published: sum(publishedFormula(known, tau)),
          right: sum(square(relu(sub(div(known, 2), tau)))),
          digits: { published: "1.1046", right: "1.000000" },
        },
      ],
    },
    {
      id: "P4",
      title: "A blend is no entmax",
      says: "the class AdaptiveEntmax of a Keras guide: between α = 1 and α = 2 a blend of softmax and sparsemax approximates entmax.",
      why: "A blend with softmax has no zero, and its derivative in α points elsewhere. And clip gives α no gradient once it has left [1, 2]: it never comes back.",
      findings: [
        {
          what: "α = 1.5",
          input: "−2, 0, 0.5",
          published: publishedAdaptive(known, row(1.5)),
          right: entmax(known, { alpha: 1.5 }),
          digits: { published: "0.0243 0.3046 0.6711", right: "0 0.3260 0.6740" },
        },
        {
          what: "∂p/∂α there",
          input: "−2, 0, 0.5",
          published: slopes((alpha) => publishedAdaptive(known, alpha), 1.5),
          right: slopes((alpha) => entmax(known, { alpha }), 1.5),
          digits: { published: "-0.0486 -0.1092 0.1578", right: "0 -0.1239 0.1239" },
        },
        {
          what: "α = 1.25",
          input: "−2, 0, 0.5",
          published: publishedAdaptive(known, row(1.25)),
          right: entmax(known, { alpha: 1.25 }),
          digits: { published: "0.0365 0.3319 0.6317", right: "0.005339 0.352110 0.642551" },
        },
        {
          what: "∂p/∂α at α = 2.5",
          input: "0, 0.2, 0.3",
          published: slopes((alpha) => publishedAdaptive(near, alpha), 2.5),
          right: slopes((alpha) => entmax(near, { alpha }), 2.5),
          digits: { published: "0 0 0", right: "0 -0.0491 0.0491" },
        },
      ],
    },
    {
      id: "P6",
      title: "A threshold that is not found",
      says: "the function entmat of an overview of softmax alternatives: the threshold lies strictly between two sorted scores, which are not shifted first.",
      why: "A threshold may lie exactly on a score: then none is selected. And the variance of unshifted scores is a difference of squares, which has lost its digits at 1e6 already.",
      findings: [
        {
          what: "a threshold on a score",
          input: "2, 0",
          published: complaint(() => publishedEntmat(row(2, 0))),
          right: entmax15(row(2, 0)),
          digits: { published: "ShapeError", right: "1 0" },
        },
        {
          what: "a threshold on a score",
          input: "2, 0, −1",
          published: complaint(() => publishedEntmat(row(2, 0, -1))),
          right: entmax15(row(2, 0, -1)),
          digits: { published: "ShapeError", right: "1 0 0" },
        },
        {
          what: "large scores",
          input: "1e8, 1e8 − 0.5, 1e8 − 1",
          published: publishedEntmat(large),
          right: entmax15(large),
          digits: { published: "0.6845 0.3333 0.1072", right: "0.6242 0.2917 0.0841" },
        },
        {
          what: "their sum",
          input: "1e8, 1e8 − 0.5, 1e8 − 1",
          published: sum(publishedEntmat(large)),
          right: sum(entmax15(large)),
          digits: { published: "1.125", right: "1.000000" },
        },
        {
          what: "the sum at 1e6",
          input: "1e6, 1e6 − 0.5, 1e6 − 1",
          published: sum(publishedEntmat(row(1e6, 1e6 - 0.5, 1e6 - 1))),
          right: sum(entmax15(row(1e6, 1e6 - 0.5, 1e6 - 1))),
          digits: { published: "1.00003", right: "1.000000" },
        },
      ],
    },
    {
      id: "P7",
      title: "What Taylor softmax does not share with softmax",
      says: "an overview of softmax alternatives asks of them that they be monotone and invariant under shifts, and says of Taylor softmax neither that it is nor that it is not.",
      why: "1 + x + x²/2 falls below x = −1, and a shift changes the ratio of its values.",
      findings: [
        {
          what: "order 2, not monotone",
          input: "−1, −3, 0",
          published: "the first above the second",
          right: taylorSoftmax(row(-1, -3, 0), { order: 2 }),
          digits: { right: "0.125 0.625 0.25" },
        },
        {
          what: "order 2, before a shift",
          input: "0, 1",
          published: "what it is after",
          right: entry(taylorSoftmax(row(0, 1), { order: 2 }), 1),
          digits: { right: "0.7143" },
        },
        {
          what: "after a shift by 5",
          input: "5, 6",
          published: "what it was before",
          right: entry(taylorSoftmax(row(5, 6), { order: 2 }), 1),
          digits: { right: "0.5747" },
        },
      ],
    },
    {
      id: "P8",
      title: "Perturb-max may tie different scores",
      says: "the same overview: perturb-max is monotone, pᵢ = pⱼ only where xᵢ = xⱼ.",
      why: "Only for noise without an upper bound. Uniform noise on (−½, ½) never lifts a score that lies 1 below another.",
      findings: [
        {
          what: "uniform noise",
          input: "2, 0, −1",
          published: "three different numbers",
          right: perturbMax(row(2, 0, -1), { noise: "uniform" }),
          digits: { right: "1 0 0" },
        },
      ],
    },
    {
      id: "P9",
      title: "Zeros put after softmax",
      says: "a chapter on applications: zeroing after a full softmax leaks gradient to masked scores.",
      why: "It does where nothing renormalises. Zeroing and then renormalising leaks nothing in exact arithmetic; its fault is another: where the masked score is the largest, nothing is left to divide.",
      findings: [
        {
          what: "sum, zeros put after",
          input: "0, 1, (3)",
          published: sum(publishedZeroing(masked, mask)),
          right: sum(rightMasked(masked)),
          digits: { published: "0.156", right: "1.000000" },
        },
        {
          what: "gradient of the masked score",
          input: "0, 1, (3); g = 1, −1, 0",
          published: entry(
            pulledBack((x) => publishedZeroing(x, mask), masked, g),
            2,
          ),
          right: entry(pulledBack(rightMasked, masked, g), 2),
          digits: { published: "0.0609", right: "0" },
        },
        {
          what: "gradient, renormalised",
          input: "0, 1, (3); g = 1, −1, 0",
          published: pulledBack((x) => publishedRenormalising(x, mask), masked, g),
          right: pulledBack(rightMasked, masked, g),
          digits: { published: "0.393 -0.393 0.000", right: "0.393 -0.393 0" },
        },
        {
          what: "renormalised, 0/0",
          input: "0, 1, (800)",
          published: publishedRenormalising(row(0, 1, 800), mask),
          right: rightMasked(row(0, 1, 800)),
          digits: { published: "NaN NaN NaN", right: "0.2689 0.7311 0" },
        },
      ],
    },
    {
      id: "P11",
      title: "Softmax is one-hot sooner than one thinks",
      says: "an overview of softmax alternatives: with softmax a one-hot distribution never appears.",
      why: "In exact arithmetic. In f64 the largest probability is exactly 1 for gaps above 37, and the smallest exactly 0 for gaps above 745. So losses have to work from scores.",
      findings: [
        {
          what: "largest probability",
          input: "38, 0",
          published: "below 1",
          right: entry(softmax(row(38, 0)), 0),
          digits: { right: "1" },
        },
        {
          what: "smallest probability",
          input: "746, 0",
          published: "above 0",
          right: entry(softmax(row(746, 0)), 1),
          digits: { right: "0" },
        },
        {
          what: "−log p of the second",
          input: "746, 0",
          published: neg(log(entry(softmax(row(746, 0)), 1))),
          right: crossEntropy(tensor([[746, 0]], { dtype: "f64" }), [1]),
          digits: { published: "Infinity", right: "746" },
        },
      ],
    },
    {
      id: "P12",
      title: "Masked at equality, or not",
      says: "the paper of AS-Softmax masks what lies δ or more below the right class; its code keeps what lies δ below.",
      why: "They differ where the difference is δ exactly, as for ties at δ = 0 or certain rows at δ = 1. The code keeps, so that δ = 1 is softmax.",
      findings: [
        {
          what: "a tie at δ = 0",
          input: "0, 0; the first is right",
          published: publishedAsSoftmax(row(0, 0), 0, 0),
          right: asSoftmax(tensor([[0, 0]], { dtype: "f64" }), [0], { delta: 0 }),
          digits: { published: "1 0", right: "0.5 0.5" },
        },
      ],
    },
  ];
}
