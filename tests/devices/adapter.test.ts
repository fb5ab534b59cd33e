// That there is a GPU to test on. Where there is none, what needs one is not run, which is said at the end; in CI that is a failure.

import { expect, test } from "vitest";
import { place, withoutGpu } from "../place.ts";

test("there is a WebGPU adapter", ({ skip }) => {
  skip(withoutGpu !== undefined && !place.ci, `every test on WebGPU, because of this: ${withoutGpu}`);
  expect(withoutGpu).toBeUndefined();
});
