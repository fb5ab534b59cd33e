// What the tests need from the system, and where it lies: a browser, a Vulkan loader, a software GPU. Looks only; `setup.ts`
// installs, and vitest's configuration reads both answers.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";

/** The first of several paths that exists. */
const firstOf = (paths: readonly string[]): string | undefined => paths.find((path) => existsSync(path));

/** A program by its name, as the shell finds it. */
function program(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? "").split(":")) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {}
  }
  return undefined;
}

/** The browser that the page tests run in: what CHROMIUM_PATH names, else a Chromium of the system. */
export function findChromium(): string | undefined {
  const { CHROMIUM_PATH: named } = process.env;
  if (named) return firstOf([named]);
  return ["chromium", "chromium-browser", "google-chrome"].map(program).find((path) => path !== undefined);
}

/** The description of SwiftShader, a GPU in software that comes with Chromium, as the Vulkan loader wants it in VK_ICD_FILENAMES. */
export function findSwiftShader(): string | undefined {
  const browser = findChromium();
  const folders = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"];
  if (browser) folders.unshift(dirname(realpathSync(browser)));
  return firstOf(folders.map((folder) => join(folder, "vk_swiftshader_icd.json")));
}

/** The library that finds Vulkan drivers: WebGPU in Node opens it on Linux. */
export function findVulkan(): string | undefined {
  const folders = ["/usr/lib", "/lib"].flatMap((folder) => {
    const inside = existsSync(folder)
      ? readdirSync(folder).filter((name) => name.endsWith("-linux-gnu"))
      : [];
    return [...inside.map((name) => join(folder, name)), folder, `${folder}64`];
  });
  const { LD_LIBRARY_PATH: more = "" } = process.env;
  return firstOf([...more.split(":"), ...folders].map((folder) => join(folder, "libvulkan.so.1")));
}

/** Whether WebGPU in Node finds an adapter with that driver. Asked in a process of its own, because a GPU once opened stays. */
export function hasAdapter(driver: string | undefined): boolean {
  const ask =
    'const { create } = await import("webgpu"); process.exit((await create([]).requestAdapter()) ? 0 : 1);';
  const env = { ...process.env, ...(driver === undefined ? {} : { VK_ICD_FILENAMES: driver }) };
  const options = { env, cwd: import.meta.dirname, stdio: "ignore" } as const;
  return spawnSync(process.execPath, ["--input-type=module", "--eval", ask], options).status === 0;
}

/** Arguments for a Chromium that opens WebGPU on the software adapter and asks nothing of the network. */
export const chromiumArguments: readonly string[] = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-quic",
  "--no-first-run",
];
