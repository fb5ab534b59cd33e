// Lifetimes on every device: scopes free what they made, small results survive their scope, views keep memory alive.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ones, range, tensor, zeros } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { LifetimeError } from "../../core/errors.ts";
import { Parameter } from "../../core/parameter.ts";
import { keep, memory, openScope, resetPeak, scope } from "../../core/scope.ts";
import { grad } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add, mul } from "../../ops/elementwise.ts";
import { sum } from "../../ops/reduce.ts";
import { collectGarbage, devices } from "../place.ts";

const big = (): Tensor<[1000], "f32"> => ones([1000]);
const lastOf = async (t: Tensor): Promise<number> => (await t.data()).at(-1)!;

afterEach(() => useDevice("wasm"));

describe.each(devices)("on %s", (device) => {
  beforeEach(async () => {
    await collectGarbage();
    await useDevice(device);
  });

  test("a scope frees everything but what it returns", async () => {
    const before = memory();
    const y = scope(() => {
      const x = big();
      return add(add(x, x), 1);
    });
    expect(memory()).toMatchObject({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    expect(await lastOf(y)).toBe(3);
  });

  test("a scope may stay open while results are read", async () => {
    const before = memory();
    {
      using _ = openScope();
      const x = big();
      expect(await lastOf(x)).toBe(1);
      expect(await lastOf(add(x, 1))).toBe(2);
    }
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
  });

  test("everything is freed when a function throws", () => {
    const before = memory();
    expect(() =>
      scope(() => {
        add(big(), 1);
        throw new RangeError("own");
      }),
    ).toThrow("own");
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
  });

  test("views keep their memory alive without the tensor they show", async () => {
    const before = memory();
    const view = scope(() => range(1000).slice([0, 500]));
    expect(memory()).toMatchObject({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    expect(await lastOf(view)).toBe(499);
  });

  test("memory that was freed and is used again keeps nothing of what was in it, in whatever order it is written and read", async () => {
    const found: Promise<number>[] = [];
    for (let i = 0; i < 300; i++) {
      scope(() => {
        // An upload and a fill into what the step before has just freed, with work on it still under way.
        const uploaded = tensor(new Float32Array(1000).fill(i));
        const y = add(mul(uploaded, 2), big());
        found.push(lastOf(sum(y)));
      });
    }
    expect(await Promise.all(found)).toEqual(Array.from({ length: 300 }, (_, i) => 1000 * (2 * i + 1)));
  });

  test("small tensors outlive their scope, to be read and to be computed with", async () => {
    const { tensors } = memory();
    const left: Tensor[] = [];
    scope(() => {
      left.push(sum(big()), tensor([[1, 2]]).transpose(), range(64));
    });
    expect(memory().tensors).toBe(tensors);
    using _ = openScope();
    const more = add(left[1]! as Tensor<[2, 1], "f32">, 1);
    expect(Array.from(await more.data())).toEqual([2, 3]);
    expect(Array.from(await left[0]!.data())).toEqual([1000]);
    expect(Array.from(await left[1]!.data())).toEqual([1, 2]);
    expect(await left[2]!.data()).toEqual(Float32Array.from({ length: 64 }, (_, i) => i));
  });

  test("a larger one is gone with its scope", async () => {
    let lost: Tensor | undefined;
    scope(() => {
      lost = range(65);
    });
    await expect(lost!.data()).rejects.toThrow(LifetimeError);
    expect(() => add(lost! as Tensor<[65], "f32">, 1)).toThrow(LifetimeError);
  });

  test("what is kept lives on", async () => {
    let kept: Tensor | undefined;
    scope(() => {
      kept = keep(big());
    });
    expect(await lastOf(kept!)).toBe(1);
  });

  test("parameters hold their value across scopes, and free the one that it replaces", async () => {
    const before = memory();
    const p = scope(() => new Parameter(big()));
    for (let i = 0; i < 5; i++) {
      scope(() => {
        p.value = add(p.value, 1);
      });
      expect(memory()).toMatchObject({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    }
    expect(await lastOf(p.value)).toBe(6);
  });

  test("a peak counts from where it was reset", () => {
    scope(() => void add(big(), big()));
    const { bytes } = memory();
    resetPeak();
    expect(memory().peak).toBe(bytes);
    scope(() => void big());
    expect(memory()).toMatchObject({ bytes, peak: bytes + 4000 });
  });

  test("gradients free everything but themselves", async () => {
    using _ = openScope();
    const x = big();
    const { tensors, bytes } = memory();
    const g = grad((t: Tensor<[1000], "f32">) => sum(mul(mul(t, t), t)))(x);
    // The value of the function is small: it may be on its way to the host until something later has been read.
    expect(await lastOf(g)).toBe(3);
    expect(memory()).toMatchObject({ tensors: tensors + 1, bytes: bytes + 4000 });
  });

  test("the garbage collector frees what lives outside every scope", async () => {
    const before = memory();
    (() => {
      for (let i = 0; i < 100; i++) big();
      new Parameter(big()).value = zeros([1000]);
    })();
    expect(memory().tensors).toBeGreaterThan(before.tensors);
    for (let i = 0; i < 10 && memory().tensors > before.tensors; i++) await collectGarbage();
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
  });
});
