// TensorFlow.js with its WebAssembly backend (SIMD, one thread) as a peer of the bench.
// Sparsemax and entmax-1.5 are compositions of its ops with a gradient by hand, as a good user would write them:
// it has neither. `cumsum` gets a non-negative axis, since −1 corrupts its heap.
import { createRequire } from "node:module";
import { labels, norm, normal, transposed } from "../../../dist/tests/bench/data.js";
import { serve } from "../../../dist/tests/bench/serve.js";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setThreadsCount(1);
await tf.setBackend("wasm");
await tf.ready();

const tensor = (seed, shape, scale = 1) =>
  tf.tensor(
    normal(
      seed,
      shape.reduce((a, b) => a * b),
      scale,
    ),
    shape,
    "float32",
  );
const oneHot = (seed, count, classes) =>
  tf.tidy(() => tf.oneHot(tf.tensor1d(labels(seed, count, classes), "int32"), classes).toFloat());
const size = (t) => norm(t.dataSync());

/** Work whose result (a tensor or an array of them) is freed after each call. */
function work(compute, check = (results) => [results].flat().map(size)) {
  return { run: () => tf.dispose(tf.tidy(compute)), check: () => tf.tidy(() => check(compute())) };
}

const matmul =
  (m, k, n, ta = false, tb = false) =>
  () => {
    const a = tensor(1, ta ? [k, m] : [m, k]);
    const b = tensor(2, tb ? [n, k] : [k, n]);
    return work(() => tf.matMul(a, b, ta, tb));
  };

const softmax = (rows, n) => () => {
  const x = tensor(3, [rows, n]);
  return work(() => tf.softmax(x));
};

const mapGrad = (map) => () => {
  const x = tensor(3, [256, 1000]);
  const g = tensor(4, [256, 1000]);
  const pull = tf.valueAndGrad(map);
  return work(() => {
    const { value, grad } = pull(x, g);
    return [value, grad];
  });
};

/** Sort-based; the threshold is the largest of (cumulated sum − 1) ÷ count. */
const sparsemax = tf.customGrad((x, save) => {
  const n = x.shape[1];
  const sorted = tf.topk(x, n, true).values;
  const tau = tf.max(tf.div(tf.sub(tf.cumsum(sorted, 1), 1), tf.range(1, n + 1)), 1, true);
  const p = tf.relu(tf.sub(x, tau));
  save([p]);
  return {
    value: p,
    gradFunc: (dy, [p]) => {
      const support = tf.step(p);
      const mean = tf.div(tf.sum(tf.mul(dy, support), 1, true), tf.sum(support, 1, true));
      return tf.mul(support, tf.sub(dy, mean));
    },
  };
});

/** Peters, Niculae & Martins 2019, algorithm 2. */
const entmax15 = tf.customGrad((x, save) => {
  const [rows, n] = x.shape;
  const half = tf.div(tf.sub(x, tf.max(x, 1, true)), 2);
  const sorted = tf.topk(half, n, true).values;
  const count = tf.range(1, n + 1);
  const mean = tf.div(tf.cumsum(sorted, 1), count);
  const meanSquare = tf.div(tf.cumsum(tf.square(sorted), 1), count);
  const variance = tf.mul(count, tf.sub(meanSquare, tf.square(mean)));
  const taus = tf.sub(mean, tf.sqrt(tf.relu(tf.div(tf.sub(1, variance), count))));
  const support = tf.sum(tf.lessEqual(taus, sorted).toInt(), 1, true);
  const at = tf.concat(
    [tf.range(0, rows, 1, "int32").reshape([rows, 1]), tf.sub(support, tf.scalar(1, "int32"))],
    1,
  );
  const p = tf.square(tf.relu(tf.sub(half, tf.gatherND(taus, at).reshape([rows, 1]))));
  save([p]);
  return {
    value: p,
    gradFunc: (dy, [p]) => {
      const s = tf.sqrt(p);
      const ds = tf.mul(dy, s);
      return tf.sub(ds, tf.mul(s, tf.div(tf.sum(ds, 1, true), tf.sum(s, 1, true))));
    },
  };
});

const byLogsumexp = (target, x) => tf.mean(tf.sub(tf.logSumExp(x, 1), tf.sum(tf.mul(x, target), 1)));

const crossEntropy =
  (rows, n, loss = tf.losses.softmaxCrossEntropy) =>
  () => {
    const x = tensor(3, [rows, n]);
    const target = oneHot(5, rows, n);
    const f = tf.valueAndGrad((logits) => loss(target, logits));
    return work(() => {
      const { value, grad } = f(x);
      return [value, grad];
    });
  };

const mlp = (sizes, batch, optimizer) => () => {
  const layers = sizes.slice(1).map((out, i) => {
    const inputs = sizes[i];
    return {
      w: tf.variable(tensor(10 + i, [inputs, out], 1 / Math.sqrt(inputs))),
      b: tf.variable(tf.zeros([out])),
    };
  });
  const x = tensor(3, [batch, sizes[0]]);
  const target = oneHot(5, batch, sizes.at(-1));
  const loss = () =>
    tf.losses.softmaxCrossEntropy(
      target,
      layers.reduce((h, { w, b }, i) => {
        const z = tf.add(tf.matMul(h, w), b);
        return i < layers.length - 1 ? tf.relu(z) : z;
      }, x),
    );
  const method = optimizer();
  const step = () => method.minimize(loss, true);
  return {
    run: () => step().dispose(),
    check: () => Array.from({ length: 20 }, () => step().dataSync()[0]),
  };
};

/** A block of a transformer, normalising sums: value and gradients of all parameters, in the order of PyTorch's. */
function transformer() {
  const [batch, length, d, heads, wide] = [8, 64, 64, 4, 256];
  const weight = (seed, inputs, out) =>
    tf.tensor(transposed(normal(seed, out * inputs, inputs ** -0.5), out, inputs), [inputs, out]);
  const parameters = [
    [weight(10, d, 3 * d), tf.zeros([3 * d])],
    [weight(11, d, d), tf.zeros([d])],
    [weight(12, d, wide), tf.zeros([wide])],
    [weight(13, wide, d), tf.zeros([d])],
    [tf.ones([d]), tf.zeros([d])],
    [tf.ones([d]), tf.zeros([d])],
  ].flat();
  const x = tensor(3, [batch * length, d]);
  const g = tensor(4, [batch * length, d]);
  const linear = (x, w, b) => tf.add(tf.matMul(x, w), b);
  const normed = (x, w, b) => {
    const { mean, variance } = tf.moments(x, 1, true);
    return tf.add(tf.mul(tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-5))), w), b);
  };
  const f = tf.valueAndGrads((inW, inB, outW, outB, w1, b1, w2, b2, n1w, n1b, n2w, n2b) => {
    const qkv = tf.reshape(linear(x, inW, inB), [batch, length, 3 * heads, d / heads]);
    const [q, k, v] = tf.split(tf.transpose(qkv, [0, 2, 1, 3]), 3, 1);
    const weights = tf.softmax(tf.mul(tf.matMul(q, k, false, true), (d / heads) ** -0.5));
    const side = tf.reshape(tf.transpose(tf.matMul(weights, v), [0, 2, 1, 3]), [batch * length, d]);
    const h = normed(tf.add(x, linear(side, outW, outB)), n1w, n1b);
    const y = linear(tf.relu(linear(h, w1, b1)), w2, b2);
    return tf.sum(tf.mul(normed(tf.add(h, y), n2w, n2b), g));
  });
  return work(() => {
    const { value, grads } = f(parameters);
    return [value, ...grads];
  });
}

const rows = {
  "matmul-256": matmul(256, 256, 256),
  "matmul-512": matmul(512, 512, 512),
  "matmul-tn-512": matmul(512, 512, 512, true, false),
  "matmul-nt-512": matmul(512, 512, 512, false, true),
  "matmul-1024": matmul(1024, 1024, 1024),
  "matmul-64x784x256": matmul(64, 784, 256),
  "softmax-64x10": softmax(64, 10),
  "softmax-256x1000": softmax(256, 1000),
  "softmax-64x50000": softmax(64, 50000),
  "softmax-grad": mapGrad((x) => tf.softmax(x)),
  "sparsemax-grad": mapGrad(sparsemax),
  "entmax15-grad": mapGrad(entmax15),
  "xent-256x1000": crossEntropy(256, 1000),
  "xent-lse-256x1000": crossEntropy(256, 1000, byLogsumexp),
  "xent-64x50000": crossEntropy(64, 50000),
  formula: () => {
    const inputs = [1, 2, 3].map((seed) => tensor(seed, [1e6]));
    const f = tf.valueAndGrads((a, b, c) => tf.sum(tf.relu(tf.add(tf.mul(a, b), c))));
    return work(() => {
      const { value, grads } = f(inputs);
      return [value, ...grads];
    });
  },
  "mlp-adam": mlp([784, 256, 128, 10], 64, () => tf.train.adam(1e-5)),
  "mlp-sgd": mlp([64, 64, 10], 32, () => tf.train.sgd(1e-2)),
  "chain-50": () => {
    const x = tensor(1, [8]);
    const w = tf.add(1, tensor(2, [8], 0.01));
    const b = tensor(3, [8], 0.01);
    const f = tf.valueAndGrad((x) => {
      let y = x;
      for (let i = 0; i < 25; i++) y = tf.add(tf.mul(y, w), b);
      return tf.sum(y);
    });
    return work(() => {
      const { value, grad } = f(x);
      return [value, grad];
    });
  },
  "add-8": () => {
    const a = tensor(1, [8]);
    const b = tensor(2, [8]);
    return { run: () => tf.add(a, b).dispose(), check: () => [size(tf.add(a, b))] };
  },
  transformer,
  "output-50000": () => {
    const [batch, inputs, classes] = [64, 128, 50000];
    const h = tensor(1, [batch, inputs]);
    const weight = normal(2, classes * inputs, 1 / Math.sqrt(inputs));
    const w = tf.tensor(transposed(weight, classes, inputs), [inputs, classes]);
    const b = tf.zeros([classes]);
    const target = oneHot(5, batch, classes);
    const f = tf.valueAndGrads((h, w, b) =>
      tf.losses.softmaxCrossEntropy(target, tf.add(tf.matMul(h, w), b)),
    );
    return work(() => {
      const { value, grads } = f([h, w, b]);
      return [value, ...grads];
    });
  },
};

await serve({ version: tf.version.tfjs, rows });
