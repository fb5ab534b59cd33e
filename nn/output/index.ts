// Output layers: distributions over many classes, each with its loss.

export {
  AdaptiveEmbedding,
  AdaptiveSoftmax,
  type AdaptiveSoftmaxOptions,
} from "./adaptive.ts";
export { ClassBasedSoftmax, frequencyClusters } from "./class-based.ts";
export {
  adaptiveCutoffs,
  type CutoffOptions,
  type Cutoffs,
  type MeasureOptions,
  measureSoftmax,
  type SoftmaxCost,
} from "./cutoffs.ts";
export { FullSoftmax, type WeightOptions } from "./full.ts";
export { type BeamOptions, HierarchicalSoftmax, type Ranked } from "./hierarchical.ts";
export { OutputLayer, type OutputOptions, type Scored } from "./layer.ts";
export { MixtureOfSoftmaxes, type MixtureOfSoftmaxesOptions } from "./mixture.ts";
export { type SphericalOptions, SphericalOutput, type SphericalStep } from "./spherical.ts";
export { balancedTree, codeLengths, huffmanTree, type Tree, type TreeLike } from "./trees.ts";
