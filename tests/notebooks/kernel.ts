// A Deno kernel as Jupyter would run it: started in a folder, given code, asked what it shows. Speaks version 5.3 of Jupyter's
// protocol. Knows no notebook files.

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Dealer, Subscriber } from "zeromq";

/** What a cell shows, as notebook files store it. */
export type Output =
  | { readonly output_type: "stream"; readonly name: string; readonly text: string }
  | { readonly output_type: "display_data"; readonly data: Bundle; readonly metadata: object }
  | {
      readonly output_type: "execute_result";
      readonly data: Bundle;
      readonly metadata: object;
      readonly execution_count: number;
    }
  | {
      readonly output_type: "error";
      readonly ename: string;
      readonly evalue: string;
      readonly traceback: readonly string[];
    };

/** One thing in several forms: text by its MIME type. */
export interface Bundle {
  readonly [type: string]: unknown;
}

/** The Deno program of the npm package; undefined where there is none for this machine. */
export function findDeno(): string | undefined {
  const { resolve } = createRequire(import.meta.url);
  const system = `${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}`;
  const program = process.platform === "win32" ? "deno.exe" : "deno";
  try {
    // Not the script that the package offers: it starts this program, and would leave it running when it is ended.
    return resolve(`@deno/${system}/${program}`, { paths: [resolve("deno/package.json")] });
  } catch {
    return undefined;
  }
}

/** The same, or an error that says what to do. */
export function requireDeno(): string {
  const deno = findDeno();
  if (deno === undefined)
    throw new Error("notebooks: there is no Deno for this machine; `npm ci` brings one where it exists");
  return deno;
}

/** The environment of Deno: plain text, and no question to its makers whether there is a newer one. */
export const denoEnvironment: Readonly<Record<string, string | undefined>> = {
  ...process.env,
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
};

/** A cell that takes longer has stopped for good. */
const patience = 60_000;
/** Deno may send a result after it has said that it is idle. */
const drain = 120;

interface Header {
  readonly msg_id: string;
  readonly msg_type: string;
}

interface Message {
  readonly header: Header;
  readonly parent: Partial<Header>;
  readonly content: Readonly<Record<string, unknown>>;
}

/** A request that is under way. */
interface Waiting {
  readonly outputs: Output[];
  replied: boolean;
  idle: boolean;
  /** When the last message came. */
  last: number;
}

export class Kernel {
  private readonly key: string = randomUUID();
  private readonly session: string = randomUUID();
  private readonly folder: string;
  private readonly process: ChildProcess;
  private readonly shell: Dealer;
  private readonly published: Subscriber;
  private readonly waiting = new Map<string, Waiting>();
  private heard = 0;
  private said = "";

  /** Starts a kernel whose working folder is `folder`. Throws where there is no Deno. */
  static async start(folder: string): Promise<Kernel> {
    const deno = findDeno();
    if (deno === undefined)
      throw new Error("notebooks: there is no Deno for this machine; `npm ci` brings one");
    const zeromq = await import("zeromq");
    const kernel = new Kernel(deno, folder, await freePorts(5), new zeromq.Dealer(), new zeromq.Subscriber());
    try {
      await kernel.greet();
      return kernel;
    } catch (error) {
      kernel.close();
      throw error;
    }
  }

  private constructor(
    deno: string,
    folder: string,
    ports: readonly number[],
    shell: Dealer,
    published: Subscriber,
  ) {
    this.folder = mkdtempSync(join(tmpdir(), "kernel-"));
    const file = join(this.folder, "connection.json");
    const names = ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"];
    const address = { ip: "127.0.0.1", transport: "tcp", kernel_name: "deno" };
    const signing = { key: this.key, signature_scheme: "hmac-sha256" };
    const all = { ...address, ...signing, ...Object.fromEntries(names.map((name, i) => [name, ports[i]])) };
    writeFileSync(file, JSON.stringify(all));
    this.process = spawn(deno, ["jupyter", "--kernel", "--conn", file], {
      cwd: folder,
      env: denoEnvironment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.on("data", (text: Buffer) => {
        this.said += text;
      });
    this.shell = shell;
    this.published = published;
    for (const socket of [shell, published]) socket.linger = 0;
    shell.connect(`tcp://127.0.0.1:${ports[0]}`);
    published.connect(`tcp://127.0.0.1:${ports[1]}`);
    published.subscribe();
    void this.listen(shell);
    void this.listen(published);
  }

  /** Runs the code of a cell; all that it shows, in order. */
  async execute(code: string): Promise<readonly Output[]> {
    const content = { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false };
    const { outputs } = await this.ask("execute_request", content, patience);
    return joined(outputs);
  }

  /** Ends the kernel. */
  close(): void {
    this.process.kill("SIGKILL");
    this.shell.close();
    this.published.close();
    rmSync(this.folder, { recursive: true });
  }

  /** Asks until it answers and publishes: what it published before we were heard is lost. */
  private async greet(): Promise<void> {
    for (const end = Date.now() + patience; ; ) {
      try {
        await this.ask("kernel_info_request", {}, 500);
        if (this.heard > 0) return;
      } catch (error) {
        if (Date.now() > end || this.process.exitCode !== null) throw error;
      }
    }
  }

  private async ask(type: string, content: object, time: number): Promise<Waiting> {
    const id = randomUUID();
    const header = {
      msg_id: id,
      msg_type: type,
      session: this.session,
      username: "",
      date: new Date().toISOString(),
      version: "5.3",
    };
    const frames = [header, {}, {}, content].map((part) => JSON.stringify(part));
    const signature = createHmac("sha256", this.key).update(frames.join("")).digest("hex");
    const waiting: Waiting = { outputs: [], replied: false, idle: false, last: Date.now() };
    this.waiting.set(id, waiting);
    try {
      await this.shell.send(["<IDS|MSG>", signature, ...frames]);
      const end = Date.now() + time;
      while (!(waiting.replied && waiting.idle && Date.now() - waiting.last > drain)) {
        if (this.process.exitCode !== null || this.process.signalCode !== null)
          throw new Error(`the kernel has ended: ${this.said}`);
        if (Date.now() > end)
          throw new Error(`the kernel has not answered for ${time / 1000} s: ${this.said}`);
        await wait(10);
      }
      return waiting;
    } finally {
      this.waiting.delete(id);
    }
  }

  /** Reads what comes until the socket is closed. */
  private async listen(socket: AsyncIterable<Buffer[]>): Promise<void> {
    for await (const frames of socket) {
      const { header, parent, content } = parse(frames);
      if (socket === this.published) this.heard++;
      const waiting = this.waiting.get(parent.msg_id ?? "");
      if (waiting === undefined) continue;
      waiting.last = Date.now();
      if (socket !== this.published) waiting.replied = true;
      else if (header.msg_type === "status") waiting.idle = content.execution_state === "idle";
      else {
        const output = outputOf(header.msg_type, content);
        if (output !== undefined) waiting.outputs.push(output);
      }
    }
  }
}

/** Ports that nothing listens on. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer().on("error", reject);
          server.listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Identities, a separator, a signature, then the parts as JSON. */
function parse(frames: readonly Buffer[]): Message {
  const at = frames.findIndex((frame) => frame.toString() === "<IDS|MSG>");
  const [header, parent, , content] = frames.slice(at + 2).map((frame) => JSON.parse(frame.toString()));
  return { header, parent, content };
}

/** A published message as notebook files store it; undefined for what is no output. */
function outputOf(type: string, content: Readonly<Record<string, unknown>>): Output | undefined {
  const { name, text, data, metadata, execution_count, ename, evalue, traceback } = content as never;
  switch (type) {
    case "stream":
      return { output_type: type, name, text };
    case "display_data":
      return { output_type: type, data, metadata };
    case "execute_result":
      return { output_type: type, data, metadata, execution_count };
    case "error":
      return { output_type: type, ename, evalue, traceback };
    default:
      return undefined;
  }
}

/** Text that came in several messages is one output. */
function joined(outputs: readonly Output[]): Output[] {
  const all: Output[] = [];
  for (const output of outputs) {
    const last = all.at(-1);
    if (output.output_type === "stream" && last?.output_type === "stream" && last.name === output.name)
      all[all.length - 1] = { ...last, text: last.text + output.text };
    else all.push(output);
  }
  return all;
}
