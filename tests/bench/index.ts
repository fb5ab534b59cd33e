// `npm run bench`: our library beside its peers, each in a process of its own.
//   --rows TEXT     only rows whose id contains TEXT (commas separate several)
//   --peers a,b     only these of tfjs, jax-js, torch ("none" for ours alone)
//   --rounds N      samples of each row on each peer (default 11)
//   --out FILE      where the JSON goes (default out/bench.json)
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, platform, release } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Command, type Measured, measureGroup, measureStarts, PeerProcess } from "./harness.ts";
import { rows as allRows, startRow } from "./rows.ts";
import { promiseLines, resultLines } from "./table.ts";

const compiled = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const peersFolder = fileURLToPath(new URL("../../../tests/bench/peers/", import.meta.url));
const oneThread = { OPENBLAS_NUM_THREADS: "1", OMP_NUM_THREADS: "1" };

function options() {
  const { values } = parseArgs({
    options: {
      rows: { type: "string", default: "" },
      peers: { type: "string", default: "tfjs,jax-js,torch" },
      rounds: { type: "string", default: "11" },
      out: { type: "string", default: "out/bench.json" },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${values.rounds}: give a whole number ≥ 1`);
  const wanted = values.rows.split(",");
  const chosen = (id: string): boolean => wanted.some((text) => id.includes(text));
  const rows = allRows.filter((row) => chosen(row.id));
  const start = chosen(startRow.id);
  if (rows.length === 0 && !start) {
    throw new Error(
      `--rows ${values.rows}: no such row; there are ${allRows.map((row) => row.id).join(", ")}, start`,
    );
  }
  const names = ["none", "tfjs", "jax-js", "torch"];
  const peers = values.peers.split(",");
  const unknown = peers.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--peers ${unknown}: unknown; there are ${names.join(", ")}`);
  return { rows, start, rounds, peers, out: resolve(values.out) };
}

/** The Python that has PyTorch, if any: the system's own may not be the first on the path. */
function pythonWithTorch(): string | undefined {
  return ["python3", "/usr/bin/python3"].find(
    (python) => spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0,
  );
}

/** Installs the two npm peers at first use; without them the bench goes on alone. */
function npmPeers(): boolean {
  if (existsSync(`${peersFolder}node_modules`)) return true;
  console.log("Installing the peers once: npm ci --prefix tests/bench/peers");
  return spawnSync("npm", ["ci", "--prefix", peersFolder], { stdio: "inherit" }).status === 0;
}

/** For each peer the process that answers requests, and the one that only starts and multiplies. */
function commands(wanted: readonly string[]): { serve: Command[]; start: Command[] } {
  const node = (name: string, file: string): Command => ({ name, program: process.execPath, args: [file] });
  const serve = [node("ours", compiled("ours.js"))];
  const start = [node("ours", compiled("start.js"))];
  if (wanted.some((name) => name === "tfjs" || name === "jax-js") && npmPeers()) {
    for (const [name, file] of [
      ["tfjs", "tfjs"],
      ["jax-js", "jax"],
    ] as const) {
      if (!wanted.includes(name)) continue;
      serve.push(node(name, `${peersFolder}${file}.mjs`));
      start.push(node(name, `${peersFolder}start-${file}.mjs`));
    }
  }
  const python = wanted.includes("torch") ? pythonWithTorch() : undefined;
  if (python !== undefined) {
    const torch = { name: "torch", program: python, env: oneThread };
    const first =
      "import torch; torch.set_num_threads(1); print((torch.ones(64, 64) @ torch.ones(64, 64))[0, 0])";
    serve.push({ ...torch, args: [`${peersFolder}pytorch.py`] });
    start.push({ ...torch, args: ["-c", first] });
  } else if (wanted.includes("torch")) {
    console.log("PyTorch is not installed; on Debian: apt-get install python3-torch libopenblas0");
  }
  return { serve, start: [{ name: "node", program: process.execPath, args: ["-e", ""] }, ...start] };
}

function optionsOrExit(): ReturnType<typeof options> {
  try {
    return options();
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exit(2);
  }
}

const { rows, start, rounds, peers: wanted, out } = optionsOrExit();
const { serve, start: starts } = commands(wanted);
const peers = serve.map((command) => new PeerProcess(command));
for (const peer of peers) {
  const { version, error } = await peer.ask({ ask: "version" });
  if (version === undefined) console.log(`${peer.name} does not run: ${error}`);
  peer.version = version ?? "does not run";
}
const running = peers.filter((peer) => peer.version !== "does not run");
const names = running.map((peer) => peer.name);
const machine = {
  processor: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  system: `${platform()} ${release()}`,
  node: process.version,
};
console.log(`${machine.processor}, ${machine.system}, Node ${machine.node}, one thread, float32`);
console.log(
  `${running.map((peer) => `${peer.name} ${peer.version}`).join(" · ")} · medians of ${rounds} rounds\n`,
);

const results: Measured[] = [];
for (const group of new Set(rows.map((row) => row.group))) {
  const members = rows.filter((row) => row.group === group);
  process.stderr.write(`measuring ${members.map((row) => row.id).join(", ")}\n`);
  results.push(...(await measureGroup(running, members, rounds)));
}
if (start) {
  process.stderr.write("measuring start\n");
  results.push(...(await measureStarts(starts, startRow, rounds)));
}
await Promise.all(peers.map((peer) => peer.stop()));

const printed = [...rows, startRow];
console.log(resultLines(results, printed, names));
const empty = results.find(({ row, peer }) => row === startRow.id && peer === "node")?.timing;
if (empty !== undefined) console.log(`an empty Node process: ${empty.median.toFixed(0)} ms`);
for (const { row, peer, problem } of results) {
  if (problem !== undefined) console.log(`! ${row}, ${peer}: ${problem}`);
}
console.log(`\n${promiseLines(results, printed)}`);

const commit = (): string => {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
};
mkdirSync(dirname(out), { recursive: true });
const versions = Object.fromEntries(running.map((peer) => [peer.name, peer.version]));
const record = { date: new Date().toISOString(), commit: commit(), machine, versions, rounds, results };
writeFileSync(out, `${JSON.stringify(record, null, 2)}\n`);
console.log(`\nAll figures: ${out}`);
