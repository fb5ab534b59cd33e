// npm run golden -- FILE… [--device js|wasm|webgpu] [--dtype f64|f32] [--ops a,b]
// Replays golden files and says which cases differ. Exit status 1 when any does; an op that does not exist counts as one.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { DeviceName } from "../../core/backends/backend.ts";
import { currentBackend, useDevice } from "../../core/device.ts";
import { withSoftwareGpu } from "../gpu.ts";
import { readCases } from "./format.ts";
import { runCase } from "./run.ts";

const usage = "npm run golden -- FILE… [--device js|wasm|webgpu] [--dtype f64|f32] [--ops a,b]";

function fail(message: string): never {
  console.error(`golden: ${message}\n${usage}`);
  process.exit(2);
}

function options(): { files: string[]; device: string; dtype: string; ops: string | undefined } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        device: { type: "string", default: "js" },
        dtype: { type: "string", default: "f64" },
        ops: { type: "string" },
      },
    });
    return { files: positionals, device: values.device, dtype: values.dtype, ops: values.ops };
  } catch (error) {
    return fail((error as Error).message);
  }
}

const { files, device, dtype, ops } = options();
if (files.length === 0) fail("no file is given");
if (dtype !== "f64" && dtype !== "f32") fail(`${dtype} is no float type`);
const wanted = ops?.split(",");

try {
  const open = (): Promise<void> => useDevice(device as DeviceName);
  await (device === "webgpu" ? withSoftwareGpu(open) : open());
} catch (error) {
  fail((error as Error).message);
}
const { floats } = currentBackend();
if (!floats.includes(dtype)) fail(`${device} computes in ${floats.join(" and ")}; give --dtype ${floats[0]}`);

let passed = 0;
let failed = 0;
for (const file of files) {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    fail(`${file} cannot be read`);
  }
  let cases = readCases(text, file);
  if (wanted) cases = cases.filter(({ op }) => wanted.includes(op));
  for (const c of cases) {
    const { id, differences } = await runCase(c, { device: device as DeviceName, dtype });
    if (differences.length === 0) passed++;
    else {
      failed++;
      console.log(`FAIL ${id}: ${differences.join("; ")}`);
    }
  }
}
if (passed + failed === 0) fail(wanted ? `no case is of ${wanted.join(", ")}` : "the files hold no cases");
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
