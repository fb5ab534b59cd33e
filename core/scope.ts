// Lifetimes: a scope frees what a computation made, except what it returns; and `memory()`, which counts.
// Knows nothing of values and gradients; of tapes only whether one is recording.
//
// Every tensor with memory has one owner: the scope that will free it, or a `Keeper`, whose memory goes when the
// garbage collector finds it unreachable. Handing a tensor over is changing its owner; a scope that ends frees
// the tensors of its list that it still owns.

/// <reference lib="esnext.disposable" preserve="true" />

import { made, type Storage } from "./backends/backend.ts";
import { ArgumentError, LifetimeError, showShape } from "./errors.ts";
import { Parameter } from "./parameter.ts";
import { isRecording } from "./tape.ts";
import { copyOut, hostCopy, Tensor } from "./tensor.ts";

/** A tensor of at most this many elements that outlives its scope is copied out and stays readable. */
export const RESCUED = 64;

/** What the garbage collector's callback gets to see of a kept tensor. */
interface Hold {
  storage: Storage | null;
}

const registry: FinalizationRegistry<Hold> = /* @__PURE__ */ new FinalizationRegistry((hold: Hold) => {
  if (hold.storage === null) return;
  living--;
  hold.storage.release();
});

/** Owns a tensor outside every scope. The tensor and (for a parameter) its cell refer to it; when neither lives, the memory goes. */
export class Keeper {
  readonly hold: Hold = { storage: null };

  constructor() {
    registry.register(this, this.hold);
  }
}

/** Who frees a tensor. */
export type Owner = Scope | Keeper;

let current: Scope | null = null;
/** Tensors that hold device memory. */
let living = 0;

/** An open scope: what is made until it is closed is freed then. Made by `openScope`. */
export class Scope {
  /** @internal */
  readonly outer: Scope | null;
  /** @internal */
  made: Tensor[] = [];
  private open = true;

  /** @internal */
  constructor() {
    this.outer = current;
    current = this;
  }

  /** Hands the tensors found in a value (a tensor, or arrays and records of them) to the scope outside, and returns the value. */
  result<T>(value: T): T {
    eachTensor(value, (t) => {
      if (t.owner === this) hand(t, this.outer);
    });
    return value;
  }

  /** Frees what was made inside. Small tensors stay readable. Scopes still open inside are closed first. */
  close(): void {
    if (!this.open) return;
    while (current !== null && current !== this) current.close();
    this.open = false;
    current = this.outer;
    const { made } = this;
    this.made = [];
    // A tape that goes on after this scope may have recorded any of these.
    if (isRecording()) for (const t of made) t.owner === this && hand(t, this.outer);
    else for (const t of made) t.owner === this && release(t);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Frees what a computation makes, except what it returns.
 * The result is searched for tensors through arrays and records. A tensor of at most 64 elements that is not returned stays readable.
 *
 * @example
 * const y = scope(() => {
 *   const big = zeros([1000, 1000]);
 *   return big.slice(0);
 * }); // `big` is gone, y is alive
 */
export function scope<T>(fn: () => T): T {
  const s = new Scope();
  try {
    const value = fn();
    if (value instanceof Promise) {
      throw new ArgumentError(
        "scope",
        "the function returned a promise, but a scope ends when the function returns",
        "read with `await t.data()` after the scope, or compute synchronously inside",
      );
    }
    return s.result(value);
  } finally {
    s.close();
  }
}

/**
 * Opens a scope that ends with the block, for `using`.
 *
 * @example
 * using s = openScope();
 * const h = matmul(x, w);
 * return s.result(relu(h));
 */
export function openScope(): Scope {
  return new Scope();
}

/**
 * Takes tensors (also in arrays and records) out of every scope, and out of the parameters that hold them: they live as long
 * as something refers to them. Returns its argument.
 *
 * @example
 * const start = keep(p.value); // still there when p.value has been replaced
 */
export function keep<T>(value: T): T {
  eachTensor(value, (t) => {
    if (t.storage !== null) keepBy(t, new Keeper());
  });
  return value;
}

/** What tensors occupy. */
export interface Memory {
  /** Tensors that hold device memory; views of one memory count each. */
  readonly tensors: number;
  /** Bytes held by living tensors. */
  readonly bytes: number;
  /** Bytes kept for reuse. */
  readonly pool: number;
  /** The largest `bytes` and scratch space of kernels so far, or since `resetPeak`. */
  readonly peak: number;
}

/** What living tensors occupy on all devices, in bytes. */
export function memory(): Memory {
  const total = { tensors: living, bytes: 0, pool: 0, peak: 0 };
  for (const backend of Object.values(made)) {
    const use = backend.memory();
    total.bytes += use.bytes;
    total.pool += use.pool;
    total.peak += use.peak;
  }
  return total;
}

/**
 * Has `memory().peak` count from what is held now, on all devices: to learn what a computation needs at most.
 *
 * @example
 * const before = memory().bytes;
 * resetPeak();
 * step();
 * const extra = memory().peak - before; // bytes
 */
export function resetPeak(): void {
  for (const backend of Object.values(made)) backend.resetPeak();
}

// ---------------------------------------------------------------------------------------------------------------
// For the core and the optimizers

/** Enters a fresh tensor into the current scope; outside every scope the garbage collector watches it. */
export function adopt(t: Tensor): void {
  living++;
  if (current === null) keepBy(t, new Keeper());
  else {
    t.owner = current;
    current.made.push(t);
  }
}

/** Runs a function that may fail: what it made goes to the scope outside if it returns, and is freed if it throws. */
export function passingOn<T>(fn: () => T): T {
  const s = new Scope();
  try {
    const value = fn();
    for (const t of s.made) if (t.owner === s) hand(t, s.outer);
    return value;
  } finally {
    s.close();
  }
}

/** Makes a scope the one who frees a living tensor; null: the garbage collector. */
export function hand(t: Tensor, owner: Scope | null): void {
  if (t.held === null) return;
  if (owner === null) keepBy(t, new Keeper());
  else {
    if (t.owner instanceof Keeper) t.owner.hold.storage = null;
    t.owner = owner;
    owner.made.push(t);
  }
}

/** Gives a tensor to the scope that is open now: it is freed when that ends. */
export function handToCurrent(t: Tensor): void {
  hand(t, current);
}

/** Makes `keeper`, which keeps nothing else, the one who frees a living tensor. */
export function keepBy(t: Tensor, keeper: Keeper): void {
  if (t.owner instanceof Keeper) t.owner.hold.storage = null;
  t.owner = keeper;
  keeper.hold.storage = t.held;
}

/** Frees a tensor's memory now; a small one stays readable. For values that are known to be superseded. */
export function release(t: Tensor): void {
  if (t.held !== null && t.host === null && t.arriving === null && t.size <= RESCUED && !t.hidden) {
    if (t.backend.name === "webgpu") copyOut(t);
    else t.host = hostCopy(t);
    const own = t as { -readonly [K in keyof Tensor]: Tensor[K] };
    own.steps = null;
    own.offset = 0;
  }
  drop(t);
}

/** Frees a tensor's memory now, small or not: for values that no user can have seen. */
export function drop(t: Tensor): void {
  const storage = t.held;
  if (storage === null) return;
  t.held = null;
  if (t.owner instanceof Keeper) t.owner.hold.storage = null;
  t.owner = null;
  living--;
  storage.release();
}

/** Memory for a tensor that has lost it: from the host copy if it was small, else LifetimeError. */
export function revive(t: Tensor): Storage {
  if (t.host === null) {
    if (t.arriving !== null) {
      t.held = t.arriving.storage.retain();
      adopt(t);
      return t.held;
    }
    const finding = `its result of shape ${showShape(t.shape)} is used after the scope that made it has freed it`;
    throw new LifetimeError(t.origin, finding, "return it from the scope, or keep() it");
  }
  const storage = t.backend.allocate(t.dtype, t.size);
  t.backend.write(storage, t.host);
  t.held = storage;
  adopt(t);
  return storage;
}

/** Visits the tensors in a value: itself, and through arrays, records and parameters. */
export function eachTensor(value: unknown, visit: (t: Tensor) => void): void {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof Tensor) visit(value);
  else search(value, visit, new Set());
}

function search(value: object, visit: (t: Tensor) => void, seen: Set<object>): void {
  if (value instanceof Tensor) visit(value);
  else if (value instanceof Parameter) visit(value.value);
  else if (Array.isArray(value) || isRecord(value)) {
    if (seen.has(value)) return;
    seen.add(value);
    for (const item of Array.isArray(value) ? value : Object.values(value)) {
      if (typeof item === "object" && item !== null) search(item, visit, seen);
    }
  }
}

/** Whether a value is a plain object: a record of named things, no instance of a class. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
