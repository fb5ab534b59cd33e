// Files of tensors, and checkpoints: several parts of a training in one file, so that it goes on later as if it had never
// stopped. The bytes are `safetensors.ts`'s, the disk `core/files.ts`'s.

import type { DeviceName } from "../core/backends/backend.ts";
import { ArgumentError, FormatError, nearest, showValue } from "../core/errors.ts";
import { readFile, writeFile } from "../core/files.ts";
import { isRecord, scope } from "../core/scope.ts";
import type { StateDict } from "../core/state.ts";
import type { Tensor } from "../core/tensor.ts";
import { checkBytes } from "./bytes.ts";
import { fromSafetensors, type Metadata, type Tensors, toSafetensors } from "./safetensors.ts";
import type { Stateful } from "./state.ts";

/**
 * Writes tensors as a safetensors file, or bytes as they are: whole or not at all, so that a crash leaves the old file or the
 * new one. In Node and Deno; in a page it throws DeviceError, since the bytes are `toSafetensors`'s and a download is the page's.
 *
 * @example
 * await saveFile("model.safetensors", model.stateDict(), { epoch: "3" });
 */
export async function saveFile(
  path: string,
  content: StateDict | Uint8Array,
  metadata?: Metadata,
): Promise<void> {
  const bytes = content instanceof Uint8Array ? content : await toSafetensors(content, metadata);
  await writeFile("saveFile", path, bytes);
}

/**
 * Reads a safetensors file: `fromSafetensors` of its bytes.
 *
 * @example
 * const { tensors } = await loadFile("model.safetensors");
 */
export async function loadFile(path: string, options?: { readonly device?: DeviceName }): Promise<Tensors> {
  return fromSafetensors(await readFile("loadFile", path), options);
}

// ---------------------------------------------------------------------------------------------------------------
// Checkpoints

/** What a checkpoint keeps, by names of one's own: models, optimizers, schedules, batches, … */
export type Parts = { readonly [part: string]: Stateful };

/** Parts that draw random numbers have a second state. */
interface Drawing {
  randomState(): StateDict;
  loadRandomState(dict: StateDict): void;
}

const isDrawing = (part: object): part is Drawing => "randomState" in part;

/** Where the random state stands: not among the parameters, so that their names are those of the model. */
const RANDOM = "random";
/** The metadatum that says which parts there are: one may hold no tensors. */
const PARTS = "simplexgrad.parts";

/**
 * A training as bytes: the state of each part under its name (`model.0.weight`), and the random state of modules. Parts are
 * whatever has `stateDict` and `loadStateDict`. The file is a safetensors file that others can read.
 *
 * Throws ArgumentError for what is no part, and for a part named "random".
 * @example
 * const bytes = await toCheckpoint({ model, optimizer }, { epoch: "3" });
 */
export async function toCheckpoint(parts: Parts, metadata: Metadata = {}): Promise<Uint8Array> {
  checkParts("toCheckpoint", parts);
  const tensors: [string, Tensor][] = [];
  const add = (prefix: string, dict: StateDict): void => {
    for (const [name, t] of Object.entries(dict)) tensors.push([`${prefix}.${name}`, t]);
  };
  for (const [name, part] of Object.entries(parts)) {
    add(name, part.stateDict());
    if (isDrawing(part)) add(`${RANDOM}.${name}`, part.randomState());
  }
  const words = isRecord(metadata) ? { ...metadata, [PARTS]: Object.keys(parts).join(",") } : metadata;
  return toSafetensors(Object.fromEntries(tensors), words);
}

/**
 * Gives the parts the state that `toCheckpoint` has written, on whichever device each lives, and returns the metadata. Parts of
 * the file that are not asked for are left out. If one part refuses, all are as before.
 *
 * Throws FormatError for what is no checkpoint, ArgumentError for a part that it has not, and what `loadStateDict` of a part
 * throws, preceded by its name.
 * @example
 * const { epoch } = fromCheckpoint(bytes, { model, optimizer });
 */
export function fromCheckpoint(file: Uint8Array | ArrayBuffer, parts: Parts): Metadata {
  const place = "fromCheckpoint";
  checkParts(place, parts);
  const bytes = checkBytes(place, file);
  return scope(() => {
    const { tensors, metadata: all } = fromSafetensors(bytes, { device: "js" });
    const { [PARTS]: list, ...metadata } = all;
    if (list === undefined)
      throw new FormatError(
        place,
        "the file holds tensors, but no checkpoint",
        "read it with fromSafetensors, and give each part its state with loadStateDict",
      );
    const there = list.split(",");
    for (const name of Object.keys(parts))
      if (!there.includes(name))
        throw new ArgumentError(
          place,
          `there is no part ${name} in the file`,
          `its parts are ${nearest(name, there).join(", ")}`,
        );
    const under = (prefix: string): StateDict =>
      Object.fromEntries(
        Object.entries(tensors).flatMap(([name, t]) =>
          name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), t]] : [],
        ),
      );
    // What each part has is asked of all before any is changed: loading one may change another.
    const turns = Object.entries(parts).flatMap(([name, part]) => {
      const before = part.stateDict();
      const own = {
        name,
        load: () => part.loadStateDict(under(name)),
        undo: () => part.loadStateDict(before),
      };
      if (!isDrawing(part)) return [own];
      const keys = part.randomState();
      const load = (): void => part.loadRandomState(under(`${RANDOM}.${name}`));
      return [own, { name, load, undo: () => part.loadRandomState(keys) }];
    });
    turns.forEach(({ name, load }, i) => {
      try {
        load();
      } catch (error) {
        for (const { undo } of turns.slice(0, i).reverse()) undo();
        if (error instanceof Error) error.message = `${place}: ${name}: ${error.message}`;
        throw error;
      }
    });
    return metadata;
  });
}

/**
 * Writes a checkpoint as a file, whole or not at all: `toCheckpoint`, then `saveFile`.
 *
 * @example
 * await saveCheckpoint("run.safetensors", { model, optimizer, train }, { note: "before the rate falls" });
 */
export async function saveCheckpoint(path: string, parts: Parts, metadata?: Metadata): Promise<void> {
  await writeFile("saveCheckpoint", path, await toCheckpoint(parts, metadata));
}

/**
 * Gives the parts the state of a checkpoint file, and returns its metadata: `fromCheckpoint` of its bytes. If one part refuses,
 * all are as before.
 *
 * @example
 * const { note } = await loadCheckpoint("run.safetensors", { model, optimizer, train });
 */
export async function loadCheckpoint(path: string, parts: Parts): Promise<Metadata> {
  return fromCheckpoint(await readFile("loadCheckpoint", path), parts);
}

function checkParts(place: string, parts: unknown): asserts parts is Parts {
  if (!isRecord(parts))
    throw new ArgumentError(
      place,
      `the parts are ${showValue(parts)}`,
      "give a record: { model, optimizer }",
    );
  for (const [name, part] of Object.entries(parts)) {
    if (!/^[A-Za-z_]\w*$/.test(name) || name === RANDOM)
      throw new ArgumentError(
        place,
        `no part can be named ${showValue(name)}`,
        "use letters and digits; what modules draw from is saved with them",
      );
    const has = part as { readonly stateDict?: unknown; readonly loadStateDict?: unknown } | null;
    if (typeof has?.stateDict !== "function" || typeof has.loadStateDict !== "function")
      throw new ArgumentError(
        place,
        `the part ${name} is ${showValue(part)}`,
        "give what has stateDict and loadStateDict",
      );
  }
}
