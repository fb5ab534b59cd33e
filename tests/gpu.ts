// WebGPU in Node for programs that are started by hand: finds a driver where the system's own give none, names the GPU, and
// offers it as a page does. The suite needs no driver from here: vitest's configuration names one before Node starts.

import { findSwiftShader } from "./system.ts";

/**
 * Opens a GPU. Where that fails, no driver is named in VK_ICD_FILENAMES and Chromium lies here, it is opened again on
 * Chromium's software GPU, and this is said. Rejects as `open` does.
 */
export async function withSoftwareGpu<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const driver = process.env.VK_ICD_FILENAMES ? undefined : findSwiftShader();
    if (process.platform !== "linux" || driver === undefined) throw error;
    process.env.VK_ICD_FILENAMES = driver;
    const opened = await open();
    console.error(
      `No driver here gives a GPU: this runs on SwiftShader, Chromium's in software (${driver}).`,
    );
    return opened;
  }
}

/** What a GPU calls itself. */
export function gpuName({ adapterInfo }: GPUDevice): string {
  const { vendor, architecture, device, description } = adapterInfo;
  const name = device.replace(/-+$/, "") || `${vendor} ${architecture}`.trim() || "a GPU without a name";
  return description && description !== name ? `${name} (${description})` : name;
}

/**
 * Puts Node's WebGPU where a page has it, for libraries that look nowhere else; `observe` may change it first. Rejects where
 * the package webgpu is not installed.
 */
export async function offerGpu(observe: (gpu: GPU) => void = () => {}): Promise<void> {
  // Its declarations would be a second set of those that TypeScript has.
  const name = "webgpu";
  const { create, globals } = (await import(name)) as { create(flags: string[]): GPU; globals: object };
  const gpu = create([]);
  observe(gpu);
  // A process dies when an adapter is collected while it works.
  const held: unknown[] = [];
  const request = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = async (options) => {
    const adapter = await request(options);
    held.push(adapter);
    return adapter;
  };
  Object.assign(globalThis, globals);
  const navigator = { userAgent: "Node", gpu, held };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
}
