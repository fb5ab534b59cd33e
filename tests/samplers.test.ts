// Samplers of candidates: their distributions, what is to be expected of them, and that a key tells all.

import { fc, test as property } from "@fast-check/vitest";
import { describe, expect, test } from "vitest";
import { ArgumentError, DomainError, tensor } from "../core/index.ts";
import { LogUniformSampler, type Sampler, UnigramSampler } from "../losses/index.ts";
import { aliasTable } from "../losses/samplers.ts";

const total = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);
const allOf = (range: number): number[] => Array.from({ length: range }, (_, id) => id);

/** The upper quantile of χ² at 1e-4, by Wilson and Hilferty's cube: 3.719 is that of the normal distribution. */
const chiSquareLimit = (freedom: number): number =>
  freedom * (1 - 2 / (9 * freedom) + 3.719 * Math.sqrt(2 / (9 * freedom))) ** 3;

/** χ² of ids against probabilities; ids expected fewer than ten times are one cell. */
function chiSquare(ids: Int32Array, prob: Float64Array): { statistic: number; freedom: number } {
  const found = new Float64Array(prob.length);
  for (const id of ids) found[id] = found[id]! + 1;
  let [statistic, cells, restFound, restWanted] = [0, 0, 0, 0];
  prob.forEach((p, id) => {
    const wanted = p * ids.length;
    if (wanted < 10) {
      restFound += found[id]!;
      restWanted += wanted;
      return;
    }
    statistic += (found[id]! - wanted) ** 2 / wanted;
    cells++;
  });
  if (restWanted > 0) statistic += (restFound - restWanted) ** 2 / restWanted;
  return { statistic, freedom: cells - (restWanted > 0 ? 0 : 1) };
}

const samplers: readonly (readonly [name: string, sampler: Sampler])[] = [
  ["log-uniform over 2000 ids", new LogUniformSampler(2000)],
  ["log-uniform over 2 ids", new LogUniformSampler(2)],
  ["unigram of Zipf's counts", new UnigramSampler(allOf(500).map((id) => 1000 / (id + 1)))],
  ["unigram with gaps", new UnigramSampler([5, 0, 1, 0, 3, 1], { power: 1 })],
];

describe.each(samplers)("%s", (_, sampler) => {
  const prob = sampler.prob();

  test("draws its probabilities, which sum to one", () => {
    expect(Math.abs(total(prob) - 1)).toBeLessThan(1e-12);
    const { ids, tries } = sampler.sample(100000, { seed: 11, unique: false });
    expect(tries).toBe(100000);
    const { statistic, freedom } = chiSquare(ids, prob);
    expect(statistic).toBeLessThan(chiSquareLimit(freedom));
    for (const id of ids) if (prob[id] === 0) expect.fail(`${id} has probability 0`);
  });

  test("expects count·q with replacement", () => {
    const { expected } = sampler.sample(7, { seed: 0, unique: false });
    expect(Array.from(expected(allOf(sampler.range)))).toEqual(Array.from(prob, (q) => 7 * q));
  });

  test("gives every id that there is, each expected once, when asked for all", () => {
    const possible = allOf(sampler.range).filter((id) => prob[id]! > 0);
    const { ids, expected, tries } = sampler.sample(possible.length, { seed: 0 });
    expect(Array.from(ids)).toEqual(possible);
    expect(tries).toBe(Number.POSITIVE_INFINITY);
    expect(Array.from(expected(allOf(sampler.range)))).toEqual(Array.from(prob, (q) => Number(q > 0)));
    expect(() => sampler.sample(possible.length + 1, { seed: 0 })).toThrow(/unique ids/);
  });

  test("is told by its key", () => {
    const [a, b, c] = [1, 1, 2].map((seed) => sampler.sample(64, { seed, unique: false }).ids);
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    expect(sampler.sample(2, { key: [3, 0] }).ids).toEqual(sampler.sample(2, { seed: 3 }).ids);
  });
});

property.prop(
  {
    counts: fc.array(fc.oneof(fc.constant(0), fc.double({ min: 1e-9, max: 1e9, noNaN: true })), {
      minLength: 1,
      maxLength: 40,
    }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(1e6),
  },
  { numRuns: 200 },
)(
  "distinct ids are distinct, can be drawn, and the expected counts are probabilities",
  ({ counts, share, seed }) => {
    const possible = counts.filter((v) => v > 0).length;
    fc.pre(possible > 0);
    const sampler = new UnigramSampler(counts);
    const count = Math.max(1, Math.round(share * possible));
    const { ids, expected, tries } = sampler.sample(count, { seed });
    expect(new Set(ids).size).toBe(count);
    expect(tries).toBeGreaterThanOrEqual(count);
    const all = expected(allOf(counts.length));
    all.forEach((e, id) => {
      if (counts[id] === 0) expect(e).toBe(0);
      else expect(e > 0 && e <= 1).toBe(true);
    });
    for (const id of ids) expect(counts[id]).toBeGreaterThan(0);
    // Where the tries are not counted they are those for which this holds.
    if (2 * count > possible) expect(Math.abs(total(all) - count)).toBeLessThan(1e-9 * count);
    expect(sampler.sample(count, { seed }).ids, "nothing is left of a call").toEqual(ids);
  },
);

describe("distinct ids", () => {
  const counts = [8, 4, 4, 2, 2, 1, 1, 1, 1, 1];
  const sampler = new UnigramSampler(counts, { power: 1 });
  const q = sampler.prob();

  /** The chance that ids are drawn first, in this order. */
  const inOrder = (ids: readonly number[]): number =>
    ids.reduce(({ chance, left }, id) => ({ chance: (chance * q[id]!) / left, left: left - q[id]! }), {
      chance: 1,
      left: 1,
    }).chance;

  test.each([
    ["by rejection", sampler, [0, 1, 5]],
    ["by a race", sampler, [0, 1, 2, 3, 5, 6]],
    // Two ids that hardly ever come: rejection gives up after the first.
    ["by both", new UnigramSampler([1e6, 1e-6, 3e-6, 1e-6], { power: 1 }), [0, 2]],
  ] as const)("come in the order of draws without replacement, %s", (_, from, start) => {
    const runs = 4000;
    let found = 0;
    const first = start.slice(0, 2);
    for (let seed = 0; seed < runs; seed++) {
      const { ids } = from.sample(start.length, { seed });
      if (first.every((id, i) => ids[i] === id)) found++;
    }
    const chance = from === sampler ? inOrder(first) : 3 / 5;
    expect(Math.abs(found / runs - chance)).toBeLessThan(4 * Math.sqrt((chance * (1 - chance)) / runs));
  });

  test.each([3, 6])("are included as often as expected: %d of ten", (count) => {
    const runs = 4000;
    const [found, wanted] = [new Float64Array(10), new Float64Array(10)];
    for (let seed = 0; seed < runs; seed++) {
      const { ids, expected } = sampler.sample(count, { seed });
      for (const id of ids) found[id] = found[id]! + 1 / runs;
      expected(allOf(10)).forEach((e, id) => {
        wanted[id] = wanted[id]! + e / runs;
      });
    }
    // They are estimates: what is frequent is included a little less often than they say.
    found.forEach((share, id) => {
      expect(Math.abs(share - wanted[id]!), `id ${id}`).toBeLessThan(0.04);
    });
  });
});

property.prop(
  {
    weights: fc.array(fc.oneof(fc.constant(0), fc.double({ min: 1e-12, max: 1, noNaN: true })), {
      minLength: 1,
      maxLength: 200,
    }),
  },
  { numRuns: 100 },
)("an alias table gives back its distribution", ({ weights }) => {
  const sum = total(weights);
  fc.pre(sum > 0);
  const prob = Float64Array.from(weights, (w) => w / sum);
  const { cut, alias } = aliasTable(prob);
  const back = cut.slice();
  alias.forEach((to, i) => {
    back[to] = back[to]! + 1 - cut[i]!;
  });
  back.forEach((v, i) => {
    expect(Math.abs(v / prob.length - prob[i]!)).toBeLessThanOrEqual(1e-14);
  });
});

test("what never occurs is never drawn, for power 0 too; large counts do not overflow", () => {
  expect(Array.from(new UnigramSampler([3, 0, 1], { power: 0 }).prob())).toEqual([0.5, 0, 0.5]);
  expect(Array.from(new UnigramSampler([1e300, 1e300], { power: 3 }).prob())).toEqual([0.5, 0.5]);
  expect(Array.from(new UnigramSampler(tensor([3, 1]), { power: 1 }).prob([1]))).toEqual([0.25]);
});

test("a draw is ready for the losses: rows to leave out are expected once", () => {
  const sampler = new LogUniformSampler(100);
  const batch = sampler.draw([5, -100, 7], 10, { seed: 1 });
  const { ids, expected } = sampler.sample(10, { seed: 1 });
  expect(batch.sampled).toEqual(ids);
  expect(batch.expectedSampled).toEqual(expected(ids));
  expect(Array.from(batch.expectedTrue)).toEqual([expected([5])[0], 1, expected([7])[0]]);
  expect(batch.unique).toBe(true);
  const labels = tensor(Int32Array.of(5, 3, 7));
  expect(sampler.draw(labels, 10, { seed: 1, ignoreIndex: 3 }).expectedTrue).toEqual(
    sampler.draw([5, 3, 7], 10, { seed: 1 }).expectedTrue.map((v, i) => (i === 1 ? expected([3])[0]! : v)),
  );
});

test("bad arguments are refused in sentences", () => {
  const sampler = new LogUniformSampler(5);
  const refused: readonly (readonly [
    call: () => unknown,
    kind: typeof DomainError | typeof ArgumentError,
    text: RegExp,
  ])[] = [
    [() => new LogUniformSampler(0), DomainError, /the range is 0/],
    [() => new LogUniformSampler(2.5), DomainError, /the range is 2.5/],
    [() => new UnigramSampler([1, -1]), DomainError, /count 1 is -1/],
    [() => new UnigramSampler([1, Number.NaN]), DomainError, /count 1 is NaN/],
    [() => new UnigramSampler([0, 0]), DomainError, /no count is positive/],
    [() => new UnigramSampler([]), DomainError, /no count is positive/],
    [() => new UnigramSampler("counts" as never), ArgumentError, /the counts are/],
    [() => new UnigramSampler([1], { power: -1 }), DomainError, /power is -1/],
    [() => new UnigramSampler([1], { alpha: 1 } as never), ArgumentError, /there is no option alpha/],
    [() => sampler.sample(6, { seed: 0 }), DomainError, /6 unique ids are asked for/],
    [() => sampler.sample(0, { seed: 0 }), DomainError, /0 ids are asked for/],
    [() => sampler.sample(1.5, { seed: 0 }), DomainError, /1.5 ids/],
    [() => sampler.sample(2, {}), ArgumentError, /neither a key nor a seed/],
    [() => sampler.sample(2, { seed: 0, unique: 1 } as never), ArgumentError, /unique is 1/],
    [() => sampler.draw([5], 2, { seed: 0 }), DomainError, /class 0 is 5/],
    [() => sampler.draw([0.5], 2, { seed: 0 }), DomainError, /class 0 is 0.5/],
    [() => sampler.expected(3 as never, 2), ArgumentError, /the classes are 3/],
    [() => sampler.prob([9]), DomainError, /ids lie in \[0, 5\)/],
  ];
  for (const [call, kind, text] of refused) {
    expect(call, String(text)).toThrow(kind);
    expect(call).toThrow(text);
  }
});
