// npm run notebooks [-- FILE…]
// Runs the notebooks of examples/ (or those named) and writes what their cells show back into the files. `notebooks.test.ts`
// holds the files against another run.

import { basename } from "node:path";
import { notebooksIn, run, typeErrors, writeNotebook } from "./notebook.ts";

const named = process.argv.slice(2);
const paths = named.length > 0 ? named : notebooksIn("examples/notebooks");
const errors = typeErrors(paths);
if (errors) {
  console.error(errors);
  process.exitCode = 1;
}
for (const path of paths) {
  try {
    writeNotebook(path, await run(path));
    console.log(`${basename(path)}: done`);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
