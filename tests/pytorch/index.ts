// Writes our models with their answers, for PyTorch to read:
// npx tsc && node dist/tests/pytorch/index.js out/pytorch && python3 tests/pytorch/read.py out/pytorch

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { saveFile } from "../../nn/index.ts";
import { models, type Numbers } from "./models.ts";

const folder = process.argv[2];
if (folder === undefined) throw new Error("pytorch: no folder is given; name one, such as out/pytorch");
mkdirSync(folder, { recursive: true });
for (const [name, make] of Object.entries(models)) {
  const { x } = JSON.parse(readFileSync(join("tests", "pytorch", `${name}.json`), "utf8")) as { x: Numbers };
  const { model, answer } = make();
  // Running estimates move away from what they begin with.
  for (let pass = 0; pass < 3; pass++) answer(x);
  model.eval();
  const y = answer(x);
  const said = { x, y: { shape: y.shape, data: [...y.dataSync()] } };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(said));
  await saveFile(join(folder, `${name}.safetensors`), model.stateDict());
}
