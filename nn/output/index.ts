// Output layers: distributions over many classes, each with its loss.

export { FullSoftmax, type WeightOptions } from "./full.ts";
export { type BeamOptions, HierarchicalSoftmax, type Ranked } from "./hierarchical.ts";
export { OutputLayer, type OutputOptions, type Scored } from "./layer.ts";
export { balancedTree, codeLengths, huffmanTree, type Tree } from "./trees.ts";
