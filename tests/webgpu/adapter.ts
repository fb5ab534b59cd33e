// Opens the GPU for tests, in Node or in a page. All that only Node knows stands here.

import { openDevice } from "../../core/backends/webgpu/device.ts";
import { Queue } from "../../core/backends/webgpu/queue.ts";

/** The software adapter that Debian's Chromium brings. */
const driver = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** A queue on the first adapter; in Node the software one, unless the environment names a driver. */
export async function openAdapter(): Promise<Queue> {
  if (typeof process === "object") process.env.VK_ICD_FILENAMES ??= driver;
  return new Queue(await openDevice());
}
