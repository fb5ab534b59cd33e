// Reads the two formats that the example data come in: IDX (MNIST's own) and comma-separated integers.
// Both may be gzipped. Knows nothing of what the numbers mean.
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";

/** A data set that is missing, or a data file that is not what it should be. */
export class DataError extends Error {
  override readonly name = "DataError";
}

/** The bytes of a file, unpacked when they are gzipped (told by the first two bytes, not by the name). */
export async function readBytes(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (cause) {
    throw new DataError(`${path}: the gzip stream is damaged; copy the file again`, { cause });
  }
}

/** An IDX file: its sizes, and its bytes in row-major order. */
export interface Idx {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Reads an IDX file of unsigned bytes: two zero bytes, type 8, the rank, one big-endian u32 a size, the data. */
export function parseIdx(bytes: Uint8Array, place: string): Idx {
  const fail = (at: number, finding: string): never => {
    throw new DataError(`${place}: byte ${at}: ${finding}; this is not an intact IDX file of unsigned bytes`);
  };
  if (bytes.length < 4) fail(bytes.length, "the file ends inside the header");
  if (bytes[0] !== 0 || bytes[1] !== 0) fail(0, `begins with ${bytes[0]}, ${bytes[1]} instead of 0, 0`);
  if (bytes[2] !== 8) fail(2, `element type ${bytes[2]} instead of 8`);
  const rank = bytes[3]!;
  const start = 4 + 4 * rank;
  if (bytes.length < start) fail(bytes.length, "the file ends inside the header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, length) => product * length, 1);
  if (bytes.length !== start + size) {
    fail(Math.min(bytes.length, start + size), `${bytes.length - start} bytes of data instead of ${size}`);
  }
  return { shape, data: bytes.subarray(start) };
}

/** Reads lines of `columns` comma-separated integers into one row-major array. */
export function parseCsv(text: string, columns: number, place: string): Int32Array {
  const lines = text.trimEnd().split(/\r?\n/);
  const values = new Int32Array(lines.length * columns);
  lines.forEach((line, row) => {
    const fields = line.split(",");
    if (fields.length !== columns) {
      throw new DataError(`${place}: line ${row + 1}: ${fields.length} fields instead of ${columns}`);
    }
    fields.forEach((field, column) => {
      if (!/^-?\d{1,9}$/.test(field)) {
        const at = `${place}: line ${row + 1}, field ${column + 1}`;
        throw new DataError(`${at}: ${JSON.stringify(field)} is not an integer`);
      }
      values[row * columns + column] = Number(field);
    });
  });
  return values;
}
