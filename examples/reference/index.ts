// The command `npm run docs`: writes the reference into docs/, or into the folder that `--out` names.

import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { reference } from "./reference.ts";

const { values } = parseArgs({ options: { out: { type: "string" } } });

/** The folder of package.json: this file runs from the sources in tests and from dist/ in the command. */
let root = dirname(fileURLToPath(import.meta.url));
while (!existsSync(join(root, "package.json"))) root = dirname(root);

const { files, faults } = await reference(root);
const out = values.out ?? join(root, "docs");
// Pages of ops that are gone go too.
for (const folder of new Set([...files.keys()].map(dirname).filter((folder) => folder !== "."))) {
  await rm(join(out, folder), { recursive: true, force: true });
  await mkdir(join(out, folder), { recursive: true });
}
for (const [path, text] of files) await writeFile(join(out, path), text);
console.log(`${files.size} files in ${out}`);
for (const fault of faults) console.log(`  - ${fault}`);
if (faults.length > 0) process.exitCode = 1;
