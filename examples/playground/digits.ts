// The handwritten digits as one small file beside the page, written when the page is built and read by its worker.
// A byte for each pixel and label, as in the source of the data; the split is the one that every example uses.

import type { DataSet, Split } from "../data/index.ts";

const shades = 16;
const image = [8, 8] as const;
const pixels = 64;

/** The file: two counts as 32-bit numbers, then for each training image and each test image its pixels and its label. */
export function packDigits({ train, test }: DataSet): Uint8Array {
  const bytes = new Uint8Array(8 + (train.count + test.count) * (pixels + 1));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, train.count);
  view.setUint32(4, test.count);
  let at = 8;
  for (const { x, y, count } of [train, test]) {
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < pixels; j++) bytes[at++] = Math.round(x[i * pixels + j]! * shades);
      bytes[at++] = y[i]!;
    }
  }
  return bytes;
}

/** What `packDigits` wrote. */
export function unpackDigits(buffer: ArrayBuffer): DataSet {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  let at = 8;
  const read = (count: number): Split => {
    const x = new Float32Array(count * pixels);
    const y = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < pixels; j++) x[i * pixels + j] = bytes[at++]! / shades;
      y[i] = bytes[at++]!;
    }
    return { x, y, count };
  };
  const train = read(view.getUint32(0));
  return { name: "digits", image, classes: 10, train, test: read(view.getUint32(4)) };
}
