// Makes the package out of the sources, after `tsc` has written declarations and plain modules to dist/: the whole library in
// one file, and for each entry one that names its part. A process that reads fifty modules starts 50 ms later than one that
// reads five. Names and comments of purity stay, so that a page's own bundler drops what is not used.

import { rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

/** The files of the package by their sources; the last two are what `export * as` names in the others. */
const parts = {
  "core/index": "index",
  "ops/index": "ops",
  "nn/index": "nn",
  "losses/index": "losses",
  "losses/create": "create",
  "optim/index": "optim",
  "core/words": "words",
  "nn/init": "init",
};
/** Names that stand for a whole part: as objects inside the library they would hold on to everything in it. */
const namespaces = { index: ["words"], nn: ["init"] };

const options = {
  bundle: true,
  format: "esm",
  target: "es2022",
  // Constants stand in place: the instructions of WebAssembly would be two hundred variables otherwise.
  minifySyntax: true,
  // ndarray comes inside: three CommonJS files cost as much at the start as the first product. It is installed beside the
  // package all the same, with its licence.
  external: ["fast-check"],
  banner: {
    js: "/*! Contains ndarray and iota-array (Mikola Lysenko) and is-buffer (Feross Aboukhadijeh), MIT licence; the licences stand in their packages. */",
  },
  logLevel: "warning",
};

/** What a module exports. */
async function namesOf(source) {
  const entryPoints = [`${source}.ts`];
  const { metafile } = await build({
    ...options,
    entryPoints,
    outfile: "part.js",
    write: false,
    metafile: true,
  });
  return metafile.outputs["part.js"].exports;
}

const outdir = "dist/bundle";
rmSync(outdir, { recursive: true, force: true });
const library = [];
const files = [];
for (const [source, part] of Object.entries(parts)) {
  const whole = namespaces[part] ?? [];
  const names = (await namesOf(source)).filter((name) => !whole.includes(name));
  const inside = names.map((name) => `${name} as ${part}_${name}`);
  const outside = names.map((name) => `${part}_${name} as ${name}`);
  library.push(`export { ${inside.join(", ")} } from "../${source}.ts";`);
  const lines = [
    ...whole.map((name) => `export * as ${name} from "./${name}.js";`),
    `export { ${outside.join(", ")} } from "./library.js";`,
  ];
  files.push([`${outdir}/${part}.js`, `${lines.join("\n")}\n`]);
}
writeFileSync("dist/library.ts", library.join("\n"));
const entryPoints = { library: "dist/library.ts", check: "core/check/index.ts" };
await build({ ...options, entryPoints, outdir, splitting: true });
for (const [file, text] of files) writeFileSync(file, text);
