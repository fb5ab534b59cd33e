// Golden adapters of layers.

import type { FloatDType } from "../../core/dtype.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../../core/tensor.ts";
import * as nn from "../../nn/index.ts";
import { type Adapter, type Adapters, type Tensors, withTensors } from "./adapter.ts";

type Floats = Tensor<Shape, FloatDType>;
type FloatsByName = { readonly [name: string]: Floats };

/** Where a layer for given tensors is made, and as what; a case of a refusal may give none. */
const like = (x: Floats | undefined): { readonly dtype?: FloatDType; readonly device?: Floats["device"] } =>
  x ? { dtype: x.dtype, device: x.device } : {};

/** The tensors that are there, by the names of the parameters that they become. */
const given = (tensors: { readonly [path: string]: Tensor | undefined }): Tensors =>
  Object.fromEntries(Object.entries(tensors).filter(([, t]) => t !== undefined)) as Tensors;

const run = (layer: nn.Module, x: Floats): Tensors => ({ out: layer.forward(x as never) as Tensor });

// ---------------------------------------------------------------------------------------------------------------
// Feed-forward layers

/** A pooling layer: the size of its windows has one name or another. */
const pool =
  (Pool: new (kernelSize: never, options: never) => nn.Module): Adapter =>
  ({ x }, { params: { kernel, kernelSize = kernel, stride, ...options } }) =>
    run(
      new Pool(kernelSize as never, { ...options, ...(stride == null ? {} : { stride }) } as never),
      x as Floats,
    );

/** A convolution; channels and kernel are those of the weights. */
const convolution =
  (Conv: typeof nn.Conv1d | typeof nn.Conv2d): Adapter =>
  (inputs, { params: { groups = 1, ...options } }) => {
    const { x, weight, bias } = inputs as FloatsByName;
    const [out, perGroup, ...taps] = weight!.shape as number[];
    const layer = new (Conv as new (...args: unknown[]) => nn.Module)(
      perGroup! * (groups as number),
      out,
      taps,
      {
        ...options,
        groups,
        bias: bias !== undefined,
        ...like(x),
      },
    );
    return run(withTensors(layer, given({ weight, bias })), x!);
  };

const feedForward: Adapters = {
  linear: () => (inputs) => {
    const { x, weight, bias } = inputs as FloatsByName;
    const [out, features] = weight!.shape as [number, number];
    const layer = new nn.Linear(features, out, { bias: bias !== undefined, ...like(x) });
    return run(withTensors(layer, given({ weight, bias })), x!);
  },
  dropout:
    () =>
    ({ x }, { params: { p, training } }) =>
      run(new nn.Dropout(p as number).train(training !== false), x as Floats),
  embedding:
    () =>
    (inputs, { params: { paddingIdx } }) => {
      const { index, weight } = inputs as FloatsByName;
      const options = {
        ...like(weight),
        ...(paddingIdx == null ? {} : { paddingIdx: paddingIdx as number }),
      };
      const [rows, features] = weight!.shape as [number, number];
      return run(withTensors(new nn.Embedding(rows, features, options), { weight: weight! }), index!);
    },
  layer_norm:
    () =>
    (inputs, { params: { normalizedShape, ...options } }) => {
      const { x, weight, bias } = inputs as FloatsByName;
      const shape = (normalizedShape ?? weight?.shape ?? [1]) as number[];
      const affine = { elementwiseAffine: weight !== undefined, bias: bias !== undefined };
      const layer = new nn.LayerNorm(shape, { ...options, ...affine, ...like(x) });
      return run(withTensors(layer, given({ weight, bias })), x!);
    },
  rms_norm:
    () =>
    (inputs, { params: { normalizedShape, ...options } }) => {
      const { x, weight } = inputs as FloatsByName;
      const shape = (normalizedShape ?? weight?.shape ?? [x?.shape.at(-1) ?? 1]) as number[];
      const layer = new nn.RMSNorm(shape, {
        ...options,
        elementwiseAffine: weight !== undefined,
        ...like(x),
      });
      return run(withTensors(layer, given({ weight })), x!);
    },
  batch_norm1d:
    () =>
    (inputs, { params: { training, ...options } }) => {
      const { x, weight, bias, running_mean: runningMean, running_var: runningVar } = inputs as FloatsByName;
      const { num_batches_tracked: numBatchesTracked } = inputs;
      const layer = new nn.BatchNorm1d((runningMean ?? weight)?.shape[0] ?? x?.shape[1] ?? 1, {
        ...options,
        affine: weight !== undefined,
        trackRunningStats: runningMean !== undefined,
        ...like(x),
      }).train(training !== false);
      withTensors(layer, given({ weight, bias, runningMean, runningVar, numBatchesTracked }));
      const out = run(layer, x!);
      return {
        ...out,
        ...given({
          new_running_mean: layer.runningMean?.value,
          new_running_var: layer.runningVar?.value,
          new_num_batches_tracked: layer.numBatchesTracked?.value,
        }),
      };
    },
  conv1d: () => convolution(nn.Conv1d),
  conv2d: () => convolution(nn.Conv2d),
  max_pool1d: () => pool(nn.MaxPool1d),
  max_pool2d: () => pool(nn.MaxPool2d),
  avg_pool1d: () => pool(nn.AvgPool1d),
  avg_pool2d: () => pool(nn.AvgPool2d),
};

// ---------------------------------------------------------------------------------------------------------------
// All

export const layers: Adapters = { ...feedForward };
