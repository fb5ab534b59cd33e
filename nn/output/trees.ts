// Binary trees whose leaves are classes: balanced, Huffman's, or given; and the way from each leaf to the root. Plain integers on
// the host; what is computed along them is in `hierarchical.ts`.

import { ArgumentError, DomainError, ShapeError, showValue } from "../../core/errors.ts";
import { checkSize } from "./layer.ts";

/**
 * A full binary tree over V classes: V − 1 inner nodes, of which 0 is the root. A child ≥ 0 is an inner node, a child < 0 the
 * leaf of class −1 − child.
 */
export interface TreeLike {
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
}

/** A tree as it is made here. */
export interface Tree extends TreeLike {
  readonly left: Int32Array;
  readonly right: Int32Array;
}

/**
 * The tree in which the depths of any two leaves differ by at most one, for any number of classes: a range of them is halved,
 * the larger half left. Nodes are numbered in pre-order.
 *
 * @example
 * balancedTree(3); // { left: [1, -1], right: [-3, -2] }
 */
export function balancedTree(nClasses: number): Tree {
  checkSize("balancedTree", "classes", nClasses);
  const left = new Int32Array(nClasses - 1);
  const right = new Int32Array(nClasses - 1);
  let next = 0;
  const grow = (low: number, high: number): number => {
    if (high - low === 1) return -1 - low;
    const node = next++;
    const middle = low + Math.ceil((high - low) / 2);
    left[node] = grow(low, middle);
    right[node] = grow(middle, high);
    return node;
  };
  grow(0, nClasses);
  return { left, right };
}

/**
 * The tree in which the mean depth of a class, weighted by frequency, is least (Huffman 1952): the two lightest trees are
 * joined until one is left, the lighter being left. Of equal weights the older tree counts as lighter: classes by index, then
 * joined ones by age; the last one joined is node 0. Frequencies need not sum to one; throws DomainError where one is negative
 * or not finite.
 *
 * @example
 * huffmanTree([5, 1, 1]); // { left: [1, -2], right: [-1, -3] }
 */
export function huffmanTree(frequency: ArrayLike<number>): Tree {
  const place = "huffmanTree";
  checkFrequency(place, frequency);
  const classes = frequency.length;
  const weights = new Float64Array(2 * classes - 1);
  for (let i = 0; i < classes; i++) weights[i] = frequency[i]!;
  // Joined trees come to be in the order of their weights: two queues do for a heap.
  const leaves = Int32Array.from({ length: classes }, (_, i) => i).sort(
    (a, b) => weights[a]! - weights[b]! || a - b,
  );
  let leaf = 0;
  let joined = classes;
  const lightest = (made: number): number =>
    leaf < classes && (joined === made || weights[leaves[leaf]!]! <= weights[joined]!)
      ? leaves[leaf++]!
      : joined++;
  const inner = classes - 1;
  const left = new Int32Array(inner);
  const right = new Int32Array(inner);
  /** The last tree joined is the root, 0: numbers run backwards. */
  const numbered = (tree: number): number => (tree < classes ? -1 - tree : 2 * classes - 2 - tree);
  for (let made = classes; made < 2 * classes - 1; made++) {
    const [a, b] = [lightest(made), lightest(made)];
    left[numbered(made)] = numbered(a);
    right[numbered(made)] = numbered(b);
    weights[made] = weights[a]! + weights[b]!;
  }
  return { left, right };
}

/** Refuses what is no list of frequencies. */
export function checkFrequency(place: string, frequency: unknown): asserts frequency is ArrayLike<number> {
  const list = frequency as ArrayLike<unknown> | null;
  if (typeof list !== "object" || list === null || !Number.isInteger(list.length) || list.length === 0)
    throw new ArgumentError(
      place,
      `frequency is ${showValue(frequency)}`,
      "give one number for each class, in an array",
    );
  for (let i = 0; i < list.length; i++) {
    const v = list[i];
    if (typeof v !== "number" || !(v >= 0) || v === Number.POSITIVE_INFINITY)
      throw new DomainError(place, `frequency[${i}] is ${showValue(v)}`, "give finite numbers from 0");
  }
}

/**
 * How many steps lead from the root to each class.
 *
 * @example
 * codeLengths(huffmanTree([5, 1, 1])); // [1, 2, 2]
 */
export function codeLengths(tree: TreeLike): Int32Array {
  return new Paths("codeLengths", tree).lengths;
}

/**
 * The children below a level of a tree: those of all its nodes, first the left ones and then the right ones; and where among
 * them the nodes of the next level stand.
 */
export interface Level {
  readonly nodes: Int32Array;
  readonly next: Int32Array;
}

/** A tree by levels from the root, and where each class stands among the children of all levels, one after the other. */
interface Levels {
  readonly levels: readonly Level[];
  readonly at: Int32Array;
}

/** A step of a path: the node that is decided at, and whether the path goes right there; as 2·node + (right ? 1 : 0). */
type Step = number;

/** A tree that has been checked, with the way back from every leaf. Memory is proportional to the classes, not to their depths. */
export class Paths {
  readonly tree: Tree;
  readonly nClasses: number;
  /** The depth of each class. */
  readonly lengths: Int32Array;
  /** The last step before each class, −1 where there is none. */
  private readonly last: Int32Array;
  /** The step that leads to each inner node, −1 for the root. */
  private readonly before: Int32Array;
  private byLevel: Levels | undefined;

  constructor(place: string, tree: TreeLike) {
    const { left, right } = checkChildren(place, tree);
    const inner = left.length;
    this.tree = { left, right };
    this.nClasses = inner + 1;
    this.lengths = new Int32Array(inner + 1);
    this.last = new Int32Array(inner + 1).fill(-1);
    this.before = new Int32Array(inner).fill(-1);
    const depth = new Int32Array(inner);
    const reached = [0];
    // Nothing is entered twice, so the walk ends.
    const enter = (step: Step, child: number): void => {
      const node = step >> 1;
      const [steps, at, what] =
        child < 0 ? [this.last, -1 - child, "class"] : ([this.before, child, "node"] as const);
      if (!(at >= 0 && at < steps.length))
        throw new DomainError(
          place,
          `node ${node} of the tree has the child ${child}`,
          `give inner nodes 1 to ${inner - 1}, or −1 − class for classes 0 to ${inner}`,
        );
      if (steps[at] !== -1 || child === 0)
        throw new DomainError(
          place,
          `the tree reaches ${what} ${at} twice`,
          "every class is one leaf, and every node but the root has one parent",
        );
      steps[at] = step;
      if (child < 0) this.lengths[at] = depth[node]! + 1;
      else {
        depth[child] = depth[node]! + 1;
        reached.push(child);
      }
    };
    if (inner > 0)
      for (let node = reached.pop(); node !== undefined; node = reached.pop()) {
        enter(2 * node, left[node]!);
        enter(2 * node + 1, right[node]!);
      }
    const missing = inner === 0 ? -1 : this.last.indexOf(-1);
    if (missing >= 0)
      throw new DomainError(
        place,
        `the tree does not reach class ${missing} from node 0`,
        "every class is a leaf below the root",
      );
  }

  /** The steps to classes, from each leaf up: to the i-th class they begin at `starts[i]`. */
  steps(classes: Int32Array): { readonly starts: Int32Array; readonly steps: Int32Array } {
    const starts = new Int32Array(classes.length + 1);
    for (let i = 0; i < classes.length; i++) starts[i + 1] = starts[i]! + this.lengths[classes[i]!]!;
    const steps = new Int32Array(starts[classes.length]!);
    let at = 0;
    for (const id of classes)
      for (let step = this.last[id]!; step >= 0; step = this.before[step >> 1]!) steps[at++] = step;
    return { starts, steps };
  }

  /** The tree level for level. */
  get levels(): Levels {
    this.byLevel ??= levelsOf(this.tree);
    return this.byLevel;
  }
}

function checkChildren(place: string, tree: unknown): Tree {
  const { left, right } = (tree ?? {}) as { readonly [side: string]: unknown };
  const side = (name: string, children: unknown): Int32Array => {
    const list = children as ArrayLike<unknown>;
    const ofNumbers = Array.isArray(children) || ArrayBuffer.isView(children);
    const wrong = ofNumbers ? Array.from(list).find((v) => !Number.isInteger(v)) : children;
    if (!ofNumbers || wrong !== undefined)
      throw new ArgumentError(
        place,
        `the tree's ${name} ${ofNumbers ? "holds" : "is"} ${showValue(wrong)}`,
        "give { left, right }: the children of each node as integers",
      );
    return Int32Array.from(list as ArrayLike<number>);
  };
  const [l, r] = [side("left", left), side("right", right)];
  if (l.length !== r.length)
    throw new ShapeError(
      place,
      `the tree has ${l.length} left children and ${r.length} right ones`,
      "give both to every inner node",
    );
  return { left: l, right: r };
}

function levelsOf({ left, right }: Tree): Levels {
  const levels: Level[] = [];
  const at = new Int32Array(left.length + 1);
  let before = 0;
  let nodes = left.length > 0 ? [0] : [];
  while (nodes.length > 0) {
    const below: number[] = [];
    const next: number[] = [];
    [left, right].forEach((side, s) => {
      nodes.forEach((node, i) => {
        const child = side[node]!;
        const place = s * nodes.length + i;
        if (child < 0) at[-1 - child] = before + place;
        else {
          below.push(child);
          next.push(place);
        }
      });
    });
    before += 2 * nodes.length;
    levels.push({ nodes: Int32Array.from(nodes), next: Int32Array.from(next) });
    nodes = below;
  }
  return { levels, at };
}
