// Where layers get their randomness from: a key, or a seed and the sizes of the layer. No counter, so no order of construction.

import { ArgumentError } from "../core/errors.ts";
import { type Key, randomKey, threefry } from "../core/random.ts";

/** A key that belongs to a key and a number: other numbers give keys that have nothing to do with it. */
function fold(key: Key, number: number): Key {
  const words = new Uint32Array(2);
  // 0 and 1 as the second word of the counter are the stream of a key and its children by `split`.
  threefry(key, number, 2, words, 0);
  return [words[0]!, words[1]!];
}

/** Where a layer's randomness comes from. */
export interface LayerRandomness {
  /** A key, used as it is. */
  readonly key?: Key;
  /** A seed (0 by default), joined with the sizes of the layer: layers of different sizes may share one. */
  readonly seed?: number;
}

/** The key of a layer: the one given, or that of its seed and sizes. */
export function layerKey(place: string, { key, seed }: LayerRandomness, ...sizes: readonly number[]): Key {
  if (key === undefined) return sizes.reduce(fold, randomKey(seed ?? 0));
  if (seed !== undefined)
    throw new ArgumentError(
      place,
      "both a key and a seed are given",
      "give { seed: 1 } or { key: randomKey(1) }",
    );
  return key;
}
