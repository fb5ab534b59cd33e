// Tensors as bytes in the format safetensors, version 0.4: the files of PyTorch models. Byte for byte what its own writer makes.
// Knows no model and no file.

import type { DeviceName } from "../core/backends/backend.ts";
import { backendOf, currentBackend } from "../core/device.ts";
import type { DType } from "../core/dtype.ts";
import { ArgumentError, DeviceError, DTypeError, FormatError, showValue } from "../core/errors.ts";
import { checkOptions } from "../core/op.ts";
import { isRecord, passingOn } from "../core/scope.ts";
import type { StateDict } from "../core/state.ts";
import { fromHost, type Tensor } from "../core/tensor.ts";
import { checkBytes, readNumbers, type Stored, stored } from "./bytes.ts";
import { checkTensors } from "./state.ts";

/** Words about the tensors of a file. */
export type Metadata = { readonly [name: string]: string };

/** What a file holds. */
export interface Tensors {
  readonly tensors: StateDict;
  readonly metadata: Metadata;
}

const HEADER_LIMIT = 100_000_000;
const NO_TENSOR = "__metadata__";

/** Our element types by the names of the format, in the order that files have them in: the widest first, then by name. */
const written: { readonly [D in DType]: string } = { f64: "F64", f32: "F32", i32: "I32", bool: "BOOL" };
const order = /* @__PURE__ */ Object.keys(written);

/** Half of a character that takes two units: no text that can be written as UTF-8. */
const lonely = /\p{Surrogate}/u;

/**
 * Tensors as the bytes of a safetensors file, the way from a model to PyTorch and to a later run. The same tensors give the
 * same bytes, and the bytes that PyTorch's `safetensors.torch.save_file` writes: f32 as F32, f64 as F64, i32 as I32, bool as
 * BOOL. Tensors of any device: they are read at once and awaited. A tensor under two names is written twice.
 *
 * Throws ArgumentError for what is no record of tensors, and for metadata that are no strings. Source:
 * https://github.com/huggingface/safetensors#format
 * @example
 * const bytes = await toSafetensors(model.stateDict(), { format: "pt" });
 */
export async function toSafetensors(tensors: StateDict, metadata: Metadata = {}): Promise<Uint8Array> {
  const place = "toSafetensors";
  checkTensors(place, tensors);
  for (const name of Object.keys(tensors))
    if (name === NO_TENSOR || lonely.test(name))
      throw new ArgumentError(place, `no tensor can be named ${showValue(name)}`, "give it another name");
  checkMetadata(place, metadata);
  const entries = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, tensor, key: encode(name) }))
    .sort(
      (a, b) => order.indexOf(a.tensor.dtype) - order.indexOf(b.tensor.dtype) || compareBytes(a.key, b.key),
    );
  // All begin before the first is awaited: a scope may end meanwhile.
  const reading = entries.map(({ tensor }) => tensor.data());
  let end = 0;
  const fields = entries.map(({ name, tensor: { dtype, shape, size } }) => {
    const begin = end;
    end += size * stored[dtype].width;
    return field(name, { dtype: written[dtype], shape, data_offsets: [begin, end] });
  });
  const words = Object.entries(metadata).sort(([a], [b]) => compareBytes(encode(a), encode(b)));
  if (words.length > 0)
    fields.unshift(`${JSON.stringify(NO_TENSOR)}:{${words.map((entry) => field(...entry)).join(",")}}`);
  const text = encode(`{${fields.join(",")}}`);
  const length = Math.ceil(text.length / 8) * 8;
  if (length > HEADER_LIMIT)
    throw new ArgumentError(
      place,
      `names and metadata take ${length} bytes, and the format has room for ${HEADER_LIMIT}`,
      "write several files",
    );
  const bytes = new Uint8Array(8 + length + end);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes.set(text, 8);
  bytes.fill(0x20, 8 + text.length, 8 + length);
  let at = 8 + length;
  for (const data of await Promise.all(reading)) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const field = (name: string, value: unknown): string => `${JSON.stringify(name)}:${JSON.stringify(value)}`;

/** The order of names in files: that of their bytes. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const i = a.findIndex((byte, k) => byte !== b[k]);
  return i < 0 ? a.length - b.length : a[i]! - (b[i] ?? -1);
}

function checkMetadata(place: string, metadata: unknown): asserts metadata is Metadata {
  if (!isRecord(metadata))
    throw new ArgumentError(
      place,
      `the metadata are ${showValue(metadata)}`,
      'give a record of strings, such as { epoch: "3" }',
    );
  for (const [name, word] of Object.entries(metadata)) {
    if (typeof word !== "string" || lonely.test(name + word))
      throw new ArgumentError(
        place,
        `the metadatum ${name} is ${showValue(word)}`,
        "metadata are strings of whole characters; write numbers with String(…)",
      );
  }
}

/**
 * The tensors of a safetensors file, as PyTorch writes them, and the metadata beside them. F32, F64, I32 and BOOL have element
 * types of their own. F16 and BF16 become f32, which holds them all; I64, U64, U32, I16, U16, I8 and U8 become i32.
 *
 * They live on the current device, or on the one given. Throws FormatError, naming the byte or the tensor, for what is no intact
 * file; DomainError for integers that i32 does not hold; DTypeError for element types that have no counterpart here; DeviceError
 * for F64 where the device has no f64. Source: https://github.com/huggingface/safetensors#format
 * @example
 * const { tensors } = fromSafetensors(await (await fetch("model.safetensors")).arrayBuffer());
 * model.loadStateDict(tensors);
 */
export function fromSafetensors(
  file: Uint8Array | ArrayBuffer,
  options: { readonly device?: DeviceName } = {},
): Tensors {
  const place = "fromSafetensors";
  checkOptions(place, options, ["device"]);
  const bytes = checkBytes(place, file);
  const backend = options.device === undefined ? currentBackend() : backendOf(options.device);
  const { infos, metadata, start } = readHeader(bytes);
  const found = infos.map((info): [Info, Stored] => {
    const kind = info.dtype.toLowerCase();
    if (!Object.hasOwn(stored, kind) || info.dtype !== kind.toUpperCase())
      throw new DTypeError(
        place,
        `${showValue(info.name)} is of type ${showValue(info.dtype)}, which has no counterpart here`,
        "write it as F32, F16 or BF16",
      );
    if (kind === "f64" && !backend.floats.includes("f64"))
      throw new DeviceError(
        place,
        `${showValue(info.name)} is F64, and ${backend.name} has no f64`,
        'read it with { device: "wasm" }',
      );
    return [info, kind as Stored];
  });
  checkOffsets(found, bytes.length - start);
  const tensors = passingOn(() =>
    found.map(([{ name, shape, size, begin }, kind]): [string, Tensor] => {
      const data = readNumbers(`${place}: ${showValue(name)}`, kind, bytes, start + begin, size, true);
      return [name, fromHost(backend, stored[kind].dtype, shape, data, name)];
    }),
  );
  return { tensors: Object.fromEntries(tensors), metadata };
}

/** What the header says of a tensor. Offsets count from the end of the header. */
interface Info {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly size: number;
  readonly begin: number;
  readonly end: number;
}

function damaged(finding: string): FormatError {
  return new FormatError("fromSafetensors", finding, "give an intact safetensors file");
}

/** The header: eight bytes of length, and so many bytes of JSON. */
function readHeader(bytes: Uint8Array): {
  infos: readonly Info[];
  metadata: Metadata;
  /** Where the tensors begin. */
  start: number;
} {
  if (bytes.length < 8) throw damaged(`byte ${bytes.length}: the file ends inside the length of the header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  const start = 8 + length;
  if (length > HEADER_LIMIT)
    throw damaged(`byte 0: a header of ${length} bytes, where the format allows ${HEADER_LIMIT}`);
  if (start > bytes.length)
    throw damaged(`byte ${bytes.length}: the file ends inside the header, which has ${length} bytes`);
  if (bytes[8] !== 0x7b || length < 2) throw damaged(`byte 8: the header does not begin with {`);
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, start));
    header = JSON.parse(text);
  } catch (cause) {
    throw damaged(`byte 8: the header of ${length} bytes is no JSON (${(cause as Error).message})`);
  }
  const twice = repeatedName(text);
  if (twice !== undefined) throw damaged(`the header names ${showValue(twice)} twice`);
  const { [NO_TENSOR]: metadata = {}, ...tensors } = header as { readonly [name: string]: unknown };
  if (!isRecord(metadata) || !Object.values(metadata).every((word) => typeof word === "string"))
    throw damaged(`the header's ${NO_TENSOR} are no record of strings`);
  return {
    infos: Object.entries(tensors).map(([name, info]) => readInfo(name, info)),
    metadata: metadata as Metadata,
    start,
  };
}

/** A name that stands twice in one object of a JSON text: parsers take the last one, silently. */
function repeatedName(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, colon] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (colon !== undefined) {
      const name: string = JSON.parse(token.slice(0, -colon.length));
      if (open.at(-1)!.has(name)) return name;
      open.at(-1)!.add(name);
    }
  }
  return undefined;
}

const shown = (json: unknown): string => String(JSON.stringify(json)).slice(0, 80);

function readInfo(name: string, info: unknown): Info {
  const refuse = (finding: string): never => {
    throw damaged(`the tensor ${showValue(name)} ${finding}`);
  };
  if (!isRecord(info)) return refuse(`is described by ${showValue(info)}`);
  const { dtype, shape, data_offsets: offsets } = info;
  const natural = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0;
  if (typeof dtype !== "string") return refuse(`is of type ${showValue(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(natural)) return refuse(`has no shape: ${shown(shape)}`);
  const [begin, end, ...others] = Array.isArray(offsets) ? (offsets as unknown[]) : [];
  if (!natural(begin) || !natural(end) || begin > end || others.length > 0)
    return refuse(`lies at no place: ${shown(offsets)}`);
  let size = 1;
  for (const length of shape) {
    size *= length;
    if (!natural(size)) refuse(`of shape ${shown(shape)} has more entries than can be counted`);
  }
  return { name, dtype, shape, size, begin, end };
}

/** Refuses tensors that are not where their sizes say, and that leave holes, overlap, or do not fill the file. */
function checkOffsets(found: readonly (readonly [Info, Stored])[], length: number): void {
  let last = 0;
  const sorted = found.toSorted(([a], [b]) => a.begin - b.begin || a.end - b.end);
  for (const [{ name, shape, size, begin, end }, kind] of sorted) {
    const wanted = size * stored[kind].width;
    if (begin !== last)
      throw damaged(
        `the tensor ${showValue(name)} begins at byte ${begin} of the data, where the one before ends at ${last}`,
      );
    if (end - begin !== wanted)
      throw damaged(
        `the tensor ${showValue(name)} has ${end - begin} bytes, where its shape ${shown(shape)} takes ${wanted}`,
      );
    last = end;
  }
  if (last !== length) throw damaged(`the tensors take ${last} bytes, and ${length} follow the header`);
}
