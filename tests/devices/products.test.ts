// Products that are added to what stands in memory, from any element on: on every device, in every schedule that it has.

import { describe, expect, test } from "vitest";
import { matmul } from "../../core/backends/kernels.ts";
import { tensor } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { dtypes } from "../../core/dtype.ts";
import { openScope } from "../../core/scope.ts";
import { matmul as product } from "../../ops/matmul.ts";
import { firstDifference, generator, numbersOf, settings } from "../suite/samples.ts";

describe.each(settings)("on $device in $dtype", ({ device, dtype }) => {
  test.each([
    [1, 1, 1],
    [3, 5, 7],
    [1, 64, 300],
    [40, 70, 33],
    [2, 2000, 3],
    [70, 600, 520],
    [600, 9, 600],
  ])(
    "a product of %d × %d × %d goes where it is told, beside what stands there or on top of it",
    async (m, k, n) => {
      await useDevice(device);
      using _ = openScope();
      const random = generator(m + k + n);
      const floats = (...shape: number[]) =>
        tensor(
          Float64Array.from({ length: shape.reduce((a, b) => a * b) }, () => 2 * random() - 1),
          { shape, dtype },
        );
      const [a, b, before] = [floats(m, k), floats(k, n), floats(m * n + 11)];
      const [[want], [stood]] = [await numbersOf(product(a, b as never)), await numbersOf(before)];
      const operand = (t: typeof a) => ({
        storage: t.storage,
        offset: 0,
        stride: t.shape[1]!,
        transposed: false,
        batchOffsets: [0],
      });
      for (const adds of [false, true]) {
        const into = tensor(Float64Array.from(stood!), { dtype });
        into.backend.run(matmul, dtype, operand(a), operand(b), into.storage, m, k, n, undefined, {
          offset: 4,
          adds,
        });
        const expected = stood!.map((v, i) => (i < 4 || i >= m * n + 4 ? v : want![i - 4]! + (adds ? v : 0)));
        const [got] = await numbersOf(into);
        expect(firstDifference(got!, expected, 4 * dtypes[dtype].tolerance[0])).toBeUndefined();
      }
    },
  );
});
