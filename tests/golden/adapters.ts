// From the op names of golden files to calls of this library: camelCase, and what stands in another place here. Layers, optimizers
// and losses of features have files beside this one. Knows no numbers of any case.

import { tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import * as ops from "../../ops/index.ts";
import { reshape } from "../../ops/index.ts";
import { type Adapter, type Adapters, camelCase, camelKeys, type Options, type Tensors } from "./adapter.ts";
import { candidates } from "./candidates.ts";
import { fusedLayers } from "./fused.ts";
import { layers } from "./layers.ts";
import { margins } from "./margins.ts";
import { optimizers } from "./optimizers.ts";
import { outputs } from "./outputs.ts";
import { sequenceLayers } from "./sequences.ts";

type Fn = (...args: unknown[]) => Tensor | Tensors;

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
const special: Adapters = {
  ...candidates,
  ...fusedLayers,
  ...layers,
  ...margins,
  ...optimizers,
  ...outputs,
  ...sequenceLayers,
  logsumexp: () => (inputs, call) => usual(find("logsumexp")!, { keepDims: true })(inputs, call),
  mellowmax: () => (inputs, call) => usual(find("mellowmax")!, { keepDims: true })(inputs, call),
  masked_softmax: () => masked("maskedSoftmax"),
  masked_log_softmax: () => masked("maskedLogSoftmax"),
  // From where on PyTorch gives x for its softplus: a matter of rounding, which needs no care here.
  softplus:
    () =>
    (inputs, { params: { threshold: _, ...params }, ...call }) =>
      usual(find("softplus")!, {})(inputs, { params, ...call }),
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

/** The adapter of an op of the golden files, or undefined. */
export function adapterOf(op: string): Adapter | undefined {
  const name = camelCase(op);
  const fn = find(name);
  const adapter = Object.hasOwn(special, op)
    ? special[op]!()
    : fn && usual(fn, Object.hasOwn(losses, name) ? none : {});
  return adapter && ((inputs, call) => adapter(inputs, { ...call, params: camelKeys(call.params) }));
}
