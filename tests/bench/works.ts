// The rows of the bench by the library under measurement, written as a user would write them, for the device in use.
import {
  type Parameter,
  rowMap,
  type Shape,
  scope,
  type Tensor,
  tensor,
  valueAndGrad,
  vjp,
} from "../../core/index.ts";
import * as words from "../../core/words.ts";
import { crossEntropy, fusedLinearCrossEntropy } from "../../losses/index.ts";
import { Linear, Sequential, TransformerBlock } from "../../nn/index.ts";
import {
  abs,
  add,
  entmax,
  entmax15,
  logsumexp,
  matmul,
  mean,
  mul,
  normalizedRelu,
  normalizedSigmoid,
  normalizedSoftplus,
  perturbMax,
  relu,
  sigsoftmax,
  softmax,
  sparsemax,
  sparseSoftmax,
  sphericalSoftmax,
  sub,
  sum,
  sumNormalization,
  taylorAttention,
  taylorSoftmax,
} from "../../ops/index.ts";
import { Adam, type Optimizer, SGD } from "../../optim/index.ts";
import { labels, norm, normal, transposed } from "./data.ts";
import { lengths, nodes, perturbed, taylorLengths, tokens } from "./rows.ts";
import type { Peer, Work } from "./serve.ts";

/** Any shape: the sizes of the rows are data here. */
type Float = Tensor<Shape, "f32">;

const random = (seed: number, shape: number[], scale = 1): Float =>
  tensor(
    normal(
      seed,
      shape.reduce((a, b) => a * b),
      scale,
    ),
    { shape },
  );
const classes = (seed: number, count: number, n: number): Tensor<[number], "i32"> =>
  tensor(labels(seed, count, n), { shape: [count] });
const size = async (t: Float): Promise<number> => norm(await t.data());

/** Resolves when a GPU has computed a tensor: one element has come from it. */
const arrived = (t: Float): Promise<unknown> => t.slice(...t.shape.map(() => [0, 1] as const)).data();

/**
 * Work whose results are freed by a scope after each call. On a GPU, which computes in order behind the program's back, a call
 * lasts until the last result is there.
 */
function work(compute: () => readonly Float[]): Work {
  return {
    run: () =>
      scope(() => {
        const last = compute().at(-1)!;
        return last.device === "webgpu" ? { read: arrived(last) } : undefined;
      })?.read,
    check: () => scope(() => ({ read: Promise.all(compute().map(size)) })).read,
  };
}

const product =
  (m: number, k: number, n: number, form: "nn" | "tn" | "nt" = "nn") =>
  (): Work => {
    const a = random(1, form === "tn" ? [k, m] : [m, k]);
    const b = random(2, form === "nt" ? [n, k] : [k, n]);
    if (form === "tn") return work(() => [matmul(a.transpose(), b)]);
    if (form === "nt") return work(() => [matmul(a, b.transpose())]);
    return work(() => [matmul(a, b)]);
  };

const forward = (rows: number, n: number) => (): Work => {
  const x = random(3, [rows, n]);
  return work(() => [softmax(x)]);
};

type Size = readonly [rows: number, n: number];

/** Scores and cotangents: rows of one size share them, for they are long. */
const shared = new Map<string, readonly [x: Float, g: Float, positive: Float]>();
function scores(size: Size): readonly [x: Float, g: Float, positive: Float] {
  let found = shared.get(`${size}`);
  if (found === undefined) {
    const x = random(3, [...size]);
    found = [x, random(4, [...size]), abs(x)];
    shared.set(`${size}`, found);
  }
  return found;
}

type FloatMap = (x: Float) => Float;

const mapGrad =
  (map: FloatMap, size: Size = [256, 1000], scoresAre: "any" | "positive" = "any") =>
  (): Work => {
    const [any, g, positive] = scores(size);
    const x = scoresAre === "any" ? any : positive;
    return work(() => {
      const { value, pullback } = vjp(map, x);
      return [value, ...pullback(g)] as Float[];
    });
  };

/** Maps under the first part of their rows' names. */
const mapWorks: { readonly [id: string]: FloatMap } = {
  softmax: (x) => softmax(x),
  sparsemax: (x) => sparsemax(x),
  entmax15: (x) => entmax15(x),
  entmax105: (x) => entmax(x, { alpha: 1.05 }),
  entmax125: (x) => entmax(x, { alpha: 1.25 }),
  entmax13: (x) => entmax(x, { alpha: 1.3 }),
  entmax150: (x) => entmax(x, { alpha: 1.5 }),
  entmax3: (x) => entmax(x, { alpha: 3 }),
  topk10: (x) => sparseSoftmax(x, { k: 10 }),
  topk100: (x) => sparseSoftmax(x, { k: 100 }),
  relu: (x) => normalizedRelu(x),
  sum: (x) => sumNormalization(x),
  spherical: (x) => sphericalSoftmax(x),
  taylor: (x) => taylorSoftmax(x),
  sigmoid: (x) => normalizedSigmoid(x),
  softplus: (x) => normalizedSoftplus(x),
  sigsoftmax: (x) => sigsoftmax(x),
};

/** A map whose cost is that of an integral by so many nodes, each with a sum over the row. */
const integral = (count: number): FloatMap =>
  rowMap(`integral${count}`, {
    doc: "An integral of rows.",
    program: ({ x }) =>
      words.integrate(
        (t) => {
          const logF = words.logNormalCdf(words.sub(t, x));
          return words.exp(words.sub(words.sum(logF), logF)) as words.Row;
        },
        -9,
        9,
        count,
      ),
    domain: { x: { min: -3, max: 3 } },
    examples: [],
  });

/** Value and gradients of a scalar function with respect to all its arguments. */
function gradients(f: (...args: Float[]) => Float, ...inputs: Float[]): Work {
  const pull = valueAndGrad(f, { argnums: inputs.map((_, i) => i) });
  return work(() => {
    const { value, gradient } = pull(...inputs);
    return [value, ...gradient] as Float[];
  });
}

const crossEntropyGrad = (rows: number, n: number) => (): Work => {
  const y = classes(5, rows, n);
  return gradients((x) => crossEntropy(x, y), random(3, [rows, n]));
};

function logsumexpGrad(): Work {
  const [rows, n] = [256, 1000];
  const target = new Float32Array(rows * n);
  labels(5, rows, n).forEach((label, i) => {
    target[i * n + label] = 1;
  });
  const y = tensor(target, { shape: [rows, n] });
  const loss = (x: Float): Float => mean(sub(logsumexp(x), sum(mul(x, y), { axis: -1 })));
  return gradients(loss, random(3, [rows, n]));
}

const mlp =
  (sizes: number[], batch: number, optimizer: (parameters: Parameter[]) => Optimizer) => (): Work => {
    const layers = sizes.slice(1).map((out, i) => {
      const inputs = sizes[i]!;
      const layer = new Linear(inputs, out);
      layer.weight.value = tensor(transposed(normal(10 + i, inputs * out, inputs ** -0.5), inputs, out), {
        shape: [out, inputs],
      });
      layer.bias!.value = tensor(new Float32Array(out));
      return layer;
    });
    const model = new Sequential(...layers.flatMap((layer, i) => (i === 0 ? [layer] : [relu, layer])));
    const x = random(3, [batch, sizes[0]!]);
    const y = classes(5, batch, sizes.at(-1)!);
    const method = optimizer(model.parameters());
    const step = (): Float => method.minimize(() => crossEntropy(model.forward(x), y));
    return {
      run: x.device === "webgpu" ? () => step().data() : step,
      check: async () => {
        const losses = Array.from({ length: 20 }, () => step().data());
        return (await Promise.all(losses)).map(([loss]) => loss!);
      },
    };
  };

function chain(): Work {
  const x = random(1, [8]);
  const w = tensor(normal(2, 8, 0.01).map((value) => 1 + value));
  const b = random(3, [8], 0.01);
  return gradients((x) => {
    let y = x;
    for (let i = 0; i < 25; i++) y = add(mul(y, w), b);
    return sum(y);
  }, x);
}

/** A block of a transformer: value and gradients of all parameters. */
function transformer(): Work {
  const [d, wide] = [64, 256];
  const block = new TransformerBlock(d, 4, { dimFeedforward: wide, dropout: 0 });
  const weights = [
    [block.selfAttn.inProjWeight!, d],
    [block.selfAttn.outProj.weight, d],
    [block.linear1.weight, d],
    [block.linear2.weight, wide],
  ] as const;
  weights.forEach(([p, inputs], i) => {
    p.value = random(10 + i, [...p.shape], inputs ** -0.5) as never;
  });
  block.linear1.bias!.value = tensor(new Float32Array(wide));
  block.linear2.bias!.value = tensor(new Float32Array(d));
  const [x, g] = [random(3, [8, 64, d]), random(4, [8, 64, d])];
  const parameters = block.parameters();
  return work(() => {
    const { value, gradients } = valueAndGrad(() => sum(mul(block.forward(x), g)), parameters);
    return [value, ...gradients] as Float[];
  });
}

/** Attention in linear time on a number of tokens, in sequences of a length. */
const taylor = (length: number, causal: boolean) => (): Work => {
  const shape = [tokens / length, 4, length, 16];
  const [q, k, v, g] = [1, 2, 3, 4].map((seed) => random(seed, shape)) as [Float, Float, Float, Float];
  return work(() => {
    const { value, pullback } = vjp((q, k, v) => taylorAttention(q, k, v, { causal }), q, k, v);
    return [value, ...pullback(g)] as Float[];
  });
};

function output(): Work {
  const [batch, inputs, n] = [64, 128, 50000];
  const y = classes(5, batch, n);
  return gradients(
    (h, w, b) => fusedLinearCrossEntropy(h, w, b, y) as Float,
    random(1, [batch, inputs]),
    random(2, [n, inputs], inputs ** -0.5),
    tensor(new Float32Array(n)),
  );
}

/** What each row runs, made on the device in use. */
export const works: Peer["rows"] = {
  "matmul-256": product(256, 256, 256),
  "matmul-512": product(512, 512, 512),
  "matmul-tn-512": product(512, 512, 512, "tn"),
  "matmul-nt-512": product(512, 512, 512, "nt"),
  "matmul-1024": product(1024, 1024, 1024),
  "matmul-64x784x256": product(64, 784, 256),
  "softmax-64x10": forward(64, 10),
  "softmax-256x1000": forward(256, 1000),
  "softmax-64x50000": forward(64, 50000),
  ...Object.fromEntries(
    Object.entries(mapWorks).flatMap(([id, map]) => {
      const scoresAre = id === "sum" ? "positive" : "any";
      return [
        [`${id}-grad`, mapGrad(map, [256, 1000], scoresAre)],
        [`${id}-grad-long`, mapGrad(map, [64, 50000], scoresAre)],
      ];
    }),
  ),
  ...Object.fromEntries(
    perturbed.flatMap((noise) =>
      lengths.map((n) => [`perturb-${noise}-${n}`, mapGrad((x) => perturbMax(x, { noise }), [10000 / n, n])]),
    ),
  ),
  ...Object.fromEntries(nodes.map((count) => [`nodes-${count}`, mapGrad(integral(count), [10, 1000])])),
  "xent-256x1000": crossEntropyGrad(256, 1000),
  "xent-lse-256x1000": logsumexpGrad,
  "xent-64x50000": crossEntropyGrad(64, 50000),
  formula: () =>
    gradients(
      (a, b, c) => sum(relu(add(mul(a, b), c))),
      ...([1, 2, 3].map((seed) => random(seed, [1e6])) as [Float, Float, Float]),
    ),
  "mlp-adam": mlp([784, 256, 128, 10], 64, (parameters) => new Adam(parameters, { lr: 1e-5 })),
  "mlp-sgd": mlp([64, 64, 10], 32, (parameters) => new SGD(parameters, { lr: 1e-2 })),
  "chain-50": chain,
  "add-8": () => {
    const [a, b] = [random(1, [8]), random(2, [8])];
    return work(() => [add(a, b)]);
  },
  transformer,
  ...Object.fromEntries(
    taylorLengths.flatMap((length) => [
      [`taylor-attention-${length}`, taylor(length, false)],
      [`taylor-causal-attention-${length}`, taylor(length, true)],
    ]),
  ),
  "output-50000": output,
};
