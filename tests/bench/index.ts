// `npm run bench`: our library beside its peers, each in a process of its own.
//   --rows TEXT     only rows whose id or group contains TEXT (commas separate several): "maps" for the alternatives to softmax,
//                   "webgpu" for what runs on a GPU
//   --peers a,b     only these of tfjs, jax-js, torch ("none" for ours alone)
//   --rounds N      samples of each row on each peer (default 11)
//   --out FILE      where the JSON goes (default out/bench.json)
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, platform, release } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Costs } from "./costs.ts";
import {
  type Command,
  complaint,
  type Measured,
  measureGroup,
  measureStarts,
  PeerProcess,
} from "./harness.ts";
import { rows as allRows, type Row, startRow } from "./rows.ts";
import { costLines, limitLines, promiseLines, resultLines } from "./table.ts";

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
  const chosen = ({ id, group }: Row): boolean =>
    wanted.some((text) => id.includes(text) || group.includes(text));
  const rows = allRows.filter(chosen);
  const start = chosen(startRow);
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

/** Processes of peers: those that answer requests for the CPU and for the GPU, and those that only start and multiply. */
interface Commands {
  readonly cpu: readonly Command[];
  readonly webgpu: readonly Command[];
  readonly start: readonly Command[];
}

function commands(wanted: readonly string[]): Commands {
  const node = (name: string, file: string, ...args: string[]): Command => ({
    name,
    program: process.execPath,
    args: [file, ...args],
  });
  const cpu = [node("ours", compiled("ours.js"))];
  const webgpu = [node("ours", compiled("ours.js"), "webgpu")];
  const start = [node("ours", compiled("start.js"))];
  if (wanted.some((name) => name === "tfjs" || name === "jax-js") && npmPeers()) {
    for (const [name, file] of [
      ["tfjs", "tfjs"],
      ["jax-js", "jax"],
    ] as const) {
      if (!wanted.includes(name)) continue;
      cpu.push(node(name, `${peersFolder}${file}.mjs`));
      start.push(node(name, `${peersFolder}start-${file}.mjs`));
    }
    // tfjs takes its GPU from a page alone.
    if (wanted.includes("jax-js")) webgpu.push(node("jax-js", `${peersFolder}jax.mjs`, "webgpu"));
  }
  const python = wanted.includes("torch") ? pythonWithTorch() : undefined;
  if (python !== undefined) {
    const torch = { name: "torch", program: python, env: oneThread };
    const first =
      "import torch; torch.set_num_threads(1); print((torch.ones(64, 64) @ torch.ones(64, 64))[0, 0])";
    cpu.push({ ...torch, args: [`${peersFolder}pytorch.py`] });
    start.push({ ...torch, args: ["-c", first] });
  } else if (wanted.includes("torch")) {
    console.log(
      "! PyTorch is left out: it is not installed. On Debian: apt-get install python3-torch libopenblas0",
    );
  }
  return { cpu, webgpu, start: [{ name: "node", program: process.execPath, args: ["-e", ""] }, ...start] };
}

function optionsOrExit(): ReturnType<typeof options> {
  try {
    return options();
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exit(2);
  }
}

/** What rows cost on the GPU, from a process of its own. */
function gpuCosts(ids: readonly string[]): Costs {
  const run = [compiled("costs.js"), ...ids];
  const { status, stdout, stderr } = spawnSync(process.execPath, run, { encoding: "utf8" });
  if (status !== 0) throw new Error(`bench: counting on the GPU failed: ${complaint(stderr)}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Costs;
}

/** Starts peers; those that answer. */
async function running(commands: readonly Command[], where: string): Promise<PeerProcess[]> {
  const peers = commands.map((command) => new PeerProcess(command));
  for (const peer of peers) {
    const { version, error } = await peer.ask({ ask: "version" });
    if (version === undefined) console.log(`${peer.name} does not run${where}: ${error}`);
    peer.version = version ?? "";
  }
  return peers.filter((peer) => peer.version !== "");
}

/** Times the rows of a device on the peers that run there. */
async function measure(
  peers: readonly PeerProcess[],
  rows: readonly Row[],
  rounds: number,
): Promise<Measured[]> {
  const results: Measured[] = [];
  for (const group of new Set(rows.map((row) => row.group))) {
    const members = rows.filter((row) => row.group === group);
    process.stderr.write(`measuring ${members.map((row) => row.id).join(", ")}\n`);
    results.push(...(await measureGroup(peers, members, rounds)));
  }
  await Promise.all(peers.map((peer) => peer.stop()));
  return results;
}

const { rows, start, rounds, peers: wanted, out } = optionsOrExit();
const { cpu, webgpu, start: starts } = commands(wanted);
const machine = {
  processor: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  system: `${platform()} ${release()}`,
  node: process.version,
};
console.log(`${machine.processor}, ${machine.system}, Node ${machine.node}, float32`);

const results: Measured[] = [];
const versions: { [peer: string]: string } = {};
/** Measures the rows of a device and prints their table. */
async function section(device: Row["device"], peers: readonly PeerProcess[], title: string): Promise<void> {
  const members = rows.filter((row) => row.device === device);
  for (const { name, version } of peers) versions[name] = version;
  const found = await measure(peers, members, rounds);
  results.push(...found);
  const names = peers.map((peer) => peer.name);
  const described = peers.map(({ name, version }) => `${name} ${version}`).join(" · ");
  console.log(`\n${title}: ${described} · medians of ${rounds} rounds\n\n${resultLines(found, rows, names)}`);
}

if (rows.some(({ device }) => device === "cpu"))
  await section("cpu", await running(cpu, ""), "CPU, one thread");
let costs: Costs | undefined;
const onGpu = rows.filter(({ device }) => device === "webgpu");
if (onGpu.length > 0) {
  const peers = await running(webgpu, " on WebGPU");
  if (peers[0]?.name === "ours") {
    process.stderr.write("counting what a GPU is asked\n");
    costs = gpuCosts(onGpu.map(({ id }) => id));
    await section("webgpu", peers, `WebGPU on ${costs.gpu}`);
    console.log(`\n${costLines(costs.costs)}`);
  } else {
    console.log("WebGPU is left out.");
    await Promise.all(peers.map((peer) => peer.stop()));
  }
}
if (start) {
  process.stderr.write("measuring start\n");
  const found = await measureStarts(starts, startRow, rounds);
  results.push(...found);
  const names = starts.map(({ name }) => name).filter((name) => name !== "node");
  console.log(`\n${resultLines(found, [startRow], names)}`);
  const empty = found.find(({ peer }) => peer === "node")?.timing;
  if (empty !== undefined) console.log(`an empty Node process: ${empty.median.toFixed(0)} ms`);
}
console.log();
for (const { row, peer, problem } of results) {
  if (problem !== undefined) console.log(`! ${row}, ${peer}: ${problem}`);
}
console.log([promiseLines(results, [...rows, startRow]), limitLines(costs?.costs ?? [])].join("\n").trim());

const commit = (): string => {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
};
mkdirSync(dirname(out), { recursive: true });
const date = new Date().toISOString();
const record = { date, commit: commit(), machine, versions, rounds, results, ...(costs ? { costs } : {}) };
writeFileSync(out, `${JSON.stringify(record, null, 2)}\n`);
console.log(`\nAll figures: ${out}`);
