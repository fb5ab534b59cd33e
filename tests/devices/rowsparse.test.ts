// Gradients that are rows of a table: what `take` gives back, and what becomes of it, on every device.

import { describe, expect, test } from "vitest";
import { tensor, zeros } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { DomainError, ShapeError } from "../../core/errors.ts";
import { Parameter } from "../../core/parameter.ts";
import { putRowsOf, RowSparse, rowsOf } from "../../core/rowsparse.ts";
import { memory, openScope, scope } from "../../core/scope.ts";
import type { Shape } from "../../core/shape.ts";
import { grad, lossAndGradients, valueAndGrad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { mul, square } from "../../ops/elementwise.ts";
import { take } from "../../ops/indexing.ts";
import { sum } from "../../ops/reduce.ts";
import { settings } from "../suite/samples.ts";

const ids = (...rows: number[]): Tensor<[number], "i32"> => tensor(Int32Array.from(rows)) as never;
const list = async (t: Tensor): Promise<number[]> => [...(await t.data())];

describe.each(settings)("on $device in $dtype", ({ device, dtype }) => {
  const table = (rows: number): Parameter =>
    new Parameter(
      tensor(
        Float64Array.from({ length: 2 * rows }, (_, i) => i + 1),
        { shape: [rows, 2], dtype },
      ),
    );

  test("a parameter that is read by rows has a gradient of these rows, those of all readings together", async () => {
    await useDevice(device);
    using _ = openScope();
    const [w, dense] = [table(10), table(10)];
    const loss = (): Tensor =>
      sum(
        mul(
          sum(square(take(w.value, ids(3, 0)))),
          sum(mul(take(w.value, ids(3, 8, 3)), take(dense.value, ids(0, 1, 2)))),
        ),
      );
    const { gradients } = lossAndGradients("test", loss, [w, dense]);
    const [g] = gradients;
    expect(g).toBeInstanceOf(RowSparse);
    const { gradients: whole } = valueAndGrad(loss, [w, dense]);
    const { gradients: rows } = valueAndGrad(loss, [w, dense], { rows: true });
    expect(await list((rows[0] as RowSparse).toDense())).toEqual(await list(whole[0]!));
    expect(whole[0]).not.toBeInstanceOf(RowSparse);
    expect(await list((g as RowSparse).toDense())).toEqual(await list(whole[0]!));
    const each = (g as RowSparse).coalesced();
    expect(await list(each.rows)).toEqual([0, 3, 8]);
    expect(await list(each.toDense())).toEqual(await list(whole[0]!));
  });

  test("what is no parameter, is read otherwise too, or has few rows gets a tensor", async () => {
    await useDevice(device);
    using _ = openScope();
    const w = table(10);
    const among = (loss: () => Tensor): unknown => lossAndGradients("test", loss, [w]).gradients[0];
    expect(among(() => sum(take(mul(w.value, 2), ids(1))))).not.toBeInstanceOf(RowSparse);
    expect(among(() => sum(take(w.value, ids(1, 2, 3, 4, 5, 6))))).not.toBeInstanceOf(RowSparse);
    const both = among(() => mul(sum(take(w.value, ids(1))), sum(w.value))) as Tensor;
    expect(await list(both)).toEqual(Array.from({ length: 20 }, (_, i) => (i === 2 || i === 3 ? 217 : 7)));
    const twice = grad((x: Tensor<Shape, "f32">) =>
      sum(square(grad((y: typeof x) => sum(square(take(y, ids(1)) as typeof x)))(x))),
    );
    expect(await list(twice(w.value as Tensor<Shape, "f32">))).toEqual(
      Array.from({ length: 20 }, (_, i) => (i === 2 ? 24 : i === 3 ? 32 : 0)),
    );
  });

  test("rows of a parameter are written in place, and nobody who holds the old value sees it", async () => {
    await useDevice(device);
    const w = scope(() => table(40));
    const { bytes } = memory();
    const view = scope(() => {
      putRowsOf(
        w,
        ids(5, 1),
        tensor(
          [
            [-1, -2],
            [-3, -4],
          ],
          { dtype },
        ) as Tensor,
      );
      return undefined;
    });
    expect(view).toBeUndefined();
    expect(memory().bytes).toBe(bytes);
    const after = await list(w.value);
    expect(after.slice(0, 4)).toEqual([1, 2, -3, -4]);
    expect(after.slice(10, 12)).toEqual([-1, -2]);
    using s = openScope();
    const held = s.result(w.value.slice(1));
    putRowsOf(w, ids(1), zeros([1, 2], { dtype }) as Tensor);
    expect(await list(held)).toEqual([-3, -4]);
    expect((await list(w.value)).slice(2, 4)).toEqual([0, 0]);
    expect(await list(rowsOf(w.value, ids(5, 0)))).toEqual([-1, -2, 1, 2]);
  });
});

test("rows that do not fit their table are refused", () => {
  expect(() => new RowSparse([4, 2], ids(4), zeros([1, 2]))).toThrow(DomainError);
  expect(() => new RowSparse([4, 2], ids(1, 2), zeros([1, 2]))).toThrow(ShapeError);
});
