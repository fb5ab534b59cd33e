// Knowledge distillation, `npm run example:distillation`: a small network learns from the softened probabilities of a large one,
// on images without labels; and dark knowledge, where it recognises a digit that it has never been shown (Hinton, Vinyals & Dean
// 2015). Digits, means of several seeds.

import { parseArgs } from "node:util";
import { grad, type Key, type Shape, splitKey, type Tensor, tensor } from "simplexgrad";
import { accuracy, crossEntropy, kdKl } from "simplexgrad/losses";
import { mul, softmax, sparsemax, sub, sum, take } from "simplexgrad/ops";
import { align } from "../main-job/table.ts";
import { type Digits, digitsIn, network, seeds, trained, where } from "./digits.ts";
import { gate, mean } from "./gate.ts";

type Scores = Tensor<[number, 10], "f32">;
const { values } = parseArgs({ options: { seeds: { type: "string", default: "5" } } });

/** Steps of a teacher, before it is sure of everything, and of a student. */
const steps = { teacher: 400, student: 1500 };
/** Hidden units: of a student, and of one that is to learn what the smallest probabilities say, for which 8 are too few. */
const units = { teacher: 128, student: 8, dark: 16 };

type Network = ReturnType<typeof network>;
const scoresOf = (model: Network, { x }: Digits): Scores => model.forward(x) as Scores;
const right = (model: Network, on: Digits): number => accuracy(scoresOf(model, on), on.y).item() as number;

/** Trained on labels. */
const byLabels = (hidden: number, on: Digits, key: Key): Network => {
  const [weights, order] = splitKey(key);
  const model = network(hidden, weights!);
  const loss = (rows: Tensor<Shape, "i32">): Tensor =>
    crossEntropy(model.forward(take(on.x, rows).expect(["batch", 64])) as Scores, take(on.y, rows));
  const count = hidden === units.teacher ? steps.teacher : steps.student;
  return trained(model, on.y.size, loss, { steps: count, batch: 64 }, order!);
};

/** A student trained on a teacher's scores, softened by T. */
const distilled = (teacher: Network, hidden: number, on: Digits, T: number, key: Key): Network => {
  const [weights, order] = splitKey(key);
  const model = network(hidden, weights!);
  const target = scoresOf(teacher, on);
  const loss = (rows: Tensor<Shape, "i32">): Tensor =>
    kdKl(model.forward(take(on.x, rows).expect(["batch", 64])) as Scores, take(target, rows) as Scores, {
      temperature: T,
    });
  return trained(model, on.y.size, loss, { steps: steps.student, batch: 64 }, order!);
};

/** What came of one seed. */
async function outcome(key: Key) {
  const [split, forTeacher, forStudent] = splitKey(key, 3) as [Key, Key, Key];
  const [train, , test] = (await digitsIn([1000, 300, 497], split)) as [Digits, Digits, Digits];
  const few: Digits = {
    x: train.x.slice([0, 40]).expect(["n", 64]) as never,
    y: train.y.slice([0, 40]) as never,
  };
  const teacher = byLabels(units.teacher, train, forTeacher);
  const student = distilled(teacher, units.student, train, 4, forStudent);
  // Dark knowledge: no image of a 3, neither for hard labels nor for the student of a teacher that knows all digits.
  const noThrees = where(train, (label) => label !== 3);
  const threes = where(test, (label) => label === 3);
  const dark = distilled(teacher, units.dark, noThrees, 5, forStudent);
  const hard = byLabels(units.dark, noThrees, forStudent);
  return {
    teacher: right(teacher, test),
    few: right(byLabels(units.student, few, forStudent), test),
    all: right(byLabels(units.student, train, forStudent), test),
    student: right(student, test),
    hardThrees: right(hard, threes),
    darkThrees: right(dark, threes),
    /** What a sparsemax teacher would say of 3s where there are none. */
    sparse: mean(
      (sparsemax(scoresOf(teacher, noThrees)).toArray() as number[][]).map((row) => Number(row[3]! > 0)),
    ),
  };
}

const results: Awaited<ReturnType<typeof outcome>>[] = [];
for (const key of seeds(Number(values.seeds))) results.push(await outcome(key));
const of = (what: keyof (typeof results)[number]): number => mean(results.map((r) => r[what]));
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
console.log(`Distillation on digits, means of ${results.length} seeds\n`);
console.log(
  align([
    ["network", "trained on", "accuracy", "recall of 3s"],
    ["teacher 64-128-10", "1000 labels", percent(of("teacher")), ""],
    ["student 64-8-10", "40 labels", percent(of("few")), ""],
    ["student 64-8-10", "1000 labels", percent(of("all")), ""],
    ["student 64-8-10", "the teacher, T = 4", percent(of("student")), ""],
    ["student 64-16-10", "labels, no 3 among them", "", percent(of("hardThrees"))],
    ["student 64-16-10", "the teacher without a 3, T = 5", "", percent(of("darkThrees"))],
  ]),
);
console.log(
  `\nIts knowledge of 3s is in the small probabilities: softened softmax has them for every image, sparsemax of the same scores for ${percent(of("sparse"))} of the images that are no 3.\n`,
);
gate("the teacher lifts a student of 40 labels by 15 points or more", of("student") - of("few") >= 0.15);
gate("labels without 3s teach no 3", of("hardThrees") === 0);
gate("a teacher's scores without 3s teach 70 % of the 3s or more", of("darkThrees") >= 0.7);

// T² keeps the size of the gradient: it is T·(p − q), and tends to the difference of the centred scores over the classes.
const [z, teacherScores] = [
  tensor([[0, 1, 0.3]], { dtype: "f64" }),
  tensor([[2, 0.5, -1]], { dtype: "f64" }),
];
const at = (T: number): number[] => [
  ...grad((x: typeof z) => sum(kdKl(x, teacherScores, { temperature: T })) as Tensor<[], "f64">)(
    z,
  ).dataSync(),
];
const byHand = [
  ...(
    mul(sub(softmax(z, { temperature: 5 }), softmax(teacherScores, { temperature: 5 })), 5) as Tensor<
      Shape,
      "f64"
    >
  ).dataSync(),
];
const centred = (row: number[]): number[] => row.map((v) => v - mean(row));
const [student, teacher] = [centred([0, 1, 0.3]), centred([2, 0.5, -1])];
gate(
  "the gradient at T = 5 is T·(p − q), to 1e-12",
  at(5).every((v, i) => Math.abs(v - byHand[i]!) <= 1e-12),
);
gate(
  "as T grows it tends to the difference of the centred scores over the number of classes",
  at(1e5).every((v, i) => Math.abs(v - (student[i]! - teacher[i]!) / 3) <= 1e-4),
);
