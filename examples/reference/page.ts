// Writes the page of one op from its card, its docstring and its run: Markdown as GitHub renders it.

import { type Op, type OpInfo, printGradient, printProgram } from "simplexgrad";
import { lawSection } from "./laws.ts";
import type { Picture } from "./pictures.ts";
import type { Ran } from "./run.ts";
import type { OptionText, Source } from "./source.ts";

/** All that a page is made of. */
export interface PageParts {
  readonly op: Op;
  readonly source: Source;
  /** The examples of the docstring, run; where there is none, that of the card. */
  readonly examples: readonly Ran[];
  readonly pictures: readonly Picture[];
}

type Params = NonNullable<OpInfo["params"]>;
type Param = Params[string];

/** The page as text. */
export async function pageOf(parts: PageParts): Promise<string> {
  const { op, source, examples, pictures } = parts;
  const { info } = op;
  const { text, tagged } = source.docstring;
  const call = examples[0]?.call;
  const sections: (string | undefined)[] = [
    `# ${info.name}`,
    // Many docstrings begin with the sentence of the card and go on.
    text.startsWith(info.doc.slice(0, -1)) ? undefined : info.doc,
    pictures.length > 0
      ? pictures
          .map(
            ({ suffix, title }) =>
              `<img src="${info.name}${suffix}.svg" alt="${info.name}: ${title}" title="${title}">`,
          )
          .join(" ")
      : undefined,
    pictures.length > 0 && call !== undefined && call.length > 1
      ? "Drawn with the options of the example below."
      : undefined,
    text,
    ...section("Formula", [tagged.formula.map(mathematics).join("\n\n")]),
    ...section("Gradient", [tagged.gradient.map(mathematics).join("\n\n")]),
    ...section("Call", [callOf(parts), argumentsOf(info, source.options)]),
    ...section(
      "Example",
      examples.map(({ program }) => fenced("ts", program)),
    ),
    ...section("Conventions", [bullets(tagged.remarks)]),
    ...section("Laws", [await lawSection(op)]),
    ...section("In the literature", [bullets(tagged.errata)]),
    ...section("Related", [bullets(tagged.see.map(related(beside)))]),
    ...section("As it is computed", listings(info)),
    `${info.source ? `Source: ${info.source}. ` : ""}Declared in [${source.file}](../../${source.file}). Notation: [here](../README.md#notation).`,
  ];
  return `${sections.filter((s) => s !== undefined && s !== "").join("\n\n")}\n`;
}

/** The page of a function without a card: what its docstring says. */
export function functionPageOf(
  name: string,
  { file, docstring, options }: Source,
  pathOf: PathOf = beside,
): string {
  const { text, tagged } = docstring;
  const given = tagged.param.map((param) => /^(\w+)\s+(.*)$/s.exec(param)!.slice(1));
  const rows = [...given, ...options.map((o) => [o.name, o.text])].map(
    ([arg, of]) => `| \`${arg}\` | ${of} |`,
  );
  const sections = [
    `# ${name}`,
    text,
    ...section("Formula", [tagged.formula.map(mathematics).join("\n\n")]),
    ...section("Gradient", [tagged.gradient.map(mathematics).join("\n\n")]),
    ...section(
      "Arguments",
      rows.length > 0 ? [["| argument | what it is |", "| --- | --- |", ...rows].join("\n")] : [],
    ),
    ...section("Result", tagged.returns),
    ...section(
      "Example",
      tagged.example.map((program) => fenced("ts", program)),
    ),
    ...section("Conventions", [bullets(tagged.remarks)]),
    ...section("In the literature", [bullets(tagged.errata)]),
    ...section("Related", [bullets(tagged.see.map(related(pathOf)))]),
    `Declared in [${file}](../../${file}). Notation: [here](../README.md#notation).`,
  ];
  return `${sections.join("\n\n")}\n`;
}

/** A heading and what stands under it, or nothing where that is empty. */
function section(title: string, content: readonly (string | undefined)[]): string[] {
  const filled = content.filter((s): s is string => s !== undefined && s !== "");
  return filled.length > 0 ? [`## ${title}`, ...filled] : [];
}

const fenced = (language: string, text: string): string => `\`\`\`${language}\n${text}\n\`\`\``;

/** A line of LaTeX, or several aligned ones. */
const mathematics = (latex: string): string =>
  fenced(
    "math",
    latex.includes("&") || latex.includes("\\\\") ? `\\begin{aligned}${latex}\\end{aligned}` : latex,
  );

const bullets = (items: readonly string[]): string =>
  items.length === 1 ? items[0]! : items.map((item) => `- ${item}`).join("\n");

/** `entmax: at α = 2` as a link and its sentence. */
const related =
  (pathOf: PathOf) =>
  (text: string): string => {
    const [, name, rest] = /^(\w+)(.*)$/s.exec(text)!;
    return `[\`${name}\`](${pathOf(name!)})${rest}`;
  };

/** Where the page of another name lies. */
export type PathOf = (name: string) => string;
const beside: PathOf = (name) => `${name}.md`;

// ---------------------------------------------------------------------------------------------------------------
// Arguments

/** Options that the kind of an op has besides its own. */
const commonOptions: {
  readonly [Kind in OpInfo["kind"]]: readonly (readonly [name: string, text: string])[];
} = {
  map: [],
  structure: [],
  rowMap: [["axis", "The axis that is a row; the last by default."]],
  reduction: [
    ["axis", "The axis, or axes, to fold."],
    ["keepDims", "Whether folded axes stay, with size 1; false by default."],
  ],
  loss: [["axis", "The axis of the classes; the last by default."]],
};

/** Arguments before the options: tensors, or labels. */
function positional(op: Op): string[] {
  const { info } = op;
  const params = Object.entries(info.params ?? {});
  // What is no formula has its arguments where it is written; a bundler may have numbered them.
  if (info.kind === "structure") {
    const [, written = ""] = /^\(([\w, ]*)\) =>/.exec(String(op)) ?? [];
    return written
      .split(", ")
      .slice(1, -1)
      .map((name) => name.replace(/\d+$/, ""));
  }
  const isOptions = (v: unknown): boolean =>
    typeof v === "object" &&
    v !== null &&
    !Array.isArray(v) &&
    !["i32", "bool", "f64", "f32"].some((mark) => mark in v);
  const count = (info.examples[0]?.args.filter((v) => !isOptions(v)).length ?? 1) - 1;
  return params.slice(0, count).map(([name]) => name);
}

/** How an op is called: `entmax(x, { alpha?, axis? })`. */
function callOf({ op, source }: PageParts): string | undefined {
  const { info } = op;
  if (info.kind === "structure" && source.options.length === 0) return undefined;
  if (info.kind === "map") {
    const names = info.formula?.().inputs.map((e) => (e.detail as { readonly name: string }).name) ?? [];
    return names.length > 0 ? fenced("ts", `${info.name}(${names.join(", ")})`) : undefined;
  }
  const before = positional(op);
  const names = [
    ...source.options
      .filter(({ name }) => !before.includes(name))
      .map(({ name, optional }) => name + (optional ? "?" : "")),
    ...commonOptions[info.kind].map(([name]) => `${name}?`),
  ];
  const required = names.some((name) => !name.endsWith("?"));
  const options = names.length > 0 ? [`options${required ? "" : "?"}: { ${names.join(", ")} }`] : [];
  return fenced("ts", `${info.name}(${["x", ...before, ...options].join(", ")})`);
}

/** What stands before the options. */
const beforeOptions: { readonly [is in Param["is"]]?: string } = {
  label:
    "The right class of each row: an i32 tensor of the shape of the scores without their axis, or an array of integers.",
  row: "A tensor of the shape of the scores, or one that broadcasts to it.",
};

/** The table of the arguments with their bounds; nothing where there are none but x. */
function argumentsOf(info: OpInfo, options: readonly OptionText[]): string | undefined {
  const params = info.params ?? {};
  const rows = [
    ...Object.entries(params)
      .filter(
        ([name, { is }]) =>
          (is === "label" || (is === "row" && info.kind !== "structure")) &&
          !options.some((o) => o.name === name),
      )
      .map(([name, param]) => [name, whatStands(param), "", boundsOf(info, name, param)]),
    ...options.map(({ name, text }) => [
      name,
      text,
      defaultOf(params[name]),
      boundsOf(info, name, params[name]),
    ]),
    ...commonOptions[info.kind].map(([name, text]) => [name, text, "", ""]),
  ];
  if (rows.length === 0) return undefined;
  return [
    "| argument | what it is | default | bounds |\n| --- | --- | --- | --- |",
    ...rows.map(
      ([name, ...cells]) =>
        `| \`${name}\` | ${cells.map((cell) => cell!.replaceAll("|", "\\|")).join(" | ")} |`,
    ),
  ].join("\n");
}

function whatStands(param: Param): string {
  if (param.is === "row" && param.stored === "bool")
    return param.exact
      ? "A bool tensor of the shape of the scores: the classes that are right."
      : "A bool tensor of the shape of the scores, or one that broadcasts to it: the entries that count.";
  if (param.is === "row" && param.exact) return "A tensor of the shape of the scores.";
  return beforeOptions[param.is] ?? "";
}

const show = (v: number): string =>
  String(v).replace("-Infinity", "−∞").replace("Infinity", "∞").replace("-", "−");

const defaultOf = (param: Param | undefined): string =>
  param !== undefined && "default" in param && param.default !== undefined && param.default !== 0
    ? typeof param.default === "number"
      ? show(param.default)
      : `\`"${param.default}"\``
    : param !== undefined && param.is === "scalar" && param.default === 0 && param.min !== 1
      ? "0"
      : "";

function boundsOf(info: OpInfo, name: string, param: Param | undefined): string {
  if (param === undefined) return "";
  const bound = (v: number | "n"): string => (typeof v === "number" ? show(v) : "n");
  const parts: string[] = [];
  if (param.is === "scalar") {
    if (param.min !== undefined) parts.push(`≥ ${bound(param.min)}`);
    if (param.above !== undefined) parts.push(`> ${bound(param.above)}`);
    if (param.max !== undefined) parts.push(`≤ ${bound(param.max)}`);
    if (param.below !== undefined) parts.push(`< ${bound(param.below)}`);
    if (param.integer) parts.push("an integer");
    if (param.nonzero) parts.push("not 0");
  }
  if (info.constants?.includes(name)) parts.push("a constant: no gradient");
  return parts.join(", ");
}

// ---------------------------------------------------------------------------------------------------------------
// Listings

/** The formula and its gradient as programs of rows, from which every device's code is made. */
function listings({ formula: of, derivativesOf }: OpInfo): string[] {
  if (of === undefined) return [];
  const formula = of();
  if (formula.floatInputs === 0) return [fenced("text", printProgram(formula.runnable.program))];
  return [
    "The program of one row, from which the code for every device is made:",
    fenced("text", printProgram(formula.runnable.program)),
    derivativesOf
      ? `Its gradient, that of [\`${derivativesOf.info.name}\`](${derivativesOf.info.name}.md), as a program of the inputs and the cotangent:`
      : "Its gradient, as a program of the inputs and the cotangents, with a result for each input that has one:",
    fenced("text", printGradient(formula)),
  ];
}
