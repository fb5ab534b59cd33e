// Replays golden cases: calls the op, pulls the given cotangents back, and compares with what the file says.
// Which function an op is, and how it is called, is `adapters.ts`'s business.

import type { DeviceName } from "../../core/backends/backend.ts";
import { tensor, zerosLike } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { type FloatDType, isFloat } from "../../core/dtype.ts";
import * as errors from "../../core/errors.ts";
import { openScope } from "../../core/scope.ts";
import { vjp } from "../../core/tape.ts";
import { Tensor } from "../../core/tensor.ts";
import type { Adapter, Call, Tensors } from "./adapter.ts";
import { adapterOf } from "./adapters.ts";
import { type Case, type Numbers, type Tolerance, toleranceF32 } from "./format.ts";

/** What came of a case: the differences found; none if it passed. */
export interface Outcome {
  readonly id: string;
  readonly op: string;
  readonly differences: readonly string[];
}

/** Where and in which element type cases are replayed. */
export interface Setting {
  readonly device: DeviceName;
  readonly dtype: FloatDType;
}

/** Maps that give exact zeros, which are then part of the contract: yes in the column `zeros` of the table of properties, and the masked and one-hot ones. */
const sparse: readonly string[] = [
  "sparsemax",
  "entmax15",
  "entmax",
  "entmax_rowwise",
  "asentmax",
  "normmax",
  "sparsegen_lin",
  "sparse_softmax",
  "as_softmax",
  "t_softmax",
  "r_softmax",
  "ev_softmax",
  "rankmax",
  "csparsemax",
  "fusedmax",
  "sparsehourglass",
  "normalized_relu",
  "relu_power_norm",
  "budget_sparsemax",
  "softpick",
  "alpha_relu",
  "hardmax",
  "masked_softmax",
  "straight_through_argmax",
  "gumbel_softmax_st",
  "sampled_argmax",
];

/** Integers that ties decide, which rounding makes and breaks: what is compared in their place in f32. */
const tied: { readonly [op: string]: readonly string[] } = {
  huffman_tree: ["weighted_path_length"],
  adaptive_optimal_cutoffs: ["cost", "full_cost", "speedup"],
};

/** Replays one case. */
export async function runCase(c: Case, setting: Setting): Promise<Outcome> {
  const adapter = adapterOf(c.op);
  const outcome = (differences: readonly string[]): Outcome => ({ id: c.id, op: c.op, differences });
  if (!adapter) return outcome([`there is no op ${c.op}`]);
  using _ = openScope();
  try {
    return outcome(
      await (c.throws ? refusals(c, c.throws, adapter, setting) : differences(c, adapter, setting)),
    );
  } catch (error) {
    return outcome([
      `it throws ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`,
    ]);
  }
}

/** The cases that differ, each as a line. */
export async function failures(cases: readonly Case[], setting: Setting): Promise<string[]> {
  await useDevice(setting.device);
  const found: string[] = [];
  for (const c of cases) {
    const { id, differences } = await runCase(c, setting);
    if (differences.length > 0) found.push(`${id}: ${differences.join("; ")}`);
  }
  return found;
}

function callOf(c: Case, { device, dtype }: Setting): Call {
  return {
    params: c.params,
    axis: c.axis === -1 ? {} : { axis: c.axis },
    wanted: Object.fromEntries(Object.entries(c.outputs).map(([name, { shape }]) => [name, shape])),
    floats: (data, shape) => tensor(data as number[], { dtype, device, ...(shape ? { shape } : {}) }),
  };
}

function tensorsOf(
  record: { readonly [name: string]: Numbers },
  { device, dtype }: Setting,
): { [name: string]: Tensor } {
  const upload = ({ dtype: kind, shape, data }: Numbers): Tensor =>
    tensor(data, { shape, device, dtype: kind === "float" ? dtype : kind });
  return Object.fromEntries(Object.entries(record).map(([name, numbers]) => [name, upload(numbers)]));
}

/** What is wrong with the error that a case asks for. */
async function refusals(
  c: Case,
  words: readonly string[],
  adapter: Adapter,
  setting: Setting,
): Promise<string[]> {
  try {
    await adapter(tensorsOf(c.inputs, setting), callOf(c, setting));
  } catch (error) {
    const ours = Object.values(errors).some(
      (kind) => typeof kind === "function" && kind.prototype instanceof Error && error instanceof kind,
    );
    if (!ours) return [`it throws ${String(error)}, which is no error of the library`];
    const message = (error as Error).message.toLowerCase();
    return words
      .filter((word) => !message.includes(word.toLowerCase()))
      .map((word) => `the message lacks "${word}": ${(error as Error).message}`);
  }
  return [`it does not throw; the message should hold ${words.join(", ")}`];
}

/** What differs from the file. */
async function differences(c: Case, adapter: Adapter, setting: Setting): Promise<string[]> {
  const inputs = tensorsOf(c.inputs, setting);
  const watched = Object.fromEntries(Object.entries(inputs).filter(([name]) => Object.hasOwn(c.grads, name)));
  const call = callOf(c, setting);
  const named = (value: Tensor | Tensors): Tensors =>
    value instanceof Tensor ? { [Object.keys(c.outputs)[0] ?? "output"]: value } : value;
  // What has gradients gives its result at once.
  const run = (some: Tensors): Tensors => named(adapter({ ...inputs, ...some }, call) as Tensor | Tensors);
  let outputs: Tensors;
  let grads: Tensors = {};
  if (Object.keys(watched).length === 0) outputs = named(await adapter(inputs, call));
  else {
    const { value, pullback } = vjp(run, watched);
    outputs = value;
    const upstream = tensorsOf(c.upstream, setting);
    grads = pullback(
      Object.fromEntries(Object.entries(value).map(([name, t]) => [name, upstream[name] ?? zerosLike(t)])),
    )[0] as Tensors;
  }
  const found: string[] = [];
  const free = setting.dtype === "f32" ? tied[c.op] : undefined;
  for (const [name, want] of Object.entries(c.outputs))
    if (free?.includes(name) ?? true)
      found.push(...(await compare(name, outputs[name], want, c, setting, 1)));
  for (const [name, want] of Object.entries(c.grads))
    found.push(...(await compare(`gradient of ${name}`, grads[name], want, c, setting, 10)));
  return found;
}

/** The differences of one array: the first, and how many there are. */
async function compare(
  name: string,
  got: Tensor | undefined,
  want: Numbers,
  c: Case,
  { dtype }: Setting,
  factor: number,
): Promise<string[]> {
  if (got === undefined) return [`${name}: there is none`];
  // A single value may be stored as [1].
  const sameSizes = got.shape.join() === want.shape.join() || (got.size === 1 && want.data.length === 1);
  if (!sameSizes) return [`${name}: its shape is [${got.shape}], not [${want.shape}]`];
  const data = await got.data();
  const finite = want.data.filter(Number.isFinite).map(Math.abs);
  const largest = finite.reduce((m, v) => Math.max(m, v), 1);
  const allowed = (v: number): number => {
    if (!isFloat(got.dtype)) return 0;
    const { rtol, atol }: Tolerance = dtype === "f64" ? c.tol : toleranceF32;
    return dtype === "f64" ? atol + rtol * Math.abs(v) : factor * (atol + rtol) * largest;
  };
  const zeros = factor === 1 && sparse.includes(c.op);
  const differs = (v: number, w: number): boolean => {
    if (!Number.isFinite(w)) return !Object.is(v, w);
    if (zeros && w === 0) return v !== 0;
    if (dtype === "f32" && c.f32 === "kind" && isFloat(got.dtype)) return !Number.isFinite(v);
    return !(Math.abs(v - w) <= allowed(w));
  };
  const wrong = [...want.data.keys()].filter((i) => differs(data[i]!, want.data[i]!));
  if (wrong.length === 0) return [];
  const at = wrong[0]!;
  const more = wrong.length > 1 ? ` (and ${wrong.length - 1} more of ${data.length})` : "";
  return [`${name}[${at}] is ${data[at]}, not ${want.data[at]}${more}`];
}
