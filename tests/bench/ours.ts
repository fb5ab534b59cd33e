// The library as a peer of its own bench. Argument: the device, "webgpu" or none for the CPU, where it runs on one thread.
import { readFileSync } from "node:fs";
import { useDevice } from "../../core/index.ts";
import { withSoftwareGpu } from "../gpu.ts";
import { prefixed } from "./rows.ts";
import { serve } from "./serve.ts";
import { works } from "./works.ts";

const gpu = process.argv[2] === "webgpu";
if (gpu) await withSoftwareGpu(() => useDevice("webgpu"));
const manifest = new URL("../../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
await serve({ version, rows: gpu ? prefixed(works) : works });
