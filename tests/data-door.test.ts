// The door for data: readers of IDX, .npy and CSV, what they say of damaged files, dividing rows, and batches that can be
// stopped anywhere.

import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { range, tensor, zeros } from "../core/create.ts";
import { ArgumentError, DomainError, DTypeError, FormatError, ShapeError } from "../core/errors.ts";
import { permutation, randomKey, split } from "../core/random.ts";
import { keep, memory, scope } from "../core/scope.ts";
import { grad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { batches, readCsv, readIdx, readNpy, trainTestSplit } from "../nn/index.ts";
import { mul } from "../ops/elementwise.ts";
import { sum } from "../ops/reduce.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const ours = [ArgumentError, DomainError, DTypeError, FormatError, ShapeError];
/** Passes what a reader gives, and what it refuses by an error of ours. */
const tried = (reading: Promise<unknown>): Promise<unknown> =>
  reading.catch((error: unknown) => {
    if (!ours.some((kind) => error instanceof kind)) throw error;
  });

describe("readIdx", () => {
  const idx = (code: number, shape: readonly number[], data: readonly number[]): Uint8Array => {
    const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
    bytes.set([0, 0, code, shape.length]);
    bytes.set(data, 4 + 4 * shape.length);
    shape.forEach((length, axis) => {
      new DataView(bytes.buffer).setUint32(4 + 4 * axis, length);
    });
    return bytes;
  };

  test.each<[string, number, number[], string, number[]]>([
    ["bytes", 8, [255, 0], "i32", [255, 0]],
    ["signed bytes", 9, [255, 1], "i32", [-1, 1]],
    ["shorts", 11, [255, 254, 1, 0], "i32", [-2, 256]],
    ["integers", 12, [255, 255, 255, 254, 0, 0, 1, 0], "i32", [-2, 256]],
    ["floats", 13, [63, 128, 0, 0, 192, 0, 0, 0], "f32", [1, -2]],
    ["doubles", 14, [63, 248, 0, 0, 0, 0, 0, 0, 192, 0, 0, 0, 0, 0, 0, 0], "f64", [1.5, -2]],
  ])("%s, big-endian, become an element type that holds them", async (_, code, data, dtype, values) => {
    const t = await readIdx(idx(code, [2, 1], data));
    expect([t.dtype, t.shape, t.toArray()]).toEqual([dtype, [2, 1], values.map((v) => [v])]);
  });

  test("a gzipped file is unpacked, and another element type is given if asked for", async () => {
    const t = await readIdx(gzipSync(idx(8, [2, 3], [1, 2, 3, 4, 5, 255])), { dtype: "f32", device: "js" });
    expectTypeOf(t.dtype).toEqualTypeOf<"f32">();
    expect([t.dtype, t.device, t.toArray()]).toEqual([
      "f32",
      "js",
      [
        [1, 2, 3],
        [4, 5, 255],
      ],
    ]);
    expect((await readIdx(idx(8, [0, 28], []))).shape).toEqual([0, 28]);
    expect((await readIdx(idx(8, [], [7]))).item()).toBe(7);
  });

  test.each<[string, Uint8Array, string]>([
    [
      "a short header",
      new Uint8Array([0, 0, 8]),
      "readIdx: byte 3: the file ends inside the header; give an intact IDX file",
    ],
    ["a cut header", idx(8, [2, 3], []).subarray(0, 9), "byte 9: the file ends inside the header"],
    ["another format", bytesOf("PNG!"), "byte 0: begins with 80, 78 instead of 0, 0"],
    ["another type", new Uint8Array([0, 0, 10, 1, 0, 0, 0, 0]), "byte 2: element type 10, which is none"],
    ["cut data", idx(8, [2, 3], [1, 2, 3, 4, 5]), "byte 17: 5 bytes of data instead of 6"],
    ["surplus data", idx(8, [2, 3], new Array(8).fill(7)), "byte 18: 8 bytes of data instead of 6"],
    [
      "a cut gzip stream",
      gzipSync(idx(8, [2], [1, 2])).subarray(0, 25),
      "the gzip stream is cut off or damaged",
    ],
    [
      "a damaged gzip stream",
      gzipSync(idx(8, [2], [1, 2])).fill(9, 12, 20),
      "the gzip stream is cut off or damaged",
    ],
  ])("%s is refused by byte", async (_, bytes, message) => {
    await expect(readIdx(bytes)).rejects.toThrow(message);
    await expect(readIdx(bytes)).rejects.toThrow(FormatError);
  });

  test("junk is refused", async () => {
    await expect(readIdx("train-images" as never)).rejects.toThrow(ArgumentError);
    await expect(readIdx(idx(8, [0], []), { shape: [1] } as never)).rejects.toThrow(
      "there is no option shape",
    );
    await expect(readIdx(idx(8, [1], [3]), { dtype: "bool" })).rejects.toThrow(DomainError);
  });
});

describe("readNpy", () => {
  const npy = (
    descr: string,
    shape: string,
    data: readonly number[],
    { version = 1, fortran = false } = {},
  ): Uint8Array => {
    const header = bytesOf(
      `{'descr': ${descr}, 'fortran_order': ${fortran ? "True" : "False"}, 'shape': ${shape}, }   \n`,
    );
    const from = version === 1 ? 10 : 12;
    const bytes = new Uint8Array(from + header.length + data.length);
    bytes.set([0x93, 78, 85, 77, 80, 89, version, 0, header.length & 255, header.length >> 8]);
    bytes.set(header, from);
    bytes.set(data, from + header.length);
    return bytes;
  };

  test.each<[string, number[], string, unknown[]]>([
    ["'<f4'", [0, 0, 128, 63, 0, 0, 0, 192], "f32", [1, -2]],
    ["'>f4'", [63, 128, 0, 0, 192, 0, 0, 0], "f32", [1, -2]],
    ["'<f8'", [...new Uint8Array(Float64Array.of(0.1, -2).buffer)], "f64", [0.1, -2]],
    ["'>f8'", [63, 248, 0, 0, 0, 0, 0, 0, 192, 0, 0, 0, 0, 0, 0, 0], "f64", [1.5, -2]],
    ["'<f2'", [0, 60, 1, 128], "f32", [1, -(2 ** -24)]],
    ["'<i4'", [254, 255, 255, 255, 0, 1, 0, 0], "i32", [-2, 256]],
    ["'>i8'", [...new Array(7).fill(255), 254, 0, 0, 0, 0, 0, 0, 1, 0], "i32", [-2, 256]],
    ["'<i8'", [254, ...new Array(7).fill(255), 0, 1, 0, 0, 0, 0, 0, 0], "i32", [-2, 256]],
    ["'|u1'", [255, 0], "i32", [255, 0]],
    ["'|i1'", [255, 0], "i32", [-1, 0]],
    ["'>u2'", [1, 0, 0, 1], "i32", [256, 1]],
    ['"|b1"', [1, 0], "bool", [true, false]],
  ])("%s becomes an element type that holds it", async (descr, data, dtype, values) => {
    for (const version of [1, 2, 3]) {
      const t = await readNpy(npy(descr, "(2,)", data, { version }));
      expect([t.dtype, t.shape, t.toArray()]).toEqual([dtype, [2], values]);
    }
  });

  test("axes come in their order, whichever way they are stored", async () => {
    const data = [1, 2, 3, 4, 5, 6];
    expect((await readNpy(npy("'|u1'", "(2, 3)", data))).toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const before = memory().tensors;
    const turned = await readNpy(npy("'|u1'", "(2, 3)", data, { fortran: true }), { dtype: "f32" });
    expect(turned.toArray()).toEqual([
      [1, 3, 5],
      [2, 4, 6],
    ]);
    expect(memory().tensors).toBe(before + 1);
    expect((await readNpy(npy("'|u1'", "()", [9], { fortran: true }))).item()).toBe(9);
    expect((await readNpy(npy("'|u1'", "(0, 3)", [], { fortran: true }))).shape).toEqual([0, 3]);
  });

  test.each<[string, Uint8Array, new (...args: never[]) => Error, string]>([
    ["nothing", new Uint8Array(), FormatError, 'readNpy: byte 0: begins with "" instead of "\\x93NUMPY"'],
    ["another format", bytesOf("PK\x03\x04..."), FormatError, "byte 0: begins with"],
    ["another version", npy("'<f4'", "()", []).fill(4, 6, 7), FormatError, "byte 6: version 4"],
    [
      "a cut length",
      npy("'<f4'", "()", []).subarray(0, 9),
      FormatError,
      "byte 9: the file ends inside the header",
    ],
    [
      "a cut header",
      npy("'<f4'", "()", []).subarray(0, 30),
      FormatError,
      "byte 30: the file ends inside the header",
    ],
    ["no shape", npy("'<f4'", "None", []), FormatError, "has no shape; give what numpy.save has written"],
    ["cut data", npy("'<f4'", "(2,)", [1, 2, 3]), FormatError, "3 bytes of data instead of 8"],
    ["surplus data", npy("'|u1'", "(2,)", [1, 2, 3]), FormatError, "3 bytes of data instead of 2"],
    [
      "objects",
      npy("'|O'", "(2,)", [1, 2, 3]),
      DTypeError,
      "the elements are '|O', which have no counterpart here",
    ],
    ["records", npy("[('a', '<f4')]", "(1,)", [1, 2, 3, 4]), DTypeError, "the elements are [('a', '<f4')]"],
    ["complex numbers", npy("'<c8'", "(0,)", []), DTypeError, "'<c8'"],
    [
      "a long integer",
      npy("'<i8'", "(1,)", [0, 0, 0, 0, 1, 0, 0, 0]),
      DomainError,
      "is 4294967296, which i32 does not hold",
    ],
    ["a truth value of 3", npy("'|b1'", "(1,)", [3]), FormatError, "is 3, where a truth value is 0 or 1"],
  ])("%s is refused", async (_, bytes, kind, message) => {
    await expect(readNpy(bytes)).rejects.toThrow(message);
    await expect(readNpy(bytes)).rejects.toThrow(kind);
  });

  test("changed and cut bytes are refused by an error of ours, or give other numbers", async () => {
    const whole = npy("'<f4'", "(2, 1)", new Array(8).fill(1));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), async (at, byte) => {
        await tried(readNpy(whole.with(at, byte)));
        expect(await tried(readNpy(whole.subarray(0, at)))).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });
});

describe("readCsv", () => {
  test("columns are numbers, or categories where they are named", async () => {
    const table = await readCsv("height,species,weight\r\n1.5,bee,-2e3\r\n.5, ant,+3.\n", {
      categories: ["species"],
    });
    expect([table.names, table.rows]).toEqual([["height", "species", "weight"], 2]);
    expect(table.numbers().toArray()).toEqual([
      [1.5, -2000],
      [0.5, 3],
    ]);
    expect(table.numbers(["weight"], { dtype: "f64" }).dtype).toBe("f64");
    expect(table.column("species")).toEqual({ values: Int32Array.of(1, 0), labels: [" ant", "bee"] });
    expect(table.classes("species").toArray()).toEqual([1, 0]);
    expect(table.column("height")).toEqual({ values: Float64Array.of(1.5, 0.5), labels: null });
  });

  test("labels that are given keep their numbers", async () => {
    const table = await readCsv("y\nbee\n", { categories: { y: ["wasp", "bee"] } });
    expect(table.classes("y").toArray()).toEqual([1]);
    await expect(readCsv("y\nbee\nfly\n", { categories: { y: ["wasp", "bee"] } })).rejects.toThrow(
      'readCsv: line 3, column 1 ("y"): "fly" is no label; add it to categories',
    );
  });

  test("quotes hold delimiters, quotes and line breaks", async () => {
    const text = '"a;""b""";c\n"1";"x\r\ny;z"\n"2";""';
    const table = await readCsv(text, { delimiter: ";", categories: ["c"] });
    expect(table.names).toEqual(['a;"b"', "c"]);
    expect(table.column("c").labels).toEqual(["", "x\r\ny;z"]);
    expect(table.numbers().toArray()).toEqual([[1], [2]]);
  });

  test("without a header columns are named by their numbers; bytes may be gzipped and begin with a mark", async () => {
    const table = await readCsv(gzipSync(bytesOf("\ufeff1,2\n3,4\n\n")), { header: false });
    expect(table.names).toEqual(["0", "1"]);
    expect(table.numbers().toArray()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect((await readCsv("a,b\n")).numbers().shape).toEqual([0, 2]);
    expect((await readCsv("a,__proto__\n1,2\n")).numbers(["__proto__"]).toArray()).toEqual([[2]]);
  });

  test("words for numbers are read, and empty fields if it is said what they stand for", async () => {
    const table = await readCsv("a,b\nNaN,-inf\n,Infinity\n", { empty: -1 });
    expect([...table.column("a").values, ...table.column("b").values]).toEqual([
      Number.NaN,
      -1,
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
    ]);
  });

  test("what was written after RFC 4180 is read", async () => {
    const field = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r", " ", "é") });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(field, field), { minLength: 1 }),
        fc.constantFrom("\n", "\r\n"),
        fc.boolean(),
        async (rows, end, last) => {
          const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
          const lines = rows.map((row) => row.map((f) => (/^[aé ]+$/.test(f) ? f : quoted(f))).join(","));
          const table = await readCsv(lines.join(end) + (last ? end : ""), {
            header: false,
            categories: ["0", "1"],
          });
          const texts = ["0", "1"].map((name) => {
            const { values, labels } = table.column(name);
            return [...values].map((k) => labels![k]!);
          });
          expect(rows.map((_, i) => [texts[0]![i], texts[1]![i]])).toEqual(rows);
        },
      ),
    );
  });

  test.each<[string, string, string]>([
    ["nothing", "", "readCsv: there is no line; give a header at least"],
    ["a missing field", "a,b\n1,2\n3\n", "readCsv: line 3: 1 field instead of 2"],
    ["a field too many", 'a\n"\n\n"\n1,2\n', "line 5: 2 fields instead of 1"],
    [
      "a word",
      "a,b\n1,2\n3,x\n",
      'line 3, column 2 ("b"): "x" is no number; name the column in { categories }',
    ],
    ["a number of another base", "a\n0x10\n", '"0x10" is no number'],
    ["an empty field", "a,b\n1,\n", 'line 2, column 2 ("b"): the field is empty; say what it stands for'],
    ["a quote that is never closed", 'a,b\n1,"2\n3,4\n', "line 2: a quote is opened and never closed"],
    ["text after a quote", 'a\n"1"2\n', 'line 2: "2" follows a closed quote'],
    ["a quote inside a field", 'a\n1"2\n', "line 2: a quote stands inside a field"],
    ["two columns of one name", "a,a\n", 'line 1: two columns are named "a"'],
  ])("%s is refused by line and column", async (_, text, message) => {
    await expect(readCsv(text)).rejects.toThrow(message);
    await expect(readCsv(text)).rejects.toThrow(FormatError);
  });

  test("bytes that are no text are refused, and options without meaning", async () => {
    await expect(readCsv(Uint8Array.of(97, 255))).rejects.toThrow(FormatError);
    for (const options of [
      { delimiter: ", " },
      { delimiter: '"' },
      { empty: "0" },
      { categories: "y" },
      { categories: { a: ["b", "b"] } },
      { categories: ["z"] },
      { sep: ";" },
    ])
      await expect(readCsv("a\n1\n", options as never)).rejects.toThrow(ArgumentError);
    const table = await readCsv("a,b\n1,x\n", { categories: ["b"] });
    expect(() => table.column("c")).toThrow('there is no column "c"; similar ones are "a", "b"');
    expect(() => table.numbers(["b"])).toThrow("b holds categories");
    expect(() => table.classes("a")).toThrow("a holds numbers");
  });
});

describe("trainTestSplit", () => {
  const data = { x: range(10), y: Int32Array.from({ length: 10 }, (_, i) => i), name: [..."abcdefghij"] };

  test("every row is in one part, all columns alike, the same for the same seed", () => {
    const { train, test: tested } = trainTestSplit(data, { test: 0.25, seed: 1 });
    expect([train.x.shape, tested.x.shape]).toEqual([[7], [3]]);
    const all = [...train.y, ...tested.y];
    expect(all.toSorted()).toEqual([...data.y]);
    expect(train.x.toArray()).toEqual([...train.y]);
    expect(tested.name).toEqual([...tested.y].map((i) => data.name[i]));
    expect(trainTestSplit(data, { test: 0.25, seed: 1 }).test.name).toEqual(tested.name);
    expect([...trainTestSplit(data, { test: 3 }).test.y]).not.toEqual([...tested.y]);
    expect(trainTestSplit(data, { test: 3, key: randomKey(1) }).test.name).toEqual(tested.name);
    expectTypeOf(train.name).toEqualTypeOf<string[]>();
    expectTypeOf(train.x).toEqualTypeOf<Tensor<[number], "f32">>();
  });

  test("each class has its share of both parts, as nearly as whole rows allow", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(3), { minLength: 2, maxLength: 40 }),
        fc.double({ min: 0.05, max: 0.9 }),
        fc.nat(9),
        (y, share, seed) => {
          const count = Math.ceil(share * y.length);
          fc.pre(count < y.length);
          const { test: tested, train } = trainTestSplit({ y }, { test: share, seed, stratify: "y" });
          expect([tested.y.length, train.y.length]).toEqual([count, y.length - count]);
          for (const label of new Set(y)) {
            const [all, some] = [y, tested.y].map(
              (labels) => labels.filter((other) => other === label).length,
            ) as [number, number];
            expect(Math.abs(some - (all * count) / y.length)).toBeLessThan(1);
          }
        },
      ),
    );
    const y = tensor([0, 0, 0, 0, 1, 1, 1, 1], { dtype: "i32" });
    expect(trainTestSplit({ y }, { test: 0.5, stratify: "y" }).test.y.toArray().toSorted()).toEqual([
      0, 0, 1, 1,
    ]);
  });

  test.each<[string, () => unknown, new (...args: never[]) => Error]>([
    ["nothing to test on", () => trainTestSplit(data, { test: 0 }), DomainError],
    ["nothing to train on", () => trainTestSplit(data, { test: 0.95 }), DomainError],
    ["half a row", () => trainTestSplit(data, { test: 2.5 }), DomainError],
    ["no share", () => trainTestSplit(data, {} as never), DomainError],
    ["no data", () => trainTestSplit({}, { test: 0.5 }), ArgumentError],
    ["an array for data", () => trainTestSplit([data.x] as never, { test: 0.5 }), ArgumentError],
    ["a number for a column", () => trainTestSplit({ x: 3 } as never, { test: 0.5 }), ArgumentError],
    ["a tensor without rows", () => trainTestSplit({ x: tensor(3) }, { test: 0.5 }), ArgumentError],
    ["columns of other rows", () => trainTestSplit({ x: data.x, y: [1, 2] }, { test: 0.5 }), ShapeError],
    [
      "classes that are none",
      () => trainTestSplit(data, { test: 0.5, stratify: "z" as never }),
      ArgumentError,
    ],
    [
      "rows for classes",
      () => trainTestSplit({ x: zeros([4, 2]) }, { test: 0.5, stratify: "x" }),
      ShapeError,
    ],
  ])("%s is refused", (_, call, kind) => {
    expect(call).toThrow(kind);
  });
});

describe("batches", () => {
  const rows = 10;
  const data = { x: range(rows).reshape([rows, 1]), y: Int32Array.from({ length: rows }, (_, i) => i) };
  const epochOf = (train: Iterable<{ readonly y: Int32Array }>): number[] =>
    Array.from(train, ({ y }) => [...y]).flat();

  test("an epoch gives every row once, all columns alike", () => {
    const sizes: number[] = [];
    const seen: number[] = [];
    for (const { x, y } of batches(data, { size: 4 })) {
      expectTypeOf(x).toEqualTypeOf<Tensor<["batch", 1], "f32">>();
      expect(x.reshape([-1]).toArray()).toEqual([...y]);
      sizes.push(y.length);
      seen.push(...y);
    }
    expect(sizes).toEqual([4, 4, 2]);
    expect(seen.toSorted()).toEqual([...data.y]);
    expect(seen).not.toEqual([...data.y]);
  });

  test("each epoch has an order of its own, which follows from key and epoch", () => {
    const train = batches(data, { size: 3, seed: 7 });
    const orders = [0, 1, 2].map(() => epochOf(train));
    expect(train.epoch).toBe(3);
    expect(new Set(orders.map(String)).size).toBe(3);
    expect(orders).toEqual(split(randomKey(7), 3).map((key) => permutation(rows, { key }).toArray()));
    expect(epochOf(batches(data, { size: 5, key: randomKey(7), epoch: 2 }))).toEqual(orders[2]);
  });

  test("rows come as they are without shuffling, and a short last batch is left out if wanted", () => {
    const plain = batches(data, { size: 4, shuffle: false, dropLast: true });
    expect(plain.length).toBe(2);
    expect(epochOf(plain)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(epochOf(plain)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(batches(data, { size: 20 }).length).toBe(1);
    const none = batches(data, { size: 20, dropLast: true });
    expect([epochOf(none), none.length, none.epoch]).toEqual([[], 0, 1]);
    expect(epochOf(batches({ y: new Int32Array() }, { size: 2 }))).toEqual([]);
  });

  test("a loop that was left goes on where it stopped, and next() goes through epochs", () => {
    const [train, steps] = [batches(data, { size: 4 }), batches(data, { size: 4 })];
    const whole = [...epochOf(batches(data, { size: 4 })), ...epochOf(batches(data, { size: 4, epoch: 1 }))];
    const seen: number[] = [];
    for (const { y } of train) {
      seen.push(...y);
      break;
    }
    expect(train.epoch).toBe(0);
    seen.push(...epochOf(train), ...epochOf(train));
    expect(seen).toEqual(whole);
    expect(Array.from({ length: 6 }, () => [...steps.next().y]).flat()).toEqual(whole);
    expect(steps.epoch).toBe(1);
    expect(() => batches({ y: [] }, { size: 2 }).next()).toThrow("0 rows make no batch");
  });

  test("a place that was saved at any batch is gone on from, whatever size batches have then", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(20),
        (size, later, steps) => {
          const train = batches(data, { size, seed: 3 });
          const seen = Array.from({ length: steps }, () => [...train.next().y]).flat();
          const other = batches(data, { size: later });
          other.loadStateDict(train.stateDict());
          for (let i = 0; i < 3; i++) seen.push(...epochOf(other));
          const straight = batches(data, { size: 1, seed: 3 });
          expect(seen).toEqual(seen.map(() => straight.next().y[0]));
        },
      ),
      { numRuns: 40 },
    );
  });

  test("a loop gathers no memory; what is kept stays", () => {
    const big = { x: zeros([100, 100]) };
    const train = batches(big, { size: 10 });
    const kept = keep(train.next());
    const before = memory().tensors;
    for (let epoch = 0; epoch < 3; epoch++)
      for (const _ of train) expect(memory().tensors).toBeLessThanOrEqual(before + 1);
    const first = train.next();
    scope(() => train.next());
    expect(() => first.x.toArray()).toThrow(/keep\(\) it/);
    expect(kept.x.toArray()).toHaveLength(10);
  });

  test("several batches can be differentiated through", () => {
    const train = batches({ x: zeros([100, 100]).reshape([100, 100]) }, { size: 50 });
    const f = (w: Tensor): Tensor => {
      let total: Tensor = sum(w as Tensor<[], "f32">);
      for (const { x } of train)
        total = mul(total as Tensor<[], "f32">, sum(mul(x, w as Tensor<[], "f32">)) as Tensor<[], "f32">);
      return total;
    };
    expect((grad(f as never) as (w: Tensor) => Tensor)(tensor(2)).item()).toBe(0);
  });

  test.each<[string, () => unknown, new (...args: never[]) => Error, string]>([
    ["no size", () => batches(data, {} as never), DomainError, "size is undefined"],
    ["a size of 0", () => batches(data, { size: 0 }), DomainError, "size is 0"],
    ["an epoch before the first", () => batches(data, { size: 1, epoch: -1 }), DomainError, "epoch is -1"],
    [
      "a flag that is none",
      () => batches(data, { size: 1, dropLast: 1 as never }),
      ArgumentError,
      "dropLast is 1",
    ],
    [
      "a seed for rows as they are",
      () => batches(data, { size: 1, seed: 1, shuffle: false }),
      ArgumentError,
      "shuffle is false",
    ],
    [
      "a seed and a key",
      () => batches(data, { size: 1, seed: 1, key: randomKey(1) }),
      ArgumentError,
      "both a key and a seed",
    ],
    [
      "columns of other rows",
      () => batches({ ...data, z: [1] }, { size: 1 }),
      ShapeError,
      "x has 10 rows and z has 1",
    ],
    [
      "the place of other data",
      () => batches(data, { size: 1 }).loadStateDict(batches({ y: [1] }, { size: 1 }).stateDict()),
      DomainError,
      "the position is row 0 of 1 in epoch 0, and these batches have 10 rows",
    ],
    [
      "the place of nothing",
      () => batches(data, { size: 1 }).loadStateDict({}),
      ArgumentError,
      "lacks key, epoch, index, rows",
    ],
  ])("%s is refused", (_, call, kind, message) => {
    expect(call).toThrow(kind);
    expect(call).toThrow(message);
  });
});
