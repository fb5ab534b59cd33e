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
  (fn: unknown, without: readonly string[] = []): (() => Adapter) =>
  () =>
  ({ x, weight, target, ...tensors }, { params }) => {
    const { logits } = fn as AnyHead;
    const given = Object.entries({ ...params, ...tensors });
    const options = Object.fromEntries(given.filter(([key]) => !without.includes(key)));
    return {
      logits: logits(x, weight, target, options),
      loss_per_sample: (fn as AnyHead)(x, weight, target, { ...options, ...none }),
      loss: (fn as AnyHead)(x, weight, target, options),
    };
  };

/** A head with a step: what the step gives first, and the rest for that. */
const stepped =
  (head: unknown, state: string, more: readonly string[] = []) =>
  ({ x, weight, target }: Tensors, options: Options): Tensors => {
    const fn = head as AnyHead;
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

export const margins: Adapters = {
  cosine_softmax: head(losses.cosineSoftmax),
  l_softmax: head(losses.lSoftmax),
  sphereface: head(losses.sphereface),
  cosface: head(losses.cosface),
  arcface: head(losses.arcface),
  combined_margin: head(losses.combinedMargin),
  // The number of centres is that of the rows.
  subcenter_arcface: head(losses.subcenterArcface, ["subCenters"]),
  circle_loss_classes: head(losses.circleLossClasses, ["form"]),
  adacos:
    () =>
    (inputs, { params: { dynamic, previousScale }, floats }) => {
      const { x, weight, target } = inputs;
      if (dynamic)
        return stepped(losses.adacos, "scale")(inputs, previousScale ? { scale: previousScale } : {});
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
      stepped(losses.curricularface, "t", ["momentum"])(inputs, params),
  magface:
    () =>
    (inputs, { params }) => {
      const { magface } = losses;
      const { x } = inputs as { x: never };
      const { lA, uA, lM, uM } = params as { [name: string]: number };
      return {
        ...(head(magface)()(inputs, { params } as never) as Tensors),
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
