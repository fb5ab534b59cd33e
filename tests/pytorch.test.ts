// Files that PyTorch wrote (`tests/pytorch/write.py`): the model of the same names takes them, says what PyTorch said, and
// writes them back to the last byte.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { tensor } from "../core/create.ts";
import { dtypes } from "../core/dtype.ts";
import type { Tensor } from "../core/tensor.ts";
import { fromSafetensors, Linear, type Module, Sequential, toSafetensors } from "../nn/index.ts";
import { relu } from "../ops/elementwise.ts";
import { firstDifference } from "./suite/samples.ts";

interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Each model of `tests/pytorch/models.py`, and its answer to the input there. */
const models: { readonly [name: string]: () => { model: Module; answer: (x: Numbers) => Tensor } } = {
  mlp: () => {
    const model = new Sequential(new Linear(5, 7), relu, new Linear(7, 3));
    return { model, answer: ({ data, shape }) => model.forward(tensor(data, { shape: shape as [4, 5] })) };
  },
};

describe.each(Object.entries(models))("%s", (name, make) => {
  const read = (type: string): Buffer => readFileSync(new URL(`pytorch/${name}.${type}`, import.meta.url));
  const file = new Uint8Array(read("safetensors"));
  const said = JSON.parse(String(read("json"))) as { readonly x: Numbers; readonly y: Numbers };

  test("says what PyTorch said, from PyTorch's file", () => {
    const { model, answer } = make();
    model.eval().loadStateDict(fromSafetensors(file).tensors);
    const y = answer(said.x);
    expect(y.shape).toEqual(said.y.shape);
    expect(firstDifference([...y.dataSync()], [...said.y.data], dtypes.f32.tolerance[0])).toBeUndefined();
  });

  test("what was loaded is written as the bytes of PyTorch", async () => {
    const { model } = make();
    model.loadStateDict(fromSafetensors(file).tensors);
    const written = await toSafetensors(model.stateDict(), { format: "pt" });
    expect(Buffer.from(written).equals(file)).toBe(true);
  });
});
