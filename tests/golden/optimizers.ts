// Golden adapters of optimizers, schedules and clipping.

import { tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import { Parameter } from "../../core/parameter.ts";
import { RowSparse } from "../../core/rowsparse.ts";
import type { Shape } from "../../core/shape.ts";
import { copyOf, type Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import type { tanh } from "../../ops/index.ts";
import * as ops from "../../ops/index.ts";
import * as optim from "../../optim/index.ts";
import { schedules } from "../../optim/index.ts";
import {
  type Adapter,
  type Adapters,
  camelCase,
  camelKeys,
  type Options,
  stacked,
  type Tensors,
} from "./adapter.ts";

type Method = new (params: readonly Parameter[], options: never) => optim.Optimizer;

const methods: { readonly [name: string]: Method } = {
  sgd: optim.SGD,
  adam: optim.Adam,
  adamw: optim.AdamW,
  adagrad: optim.Adagrad,
  rmsprop: optim.RMSprop,
  adamax: optim.Adamax,
  nadam: optim.NAdam,
  radam: optim.RAdam,
  adadelta: optim.Adadelta,
  lion: optim.Lion,
};

export const optimizers: Adapters = {
  ...Object.fromEntries(Object.keys(methods).map((name) => [name, () => trajectory(methods[name]!)])),
  sparse_sgd: () => ofRows(optim.SGD),
  sparse_adagrad: () => ofRows(optim.Adagrad),
  sparse_adam: () => ofRows(optim.SparseAdam),
  step_lr: () => rates((o) => schedules.step(o as never)),
  multi_step_lr: () => rates((o) => schedules.multiStep(o as never)),
  exponential_lr: () => rates((o) => schedules.exponential(o as never)),
  cosine_lr: () => rates((o) => schedules.cosine(o as never)),
  cosine_restarts_lr: () => rates((o) => schedules.cosineRestarts(o as never)),
  linear_lr: () => rates((o) => schedules.linear(o as never)),
  polynomial_lr: () => rates((o) => schedules.polynomial(o as never)),
  warmup_cosine_lr: () => rates((o) => schedules.warmupCosine(o as never)),
  inverse_sqrt_lr: () => rates((o) => schedules.inverseSqrt(o as never)),
  one_cycle:
    () =>
    (_, { params, wanted, floats }) => {
      const { lr, baseLr } = params as { [name: string]: number };
      // With a momentum, so that the schedule of it has something to set.
      const sgd = new optim.SGD([new Parameter(floats([1]))], { lr: lr ?? baseLr ?? 0.1, momentum: 0.9 });
      const { lr: rate, momentum: inertia } = schedules.oneCycle(renamed(params) as never);
      const both = params.cycleMomentum === false ? { lr: rate } : { lr: rate, momentum: inertia };
      const scheduler = new optim.Scheduler(sgd, both);
      const path = Array.from({ length: wanted.lr?.[0] ?? 0 }, () => {
        const { lr, momentum } = sgd.groups[0]!;
        scheduler.step();
        return [lr, momentum];
      });
      return {
        lr: floats(path.map(([lr]) => lr)),
        momentum: floats(path.map(([, momentum]) => momentum)),
      };
    },
  plateau_lr:
    () =>
    ({ metric }, { params: { baseLr, lr = baseLr, ...options }, floats }) => {
      const sgd = new optim.SGD([new Parameter(floats([1]))], { lr: lr as number });
      const plateau = new optim.Plateau(sgd, options);
      const run = (metrics: ArrayLike<number>): Tensors => ({
        lr: floats(
          Array.from(metrics, (value) => {
            const used = sgd.groups[0]!.lr;
            plateau.step(value);
            return used;
          }),
        ),
      });
      return metric!.data().then(run);
    },
  clip_grad_norm:
    () =>
    (inputs, { params: { maxNorm, eps: _, ...options } }) => {
      const names = Object.keys(inputs);
      const { gradients, norm } = optim.clipGradNorm(Object.values(inputs), maxNorm as number, options);
      return { ...Object.fromEntries(names.map((name, i) => [name, gradients[i]!])), total_norm: norm };
    },
  clip_grad_value:
    () =>
    (inputs, { params: { clipValue } }) => {
      const gradients = optim.clipGradValue(Object.values(inputs), clipValue as number);
      return Object.fromEntries(Object.keys(inputs).map((name, i) => [name, gradients[i]!]));
    },
  param_groups_adamw:
    () =>
    (inputs, { params }) => {
      const { a, b, grad_a: gradA, grad_b: gradB } = inputs as { [name: string]: Tensor<Shape, FloatDType> };
      const [first, second] = [new Parameter(a!), new Parameter(b!)];
      const [one, other] = (params.groups as Options[]).map(camelKeys);
      const optimizer = new optim.AdamW([
        { params: [first], ...one },
        { params: [second], ...other },
      ]);
      const path: Tensor[][] = [[], []];
      for (let t = 0; t < gradA!.shape[0]!; t++) {
        // The second has no gradient on every third step.
        optimizer.step([gradA!.slice(t), t % 3 === 0 ? undefined : gradB!.slice(t)]);
        path[0]!.push(copyOf(first.value));
        path[1]!.push(copyOf(second.value));
      }
      return { a: stacked(path[0]!), b: stacked(path[1]!) };
    },
  train_mlp:
    () =>
    (inputs, { params }) => {
      const { x, target, ...initial } = inputs as { [name: string]: Tensor<Shape, FloatDType> };
      const [w1, b1, w2, b2] = ["w1", "b1", "w2", "b2"].map((name) => new Parameter(initial[name]!)) as [
        Parameter,
        Parameter,
        Parameter,
        Parameter,
      ];
      const all = [w1, b1, w2, b2];
      const { optimizer: name, steps, activation, loss: _, ...options } = params;
      const optimizer = new methods[name as string]!(all, own(options) as never);
      const bend = (ops as unknown as { [name: string]: typeof tanh })[camelCase(activation as string)]!;
      const loss: Tensor[] = [];
      for (let t = 0; t < (steps as number); t++) {
        loss.push(
          optimizer.minimize(() => {
            const hidden = bend(
              ops.add(ops.matmul(x!, w1.value.transpose()), b1.value as never) as Tensor<Shape, FloatDType>,
            );
            const scores = ops.add(ops.matmul(hidden, w2.value.transpose() as never), b2.value as never);
            return losses.crossEntropy(
              scores as Tensor<[number, number], FloatDType>,
              target as unknown as Tensor<Shape, "i32">,
            );
          }),
        );
      }
      return {
        loss: stacked(loss),
        final_w1: w1.value,
        final_b1: b1.value,
        final_w2: w2.value,
        final_b2: b2.value,
      };
    },
};

/** Options without those that say how PyTorch is to compute. */
const own = ({
  foreach: _,
  capturable: __,
  differentiable: ___,
  fused: ____,
  ...options
}: Options): Options => options;

/** The values of a parameter after each of the given gradients. */
const trajectory =
  (method: Method): Adapter =>
  (inputs, { params, floats }) => {
    const { param = floats([1]), grad = floats([[1]]) } = inputs as {
      [name: string]: Tensor<Shape, FloatDType>;
    };
    const p = new Parameter(param);
    const optimizer = new method([p], own(params) as never);
    const path: Tensor[] = [];
    for (let t = 0; t < grad.shape[0]!; t++) {
      optimizer.step([grad.slice(t)]);
      path.push(copyOf(p.value));
    }
    return { trajectory: stacked(path) };
  };

/** A table after some of the steps, each by the gradients of a few rows. */
const ofRows =
  (method: Method): Adapter =>
  (inputs, { params, floats }) => {
    const { recordedSteps, ...options } = params;
    const { weight = floats([[1]]), row_grad: grad = floats([[[1]]]) } = inputs as {
      [name: string]: Tensor<Shape, FloatDType>;
    };
    const p = new Parameter(weight);
    const optimizer = new method([p], own(options) as never);
    const { row_ids: ids } = inputs as { [name: string]: Tensor<Shape, "i32"> };
    const path: Tensor[] = [];
    const run = async (): Promise<Tensors> => {
      const [steps, size] = ids!.shape as readonly number[] as [number, number];
      const named = await ids!.data();
      for (let t = 0; t < steps; t++) {
        // On a GPU rows are known where they came from the host.
        const rows = tensor(named.slice(t * size, (t + 1) * size), { device: ids!.device });
        optimizer.step([new RowSparse(weight.shape, rows, grad.slice(t))]);
        if ((recordedSteps as number[] | undefined)?.includes(t + 1) ?? true) path.push(copyOf(p.value));
      }
      return { weight_at: stacked(path) };
    };
    return run();
  };

/** Options of schedules under the names that all of them share here. */
function renamed(options: Options): Options {
  const names: Options = {
    tMax: "total",
    totalIters: "total",
    totalSteps: "total",
    etaMin: "min",
    maxLr: "max",
    annealStrategy: "anneal",
  };
  const { baseLr: _, lr: __, lastEpoch: ___, cycleMomentum: ____, ...rest } = options;
  return Object.fromEntries(Object.entries(rest).map(([name, value]) => [names[name] ?? name, value]));
}

/** The rates of a schedule from step 0 on. */
const rates =
  (make: (options: Options) => optim.Schedule): Adapter =>
  (_, { params, wanted, floats }) => {
    const { baseLr, lr = baseLr } = params;
    const schedule = make(renamed(params));
    return { lr: floats(Array.from({ length: wanted.lr?.[0] ?? 0 }, (_, t) => schedule(t, lr as number))) };
  };
