// Mini-batches: the rows of data in a new order for each epoch, and a position in them that can be saved. Knows no model.

import { ArgumentError, DomainError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { child, type Key, permutation } from "../../core/random.ts";
import { eachTensor, Keeper, keepBy, release, scope } from "../../core/scope.ts";
import { counted, readable, type StateDict } from "../../core/state.ts";
import { isRecording } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { layerKey } from "../keys.ts";
import { matched } from "../state.ts";
import { type Columns, type OrderOptions, type Rows, rowsOf, takeRows } from "./columns.ts";

export interface BatchOptions extends OrderOptions {
  /** Rows in a batch. */
  readonly size: number;
  /** Whether each epoch has an order of its own (default true), or the rows come as they are. */
  readonly shuffle?: boolean;
  /** Whether a last batch of fewer rows is left out (default false). */
  readonly dropLast?: boolean;
  /** The epoch to begin with, counted from 0 (the default). */
  readonly epoch?: number;
}

/** Data in mini-batches, made by `batches`. */
export class Batches<C extends Columns = Columns> implements Iterable<Rows<C, "batch">> {
  /** Rows in a batch. */
  readonly size: number;
  /** Batches in an epoch. */
  readonly length: number;
  private readonly data: C;
  private readonly rows: number;
  private readonly end: number;
  private readonly shuffle: boolean;
  private key: Key;
  /** Epochs gone through, and rows gone through in this one. */
  private done: number;
  private at = 0;
  private order: { readonly epoch: number; readonly key: Key; readonly rows: Int32Array } | undefined;
  private last: (readonly [Tensor, Keeper])[] = [];

  /** @internal */
  constructor(data: C, options: BatchOptions) {
    const place = "batches";
    this.rows = rowsOf(place, data);
    checkOptions(place, options, ["size", "key", "seed", "shuffle", "dropLast", "epoch"]);
    const { size, key, seed, shuffle = true, dropLast = false, epoch = 0 } = options;
    if (!Number.isSafeInteger(size) || size < 1)
      throw new DomainError(place, `size is ${showValue(size)}`, "give the rows of a batch: 1, 2, 3, …");
    if (!Number.isSafeInteger(epoch) || epoch < 0)
      throw new DomainError(place, `epoch is ${showValue(epoch)}`, "give 0, 1, 2, …");
    for (const [name, flag] of Object.entries({ shuffle, dropLast }))
      if (typeof flag !== "boolean")
        throw new ArgumentError(place, `${name} is ${showValue(flag)}`, "give true or false");
    if (!shuffle && (key !== undefined || seed !== undefined))
      throw new ArgumentError(
        place,
        "an order is drawn from the seed, and shuffle is false",
        "give one of them",
      );
    this.data = data;
    this.size = size;
    this.shuffle = shuffle;
    this.key = layerKey(place, options);
    this.done = epoch;
    this.end = dropLast ? this.rows - (this.rows % size) : this.rows;
    this.length = Math.ceil(this.end / size);
  }

  /** The epoch that the next batch belongs to, counted from 0. */
  get epoch(): number {
    return this.done;
  }

  /** The batches that are left of this epoch; after the last one the next epoch begins. */
  *[Symbol.iterator](): Generator<Rows<C, "batch">, void, void> {
    while (this.at < this.end) yield this.next();
    this.turn();
  }

  /** The next batch, for loops that count steps: after the last one of an epoch comes the first one of the next. */
  next(): Rows<C, "batch"> {
    if (this.end === 0)
      throw new DomainError(
        "batches",
        `${this.rows} rows make no batch`,
        "give more rows, or a smaller size",
      );
    if (this.at >= this.end) this.turn();
    const from = this.at;
    // First: what is saved while the batch is used stands behind it.
    this.at = Math.min(from + this.size, this.end);
    return this.batch(from, this.at);
  }

  private turn(): void {
    this.at = 0;
    this.done++;
  }

  /** Some rows of this epoch's order; those given before are freed. */
  private batch(from: number, to: number): Rows<C, "batch"> {
    // A tape that is recording may have seen the last batch.
    if (!isRecording()) for (const [t, keeper] of this.last) if (t.owner === keeper) release(t);
    const rows = scope(() => takeRows<C, "batch">(this.data, this.ordered().subarray(from, to)));
    this.last = [];
    eachTensor(rows, (t) => {
      const keeper = new Keeper();
      keepBy(t, keeper);
      this.last.push([t, keeper]);
    });
    return rows;
  }

  /** The positions of all rows in the order of this epoch, which follows from key and epoch alone. */
  private ordered(): Int32Array {
    const { rows, done: epoch, key } = this;
    if (this.order?.epoch !== epoch || this.order.key !== key) {
      const own = child(key, epoch);
      const drawn = this.shuffle
        ? permutation(rows, { key: own, device: "js" }).dataSync()
        : Int32Array.from({ length: rows }, (_, i) => i);
      this.order = { epoch, key, rows: drawn };
    }
    return this.order.rows;
  }

  /** Where it stands: the key of its orders, the epoch, and the rows of it that have been given. */
  stateDict(): StateDict {
    const { key, done, at, rows } = this;
    return { key: counted(key), epoch: counted(done), index: counted(at), rows: counted(rows) };
  }

  /** Goes on where another stood, with the same rows; batches may have another size. */
  loadStateDict(dict: StateDict): void {
    const place = "loadStateDict";
    const places = ["key", "epoch", "index", "rows"].map((name) => ({
      names: [name],
      like: { shape: name === "key" ? [2] : [], dtype: "i32" as const },
    }));
    const { pairs } = matched(place, "Batches", dict, places, {});
    const [key, [epoch], [index], [rows]] = pairs.map(([{ names }, t]) => readable(place, names[0]!, t)) as [
      Int32Array,
      ...(readonly [number])[],
    ] as [Int32Array, [number], [number], [number]];
    if (rows !== this.rows || index < 0 || index > rows || epoch < 0)
      throw new DomainError(
        place,
        `the position is row ${index} of ${rows} in epoch ${epoch}, and these batches have ${this.rows} rows`,
        "load it into batches of the same data",
      );
    this.key = [key[0]! >>> 0, key[1]! >>> 0];
    this.done = epoch;
    this.at = index;
  }
}

/**
 * The rows of data in mini-batches, in an order of their own for each epoch: what a training loop goes through. Data are columns
 * by name: tensors, whose first axis is the rows, typed arrays, or arrays.
 *
 * Going through it gives the batches that are left of the epoch, so a loop that was broken off goes on where it stopped. The
 * order of an epoch follows from the key (or seed, 0 by default) and the number of the epoch alone: `stateDict` and
 * `loadStateDict` save and restore the place, in a checkpoint too. The tensors of a batch live until the next one is asked for,
 * so that a loop gathers no memory; `keep(batch)` takes them out of that.
 *
 * Throws ArgumentError for what are no columns, ShapeError where they have different numbers of rows, DomainError for sizes
 * below 1.
 * @example
 * const train = batches({ x, y }, { size: 32, seed: 1 });
 * while (train.epoch < 10) {
 *   for (const { x, y } of train) adam.minimize(() => crossEntropy(model.forward(x), y));
 * }
 */
export function batches<C extends Columns>(data: C, options: BatchOptions): Batches<C> {
  return new Batches(data, options);
}
