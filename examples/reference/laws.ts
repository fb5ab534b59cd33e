// Which law each map fulfils and which it breaks, from the cards: the table, and the sentences for the page of one map.
// Proves nothing: the suite does.

import type { Op, Tensor } from "simplexgrad";
import { type LawFunction, type LawName, laws, objectionTo } from "simplexgrad/check";
import { exampleOfCard, runExample, withScores } from "./run.ts";

/** What a card says of a law: it holds, it is broken by these rows, or nothing. */
export type Standing = "holds" | "not stated" | { readonly rows: readonly (readonly number[])[] };

/** Every law, in reading order. */
export const lawNames = Object.keys(laws) as LawName[];

/** The laws that the great table has, with the heads of their columns; all others come in a second one. */
const great: readonly (readonly [name: LawName, head: string])[] = [
  ["sumsToOne", "Σp = 1"],
  ["nonNegative", "p ≥ 0"],
  ["shiftInvariant", "shift"],
  ["monotone", "mono"],
  ["strictlyMonotone", "strict"],
  ["permutationEquivariant", "perm"],
  ["scaleInvariant", "scale"],
  ["idempotentOnSimplex", "idem"],
  ["exactZeros", "zeros"],
];

/** Weaker laws, which the great table shows where a map breaks the one of the column but keeps these. */
const weaker: { readonly [Name in LawName]?: readonly (readonly [name: LawName, cell: string])[] } = {
  sumsToOne: [
    ["sumsToAtMostOne", "≤ 1"],
    ["sumsToOneOrZero", "1 or 0"],
    ["sumsAlike", "= k"],
  ],
  monotone: [["monotoneUnderEqualBounds", "equal bounds"]],
  permutationEquivariant: [["permutationEquivariantWithoutTies", "no ties"]],
};

/** Names of laws with those that follow from them. */
function withConsequences(names: readonly string[]): Set<string> {
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    found.add(name);
    laws[name as LawName]?.implies?.forEach(visit);
  };
  names.forEach(visit);
  return found;
}

/** What the card of an op says of a law. */
export function standing({ info }: Op, law: string): Standing {
  // A consequence may fail all the same: a straight-through estimator has another op's gradient.
  const rows = info.breaks?.[law];
  if (rows !== undefined) return { rows };
  return withConsequences(info.laws).has(law) ? "holds" : "not stated";
}

const shortened = (text: string): string =>
  text
    .replace(/-?\d+\.\d{5,}(e-?\d+)?/g, (v) => String(Number(Number(v).toPrecision(4))))
    .replaceAll("-", "−");

/** Rows as a reader writes them. */
const written = (rows: readonly (readonly number[])[]): string =>
  rows.map((row) => `(${row.join(", ").replaceAll("-", "−").replaceAll("Infinity", "∞")})`).join(", ");

/** The op as a function of scores alone, with the other arguments of its first example. */
function ofScores(op: Op): LawFunction {
  const run = op as unknown as (...args: readonly unknown[]) => Tensor;
  const { call = [] } = runExample(op, exampleOfCard(op));
  return (x: Tensor) => run(...withScores(op, call, x));
}

/** What contradicts a law on the rows of a card, as a sentence. */
async function counterexample(op: Op, law: string, rows: readonly (readonly number[])[]): Promise<string> {
  const found = await objectionTo(ofScores(op), law, rows);
  return `For the scores ${written(rows)}${found === undefined ? "" : ` ${shortened(found)}`}.`;
}

/** The laws of one op, as the section of its page. */
export async function lawSection(op: Op): Promise<string> {
  const stated = lawNames.map((law) => [law, standing(op, law)] as const);
  const holding = stated.flatMap(([law, how]) => (how === "holds" ? [law] : []));
  const broken = stated.flatMap(([law, how]) => (typeof how === "object" ? [[law, how.rows] as const] : []));
  const parts: string[] = [];
  if (holding.length > 0)
    parts.push(
      "It holds, and the suite checks, that",
      holding.map((law) => `- ${laws[law].sentence} (\`${law}\`)`).join("\n"),
    );
  if (broken.length > 0) {
    const lines = await Promise.all(
      broken.map(
        async ([law, rows]) =>
          `- ~~${laws[law].sentence}~~ (\`${law}\`) ${await counterexample(op, law, rows)}`,
      ),
    );
    parts.push("It does not hold that", lines.join("\n"));
  }
  return parts.join("\n\n");
}

/** The page with the tables of all maps. */
export function lawTables(maps: readonly Op[]): string {
  const others = lawNames.filter(
    (law) => !great.some(([name]) => name === law) && maps.some((op) => standing(op, law) !== "not stated"),
  );
  const cell = (op: Op, law: LawName): string => {
    const how = standing(op, law);
    if (how === "holds") return "yes";
    if (how === "not stated") return "";
    const kept = weaker[law]?.find(([name]) => standing(op, name) === "holds");
    return `[${kept?.[1] ?? "–"}](ops/${op.info.name}.md#laws)`;
  };
  const table = (columns: readonly (readonly [name: LawName, head: string])[]): string =>
    [
      `| map | ${columns.map(([, head]) => head).join(" | ")} |`,
      `| --- |${columns.map(() => " :-: |").join("")}`,
      ...maps.map(
        (op) =>
          `| [\`${op.info.name}\`](ops/${op.info.name}.md) | ${columns.map(([law]) => cell(op, law)).join(" | ")} |`,
      ),
    ].join("\n");
  const sentence = (law: LawName, head: string): string =>
    `- **${head}** (\`${law}\`): ${laws[law].sentence}`;
  return [
    "# The laws of the maps",
    "Each cell is declared on the card of the map and checked by the suite on random rows of many kinds (ties, offsets, wide spreads, masked scores), on every device and in every float type. **yes**: it holds. **–**: it does not hold; the link leads to a counterexample, which the suite checks too. Other words: it holds so far only. Empty: not stated.",
    table(great),
    great.map(([law, head]) => sentence(law, head)).join("\n"),
    "## Gradients and edges",
    table(others.map((law) => [law, `\`${law}\``])),
    others.map((law) => `- \`${law}\`: ${laws[law].sentence}`).join("\n"),
    'Your own map is held against the same laws by `checkLaws(map, ["sumsToOne", …])` of `simplexgrad/check`.',
  ].join("\n\n");
}
