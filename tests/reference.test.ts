// The reference under docs/ is what the declarations of the ops say now: every op has its page and its picture is current, what
// its docstring says comes out does come out, and every link leads somewhere.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type Reference, reference } from "../examples/reference/reference.ts";
import { parseDocstring } from "../examples/reference/source.ts";
import { allFeatureLosses, allLosses } from "../losses/index.ts";
import { allOps } from "../ops/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
let made: Reference;
beforeAll(async () => {
  made = await reference(root);
}, 60_000);

/** The files that are committed, by their paths below docs/. */
const committed: readonly string[] = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => /\.\w+$/.test(file));

describe("the reference", () => {
  test("is current", () => {
    const stale = [...made.files].flatMap(([path, text]) =>
      committed.includes(path) && readFileSync(join(root, "docs", path), "utf8") === text ? [] : [path],
    );
    const gone = committed.filter((path) => !made.files.has(path));
    expect([...stale, ...gone].map((path) => `docs/${path} is stale: run \`npm run docs\``)).toEqual([]);
  });

  test("has a page for every op and every loss", () => {
    const without = [...allOps, ...allLosses, ...allFeatureLosses].filter(
      ({ info }) => !committed.includes(`ops/${info.name}.md`),
    );
    expect(without.map(({ info }) => `${info.name} has no page`)).toEqual([]);
  });

  test("has the mathematics of every map and loss, examples that give what they say, and ops that exist beside them", () => {
    expect(made.faults).toEqual([]);
  });

  test("has links that lead somewhere", () => {
    const broken = [...made.files].flatMap(([path, text]) => {
      if (!path.endsWith(".md")) return [];
      const links = [...text.replace(/```[\s\S]*?```/g, "").matchAll(/\]\(([^)\s]+)\)|src="([^"]+)"/g)];
      return links.flatMap(([, link, source]) => {
        const [file, section] = (link ?? source)!.split("#");
        const target = normalize(join("docs", dirname(path), file!)).replaceAll("\\", "/");
        const within = target.replace(/^docs\//, "");
        const content = made.files.get(within);
        const exists = target.startsWith("docs/") ? content !== undefined : readable(join(root, target));
        const found =
          exists && (section === undefined || new RegExp(`^##* ${section}$`, "im").test(content ?? ""));
        return found ? [] : [`docs/${path} links to ${link ?? source}`];
      });
    });
    expect(broken).toEqual([]);
  });

  test("has pictures that are small", () => {
    const large = [...made.files].filter(([path, { length }]) => path.endsWith(".svg") && length > 10_000);
    expect(large.map(([path, { length }]) => `docs/${path} has ${length} characters`)).toEqual([]);
  });
});

function readable(path: string): boolean {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}

test("a docstring is taken apart into its text and its tags", () => {
  const { text, tagged } = parseDocstring(
    "\n * First line,\n * and second.\n *\n * More.\n * @formula a\n *   b\n * @see softmax: at 1\n * @see entmax: at 2\n * @example\n * f(1);\n * f(2); // 3\n ",
  );
  expect(text).toBe("First line, and second.\n\nMore.");
  expect(tagged.formula).toEqual(["a b"]);
  expect(tagged.see).toEqual(["softmax: at 1", "entmax: at 2"]);
  expect(tagged.example).toEqual(["f(1);\nf(2); // 3"]);
  expect(parseDocstring(" x². @example square(2) // 4 ").tagged.example).toEqual(["square(2) // 4"]);
});
