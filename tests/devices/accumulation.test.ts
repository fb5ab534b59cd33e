// Accumulation on every device: the steps of the plain device, what is collected moves along, and counts arrive.

import { describe, expect, test } from "vitest";
import { tensor } from "../../core/create.ts";
import { Parameter } from "../../core/parameter.ts";
import { square } from "../../ops/elementwise.ts";
import { Accumulation, Adam, SGD } from "../../optim/index.ts";
import { devices } from "../place.ts";
import { firstDifference, numbersOf } from "../suite/samples.ts";

describe.each(devices)("on %s", (device) => {
  test("the mean of mini-batches is stepped by, and what is collected moves with the optimizer", async () => {
    const w = new Parameter(tensor([1, -2, 3]));
    const parts = new Accumulation(new Adam([w], { lr: 0.1, eps: 0.5 }), { steps: 2 });
    const alone = new Parameter(tensor([1, -2, 3]));
    const adam = new Adam([alone], { lr: 0.1, eps: 0.5 });
    const g = [tensor([1, 2, 3]), tensor([3, 0, -1])];
    parts.step([g[0]]);
    w.value = await w.value.to(device);
    await parts.to(device);
    parts.step([await g[1]!.to(device)]);
    adam.step([tensor([2, 1, 1])]);
    expect(w.value.device).toBe(device);
    const [found, wanted] = await numbersOf(w.value, alone.value);
    expect(firstDifference(found!, wanted!, 1e-6)).toBeUndefined();
  });

  test("easy samples are counted, and the number follows, on a GPU as soon as they have arrived", async () => {
    const w = new Parameter(tensor([1, 0, 0, 0], { device }));
    const speed = new Accumulation(new SGD([w], { lr: 0 }), {
      window: 2,
      adapt: ({ samples, easy, previous }) => (samples === 8 && easy === 6 ? previous + 1 : 99),
    });
    for (let i = 0; i < 2; i++) await speed.minimize(() => square(w.value)).data();
    await w.value.data();
    expect(speed.steps).toBe(2);
  });
});
