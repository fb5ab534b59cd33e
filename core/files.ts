// Files, where there are any (Node, Deno): read, and written whole or not at all. Knows no format. Nothing is imported, so that
// a page's bundler finds nothing to complain of.

import { ArgumentError, DeviceError, showValue } from "./errors.ts";

/** What is used of `node:fs/promises`. */
interface FileSystem {
  open(path: string, flags: string, mode?: number): Promise<OpenFile>;
  readFile(path: string): Promise<Uint8Array>;
  realpath(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string): Promise<void>;
  stat(path: string): Promise<{ readonly mode: number }>;
}

interface OpenFile {
  writeFile(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

interface Host {
  readonly process?: { getBuiltinModule?(name: string): { readonly promises: FileSystem } | undefined };
}

function fileSystem(place: string, path: unknown, instead: string): FileSystem {
  if (typeof path !== "string" || path === "")
    throw new ArgumentError(
      place,
      `the path is ${showValue(path)}`,
      'give a string, such as "model.safetensors"',
    );
  const files = (globalThis as Host).process?.getBuiltinModule?.("node:fs")?.promises;
  if (files === undefined)
    throw new DeviceError(place, "there are no files in a page, nor in Node before 20.16", instead);
  return files;
}

/** The bytes of a file. Errors of the file system pass. */
export function readFile(place: string, path: string): Promise<Uint8Array> {
  const instead = "fetch it, and give `await response.arrayBuffer()` to what reads bytes";
  return fileSystem(place, path, instead).readFile(path);
}

/**
 * Writes a file whole or not at all: under another name beside it, flushed to the disk, then renamed. Whoever reads the path
 * meanwhile, or after a crash, finds the old file or the new one. Errors of the file system pass, and leave nothing behind.
 */
export async function writeFile(place: string, path: string, bytes: Uint8Array): Promise<void> {
  const instead = "offer the bytes as a download: URL.createObjectURL(new Blob([bytes]))";
  const files = fileSystem(place, path, instead);
  // What a link leads to is replaced, not the link; a file that is there keeps its permissions.
  const target = await files.realpath(path).catch(() => path);
  const mode = await files.stat(target).then(
    (found) => found.mode & 0o777,
    () => 0o666,
  );
  const beside = `${target}.${crypto.randomUUID().slice(0, 8)}.part`;
  const file = await files.open(beside, "wx", mode);
  try {
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(beside, target);
  } catch (error) {
    await files.rm(beside).catch(() => {});
    throw error;
  }
}
