// Bundles the playground into one static folder, and serves such a folder. Any static server will do as well.

import { existsSync } from "node:fs";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build, context } from "esbuild";
import { loadData } from "../data/index.ts";
import { packDigits } from "./digits.ts";

/** The folder of package.json: this file runs from the sources in tests and from dist/ in the command. */
function rootFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

const root = rootFolder();
const source = join(root, "examples", "playground");

/** The package's own name means its sources, so that the page needs no build of the library first. */
const entries = ["ops", "nn", "losses", "optim"];
const alias = {
  ...Object.fromEntries(entries.map((name) => [`simplexgrad/${name}`, join(root, name, "index.ts")])),
  simplexgrad: join(root, "core", "index.ts"),
};

const options = (outdir: string): BuildOptions => ({
  entryPoints: ["page", "worker"].map((name) => join(source, `${name}.ts`)).concat(join(source, "page.css")),
  outdir,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: "es2022",
  alias,
  logLevel: "warning",
});

/** Writes the page, its style, the scripts and the data into a folder, which is emptied first. */
export async function buildPlayground(outdir: string = join(root, "out", "playground")): Promise<string> {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  await Promise.all([
    build(options(outdir)),
    ...["index.html", "icon.svg"].map((file) => copyFile(join(source, file), join(outdir, file))),
    loadData("digits").then((data) => writeFile(join(outdir, "digits.bin"), packDigits(data))),
  ]);
  return outdir;
}

/** Serves a folder to this machine alone; gives the address and the way to stop. */
export async function serve(
  servedir: string,
  port?: number,
): Promise<{ readonly address: string; readonly stop: () => Promise<void> }> {
  const server = await context({ logLevel: "error" });
  const at = await server.serve({ servedir, host: "127.0.0.1", ...(port === undefined ? {} : { port }) });
  return { address: `http://127.0.0.1:${at.port}/`, stop: () => server.dispose() };
}
