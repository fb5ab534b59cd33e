// Reads IDX, the format of MNIST and its relatives: sizes, then numbers.

import type { CreateOptions } from "../../core/create.ts";
import { tensor } from "../../core/create.ts";
import type { DType } from "../../core/dtype.ts";
import { FormatError } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { readNumbers, type Stored, stored } from "../bytes.ts";
import { unzipped } from "./gzip.ts";

/** The kinds of numbers by their code in the third byte. */
const kinds: { readonly [code: number]: Stored } = {
  8: "u8",
  9: "i8",
  11: "i16",
  12: "i32",
  13: "f32",
  14: "f64",
};

/**
 * The numbers of an IDX file, gzipped or not, as a tensor of its sizes: images and labels of MNIST and its relatives. Integers
 * become i32 and floats what they are, unless `dtype` says otherwise; pixels stay 0 … 255.
 *
 * Throws FormatError, naming the byte, for what is no intact IDX file. Source: http://yann.lecun.com/exdb/mnist/
 * @example
 * const images = await readIdx(await readFile("train-images-idx3-ubyte.gz"), { dtype: "f32" });
 * images.shape; // [60000, 28, 28]
 */
export async function readIdx<D extends DType = DType>(
  file: Uint8Array | ArrayBuffer,
  options: CreateOptions<D> = {},
): Promise<Tensor<Shape, D>> {
  const place = "readIdx";
  checkOptions(place, options, ["dtype", "device"]);
  const bytes = await unzipped(place, file);
  const refuse = (at: number, finding: string): never => {
    throw new FormatError(place, `byte ${at}: ${finding}`, "give an intact IDX file");
  };
  if (bytes.length < 4) refuse(bytes.length, "the file ends inside the header");
  const [zero, nought, code, rank] = bytes as Uint8Array & readonly number[];
  if (zero !== 0 || nought !== 0) refuse(0, `begins with ${zero}, ${nought} instead of 0, 0`);
  const kind = kinds[code!] ?? refuse(2, `element type ${code}, which is none`);
  const start = 4 + 4 * rank!;
  if (bytes.length < start) refuse(bytes.length, "the file ends inside the header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank! }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, length) => product * length, 1);
  const length = size * stored[kind].width;
  if (bytes.length !== start + length)
    refuse(
      Math.min(bytes.length, start + length),
      `${bytes.length - start} bytes of data instead of ${length}`,
    );
  return tensor(readNumbers(place, kind, bytes, start, size, false), { ...options, shape }) as Tensor<
    Shape,
    D
  >;
}
