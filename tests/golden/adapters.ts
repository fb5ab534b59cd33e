// From the op names of golden files to calls of this library: camelCase, and what stands in another place here.
// Knows no numbers of any case.

import { tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import { Parameter } from "../../core/parameter.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import * as nn from "../../nn/index.ts";
import * as ops from "../../ops/index.ts";
import { concat, reshape, tanh } from "../../ops/index.ts";
import * as optim from "../../optim/index.ts";

type Tensors = { readonly [name: string]: Tensor };
type Options = { readonly [name: string]: unknown };
type Fn = (...args: unknown[]) => Tensor | Tensors;

/** What an adapter is given besides the tensors. */
export interface Call {
  /** Arguments that are no tensors, by their names in camelCase. */
  readonly params: Options;
  /** The axis, where it is not the last. */
  readonly axis: { readonly axis?: number };
  /** Host numbers as floats of the element type that is checked. */
  readonly floats: (data: unknown, shape?: readonly number[]) => Tensor<Shape, FloatDType>;
}

/** Calls an op with what a case holds; several results by name. */
export type Adapter = (inputs: Tensors, call: Call) => Result | Promise<Result>;
type Result = Tensor | Tensors;

export const camelCase = (name: string): string =>
  name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** A function of the library by its name. */
function find(name: string): Fn | undefined {
  for (const module of [ops, losses] as readonly { readonly [name: string]: unknown }[]) {
    if (Object.hasOwn(module, name) && typeof module[name] === "function") return module[name] as Fn;
  }
  return undefined;
}

/** The first input is the first argument; labels, if any, the second; all else are options. */
const usual =
  (fn: Fn, reduction: Options): Adapter =>
  ({ x, ...rest }, { params: { target, ...options }, axis }) => {
    const all = { ...options, ...rest, ...axis, ...reduction };
    const args = [
      x,
      ...(target === undefined ? [] : [target]),
      ...(Object.keys(all).length > 0 ? [all] : []),
    ];
    return fn(...args);
  };

/** The same with another name, or with what is an input there as the second argument. */
const special: { readonly [op: string]: () => Adapter | undefined } = {
  logsumexp: () => (inputs, call) => usual(find("logsumexp")!, { keepDims: true })(inputs, call),
  mellowmax: () => (inputs, call) => usual(find("mellowmax")!, { keepDims: true })(inputs, call),
  masked_softmax: () => masked("maskedSoftmax"),
  masked_log_softmax: () => masked("maskedLogSoftmax"),
  entmax_rowwise: () => usual(find("entmax")!, {}),
  mixture_of_softmaxes:
    () =>
    ({ logits, prior_logits: prior }, { params: { components, n } }) =>
      ops.mixtureOfSoftmaxes(
        reshape(logits as Tensor<Shape, FloatDType>, [logits!.shape[0]!, components as number, n as number]),
        prior as Tensor<Shape, FloatDType>,
      ),
  soft_cross_entropy: () => soft("softCrossEntropy", "q"),
  fy_loss_soft: () => soft("entmaxLoss", "q"),
  multilabel_ce: () => ofSets("multilabelCe"),
  as_softmax_multilabel_loss: () => ofSets("asSoftmaxMultilabelLoss"),
  stopgrad_fy_loss:
    () =>
    (inputs, { params: { map, ...params }, ...call }) =>
      usual(find("stopgradFyLoss")!, none)(inputs, {
        params: { ...params, map: find(camelCase(map as string)) },
        ...call,
      }),
  ece: () => ofProbabilities("ece"),
  mce: () => ofProbabilities("mce"),
  brier_score_mean: () => ofProbabilities("brierScoreMean"),
  as_speed_steps:
    () =>
    async ({ state }, { params, floats }) => {
      const { lambda, maxSteps } = params as { lambda: number; maxSteps: number };
      const data = await state!.data();
      const steps = Array.from({ length: data.length / 3 }, (_, i) => {
        const [samples, easy, previous] = data.subarray(3 * i, 3 * i + 3) as unknown as [
          number,
          number,
          number,
        ];
        return losses.asSpeedSteps({ samples, easy, previous, lambda, maxSteps });
      });
      return floats(steps);
    },
  weighted_cross_entropy: () => withFloats("weightedCrossEntropy", "weights"),
  logit_adjusted_ce: () => withFloats("logitAdjustedCe", "priors"),
  js_divergence:
    () =>
    ({ logits }, { params: { n, weights } }) =>
      find("jsDivergence")!(reshape(logits!, [logits!.shape[0]!, -1, n as number]), { weights, ...none }),
  bce_with_logits: () => ofEntries("bceWithLogits"),
  binary_focal: () => ofEntries("binaryFocal"),
  focal: () => withFloats("focal", "alpha"),
  policy_gradient_entropy: () => withFloats("policyGradientEntropy", "advantage"),
  kl_divergence_logits: () => soft("klDivergenceLogits", "y"),
  kd_kl: () => distillation("kdKl"),
  kd_composite: () => distillation("kdComposite"),
  balanced_softmax_ce: () => withFloats("balancedSoftmaxCe", "counts"),

  linear: () => (inputs) => {
    const { x, weight, bias } = inputs as { [name: string]: Tensor<Shape, FloatDType> };
    const layer = new nn.Linear(weight!.shape[1]!, weight!.shape[0]!, {
      bias: bias !== undefined,
      dtype: x!.dtype,
      device: x!.device,
    });
    // The tensors themselves, so that their gradients are found.
    const own = layer as unknown as {
      weight: { readonly value: Tensor };
      bias: { readonly value: Tensor } | null;
    };
    own.weight = { value: weight! };
    if (bias) own.bias = { value: bias };
    return { out: layer.forward(x as never) };
  },
  dropout:
    () =>
    ({ x }, { params: { p, training } }) => {
      const layer = new nn.Dropout(p as number);
      if (training === false) layer.eval();
      return { out: layer.forward(x as Tensor<Shape, FloatDType>) };
    },

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

const none: Options = { reduction: "none" };

/** A map whose mask is its second argument. */
function masked(name: string): Adapter | undefined {
  const fn = find(name);
  return (
    fn &&
    (({ x }, { params, axis }) => {
      const mask = Uint8Array.from(
        (params.mask as readonly (number | boolean)[]).flat(9) as number[],
        Number,
      );
      return fn(x, tensor(mask, { shape: x!.shape as number[], dtype: "bool", device: x!.device }), axis);
    })
  );
}

/** A metric of probabilities. */
const ofProbabilities =
  (name: string): Adapter =>
  ({ probs, ...inputs }, call) =>
    usual(find(name)!, {})({ ...inputs, x: probs! }, call);

/** A loss against sets of classes. */
const ofSets =
  (name: string): Adapter =>
  ({ x }, { params: { targets, ...params } }) => {
    const sets = Uint8Array.from((targets as number[][]).flat());
    const target = tensor(sets, { shape: x!.shape as number[], dtype: "bool", device: x!.device });
    return find(name)!(x, target, { ...params, ...none });
  };

/** A loss against a distribution. */
const soft =
  (name: string, target: string): Adapter =>
  (inputs, { params, ...call }) => {
    const { [target]: q, ...rest } = inputs;
    return usual(find(name)!, none)(rest, { params: { ...params, target: q }, ...call });
  };

/** A loss of single entries, each with a target of its own. */
const ofEntries =
  (name: string): Adapter =>
  ({ x }, { params: { targets, ...params }, ...call }) => {
    const target = call.floats((targets as number[][]).flat(), x!.shape);
    return usual(find(name)!, none)({ x: x! }, { params: { ...params, target }, ...call });
  };

/** A loss of a student: the teacher stands in the second place, unless labels do. */
const distillation =
  (name: string): Adapter =>
  ({ student, teacher }, { params, ...call }) =>
    usual(find(name)!, none)(
      { x: student! },
      {
        params: { ...params, [params.target === undefined ? "target" : "teacher"]: teacher },
        ...call,
      },
    );

/** A loss of which some options are tensors, where files hold arrays. */
const withFloats =
  (name: string, ...options: readonly string[]): Adapter =>
  (inputs, { params, ...call }) => {
    const given = Object.entries(params).map(([key, value]) => [
      key,
      options.includes(key) && Array.isArray(value) ? call.floats(value) : value,
    ]);
    return usual(find(name)!, none)(inputs, { params: Object.fromEntries(given), ...call });
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

const stacked = (tensors: readonly Tensor[]): Tensor =>
  concat(tensors.map((t) => reshape(t, t.size === 1 && t.rank === 0 ? [1] : [1, ...t.shape])) as never[]);

const camelKeys = (options: Options): Options =>
  Object.fromEntries(Object.entries(options).map(([key, value]) => [camelCase(key), value]));

/** The adapter of an op of the golden files, or undefined. */
export function adapterOf(op: string): Adapter | undefined {
  const name = camelCase(op);
  const fn = find(name);
  const adapter = Object.hasOwn(special, op)
    ? special[op]!()
    : fn && usual(fn, Object.hasOwn(losses, name) ? none : {});
  return adapter && ((inputs, call) => adapter(inputs, { ...call, params: camelKeys(call.params) }));
}
