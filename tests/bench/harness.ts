// How the bench measures: one process for each peer, interleaved rounds, medians. Knows no row by name.
// A shared machine drifts by tens of per cent within a minute, so only ratios of samples taken side by side count. On the CPU a
// sample is the time for which the process computed: while it waits for its turn, nothing is measured.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Row } from "./rows.ts";
import type { Reply, Request } from "./serve.ts";

/**
 * A sample lasts at least this long, so that the clock and the loop around the calls weigh nothing; no longer, so that some samples
 * escape what else runs on the machine.
 */
const sampleMs = 5;

/** How to start a peer's process. */
export interface Command {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Milliseconds a call: the median over the rounds, the tenth and ninetieth percentile, and the least. */
export interface Timing {
  readonly least: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly rounds: number;
}

/** The value below which the share `q` of the values lies, by linear interpolation. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * (sorted[Math.ceil(at)]! - sorted[low]!);
}

/** Summarises the samples of one peer on one row. */
export function timing(samples: readonly number[]): Timing {
  return {
    least: Math.min(...samples),
    median: quantile(samples, 0.5),
    p10: quantile(samples, 0.1),
    p90: quantile(samples, 0.9),
    rounds: samples.length,
  };
}

/** Whether two peers computed the same numbers, to f32 accuracy with room for long sums. */
export function agree(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) <= 1e-3 * Math.abs(x) + 1e-6);
}

/** The line of an error output that names the error. */
export function complaint(text: string): string {
  const lines = text.trim().split("\n");
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1)!;
}

/** A running peer. It answers one request at a time. */
export class PeerProcess {
  readonly name: string;
  version = "";
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #complaints = "";

  constructor({ name, program, args, env }: Command) {
    this.name = name;
    this.#child = spawn(program, args, { env: { ...process.env, ...env } });
    this.#child.on("error", (error) => {
      this.#complaints += String(error);
    });
    this.#child.stderr.on("data", (text) => {
      this.#complaints = (this.#complaints + text).slice(-2000);
    });
    this.#child.stdin.on("error", () => {}); // a peer that has died is reported by `ask`
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Sends a request and waits for its answer. Libraries may print: lines that are no JSON are skipped. */
  async ask(request: Request): Promise<Reply> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) {
        return { error: `the process ended: ${complaint(this.#complaints)}` };
      }
      if (value.startsWith("{")) return JSON.parse(value) as Reply;
    }
  }

  /** Ends the process by closing its input. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.pid === undefined) return;
    this.#child.stdin.end();
    await once(this.#child, "exit");
  }
}

/** What one peer did on one row. */
export interface Measured {
  readonly row: string;
  readonly peer: string;
  readonly timing?: Timing;
  /** Why there is no figure, or why it must not be believed. */
  readonly problem?: string;
}

/**
 * Times the rows of one group on all peers: every round takes one sample of each row on each peer in turn.
 * The first peer that knows a row sets the numbers that the others must reproduce.
 */
export async function measureGroup(
  peers: readonly PeerProcess[],
  rows: readonly Row[],
  rounds: number,
): Promise<Measured[]> {
  const jobs: { peer: PeerProcess; row: Row; calls: number; samples: number[]; problem?: string }[] = [];
  const results: Measured[] = [];
  for (const row of rows) {
    let expected: readonly number[] | undefined;
    for (const peer of peers) {
      const { error, missing, check, estimate } = await peer.ask({ ask: "prepare", row: row.id });
      if (missing) continue;
      if (error !== undefined || check === undefined || estimate === undefined) {
        results.push({ row: row.id, peer: peer.name, problem: error ?? "no answer" });
        continue;
      }
      expected ??= check;
      const calls = Math.max(1, Math.ceil(sampleMs / estimate));
      const job = { peer, row, calls, samples: [] };
      const finding = `computed ${check.join(", ")} where another got ${expected.join(", ")}`;
      jobs.push(agree(expected, check) ? job : { ...job, problem: finding });
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const { peer, row, calls, samples } of jobs) {
      const clock = row.device === "cpu" ? "computing" : "passing";
      const { ms } = await peer.ask({ ask: "time", row: row.id, calls, clock });
      if (ms !== undefined) samples.push(ms / calls);
    }
  }
  for (const { peer, row, samples, problem } of jobs) {
    await peer.ask({ ask: "drop", row: row.id });
    results.push({
      row: row.id,
      peer: peer.name,
      ...(samples.length > 0 ? { timing: timing(samples) } : {}),
      ...(problem === undefined ? {} : { problem }),
    });
  }
  return results;
}

/** Times whole processes from start to exit, in interleaved rounds. */
export async function measureStarts(
  commands: readonly Command[],
  row: Row,
  rounds: number,
): Promise<Measured[]> {
  const samples = commands.map((): number[] => []);
  const problems = new Map<string, string>();
  for (let round = -1; round < rounds; round++) {
    for (const [i, { name, program, args, env }] of commands.entries()) {
      const start = performance.now();
      const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: "ignore" });
      const [code] = await once(child, "exit");
      // Round −1 brings the files into the system's cache.
      if (round >= 0) samples[i]!.push(performance.now() - start);
      if (code !== 0) problems.set(name, `the process ended with status ${code}`);
    }
  }
  return commands.map(({ name }, i) => {
    const problem = problems.get(name);
    return problem === undefined
      ? { row: row.id, peer: name, timing: timing(samples[i]!) }
      : { row: row.id, peer: name, problem };
  });
}
