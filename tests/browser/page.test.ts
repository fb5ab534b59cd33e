// What only a page has: the place that the other tests of a browser run in is the one that their project names.

import { expect, inject, test } from "vitest";

const { isolated } = inject("place");

test("the page is cross-origin isolated where its project says so, and has shared memory then", () => {
  expect(crossOriginIsolated).toBe(isolated);
  expect(typeof SharedArrayBuffer).toBe(isolated ? "function" : "undefined");
});

test("the page is a secure context, so that WebGPU is there", () => {
  expect(isSecureContext).toBe(true);
  expect(navigator.gpu).toBeDefined();
});
