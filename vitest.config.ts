// How the suite runs: everything in Node; what knows no Node again in a Chromium page, once cross-origin isolated and once
// not. The package's own name resolves to the source tree, so that examples are tested as they stand and nothing under dist/
// is read by accident.
import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectInlineConfiguration, type ViteUserConfig } from "vitest/config";
import type { Reporter, TestModule } from "vitest/node";
import { chromiumArguments, findChromium, findSwiftShader, hasAdapter } from "./tests/system.ts";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const ci = Boolean(process.env.CI);

/** Random shapes, or runs of a law, for each op and device. */
const shapes = { node: 12, page: 4 };

/** Where WebGPU in Node finds a driver, unless the environment says. */
const driver = process.env.VK_ICD_FILENAMES ?? findSwiftShader();

const node: TestProjectInlineConfiguration = {
  extends: true,
  test: {
    name: "node",
    include: ["tests/**/*.test.ts"],
    // In CI these fail where there is no GPU; elsewhere the end of the run says that they are left out.
    exclude: ["tests/browser/**", ...(ci || hasAdapter(driver) ? [] : ["tests/webgpu/**"])],
    // Worker threads would have a copy of the environment, which the Vulkan loader does not see.
    pool: "forks",
    maxWorkers: 2,
    execArgv: ["--expose-gc"],
    env: driver === undefined ? {} : { VK_ICD_FILENAMES: driver },
    provide: { place: { ci, page: false, shapes: shapes.node, isolated: false } },
    sequence: { groupOrder: 0 },
  },
};

const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const page = (name: string, executablePath: string, isolated: boolean): TestProjectInlineConfiguration => ({
  extends: true,
  // Projects that differ in their options would prepare the packages anew in turn.
  cacheDir: `node_modules/.vite/${name}`,
  server: { headers: isolated ? isolation : {} },
  optimizeDeps: { include: ["fast-check", "ndarray"] },
  test: {
    name,
    include: [
      // What an op computes does not depend on shared memory: once is enough.
      ...(isolated ? [] : ["tests/suite/**/*.test.ts"]),
      "tests/devices/**/*.test.ts",
      "tests/golden/**/*.test.ts",
      "tests/browser/**/*.test.ts",
    ],
    provide: { place: { ci, page: true, shapes: shapes.page, isolated } },
    // After Node's, both at once: each waits for its GPU most of the time.
    sequence: { groupOrder: 1 },
    maxWorkers: 2,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: { executablePath, args: [...chromiumArguments, "--js-flags=--expose-gc"] },
      }),
      instances: [{ browser: "chromium" }],
    },
  },
});

const chromium = findChromium();
const pages =
  chromium === undefined ? [] : [page("chromium", chromium, false), page("isolated", chromium, true)];

/** Says at the end, where nobody overlooks it, what was not run and why. */
const notRun: Reporter = {
  onTestRunEnd(modules: readonly TestModule[]) {
    const reasons = new Set<string>();
    if (chromium === undefined) reasons.add("every test in a browser, because no Chromium is found");
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const result = test.result();
        if (result.state === "skipped" && result.note) reasons.add(`${module.project.name}: ${result.note}`);
      }
    }
    if (reasons.size === 0) return;
    const lines = [...reasons].map((reason) => `  - ${reason}`);
    console.error(
      `\n${"!".repeat(100)}\nNOT RUN:\n${lines.join("\n")}\n\`npm run setup\` brings what is missing.\n${"!".repeat(100)}\n`,
    );
  },
};

if (ci && chromium === undefined)
  throw new Error(
    "tests: no Chromium is found, and in CI nothing may be left out; `npm run setup` brings one",
  );

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^simplexgrad$/, replacement: source("core/index.ts") },
      { find: /^simplexgrad\/check$/, replacement: source("core/check/index.ts") },
      { find: /^simplexgrad\/losses\/create$/, replacement: source("losses/create.ts") },
      { find: /^simplexgrad\/(ops|nn|losses|optim)$/, replacement: source("$1/index.ts") },
    ],
  },
  test: {
    testTimeout: 60_000, // laws over whole op lists, on two cores, with coverage
    projects: [node, ...pages],
    reporters: [
      "default",
      notRun,
      ...(ci ? [["json", { outputFile: "coverage/results.json" }] satisfies [string, object]] : []),
    ],
    coverage: {
      provider: "v8",
      include: ["core/**/*.ts", "ops/**/*.ts", "nn/**/*.ts", "losses/**/*.ts", "optim/**/*.ts"],
      reporter: ["text-summary", "json-summary"],
      thresholds: { "core/**/*.ts": { lines: 90 }, "ops/**/*.ts": { lines: 90 } },
    },
  },
});

export default config;
