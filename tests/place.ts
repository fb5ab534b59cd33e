// Where the tests run: in Node or in a page, as their project says, and whether WebGPU is there. Knows no tests.

import { inject } from "vitest";
import type { DeviceName } from "../core/backends/backend.ts";
import { useDevice } from "../core/device.ts";
import { DeviceError } from "../core/errors.ts";

/** What a project of the suite says of itself. */
export interface Place {
  /** Whether nothing may be left out. */
  readonly ci: boolean;
  readonly page: boolean;
  /** Whether the page is cross-origin isolated. */
  readonly isolated: boolean;
  /** Random shapes, or runs of a law, for each op and device. */
  readonly shapes: number;
}

declare module "vitest" {
  interface ProvidedContext {
    place: Place;
  }
}

export const place: Place = inject("place");

/** Why there is no WebGPU here; undefined where there is, and then it is open. */
export const withoutGpu: string | undefined = await useDevice("webgpu").then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof DeviceError) return error.message;
    throw error;
  },
);
await useDevice("wasm");

/** The devices whose results are held against those of WebAssembly, itself the first. */
export const devices: readonly DeviceName[] = withoutGpu === undefined ? ["wasm", "webgpu"] : ["wasm"];

/** Has the memory freed that earlier tests left to the garbage collector: it would go while bytes are counted. */
export async function collectGarbage(): Promise<void> {
  const { gc } = globalThis as unknown as { gc(): void };
  for (let i = 0; i < 2; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
