// Attention with a temperature for each head, `npm run example:attention`: pairs of keys and values in a row, and a question for one
// key. One layer with two heads learns to look the value up, and how sharply each head looks; with softmax, with maps that look at
// one or two places only, and with a bonus for heads that differ (Jensen–Shannon diversity).

import { parseArgs } from "node:util";
import {
  type Key,
  normal,
  randomKey,
  type Shape,
  scope,
  splitKey,
  type Tensor,
  tensor,
  uniform,
} from "simplexgrad";
import { accuracy, crossEntropy, jsDivergence } from "simplexgrad/losses";
import { Embedding, Linear, Module, MultiheadAttention } from "simplexgrad/nn";
import {
  add,
  attention,
  entmax15,
  exp,
  log,
  mul,
  reshape,
  softmax,
  sparsemax,
  sub,
  taylorSoftmax,
} from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import { align } from "../main-job/table.ts";
import { gate, near } from "./gate.ts";

type Floats = Tensor<Shape, "f32">;
type Map = (scores: Floats) => Floats;
const { values } = parseArgs({ options: { steps: { type: "string", default: "600" } } });
const steps = Number(values.steps);

// ---------------------------------------------------------------------------------------------------------------
// The definition, in numbers

const logits = tensor([[2, 1, 0, -1]], { dtype: "f64" });
const two = mul(logits, tensor([[1 / 0.5], [1 / 2]], { dtype: "f64" })) as Tensor<Shape, "f64">;
const diversity = jsDivergence(two).item() as number;
const alike = jsDivergence(
  tensor(
    [
      [2, 1, 0, -1],
      [2, 1, 0, -1],
    ],
    { dtype: "f64" },
  ),
).item() as number;
console.log(
  `Heads of temperature ½ and 2 on the scores 2, 1, 0, −1: JS = ${diversity.toFixed(6)} nats; equal heads: ${alike.toFixed(6)}\n`,
);
gate(
  "their Jensen–Shannon divergence is 0.116154 nats, and that of equal heads 0 to 1e-15",
  near(diversity, 0.116154, 1e-6) && Math.abs(alike) <= 1e-15,
);

const [q, k, v] = [1, 2, 3].map((seed) => normal([2, 4, 50, 8], { seed, dtype: "f64" })) as Tensor<
  Shape,
  "f64"
>[];
const temperature = tensor([0.5, 1, 2, 4], { dtype: "f64" }) as Tensor<Shape, "f64">;
const whole = attention(q!, k!, v!, { temperature, weights: true });
const inTiles = attention(q!, k!, v!, { temperature, tile: 7 });
gate(
  "attention in tiles, which never holds all scores, gives the same to 1e-14",
  Math.max(...(sub(whole.out, inTiles.out) as Tensor<Shape, "f64">).dataSync().map(Math.abs)) <= 1e-14,
);

// ---------------------------------------------------------------------------------------------------------------
// The task

const [length, symbols, width, heads, batch] = [16, 32, 32, 2, 64] as const;

/** Sequences of distinct keys with a value each, and a question for one of them. */
function questions(count: number, key: Key) {
  const u = uniform([count, symbols + length + 1], { key, dtype: "f64" }).dataSync();
  const [keys, vals, asked, answers] = [length, length, 1, 1].map((n) => new Int32Array(count * n)) as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  for (let i = 0; i < count; i++) {
    const own = u.subarray(i * (symbols + length + 1), (i + 1) * (symbols + length + 1));
    const order = Array.from({ length: symbols }, (_, s) => s).sort((a, b) => own[a]! - own[b]!);
    for (let t = 0; t < length; t++) {
      keys[i * length + t] = order[t]!;
      vals[i * length + t] = Math.floor(own[symbols + t]! * symbols);
    }
    const at = Math.floor(own[symbols + length]! * length);
    asked[i] = keys[i * length + at]!;
    answers[i] = vals[i * length + at]!;
  }
  const ids = (data: Int32Array, n: number) => tensor(data, { shape: [count, n] }) as Tensor<Shape, "i32">;
  return { keys: ids(keys, length), vals: ids(vals, length), asked: ids(asked, 1), answers };
}

class Lookup extends Module {
  readonly keys: Embedding;
  readonly vals: Embedding;
  readonly attention: MultiheadAttention;
  readonly answer: Linear<typeof width, typeof symbols>;

  constructor(map: Map, seed: number) {
    super();
    this.keys = new Embedding(symbols, width, { seed });
    this.vals = new Embedding(symbols, width, { seed: seed + 1 });
    this.attention = new MultiheadAttention(width, heads, {
      map: map as never,
      temperature: "learned",
      seed,
    });
    this.answer = new Linear(width, symbols, { seed });
  }

  override forward({ keys, vals, asked }: ReturnType<typeof questions>) {
    const { out, weights } = this.attention.forward(
      this.keys.forward(asked as never) as Floats,
      this.keys.forward(keys as never) as Floats,
      this.vals.forward(vals as never) as Floats,
      { needWeights: true },
    );
    const scores = this.answer.forward(reshape(out as Floats, [keys.shape[0]!, width]) as never);
    return { scores: scores as Tensor<[number, number], "f32">, weights: weights as Floats };
  }
}

/** How far the heads' distributions are from one another, from their weights [B, H, 1, S]: H(mean) − mean H. */
function headDiversity(weights: Floats): Floats {
  const [count, , , keys] = weights.shape as readonly number[] as [number, number, number, number];
  const p = reshape(weights, [count, heads, keys]);
  // log p as scores: softmax of them is p again. A weight of 0 is kept from −∞, where log has no slope.
  return jsDivergence(log(add(p, 1e-6) as Floats) as never) as Floats;
}

interface Outcome {
  readonly accuracy: number;
  readonly support: number;
  readonly diversity: number;
  readonly temperatures: readonly number[];
}

function learn(map: Map, weight: number): Outcome {
  const model = new Lookup(map, 1);
  const adam = new Adam(model.parameters(), { lr: 5e-3 });
  for (const key of splitKey(randomKey(5), steps))
    scope(() => {
      const given = questions(batch, key);
      adam.minimize(() => {
        const { scores, weights } = model.forward(given);
        const loss = crossEntropy(scores, given.answers);
        return weight === 0 ? loss : (sub(loss, mul(headDiversity(weights), weight) as never) as never);
      });
    });
  return scope(() => {
    const given = questions(1000, randomKey(99));
    const { scores, weights } = model.forward(given);
    const places = [...weights.dataSync()].filter((w) => w > 0).length / (1000 * heads);
    return {
      accuracy: accuracy(scores, given.answers).item() as number,
      support: places,
      diversity: headDiversity(weights).item() as number,
      temperatures: [...exp(model.attention.logTemperature!.value as Floats).dataSync()],
    };
  });
}

const maps: readonly (readonly [name: string, map: Map])[] = [
  ["softmax", (x) => softmax(x) as Floats],
  ["sparsemax", (x) => sparsemax(x) as Floats],
  ["1.5-entmax", (x) => entmax15(x) as Floats],
  ["taylorSoftmax, order 2", (x) => taylorSoftmax(x) as Floats],
];
const results = maps.map(([name, map]) => ({ name, ...learn(map, 0) }));
const diverse = { name: "softmax, λ = 0.01", ...learn(maps[0]![1], 0.01) };

console.log(
  `\n${length} pairs of ${symbols} keys and values, one layer of ${heads} heads and ${width} features, ${steps} steps of ${batch}\n`,
);
console.log(
  align([
    ["map", "accuracy", "places looked at", "JS of the heads", "temperatures"],
    ...[...results, diverse].map((r) => [
      r.name,
      `${(100 * r.accuracy).toFixed(1)} %`,
      r.support.toFixed(2),
      r.diversity.toFixed(4),
      r.temperatures.map((t) => t.toFixed(2)).join(" and "),
    ]),
  ]),
);
console.log();
const [soft, sparse, entmax] = results as unknown as [Outcome, Outcome, Outcome];
gate("softmax answers 99 % or more", soft.accuracy >= 0.99);
gate(
  "so do sparsemax and 1.5-entmax, looking at fewer than 2 places",
  [sparse, entmax].every((r) => r.accuracy >= 0.99 && r.support < 2),
);
gate(
  "a bonus for diversity raises it and keeps 97 %",
  diverse.diversity > soft.diversity && diverse.accuracy >= 0.97,
);
