// The numbers that every peer of the bench works on: the same ones in each, from a hash of the index.
// `peers/pytorch.py` has the same two functions. Not the library's random generator.

/** The last steps of MurmurHash3: one well-mixed 32-bit word for each counter. */
function mix(counter: number): number {
  let h = counter | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const uniform = (seed: number, counter: number): number =>
  (mix(Math.imul(seed, 0x9e3779b9) + counter) + 0.5) / 2 ** 32;

/** `count` standard normal numbers (Box–Muller), times `scale`. */
export function normal(seed: number, count: number, scale = 1): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const radius = Math.sqrt(-2 * Math.log(uniform(seed, 2 * i)));
    values[i] = scale * radius * Math.cos(2 * Math.PI * uniform(seed, 2 * i + 1));
  }
  return values;
}

/** `count` class indices in 0 … classes − 1. */
export function labels(seed: number, count: number, classes: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => Math.floor(uniform(seed, i) * classes));
}

/** Row-major [rows, columns] turned into [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j]!;
  return result;
}

/** √Σx²: one number that two peers must agree on when they computed the same thing. */
export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return Math.sqrt(sum);
}
