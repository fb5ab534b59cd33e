// The vocabulary example goes on where it stopped: the same bits as if it had never stopped. That it runs is `examples.test.ts`'s.

import { expect, test } from "vitest";
import { Corpus } from "../examples/vocabulary/corpus.ts";
import { heads } from "../examples/vocabulary/heads.ts";
import { Training } from "../examples/vocabulary/train.ts";
import { fromCheckpoint, toCheckpoint } from "../nn/index.ts";

const corpus = new Corpus();
const seed = 3;

test("the corpus has 20,616 words, and their frequencies alone a perplexity near 860", () => {
  expect(corpus.size).toBe(20_616);
  expect(corpus.counts.reduce((a, b) => a + b)).toBeGreaterThan(1e6);
  expect(Math.abs(corpus.unigramPerplexity(20_000) / 861.1 - 1)).toBeLessThan(0.01);
});

test.each(["huffman", "nce"])(
  "%s: a training that was stopped and saved ends in the same bits",
  async (id) => {
    const head = heads.find((h) => h.id === id)!;
    const whole = new Training(head, corpus, seed);
    whole.train(4);
    const first = new Training(head, corpus, seed);
    first.train(2);
    const bytes = await toCheckpoint(first.parts);
    const second = new Training(head, corpus, seed);
    fromCheckpoint(bytes, second.parts);
    second.step = first.step;
    second.train(2);
    expect(Buffer.compare(await toCheckpoint(second.parts), await toCheckpoint(whole.parts))).toBe(0);
  },
);
