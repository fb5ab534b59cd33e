// The errors that the library throws, and how shapes are printed in them.
// Every message has three parts: the place, the finding, the way out. Nothing here decides what is an error.

/** Prints a shape as users write it: `[2, 3]`. */
export function showShape(shape: readonly (number | string)[]): string {
  return `[${shape.join(", ")}]`;
}

/** Prints a value that was handed in by mistake, short enough for one sentence. */
export function showValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === "function") return `the function ${value.name || "(anonymous)"}`;
  if (typeof value === "symbol" || typeof value === "bigint") return `${typeof value} ${String(value)}`;
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  const name = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === "string" && name !== "Object" ? `a ${name}` : "an object";
}

/** The known names that resemble a name most, the nearest first. */
export function nearest(name: string, known: readonly string[]): string[] {
  const away = new Map(known.map((other) => [other, distance(name.toLowerCase(), other.toLowerCase())]));
  return known.toSorted((a, b) => away.get(a)! - away.get(b)!);
}

/** How many letters have to be changed, added or left out to make one word of another. Source: Levenshtein 1966. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (a[i] === b[j] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

function sentence(place: string, finding: string, wayOut: string): string {
  return `${place}: ${finding}; ${wayOut}`;
}

/** Shapes, axes or sizes that do not fit together. */
export class ShapeError extends RangeError {
  override readonly name = "ShapeError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** An element type that the operation is not defined for, or two that differ. */
export class DTypeError extends TypeError {
  override readonly name = "DTypeError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** A value for which the mathematics has no answer: α < 1, a label out of range, a negative temperature. */
export class DomainError extends RangeError {
  override readonly name = "DomainError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** An argument of the wrong kind altogether: a string for a tensor, an unknown option. */
export class ArgumentError extends TypeError {
  override readonly name = "ArgumentError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** Bytes or text that are not what their format says: cut off, damaged, or of another format. */
export class FormatError extends SyntaxError {
  override readonly name = "FormatError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** A device that is missing, or not the one that the other tensors live on, or that cannot do what is asked. */
export class DeviceError extends Error {
  override readonly name: string = "DeviceError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** The GPU went away: unplugged, reset by its driver, or destroyed. What lived on it is gone. */
export class DeviceLostError extends DeviceError {
  override readonly name = "DeviceLostError";
}

/** The device has no memory left for what was asked of it. */
export class OutOfMemoryError extends DeviceError {
  override readonly name = "OutOfMemoryError";
}

/** A tensor that is used after its scope has freed it. */
export class LifetimeError extends Error {
  override readonly name = "LifetimeError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}

/** A derivative that does not exist: an unreachable input, a loss that is not a scalar, a path that ends in integers. */
export class GradientError extends Error {
  override readonly name = "GradientError";
  constructor(place: string, finding: string, wayOut: string) {
    super(sentence(place, finding, wayOut));
  }
}
