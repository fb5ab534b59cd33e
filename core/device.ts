// Which device computes. Backends are made at first use; the CPU is ready at import, synchronously.
// Knows no tensor: moving data between devices is reading and writing.

import type { Backend, DeviceName } from "./backends/backend.ts";
import { createJsBackend } from "./backends/js/index.ts";
import { createWasmBackend } from "./backends/wasm/index.ts";
import { DeviceError, showValue } from "./errors.ts";

/** The backends made so far. */
const made: { js?: Backend; wasm?: Backend } = {};
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
  const finding = name === "webgpu" ? "webgpu is not there yet" : `${showValue(name)} is no device`;
  throw new DeviceError("useDevice", finding, 'the devices are "wasm" and "js"');
}

/** The backend that new tensors live on: wasm, or js where WebAssembly is missing or forbidden, until `useDevice` says otherwise. */
export function currentBackend(): Backend {
  current ??= backendOf(made.wasm !== undefined || hasWasm() ? "wasm" : "js");
  return current;
}

/**
 * Chooses the device of tensors made from now on; throws DeviceError when it is missing. Tensors that exist stay where they are.
 *
 * @example
 * await useDevice("js");
 */
export async function useDevice(name: DeviceName): Promise<void> {
  current = backendOf(name);
}

/** The backends made so far. */
export function backendsInUse(): readonly Backend[] {
  return Object.values(made);
}
