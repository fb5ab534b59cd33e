// What an update of 512 rows of a table of 50,000 × 128 costs beside one of the whole table: node dist/tests/bench/row-updates.js.
// Rounds are interleaved, since a shared machine drifts; only ratios count.

import { Parameter, RowSparse, tensor } from "../../core/index.ts";
import { Adagrad, Adam, type Optimizer, SGD, SparseAdam } from "../../optim/index.ts";
import { normal } from "./data.ts";
import { quantile } from "./harness.ts";

const [rows, width, touched] = [50_000, 128, 512];
const ids = Int32Array.from({ length: touched }, (_, i) => (i * 7919) % rows);
const values = tensor(normal(1, touched * width, 1), { shape: [touched, width] });
const sparse = new RowSparse([rows, width], tensor(ids), values);
const dense = sparse.toDense();

const table = (): Parameter => new Parameter(tensor(normal(2, rows * width, 1), { shape: [rows, width] }));
type Make = (p: Parameter[]) => Optimizer;
const methods: readonly (readonly [name: string, byRows: Make, whole: Make])[] = [
  ["SGD", (p) => new SGD(p, { lr: 0.1 }), (p) => new SGD(p, { lr: 0.1 })],
  ["Adagrad", (p) => new Adagrad(p), (p) => new Adagrad(p)],
  ["SparseAdam beside Adam", (p) => new SparseAdam(p), (p) => new Adam(p)],
];

for (const [name, byRows, whole] of methods) {
  const [one, other] = [byRows([table()]), whole([table()])];
  const samples: [number[], number[]] = [[], []];
  for (let round = -3; round < 25; round++) {
    const start = performance.now();
    for (let i = 0; i < 20; i++) one.step([sparse]);
    const middle = performance.now();
    other.step([dense]);
    if (round < 0) continue;
    samples[0].push((middle - start) / 20);
    samples[1].push(performance.now() - middle);
  }
  const [few, all] = samples.map((times) => quantile(times, 0.5)) as [number, number];
  console.log(
    `${name}: ${few.toFixed(3)} ms, the whole table ${all.toFixed(2)} ms, ratio ${(few / all).toFixed(3)}`,
  );
}
