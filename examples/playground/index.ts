// The command `npm run playground`: bundles the page, serves it on this machine and prints its address.
// With `-- --build` it only bundles.

import { parseArgs } from "node:util";
import { buildPlayground, serve } from "./build.ts";

const { values } = parseArgs({
  options: { build: { type: "boolean", default: false }, port: { type: "string" } },
});
const folder = await buildPlayground();
if (values.build) console.log(`The playground is in ${folder}`);
else {
  const { address } = await serve(folder, values.port === undefined ? undefined : Number(values.port));
  console.log(`The playground is at ${address} (stop with Ctrl-C)`);
}
