// The reference as files: a page for every op, loss, layer and optimizer, their pictures, the index and the table of laws. Computes them all from
// the ops themselves and their sources; writes nothing.

import type { Op } from "simplexgrad";
import * as losses from "simplexgrad/losses";
import * as nn from "simplexgrad/nn";
import * as ops from "simplexgrad/ops";
import * as optim from "simplexgrad/optim";
import { lawTables } from "./laws.ts";
import { functionPageOf, pageOf } from "./page.ts";
import { picturesOf } from "./pictures.ts";
import { exampleOfCard, runExample } from "./run.ts";
import { readSources, type Source } from "./source.ts";

/** The reference, and what is wrong with what it is made of. */
export interface Reference {
  /** The text of each file by its path below `docs/`. */
  readonly files: ReadonlyMap<string, string>;
  /** What is missing or untrue, a sentence each. */
  readonly faults: readonly string[];
}

/** Whether an op is a map of scores or a loss: these have their mathematics in their docstrings. */
const isStated = ({ file }: Source): boolean => file.startsWith("ops/maps/") || file.startsWith("losses/");

/** Makes the reference of the source tree in a folder. */
export async function reference(root: string): Promise<Reference> {
  const sources = readSources(root);
  const files = new Map<string, string>();
  const faults: string[] = [];
  const families = new Map<string, Op[]>();
  const every = [...ops.allOps, ...losses.allLosses, ...losses.allFeatureLosses];
  const exported: { readonly [name: string]: unknown } = { ...ops, ...losses };
  for (const op of every) {
    const { name } = op.info;
    const found = sources.find(name);
    const own = found?.options.map((option) => option.name) ?? [];
    const others = (op.info.kind === "structure" ? (op.info.options ?? []) : [])
      .filter((option) => !own.includes(option))
      .flatMap((option) => sources.sharedOption(option) ?? []);
    const source = found && { ...found, options: [...found.options, ...others] };
    if (source === undefined) {
      faults.push(`${name} has no docstring where it is exported`);
      continue;
    }
    const { formula, gradient, example, see } = source.docstring.tagged;
    families.set(source.file, [...(families.get(source.file) ?? []), op]);
    if (isStated(source)) {
      if (formula.length === 0) faults.push(`${name} (${source.file}) has no @formula in its docstring`);
      if (gradient.length === 0) faults.push(`${name} (${source.file}) has no @gradient in its docstring`);
    }
    for (const text of see)
      if (!Object.hasOwn(exported, /^\w+/.exec(text)?.[0] ?? ""))
        faults.push(`${name} (${source.file}): @see ${text} begins with the name of no op`);
    const examples = (example.length > 0 ? example : [exampleOfCard(op)]).map((text) => runExample(op, text));
    for (const { wrong } of examples)
      faults.push(...wrong.map((finding) => `${name} (${source.file}): ${finding}`));
    const what = losses.allLosses.includes(op)
      ? "loss"
      : source.file.startsWith("ops/maps/")
        ? "map"
        : "neither";
    const pictures = picturesOf(op, examples[0]!.call, what);
    for (const { suffix, svg } of pictures) files.set(`ops/${name}${suffix}.svg`, svg);
    files.set(`ops/${name}.md`, await pageOf({ op, source, examples, pictures }));
  }
  const maps = [...families].flatMap(([file, ops]) => (file.startsWith("ops/maps/") ? ops : []));
  files.set("laws.md", `${lawTables(maps.filter(({ info }) => info.kind !== "reduction"))}\n`);
  // What has no card: its page is its docstring.
  const besides = (
    from: { readonly [name: string]: unknown },
    folder: string,
    of?: readonly string[],
  ): string =>
    Object.keys(from)
      .toSorted()
      .flatMap((name) => {
        const value = from[name];
        const source =
          typeof value === "function" && !every.includes(value as never) ? sources.find(name, of) : undefined;
        if (source === undefined) return [];
        const pathOf = (other: string): string =>
          Object.hasOwn(from, other) ? `${other}.md` : `../ops/${other}.md`;
        files.set(`${folder}/${name}.md`, functionPageOf(name, source, pathOf));
        return [`- [\`${name}\`](${folder}/${name}.md): ${firstSentence(source.docstring.text)}`];
      })
      .join("\n");
  const others: readonly (readonly [title: string, list: string])[] = [
    ["Functions besides", besides(exported, "ops")],
    ["Layers, output layers, state and data", besides(nn, "nn", ["nn"])],
    ["Optimizers", besides(optim, "optim", ["optim"])],
    ["Schedules", besides(optim.schedules, "schedules", ["optim"])],
  ];
  files.set("README.md", indexOf(families, sources.opening, others));
  return { files, faults };
}

/** Where families stand in the index, by the beginning of their path. */
const parts: readonly (readonly [title: string, under: string])[] = [
  ["Maps: scores → probabilities", "ops/maps/"],
  ["Losses and metrics", "losses/"],
  ["Tensor ops", "ops/"],
];

/** The index: every op with its sentence, by the file that it stands in. */
function indexOf(
  families: ReadonlyMap<string, readonly Op[]>,
  opening: (file: string) => string,
  besides: readonly (readonly [title: string, list: string])[],
): string {
  const left = new Map(families);
  const sections = parts.flatMap(([title, under]) => {
    const within = [...left].filter(([file]) => file.startsWith(under));
    for (const [file] of within) left.delete(file);
    return [
      `## ${title}`,
      ...within.flatMap(([file, ops]) => [
        `**${firstSentence(opening(file))}**`,
        ops.map(({ info }) => `- [\`${info.name}\`](ops/${info.name}.md): ${info.doc}`).join("\n"),
      ]),
    ];
  });
  const others = besides.flatMap(([title, list]) => [`## ${title}`, list]);
  return `${[introduction, ...sections, ...others].join("\n\n")}\n`;
}

const firstSentence = (text: string): string => /^.*?\.(?=\s|$)/.exec(text)?.[0] ?? text;

const introduction = `# Reference

A page for every op, layer, optimizer and reader: the problem it solves and how it is called; for an op its formula and gradient, an example with its result, its laws, and the programs that run. The [table of laws](laws.md) compares the maps. \`npm run docs\` writes these files from the declarations of the ops.

## Notation

$\`x\`$ is a row of $\`n\`$ scores (the last axis, or the one that \`axis\` names), $\`p\`$ the row of probabilities that a map makes of it, $\`t\`$ the right class, $\`e_t\`$ the row that is 1 there and 0 elsewhere, $\`q\`$ a target distribution. $\`g\`$ is the cotangent, the gradient of what is to be minimised by the result; $\`dx\`$ is what a map makes of it, its gradient by the scores, and $\`d\\theta\`$ that by an option θ. For losses $\`dx\`$ is the gradient of the loss itself. $\`\\langle a,b\\rangle=\\sum_i a_ib_i\`$, $\`(v)_+=\\max(v,0)\`$, $\`\\sigma(v)=1/(1+e^{-v})\`$, $\`\\mathbf 1[\\cdot]\`$ is 1 where the condition holds and 0 elsewhere, $\`S\`$ is the support $\`\\{i: p_i>0\\}\`$. Products and functions of rows are entry by entry; logarithms are natural. In the listings \`·₀\` is the product in which 0 times anything is 0, \`c ? a : b\` chooses, and what is folded from a row (m, Σ, #, s), found as a root (τ) or used more than once (r) has a line of its own.

Unless a page says otherwise: a score of −∞ is masked, with probability and gradient exactly 0; a row that holds NaN or +∞, or is −∞ throughout, is NaN, and so is its gradient; other rows never notice. Where a map has a corner the derivative of max(v, 0) at 0 is 0, and the support is where $\`p_i>0\`$ strictly. Among equal scores the lowest index counts first. A single class has probability 1 exactly. Values outside the bounds of an option are refused when they are given as numbers, and make the row NaN when a device computed them.`;
