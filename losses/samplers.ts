// Where candidate classes come from: samplers of a fixed distribution over class numbers, with what was to be expected of them.
// They run on the host from keys, so that every device gets the same ids. The losses of candidates are `sampled.ts`.

import { ArgumentError, DomainError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { type Key, keyOf } from "../core/random.ts";
import { IGNORED, type Labels } from "../core/rowop.ts";
import { hostCopy, Tensor } from "../core/tensor.ts";
import { threefry, unitDouble } from "../core/threefry.ts";

/** How candidates are drawn: from a key, or a seed that stands for one. */
export interface SampleOptions {
  readonly key?: Key;
  readonly seed?: number;
  /** Without replacement (default): no id comes twice. */
  readonly unique?: boolean;
}

/** Ids that were drawn, and what was to be expected. */
export interface Sample {
  readonly ids: Int32Array;
  readonly unique: boolean;
  /**
   * Draws that it took, those of an id that was there already included. Where ids are finished by a race it is the number for
   * which the expected counts add up to the ids drawn, and infinite where every id is drawn.
   */
  readonly tries: number;
  /** How often each class was to be expected among the ids. */
  expected(classes: Labels): Float64Array;
}

/** What the losses of candidates take. */
export interface Batch {
  readonly sampled: Int32Array;
  readonly expectedTrue: Float64Array;
  readonly expectedSampled: Float64Array;
  readonly unique: boolean;
}

/** A stream of doubles in [0, 1). */
function stream(key: Key): () => number {
  const words = new Uint32Array(2);
  let at = 0;
  return () => {
    threefry(key, at++, 0, words, 0);
    return unitDouble(words[0]!, words[1]!);
  };
}

const options: readonly string[] = ["key", "seed", "unique"];

/**
 * A fixed distribution over the ids 0 … range − 1 that candidates are drawn from. Sampling without replacement leaves out what
 * is drawn already; its expected counts are inclusion probabilities 1 − (1 − q)^tries.
 */
export abstract class Sampler {
  /** The number of ids. */
  readonly range: number;
  /** Ids that can be drawn at all. */
  protected abstract readonly possible: number;
  /** Marks of what is drawn, all down between calls. */
  private seen: Uint8Array | undefined;
  /** The tries that a number of distinct ids takes by a race, by that number. */
  private readonly raced = new Map<number, number>();

  /** The name that errors begin with. */
  private readonly place: string;

  constructor(place: string, range: number) {
    this.place = place;
    this.range = range;
  }

  /** The probability of an id; ids are trusted. */
  protected abstract probability(id: number): number;

  /** An id from numbers in [0, 1). */
  protected abstract one(unit: () => number): number;

  /** The probability of each id, or of all in order. */
  prob(ids?: Labels): Float64Array {
    if (ids === undefined) return Float64Array.from({ length: this.range }, (_, id) => this.probability(id));
    return Float64Array.from(this.ids(ids), (id) => this.probability(id));
  }

  /**
   * How often each id is to be expected among `count` draws: count·q with replacement, and 1 − (1 − q)^tries without, where
   * `tries` is the number of draws that it took.
   */
  expected(ids: Labels, count: number, tries?: number): Float64Array {
    this.checkCount(count, tries !== undefined);
    return this.counts(this.ids(ids), count, tries);
  }

  /**
   * Draws ids: without replacement (unless `unique` is false) in the order in which they first come. Throws DomainError where
   * more distinct ids are asked for than can be drawn.
   *
   * @example
   * const { ids, expected } = new LogUniformSampler(20000).sample(1024, { seed: 0 });
   */
  sample(count: number, given: SampleOptions): Sample {
    checkOptions(this.place, given, options);
    const { unique = true } = given ?? {};
    if (typeof unique !== "boolean")
      throw new ArgumentError(this.place, `unique is ${showValue(unique)}`, "give true or false");
    this.checkCount(count, unique);
    const unit = stream(keyOf(this.place, given));
    const ids = new Int32Array(count);
    let tries = count;
    if (unique) tries = this.distinct(ids, unit);
    else for (let i = 0; i < count; i++) ids[i] = this.one(unit);
    const expected = (classes: Labels): Float64Array =>
      this.counts(this.ids(classes), count, unique ? tries : undefined);
    return { ids, unique, tries, expected };
  }

  /**
   * Candidates for rows of given classes, as the losses take them. Classes of −100 (or `ignoreIndex`) are those of rows to
   * leave out. Labels on a GPU that it computed itself cannot be read here: give them as an array.
   *
   * @example
   * const batch = sampler.draw(target, 1024, { key });
   * sampledSoftmaxLoss(x, weight, bias, target, batch);
   */
  draw(
    target: Labels,
    count: number,
    { ignoreIndex = IGNORED, ...given }: SampleOptions & { readonly ignoreIndex?: number },
  ): Batch {
    const { ids: sampled, unique, tries } = this.sample(count, given);
    const distinct = unique ? tries : undefined;
    return {
      sampled,
      expectedTrue: this.counts(this.ids(target, ignoreIndex), count, distinct),
      expectedSampled: this.counts(sampled, count, distinct),
      unique,
    };
  }

  private checkCount(count: unknown, unique: boolean): asserts count is number {
    if (!Number.isSafeInteger(count) || (count as number) < 1)
      throw new DomainError(
        this.place,
        `${showValue(count)} ids are asked for`,
        "give a natural number from 1",
      );
    if (unique && (count as number) > this.possible)
      throw new DomainError(
        this.place,
        `${count} unique ids are asked for, and ${this.possible} can be drawn`,
        "ask for fewer, or for { unique: false }",
      );
  }

  /** Ids on the host, checked; the mark of rows to leave out passes. */
  private ids(labels: Labels, ignore?: number): ArrayLike<number> & Iterable<number> {
    if (!(labels instanceof Tensor || labels instanceof Int32Array || Array.isArray(labels)))
      throw new ArgumentError(this.place, `the classes are ${showValue(labels)}`, "give integers");
    const ids = labels instanceof Tensor ? hostCopy(labels) : labels;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (!(Number.isInteger(id) && id >= 0 && id < this.range) && id !== ignore)
        throw new DomainError(this.place, `class ${i} is ${showValue(id)}`, `ids lie in [0, ${this.range})`);
    }
    return ids;
  }

  private counts(ids: ArrayLike<number>, count: number, tries: number | undefined): Float64Array {
    const expected = new Float64Array(ids.length);
    const all = count === this.possible;
    for (let i = 0; i < expected.length; i++) {
      const id = ids[i]!;
      // Rows to leave out are looked at nowhere.
      if (id < 0 || id >= this.range) expected[i] = 1;
      else {
        const q = this.probability(id);
        if (q > 0)
          expected[i] = tries === undefined ? count * q : all ? 1 : -Math.expm1(tries * Math.log1p(-q));
      }
    }
    return expected;
  }

  /** Fills `ids` with distinct ones; gives the tries. */
  private distinct(ids: Int32Array, unit: () => number): number {
    const count = ids.length;
    if (count === this.possible) {
      let next = 0;
      for (let id = 0; next < count; id++) if (this.probability(id) > 0) ids[next++] = id;
      return Number.POSITIVE_INFINITY;
    }
    this.seen ??= new Uint8Array(this.range);
    const { seen } = this;
    // Most of the ids, and what hardly ever comes, are not waited for.
    const most = 2 * count > this.possible ? 0 : 32 * count;
    let [found, tries] = [0, 0];
    while (found < count && tries < most) {
      const id = this.one(unit);
      tries++;
      if (seen[id] !== 0) continue;
      seen[id] = 1;
      ids[found++] = id;
    }
    if (found < count) {
      this.race(ids, found, seen, unit);
      tries = this.triesFor(count);
    }
    for (let i = 0; i < count; i++) seen[ids[i]!] = 0;
    return tries;
  }

  /**
   * Goes on from `found` ids by an exponential race among those that are not seen: the first to arrive, at times −log(u)/q, are
   * in the order of draws without replacement (Efraimidis & Spirakis 2006; with Gumbel noise, Kool et al. 2019).
   */
  private race(ids: Int32Array, found: number, seen: Uint8Array, unit: () => number): void {
    const runners: number[] = [];
    const times = new Float64Array(this.range);
    for (let id = 0; id < this.range; id++) {
      const q = seen[id] === 0 ? this.probability(id) : 0;
      if (q === 0) continue;
      times[id] = -Math.log1p(-unit()) / q;
      runners.push(id);
    }
    runners.sort((a, b) => times[a]! - times[b]!);
    for (let i = found; i < ids.length; i++) ids[i] = runners[i - found]!;
  }

  /** The number of tries for which the expected counts of all ids add up to `count` (Rosén 1972), by Newton's method. */
  private triesFor(count: number): number {
    let tries = this.raced.get(count);
    if (tries !== undefined) return tries;
    const rates = this.prob()
      .filter((q) => q > 0)
      .map((q) => Math.log1p(-q));
    // The sum is concave in the tries, so steps from the left never pass the solution.
    tries = count;
    for (let turn = 0; turn < 100; turn++) {
      let [sum, slope] = [0, 0];
      for (const rate of rates) {
        const left = Math.exp(tries * rate);
        sum -= Math.expm1(tries * rate);
        slope -= rate * left;
      }
      const step = (count - sum) / slope;
      tries += step;
      if (!(step > 1e-13 * tries)) break;
    }
    this.raced.set(count, tries);
    return tries;
  }
}

/**
 * Draws ids in proportion to log((w + 2)/(w + 1)), nearly 1/rank: for classes that are sorted by falling frequency, without a
 * table of them. Throws DomainError for a range that is no natural number.
 *
 * @example
 * const sampler = new LogUniformSampler(20000);
 * const batch = sampler.draw([3, 17], 1024, { seed: 0 }); // for sampledSoftmaxLoss
 */
export class LogUniformSampler extends Sampler {
  protected readonly possible: number;
  private readonly width: number;

  constructor(range: number) {
    if (!Number.isInteger(range) || range < 1 || range > 2 ** 31)
      throw new DomainError(
        "LogUniformSampler",
        `the range is ${showValue(range)}`,
        "give the number of ids",
      );
    super("LogUniformSampler", range);
    this.possible = range;
    this.width = Math.log1p(range);
  }

  protected probability(id: number): number {
    return Math.log1p(1 / (id + 1)) / this.width;
  }

  protected one(unit: () => number): number {
    // Rounding may reach the range.
    return (Math.floor(Math.exp(unit() * this.width)) - 1) % this.range;
  }
}

/** Walker's table: bucket i is id i with probability cut[i], and alias[i] otherwise. */
export interface AliasTable {
  readonly cut: Float64Array;
  readonly alias: Int32Array;
}

/**
 * The table by which one number draws from a distribution in constant time (Walker 1977, Vose 1991). What rounding leaves over
 * is a whole bucket. Probabilities are trusted.
 */
export function aliasTable(prob: Float64Array): AliasTable {
  const n = prob.length;
  const cut = new Float64Array(n).fill(1);
  const alias = Int32Array.from({ length: n }, (_, i) => i);
  const share = prob.map((p) => p * n);
  const small: number[] = [];
  const large: number[] = [];
  share.forEach((v, i) => {
    (v < 1 ? small : large).push(i);
  });
  while (small.length > 0 && large.length > 0) {
    const [i, j] = [small.pop()!, large.at(-1)!];
    cut[i] = share[i]!;
    alias[i] = j;
    share[j] = share[j]! - (1 - share[i]!);
    if (share[j]! < 1) small.push(large.pop()!);
  }
  return { cut, alias };
}

/** Options of `UnigramSampler`. */
export interface UnigramOptions {
  /** The power that counts are raised to, 0.75 by default as in word2vec: 1 is their distribution, 0 uniform over those that occur. */
  readonly power?: number;
}

/**
 * Draws ids in proportion to a power of their counts. What never occurs is never drawn, for power 0 too. Throws DomainError for
 * counts that are negative or not finite, or are all 0.
 *
 * @example
 * const sampler = new UnigramSampler([50, 30, 20, 0]);
 * const batch = sampler.draw([0, 2], 2, { seed: 0 });
 */
export class UnigramSampler extends Sampler {
  protected readonly possible: number;
  private readonly q: Float64Array;
  private readonly table: AliasTable;

  constructor(counts: ArrayLike<number> | Tensor, options?: UnigramOptions) {
    const place = "UnigramSampler";
    checkOptions(place, options, ["power"]);
    const { power = 0.75 } = options ?? {};
    if (typeof power !== "number" || !Number.isFinite(power) || power < 0)
      throw new DomainError(place, `power is ${showValue(power)}`, "give a number from 0");
    if (!(counts instanceof Tensor || Array.isArray(counts) || ArrayBuffer.isView(counts)))
      throw new ArgumentError(place, `the counts are ${showValue(counts)}`, "give one count for each id");
    const given = counts instanceof Tensor ? hostCopy(counts) : (counts as ArrayLike<number>);
    let largest = 0;
    for (let i = 0; i < given.length; i++) {
      const v = given[i]!;
      if (!(v >= 0 && v < Number.POSITIVE_INFINITY))
        throw new DomainError(place, `count ${i} is ${showValue(v)}`, "give numbers from 0");
      largest = Math.max(largest, v);
    }
    if (largest === 0) throw new DomainError(place, "no count is positive", "give at least one that is");
    super(place, given.length);
    // Of the largest count: powers cannot overflow.
    const q = Float64Array.from({ length: given.length }, (_, i) =>
      given[i] === 0 ? 0 : (given[i]! / largest) ** power,
    );
    const total = q.reduce((a, b) => a + b, 0);
    this.q = q.map((v) => v / total);
    this.possible = this.q.reduce((found, v) => found + (v > 0 ? 1 : 0), 0);
    this.table = aliasTable(this.q);
  }

  protected probability(id: number): number {
    return this.q[id]!;
  }

  protected one(unit: () => number): number {
    const { cut, alias } = this.table;
    const at = unit() * this.range;
    const bucket = Math.floor(at);
    return at - bucket < cut[bucket]! ? bucket : alias[bucket]!;
  }
}
