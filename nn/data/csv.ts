// Reads tables of text: comma-separated values after RFC 4180, with columns of numbers and columns of categories.

import { type CreateOptions, tensor } from "../../core/create.ts";
import type { FloatDType } from "../../core/dtype.ts";
import { ArgumentError, FormatError, nearest, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { isRecord } from "../../core/scope.ts";
import type { Tensor } from "../../core/tensor.ts";
import { unzipped } from "./gzip.ts";

export interface CsvOptions {
  /** Whether the first line holds the names (default true). If not, columns are named "0", "1", …. */
  readonly header?: boolean;
  /** What stands between fields; a comma by default. */
  readonly delimiter?: string;
  /** The columns of categories, by name: either the names alone, or with the labels that may occur, in the order of their numbers. */
  readonly categories?: readonly string[] | { readonly [column: string]: readonly string[] };
  /** What an empty field in a column of numbers stands for, such as NaN. It is refused when not said. */
  readonly empty?: number;
}

/** A column of numbers. */
export interface NumberColumn {
  readonly values: Float64Array;
  readonly labels: null;
}

/** A column of categories: each field is the position of its text among the labels. */
export interface CategoryColumn {
  readonly values: Int32Array;
  readonly labels: readonly string[];
}

/** What a table of text holds. */
export class Table {
  /** The names of the columns, in order. */
  readonly names: readonly string[];
  /** The number of rows, without the header. */
  readonly rows: number;
  private readonly columns: ReadonlyMap<string, NumberColumn | CategoryColumn>;

  /** @internal Made by `readCsv`. */
  constructor(rows: number, columns: ReadonlyMap<string, NumberColumn | CategoryColumn>) {
    this.rows = rows;
    this.names = [...columns.keys()];
    this.columns = columns;
  }

  /** A column as [rows] in a typed array, with its labels if it holds categories. */
  column(name: string): NumberColumn | CategoryColumn {
    const found = this.columns.get(name);
    if (found === undefined) throw unknownColumn("column", name, this.names);
    return found;
  }

  /**
   * Columns of numbers side by side, as f32 unless `dtype` says otherwise: [rows, columns]. All of them when none are named.
   *
   * @example
   * const x = table.numbers(["height", "weight"]); // [rows, 2]
   */
  numbers<D extends FloatDType = "f32">(
    names: readonly string[] = this.names.filter((name) => this.column(name).labels === null),
    options: CreateOptions<D> = {},
  ): Tensor<[number, number], D> {
    checkOptions("numbers", options, ["dtype", "device"]);
    const columns = names.map((name) => {
      const { values, labels } = this.column(name);
      if (labels !== null)
        throw new ArgumentError(
          "numbers",
          `${name} holds categories`,
          `take it as classes(${showValue(name)})`,
        );
      return values;
    });
    const data = new Float64Array(this.rows * names.length);
    columns.forEach((values, j) => {
      for (let i = 0; i < values.length; i++) data[i * names.length + j] = values[i]!;
    });
    const dtype = options.dtype ?? "f32";
    return tensor(data, { ...options, dtype, shape: [this.rows, names.length] }) as Tensor<
      [number, number],
      D
    >;
  }

  /**
   * A column of categories as class indices: [rows], i32.
   *
   * @example
   * crossEntropy(model.forward(x), table.classes("species"));
   */
  classes(name: string, options: Omit<CreateOptions, "dtype"> = {}): Tensor<[number], "i32"> {
    checkOptions("classes", options, ["device"]);
    const { values, labels } = this.column(name);
    if (labels === null)
      throw new ArgumentError(
        "classes",
        `${name} holds numbers`,
        `read it with { categories: [${showValue(name)}] }`,
      );
    return tensor(values, options) as Tensor<[number], "i32">;
  }
}

const unknownColumn = (place: string, name: unknown, names: readonly string[]): ArgumentError =>
  new ArgumentError(
    place,
    `there is no column ${showValue(name)}`,
    `similar ones are ${nearest(String(name), names).slice(0, 3).map(showValue).join(", ")}`,
  );

/**
 * The table in comma-separated text, or in the bytes of it, gzipped or not: features and labels of small data sets. Fields may
 * stand in quotes, with delimiters, line breaks and doubled quotes inside (RFC 4180). Columns hold numbers unless they are named
 * as categories, whose labels are numbered in alphabetical order: so a word among numbers is an error, and no guess.
 *
 * Throws FormatError, naming line and column, for lines of another length, unclosed quotes, and fields that are no numbers or no
 * known labels; ArgumentError for names of categories that are no columns.
 * @example
 * const table = await readCsv("height,species\n1.5,ant\n2.5,bee\n", { categories: ["species"] });
 * table.numbers().toArray();            // [[1.5], [2.5]]
 * table.classes("species").toArray();   // [0, 1]
 * table.column("species").labels;       // ["ant", "bee"]
 */
export async function readCsv(
  text: string | Uint8Array | ArrayBuffer,
  options: CsvOptions = {},
): Promise<Table> {
  const place = "readCsv";
  checkOptions(place, options, ["header", "delimiter", "categories", "empty"]);
  const { header = true, delimiter = ",", categories = [], empty } = options;
  if (typeof delimiter !== "string" || delimiter.length !== 1 || '"\r\n'.includes(delimiter))
    throw new ArgumentError(place, `the delimiter is ${showValue(delimiter)}`, 'give one character: ";"');
  if (empty !== undefined && typeof empty !== "number")
    throw new ArgumentError(place, `empty is ${showValue(empty)}`, "give a number, such as NaN");
  const records = recordsOf(
    typeof text === "string" ? text : decoded(await unzipped(place, text)),
    delimiter,
  );
  const names = header ? records.shift()?.fields : records[0]?.fields.map((_, j) => String(j));
  if (names === undefined)
    throw new FormatError(
      place,
      "there is no line",
      header ? "give a header at least" : "give a row at least",
    );
  const twice = names.find((name, j) => names.indexOf(name) < j);
  if (twice !== undefined)
    throw new FormatError(place, `line 1: two columns are named ${showValue(twice)}`, "name them apart");
  for (const { line, fields } of records)
    if (fields.length !== names.length)
      throw new FormatError(
        place,
        `line ${line}: ${count(fields.length, "field")} instead of ${names.length}`,
        "give each line a field for every column",
      );
  const given = labelsOf(categories);
  for (const name of given.keys()) if (!names.includes(name)) throw unknownColumn(place, name, names);
  const columns = names.map((name, j): [string, NumberColumn | CategoryColumn] => {
    const refuse = (line: number, finding: string, wayOut: string): never => {
      throw new FormatError(place, `line ${line}, column ${j + 1} (${showValue(name)}): ${finding}`, wayOut);
    };
    if (given.has(name)) {
      const labels = given.get(name) ?? [...new Set(records.map(({ fields }) => fields[j]!))].sort();
      const positions = new Map(labels.map((label, k) => [label, k]));
      const values = Int32Array.from(records, ({ line, fields }) => {
        const unknown = (): never =>
          refuse(line, `${showValue(fields[j])} is no label`, "add it to categories");
        return positions.get(fields[j]!) ?? unknown();
      });
      return [name, { values, labels }];
    }
    const values = Float64Array.from(records, ({ line, fields }) => {
      const field = fields[j]!.trim();
      if (field === "")
        return empty ?? refuse(line, "the field is empty", "say what it stands for: { empty: NaN }");
      return (
        numberOf(field) ??
        refuse(line, `${showValue(field)} is no number`, "name the column in { categories }")
      );
    });
    return [name, { values, labels: null }];
  });
  return new Table(records.length, new Map(columns));
}

/** Columns of categories with their labels, as far as they are said. */
function labelsOf(categories: unknown): Map<string, readonly string[] | undefined> {
  const areTexts = (value: unknown): value is readonly string[] =>
    Array.isArray(value) && value.every((item) => typeof item === "string");
  if (areTexts(categories)) return new Map(categories.map((name) => [name, undefined]));
  if (isRecord(categories)) {
    const wrong = Object.entries(categories).find(
      ([, labels]) => !areTexts(labels) || new Set(labels).size < labels.length,
    );
    if (wrong === undefined) return new Map(Object.entries(categories as { [name: string]: string[] }));
    throw new ArgumentError(
      "readCsv",
      `the labels of ${showValue(wrong[0])} are ${showValue(wrong[1])}`,
      "give an array of texts, each once",
    );
  }
  throw new ArgumentError(
    "readCsv",
    `categories is ${showValue(categories)}`,
    'give names of columns: ["species"], or labels by them: { species: ["ant", "bee"] }',
  );
}

/** The number that a field says, in digits or as the words that other programs write; undefined where it says none. */
function numberOf(field: string): number | undefined {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(field)) return Number(field);
  if (/^nan$/i.test(field)) return Number.NaN;
  if (/^[+-]?inf(inity)?$/i.test(field))
    return field.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return undefined;
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new FormatError(
      "readCsv",
      "the bytes are no UTF-8",
      "decode them: new TextDecoder(…).decode(bytes)",
    );
  }
}

interface Line {
  /** The line that it begins on, from 1. */
  readonly line: number;
  readonly fields: string[];
}

/** The records of a text. A line without any character is none. */
function recordsOf(text: string, delimiter: string): Line[] {
  const records: Line[] = [];
  let line = 1;
  let at = text.startsWith("\ufeff") ? 1 : 0;
  const refuse = (finding: string, wayOut: string): never => {
    throw new FormatError("readCsv", `line ${line}: ${finding}`, wayOut);
  };
  /** The field in quotes that begins here. */
  const quoted = (): string => {
    const begun = line;
    let field = "";
    for (;;) {
      const end = text.indexOf('"', ++at);
      if (end < 0) {
        line = begun;
        refuse("a quote is opened and never closed", 'double quotes inside: ""');
      }
      const part = text.slice(at, end);
      line += part.split("\n").length - 1;
      field += part;
      at = end + 1;
      if (text[at] !== '"') return field;
      field += '"';
    }
  };
  const isEnd = (): boolean => at >= text.length || text[at] === "\n" || text.startsWith("\r\n", at);
  while (at < text.length) {
    const record: Line = { line, fields: [] };
    if (!isEnd()) records.push(record);
    for (;;) {
      if (text[at] === '"') {
        record.fields.push(quoted());
        if (text[at] !== delimiter && !isEnd())
          refuse(`${showValue(text[at])} follows a closed quote`, 'double quotes inside: ""');
      } else {
        const begin = at;
        while (text[at] !== delimiter && !isEnd()) {
          if (text[at] === '"')
            refuse("a quote stands inside a field", 'put the field in quotes, and write "" for one');
          at++;
        }
        record.fields.push(text.slice(begin, at));
      }
      if (text[at] !== delimiter) break;
      at++;
    }
    at += text[at] === "\r" ? 2 : 1;
    line++;
  }
  return records;
}
