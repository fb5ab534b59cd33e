// Averages of weights: what they are, who sees them when, and that nothing of the model is lost meanwhile.

import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { ArgumentError, DomainError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { memory, scope } from "../core/scope.ts";
import { add, mul } from "../ops/elementwise.ts";
import { EMA } from "../optim/index.ts";

const make = (decay = 0.75) => {
  const w = new Parameter(tensor([1, 2]));
  return { w, average: new EMA([w], { decay }) };
};

test("an average begins at the values of now and follows them by its decay", () => {
  const { w, average } = make();
  w.value = add(w.value, 4);
  average.update();
  w.value = add(w.value, 4);
  average.update();
  expect(average.applyTo(() => w.value.toArray())).toEqual([1 + 1 + 0.25 * 7, 2 + 1 + 0.25 * 7]);
  expect(w.value.toArray()).toEqual([9, 10]);
  expect(average.updates).toBe(2);
});

test("the parameters have their own values again when the function throws, and when its promise is settled", async () => {
  const { w, average } = make();
  w.value = mul(w.value, 3);
  expect(() =>
    average.applyTo(() => {
      expect(w.value.toArray()).toEqual([1, 2]);
      throw new Error("mine");
    }),
  ).toThrow("mine");
  expect(w.value.toArray()).toEqual([3, 6]);
  const seen = average.applyTo(async () => {
    await null;
    return w.value.toArray();
  });
  expect(await seen).toEqual([1, 2]);
  expect(w.value.toArray()).toEqual([3, 6]);
  await expect(average.applyTo(() => Promise.reject(new Error("later")))).rejects.toThrow("later");
  expect(w.value.toArray()).toEqual([3, 6]);
});

test("swap exchanges both for good, and back; while they are exchanged nothing is averaged", () => {
  const { w, average } = make();
  w.value = mul(w.value, 3);
  average.swap();
  expect(w.value.toArray()).toEqual([1, 2]);
  for (const attempt of [
    () => average.update(),
    () => average.applyTo(() => 1),
    () => average.stateDict(),
    () => average.loadStateDict({}),
  ])
    expect(attempt).toThrow("the parameters hold the averages now; swap() them back first");
  average.swap();
  expect(w.value.toArray()).toEqual([3, 6]);
  average.update();
});

test("running statistics are averaged as well, counts are left alone", () => {
  const running = new Parameter(tensor([1]), { trainable: false });
  const count = new Parameter(tensor([1], { dtype: "i32" }), { trainable: false });
  const average = new EMA([running, count], { decay: 0.5 });
  running.value = tensor([3]);
  count.value = tensor([7], { dtype: "i32" });
  average.update();
  expect(average.applyTo(() => [running.value.item(), count.value.item()])).toEqual([2, 7]);
});

test("averages leave no memory behind", () => {
  const w = new Parameter(tensor(new Float32Array(1000)));
  const average = new EMA([w]);
  const again = (): void => {
    scope(() => {
      w.value = add(w.value, 1);
    });
    average.update();
    average.applyTo(() => w.value.size);
  };
  again();
  const { tensors, bytes } = memory();
  for (let i = 0; i < 20; i++) again();
  expect(memory()).toMatchObject({ tensors, bytes });
});

describe("what makes no sense is refused by name", () => {
  const w = new Parameter(tensor([1]));
  const cases: [() => unknown, new (...args: never[]) => Error, string][] = [
    [() => new EMA([w], { decay: 1.5 }), DomainError, "EMA: decay is 1.5; give a number in [0, 1]"],
    [() => new EMA([w], { rate: 1 } as never), ArgumentError, "EMA: there is no option rate"],
    [() => new EMA(w as never), ArgumentError, "EMA: a Parameter stands where parameters are wanted"],
    [() => new EMA([w.value as never]), ArgumentError, "EMA: entry 0 of the parameters is a Tensor"],
    [() => new EMA([w]).applyTo(3 as never), ArgumentError, "applyTo: 3 is not a function"],
  ];
  test.each(cases.map(([attempt, kind, message]) => ({ attempt, kind, message })))(
    "$message",
    ({ attempt, kind, message }) => {
      expect(attempt).toThrow(kind);
      expect(attempt).toThrow(message);
    },
  );
});
