// Finds a GPU: the page's `navigator.gpu`, or in Node the optional package `webgpu`. Says why where there is none.
// Knows no buffers and no kernels.

import { DeviceError } from "../../errors.ts";

const stillWorks = 'the "wasm" device computes everything without a GPU';

/** What Node's package gives: it and its adapters must stay referenced, or the process dies with work in flight. */
const held: unknown[] = [];

/** In Node: the package `webgpu` (Dawn), where it is installed. */
async function nodeGpu(): Promise<GPU | undefined> {
  if (typeof process !== "object" || process.versions?.node === undefined) return undefined;
  // A name that bundlers do not follow: pages have no such package.
  const name = "webgpu";
  let dawn: { create(flags: string[]): GPU };
  try {
    dawn = (await import(/* @vite-ignore */ name)) as typeof dawn;
  } catch {
    throw new DeviceError(
      "useDevice",
      "Node has no WebGPU of its own, and the package webgpu is not installed",
      `npm install webgpu; ${stillWorks}`,
    );
  }
  const gpu = dawn.create([]);
  (globalThis as { simplexgradHeld?: unknown[] }).simplexgradHeld = held;
  held.push(gpu);
  return gpu;
}

/** A GPU device with the limits that its adapter offers. Throws DeviceError where there is none. */
export async function openDevice(): Promise<GPUDevice> {
  const page = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  const gpu = page ?? (await nodeGpu());
  if (gpu === undefined) {
    const secure = (globalThis as { isSecureContext?: boolean }).isSecureContext !== false;
    throw new DeviceError(
      "useDevice",
      secure
        ? "this browser offers no WebGPU"
        : "a page has WebGPU only in a secure context (https or localhost)",
      stillWorks,
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null)
    throw new DeviceError(
      "useDevice",
      page
        ? "the browser has WebGPU but finds no adapter: the GPU is not supported or switched off"
        : "WebGPU finds no adapter: it needs a Vulkan, Metal or D3D12 driver",
      stillWorks,
    );
  held.push(adapter);
  const { limits } = adapter;
  return adapter.requestDevice({
    label: "simplexgrad",
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  });
}
