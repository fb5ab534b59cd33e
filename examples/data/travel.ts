// Loads the travellers of the discrete-choice example. Computes nothing.

import { readFileSync } from "node:fs";
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

/** The 210 travellers of `travel-mode.csv`. */
export function loadTravel(): Traveller[] {
  const [header, ...lines] = readFileSync(beside("travel-mode.csv"), "utf8").trimEnd().split("\n");
  const names = header!.split(",");
  const rows = lines.map((line) => line.split(","));
  return Array.from({ length: rows.length / 4 }, (_, i) => {
    const own = rows.slice(4 * i, 4 * i + 4);
    const column = (name: string): string[] => own.map((row) => row[names.indexOf(name)]!);
    const numbers = (name: string): number[] => column(name).map(Number);
    return {
      choice: column("choice").indexOf("yes"),
      income: numbers("income")[0]!,
      wait: numbers("wait"),
      vcost: numbers("vcost"),
      travel: numbers("travel"),
      gcost: numbers("gcost"),
    };
  });
}
