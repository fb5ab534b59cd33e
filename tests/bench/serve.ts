// The child's side of the bench: one process for each peer, which answers requests line by line.
// Knows no row and no library. `peers/pytorch.py` speaks the same lines.
import { createInterface } from "node:readline";

/** One row, ready to run. */
export interface Work {
  /** The work itself; what it makes it also frees. */
  run(): unknown;
  /** A few numbers of the result, so that the peers can be compared; called once, before the first `run`. */
  check(): readonly number[] | Promise<readonly number[]>;
  dispose?(): void;
}

/** A library under measurement: `rows` builds the work of a row by the row's id. */
export interface Peer {
  readonly version: string;
  readonly rows: Readonly<Record<string, () => Work | Promise<Work>>>;
}

/** Time that passes, or time that this process computes: what else runs on the machine adds to the one and not to the other. */
export type Clock = "passing" | "computing";

export type Request =
  | { readonly ask: "version" }
  | { readonly ask: "prepare"; readonly row: string }
  | { readonly ask: "time"; readonly row: string; readonly calls: number; readonly clock: Clock }
  | { readonly ask: "drop"; readonly row: string };

export interface Reply {
  readonly version?: string;
  /** Milliseconds a call, from the end of the warm-up. */
  readonly estimate?: number;
  readonly check?: readonly number[];
  /** Milliseconds for all calls of a sample. */
  readonly ms?: number;
  /** The peer has nothing for this row. */
  readonly missing?: boolean;
  readonly error?: string;
}

/** Compilers tier up by use: at least this long, and at least three calls. */
const warmUpMs = 400;

async function time(work: Work, calls: number, clock: Clock = "passing"): Promise<number> {
  const before = process.cpuUsage();
  const start = performance.now();
  for (let i = 0; i < calls; i++) {
    const result = work.run();
    if (result instanceof Promise) await result;
  }
  const passed = performance.now() - start;
  if (clock === "passing") return passed;
  const { user, system } = process.cpuUsage(before);
  // Other threads of the engine may have worked beside this one.
  return Math.min(passed, (user + system) / 1000);
}

async function warmUp(work: Work): Promise<number> {
  const end = performance.now() + warmUpMs;
  let calls = 1;
  let estimate = Number.POSITIVE_INFINITY;
  for (let samples = 0; samples < 3 || performance.now() < end; samples++) {
    const ms = await time(work, calls);
    estimate = ms / calls;
    if (ms < 5) calls *= 2;
  }
  return estimate;
}

/** Answers the parent until the input ends. */
export async function serve(peer: Peer): Promise<void> {
  const prepared = new Map<string, Work>();
  const answer = async (request: Request): Promise<Reply> => {
    if (request.ask === "version") return { version: peer.version };
    if (request.ask === "prepare") {
      const make = peer.rows[request.row];
      if (make === undefined) return { missing: true };
      const work = await make();
      prepared.set(request.row, work);
      return { check: await work.check(), estimate: await warmUp(work) };
    }
    const work = prepared.get(request.row);
    if (work === undefined) return { error: `row ${request.row} was not prepared` };
    if (request.ask === "time") return { ms: await time(work, request.calls, request.clock) };
    work.dispose?.();
    prepared.delete(request.row);
    return {};
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const reply = await answer(JSON.parse(line) as Request).catch((error: unknown) => ({
      error: String(error),
    }));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}
