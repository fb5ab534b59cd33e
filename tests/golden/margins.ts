// Golden adapters of margin, pair and prototype losses. Heads give their loss for each row, its mean, and their logits; what the
// files call by other names stands below.

import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import type { Adapter, Adapters, Options, Tensors } from "./adapter.ts";

type Call = (...args: readonly unknown[]) => Tensor;
type AnyHead = Call & { readonly logits: Call; readonly step: (...args: readonly unknown[]) => Tensors };

const none: Options = { reduction: "none" };

/** A head: labels may be inputs or params, and tensors other than features and rows are options. */
export const head =
  (name: "arcface", without: readonly string[] = []): (() => Adapter) =>
  () =>
  ({ x, weight, target, ...tensors }, { params }) => {
    const fn = losses[name] as unknown as AnyHead;
    const given = Object.entries({ ...params, ...tensors });
    const options = Object.fromEntries(given.filter(([key]) => !without.includes(key)));
    return {
      logits: fn.logits(x, weight, target, options),
      loss_per_sample: fn(x, weight, target, { ...options, ...none }),
      loss: fn(x, weight, target, options),
    };
  };

/** A head with a step: what the step gives first, and the rest for that. */
const stepped =
  (name: string, state: string, more: readonly string[] = []) =>
  ({ x, weight, target }: Tensors, options: Options): Tensors => {
    const fn = (losses as unknown as { readonly [name: string]: AnyHead })[name]!;
    const { loss, [state]: next } = fn.step(x, weight, target, options) as { [name: string]: Tensor };
    const kept = Object.entries(options).filter(([key]) => !more.includes(key));
    const after = { ...Object.fromEntries(kept), [state]: next };
    return {
      logits: fn.logits(x, weight, target, after),
      loss_per_sample: fn(x, weight, target, { ...after, ...none }),
      loss: loss!,
      [state]: next!,
    };
  };

const heads = [
  "cosine_softmax",
  "l_softmax",
  "sphereface",
  "cosface",
  "arcface",
  "combined_margin",
  "subcenter_arcface",
  "circle_loss_classes",
];

const camel = (name: string): "arcface" =>
  name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()) as "arcface";

export const margins: Adapters = {
  ...Object.fromEntries(heads.map((name) => [name, head(camel(name), ["subCenters", "form"])])),
  adacos:
    () =>
    (inputs, { params: { dynamic, previousScale }, floats }) => {
      const { x, weight, target } = inputs;
      if (dynamic) return stepped("adacos", "scale")(inputs, previousScale ? { scale: previousScale } : {});
      const scale = Math.SQRT2 * Math.log(weight!.shape[0]! - 1);
      const { adacos } = losses as unknown as { readonly adacos: AnyHead };
      return {
        logits: adacos.logits(x, weight, target),
        loss_per_sample: adacos(x, weight, target, none),
        loss: adacos(x, weight, target),
        scale: floats([scale], []),
      };
    },
  curricularface:
    () =>
    (inputs, { params }) =>
      stepped("curricularface", "t", ["momentum"])(inputs, params),
  magface:
    () =>
    (inputs, { params }) => {
      const { magface } = losses;
      const { x } = inputs as { x: never };
      const { lA, uA, lM, uM } = params as { [name: string]: number };
      return {
        ...(head("magface" as "arcface")()(inputs, { params } as never) as Tensors),
        margin: magface.margin(x, { lA, uA, lM, uM } as object),
        regularizer: magface.regularizer(x, { lA, uA } as object),
      };
    },
  circle_loss:
    () =>
    ({ z, label }, { params: { m, gamma } }) =>
      losses.circleLoss(z as never, label as never, { m, gamma } as never),
  center_loss:
    () =>
    ({ x, centers, target }, { params: { alpha } }) => {
      const step = losses.centerLoss.step as unknown as AnyHead["step"];
      const { loss, centers: moved } = step(x, centers, target, { alpha });
      return { loss: loss!, new_centers: moved! };
    },
  prototypical_loss:
    () =>
    ({ support, query, support_label, query_label }, { params: { nClasses, ...options } }) => {
      const prototypes = losses.prototypes(support as never, support_label as never, {
        classes: nClasses as number,
      });
      const fn = losses.prototypicalLoss as unknown as AnyHead;
      return {
        prototypes,
        logits: fn.logits(query, prototypes, query_label, options),
        loss: fn(query, prototypes, query_label, options),
      };
    },
  hyperspherical_prototype_loss:
    () =>
    ({ x, prototypes, target }) => {
      const fn = losses.hypersphericalPrototypeLoss as unknown as Call;
      return { loss_per_sample: fn(x, prototypes, target, none), loss: fn(x, prototypes, target) };
    },
  prototype_separation_loss:
    () =>
    ({ prototypes }) =>
      losses.prototypeSeparationLoss(prototypes as never),
};
