// What predicted probabilities are worth: accuracy, likelihood, calibration and sparsity. Plain arithmetic on the host.

import type { TestFigures } from "./table.ts";

/** The position of the first largest entry of row `row`. */
function answer(p: Float32Array, row: number, classes: number): number {
  let best = 0;
  for (let k = 1; k < classes; k++) if (p[row * classes + k]! > p[row * classes + best]!) best = k;
  return best;
}

/** The share of rows whose largest probability is that of the right class. `p` is [rows, classes] in row-major order. */
export function accuracy(p: Float32Array, labels: Int32Array, classes: number): number {
  let right = 0;
  labels.forEach((label, row) => {
    if (answer(p, row, classes) === label) right++;
  });
  return right / labels.length;
}

/**
 * The figures of one test set: negative log-likelihood in nats (Infinity where a true class has probability exactly 0), Brier
 * score (Brier 1950: squared distance to the one-hot label), expected calibration error over equal bins of confidence
 * (Naeini, Cooper & Hauskrecht 2015), mean support and share of exact zeros.
 */
export function testFigures(
  p: Float32Array,
  labels: Int32Array,
  classes: number,
  bins = 15,
): Omit<TestFigures, "stepsPerSecond"> {
  const rows = labels.length;
  let [nll, brier, zeros] = [0, 0, 0];
  /** For each bin the sum of (confidence − whether it was right): its size times the gap of its means. */
  const gaps = new Float64Array(bins);
  labels.forEach((label, row) => {
    for (let k = 0; k < classes; k++) {
      const q = p[row * classes + k]!;
      brier += (q - (k === label ? 1 : 0)) ** 2;
      if (q === 0) zeros++;
    }
    nll -= Math.log(p[row * classes + label]!);
    const best = answer(p, row, classes);
    const confidence = p[row * classes + best]!;
    // The bins are (0, 1/15], (1/15, 2/15], …
    const bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
    gaps[bin]! += confidence - (best === label ? 1 : 0);
  });
  return {
    accuracy: accuracy(p, labels, classes),
    nll: nll / rows,
    brier: brier / rows,
    ece: gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / rows,
    meanSupport: classes - zeros / rows,
    zeroShare: zeros / (rows * classes),
  };
}
