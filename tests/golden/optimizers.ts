// Golden adapters of optimizers, schedules and clipping.

import type { FloatDType } from "../../core/dtype.ts";
import { Parameter } from "../../core/parameter.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import * as ops from "../../ops/index.ts";
import { tanh } from "../../ops/index.ts";
import * as optim from "../../optim/index.ts";
import { type Adapter, type Adapters, camelKeys, type Options, stacked } from "./adapter.ts";

export const optimizers: Adapters = {
  sgd: () => trajectory((params, options) => new optim.SGD(params, options as never)),
  adam: () => trajectory((params, options) => new optim.Adam(params, options)),
  adamw: () => trajectory((params, options) => new optim.AdamW(params, options)),
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
        path[0]!.push(first.value);
        path[1]!.push(second.value);
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
      const { optimizer: name, steps, activation: _, loss: __, ...options } = params;
      const optimizer = name === "sgd" ? new optim.SGD(all, options as never) : new optim.AdamW(all, options);
      const loss: Tensor[] = [];
      for (let t = 0; t < (steps as number); t++) {
        loss.push(
          optimizer.minimize(() => {
            const hidden = tanh(
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

type Optimizer = { step(gradients: readonly Tensor[]): void };

/** The values of a parameter after each of the given gradients. */
const trajectory =
  (make: (params: readonly Parameter[], options: Options) => Optimizer): Adapter =>
  (inputs, { params, floats }) => {
    const { param = floats([1]), grad = floats([[1]]) } = inputs as {
      [name: string]: Tensor<Shape, FloatDType>;
    };
    const p = new Parameter(param);
    const optimizer = make([p], params);
    const path: Tensor[] = [];
    for (let t = 0; t < grad.shape[0]!; t++) {
      optimizer.step([grad.slice(t)]);
      path.push(p.value);
    }
    return { trajectory: stacked(path) };
  };
