// jax-js as a peer of the bench: every row is one function under `jit`. Argument: its backend, "webgpu" or none for WebAssembly.
// Its arrays are owned: a function consumes its arguments, `.ref` keeps one for later. Node has no `Worker`
// global, so it runs on one thread. It has no sparsemax and no entmax, and no gradient rules of a user's own:
// both are written out with their gradients in one compiled function.
import { readFileSync } from "node:fs";
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { labels, norm, normal, transposed } from "../../../dist/tests/bench/data.js";
import { prefixed } from "../../../dist/tests/bench/rows.js";
import { serve } from "../../../dist/tests/bench/serve.js";
import { offerGpu, withSoftwareGpu } from "../../../dist/tests/gpu.js";

const gpu = process.argv[2] === "webgpu";
if (gpu) {
  await withSoftwareGpu(async () => {
    await offerGpu();
    if (!(await init("webgpu")).includes("webgpu")) throw new Error("WebGPU finds no adapter");
  });
} else await init("wasm");
defaultDevice(gpu ? "webgpu" : "wasm");

// Its batched products read their subscripts with iterator helpers, which Node has from version 22 on.
const iterators = Object.getPrototypeOf(Object.getPrototypeOf([].values()));
iterators.map ??= function* (change) {
  for (const item of this) yield change(item);
};
iterators.filter ??= function* (keep) {
  for (const item of this) if (keep(item)) yield item;
};

const count = (shape) => shape.reduce((a, b) => a * b, 1);
const array = (seed, shape, scale = 1) => np.array(normal(seed, count(shape), scale)).reshape(shape);

function oneHot(seed, rows, classes) {
  const target = new Float32Array(rows * classes);
  labels(seed, rows, classes).forEach((label, i) => {
    target[i * classes + label] = 1;
  });
  return np.array(target).reshape([rows, classes]);
}

/** Runs a compiled function on arrays that are kept, waits for the result and frees it. */
function work(compute, inputs) {
  const compiled = jit(compute);
  const call = () => compiled(...inputs.map((input) => input.ref));
  return {
    run: async () => {
      const results = call();
      await blockUntilReady(results);
      tree.dispose(results);
    },
    check: async () => Promise.all([call()].flat().map(async (result) => norm(await result.data()))),
  };
}

const matmul =
  (m, k, n, form = "ab") =>
  () => {
    const product = {
      ab: (a, b) => np.matmul(a, b),
      tn: (a, b) => np.matmul(np.matrixTranspose(a), b),
      nt: (a, b) => np.matmul(a, np.matrixTranspose(b)),
    }[form];
    return work(product, [
      array(1, form === "tn" ? [k, m] : [m, k]),
      array(2, form === "nt" ? [n, k] : [k, n]),
    ]);
  };

const softmax = (rows, n) => () => work((x) => nn.softmax(x, -1), [array(3, [rows, n])]);

const scores = () => [array(3, [256, 1000]), array(4, [256, 1000])];
const sumRows = (x) => np.sum(x, -1, { keepdims: true });

function softmaxGrad(x, g) {
  const p = nn.softmax(x, -1);
  const mean = sumRows(p.ref.mul(g.ref));
  return [p.ref, p.mul(g.sub(mean))];
}

const descending = (x) => np.negative(np.sort(np.negative(x), -1));
const ranks = (n) => np.arange(1, n + 1).astype(np.float32);

/** Sort-based; the threshold is the largest of (cumulated sum − 1) ÷ count. */
function sparsemaxGrad(x, g) {
  const sums = np.cumsum(descending(x.ref), -1);
  const tau = np.max(sums.sub(1).div(ranks(x.shape[1])), -1, { keepdims: true });
  const p = nn.relu(x.sub(tau));
  const support = np.greater(p.ref, 0).astype(np.float32);
  const mean = sumRows(g.ref.mul(support.ref)).div(sumRows(support.ref));
  return [p, support.mul(g.sub(mean))];
}

/** Peters, Niculae & Martins 2019, algorithm 2. */
function entmax15Grad(x, g) {
  const n = x.shape[1];
  const half = x.ref.sub(np.max(x, -1, { keepdims: true })).div(2);
  const sorted = descending(half.ref);
  const k = ranks(n);
  const mean = np.cumsum(sorted.ref, -1).div(k.ref);
  const meanSquare = np.cumsum(np.square(sorted.ref), -1).div(k.ref);
  const variance = k.ref.mul(meanSquare.sub(np.square(mean.ref)));
  const taus = mean.sub(np.sqrt(nn.relu(np.subtract(1, variance).div(k))));
  const support = sumRows(np.lessEqual(taus.ref, sorted).astype(np.float32));
  const tau = np.takeAlongAxis(taus, support.sub(1).astype(np.int32), -1);
  const s = nn.relu(half.sub(tau));
  const ds = g.mul(s.ref);
  return [np.square(s.ref), ds.ref.sub(s.ref.mul(sumRows(ds).div(sumRows(s))))];
}

/** Mean cross-entropy with a one-hot target. */
const lossOf = (logits, target) => {
  const rows = logits.shape[0];
  return np.negative(np.sum(target.mul(nn.logSoftmax(logits, -1)))).div(rows);
};

const byLogsumexp = (x, target) => np.mean(nn.logsumexp(x.ref, -1).sub(np.sum(x.mul(target), -1)));

const crossEntropy =
  (rows, n, loss = lossOf) =>
  () =>
    work((x, target) => valueAndGrad(loss)(x, target), [array(3, [rows, n]), oneHot(5, rows, n)]);

const mlp = (sizes, batch, update, state) => () => {
  const layers = sizes.slice(1).map((out, i) => ({
    w: array(10 + i, [sizes[i], out], 1 / Math.sqrt(sizes[i])),
    b: np.zeros([out]),
  }));
  const loss = (layers, x, target) =>
    lossOf(
      layers.reduce((h, { w, b }, i) => {
        const z = np.matmul(h, w).add(b);
        return i < layers.length - 1 ? nn.relu(z) : z;
      }, x),
      target,
    );
  const step = jit((layers, moments, x, target) => {
    const [value, gradient] = valueAndGrad(loss)(tree.ref(layers), x, target);
    return [value, ...update(layers, gradient, moments)];
  });
  const x = array(3, [batch, sizes[0]]);
  const target = oneHot(5, batch, sizes.at(-1));
  let current = [layers, state(layers)];
  const advance = async () => {
    const [value, ...next] = step(...current, x.ref, target.ref);
    current = next;
    // A GPU computes in order: what came with the value is done, or waits for the next step without holding up the program.
    await blockUntilReady(gpu ? value : [value, next]);
    return value;
  };
  return {
    run: async () => (await advance()).dispose(),
    check: async () => {
      const losses = [];
      for (let i = 0; i < 20; i++) losses.push((await (await advance()).data())[0]);
      return losses;
    },
  };
};

const sgd = (layers, gradient) => [tree.map((p, g) => p.sub(g.mul(1e-2)), layers, gradient), {}];

const adam = (layers, gradient, { m, v, t }) => {
  const [beta1, beta2] = [0.9, 0.999];
  const time = t.add(1);
  const mean = tree.map((m, g) => m.mul(beta1).add(g.mul(1 - beta1)), m, tree.ref(gradient));
  const square = tree.map((v, g) => v.mul(beta2).add(np.square(g).mul(1 - beta2)), v, gradient);
  const correct1 = np.subtract(1, np.power(beta1, time.ref));
  const correct2 = np.subtract(1, np.power(beta2, time.ref));
  const next = tree.map(
    (p, m, v) =>
      p.sub(
        m
          .div(correct1.ref)
          .mul(1e-5)
          .div(np.sqrt(v.div(correct2.ref)).add(1e-8)),
      ),
    layers,
    tree.ref(mean),
    tree.ref(square),
  );
  tree.dispose([correct1, correct2]);
  return [next, { m: mean, v: square, t: time }];
};
const zerosLike = (layers) => tree.map((p) => np.zeros(p.shape), layers);

/** A block of a transformer, normalising sums: value and gradients of all parameters, in the order of PyTorch's. */
function transformer() {
  const [batch, length, d, heads, wide] = [8, 64, 64, 4, 256];
  const weight = (seed, inputs, out) =>
    np.array(transposed(normal(seed, out * inputs, inputs ** -0.5), out, inputs)).reshape([inputs, out]);
  const parameters = [
    weight(10, d, 3 * d),
    np.zeros([3 * d]),
    weight(11, d, d),
    np.zeros([d]),
    weight(12, d, wide),
    np.zeros([wide]),
    weight(13, wide, d),
    np.zeros([d]),
    np.ones([d]),
    np.zeros([d]),
    np.ones([d]),
    np.zeros([d]),
  ];
  const normed = (x, w, b) => nn.standardize(x, -1, { epsilon: 1e-5 }).mul(w).add(b);
  const f = (p, x, g) => {
    const [inW, inB, outW, outB, w1, b1, w2, b2, n1w, n1b, n2w, n2b] = p;
    const qkv = np
      .matmul(x.ref, inW)
      .add(inB)
      .reshape([batch, length, 3 * heads, d / heads]);
    const [q, k, v] = np.split(np.transpose(qkv, [0, 2, 1, 3]), 3, 1);
    const weights = nn.softmax(np.matmul(q.mul((d / heads) ** -0.5), np.matrixTranspose(k)), -1);
    const side = np.transpose(np.matmul(weights, v), [0, 2, 1, 3]).reshape([batch, length, d]);
    const h = normed(x.add(np.matmul(side, outW).add(outB)), n1w, n1b);
    const y = np.matmul(nn.relu(np.matmul(h.ref, w1).add(b1)), w2).add(b2);
    return np.sum(normed(h.add(y), n2w, n2b).mul(g));
  };
  return work(
    (x, g, ...p) => {
      const [value, gradients] = valueAndGrad(f)(p, x, g);
      return [value, ...gradients];
    },
    [array(3, [batch, length, d]), array(4, [batch, length, d]), ...parameters],
  );
}

const works = {
  "matmul-256": matmul(256, 256, 256),
  "matmul-512": matmul(512, 512, 512),
  "matmul-tn-512": matmul(512, 512, 512, "tn"),
  "matmul-nt-512": matmul(512, 512, 512, "nt"),
  "matmul-1024": matmul(1024, 1024, 1024),
  "matmul-64x784x256": matmul(64, 784, 256),
  "softmax-64x10": softmax(64, 10),
  "softmax-256x1000": softmax(256, 1000),
  "softmax-64x50000": softmax(64, 50000),
  "softmax-grad": () => work(softmaxGrad, scores()),
  "sparsemax-grad": () => work(sparsemaxGrad, scores()),
  "entmax15-grad": () => work(entmax15Grad, scores()),
  "xent-256x1000": crossEntropy(256, 1000),
  "xent-lse-256x1000": crossEntropy(256, 1000, byLogsumexp),
  "xent-64x50000": crossEntropy(64, 50000),
  formula: () =>
    work(
      (a, b, c) => {
        const f = (a, b, c) => np.sum(nn.relu(a.mul(b).add(c)));
        const [value, gradients] = valueAndGrad(f, { argnums: [0, 1, 2] })(a, b, c);
        return [value, ...gradients];
      },
      [1, 2, 3].map((seed) => array(seed, [1e6])),
    ),
  "mlp-adam": mlp([784, 256, 128, 10], 64, adam, (layers) => ({
    m: zerosLike(tree.ref(layers)),
    v: zerosLike(tree.ref(layers)),
    t: np.array([0]),
  })),
  "mlp-sgd": mlp([64, 64, 10], 32, sgd, () => ({})),
  "chain-50": () => {
    const f = (x, w, b) => {
      let y = x;
      for (let i = 0; i < 25; i++) y = y.mul(w.ref).add(b.ref);
      tree.dispose([w, b]);
      return np.sum(y);
    };
    return work(
      (x, w, b) => valueAndGrad(f)(x, w, b),
      [array(1, [8]), array(2, [8], 0.01).add(1), array(3, [8], 0.01)],
    );
  },
  "add-8": () => work((a, b) => a.add(b), [array(1, [8]), array(2, [8])]),
  transformer,
  "output-50000": () => {
    const [batch, inputs, classes] = [64, 128, 50000];
    const weight = normal(2, classes * inputs, 1 / Math.sqrt(inputs));
    const f = (h, w, b, target) => lossOf(np.matmul(h, w).add(b), target);
    return work(
      (h, w, b, target) => {
        const [value, gradients] = valueAndGrad(f, { argnums: [0, 1, 2] })(h, w, b, target);
        return [value, ...gradients];
      },
      [
        array(1, [batch, inputs]),
        np.array(transposed(weight, classes, inputs)).reshape([inputs, classes]),
        np.zeros([classes]),
        oneHot(5, batch, classes),
      ],
    );
  },
};

const manifest = new URL("./node_modules/@jax-js/jax/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest, "utf8"));
await serve({ version, rows: gpu ? prefixed(works) : works });
