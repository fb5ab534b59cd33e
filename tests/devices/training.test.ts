// Training on every device: no growth of memory, nothing compiled or bound anew, the same numbers each time and nearly the same
// on all devices.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DeviceName } from "../../core/backends/backend.ts";
import type { WebgpuBackend } from "../../core/backends/webgpu/index.ts";
import { tensor } from "../../core/create.ts";
import { currentBackend, useDevice } from "../../core/device.ts";
import type { Parameter } from "../../core/parameter.ts";
import { normal, randomInt } from "../../core/random.ts";
import { type Memory, memory, openScope, scope } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { crossEntropy, sparsemaxLoss } from "../../losses/index.ts";
import { Dropout, Linear, type Module, Sequential } from "../../nn/index.ts";
import { relu, tanh } from "../../ops/elementwise.ts";
import { Adam, AdamW, type Optimizer, SGD } from "../../optim/index.ts";
import { collectGarbage, devices, place } from "../place.ts";
import { firstDifference, numbersOf } from "../suite/samples.ts";

type Batch = readonly [x: Tensor<[number, 20], "f32">, y: Tensor<[number], "i32">];

const batch = (rows: number, seed = 1): Batch => [
  normal([rows, 20], { seed }) as Batch[0],
  randomInt([rows], { seed: seed + 1, high: 5 }) as Batch[1],
];
const network = (seed = 0, p = 0.1) =>
  new Sequential(
    new Linear(20, 16, { seed }),
    relu,
    new Dropout(p, { seed }),
    new Linear(16, 5, { seed: seed + 1 }),
  );

/** Parameters as plain numbers, one after the other. */
const weightsOf = async (model: Module): Promise<number[]> =>
  (await numbersOf(...model.parameters().map(({ value }) => value))).flat();

/** Nothing has been added. What an earlier test has left may still be collected on the way. */
async function expectNoMore({ tensors, bytes }: Memory): Promise<void> {
  await collectGarbage();
  const now = memory();
  expect(now.tensors).toBeLessThanOrEqual(tensors);
  expect(now.bytes).toBeLessThanOrEqual(bytes);
}

afterEach(() => useDevice("wasm"));

const optimizers: readonly (readonly [name: string, make: (p: Parameter[]) => Optimizer])[] = [
  ["SGD", (p) => new SGD(p, { lr: 0.05 })],
  ["SGD with momentum", (p) => new SGD(p, { lr: 0.05, momentum: 0.9, nesterov: true })],
  ["Adam", (p) => new Adam(p, { lr: 3e-3 })],
  ["AdamW with amsgrad", (p) => new AdamW(p, { lr: 3e-3, amsgrad: true })],
];

describe.each(devices)("on %s", (device) => {
  beforeEach(async () => {
    await collectGarbage();
    await useDevice(device);
  });

  const steps = device === "webgpu" && place.page ? 300 : 2000;

  test(`${steps} steps of Adam leave not a tensor and not a byte, and compile and bind nothing`, async () => {
    const [x, y] = batch(32);
    const model = network();
    const adam = new Adam(model.parameters());
    let loss: Tensor | undefined;
    const train = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        loss = adam.minimize(() => crossEntropy(model.forward(x), y));
        if (i % 50 === 49) await loss.data();
      }
    };
    const backend = currentBackend();
    const gpu = device === "webgpu" ? (backend as WebgpuBackend) : undefined;
    await train(100);
    const [first] = await loss!.data();
    // Small values are on their way to the host for a moment longer.
    await collectGarbage();
    const [before, made] = [backend.memory(), gpu?.counts()];
    await train(steps);
    const [last] = await loss!.data();
    await collectGarbage();
    const after = backend.memory();
    expect(after.bytes).toBe(before.bytes);
    expect(after.pool).toBeLessThan(before.pool + 2 ** 16);
    expect(gpu?.counts().pipelines).toBe(made?.pipelines);
    expect(last).toBeLessThan(first!);
  });

  test.each(optimizers)("a hundred steps of %s leave not a tensor and not a byte", async (_, make) => {
    const [x, y] = batch(8);
    const model = network();
    const optimizer = make(model.parameters());
    const losses: Tensor[] = [];
    const train = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++)
        losses.push(optimizer.minimize(() => sparsemaxLoss(model.forward(x), y)));
      await Promise.all(losses.map((loss) => loss.data()));
    };
    await train(10);
    await collectGarbage();
    const before = memory();
    await train(100);
    await expectNoMore(before);
    const [first, last] = await numbersOf(losses[0]!, losses.at(-1)!);
    expect(last![0]).toBeLessThan(first![0]!);
  });

  test("evaluation in a scope, reading on the way, and a batch of another size leave nothing either", async () => {
    const model = network();
    const adam = new Adam(model.parameters());
    const round = async (): Promise<void> => {
      using _ = openScope();
      for (const [x, y] of [batch(32), batch(20)]) {
        const loss = adam.minimize(() => crossEntropy(model.forward(x), y));
        String(loss);
        const scores = scope(() => model.forward(x));
        await Promise.all([loss.data(), scores.data()]);
      }
    };
    await round();
    await collectGarbage();
    const before = memory();
    for (let i = 0; i < 10; i++) await round();
    await expectNoMore(before);
  });

  test("the same program gives the same numbers", async () => {
    const run = async (seed: number): Promise<number[]> => {
      const [x, y] = batch(16);
      const model = network(seed, 0.3);
      const adam = new Adam(model.parameters(), { lr: 0.01 });
      const losses = Array.from({ length: 20 }, () => adam.minimize(() => crossEntropy(model.forward(x), y)));
      return [...(await numbersOf(...losses)).flat(), ...(await weightsOf(model))];
    };
    const first = await run(0);
    expect(await run(0)).toEqual(first);
    expect(await run(1)).not.toEqual(first);
  });

  test("exclusive or is learned", async () => {
    const inputs = tensor([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]);
    const model = new Sequential(new Linear(2, 8, { seed: 3 }), tanh, new Linear(8, 2));
    const sgd = new SGD(model.parameters(), { lr: 0.5, momentum: 0.9, nesterov: true });
    let loss: Tensor | undefined;
    for (let i = 0; i < 200; i++)
      loss = sgd.minimize(() => crossEntropy(model.forward(inputs), [0, 1, 1, 0]));
    expect((await loss!.data())[0]).toBeLessThan(0.01);
  });
});

describe.skipIf(!devices.includes("webgpu"))("on WebGPU", () => {
  beforeEach(collectGarbage);

  test.each(optimizers)("forty steps of %s lead where those on WebAssembly lead", async (_, make) => {
    const run = async (device: DeviceName): Promise<number[]> => {
      await useDevice(device);
      const [x, y] = batch(16);
      const model = network(2, 0.2);
      const optimizer = make(model.parameters());
      const losses = Array.from({ length: 40 }, () =>
        optimizer.minimize(() => crossEntropy(model.forward(x), y)),
      );
      return [...(await numbersOf(...losses)).flat(), ...(await weightsOf(model))];
    };
    const want = await run("wasm");
    // Rounding is carried along from step to step.
    expect(firstDifference(await run("webgpu"), want, 1e-3)).toBeUndefined();
  });

  test("batches of other sizes compile nothing", async () => {
    await useDevice("webgpu");
    const gpu = currentBackend() as WebgpuBackend;
    const model = network();
    const adam = new Adam(model.parameters());
    const step = (rows: number): Promise<unknown> => {
      const [x, y] = batch(rows);
      return adam.minimize(() => crossEntropy(model.forward(x), y)).data();
    };
    for (const rows of [5, 32, 40, 100]) await step(rows);
    const { pipelines } = gpu.counts();
    for (const rows of [6, 31, 50, 90]) await step(rows);
    expect(gpu.counts().pipelines).toBe(pipelines);
  });

  test("a step of an MLP of three layers with Adam is at most 25 dispatches, one submit and no new bind group", async () => {
    await useDevice("webgpu");
    const gpu = currentBackend() as WebgpuBackend;
    const [x, y] = [normal([16, 98], { seed: 1 }), randomInt([16], { seed: 2, high: 10 })];
    const model = new Sequential(new Linear(98, 64), relu, new Linear(64, 32), relu, new Linear(32, 10));
    const adam = new Adam(model.parameters());
    const step = async (): Promise<void> => {
      await adam.minimize(() => crossEntropy(model.forward(x), y)).data();
      // The buffers of small values that a step replaces are free when these have come to the host.
      await new Promise((resolve) => setTimeout(resolve, 10));
    };
    // Buffers go round for a while until every step finds the same ones.
    for (let i = 0; i < 40; i++) await step();
    const before = gpu.counts();
    for (let i = 0; i < 10; i++) await step();
    const after = gpu.counts();
    expect((after.dispatches - before.dispatches) / 10).toBeLessThanOrEqual(25);
    expect(after.submits - before.submits).toBe(10);
    expect(after.bindGroups - before.bindGroups).toBe(0);
    expect(after.pipelines - before.pipelines).toBe(0);
  });
});
