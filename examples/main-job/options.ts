// The main job's command line: what may be asked, and what to say when something else is.

import { parseArgs } from "node:util";
import type { DeviceName } from "simplexgrad";
import { type DataName, dataNames } from "../data/index.ts";
import { type Head, heads } from "./heads.ts";

/** A command line that asks for something that is not there. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface Options {
  readonly heads: readonly Head[];
  readonly epochs: number;
  /** One training of each head for every seed. */
  readonly seeds: readonly number[];
  readonly data: DataName;
  /** Where the arithmetic is done. */
  readonly device: DeviceName;
  /** Where the report goes. */
  readonly out: string;
}

const devices: readonly DeviceName[] = ["wasm", "webgpu", "js"];

/** Enough for each data set to settle: 1,438 images, or 60,000. */
const usualEpochs: { readonly [D in DataName]: number } = { digits: 40, mnist: 3, fashion: 3 };

export const help: string = `Trains the same small network once for each way to turn scores into probabilities, and compares them.

  npm start -- [options]

  --loss NAMES   heads to train, separated by commas (all when not said):
                 ${heads.map((head) => head.name).join(", ")}
  --epochs N     passes through the training set (${usualEpochs.digits}; ${usualEpochs.mnist} for mnist and fashion)
  --seed N       decides first weights and order of examples (0)
  --seeds N      trains N times, from --seed on, and reports mean ± standard deviation (1)
  --data NAME    ${dataNames.join(", ")} (digits)
  --device NAME  where to compute: wasm (the CPU), webgpu (the GPU), js (the CPU without WebAssembly) (wasm)
  --out FILE     the report, one HTML page (out/main-job.html)
  --help         this text`;

/** What a command line asks for; "help" where it asks for help. Throws UsageError. */
export function readOptions(args: readonly string[]): Options | "help" {
  const { loss, epochs, seed, seeds, data, device, out, help: asked } = parsed(args);
  if (asked) return "help";
  const set = oneOf("--data", data ?? "digits", dataNames);
  const first = natural("--seed", seed ?? "0", 0, 999_999_999);
  const names = (loss ?? heads.map((head) => head.name).join(",")).split(",").map((name) => name.trim());
  const known = heads.map((head) => head.name);
  if (out === "") throw new UsageError("--out is empty: name a file, such as out/main-job.html");
  return {
    heads: [...new Set(names)].map((name) => heads[known.indexOf(oneOf("--loss", name, known))]!),
    epochs: natural("--epochs", epochs ?? String(usualEpochs[set]), 1, 10_000),
    seeds: Array.from({ length: natural("--seeds", seeds ?? "1", 1, 1000) }, (_, i) => first + i),
    data: set,
    device: oneOf("--device", device ?? "wasm", devices),
    out: out ?? "out/main-job.html",
  };
}

function parsed(args: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        loss: text,
        epochs: text,
        seed: text,
        seeds: text,
        data: text,
        device: text,
        out: text,
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (cause) {
    throw new UsageError(
      `${(cause as Error).message.split(/\.\s/)[0]}: the options are --loss, --epochs, --seed, --seeds, --data, --device, --out and --help`,
    );
  }
}

function natural(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(
    `${option} ${JSON.stringify(text)}: give a whole number from ${least} to ${most.toLocaleString("en-US")}`,
  );
}

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  if ((known as readonly string[]).includes(text)) return text as T;
  throw new UsageError(`${option} ${JSON.stringify(text)}: choose from ${known.join(", ")}`);
}
