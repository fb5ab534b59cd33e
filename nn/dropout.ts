// Dropout: noise against co-adaptation, while training only.

import type { FloatDType } from "../core/dtype.ts";
import { DomainError, showValue } from "../core/errors.ts";
import { map } from "../core/map.ts";
import { checkFloat, checkOptions } from "../core/op.ts";
import { type Key, split, uniform } from "../core/random.ts";
import { div, greaterEqual, select, sub } from "../core/row/expr.ts";
import type { Shape } from "../core/shape.ts";
import { checkTensor, type Tensor } from "../core/tensor.ts";
import { type LayerRandomness, layerKey } from "./keys.ts";
import { Module } from "./module.ts";

type Drop = (x: Tensor, u: Tensor, numbers: { p: number }) => Tensor;

/** Where u < p the entry is dropped; dividing the others by 1 − p keeps the expectation. */
const drop: Drop = /* @__PURE__ */ map<Drop>("dropout", {
  doc: "Entries kept with probability 1 − p, and scaled so that the expectation stays.",
  inputs: ["x", "u"],
  params: { p: 0.5 },
  program: ({ x, u, p }) => select(greaterEqual(u!, p!), div(x!, sub(1, p!)), 0),
  examples: [],
});

/**
 * While training, sets each entry to 0 with probability `p` and divides the others by 1 − p (Srivastava et al. 2014, inverted);
 * passes everything otherwise.
 *
 * Its randomness is its `key`: each training pass splits it and goes on with one half. The same seed (0 by default) drops the
 * same entries on every run and device, and setting `key` back repeats them. Two layers of one model need two seeds.
 *
 * @example
 * const model = new Sequential(new Linear(784, 128), relu, new Dropout(0.5, { seed: 1 }), new Linear(128, 10));
 * model.eval(); // nothing is dropped from now on
 */
export class Dropout extends Module {
  /** The probability of 0. */
  readonly p: number;
  /** What the next pass draws from. */
  key: Key;

  constructor(p = 0.5, options: LayerRandomness = {}) {
    super();
    if (typeof p !== "number" || !(p >= 0 && p <= 1))
      throw new DomainError("Dropout", `p is ${showValue(p)}`, "a probability lies between 0 and 1");
    checkOptions("Dropout", options, ["key", "seed"]);
    this.p = p;
    this.key = layerKey("Dropout", options);
  }

  override forward<S extends Shape, D extends FloatDType>(x: Tensor<S, D>): Tensor<S, D> {
    checkTensor("Dropout", x);
    const dtype = checkFloat("Dropout", x);
    if (!this.training || this.p === 0) return x;
    const [next, now] = split(this.key);
    this.key = next!;
    return drop(x, uniform(x.shape, { key: now!, dtype, device: x.device }), { p: this.p }) as Tensor<S, D>;
  }

  protected override shown(): string {
    return `p=${this.p}`;
  }
}
