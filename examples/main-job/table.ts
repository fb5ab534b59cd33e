// The figures of the main job: what they are called, how they are written, and the table for a terminal.
// Computes no metric and draws nothing.

/** What one head reached on the test set. */
export interface TestFigures {
  /** Share of right answers, 0 … 1. */
  readonly accuracy: number;
  /** Mean negative log-likelihood in nats; Infinity when a true class got probability exactly 0. */
  readonly nll: number;
  /** Mean squared distance between the distribution and the one-hot label, 0 … 2. */
  readonly brier: number;
  /** Expected calibration error, 0 … 1. */
  readonly ece: number;
  /** Mean number of classes with a probability above 0. */
  readonly meanSupport: number;
  /** Share of the probabilities that are exactly 0, 0 … 1. */
  readonly zeroShare: number;
  /** Training steps a second, in the fastest epoch. */
  readonly stepsPerSecond: number;
}

/** One column of the results: its heading, the value's text, and which end of it is the better one, if either. */
export interface Column {
  readonly key: keyof TestFigures;
  readonly title: string;
  readonly explained: string;
  readonly better?: "high" | "low";
  readonly show: (value: number) => string;
}

const fixed =
  (digits: number) =>
  (value: number): string =>
    Number.isFinite(value) ? value.toFixed(digits) : Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
const percent = (value: number): string => `${fixed(1)(100 * value)} %`;

/** The columns in reading order, for the terminal and for the report. */
export const columns: readonly Column[] = [
  {
    key: "accuracy",
    title: "accuracy",
    explained: "right answers on the test set",
    better: "high",
    show: percent,
  },
  {
    key: "nll",
    title: "NLL",
    explained: "mean negative log-likelihood, nats; ∞ when a true class got probability exactly 0",
    better: "low",
    show: fixed(3),
  },
  {
    key: "brier",
    title: "Brier",
    explained: "mean squared distance to the one-hot label, 0 … 2",
    better: "low",
    show: fixed(4),
  },
  { key: "ece", title: "ECE", explained: "expected calibration error", better: "low", show: fixed(4) },
  {
    key: "meanSupport",
    title: "support",
    explained: "mean number of classes with a probability above 0",
    show: fixed(2),
  },
  { key: "zeroShare", title: "zeros", explained: "share of probabilities that are exactly 0", show: percent },
  {
    key: "stepsPerSecond",
    title: "steps/s",
    explained: "training steps a second, in the fastest epoch",
    better: "high",
    show: (value) => Math.round(value).toLocaleString("en-US"),
  },
];

/** The text of the column's best value among `heads`; heads that print the same text share the honour. */
export function bestText(
  column: Column,
  heads: readonly { readonly test: TestFigures }[],
): string | undefined {
  if (column.better === undefined) return undefined;
  const values = heads.map((head) => head.test[column.key]).filter((value) => Number.isFinite(value));
  if (values.length === 0) return undefined;
  return column.show(column.better === "high" ? Math.max(...values) : Math.min(...values));
}

/** The results of one run as aligned text, one line a head; `*` marks the best value of a column. */
export function resultTable(
  heads: readonly { readonly title: string; readonly test: TestFigures }[],
): string {
  const best = columns.map((column) => bestText(column, heads));
  const mark = ({ better }: Column, isBest: boolean): string =>
    better === undefined ? "" : isBest ? " *" : "  ";
  const rows = heads.map(({ title, test }) => [
    title,
    ...columns.map((column, i) => {
      const text = column.show(test[column.key]);
      return text + mark(column, text === best[i]);
    }),
  ]);
  return align([["head", ...columns.map((column) => column.title + mark(column, false))], ...rows]);
}

/** The results over several seeds as aligned text: mean ± standard deviation (of the sample) for each head. */
export function seedTable(
  heads: readonly { readonly title: string; readonly seeds: readonly TestFigures[] }[],
): string {
  const rows = heads.map(({ title, seeds }) => [
    title,
    ...columns.map((column) => meanAndSpread(column, seeds)),
  ]);
  return align([["head", ...columns.map((column) => column.title)], ...rows]);
}

/** Mean ± standard deviation of one column over the seeds; the mean alone when it is infinite or the seed single. */
export function meanAndSpread(column: Column, seeds: readonly TestFigures[]): string {
  const values = seeds.map((figures) => figures[column.key]);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length < 2 || !Number.isFinite(mean)) return column.show(mean);
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  return `${column.show(mean).replace(" %", "")} ± ${column.show(spread)}`;
}

/** Pads the cells of each column to one width: the first column to the left, the others to the right. */
export function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("──");
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join("\n");
}
