// The kernels written by hand, by the names that `core/backends/kernels.ts` gives them, and what is compiled before anything
// runs. The kernels themselves stand in the files beside this one.

import type { HandKernel } from "../backend.ts";
import type * as declared from "../kernels.ts";
import { copy, copyInto, fill, filling, plain } from "./copy.ts";
import { gather, gathering, putRows, scatterAdd } from "./gather.ts";
import { matmul } from "./matmul.ts";
import type { Queue } from "./queue.ts";
import { random } from "./random.ts";
import { compileAhead } from "./shader.ts";
import { argsort } from "./sort.ts";
import { cumsum, sumMiddle, summing } from "./sums.ts";
import { foldWindows, windowArgmax } from "./windows.ts";

export { copy, copyInto, fill };

type Form<K> = K extends HandKernel<infer A> ? (gpu: Queue, ...args: A) => void : never;
type Forms = { readonly [K in keyof typeof declared]: Form<(typeof declared)[K]> };

const sort: Forms["sort"] = (gpu, dtype, x, values, indices, rows, n, descending) => {
  argsort(gpu, dtype, x, indices, rows, n, descending);
  gather(gpu, dtype, x, indices, values, rows, n, 1, n, true);
};

/** What runs a kernel here, by its name. */
export const handKernels: { readonly [name: string]: (gpu: Queue, ...args: never[]) => void } = {
  matmul,
  gather,
  scatterAdd,
  putRows,
  sumMiddle,
  sort,
  cumsum,
  foldWindows,
  windowArgmax,
  random,
} satisfies Forms;

/** Compiles, without holding up the page, what nearly every program runs and is soon compiled; products wait for their first use. */
export async function corePipelines(gpu: Queue): Promise<void> {
  await compileAhead(gpu, [plain, filling, summing, gathering]);
}
