// Errata of losses. Each function named `published…` is code or a formula as it was published, in tensors; where a claim is
// wrong and not a program, it stands in words.

import { eye, grad, stopGradient, type Tensor, tensor } from "simplexgrad";
import {
  crossEntropy,
  ece,
  focal,
  kdKl,
  labelSmoothingCe,
  learnableLabelSmoothing,
  softAccuracy,
  sparsemaxLoss,
  sparseSoftmaxLoss,
  weightedCrossEntropy,
} from "simplexgrad/losses";
import {
  add,
  div,
  entmax15,
  log,
  mul,
  neg,
  norm,
  softmax,
  sparsemax,
  sparseSoftmax,
  square,
  sub,
  sum,
} from "simplexgrad/ops";
import { type Erratum, type Row, row } from "./erratum.ts";

/** A batch of one. */
const batch = (...scores: readonly number[]): Row => tensor([scores], { dtype: "f64" });

const gradient = (f: (x: Row) => Tensor, x: Row): Row => grad(f)(x) as Row;

/** 1 at the right class, in a batch of one. */
const oneHot = (n: number, target: number): Row =>
  batch(...Array.from({ length: n }, (_, i) => Number(i === target)));

/** L1: the loss of an overview, with the stop on the scores. */
const publishedStop = (x: Row, y: Row): Row => sum(mul(sub(entmax15(x), y), stopGradient(x))) as Row;
const rightStop = (x: Row, y: Row): Row => sum(mul(stopGradient(sub(entmax15(x), y) as Row), x)) as Row;

/** L2: the class `SparsemaxLoss`, ½‖z − p‖² − ⟨z, y⟩; with `from_logits=False` p is what it is given. */
function publishedSparsemaxLoss(z: Row, y: Row, fromLogits = true): Row {
  const p = fromLogits ? sparsemax(z) : z;
  return sub(mul(0.5, sum(square(sub(z, p)))), sum(mul(z, y))) as Row;
}

/** L3: probabilities first, and their logarithm with 1e-12 added. */
const published = (p: Row): Row => log(add(p, 1e-12)) as Row;
function publishedFocal(x: Row, y: Row): Row {
  const right = sum(mul(softmax(x), y)) as Row;
  return mul(mul(-0.25, square(sub(1, right))), published(right)) as Row;
}
function publishedSmoothing(x: Row, y: Row, epsilon: number): Row {
  const smooth = add(mul(y, 1 - epsilon), epsilon / x.size);
  return neg(sum(mul(smooth, published(softmax(x))))) as Row;
}

/** L7: the divergence of softened distributions as it stands, without the factor T². */
const publishedDistillation = (student: Row, teacher: Row, temperature: number): Row =>
  div(kdKl(student, teacher, { temperature }), temperature ** 2) as Row;

/** Scores of two classes of which the first has a probability. */
const withProbability = (p: number): Row => batch(Math.log(p / (1 - p)), 0);

/** ∂L/∂γ of the focal loss with α = 0.25 and γ = 2. */
const slopeOfGamma = (p: number): number =>
  grad((gamma: Row) => focal(withProbability(p), [0], { alpha: 0.25, gamma }))(row(2)).item();

/** The errata of losses, in the order of their numbers. L12 (that label smoothing almost always helps) cannot be run. */
export function lossErrata(): Erratum[] {
  const x = batch(1, 0.4, 0.1);
  const first = oneHot(3, 0);
  const [far, close] = [batch(5, 0, 1), batch(0.2, 0.1, 0)];
  const hopeless = batch(0, 100);
  const [teacher, student] = [batch(2, 0.5, -1), batch(0, 1, 0.3)];
  const distill = (loss: (s: Row, T: number) => Tensor, T: number): Row =>
    norm(gradient((s) => loss(s, T), student)) as Row;
  const kd = (s: Row, temperature: number): Tensor => kdKl(s, teacher, { temperature });
  const confusion = eye(3, { dtype: "f64" });
  const half = batch(0.5, 0);
  const weights = row(5, 1);
  // At this temperature the second prediction is 0.8, the end of a bin: a little warmer it is in the bin of the first.
  const scores = tensor(
    [
      [1.2, 0],
      [1.4, 0],
    ],
    { dtype: "f64" },
  );
  const edge = 1.4 / Math.log(4);
  const change = (f: (x: Row) => Tensor): number =>
    (f(div(scores, edge * (1 + 1e-9)) as Row).item() as number) -
    (f(div(scores, edge * (1 - 1e-9)) as Row).item() as number);
  return [
    {
      id: "L1",
      title: "The stop on the wrong factor",
      says: "an overview of softmax alternatives: (p − onehot) · stop_gradient(x) has the gradient p − onehot.",
      why: "What is stopped is a constant: the gradient is that of p, J·x, and may point the other way. The stop belongs on p − onehot.",
      findings: [
        {
          what: "gradient with entmax-1.5",
          input: "1, 0.4, 0.1; the first is right",
          published: gradient((x) => publishedStop(x, first), x),
          right: gradient((x) => rightStop(x, first), x),
          digits: { published: "0.296 -0.113 -0.183", right: "-0.366 0.246 0.120" },
        },
      ],
    },
    {
      id: "L2",
      title: "A sparsemax loss with a sign too few",
      says: "the class SparsemaxLoss of a Keras guide: ½‖z − p‖² − ⟨z, y⟩.",
      why: "The loss is ½‖z − y‖² − ½‖z − p‖²: 0 with gradient 0 as soon as the right score leads by 1, and p − y as its gradient. The published one is neither 0 nor a loss; given probabilities it is −⟨p, y⟩.",
      findings: [
        {
          what: "loss",
          input: "5, 0, 1; the first is right",
          published: publishedSparsemaxLoss(far, first),
          right: sparsemaxLoss(far, [0]),
          digits: { published: "3.5", right: "0" },
        },
        {
          what: "gradient",
          input: "5, 0, 1",
          published: gradient((z) => publishedSparsemaxLoss(z, first), far),
          right: gradient((z) => sparsemaxLoss(z, [0]), far),
          digits: { published: "3 0 1", right: "0 0 0" },
        },
        {
          what: "loss",
          input: "0.2, 0.1, 0",
          published: publishedSparsemaxLoss(close, first),
          right: sparsemaxLoss(close, [0]),
          digits: { published: "-0.1183", right: "0.2433" },
        },
        {
          what: "gradient",
          input: "0.2, 0.1, 0",
          published: gradient((z) => publishedSparsemaxLoss(z, first), close),
          right: gradient((z) => sparsemaxLoss(z, [0]), close),
          digits: { published: "-1.233 -0.233 -0.233", right: "-0.567 0.333 0.233" },
        },
        {
          what: "loss, from probabilities",
          input: "sparsemax of 0.2, 0.1, 0",
          published: publishedSparsemaxLoss(sparsemax(close), first, false),
          right: sparsemaxLoss(close, [0]),
          digits: { published: "-0.4333", right: "0.2433" },
        },
      ],
    },
    {
      id: "L3",
      title: "1e-12 for safety",
      says: "all losses of a Keras guide: log(p + 1e-12), for numerical safety.",
      why: "It caps every loss at 27.6 times its weight, and where p is below 1e-12 it kills the gradient: on the samples that are most wrong. Losses of scores need no such number.",
      findings: [
        {
          what: "focal loss (γ 2, α 0.25)",
          input: "0, 100; the first is right",
          published: publishedFocal(hopeless, oneHot(2, 0)),
          right: focal(hopeless, [0], { gamma: 2, alpha: 0.25 }),
          digits: { published: "6.9078", right: "25.0" },
        },
        {
          what: "its gradient",
          input: "0, 100",
          published: gradient((x) => publishedFocal(x, oneHot(2, 0)), hopeless),
          right: gradient((x) => focal(x, [0], { gamma: 2, alpha: 0.25 }), hopeless),
          digits: { published: "-9e-33 9e-33", right: "-0.25 0.25" },
        },
        {
          what: "label smoothing (ε 0.1)",
          input: "0, 100; the second is right",
          published: publishedSmoothing(hopeless, oneHot(2, 1), 0.1),
          right: labelSmoothingCe(hopeless, [1], { epsilon: 0.1 }),
          digits: { published: "1.3816", right: "5.0" },
        },
      ],
    },
    {
      id: "L4",
      title: "A weight that balances nothing",
      says: "the class FocalLoss of a Keras guide: α is a class balancing weight.",
      why: "One α for all classes is a factor of the loss. To balance, each class needs its own.",
      findings: [0, 1].map((label) => ({
        what: `loss of class ${label} over that of α = 1`,
        input: "0, 0; α 0.25, or 0.25 and 0.75",
        published: div(focal(batch(0, 0), [label], { alpha: 0.25 }), focal(batch(0, 0), [label])),
        right: div(focal(batch(0, 0), [label], { alpha: row(0.25, 0.75) }), focal(batch(0, 0), [label])),
        digits: { published: "0.25", right: label === 0 ? "0.25" : "0.75" },
      })),
    },
    {
      id: "L5",
      title: "An identity that is nearly uniform",
      says: "the class LearnableLabelSmoothing of a Keras guide: the confusion matrix starts as the identity, and learns which classes are alike.",
      why: "The identity goes through a softmax. And learned by this loss alone each row moves to the class that is most probable already, until nothing is smoothed. (The code fails before: a loss has no add_weight.)",
      findings: [
        {
          what: "diagonal and the rest, 10 classes",
          input: "the identity",
          published: "1 and 0",
          right: softmax(eye(10, { dtype: "f64" })).slice(0, [0, 2]),
          digits: { right: "0.2320 0.0853" },
        },
        {
          what: "∂L/∂C of its row (s 0.1)",
          input: "2, 0.5, −1; the first is right",
          published: "towards classes that are alike",
          right: gradient(
            (confusion) => learnableLabelSmoothing(teacher, [0], { confusion, smoothing: 0.1 }),
            confusion as Row,
          ).slice(0),
          digits: { right: "-0.0549 0.0116 0.0434" },
        },
      ],
    },
    {
      id: "L6",
      title: "A γ that only rises",
      says: "the class AdaptiveFocalLoss of a Keras guide: γ adjusts itself to how difficult the examples are.",
      why: "∂L/∂γ = L·log(1 − p) is negative for every p: descent raises γ up to its limit, whatever the examples, and past it the gradient is 0.",
      findings: [
        [0.1, "-0.0491"],
        [0.5, "-0.0300"],
        [0.9, "-0.00061"],
        [0.99, "-1.2e-6"],
      ].map(([p, digits]) => ({
        what: "∂L/∂γ",
        input: `p = ${p}`,
        published: "of either sign",
        right: slopeOfGamma(p as number),
        digits: { right: digits as string },
      })),
    },
    {
      id: "L7",
      title: "Distillation without its T²",
      says: "a chapter on applications: the divergence of the softened distributions, without a factor.",
      why: "Its gradient shrinks with 1/T², and beside cross-entropy the teacher falls silent as T grows. T² keeps its size.",
      findings: [
        {
          what: "norm of the gradient, T = 1",
          input: "teacher 2, 0.5, −1; student 0, 1, 0.3",
          published: distill((s, T) => publishedDistillation(s, teacher, T), 1),
          right: distill(kd, 1),
          digits: { published: "0.7267", right: "0.7267" },
        },
        {
          what: "T = 10",
          input: "the same",
          published: distill((s, T) => publishedDistillation(s, teacher, T), 10),
          right: distill(kd, 10),
          digits: { published: "0.00817", right: "0.817" },
        },
      ],
    },
    {
      id: "L8",
      title: "A weight that a mean divides out",
      says: "a chapter on applications: the weight of a class scales the gradient.",
      why: "Of a sum it does. The usual mean divides by the weights: for a batch of one they cancel.",
      findings: [
        {
          what: "gradient, weight 5",
          input: "0.5, 0; the first is right",
          published: mul(
            5,
            gradient((x) => crossEntropy(x, [0]), half),
          ),
          right: gradient((x) => weightedCrossEntropy(x, [0], { weights }), half),
          digits: { published: "-1.8877 1.8877", right: "-0.3775 0.3775" },
        },
      ],
    },
    {
      id: "L9",
      title: "A temperature tuned on steps",
      says: "a chapter on applications: the temperature is tuned to minimise the calibration error.",
      why: "The calibration error jumps where a prediction changes its bin. Guo et al. fit T by the negative log-likelihood, which is smooth.",
      findings: [
        {
          what: "jump at T = 1.4/log 4",
          input: "1.2, 0 and 1.4, 0; the second is wrong",
          published: change((x) => ece(softmax(x), [0, 1], { bins: 10 })),
          right: change((x) => crossEntropy(x, [0, 1])),
          digits: { published: "-0.234", right: "0.0000000" },
        },
      ],
    },
    {
      id: "L10",
      title: "A logarithm of 0",
      says: "an overview of softmax alternatives: the loss of sparse softmax is −log p of the right class.",
      why: "A class that is not among the k largest has probability 0. The loss that is meant is a surrogate, log Σ over the k largest less the right score: finite, and it pulls the right one up.",
      findings: [
        {
          what: "loss, k = 2",
          input: "3, 2, 1, 0; the last is right",
          published: neg(log(sparseSoftmax(batch(3, 2, 1, 0), { k: 2 }).slice(0, 3))),
          right: sparseSoftmaxLoss(batch(3, 2, 1, 0), [3], { k: 2 }),
          digits: { published: "Infinity", right: "3.3133" },
        },
      ],
    },
    {
      id: "L11",
      title: "A loss that gives up",
      says: "an overview of softmax alternatives: −p of the right class suffers from vanishing gradients; it does not say where.",
      why: "The gradient is p·(p − onehot): it vanishes also where p is near 0, on the samples that are most wrong. There cross-entropy pulls hardest.",
      findings: [
        {
          what: "gradient",
          input: "0, 10; the first is right",
          published: gradient((x) => softAccuracy(x, [0]), batch(0, 10)),
          right: gradient((x) => crossEntropy(x, [0]), batch(0, 10)),
          digits: { published: "-4.54e-5 4.54e-5", right: "-0.99995 0.99995" },
        },
      ],
    },
  ];
}
