// Prints what the GPU's rows cost there, for `npm run bench` to show: one line of JSON.
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
for (const row of rows) if (row.device === "webgpu") costs.push(await cost(row, onGpu[row.id]!));
console.log(JSON.stringify({ gpu, costs } satisfies Costs));
