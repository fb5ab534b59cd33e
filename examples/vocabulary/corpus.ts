// The Brown corpus as a task: which word comes after five others? Words become numbers by falling frequency; blocks of text are
// set aside. Trains nothing.

import { type Key, type Tensor, tensor, uniform } from "simplexgrad";
import { loadBrown, vocabularyOf } from "../data/brown.ts";

/** Words before the one to be told. */
export const context = 5;

/** Words that are rarer than this are one: the unknown word. */
const least = 3;
const unknown = "<unknown>";

/** Consecutive words of a block, and which blocks are set aside. */
const block = 1000;
const every = 20;

/** Questions: five words each, and the word that came. */
export interface Questions {
  readonly before: Tensor<[number, number], "i32">;
  readonly next: Int32Array;
}

/** The corpus as numbers. */
export class Corpus {
  /** Words by their numbers. */
  readonly vocabulary: readonly string[];
  /** How often each word occurs in the part to train on; at least 1, so that it has a probability. */
  readonly counts: Float64Array;
  private readonly ids: Int32Array;
  /** Places of the words to be told. */
  private readonly train: Int32Array;
  private readonly held: Int32Array;

  constructor() {
    const { words } = loadBrown();
    const kept = new Set(vocabularyOf(words, least).vocabulary);
    const { vocabulary } = vocabularyOf(
      words.map((word) => (kept.has(word) ? word : unknown)),
      1,
    );
    const idOf = new Map(vocabulary.map((word, id) => [word, id]));
    this.vocabulary = vocabulary;
    this.ids = Int32Array.from(words, (word) => idOf.get(word) ?? idOf.get(unknown)!);
    const places = Array.from({ length: this.ids.length - context }, (_, i) => i + context);
    // A question does not look across the border of its block.
    const inside = places.filter((at) => at % block >= context);
    this.train = Int32Array.from(inside.filter((at) => Math.floor(at / block) % every !== every - 1));
    this.held = Int32Array.from(inside.filter((at) => Math.floor(at / block) % every === every - 1));
    this.counts = new Float64Array(vocabulary.length);
    for (const at of this.train) this.counts[this.ids[at]!]!++;
    for (let id = 0; id < this.counts.length; id++) this.counts[id] = Math.max(1, this.counts[id]!);
  }

  /** The number of words. */
  get size(): number {
    return this.vocabulary.length;
  }

  /** The logarithm of each word's share of the text. */
  get logUnigram(): Float64Array {
    const total = this.counts.reduce((a, b) => a + b);
    return this.counts.map((count) => Math.log(count / total));
  }

  /** Random questions of the part to train on. */
  batch(size: number, key: Key): Questions {
    const u = uniform([size], { key, dtype: "f64" }).dataSync();
    return this.asked(Int32Array.from(u, (v) => this.train[Math.floor(v * this.train.length)]!));
  }

  /** The first `count` questions of what was set aside, in parts. */
  *heldOut(count: number, size: number): Generator<Questions> {
    for (let from = 0; from < Math.min(count, this.held.length); from += size)
      yield this.asked(this.held.subarray(from, Math.min(from + size, count, this.held.length)));
  }

  /** The perplexity of the word frequencies alone. */
  unigramPerplexity(count: number): number {
    const { logUnigram } = this;
    const held = this.held.subarray(0, count);
    return Math.exp(-held.reduce((sum, at) => sum + logUnigram[this.ids[at]!]!, 0) / held.length);
  }

  private asked(places: Int32Array): Questions {
    const before = new Int32Array(places.length * context);
    places.forEach((at, i) => {
      for (let k = 0; k < context; k++) before[i * context + k] = this.ids[at - context + k]!;
    });
    return {
      before: tensor(before, { shape: [places.length, context] }) as Questions["before"],
      next: Int32Array.from(places, (at) => this.ids[at]!),
    };
  }
}
