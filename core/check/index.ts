// Checking functions of tensors: gradients against differences, random inputs that shrink, and the laws of probability maps.
// The one entry that needs fast-check.

export {
  distributions,
  type Layout,
  labels,
  masks,
  type ScoreKind,
  type ScoreOptions,
  type ShapeOptions,
  scoreRow,
  scoreRows,
  shapes,
  type TensorOptions,
  tensors,
} from "./arbitraries.ts";
export {
  type Comparison,
  type GradcheckOptions,
  type GradcheckReport,
  gradcheck,
  gradgradcheck,
  type Outputs,
} from "./gradcheck.ts";
export {
  checkLaws,
  type Law,
  type LawFunction,
  type LawName,
  type LawOptions,
  laws,
  objectionTo,
  simplexLaws,
} from "./laws.ts";
