// Golden adapters of output layers, sampling and contrastive losses.

import type { Tensor } from "../../core/tensor.ts";
import * as losses from "../../losses/index.ts";
import type { Adapters } from "./adapter.ts";
import { head } from "./margins.ts";

export const outputs: Adapters = {
  // Contrastive losses
  info_nce:
    () =>
    ({ query, key, target }, call) =>
      head("infoNce" as "arcface")()({ x: query!, weight: key!, target: target! }, call),
  nt_xent:
    () =>
    ({ z }, { params: { temperature } }) => {
      const fn = losses.ntXent as unknown as (...args: readonly unknown[]) => Tensor;
      return { loss_per_sample: fn(z, { temperature, reduction: "none" }), loss: fn(z, { temperature }) };
    },
  clip_loss:
    () =>
    ({ a, b, log_scale }) =>
      losses.clipLoss(a as never, b as never, { logScale: log_scale! }),
  sup_con_loss:
    () =>
    ({ z, label }, { params: { temperature } }) =>
      losses.supConLoss(z as never, label as never, { temperature: temperature as number }),
};
