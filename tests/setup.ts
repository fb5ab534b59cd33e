// npm run setup
// Brings what the tests need from the system: a Chromium, with its software GPU, and the loader of Vulkan drivers. Says what
// it does. The npm packages come with `npm ci`, not from here.

import { spawnSync } from "node:child_process";
import { findChromium, findSwiftShader, findVulkan } from "./system.ts";

const say = (text: string): void => console.log(`setup: ${text}`);

function fail(text: string): never {
  console.error(`setup: ${text}`);
  process.exit(1);
}

/** Runs a program with its output on the terminal; whether it ended well. */
function run(...command: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return (
    spawnSync(command[0]!, command.slice(1), { stdio: ["ignore", "inherit", "inherit"], env }).status === 0
  );
}

const exists = (command: string): boolean =>
  spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined;

/** A thing that the tests need, the Debian package that brings it, and how to get it where there is no Debian. */
interface Need {
  readonly what: string;
  readonly find: () => string | undefined;
  readonly debian: string;
  readonly otherwise: string;
}

const linux = process.platform === "linux";
const needs: readonly Need[] = [
  {
    what: "Chromium",
    find: findChromium,
    debian: "chromium",
    otherwise:
      "install Chromium or Chrome, and name the program in CHROMIUM_PATH if it is not found by itself",
  },
  // Elsewhere WebGPU in Node works on Metal or Direct3D.
  ...(linux
    ? [
        {
          what: "the Vulkan loader (libvulkan.so.1) that WebGPU in Node opens",
          find: findVulkan,
          debian: "libvulkan1",
          otherwise: "install your system's Vulkan loader (libvulkan1, vulkan-loader, vulkan-icd-loader)",
        },
      ]
    : []),
];

const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 20) fail(`Node ${process.versions.node} is too old; the tests need Node 20 or later`);
say(`Node ${process.versions.node} is fine`);

const { CHROMIUM_PATH: named } = process.env;
if (named && !findChromium())
  fail(`CHROMIUM_PATH is ${named}, but there is no such file; correct it or unset it`);

const missing = needs.filter(({ find }) => find() === undefined);
if (missing.length > 0) {
  const what = `missing: ${missing.map(({ what }) => what).join(", ")}`;
  const byHand = `by hand: ${missing.map(({ otherwise }) => otherwise).join("; ")}`;
  const root = process.getuid?.() === 0;
  const apt = [...(root ? [] : ["sudo"]), "apt-get"];
  const install = ["install", "-y", "--no-install-recommends", ...missing.map(({ debian }) => debian)];
  if (!exists("apt-get")) fail(`${what}; and this is no Debian to install it on; ${byHand}`);
  if (!root && !exists("sudo")) fail(`${what}; run as root: apt-get ${install.join(" ")}; or ${byHand}`);
  say(`${what}; running: ${[...apt, ...install].join(" ")}`);
  // The list of packages may be absent or old.
  if (!run(...apt, "update") || !run(...apt, ...install))
    fail(`apt-get could not install it, as it says above; ${byHand}`);
}
for (const { what, find } of needs) {
  const path = find();
  if (path === undefined)
    fail(
      `${what} is still missing after the installation; set CHROMIUM_PATH or LD_LIBRARY_PATH to where it lies`,
    );
  say(`${what}: ${path}`);
}
if (linux) {
  const driver = process.env.VK_ICD_FILENAMES ?? findSwiftShader();
  say(
    driver
      ? `the Vulkan driver of WebGPU in Node: ${driver}`
      : "Chromium brings no SwiftShader (vk_swiftshader_icd.json) here: WebGPU in Node needs another Vulkan driver; name its description in VK_ICD_FILENAMES, or install Debian's chromium",
  );
}
