// Runs formulas by the plain reading, for tests of the language alone: no tensors, no tape.

import { runRows } from "../../core/backends/js/rows.ts";
import type { Formula, Runnable } from "../../core/formula.ts";

/** The results of a program on one row of n entries. */
export function read(runnable: Runnable, inputs: readonly (readonly number[])[], n: number): number[][] {
  const kernel = runnable.kernel("f64");
  const outputs = kernel.program.kinds.map((kind) => new Float64Array(kind === "row" ? n : 1));
  const operands = inputs.map((values) => ({
    array: Float64Array.from(values),
    offset: 0,
    rowStride: values.length,
  }));
  runRows(kernel, operands, outputs, 1, n);
  return outputs.map((out) => [...out]);
}

/** Σ cotangent · result: the number that gradients are of. */
function contract(
  formula: Formula,
  inputs: readonly (readonly number[])[],
  cotangents: readonly (readonly number[])[],
  n: number,
): number {
  let total = 0;
  read(formula.runnable, inputs, n).forEach((result, k) => {
    result.forEach((v, i) => {
      total += v * cotangents[k]![i]!;
    });
  });
  return total;
}

/** The gradient with respect to all inputs by central differences. */
export function differences(
  formula: Formula,
  inputs: readonly (readonly number[])[],
  cotangents: readonly (readonly number[])[],
  n: number,
  h = 1e-5,
): number[][] {
  return inputs.map((values, i) =>
    values.map((_, j) => {
      const at = (d: number): number =>
        contract(
          formula,
          inputs.map((v, k) => (k === i ? v.map((e, l) => (l === j ? e + d : e)) : v)),
          cotangents,
          n,
        );
      return (at(h) - at(-h)) / (2 * h);
    }),
  );
}

/** The derived gradient, once from saved values and once as a pure function of inputs and cotangents. */
export function derived(
  formula: Formula,
  inputs: readonly (readonly number[])[],
  cotangents: readonly (readonly number[])[],
  n: number,
): { saved: number[][]; pure: number[][] } {
  const gradient = formula.gradient((1 << inputs.length) - 1);
  const forward = read(gradient.forward, inputs, n);
  const operands = gradient.sources.map(({ from, at }) =>
    from === "input"
      ? inputs[at]!
      : from === "cotangent"
        ? cotangents[at]!
        : forward[from === "result" ? at : formula.results.length + at]!,
  );
  const computed = gradient.backward.program.results.length > 0 ? read(gradient.backward, operands, n) : [];
  const pure = computed.length > 0 ? read(gradient.pure.runnable, [...inputs, ...cotangents], n) : [];
  const part = (results: readonly number[][]): number[][] =>
    gradient.parts.map((p, i) => {
      if (p?.how === "computed") return results[p.at]!;
      return p?.how === "cotangent" ? [...cotangents[p.at]!] : inputs[i]!.map(() => 0);
    });
  return { saved: part(computed), pure: part(pure) };
}
