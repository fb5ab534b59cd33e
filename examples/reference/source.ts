// Reads what the sources say of an op: the docstring before its declaration, the options that its type names, and the file
// that it stands in. Text only: knows nothing of what ops compute.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The tags that a docstring may have besides its text. */
export const tags = [
  "formula",
  "gradient",
  "remarks",
  "errata",
  "see",
  "param",
  "returns",
  "example",
] as const;
export type Tag = (typeof tags)[number];

/** A docstring, taken apart: the text, and what stands after each tag, in order. */
export interface Docstring {
  readonly text: string;
  readonly tagged: { readonly [T in Tag]: readonly string[] };
}

/** An option of an op, as the interface of its options declares it. */
export interface OptionText {
  readonly name: string;
  readonly optional: boolean;
  readonly text: string;
}

/** What the sources say of one op. */
export interface Source {
  /** Its path from the root: `ops/maps/entmax.ts`. */
  readonly file: string;
  readonly docstring: Docstring;
  readonly options: readonly OptionText[];
}

/** The sources of the library. */
export interface Sources {
  /** What is exported under a name by the files of these folders, if it has a docstring. Throws where several are. */
  readonly find: (name: string, folders?: readonly string[]) => Source | undefined;
  /** What is said of an option that many share, where the losses are made. */
  readonly sharedOption: (name: string) => OptionText | undefined;
  /** The comment that a file opens with. */
  readonly opening: (file: string) => string;
}

const comment = String.raw`/\*\*((?:(?!\*/)[\s\S])*)\*/`;

/** The text of a comment without the stars at the beginning of its lines. */
const withoutStars = (text: string): string => text.replace(/^[ \t]*\* ?/gm, "").trim();

/** Lines of prose as one; rows of a table stay lines. */
const joined = (text: string): string => text.trim().replace(/[ \t]*\n(?!\|)[ \t]*/g, " ");

/** Takes a docstring apart. */
export function parseDocstring(body: string): Docstring {
  const parts = withoutStars(body).split(new RegExp(`(?:^|\\s)@(${tags.join("|")})\\b`));
  const found = new Map<string, string[]>(tags.map((tag) => [tag, []]));
  for (let i = 1; i < parts.length; i += 2) {
    const content = parts[i + 1]!;
    found.get(parts[i]!)!.push(parts[i] === "example" ? content.trim() : joined(content));
  }
  const paragraphs = parts[0]!.split(/\n\s*\n/).map(joined);
  return {
    text: paragraphs.join("\n\n").trim(),
    tagged: Object.fromEntries(found) as unknown as Docstring["tagged"],
  };
}

/** Reads the library of a source tree. */
export function readSources(root: string): Sources {
  const files = ["ops", "losses", "nn", "optim"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .map((file) => `${folder}/${file.replaceAll("\\", "/")}`)
      .filter((file) => file.endsWith(".ts"))
      .toSorted(),
  );
  // Options that several losses, maps or layers share are declared where these are made.
  const shared = ["core/rowop.ts", "core/rowloss.ts", "core/create.ts"];
  const texts = new Map([...files, ...shared].map((file) => [file, readFileSync(join(root, file), "utf8")]));

  /** Where a type is declared: in a file, or in the one that it imports it from. */
  const declarationOf = (name: string, file: string): { text: string; file: string } | undefined => {
    const text = texts.get(file);
    if (text === undefined) return undefined;
    const head = new RegExp(`^(?:export )?(?:interface|type) ${name}\\b`, "m").exec(text);
    if (head) return { text: blockFrom(text, head.index), file };
    const imported = new RegExp(`import [^;]*?\\b${name}\\b[^;]*? from "([^"]+)"`).exec(text)?.[1];
    if (imported === undefined) return undefined;
    const from = join(file, "..", imported).replaceAll("\\", "/");
    return declarationOf(name, from);
  };

  /** The options that a type mentions, its own and those of what it extends. */
  const optionsIn = (type: string, file: string, seen: Set<string>): OptionText[] => {
    const own = [...type.matchAll(new RegExp(`${comment}\\s*readonly (\\w+)(\\?)?:`, "g"))].map(
      ([, text, name, optional]) => ({
        name: name!,
        optional: optional === "?",
        text: joined(withoutStars(text!)),
      }),
    );
    const named = [...headOf(type).matchAll(/\b[A-Z]\w*/g)].flatMap(([name]) => {
      if (seen.has(name)) return [];
      seen.add(name);
      const found = declarationOf(name, file);
      return found === undefined ? [] : optionsIn(found.text, found.file, seen);
    });
    return [...own, ...named];
  };

  return {
    find: (name, folders = ["ops", "losses"]) => {
      const kinds = "const|(?:async )?function|(?:abstract )?class";
      const declaration = new RegExp(`${comment}\\nexport (?:${kinds}) ${name}\\b`);
      const found = files.flatMap((file) => {
        if (!folders.includes(file.split("/")[0]!)) return [];
        const text = texts.get(file)!;
        const match = declaration.exec(text);
        return match ? [{ file, body: match[1]!, rest: text.slice(match.index + match[0].length) }] : [];
      });
      // An op says its name in its card; a helper of the same name does not.
      const named = found.filter(({ rest }) => rest.split("\n\n")[0]!.includes(`"${name}"`));
      const [place, ...others] = found.length > 1 ? named : found;
      if (place === undefined) return undefined;
      if (others.length > 0)
        throw new Error(`docs: ${found.map(({ file }) => file).join(" and ")} export ${name}`);
      const { file, body, rest } = place;
      const isClass = new RegExp(`^export (?:abstract )?class ${name}\\b`, "m").test(texts.get(file)!);
      // What a class takes is what its constructor takes.
      const type = isClass
        ? (/\n {2}constructor\(([\s\S]*?)\) \{\n/.exec(rest.split("\n}\n")[0]!)?.[1] ?? "")
        : rest.split(/ = |\n\)|\{\n/)[0]!;
      return {
        file,
        docstring: parseDocstring(body),
        options: optionsIn(type, file, new Set()).filter(
          ({ name }, i, all) => all.findIndex((other) => other.name === name) === i,
        ),
      };
    },
    sharedOption: (name) => {
      for (const file of ["losses/heads.ts", ...shared]) {
        const found = new RegExp(`${comment}\\s*readonly ${name}(\\?)?:`).exec(texts.get(file)!);
        if (found) return { name, optional: true, text: joined(withoutStars(found[1]!)) };
      }
      return undefined;
    },
    opening: (file) =>
      texts
        .get(file)!
        .split(/\n(?!\/\/)/)[0]!
        .replace(/^\/\/ ?/gm, "")
        .replaceAll("\n", " "),
  };
}

/** What a declaration mentions without its comments, and for an interface before its members. */
function headOf(text: string): string {
  const bare = text.replace(/\/\*\*?[\s\S]*?\*\//g, "");
  return /^(?:export )?interface/.test(bare) ? bare.split("{")[0]! : bare;
}

/** A declaration from its first word to the end of its braces, or to its semicolon. */
function blockFrom(text: string, start: number): string {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0 && /^\s*\n/.test(text.slice(i + 1, i + 3)))
      return text.slice(start, i + 1);
    else if (text[i] === ";" && depth === 0) return text.slice(start, i + 1);
  }
  return text.slice(start);
}
