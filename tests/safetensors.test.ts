// safetensors: the bytes of the format, written by hand and by PyTorch; round trips; and what is said of damaged files.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { useDevice } from "../core/device.ts";
import { type DType, dtypes } from "../core/dtype.ts";
import {
  ArgumentError,
  DeviceError,
  DomainError,
  DTypeError,
  FormatError,
  ShapeError,
} from "../core/errors.ts";
import { scope } from "../core/scope.ts";
import type { StateDict } from "../core/state.ts";
import type { Tensor } from "../core/tensor.ts";
import { fromSafetensors, toSafetensors } from "../nn/index.ts";

const utf8 = (text: string): number[] => [...new TextEncoder().encode(text)];

/** A file of a header, given as it stands, and data. */
function fileOf(header: string, data: readonly number[] = []): Uint8Array {
  const text = utf8(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

const info = (dtype: string, shape: readonly number[], begin: number, end: number): string =>
  `{"dtype":"${dtype}","shape":${JSON.stringify(shape)},"data_offsets":[${begin},${end}]}`;

/** One tensor named x. */
const one = (dtype: string, shape: readonly number[], data: readonly number[]): Uint8Array =>
  fileOf(`{"x":${info(dtype, shape, 0, data.length)}}`, data);

const valuesOf = (file: Uint8Array): readonly number[] => [...fromSafetensors(file).tensors.x!.dataSync()];

describe("bytes", () => {
  // Every byte by hand: 8 of length, a header padded to a multiple of 8, the widest elements first, then by name.
  const header =
    '{"__metadata__":{"format":"pt"},"d":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},"b":{"dtype":"F32","shape":[0],"data_offsets":[16,16]},"é":{"dtype":"I32","shape":[1],"data_offsets":[16,20]},"c":{"dtype":"BOOL","shape":[3],"data_offsets":[20,23]}}';
  const padded = `${header}${" ".repeat((8 - (utf8(header).length % 8)) % 8)}`;
  const vector = fileOf(
    padded,
    [
      [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], // 1.5
      [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], // 1, −2
      [0xfe, 0xff, 0xff, 0xff], // −2
      [1, 0, 1],
    ].flat(),
  );
  const tensors = (): StateDict => ({
    c: tensor([true, false, true]),
    b: zeros([0]),
    é: tensor([-2], { dtype: "i32" }),
    a: tensor([[1, -2]]),
    d: tensor(1.5, { dtype: "f64" }),
  });

  test("the same tensors are written as the vector", async () => {
    expect((8 + utf8(padded).length) % 8).toBe(0);
    expect([...(await toSafetensors(tensors(), { format: "pt" }))]).toEqual([...vector]);
  });

  test("the vector is read as the same tensors", () => {
    const { tensors: found, metadata } = fromSafetensors(vector);
    expect(metadata).toEqual({ format: "pt" });
    for (const [name, t] of Object.entries(tensors())) {
      expect(found[name]!.dtype).toBe(t.dtype);
      expect(found[name]!.shape).toEqual(t.shape);
      expect(found[name]!.toArray()).toEqual(t.toArray());
    }
  });

  test("names are sorted by their bytes, digits among them; metadata too", async () => {
    const t = tensor([1]);
    const names = ["10", "9", "a.b", "a", "\u{1f600}", "\uffee", "__proto__"];
    const text = new TextDecoder().decode(
      await toSafetensors(Object.fromEntries(names.map((name) => [name, t])), { b: "1", "2": "", a: "ü" }),
    );
    const { __metadata__: words } = JSON.parse(text.slice(8, text.indexOf("}}") + 2)) as never;
    expect(Object.keys(words)).toEqual(["2", "a", "b"]);
    const found = [...text.matchAll(/"([^"]*)":\{"dtype/g)].map(([, name]) => name);
    expect(found).toEqual(["10", "9", "__proto__", "a", "a.b", "\uffee", "\u{1f600}"]);
  });

  test("nothing is a file too", async () => {
    const empty = await toSafetensors({});
    expect([...empty]).toEqual([...fileOf("{}      ")]);
    expect(fromSafetensors(empty)).toEqual({ tensors: {}, metadata: {} });
    expect(fromSafetensors(empty.buffer as ArrayBuffer).tensors).toEqual({});
  });

  test("views are written in their own order, and what a scope frees meanwhile is written all the same", async () => {
    const writing = scope(() => ({
      promise: toSafetensors({
        x: tensor(
          Float32Array.from({ length: 200 }, (_, i) => i),
          { shape: [2, 100] },
        ).transpose(),
      }),
    }));
    const { x } = fromSafetensors(await writing.promise).tensors;
    expect(x!.shape).toEqual([100, 2]);
    expect([...x!.dataSync().subarray(0, 4)]).toEqual([0, 100, 1, 101]);
  });

  test("bytes that lie at odd places are read", () => {
    const shifted = new Uint8Array(vector.length + 3);
    shifted.set(vector, 3);
    expect(fromSafetensors(shifted.subarray(3)).tensors.d!.item()).toBe(1.5);
    expect(
      valuesOf(fileOf(`{"a":${info("BOOL", [1], 0, 1)},"x":${info("F32", [1], 1, 5)}}`, [1, 0, 0, 128, 63])),
    ).toEqual([1]);
  });
});

const bits = fc.oneof(
  fc.double(),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.constantFrom(Number.NaN, -0, Number.NEGATIVE_INFINITY, 2 ** -149),
);
const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(
    fc.constantFrom<DType>("f32", "f64", "i32", "bool"),
    fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
  )
  .chain(([dtype, shape]) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return fc.array(bits, { minLength: length, maxLength: length }).map((values) => {
      const array = new dtypes[dtype].array(length);
      array.set(dtype === "bool" ? values.map((v) => Number(v > 0)) : values);
      return tensor(array as never, { dtype, shape }) as Tensor;
    });
  });
const anyDict = fc.dictionary(fc.string({ unit: "grapheme", maxLength: 8 }), anyTensor, { maxKeys: 5 });

describe("round trips", () => {
  test("tensors of any type, shape and name come back to the last bit, and give the same bytes", async () => {
    await fc.assert(
      fc.asyncProperty(
        anyDict,
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }),
        async (dict, words) => {
          fc.pre(!JSON.stringify([Object.keys(dict), words]).includes("\\ud"));
          const bytes = await toSafetensors(dict, words);
          const { tensors, metadata } = fromSafetensors(bytes);
          expect({ ...metadata }).toEqual({ ...words });
          expect(Object.keys(tensors).sort()).toEqual(Object.keys(dict).sort());
          for (const [name, t] of Object.entries(dict)) {
            expect(tensors[name]!.dtype).toBe(t.dtype);
            expect(tensors[name]!.shape).toEqual(t.shape);
            expect(new Uint8Array(tensors[name]!.dataSync().buffer)).toEqual(
              new Uint8Array(t.dataSync().buffer),
            );
          }
          expect(await toSafetensors(tensors, metadata)).toEqual(bytes);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("types that other programs write", () => {
  /** All words of 16 bits, little-endian. */
  const words = Array.from({ length: 65536 }, (_, w) => [w & 255, w >> 8]).flat();

  test("BF16 is the upper half of F32", () => {
    const floats = new Float32Array(Uint32Array.from({ length: 65536 }, (_, w) => w << 16).buffer);
    expect(valuesOf(one("BF16", [65536], words))).toEqual([...floats]);
  });

  test("F16 is exact: subnormal, largest, infinite, undefined and signed", () => {
    const found = valuesOf(one("F16", [256, 256], words));
    const known = {
      0: 0,
      1: 2 ** -24,
      1023: 1023 * 2 ** -24,
      1024: 2 ** -14,
      13653: 0.333251953125,
      15360: 1,
      31743: 65504,
      31744: Number.POSITIVE_INFINITY,
    };
    for (const [word, value] of Object.entries(known)) {
      expect(found[Number(word)]).toBe(value);
      expect(found[Number(word) + 32768]).toBe(-value);
    }
    // Magnitudes grow with their bits, by a step that doubles with each exponent.
    const steps = found.slice(1, 31744).map((v, w) => (v - found[w]!) / 2 ** (Math.max(w >> 10, 1) - 25));
    expect(new Set(steps)).toEqual(new Set([1]));
    const undefinedOnes = [...found.slice(31745, 32768), ...found.slice(64513)];
    expect(undefinedOnes.every(Number.isNaN)).toBe(true);
  });

  test("integers of other widths become i32", () => {
    const long = (v: bigint): number[] => [...new Uint8Array(BigInt64Array.of(v).buffer)];
    const { x } = fromSafetensors(
      one("I64", [3], [...long(7n), ...long(-1n), ...long(-(2n ** 31n))]),
    ).tensors;
    expect(x!.dtype).toBe("i32");
    expect(x!.toArray()).toEqual([7, -1, -(2 ** 31)]);
    expect(valuesOf(one("U64", [1], long(2n ** 31n - 1n)))).toEqual([2 ** 31 - 1]);
    expect(valuesOf(one("U32", [1], [1, 2, 0, 0]))).toEqual([513]);
    expect(valuesOf(one("I16", [2], [0, 128, 1, 0]))).toEqual([-32768, 1]);
    expect(valuesOf(one("U16", [1], [255, 255]))).toEqual([65535]);
    expect(valuesOf(one("I8", [2], [255, 127]))).toEqual([-1, 127]);
    expect(valuesOf(one("U8", [2], [255, 0]))).toEqual([255, 0]);
  });

  test.each([
    ["I64", [...new Array(8).fill(0), 0, 0, 0, 0, 1, 0, 0, 0], "entry 1, at byte"],
    ["I64", [...new Array(8).fill(0), 0, 0, 0, 128, 0, 0, 0, 0], "is 2147483648, which i32 does not hold"],
    ["U64", new Array(16).fill(255), "which i32 does not hold"],
    ["U32", [0, 0, 0, 0, 0, 0, 0, 128], "is 2147483648"],
  ])("%s that i32 does not hold is refused by entry and byte", (type, data, message) => {
    const read = (): unknown => valuesOf(one(type, [2], data));
    expect(read).toThrow(DomainError);
    expect(read).toThrow(message);
  });

  test("types without a counterpart are refused, F64 only where the device has none", async () => {
    expect(() => valuesOf(one("F8_E4M3", [1], [0]))).toThrow(DTypeError);
    expect(() => valuesOf(one("f32", [1], [0, 0, 0, 0]))).toThrow('"x" is of type "f32"');
    await useDevice("js");
    expect(fromSafetensors(one("F64", [1], new Array(8).fill(0))).tensors.x!.device).toBe("js");
    await useDevice("wasm");
    expect(fromSafetensors(one("I8", [1], [0]), { device: "js" }).tensors.x!.device).toBe("js");
    expect(() => fromSafetensors(one("I8", [1], [0]), { device: "tpu" as never })).toThrow(DeviceError);
  });
});

describe("what is no file is refused, and how", () => {
  const x = info("F32", [2], 0, 8);
  const data = new Array(8).fill(0);
  const big = new Uint8Array(16);
  new DataView(big.buffer).setBigUint64(0, 2n ** 53n + 1n, true);

  test.each<[string, Uint8Array, string]>([
    ["nothing", new Uint8Array(), "byte 0: the file ends inside the length of the header"],
    ["a cut length", new Uint8Array(5), "byte 5: the file ends inside the length"],
    [
      "a cut header",
      fileOf("{}").subarray(0, 9),
      "byte 9: the file ends inside the header, which has 2 bytes",
    ],
    [
      "an enormous header",
      big,
      "byte 0: a header of 9007199254740992 bytes, where the format allows 100000000",
    ],
    ["another format", fileOf("PK"), "byte 8: the header does not begin with {"],
    ["a padded beginning", fileOf(" {}"), "byte 8: the header does not begin with {"],
    ["an empty header", fileOf("", [0x7b]), "the header does not begin with {"],
    ["broken JSON", fileOf('{"x":'), "byte 8: the header of 5 bytes is no JSON"],
    ["broken UTF-8", fileOf("{}").fill(0xff, 9, 10), "is no JSON"],
    ["a name twice", fileOf(`{"x":${x},"\\u0078":${x}}`, data), 'the header names "x" twice'],
    ["a field twice", fileOf('{"x":{"dtype":"F32","dtype":"F32"}}'), 'the header names "dtype" twice'],
    ["metadata of numbers", fileOf('{"__metadata__":{"a":1}}'), "__metadata__ are no record of strings"],
    ["metadata in a list", fileOf('{"__metadata__":[]}'), "__metadata__ are no record of strings"],
    ["a number for a tensor", fileOf('{"x":3}'), 'the tensor "x" is described by 3'],
    ["no type", fileOf('{"x":{}}'), 'the tensor "x" is of type undefined'],
    ["a negative size", fileOf('{"x":{"dtype":"F32","shape":[-1]}}'), '"x" has no shape: [-1]'],
    ["a fraction of a size", fileOf('{"x":{"dtype":"F32","shape":[0.5]}}'), '"x" has no shape: [0.5]'],
    ["no shape", fileOf('{"x":{"dtype":"F32"}}'), '"x" has no shape: undefined'],
    ["no place", fileOf('{"x":{"dtype":"F32","shape":[2]}}'), '"x" lies at no place: undefined'],
    [
      "three offsets",
      fileOf('{"x":{"dtype":"F32","shape":[],"data_offsets":[0,1,2]}}'),
      "lies at no place: [0,1,2]",
    ],
    ["offsets backwards", fileOf(`{"x":${info("F32", [2], 8, 0)}}`), '"x" lies at no place: [8,0]'],
    [
      "more entries than numbers",
      fileOf(`{"x":${info("F32", [2 ** 50, 2 ** 50, 0], 0, 0)}}`),
      "can be counted",
    ],
    [
      "a hole before",
      fileOf(`{"x":${info("F32", [1], 4, 8)}}`, data),
      '"x" begins at byte 4 of the data, where the one before ends at 0',
    ],
    [
      "an overlap",
      fileOf(`{"x":${x},"y":${info("F32", [1], 4, 8)}}`, data),
      '"y" begins at byte 4 of the data, where the one before ends at 8',
    ],
    [
      "too few bytes for its shape",
      fileOf(`{"x":${info("F32", [3], 0, 8)}}`, data),
      '"x" has 8 bytes, where its shape [3] takes 12',
    ],
    ["cut data", fileOf(`{"x":${x}}`, data.slice(1)), "the tensors take 8 bytes, and 7 follow the header"],
    ["surplus data", fileOf(`{"x":${x}}`, [...data, 0]), "the tensors take 8 bytes, and 9 follow the header"],
    ["a truth value of 2", one("BOOL", [2], [1, 2]), "is 2, where a truth value is 0 or 1"],
  ])("%s", (_, file, message) => {
    expect(() => fromSafetensors(file)).toThrow(message);
    expect(() => fromSafetensors(file)).toThrow(FormatError);
  });

  test("nor are junk, names and metadata that no file can hold", async () => {
    expect(() => fromSafetensors("model" as never)).toThrow(ArgumentError);
    expect(() => fromSafetensors(fileOf("{}"), { dtype: "f32" } as never)).toThrow(
      "there is no option dtype",
    );
    const t = tensor([1]);
    await expect(toSafetensors([t] as never)).rejects.toThrow(ArgumentError);
    await expect(toSafetensors({ x: [1] as never })).rejects.toThrow(
      "toSafetensors: x: an array of 1 is not a tensor",
    );
    await expect(toSafetensors({ __metadata__: t })).rejects.toThrow('no tensor can be named "__metadata__"');
    await expect(toSafetensors({ "\ud800": t })).rejects.toThrow(ArgumentError);
    await expect(toSafetensors({}, { epoch: 3 as never })).rejects.toThrow("the metadatum epoch is 3");
    await expect(toSafetensors({}, { epoch: "\udc00" })).rejects.toThrow(ArgumentError);
    await expect(toSafetensors({}, 3 as never)).rejects.toThrow("the metadata are 3");
    await expect(toSafetensors({ x: "y".repeat(3) as never })).rejects.toThrow(ArgumentError);
  });

  const ours = [ArgumentError, DeviceError, DomainError, DTypeError, FormatError, ShapeError];
  /** What reading gives, or an error of ours; anything else fails. */
  const outcome = (file: Uint8Array): StateDict | undefined => {
    try {
      return fromSafetensors(file).tensors;
    } catch (error) {
      if (ours.some((kind) => error instanceof kind)) return undefined;
      throw error;
    }
  };

  test("a file that is cut anywhere, or lengthened, is refused", async () => {
    await fc.assert(
      fc.asyncProperty(anyDict, fc.nat(), async (dict, n) => {
        fc.pre(!JSON.stringify(Object.keys(dict)).includes("\\ud"));
        const bytes = await toSafetensors(dict);
        expect(outcome(bytes.subarray(0, n % bytes.length))).toBeUndefined();
        expect(outcome(Uint8Array.of(...bytes, 0))).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  test("a file with changed bytes is refused by an error of ours, or is a file of other tensors", async () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(anyDict, fc.array(change, { minLength: 1, maxLength: 3 }), async (dict, changes) => {
        fc.pre(!JSON.stringify(Object.keys(dict)).includes("\\ud"));
        const bytes = await toSafetensors(dict);
        for (const [at, by] of changes) bytes[at % bytes.length]! ^= by;
        const found = outcome(bytes);
        if (found === undefined) return;
        const header = new DataView(bytes.buffer).getUint32(0, true);
        const taken = Object.values(found).reduce((sum, t) => sum + t.dataSync().byteLength, 0);
        // Narrower elements are widened.
        expect(taken).toBeGreaterThanOrEqual(bytes.length - 8 - header);
        const again = fromSafetensors(await toSafetensors(found)).tensors;
        for (const [name, t] of Object.entries(found)) expect(again[name]!.toArray()).toEqual(t.toArray());
      }),
      { numRuns: 150 },
    );
  });

  test("a header whose numbers are changed is refused", async () => {
    const whole = await toSafetensors({ a: tensor([1, 2]), b: tensor([[3, 4, 5]]), c: tensor([true]) });
    const length = new DataView(whole.buffer).getUint32(0, true);
    const header = new TextDecoder().decode(whole.subarray(8, 8 + length)).trim();
    const numbers = [...header.matchAll(/(?<=[[,])\d+/g)];
    expect(numbers.length).toBe(10);
    for (const { index, 0: number } of numbers)
      for (const by of [-1, 1, 4]) {
        const other = `${header.slice(0, index)}${Number(number) + by}${header.slice(index + number.length)}`;
        expect(outcome(fileOf(other, [...whole.subarray(8 + length)])), other).toBeUndefined();
      }
  });
});
