// The golden cases that were copied into this repository, on every device.

/// <reference types="vite/client" />

import { expect, test } from "vitest";
import { settings } from "../suite/samples.ts";
import { readCases } from "./format.ts";
import { failures } from "./run.ts";

const files = import.meta.glob<string>("./fixtures/*.json", {
  query: "?raw",
  import: "default",
  eager: true,
});
const cases = Object.entries(files).flatMap(([file, text]) => readCases(text, file));

test("the copied cases are found", () => {
  expect(cases.length).toBeGreaterThan(50);
});

test.each(settings)("every copied case agrees on $device in $dtype", async (setting) => {
  expect(await failures(cases, setting)).toEqual([]);
});
