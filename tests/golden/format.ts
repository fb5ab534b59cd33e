// The two formats of golden files, read into one: named inputs, named outputs, cotangents and gradients.
// Knows no op.

/** An array of a file with its sizes and element type. */
export interface Numbers {
  readonly dtype: "float" | "i32" | "bool";
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

type Named = { readonly [name: string]: Numbers };

/** One case, whichever format it came in. */
export interface Case {
  readonly id: string;
  readonly op: string;
  /** Arguments that are no tensors, by the names of the file; numbers and arrays in them are decoded. */
  readonly params: { readonly [name: string]: unknown };
  readonly axis: number;
  readonly inputs: Named;
  readonly upstream: Named;
  readonly outputs: Named;
  readonly grads: Named;
  readonly tol: Tolerance;
  /** Words of the message of the error that must be thrown. */
  readonly throws?: readonly string[];
  /** How results in f32 are compared: by tolerance relative to the largest entry, or only whether they are finite and zero alike. */
  readonly f32: "tolerance" | "kind";
}

/** Accepts |got − want| ≤ atol + rtol·|want|. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** Both formats state the same tolerance for f32, gradients getting ten times as much. */
export const toleranceF32: Tolerance = { rtol: 2e-4, atol: 2e-5 };

/** Tags of cases that ask for more digits than f32 has. */
const beyondF32: readonly string[] = [
  "big",
  "tiny",
  "subnormal",
  "extreme",
  "one-ulp",
  "gap",
  "kink",
  "scale",
  "near-softmax saturated",
];

interface RawArray {
  readonly dtype?: "f64" | "i32" | "bool";
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}

interface RawCase {
  readonly id: string;
  readonly op: string;
  readonly axis?: number;
  readonly params?: { readonly [name: string]: unknown };
  readonly inputs?: { readonly [name: string]: RawArray };
  readonly upstream?: RawArray | { readonly [name: string]: RawArray };
  readonly output?: RawArray;
  readonly outputs?: { readonly [name: string]: RawArray };
  readonly grads?: { readonly [name: string]: RawArray };
  readonly tol?: Tolerance;
  readonly tags?: readonly string[];
  readonly throws?: readonly string[];
  readonly f64_only?: boolean;
}

/** Numbers as JSON holds them: the ones without a decimal form are words. */
function decode(value: unknown): unknown {
  if (value === "nan") return Number.NaN;
  if (value === "inf") return Number.POSITIVE_INFINITY;
  if (value === "-inf") return Number.NEGATIVE_INFINITY;
  return Array.isArray(value) ? value.map(decode) : value;
}

const array = ({ dtype, shape, data }: RawArray): Numbers => ({
  dtype: dtype === "i32" || dtype === "bool" ? dtype : "float",
  shape,
  data: Float64Array.from(data.map(decode) as number[]),
});

const arrays = (record: { readonly [name: string]: RawArray } = {}): Named =>
  Object.fromEntries(Object.entries(record).map(([name, raw]) => [name, array(raw)]));

/** The cases of a golden file. */
export function readCases(text: string, file: string): Case[] {
  const raw = JSON.parse(text) as { format?: string; cases?: readonly RawCase[] };
  const first = raw.format === "softalt-golden/1";
  if (!first && raw.format !== "softalt-golden-layers/1")
    throw new Error(`${file}: the format ${raw.format} is not known; give a golden file`);
  return (raw.cases ?? []).map((c): Case => {
    const inputs = arrays(c.inputs);
    const small = Object.values(inputs).every(({ data }) =>
      data.every((v) => Number.isNaN(v) || Math.abs(v) <= 50),
    );
    const exact = first ? small && !c.tags?.some((tag) => beyondF32.includes(tag)) : c.f64_only !== true;
    const named = (value: RawCase["upstream"]): Named =>
      value === undefined
        ? {}
        : first
          ? { output: array(value as RawArray) }
          : arrays(value as { [name: string]: RawArray });
    return {
      id: c.id,
      op: c.op,
      params: Object.fromEntries(
        Object.entries(c.params ?? {}).map(([name, value]) => [name, decode(value)]),
      ),
      axis: c.axis ?? -1,
      inputs,
      upstream: named(c.upstream),
      outputs: first ? (c.output ? { output: array(c.output) } : {}) : arrays(c.outputs),
      grads: arrays(c.grads),
      tol: c.tol ?? { rtol: 1e-9, atol: 1e-12 },
      ...(c.throws ? { throws: c.throws } : {}),
      f32: exact ? "tolerance" : "kind",
    };
  });
}
