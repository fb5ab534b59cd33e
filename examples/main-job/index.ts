// The main job, `npm start`: one small network on real handwritten digits, trained once for each way to turn scores into
// probabilities. A table in the terminal, and a page to look at.

import { run } from "./run.ts";

process.exitCode = await run(process.argv.slice(2));
