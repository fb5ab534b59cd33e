// SparseAdam: Adam whose moments stand still where there is no gradient. Is not Adam, whose moments decay everywhere.

import type { Tensor } from "../core/tensor.ts";
import { notEqual, where } from "../ops/elementwise.ts";
import { any } from "../ops/reduce.ts";
import { adamStep, twoMoments } from "./adam.ts";
import { checkShared } from "./checks.ts";
import { type Group, Optimizer, type Remembered, type Trained, type Turn } from "./optimizer.ts";

export interface SparseAdamOptions {
  /** Step size α ≥ 0; 0.001 by default. */
  readonly lr?: number;
  /** β₁ and β₂ in [0, 1): decay of the mean gradient and of the mean squared gradient; [0.9, 0.999] by default. */
  readonly betas?: readonly [number, number];
  /** ε ≥ 0, added to the root; 1e-8 by default. */
  readonly eps?: number;
  /** Climbs instead of descending. */
  readonly maximize?: boolean;
}

/**
 * Lazy Adam for tables of which a step reads a few rows: only those rows of parameter and moments change, at the cost of those
 * rows. m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², θ ← θ − α·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·m/(√v + ε), in which t counts the steps of the
 * whole table.
 *
 * Lazy is not dense: where Adam would let moments decay and go on moving a row that it saw before, this leaves it alone. A tensor
 * as the gradient stands for those of its rows that are not all zero. The conventions are PyTorch's; Adam divides √v by √(1 − β₂ᵗ)
 * before it adds ε, this does not. Throws DomainError for options out of range. Source: Kingma & Ba 2015, algorithm 1, in the order of the remark before §2.1.
 *
 * @example
 * const lazy = new SparseAdam([table], { lr: 1e-3 });
 * lazy.minimize(() => crossEntropy(matmul(take(table.value, words), w), y)); // changes the rows of `words`
 */
export class SparseAdam extends Optimizer<SparseAdamOptions> {
  constructor(params: Trained<SparseAdamOptions>, options: SparseAdamOptions = {}) {
    super("SparseAdam", params, options, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, maximize: false });
  }

  protected override check(options: Group<SparseAdamOptions>): void {
    checkShared(this.name, options);
  }

  protected override remembers(): Remembered {
    return twoMoments;
  }

  protected override leavesRows(): boolean {
    return true;
  }

  protected override update(turn: Turn<SparseAdamOptions>): readonly Tensor[] {
    const { theta, g, rows, options, t, moments } = turn;
    // ε joins the root as it is, not after a correction.
    const eps = options.eps / Math.sqrt(1 - options.betas[1] ** t);
    const made = adamStep({ ...turn, options: { ...options, eps, weightDecay: 0, amsgrad: false } }, 0, 1);
    if (rows) return made;
    const there = notEqual(g, 0);
    const axis = g.shape.map((_, i) => i).slice(1);
    const seen = axis.length > 0 ? any(there, { axis, keepDims: true }) : there;
    return [theta, ...moments].map((old, k) => where(seen as never, made[k] as never, old as never));
  }
}
