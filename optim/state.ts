// The state of training as flat records of tensors, written and read back to the last bit: moments as they are, numbers as f64,
// counts and flags as i32, both on the CPU. Knows no optimizer and no file.

import { backendOf } from "../core/device.ts";
import type { TypedArray } from "../core/dtype.ts";
import { ArgumentError, DomainError, DTypeError, ShapeError, showShape, showValue } from "../core/errors.ts";
import { isRecord } from "../core/scope.ts";
import { sameShape } from "../core/shape.ts";
import { counted, handleBeside, numbered, readable, type StateDict } from "../core/state.ts";
import { hostTensor, Tensor } from "../core/tensor.ts";

/** A state dict while it is written. */
export type Writing = { [name: string]: Tensor };

/** An option as a tensor: a number, a flag, or an array of numbers; undefined for what is none of these. */
export function optionTensor(value: unknown): Tensor | undefined {
  if (typeof value === "boolean") return counted(Number(value));
  if (typeof value === "number") return numbered(value);
  if (Array.isArray(value) && value.every((v) => typeof v === "number"))
    return hostTensor(backendOf("js"), "f64", [value.length], Float64Array.from(value));
  return undefined;
}

/** Reads a state dict: what is asked for must be there and fit, and what was not asked for is refused in the end. */
export class Reading {
  private readonly place: string;
  private readonly state: StateDict;
  private readonly left: Set<string>;

  constructor(place: string, state: unknown) {
    if (!isRecord(state))
      throw new ArgumentError(
        place,
        `${showValue(state)} is no state`,
        "give what stateDict() gave: tensors by name",
      );
    for (const [name, t] of Object.entries(state))
      if (!(t instanceof Tensor))
        throw new ArgumentError(place, `the entry ${name} is ${showValue(t)}`, "give tensors by name");
    this.place = place;
    this.state = state as StateDict;
    this.left = new Set(Object.keys(state));
  }

  has(name: string): boolean {
    return Object.hasOwn(this.state, name);
  }

  /** The sizes of an entry, for those that only the entry knows. */
  shapeOf(name: string): readonly number[] {
    return this.has(name) ? this.state[name]!.shape : [];
  }

  /** A tensor like another one, on its device: a handle of its own in the scope that is open. */
  tensor(name: string, like: Pick<Tensor, "backend" | "dtype" | "shape">): Tensor {
    const t = this.entry(name, like.dtype, like.shape);
    return handleBeside(this.place, name, t, like);
  }

  /** A number. */
  number(name: string): number {
    return this.read(name, this.entry(name, "f64", []))[0]!;
  }

  /** A count: an integer of at least 0. */
  count(name: string, least = 0): number {
    const value = this.read(name, this.entry(name, "i32", []))[0]!;
    if (value < least)
      throw new DomainError(this.place, `${name} is ${value}`, `it must be an integer of at least ${least}`);
    return value;
  }

  /** An option of the kind that it is now; itself where its kind is not written. */
  option(name: string, now: unknown): unknown {
    const like = optionTensor(now);
    if (like === undefined) return now;
    const data = this.read(name, this.entry(name, like.dtype, like.shape));
    if (typeof now === "boolean") return data[0] !== 0;
    return typeof now === "number" ? data[0] : Array.from(data);
  }

  /** The entries whose names begin so, without the beginning. */
  within(prefix: string): StateDict {
    const found: Writing = {};
    for (const [name, t] of Object.entries(this.state)) {
      if (!name.startsWith(prefix)) continue;
      this.left.delete(name);
      found[name.slice(prefix.length)] = t;
    }
    return found;
  }

  /** Refuses entries that nobody asked for. */
  done(): void {
    const [first] = this.left;
    if (first === undefined) return;
    const more = this.left.size > 1 ? ` and ${this.left.size - 1} more` : "";
    throw new ArgumentError(
      this.place,
      `there is no place for the entry ${first}${more}`,
      "give the state of one with the same parameters, groups and options",
    );
  }

  private entry(name: string, dtype: string, shape: readonly number[]): Tensor {
    const t = this.state[name];
    if (t === undefined || !this.has(name))
      throw new ArgumentError(
        this.place,
        `the entry ${name} is missing`,
        "give the state of one with the same parameters, groups and options",
      );
    this.left.delete(name);
    if (!sameShape(t.shape, shape))
      throw new ShapeError(
        this.place,
        `${name} has shape ${showShape(t.shape)} where ${showShape(shape)} is wanted`,
        "give the state of one with the same parameters",
      );
    if (t.dtype !== dtype)
      throw new DTypeError(
        this.place,
        `${name} is ${t.dtype} where ${dtype} is wanted`,
        "give it as it was written",
      );
    return t;
  }

  private read(name: string, t: Tensor): TypedArray {
    return readable(this.place, name, t);
  }
}
