// The most probable leaves of a tree whose nodes decide at random: exactly, best first, and by a beam. Numbers on the host; the
// scores of nodes are asked for where the search comes by.

import type { Tree } from "./trees.ts";

/** Leaves found, the most probable first. */
export interface Found {
  readonly classes: number[];
  readonly logProbs: number[];
}

/** An inner node (from 0) or a leaf (−1 − class), and the log-probability that a walk from the root comes there. */
interface Place {
  readonly at: number;
  readonly logProb: number;
}

/** log σ(u). */
const logSigmoid = (u: number): number => Math.min(u, 0) - Math.log1p(Math.exp(-Math.abs(u)));

/** NaN comes first, as in `argmax` and `topK`. */
const rank = ({ logProb }: Place): number => (Number.isNaN(logProb) ? Number.POSITIVE_INFINITY : logProb);

/**
 * The order in which a search goes on: the more probable first. Of equal places inner nodes go before leaves, since a leaf of
 * the same probability and a smaller index may be below one; leaves go by index.
 */
function isBefore(a: Place, b: Place): boolean {
  const [p, q] = [rank(a), rank(b)];
  if (p !== q) return p > q;
  if (a.at >= 0 !== b.at >= 0) return a.at >= 0;
  return a.at > b.at;
}

/** Places of which the first in the search's order is taken: a binary heap. */
class Frontier {
  private readonly heap: Place[] = [];

  get size(): number {
    return this.heap.length;
  }

  add(place: Place): void {
    const { heap } = this;
    let i = heap.push(place) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(place, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = place;
  }

  take(): Place {
    const { heap } = this;
    const first = heap[0]!;
    const moved = heap.pop()!;
    if (heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, moved)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = moved;
    return first;
  }
}

/** The children of an inner node. */
function below(
  { at, logProb }: Place,
  { left, right }: Tree,
  score: (node: number) => number,
): [Place, Place] {
  const u = score(at);
  return [
    { at: left[at]!, logProb: logProb + logSigmoid(-u) },
    { at: right[at]!, logProb: logProb + logSigmoid(u) },
  ];
}

const start = ({ left }: Tree): Place => ({ at: left.length > 0 ? 0 : -1, logProb: 0 });

/**
 * The k most probable leaves. Probabilities only fall along a path, so the first k leaves to come out of a best-first search
 * are the best ones. `score` is the score of a node, by which the walk goes right with probability σ(score).
 */
export function bestFirst(tree: Tree, score: (node: number) => number, k: number): Found {
  const found: Found = { classes: [], logProbs: [] };
  const frontier = new Frontier();
  frontier.add(start(tree));
  while (found.classes.length < k) {
    const place = frontier.take();
    if (place.at < 0) {
      found.classes.push(-1 - place.at);
      found.logProbs.push(place.logProb);
    } else for (const child of below(place, tree, score)) frontier.add(child);
  }
  return found;
}

/**
 * The k most probable of the leaves that a beam comes by: level for level, the `width` (≥ k) most probable inner nodes are
 * followed. Scores width nodes a level at most, however flat the distribution is; a leaf below a node that was dropped is missed.
 */
export function beamSearch(tree: Tree, score: (node: number) => number, k: number, width: number): Found {
  const leaves = new Frontier();
  for (let level = [start(tree)]; level.length > 0; ) {
    const inner = new Frontier();
    for (const place of level)
      for (const child of place.at < 0 ? [place] : below(place, tree, score))
        (child.at < 0 ? leaves : inner).add(child);
    level = [];
    while (level.length < width && inner.size > 0) level.push(inner.take());
  }
  const best = Array.from({ length: k }, () => leaves.take());
  return { classes: best.map(({ at }) => -1 - at), logProbs: best.map(({ logProb }) => logProb) };
}
