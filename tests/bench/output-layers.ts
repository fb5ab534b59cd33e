// What a training step of each output layer costs beside a full softmax over the words of the Brown corpus: node
// dist/tests/bench/output-layers.js. Rounds are interleaved, since a shared machine drifts; only ratios count.

import { normal, scope, valueAndGrad } from "../../core/index.ts";
import { loadBrown, vocabularyOf } from "../../examples/data/brown.ts";
import * as nn from "../../nn/index.ts";
import { Adam, SGD } from "../../optim/index.ts";
import { quantile } from "./harness.ts";

const [batch, dim, rounds] = [256, 128, 15];

const { words } = loadBrown();
const frequent = new Set(vocabularyOf(words, 3).vocabulary);
const text = words.map((word) => (frequent.has(word) ? word : "<unknown>"));
const { vocabulary, counts } = vocabularyOf(text, 1);
const ids = new Map(vocabulary.map((word, i) => [word, i]));
const targets = Int32Array.from(text, (word) => ids.get(word)!);
const classes = counts.length;
const cost = await nn.measureSoftmax({ dim, batch });
const { cutoffs } = nn.adaptiveCutoffs(counts, { clusters: 2, dim, cost });

const makers: { readonly [name: string]: () => nn.OutputLayer<"f32"> } = {
  "full softmax": () => new nn.FullSoftmax(dim, classes),
  "Huffman's tree": () => new nn.HierarchicalSoftmax(dim, nn.huffmanTree(counts)),
  "balanced tree": () => new nn.HierarchicalSoftmax(dim, classes),
  [`adaptive softmax, cutoffs ${cutoffs.join(", ")}`]: () =>
    new nn.AdaptiveSoftmax(dim, classes, { cutoffs }),
  "classes in √V clusters": () => new nn.ClassBasedSoftmax(dim, nn.frequencyClusters(counts)),
};
const x = normal([batch, dim], { seed: 1 });

/** Loss and gradients, a step of SGD, and one of Adam, whose moments are dense, for each layer. */
const works = Object.values(makers).flatMap((make) => {
  const layer = make();
  const parameters = layer.parameters();
  const optimizers = [new SGD(parameters, { lr: 1e-3 }), new Adam(parameters, { lr: 1e-3 })];
  const loss = (y: Int32Array) => layer.forward(x, y).loss;
  return [
    (y: Int32Array) => scope(() => valueAndGrad(() => loss(y), parameters).value),
    ...optimizers.map((optimizer) => (y: Int32Array) => optimizer.minimize(() => loss(y))),
  ];
});

const samples = works.map((): number[] => []);
for (let round = -2; round < rounds; round++) {
  const from = (round + 2) * 5000;
  works.forEach((work, k) => {
    const start = performance.now();
    work(targets.slice(from, from + batch));
    if (round >= 0) samples[k]!.push(performance.now() - start);
  });
}
const medians = samples.map((times) => quantile(times, 0.5));
console.log(`${classes} classes, ${dim} features, batches of ${batch}; full softmax / layer in brackets`);
console.log("".padEnd(36) + ["gradients", "SGD", "Adam"].map((title) => title.padEnd(20)).join(""));
Object.keys(makers).forEach((name, i) => {
  const columns = [0, 1, 2].map((j) => {
    const ms = medians[3 * i + j]!;
    return `${ms.toFixed(2)} ms (${(medians[j]! / ms).toFixed(1)})`.padEnd(20);
  });
  console.log(name.padEnd(36) + columns.join(""));
});
