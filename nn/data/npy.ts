// Reads .npy, the format in which NumPy writes one array: a header that is a Python dict, then numbers.

import type { CreateOptions } from "../../core/create.ts";
import { tensor } from "../../core/create.ts";
import type { DType } from "../../core/dtype.ts";
import { DTypeError, FormatError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { scope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { contiguous, type Tensor } from "../../core/tensor.ts";
import { transpose } from "../../core/views.ts";
import { readNumbers, type Stored, stored } from "../bytes.ts";
import { unzipped } from "./gzip.ts";

/** The kinds of numbers by NumPy's letters, after the order of bytes. */
const kinds: { readonly [letters: string]: Stored } = {
  b1: "bool",
  f2: "f16",
  f4: "f32",
  f8: "f64",
  i1: "i8",
  i2: "i16",
  i4: "i32",
  i8: "i64",
  u1: "u8",
  u2: "u16",
  u4: "u32",
  u8: "u64",
};

const magic = "\x93NUMPY";

/**
 * The array of a .npy file, gzipped or not, as a tensor: what `numpy.save` writes, in either order of bytes and of axes. Floats
 * of 16 bits become f32, integers i32 and truth values bool, unless `dtype` says otherwise.
 *
 * Throws FormatError, naming the byte, for what is no intact .npy file; DomainError for integers that i32 does not hold;
 * DTypeError for complex numbers, texts, records and objects. Source: the module numpy.lib.format, versions 1.0, 2.0 and 3.0.
 * @example
 * const x = await readNpy(await (await fetch("features.npy")).arrayBuffer());
 */
export async function readNpy<D extends DType = DType>(
  file: Uint8Array | ArrayBuffer,
  options: CreateOptions<D> = {},
): Promise<Tensor<Shape, D>> {
  const place = "readNpy";
  checkOptions(place, options, ["dtype", "device"]);
  const bytes = await unzipped(place, file);
  const { kind, little, fortran, shape, start } = readHeader(bytes);
  const size = shape.reduce((product, length) => product * length, 1);
  const length = size * stored[kind].width;
  if (bytes.length !== start + length)
    throw damaged(
      Math.min(bytes.length, start + length),
      `${bytes.length - start} bytes of data instead of ${length}`,
    );
  const data = readNumbers(place, kind, bytes, start, size, little);
  const made = scope(() => {
    if (!fortran || shape.length < 2) return tensor(data, { ...options, shape });
    const turned = tensor(data, { ...options, shape: shape.toReversed() });
    return contiguous(
      transpose(
        turned,
        shape.map((_, axis) => shape.length - 1 - axis),
      ) as Tensor,
    );
  });
  return made as Tensor<Shape, D>;
}

function damaged(at: number, finding: string): FormatError {
  return new FormatError("readNpy", `byte ${at}: ${finding}`, "give what numpy.save has written");
}

interface Header {
  readonly kind: Stored;
  readonly little: boolean;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** Where the numbers begin. */
  readonly start: number;
}

function readHeader(bytes: Uint8Array): Header {
  const latin = (from: number, to: number): string => String.fromCharCode(...bytes.subarray(from, to));
  if (latin(0, 6) !== magic)
    throw damaged(0, `begins with ${showValue(latin(0, 6))} instead of "\\x93NUMPY"`);
  const version = bytes[6] ?? 0;
  if (version < 1 || version > 3) throw damaged(6, `version ${version}, which is none of 1, 2 and 3`);
  const from = version === 1 ? 10 : 12;
  if (bytes.length < from) throw damaged(bytes.length, "the file ends inside the header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = from + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (bytes.length < start) throw damaged(bytes.length, "the file ends inside the header");
  const text = new TextDecoder(version === 3 ? "utf-8" : "latin1").decode(bytes.subarray(from, start));
  const field = (name: string, value: string): string => {
    const found = new RegExp(`['"]${name}['"]\\s*:\\s*${value}\\s*[,}]`).exec(text)?.[1];
    if (found === undefined) throw damaged(from, `the header ${showValue(text.trim())} has no ${name}`);
    return found;
  };
  const descr = field("descr", `(\\[.*\\]|'[^']*'|"[^"]*")`);
  const [, order, letters] = /^['"]([<>|=]?)(\w+)['"]$/.exec(descr) ?? [];
  const kind = Object.hasOwn(kinds, letters ?? "") ? kinds[letters!] : undefined;
  if (kind === undefined)
    throw new DTypeError(
      "readNpy",
      `the elements are ${descr}, which have no counterpart here`,
      'write floats, integers or truth values: a.astype("f4")',
    );
  const sizes = field("shape", "\\(([\\d\\sL,]*)\\)").split(",");
  return {
    kind,
    little: order !== ">",
    fortran: field("fortran_order", "(True|False)") === "True",
    shape: sizes.filter((size) => size.trim() !== "").map((size) => Number.parseInt(size, 10)),
    start,
  };
}
