// Lifetimes: scopes free what they made except their results; small results survive; memory() counts.
import { describe, expect, test } from "vitest";
import { ones, range, tensor, zeros } from "../core/create.ts";
import { ArgumentError, LifetimeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { keep, memory, openScope, release, scope } from "../core/scope.ts";
import { grad, valueAndGrad } from "../core/tape.ts";
import type { Tensor } from "../core/tensor.ts";
import { sumTo } from "../core/views.ts";
import { add, mul, sub } from "../ops/elementwise.ts";

const big = (): Tensor<[1000], "f32"> => ones([1000]);
const living = (): number => memory().tensors;
const sum = (t: Tensor): Tensor => sumTo(t, []);

describe("a scope", () => {
  test("frees everything but what it returns", () => {
    const before = memory();
    const y = scope(() => {
      const x = big();
      add(x, x);
      return add(x, 1);
    });
    expect(memory()).toMatchObject({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    expect(y.dataSync()[999]).toBe(2);
  });

  test("finds its results in arrays, records and parameters, also nested", () => {
    const before = living();
    const result = scope(() => {
      const p = new Parameter(zeros([100]));
      return { list: [big(), [big()]], p, number: 3, text: "x", nothing: null, self: undefined as unknown };
    });
    expect(living()).toBe(before + 3);
    expect([result.list[0] as Tensor, ...(result.list[1] as Tensor[])].map((t) => t.dataSync()[0])).toEqual([
      1, 1,
    ]);
    expect(result.p.value.dataSync()[99]).toBe(0);
  });

  test("survives a result that refers to itself", () => {
    const loop: { t: Tensor; self?: unknown } = scope(() => {
      const loop: { t: Tensor; self?: unknown } = { t: big() };
      loop.self = loop;
      return loop;
    });
    expect(loop.t.dataSync()[0]).toBe(1);
  });

  test("hands its results to the scope outside, which frees them", () => {
    const before = living();
    let inner: Tensor | undefined;
    scope(() => {
      inner = scope(() => big());
      expect(inner.dataSync()[0]).toBe(1);
      expect(living()).toBe(before + 1);
    });
    expect(living()).toBe(before);
    expect(() => inner!.storage).toThrow(LifetimeError);
  });

  test("frees everything when its function throws", () => {
    const before = memory();
    expect(() =>
      scope(() => {
        add(big(), 1);
        throw new RangeError("own");
      }),
    ).toThrow("own");
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
    expect(living()).toBe(before.tensors);
  });

  test("leaves tensors from outside alone", () => {
    const x = big();
    const same = scope(() => x);
    expect(same.dataSync()[0]).toBe(1);
  });

  test("refuses a function that returns a promise, and frees what that made", () => {
    const before = living();
    expect(() => scope(async () => big())).toThrow(ArgumentError);
    expect(() => scope(async () => big())).toThrow(/a scope ends when the function returns; read with/);
    expect(living()).toBe(before);
  });

  test("works as a block", () => {
    const before = living();
    const f = (): Tensor => {
      using s = openScope();
      const x = big();
      return s.result(add(x, x));
    };
    const y = f();
    expect(living()).toBe(before + 1);
    expect(y.dataSync()[0]).toBe(2);
  });

  test("that is closed closes the ones still open inside, and closing twice does nothing", () => {
    const before = living();
    const outer = openScope();
    const inner = openScope();
    big();
    outer.close();
    expect(living()).toBe(before);
    inner.close();
    const after = scope(() => big());
    expect(after.dataSync()[0]).toBe(1);
  });

  test("views keep their memory alive without the tensor they show", () => {
    const before = memory();
    const view = scope(() => big().slice([0, 500]));
    expect(memory()).toMatchObject({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    expect(view.dataSync()[499]).toBe(1);
  });
});

describe("small tensors", () => {
  test("of at most 64 elements stay readable and usable", async () => {
    const losses: Tensor[] = [];
    const before = living();
    scope(() => {
      losses.push(sum(big()), tensor([[1, 2]]).transpose(), range(64));
    });
    expect(living()).toBe(before);
    expect(losses[0]!.item()).toBe(1000);
    expect(losses[1]!.toArray()).toEqual([[1], [2]]);
    expect(await losses[2]!.data()).toEqual(Float32Array.from({ length: 64 }, (_, i) => i));
    expect(String(losses[0])).toMatch(/1000/);
    scope(() => {
      expect(add(losses[1]! as Tensor<[2, 1], "f32">, 1).toArray()).toEqual([[2], [3]]);
      expect(losses[1]!.transpose().toArray()).toEqual([[1, 2]]);
    });
    expect(living()).toBe(before);
    expect(losses[1]!.toArray()).toEqual([[1], [2]]);
  });

  test("are not read back from what the rules of a gradient made", () => {
    const before = living();
    const g = grad((x: Tensor) => mul(x, mul(x, x)) as Tensor)(tensor(2));
    expect(g.item()).toBe(12);
    expect(living()).toBe(before + 2);
  });

  test("a larger one is gone with its scope", () => {
    let lost: Tensor | undefined;
    scope(() => {
      lost = range(65);
    });
    expect(() => lost!.dataSync()).toThrow(LifetimeError);
    expect(() => add(lost! as Tensor<[65], "f32">, 1)).toThrow(/tensor: its result of shape \[65\]/);
  });
});

describe("keep", () => {
  test("takes tensors out of every scope", () => {
    let kept: { t: Tensor; list: Tensor[] } | undefined;
    scope(() => {
      scope(() => {
        kept = keep({ t: big(), list: [big()] });
      });
    });
    expect([kept!.t, kept!.list[0]!].map((t) => t.dataSync()[0])).toEqual([1, 1]);
  });

  test("refuses what is freed already", () => {
    let lost: Tensor | undefined;
    scope(() => {
      lost = big();
    });
    expect(() => keep(lost)).toThrow(LifetimeError);
  });
});

describe("parameters", () => {
  test("hold their value across scopes, and free the old one with the scope that replaced it", () => {
    const before = memory();
    const p = scope(() => new Parameter(big()));
    expect(living()).toBe(before.tensors + 1);
    for (let i = 0; i < 5; i++) {
      scope(() => {
        p.value = add(p.value, 1);
        expect(living()).toBe(before.tensors + 2);
      });
      expect(memory()).toMatchObject({ tensors: before.tensors + 1, bytes: before.bytes + 4000 });
    }
    expect(p.value.dataSync()[0]).toBe(6);
  });

  test("do not free a tensor that belongs to somebody else", () => {
    const x = big();
    const [p, q] = [new Parameter(x), new Parameter(x)];
    q.value = p.value;
    scope(() => {
      p.value = zeros([1000]);
    });
    expect([x, q.value].map((t) => t.dataSync()[0])).toEqual([1, 1]);
  });

  test("leave a value alone that was kept", () => {
    const p = scope(() => new Parameter(big()));
    const start = keep(p.value);
    scope(() => {
      p.value = zeros([1000]);
    });
    expect([start, p.value].map((t) => t.dataSync()[0])).toEqual([1, 0]);
  });

  test("take views with a copy of their own", () => {
    const p = scope(() => new Parameter(range(200).reshape([2, 100]).transpose()));
    expect(p.value.slice(1).toArray()).toEqual([1, 101]);
  });

  test("a value that release gave up is gone, unless it is small", () => {
    const [large, small] = [big(), ones([3])];
    release(large);
    release(small);
    expect(() => large.dataSync()).toThrow(LifetimeError);
    expect(small.toArray()).toEqual([1, 1, 1]);
  });
});

test("five thousand steps of training leave tensors and bytes where they were", () => {
  const w = new Parameter(ones([10, 10]));
  const losses: Tensor[] = [];
  const step = (): void =>
    scope(() => {
      const { value, gradients } = valueAndGrad(() => sum(mul(w.value, w.value)), [w]);
      w.value = sub(w.value, mul(gradients[0]!, 0.01) as Tensor<[10, 10], "f32">);
      losses.push(value);
    });
  for (let i = 0; i < 10; i++) step();
  const before = memory();
  for (let i = 0; i < 5000; i++) step();
  const after = memory();
  expect([after.tensors, after.bytes, after.pool]).toEqual([before.tensors, before.bytes, before.pool]);
  expect(losses[0]!.item()).toBe(100);
  expect(losses.at(-1)!.item()).toBeLessThan(1e-6);
});

test("the garbage collector frees what lives outside every scope", async () => {
  const { gc } = globalThis as { gc?: () => void };
  const collect = gc ?? (await exposed());
  const before = memory();
  (() => {
    for (let i = 0; i < 100; i++) big();
    new Parameter(big()).value = big();
  })();
  expect(living()).toBeGreaterThan(before.tensors);
  for (let i = 0; i < 50 && living() > before.tensors; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(living()).toBeLessThanOrEqual(before.tensors);
  expect(memory().bytes).toBeLessThanOrEqual(before.bytes);
});

/** The collector by way of a flag set at run time, so that the suite needs no options. */
async function exposed(): Promise<() => void> {
  const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([
    import("node:v8"),
    import("node:vm"),
  ]);
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
