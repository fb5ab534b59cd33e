// Loads the travellers of the discrete-choice example. Computes nothing.

import { readFile } from "node:fs/promises";
import { readCsv } from "simplexgrad/nn";
import { beside } from "./index.ts";

/** A traveller: what each of air, train, bus and car would take, and which was chosen. */
export interface Traveller {
  /** 0 air, 1 train, 2 bus, 3 car. */
  readonly choice: number;
  /** Household income, in thousands. */
  readonly income: number;
  /** For each mode: waiting time at the terminal, cost of the vehicle, travelling time, and the generalised cost of all three. */
  readonly wait: readonly number[];
  readonly vcost: readonly number[];
  readonly travel: readonly number[];
  readonly gcost: readonly number[];
}

/** The 210 travellers of `travel-mode.csv`: four lines each, one for each mode. */
export async function loadTravel(): Promise<Traveller[]> {
  const labels = { mode: ["air", "train", "bus", "car"], choice: ["no", "yes"] };
  const table = await readCsv(await readFile(beside("travel-mode.csv")), { categories: labels });
  return Array.from({ length: table.rows / 4 }, (_, i) => {
    const own = (name: string): number[] => [...table.column(name).values.subarray(4 * i, 4 * i + 4)];
    return {
      choice: own("choice").indexOf(labels.choice.indexOf("yes")),
      income: own("income")[0]!,
      wait: own("wait"),
      vcost: own("vcost"),
      travel: own("travel"),
      gcost: own("gcost"),
    };
  });
}
