// Unpacks gzip, which data sets come in; told by the first two bytes, not by a name.

import { FormatError } from "../../core/errors.ts";
import { checkBytes } from "../bytes.ts";

/** The bytes, unpacked if they are gzipped. */
export async function unzipped(place: string, file: unknown): Promise<Uint8Array> {
  const bytes = checkBytes(place, file);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
    const plain = packed.pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  } catch {
    throw new FormatError(place, "the gzip stream is cut off or damaged", "copy the file again");
  }
}
