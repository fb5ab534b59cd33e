// What is measured, and what is promised of it. Measures nothing.

/** One piece of work that every peer does on the same numbers. */
export interface Row {
  readonly id: string;
  readonly title: string;
  /** Rows of one group are timed in the same rounds, so that they may be compared with one another. */
  readonly group: string;
  readonly device: "cpu" | "webgpu";
  /** How many equal pieces of work it is, if a piece is to be shown: the time of each is one number for rows that grow alike. */
  readonly pieces?: number;
}

const row = (id: string, title: string, group: string = id): Row => ({ id, title, group, device: "cpu" });

/** The same work on a GPU, whose processes know it by this name. */
const onGpu = (id: string): string => `webgpu-${id}`;
const gpuRow = (id: string, title: string): Row => ({
  ...row(onGpu(id), `WebGPU: ${title}`),
  device: "webgpu",
});

/** Works under the names that their rows have on a GPU. */
export function prefixed<W>(works: { readonly [id: string]: W }): { [id: string]: W } {
  return Object.fromEntries(Object.entries(works).map(([id, work]) => [onGpu(id), work]));
}

/** Softmax alternatives, forward and backward, and how many times softmax's time each may take. */
export const maps: readonly (readonly [id: string, title: string, most: number])[] = [
  ["sparsemax", "sparsemax", 1.5],
  ["entmax15", "entmax-1.5", 1.5],
  ["entmax105", "entmax α = 1.05", 16],
  ["entmax125", "entmax α = 1.25", 8],
  ["entmax13", "entmax α = 1.3", 8],
  ["entmax150", "entmax α = 1.5 by the general path", 8],
  ["entmax3", "entmax α = 3", 8],
  ["topk10", "sparseSoftmax, k = 10", 6],
  ["topk100", "sparseSoftmax, k = 100", 6],
  ["relu", "normalizedRelu", 1],
  ["sum", "sumNormalization of positive scores", 1],
  ["spherical", "sphericalSoftmax", 1],
  ["taylor", "taylorSoftmax, order 2", 1],
  ["sigmoid", "normalizedSigmoid", 1.5],
  ["softplus", "normalizedSoftplus", 3],
  ["sigsoftmax", "sigsoftmax", 3],
];

/** Suffixes of the rows of maps, their sizes, and the group in which they are timed beside softmax. */
const sizes = [
  { suffix: "-grad", size: "256×1000", group: "maps" },
  { suffix: "-grad-long", size: "64×50000", group: "maps-long" },
] as const;

/** Perturb-max on ten thousand scores in rows of several lengths. */
export const perturbed = ["gumbel", "normal", "logistic"] as const;
export const lengths = [100, 1000, 10000] as const;
const scores = 10000;

/** Taylor attention in linear time, on so many tokens in sequences of several lengths. */
export const taylorLengths = [256, 1024, 4096] as const;
export const tokens = 4096;

/** An integral over rows by so many nodes. */
export const nodes = [144, 288, 576] as const;

/** All rows, in the order of the printed table. Every number is float32; "grad" is forward and backward. */
export const rows: readonly Row[] = [
  row("matmul-256", "matmul 256³"),
  row("matmul-512", "matmul 512³", "512"),
  row("matmul-tn-512", "aᵀ·b 512³", "512"),
  row("matmul-nt-512", "a·bᵀ 512³", "512"),
  row("matmul-1024", "matmul 1024³"),
  row("matmul-64x784x256", "matmul 64×784×256"),
  row("softmax-64x10", "softmax 64×10"),
  row("softmax-256x1000", "softmax 256×1000", "maps"),
  row("softmax-64x50000", "softmax 64×50000"),
  ...sizes.flatMap(({ suffix, size, group }) =>
    [["softmax", "softmax"], ...maps].map(([id, title]) =>
      row(`${id}${suffix}`, `${title}, grad, ${size}`, group),
    ),
  ),
  ...perturbed.flatMap((noise) =>
    lengths.map((n) => ({
      ...row(`perturb-${noise}-${n}`, `perturbMax, ${noise}, grad, ${scores / n}×${n}`, "perturb"),
      pieces: scores,
    })),
  ),
  ...nodes.map((count) => ({
    ...row(`nodes-${count}`, `integral by ${count} nodes, grad, 10×1000`, "perturb"),
    pieces: count,
  })),
  row("xent-256x1000", "cross-entropy, grad, 256×1000", "xent"),
  row("xent-lse-256x1000", "same as mean(logsumexp(x) − Σ x·y)", "xent"),
  row("xent-64x50000", "cross-entropy, grad, 64×50000"),
  row("formula", "sum(relu(a·b + c)), grad, 10⁶"),
  row("mlp-adam", "MLP 784-256-128-10, batch 64, Adam step"),
  row("mlp-sgd", "MLP 64-64-10, batch 32, SGD step"),
  row("chain-50", "50 ops on 8 elements, grad"),
  row("add-8", "one add of 8 elements"),
  row("transformer", "transformer block d 64, 4 heads, 64 tokens, batch 8, grad"),
  ...["", "causal "].flatMap((kind) =>
    taylorLengths.map((length) => ({
      ...row(
        `taylor-${kind.trim() && "causal-"}attention-${length}`,
        `${kind}attention by Taylor softmax, grad, ${tokens / length}×4×${length}×16`,
        "taylor-attention",
      ),
      pieces: tokens,
    })),
  ),
  row("output-50000", "Linear 128→50000 + cross-entropy, batch 64, grad"),
  gpuRow("matmul-512", "matmul 512³"),
  gpuRow("softmax-256x1000", "softmax 256×1000"),
  gpuRow("softmax-64x50000", "softmax 64×50000"),
  gpuRow("mlp-adam", "MLP 784-256-128-10, batch 64, Adam step"),
];

/** The row that starts a fresh process: from nothing to the first 64×64 product. */
export const startRow: Row = row("start", "process start to first 64×64 product");

/** "Our `row` is at least `ratio` × as fast as `peer` at `versus`". */
export interface Promised {
  readonly row: string;
  readonly peer: string;
  readonly versus: string;
  readonly ratio: number;
}

/** "Our `row` takes at most `most` times as long as our `versus`". */
const within = (id: string, versus: string, most: number): Promised => ({
  row: id,
  peer: "ours",
  versus,
  ratio: 1 / most,
});

const faster = (id: string, peer: string, ratio: number): Promised => ({ row: id, peer, versus: id, ratio });

/** What the README may claim: checked at the end of each run. */
export const promises: readonly Promised[] = [
  faster("matmul-256", "tfjs", 1.1),
  faster("matmul-512", "tfjs", 1.2),
  faster("matmul-1024", "tfjs", 1.2),
  within("matmul-tn-512", "matmul-512", 1.15),
  within("matmul-nt-512", "matmul-512", 1.15),
  faster("softmax-256x1000", "tfjs", 0.9),
  faster("softmax-64x50000", "tfjs", 0.9),
  faster("xent-256x1000", "tfjs", 12),
  faster("xent-256x1000", "jax-js", 8),
  faster("xent-256x1000", "torch", 1),
  ...sizes.flatMap(({ suffix }) =>
    maps.map(([id, , most]) => within(`${id}${suffix}`, `softmax${suffix}`, most)),
  ),
  ...perturbed.flatMap((noise) =>
    lengths.slice(1).map((n) => within(`perturb-${noise}-${n}`, `perturb-${noise}-${lengths[0]}`, 1.25)),
  ),
  ...nodes.slice(1).map((n) => within(`nodes-${n}`, `nodes-${nodes[0]}`, (1.25 * n) / nodes[0])),
  faster("sparsemax-grad", "tfjs", 60),
  faster("sparsemax-grad", "torch", 30),
  faster("entmax15-grad", "tfjs", 40),
  faster("entmax15-grad", "torch", 20),
  faster("entmax13-grad", "torch", 15),
  faster("transformer", "jax-js", 2),
  faster("transformer", "tfjs", 6),
  // In the shorter sequences more of the pairs lie within a chunk.
  ...[["", 1.25] as const, ["causal-", 1.5] as const].flatMap(([kind, most]) =>
    taylorLengths
      .slice(1)
      .map((n) =>
        within(`taylor-${kind}attention-${n}`, `taylor-${kind}attention-${taylorLengths[0]}`, most),
      ),
  ),
  faster("mlp-adam", "jax-js", 1.9),
  faster("mlp-adam", "tfjs", 8),
  faster("mlp-sgd", "tfjs", 10),
  faster("chain-50", "tfjs", 15),
  // At most 0.4 × its time, without the tensor of scores: a test holds the bytes.
  faster("output-50000", "jax-js", 2.5),
  faster(onGpu("matmul-512"), "jax-js", 1),
  faster(onGpu("softmax-256x1000"), "jax-js", 1),
  faster(onGpu("mlp-adam"), "jax-js", 1),
];

/** At most this many milliseconds more than an empty Node process until the first product. */
export const startAllowance = 30;

/** What a call on a GPU may take at most: commands, or bytes as multiples of the tensors that its kernels bind. */
export interface Limit {
  readonly row: string;
  readonly what: "dispatches" | "submits" | "bindGroups" | "pipelines" | "reads" | "writes";
  readonly most: number;
}

const most = (id: string, limits: { readonly [W in Limit["what"]]?: number }): Limit[] =>
  Object.entries(limits).map(([what, most]) => ({ row: onGpu(id), what: what as Limit["what"], most }));

/** Counted, so held on every machine. What was called before makes no bind group and no pipeline. */
export const limits: readonly Limit[] = [
  ...most("softmax-256x1000", {
    dispatches: 1,
    submits: 1,
    bindGroups: 0,
    pipelines: 0,
    reads: 1,
    writes: 1,
  }),
  ...most("softmax-64x50000", {
    dispatches: 1,
    submits: 1,
    bindGroups: 0,
    pipelines: 0,
    reads: 3,
    writes: 1,
  }),
  // Each operand once for every tile of 64 rows or columns.
  ...most("matmul-512", {
    dispatches: 1,
    submits: 1,
    bindGroups: 0,
    pipelines: 0,
    reads: 512 / 64,
    writes: 1,
  }),
  ...most("mlp-adam", { dispatches: 25, submits: 1, bindGroups: 0, pipelines: 0 }),
];
