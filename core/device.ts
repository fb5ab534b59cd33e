// Which device computes. Backends are made at first use; the CPU is ready at import, synchronously.
// Knows no tensor: moving data between devices is reading and writing.

import { type Backend, type DeviceName, made, ways } from "./backends/backend.ts";
import { createJsBackend } from "./backends/js/index.ts";
import { createWasmBackend } from "./backends/wasm/index.ts";
import { DeviceError, showValue } from "./errors.ts";

let current: Backend | undefined;

/** A function that returns a 128-bit vector: what an engine must compile for the wasm device. */
const probe = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98,
  11,
];

/** Whether this engine compiles SIMD WebAssembly here and now: a page's content policy may forbid it. */
function hasWasm(): boolean {
  try {
    return new WebAssembly.Module(new Uint8Array(probe)) instanceof WebAssembly.Module;
  } catch {
    return false;
  }
}

/** The backend of a device, made at first use; throws DeviceError where the device is missing. */
export function backendOf(name: DeviceName): Backend {
  ways.open = openBackend;
  if (name === "js") {
    made.js ??= createJsBackend();
    return made.js;
  }
  if (name === "wasm") {
    if (made.wasm === undefined && !hasWasm())
      throw new DeviceError("useDevice", "WebAssembly with SIMD is missing or forbidden here", 'use "js"');
    made.wasm ??= createWasmBackend();
    return made.wasm;
  }
  if (name !== "webgpu")
    throw new DeviceError(
      "useDevice",
      `${showValue(name)} is no device`,
      'the devices are "wasm", "webgpu" and "js"',
    );
  if (made.webgpu === undefined)
    throw new DeviceError(
      "webgpu",
      "the GPU has not been opened, which takes a moment",
      'await useDevice("webgpu") first',
    );
  return made.webgpu;
}

/** The GPU: opened at the first call, and again when it was lost. */
let opening: Promise<Backend> | undefined;

function openWebgpu(): Promise<Backend> {
  ways.open = openBackend;
  if (made.webgpu !== undefined && made.webgpu.failure === undefined) return Promise.resolve(made.webgpu);
  opening ??= import("./backends/webgpu/index.ts")
    .then(({ createWebgpuBackend }) => createWebgpuBackend())
    .then((backend) => {
      made.webgpu = backend;
      return backend;
    })
    .finally(() => {
      opening = undefined;
    });
  return opening;
}

/** The backend of a device; the GPU is opened if need be. */
export async function openBackend(name: DeviceName): Promise<Backend> {
  return name === "webgpu" ? openWebgpu() : backendOf(name);
}

/** The backend that new tensors live on: wasm, or js where WebAssembly is missing or forbidden, until `useDevice` says otherwise. */
export function currentBackend(): Backend {
  current ??= backendOf(made.wasm !== undefined || hasWasm() ? "wasm" : "js");
  return current;
}

/**
 * Chooses the device of tensors made from now on: "wasm" (the CPU, at the start), "webgpu" (the GPU) or "js". Tensors that
 * exist stay where they are: `await t.to("webgpu")` copies them. Throws DeviceError, saying why, where the device is missing.
 * After a GPU was lost, asking for it again opens a new one.
 *
 * @example
 * await useDevice("webgpu");
 */
export async function useDevice(name: DeviceName): Promise<void> {
  current = await openBackend(name);
}
