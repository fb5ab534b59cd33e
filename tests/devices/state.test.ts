// State on every device: out of it, through a file, and onto another.

import { describe, expect, test } from "vitest";
import { tensor } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { DeviceError } from "../../core/errors.ts";
import { normal } from "../../core/random.ts";
import { crossEntropy } from "../../losses/index.ts";
import {
  batches,
  Dropout,
  fromCheckpoint,
  fromSafetensors,
  Linear,
  Sequential,
  toCheckpoint,
  toSafetensors,
  trainTestSplit,
} from "../../nn/index.ts";
import { AdamW, EMA, Scheduler } from "../../optim/index.ts";
import { numbersOf, settings } from "../suite/samples.ts";

describe.each(settings)("on $device in $dtype", ({ device, dtype }) => {
  const model = (seed: number) =>
    new Sequential(new Linear(20, 9, { seed, device, dtype }), new Dropout(0.5, { seed }));

  test("a file of a model's state brings it to another model, from whichever device", async () => {
    const [one, other] = [model(1), model(2)];
    const bytes = await toSafetensors(one.stateDict());
    const { tensors } = fromSafetensors(bytes, { device: "js" });
    other.loadStateDict(tensors);
    expect(other.layers[0].weight.value.device).toBe(device);
    expect(await toSafetensors(other.stateDict())).toEqual(bytes);
    const third = model(3);
    third.loadStateDict(one.stateDict());
    expect(await toSafetensors(third.stateDict())).toEqual(bytes);
  });

  test("a checkpoint is read wherever the parts live", async () => {
    const [one, other] = [model(1), model(2)];
    const x = normal([5, 20], { seed: 0, device, dtype });
    const train = batches({ x }, { size: 2 });
    one.forward(x);
    train.next();
    const bytes = await toCheckpoint({ model: one, train });
    const resumed = batches({ x }, { size: 2, seed: 5 });
    fromCheckpoint(bytes, { model: other, train: resumed });
    const [want, got] = await numbersOf(one.forward(train.next().x), other.forward(resumed.next().x));
    expect(got).toEqual(want);
  });

  test("a training that was stopped goes on with the same bits: weights, moments, rates, averages, noise and order", async () => {
    const x = normal([24, 20], { seed: 0, device, dtype });
    const labels = Int32Array.from({ length: 24 }, (_, i) => (i * i) % 9);
    const training = (seed: number) => {
      const net = model(seed);
      const adam = new AdamW(net.parameters(), { lr: 0.05, amsgrad: true });
      const schedule = new Scheduler(adam, { lr: (t, lr) => lr / (1 + t) });
      const average = new EMA(net.parameters(), { decay: 0.8 });
      const train = batches({ x, labels }, { size: 7, seed });
      return { model: net, adam, schedule, average, train };
    };
    const steps = (run: ReturnType<typeof training>, count: number): void => {
      for (let i = 0; i < count; i++) {
        const rows = run.train.next();
        run.adam.minimize(() => crossEntropy(run.model.forward(rows.x as never) as never, rows.labels));
        run.schedule.step();
        run.average.update();
      }
    };
    const straight = training(1);
    steps(straight, 5);
    const bytes = await toCheckpoint(straight);
    steps(straight, 6);
    const resumed = training(2);
    fromCheckpoint(bytes, resumed);
    steps(resumed, 6);
    expect(await toCheckpoint(resumed)).toEqual(await toCheckpoint(straight));
    expect(await toCheckpoint(straight)).not.toEqual(bytes);
  });

  test("rows are taken where the data live", async () => {
    const x = normal([10, 3], { seed: 0, device, dtype });
    const y = tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], { dtype: "i32", device });
    const { train, test: tested } = trainTestSplit(
      { x, y, i: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] },
      { test: 4, stratify: "y" },
    );
    const [all, some, labels] = await numbersOf(x, tested.x, tested.y);
    expect([tested.x.device, train.x.shape, labels!.toSorted()]).toEqual([device, [6, 3], [0, 0, 1, 1]]);
    expect(some).toEqual(tested.i.flatMap((i) => all!.slice(3 * i, 3 * i + 3)));
    // Integers that came from the host can be read there at once: losses check class indices.
    const pairs = tensor(
      Int32Array.from({ length: 20 }, (_, i) => i),
      { shape: [10, 2], device },
    );
    for (const { pair, i } of batches({ pair: pairs, i: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }, { size: 4 }))
      expect([...pair.dataSync()]).toEqual(i.flatMap((row) => [2 * row, 2 * row + 1]));
  });

  test("a state on a GPU is brought over before it is loaded elsewhere", async () => {
    const elsewhere = new Linear(20, 9, { device: "js", dtype });
    const dict = model(1).layers[0].stateDict();
    if (device !== "webgpu") expect(elsewhere.loadStateDict(dict).missing).toEqual([]);
    else {
      expect(() => elsewhere.loadStateDict(dict)).toThrow(DeviceError);
      expect(() => elsewhere.loadStateDict(dict)).toThrow(
        'weight lives on webgpu, where reading takes a moment; bring it to the CPU first: await t.to("wasm")',
      );
      const file = await toSafetensors({ x: tensor([1], { dtype: "f64", device: "js" }) });
      expect(() => fromSafetensors(file, { device })).toThrow(
        '"x" is F64, and webgpu has no f64; read it with { device: "wasm" }',
      );
      await useDevice("webgpu");
      expect(new Sequential(new Dropout()).randomState()["0.key"]!.device).toBe("js");
      await useDevice("wasm");
    }
  });
});
