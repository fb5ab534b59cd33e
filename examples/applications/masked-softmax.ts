// Masked softmax, `npm run example:masking`: when some classes are impossible the normaliser runs over the others, and nothing
// else does. What goes wrong otherwise, in numbers; and tagging words with parts of speech where a dictionary says which tags a
// word can have.

import { parseArgs } from "node:util";
import {
  grad,
  normal,
  Parameter,
  randomKey,
  type Shape,
  scope,
  splitKey,
  type Tensor,
  tensor,
  uniform,
} from "simplexgrad";
import { crossEntropy, nll } from "simplexgrad/losses";
import { Linear } from "simplexgrad/nn";
import {
  argmax,
  concat,
  maskedLogSoftmax,
  maskedSoftmax,
  mul,
  naiveSoftmax,
  neg,
  softmax,
  sum,
  take,
  where,
} from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import { loadBrown, vocabularyOf } from "../data/brown.ts";
import { align } from "../main-job/table.ts";
import { gate, near } from "./gate.ts";

type Row = Tensor<[1, 3], "f64">;
const { values } = parseArgs({ options: { steps: { type: "string", default: "400" } } });

// ---------------------------------------------------------------------------------------------------------------
// Three scores, the third impossible, the second right

const z = tensor([[1, 2, 3]], { dtype: "f64" }) as Row;
const valid = tensor([[true, true, false]]);
const kept = tensor([[1, 1, 0]], { dtype: "f64" });
type Loss = (x: Row) => Tensor<Shape, "f64">;
const right: Loss = (x) => neg(maskedLogSoftmax(x, valid).slice(0, 1) as Tensor<Shape, "f64">);
/** Softmax over all, then zeros: the losing classes are pushed down through the mask. */
const zeroed: Loss = (x) => nll(mul(softmax(x), kept) as Row, [1]);
const shown = (t: Tensor): string => [...t.dataSync()].map((v) => v.toFixed(4)).join(" ");
const probabilities = { right: maskedSoftmax(z, valid), zeroed: mul(softmax(z), kept) };
const losses = { right: right(z).item() as number, zeroed: zeroed(z).item() as number };
const gradients = { right: grad((x: Row) => sum(right(x)))(z), zeroed: grad((x: Row) => sum(zeroed(x)))(z) };

console.log("Scores 1, 2, 3 of which the third is impossible and the second right\n");
console.log(
  align([
    ["", "probabilities", "their sum", "loss", "gradient"],
    ...(["right", "zeroed"] as const).map((way) => [
      way === "right" ? "masked softmax" : "softmax, then zeros",
      shown(probabilities[way]),
      (sum(probabilities[way] as Row).item() as number).toFixed(4),
      losses[way].toFixed(6),
      shown(gradients[way]),
    ]),
  ]),
);
console.log();
gate(
  "masked softmax loses 0.313262, and its probabilities are 0.268941, 0.731059 and exactly 0",
  near(losses.right, 0.313262, 1e-6) &&
    [0.268941, 0.731059, 0].every((p, i) => near(probabilities.right.dataSync()[i]!, p, 1e-6)) &&
    probabilities.right.dataSync()[2] === 0,
);
gate("its gradient on the impossible score is exactly 0", gradients.right.dataSync()[2] === 0);
gate(
  "zeros after softmax lose 1.407606 and leave a gradient of 0.665241 on the impossible score",
  near(losses.zeroed, 1.407606, 1e-6) && near(gradients.zeroed.dataSync()[2]!, 0.665241, 1e-6),
);
const large = tensor([[0, 0, 200]]);
const renormalised = scope(() => {
  const p = mul(naiveSoftmax(large), tensor([[1, 1, 0]])) as Tensor<[1, 3], "f32">;
  return p.dataSync()[0]! / (sum(p).item() as number);
});
gate(
  "to renormalise after zeros loses everything beside an impossible score of 200; masked softmax gives ½ and ½",
  Number.isNaN(renormalised) && shown(maskedSoftmax(large, valid)) === "0.5000 0.5000 0.0000",
);
const nothing = shown(maskedSoftmax(z, tensor([[false, false, false]])));
const finite = shown(softmax(where(tensor([[false, false, false]]), z, -1e9) as Row));
gate(
  `with no class left masked softmax gives zeros (${nothing}), scores of −1e9 give ${finite}`,
  nothing === "0.0000 0.0000 0.0000" && finite === "0.3333 0.3333 0.3333",
);

// ---------------------------------------------------------------------------------------------------------------
// Parts of speech

const { words, tags } = loadBrown();
const limit = 200_000;
const { vocabulary } = vocabularyOf(words.slice(0, limit), 2);
const tagNames = [...new Set(tags.slice(0, limit))].toSorted();
const idOf = new Map(vocabulary.map((word, id) => [word, id + 1])); // 0 is any other word
const tagOf = new Map(tagNames.map((tag, id) => [tag, id]));
const ids = Int32Array.from(words.slice(0, limit), (word) => idOf.get(word) ?? 0);
const labels = Int32Array.from(tags.slice(0, limit), (tag) => tagOf.get(tag)!);
/** The last tenth is for testing. */
const trainSize = Math.floor(0.9 * limit);

/** For each word the tags that it has in the part to train on; a word that is rare there may have any. */
const legal = new Uint8Array((vocabulary.length + 1) * tagNames.length);
const seen = new Int32Array(vocabulary.length + 1);
for (let i = 0; i < trainSize; i++) {
  legal[ids[i]! * tagNames.length + labels[i]!] = 1;
  seen[ids[i]!]!++;
}
for (let id = 0; id <= vocabulary.length; id++)
  if (id === 0 || seen[id]! < 5) legal.fill(1, id * tagNames.length, (id + 1) * tagNames.length);
const dictionary = tensor(legal, { shape: [vocabulary.length + 1, tagNames.length], dtype: "bool" });

const width = 24;
/** A tagger that sees a word and its neighbours, and knows the dictionary or does not. */
function tagger(masked: boolean) {
  const table = scope(() => new Parameter(normal([vocabulary.length + 1, width], { seed: 1, std: 0.3 })));
  const output = new Linear(3 * width, tagNames.length, { seed: 2 });
  const adam = new Adam([table as Parameter, ...output.parameters()], { lr: 5e-3 });
  const scores = (at: readonly number[]) => {
    const row = (shift: number) => tensor(Int32Array.from(at, (i) => ids[Math.max(0, i + shift)]!));
    const context = [-1, 0, 1].map((shift) => take(table.value, row(shift)));
    const all = output.forward(concat(context as never[], -1) as Tensor<[number, 72], "f32">);
    return (masked ? where(take(dictionary, row(0)), all, Number.NEGATIVE_INFINITY) : all) as Tensor<
      [number, number],
      "f32"
    >;
  };
  for (const key of splitKey(randomKey(3), Number(values.steps)))
    scope(() => {
      const at = [...uniform([256], { key, dtype: "f64" }).dataSync()].map(
        (u) => 1 + Math.floor(u * (trainSize - 2)),
      );
      adam.minimize(() =>
        crossEntropy(
          scores(at),
          Int32Array.from(at, (i) => labels[i]!),
        ),
      );
    });
  let correct = 0;
  let illegal = 0;
  const test = Array.from({ length: 10_000 }, (_, k) => trainSize + k);
  for (let from = 0; from < test.length; from += 1000)
    scope(() => {
      const at = test.slice(from, from + 1000);
      const answers = (argmax(scores(at), { axis: -1 }) as Tensor).dataSync();
      at.forEach((i, k) => {
        correct += Number(answers[k] === labels[i]);
        illegal += Number(legal[ids[i]! * tagNames.length + answers[k]!] === 0);
      });
    });
  return { accuracy: correct / test.length, illegal: illegal / test.length };
}
const [without, withMask] = [tagger(false), tagger(true)];
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
console.log(
  `\nTagging ${limit.toLocaleString("en-US")} words of the Brown corpus, ${tagNames.length} tags, ${values.steps} steps of 256 words\n`,
);
console.log(
  align([
    ["scores", "accuracy", "tags that the word cannot have"],
    ["all tags", percent(without.accuracy), percent(without.illegal)],
    ["masked by the dictionary", percent(withMask.accuracy), percent(withMask.illegal)],
  ]),
);
console.log();
gate("with the mask no word gets a tag that it cannot have", withMask.illegal === 0);
console.log(
  "With four times as many steps both reach 87 %: what the mask teaches at once the tagger learns in the end, and then the gaps of a dictionary cost as much as it saves.\n",
);
gate("and more words get the right one", withMask.accuracy > without.accuracy);
