// How the suite runs. The package's own name resolves to the source tree, so that examples are tested as
// they stand and nothing under dist/ is read by accident.
import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^simplexgrad$/, replacement: source("core/index.ts") },
      { find: /^simplexgrad\/check$/, replacement: source("core/check/index.ts") },
      { find: /^simplexgrad\/(ops|nn|losses|optim)$/, replacement: source("$1/index.ts") },
    ],
  },
  test: {
    include: ["tests/**/*.test.ts"],
    testTimeout: 30_000, // laws over whole op lists, on two cores, with coverage
    reporters: process.env.CI ? ["default", ["json", { outputFile: "coverage/results.json" }]] : ["default"],
    coverage: {
      provider: "v8",
      include: ["core/**/*.ts", "ops/**/*.ts", "nn/**/*.ts", "losses/**/*.ts", "optim/**/*.ts"],
      reporter: ["text-summary", "json-summary"],
      thresholds: { "core/**/*.ts": { lines: 90 }, "ops/**/*.ts": { lines: 90 } },
    },
  },
});

export default config;
