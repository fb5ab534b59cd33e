// Makes the package out of the sources, after `tsc` has written declarations and plain modules to dist/: one file per entry
// and what they share, because a process that reads fifty files starts 40 ms later than one that reads seven.
// Names and comments of purity stay, so that a page's own bundler drops what is not used.

import { rmSync } from "node:fs";
import { build } from "esbuild";

const outdir = "dist/bundle";
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: {
    index: "core/index.ts",
    ops: "ops/index.ts",
    nn: "nn/index.ts",
    losses: "losses/index.ts",
    optim: "optim/index.ts",
    check: "core/check/index.ts",
  },
  outdir,
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  // Constants stand in place: the instructions of WebAssembly would be two hundred variables otherwise.
  minifySyntax: true,
  // ndarray comes inside: three CommonJS files cost as much at the start as everything else.
  external: ["fast-check"],
  logLevel: "warning",
});
