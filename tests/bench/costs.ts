// Prints what rows of the GPU cost there, for `npm run bench` to show: one line of JSON. Arguments: the ids of the rows.
import { type Cost, openObserved } from "./observed.ts";
import { prefixed, rows } from "./rows.ts";
import { works } from "./works.ts";

/** What the program prints. */
export interface Costs {
  readonly gpu: string;
  readonly costs: readonly Cost[];
}

const { gpu, cost } = await openObserved();
const onGpu = prefixed(works);
const costs: Cost[] = [];
const wanted = process.argv.slice(2);
for (const row of rows) if (wanted.includes(row.id)) costs.push(await cost(row, onGpu[row.id]!));
console.log(JSON.stringify({ gpu, costs } satisfies Costs));
