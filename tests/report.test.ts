// The main job's table and page, from made-up results.
import { parseHTML } from "linkedom";
import { describe, expect, test } from "vitest";
import { type HeadResult, htmlReport, type Report } from "../examples/main-job/report.ts";
import {
  columns,
  meanAndSpread,
  resultTable,
  seedTable,
  type TestFigures,
} from "../examples/main-job/table.ts";

const figures: TestFigures = {
  accuracy: 0.968,
  nll: 0.12345,
  brier: 0.05,
  ece: 0.01,
  meanSupport: 10,
  zeroShare: 0,
  stepsPerSecond: 12345.6,
};
const sparse: TestFigures = {
  ...figures,
  accuracy: 0.974,
  nll: Infinity,
  meanSupport: 1.25,
  zeroShare: 0.875,
};

const head = (title: string, test: TestFigures, predictions: number[][]): HeadResult => ({
  title,
  losses: Array.from({ length: 300 }, (_, i) => 2 / (1 + i)),
  accuracyByEpoch: [0.5, 0.9, test.accuracy],
  test,
  predictions,
});

const report = (heads: HeadResult[]): Report => ({
  data: "made-up <data>",
  epochs: 3,
  seed: 7,
  image: [2, 2],
  classes: 3,
  environment: "no machine",
  heads,
  samples: [
    { pixels: [0, 0.5, 1, 0], label: 1 },
    { pixels: [1, 0, 0, 0], label: 2 },
  ],
});

const dense = [
  [0.1, 0.8, 0.1],
  [0.5, 0.3, 0.2],
];
const spiky = [
  [0, 1, 0],
  [0.25, 0, 0.75],
];
const both = [head("softmax", figures, dense), head("sparsemax", sparse, spiky)];
const read = (page: string) => parseHTML(page).document;

describe("the terminal's table", () => {
  test("columns are aligned and the best value of each is marked", () => {
    expect(resultTable(both)).toBe(
      [
        "head       accuracy      NLL     Brier       ECE    support   zeros  steps/s",
        "──────────────────────────────────────────────────────────────────────────────",
        "softmax      96.8 %    0.123 *  0.0500 *  0.0100 *    10.00   0.0 %   12,346 *",
        "sparsemax    97.4 % *      ∞    0.0500 *  0.0100 *     1.25  87.5 %   12,346 *",
      ].join("\n"),
    );
  });

  test("several seeds give mean ± standard deviation, one seed the value alone", () => {
    const accuracy = columns[0]!;
    expect(meanAndSpread(accuracy, [figures, sparse])).toBe("97.1 ± 0.4 %");
    expect(meanAndSpread(accuracy, [figures])).toBe("96.8 %");
    expect(meanAndSpread(columns[1]!, [figures, sparse])).toBe("∞");
    expect(seedTable([{ title: "softmax", seeds: [figures, figures] }])).toContain("0.0500 ± 0.0000");
  });

  test("a value that is not a number is shown as such and never marked best", () => {
    const table = resultTable([head("broken", { ...figures, nll: Number.NaN, brier: -Infinity }, dense)]);
    expect(table).toContain("NaN ");
    expect(table).toContain("−∞ ");
  });
});

describe("the page", () => {
  const page = htmlReport(report(both));
  const document = read(page);

  test("it needs nothing else: no script, no link, no address", () => {
    expect(page).not.toMatch(/<script|<link|<img|@import|url\(|src=|href="http/);
    expect(page.startsWith("<!doctype html>")).toBe(true);
  });

  test("text from outside is escaped", () => {
    expect(page).toContain("made-up &lt;data&gt;");
    expect(page).not.toContain("<data>");
  });

  test("the table shows every figure, marks the best and writes ∞", () => {
    const rows = [...document.querySelectorAll("tbody tr")].map((row) =>
      [...row.children].map((cell) => cell.textContent),
    );
    expect(rows).toEqual([
      ["softmax", "96.8 %", "0.123", "0.0500", "0.0100", "10.00", "0.0 %", "12,346"],
      ["sparsemax", "97.4 %", "∞", "0.0500", "0.0100", "1.25", "87.5 %", "12,346"],
    ]);
    const best = [...document.querySelectorAll("td.best")].map((cell) => cell.textContent);
    expect(best.slice(0, 2)).toEqual(["0.123", "0.0500"]);
    expect(best).toContain("97.4 %");
  });

  test("the headline names the most accurate and the most decided head", () => {
    const lead = document.querySelector(".lead")?.textContent;
    expect(lead).toBe(
      "Most accurate: sparsemax, 97.4 % of the test images. Most decided: sparsemax, with 1.25 of 3 classes above zero on average.",
    );
    const alone = read(htmlReport(report([both[0]!])));
    expect(alone.querySelector(".lead")?.textContent).toContain(
      "Every head gives every class some probability.",
    );
  });

  test("each head has a card with two curves, each sample one with a picture and the distributions", () => {
    const figuresShown = [...document.querySelectorAll("figure")];
    expect(figuresShown.map((figure) => figure.querySelectorAll("svg").length)).toEqual([2, 2, 2, 2]);
    expect(document.querySelectorAll("svg.picture rect").length).toBe(3);
  });

  test("exact zeros are crossed, and only they", () => {
    const [first, second] = [...document.querySelectorAll(".sample")];
    const crosses = (card: Element | undefined) => card?.outerHTML.match(/>×</g)?.length ?? 0;
    expect([crosses(first), crosses(second)]).toEqual([2, 1]);
  });

  test("a wrong answer carries a mark beside the probability of the true class", () => {
    const [first, second] = [...document.querySelectorAll(".sample")];
    expect(first?.textContent).toContain("0.80");
    expect(first?.textContent).not.toContain("✗");
    expect(second?.textContent).toContain("0.20 ✗");
    expect(second?.textContent).toContain("0.75");
  });

  test("several seeds add a table with their spread", () => {
    const seeded = { ...both[0]!, seeds: [figures, sparse] };
    expect(htmlReport(report([seeded]))).toContain("97.1 ± 0.4 %");
    expect(page).not.toContain("Over the seeds");
  });

  test("a training that diverged is still drawn", () => {
    const lost = { ...both[0]!, losses: [1, Number.NaN, Number.NaN] };
    expect(htmlReport(report([lost]))).toContain("Training loss of softmax");
  });
});
