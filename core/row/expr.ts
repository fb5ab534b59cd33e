// The row language: expressions over one row of scores and its scalars, and the words that are single instructions.
// Building an expression simplifies it and shares equal parts; nothing is computed here. What these words mean numerically
// is read off `backends/js/rows.ts`; their derivatives stand in `differentiate.ts`; words that mean more stand in `words.ts`.

import { ArgumentError, showValue } from "../errors.ts";

/** A row has one entry per class; a scalar is one number per row. */
export type Kind = "row" | "scalar";
/** Numbers, or the truth values that comparisons give. */
export type Sort = "number" | "bool";

/** Words whose value at an entry depends on their arguments at that entry alone. */
export type ElementwiseWord =
  | "neg"
  | "exp"
  | "expm1"
  | "log"
  | "log1p"
  | "sqrt"
  | "sin"
  | "cos"
  | "tanh"
  | "erf"
  | "logNormalCdf"
  | "sigmoid"
  | "softplus"
  | "abs"
  | "sign"
  | "floor"
  | "round"
  | "relu"
  | "xlogx"
  | "log1pRatio"
  | "expm1Ratio"
  | "add"
  | "sub"
  | "mul"
  | "mulZero"
  | "div"
  | "pow"
  | "posPow"
  | "maximum"
  | "minimum"
  | "clamp"
  | "greater"
  | "greaterEqual"
  | "equal"
  | "and"
  | "or"
  | "not"
  | "select"
  | "stop"
  | "differentiateAs";

/** Words that fold a row into one scalar. */
export type ReductionWord = "sum" | "max" | "min" | "count" | "argmax";

export type Word =
  | ElementwiseWord
  | ReductionWord
  | "const"
  | "input"
  | "bound"
  | "index"
  | "n"
  | "pick"
  | "kth"
  | "cumsum"
  | "totalVariation"
  | "groupMeans"
  | "groupDrift"
  | "root"
  | "series";

/** What a `series` carries besides its count (its argument). */
export interface SeriesParts {
  /** The number of the term, 0 … count − 1, inside `value`. */
  readonly variable: Scalar;
  /** The term. */
  readonly value: Value;
}

/** What a `root` carries besides its bracket (its two arguments). */
export interface RootParts {
  /** The unknown τ inside `value`, `slope` and `support`. */
  readonly variable: Scalar;
  /** F(τ). */
  readonly value: Scalar;
  /** ∂F/∂τ by forward mode, filled in by `differentiate.ts`'s rules when the root is built. */
  readonly slope: Scalar;
  /** Entries outside add nothing to F at τ nor at any larger τ. */
  readonly support: RowMask | undefined;
  /** Newton's rescaling s(F) as an expression in `straightVariable`, and its derivative. */
  readonly straight:
    | { readonly variable: Scalar; readonly value: Scalar; readonly slope: Scalar }
    | undefined;
}

/** How an input stands in memory. Numbers compute in the float type of the kernel, whatever they are stored as. */
export interface InputInfo {
  readonly name: string;
  readonly stored: "float" | "i32" | "bool";
  /** If known, the row of which this scalar is the maximum: a saved one that a backward program reads back. */
  readonly maximumOf?: Expr;
}

type Detail = number | InputInfo | RootParts | SeriesParts | undefined;

/**
 * What a word means that is more than an instruction: its derivative, and its value on each device. It hangs on the word's
 * nodes, put there by whoever builds them (`words.ts`), so that a bundle holds what the words in use mean and no more.
 */
export interface Meaning {
  /** v · ∂e/∂(argument i), as in `differentiate.ts`. */
  chain?(e: Expr, i: number, v: Value, times: (v: Value, factor: Value) => Value): Value;
  /** The value for two arguments, or for one and the detail. */
  js?(a: number, b: number): number;
  /** What a walk along the first argument gives. */
  walk?(row: Float64Array, b: never): Float64Array | number;
  /** The word on other arguments, simplified, where that is more than a node. */
  build?(a: Value, b: Value): Value;
  /** That walk as WGSL, along places that hold the result and the arguments. */
  wgsl?(out: (i: string) => string, ...args: readonly ((i: string) => string)[]): string;
  /** What the WebAssembly device writes for it: its own affair. */
  readonly wasm: unknown;
}

/** One node of a formula. Equal formulas are the same node. */
export class Expr<K extends Kind = Kind, S extends Sort = Sort> {
  /** Creation order: arguments come before what uses them. */
  readonly id: number;
  readonly word: Word;
  readonly kind: K;
  readonly sort: S;
  readonly args: readonly Expr[];
  /** A constant's value, a ratio's order k, an input's storage, a root's parts. */
  readonly detail: Detail;
  readonly meaning: Meaning | undefined;

  constructor(
    id: number,
    word: Word,
    kind: K,
    sort: S,
    args: readonly Expr[],
    detail: Detail,
    meaning: Meaning | undefined,
  ) {
    this.id = id;
    this.word = word;
    this.kind = kind;
    this.sort = sort;
    this.args = args;
    this.detail = detail;
    this.meaning = meaning;
  }
}

export type Row = Expr<"row", "number">;
export type Scalar = Expr<"scalar", "number">;
export type RowMask = Expr<"row", "bool">;
export type ScalarMask = Expr<"scalar", "bool">;
export type Value = Expr<Kind, "number">;
export type Mask = Expr<Kind, "bool">;
/** What a word takes: an expression, or a number written as such. */
export type Operand = Value | number;

type KindOf<A> = A extends Expr<infer K> ? K : "scalar";
/** A row if any argument is a row. */
type Joined<A> = "row" extends KindOf<A> ? "row" : "scalar";
/** The number that words give for arguments of these kinds. */
export type Num<A> = Expr<Joined<A>, "number">;
/** The truth value that words give for arguments of these kinds. */
export type Truth<A> = Expr<Joined<A>, "bool">;

let nextId = 0;
const interned = /* @__PURE__ */ new Map<string, Expr>();

/** The node of a word, the same one for equal arguments. */
export function intern(
  word: Word,
  kind: Kind,
  sort: Sort,
  args: readonly Expr[],
  detail?: number,
  meaning?: Meaning,
): Expr {
  let key: string = word;
  if (detail !== undefined) key += Object.is(detail, -0) ? ":-0" : `:${detail}`;
  for (const arg of args) key += `,${arg.id}`;
  let found = interned.get(key);
  if (!found) {
    found = new Expr(nextId++, word, kind, sort, args, detail, meaning);
    interned.set(key, found);
  }
  return found;
}

/** A node that is equal only to itself: an input, a bound variable, a root. */
function fresh(
  word: Word,
  kind: Kind,
  sort: Sort,
  args: readonly Expr[],
  detail: Detail,
  meaning?: Meaning,
): Expr {
  return new Expr(nextId++, word, kind, sort, args, detail, meaning);
}

/** A number as an expression. */
export function constant(value: number): Scalar {
  return intern("const", "scalar", "number", [], value) as Scalar;
}

/** An argument of a word as an expression. */
export function lift(word: Word, value: Operand): Value {
  if (typeof value === "number") return constant(value);
  if (value instanceof Expr && value.sort === "number") return value;
  throw new ArgumentError(
    word,
    `${value instanceof Expr ? "a truth value" : showValue(value)} stands where a number of the row language is wanted`,
    "give a Row, a Scalar or a number (tensors enter a formula as its inputs)",
  );
}

function liftMask(word: Word, value: Mask): Mask {
  if (value instanceof Expr && value.sort === "bool") return value;
  throw new ArgumentError(
    word,
    `${value instanceof Expr ? "a number" : showValue(value)} stands where a truth value is wanted`,
    "give a comparison",
  );
}

function joinKind(args: readonly Expr[]): Kind {
  return args.some((a) => a.kind === "row") ? "row" : "scalar";
}

/** The value of a constant, or undefined. */
export function constantOf(e: Expr): number | undefined {
  return e.word === "const" ? (e.detail as number) : undefined;
}

/** Whether this is the constant `value`. */
export const isConst = (e: Expr, value: number): boolean => e.word === "const" && e.detail === value;
const isNeg = (e: Expr): boolean => e.word === "neg";
/** select(mask, x, 0): a masked value. */
const isMasked = (e: Expr): boolean => e.word === "select" && isConst(e.args[2]!, 0);

// ---------------------------------------------------------------------------------------------------------------
// Inputs and leaves

/** A row input of a program. */
export function rowInput(name: string, stored: "bool"): RowMask;
export function rowInput(name: string, stored?: "float" | "i32"): Row;
export function rowInput(name: string, stored: "float" | "i32" | "bool" = "float"): Expr {
  return fresh("input", "row", stored === "bool" ? "bool" : "number", [], { name, stored });
}

/** A scalar input of a program: one number per row, or one for all rows. */
export function scalarInput(name: string, stored: "bool"): ScalarMask;
export function scalarInput(name: string, stored?: "float" | "i32"): Scalar;
export function scalarInput(name: string, stored: "float" | "i32" | "bool" = "float"): Expr {
  return fresh("input", "scalar", stored === "bool" ? "bool" : "number", [], { name, stored });
}

/** A scalar input that stands for a scalar computed earlier. */
export function savedInput(name: string, e: Expr): Scalar {
  const known = e.word === "max" ? { maximumOf: e.args[0]! } : {};
  return fresh("input", "scalar", "number", [], { name, stored: "float", ...known }) as Scalar;
}

/** The position of each entry: 0 … n − 1. */
export const index: Row = /* @__PURE__ */ intern("index", "row", "number", []) as Row;
/** The number of entries of the row. */
export const n: Scalar = /* @__PURE__ */ intern("n", "scalar", "number", []) as Scalar;

// ---------------------------------------------------------------------------------------------------------------
// Elementwise words

/** Value of a word on constants, so that constant formulas fold; only the cheap, exact ones. */
function foldUnary(word: Word, v: number): number | undefined {
  switch (word) {
    case "neg":
      return -v;
    case "sqrt":
      return Math.sqrt(v);
    case "abs":
      return Math.abs(v);
    case "sign":
      return Math.sign(v);
    case "floor":
      return Math.floor(v);
    case "relu":
      return Math.max(v, 0);
    default:
      return undefined;
  }
}

/** A word of one argument. */
export function unary<A extends Operand>(
  word: ElementwiseWord,
  a: A,
  detail?: number,
  meaning?: Meaning,
): Num<A> {
  const x = lift(word, a);
  const c = constantOf(x);
  if (c !== undefined) {
    const folded = meaning?.js ? meaning.js(c, detail!) : foldUnary(word, c);
    if (folded !== undefined) return constant(folded) as Expr as Num<A>;
  }
  return intern(word, x.kind, "number", [x], detail, meaning) as Num<A>;
}

export function neg<A extends Operand>(a: A): Num<A> {
  const x = lift("neg", a);
  if (x.word === "neg") return x.args[0] as Num<A>;
  if (x.word === "sub") return sub(x.args[1] as Value, x.args[0] as Value) as Expr as Num<A>;
  return unary("neg", x) as Expr as Num<A>;
}
export const sqrt = <A extends Operand>(a: A): Num<A> => unary("sqrt", a);
export const abs = <A extends Operand>(a: A): Num<A> => unary("abs", a);
/** −1, 0 or 1; sign(0) = 0. Its derivative is zero. */
export const sign = <A extends Operand>(a: A): Num<A> => unary("sign", a);
export const floor = <A extends Operand>(a: A): Num<A> => unary("floor", a);
/** To the nearest integer, halves to the even one. */
export const round = <A extends Operand>(a: A): Num<A> => unary("round", a);
/** max(a, 0), with derivative 0 at 0; NaN stays NaN. */
export const relu = <A extends Operand>(a: A): Num<A> => unary("relu", a);
/** The value, as a constant to differentiation. */
export function stop<A extends Operand>(a: A): Num<A> {
  const x = lift("stop", a);
  return (x.word === "const" || x.word === "stop" ? x : intern("stop", x.kind, "number", [x])) as Num<A>;
}

/**
 * The value of the first formula with the derivatives of the second: the two are equal in exact arithmetic, but one has the
 * digits and the other the derivative. A straight-through estimator is the same thing between formulas that differ.
 */
export function differentiateAs<A extends Operand, B extends Operand>(value: A, formula: B): Num<A | B> {
  const args = [lift("differentiateAs", value), lift("differentiateAs", formula)];
  return intern("differentiateAs", joinKind(args), "number", args) as Num<A | B>;
}

/**
 * A result that simplification does not look behind: a gradient by hand that uses it reads it back instead of computing it
 * again.
 */
export function readBack(row: Row): Row {
  return differentiateAs(row, row);
}

/** Whether a formula is marked by `readBack`. */
export const isReadBack = (e: Expr): boolean => e.word === "differentiateAs" && e.args[0] === e.args[1];

function foldBinary(word: Word, a: number, b: number): number {
  switch (word) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "mulZero":
      return a === 0 ? 0 : a * b;
    case "div":
      return a / b;
    case "maximum":
      return Math.max(a, b);
    default:
      return Math.min(a, b);
  }
}

/** A word of two arguments. */
export function binary(word: ElementwiseWord, x: Value, y: Value, meaning?: Meaning): Value {
  const a = constantOf(x);
  const b = constantOf(y);
  if (a !== undefined && b !== undefined)
    return constant(meaning?.js ? meaning.js(a, b) : foldBinary(word, a, b));
  return intern(word, joinKind([x, y]), "number", [x, y], undefined, meaning) as Value;
}

/** Like `binary`, with the arguments in one order, so that a + b and b + a are the same node. */
function commutative(word: ElementwiseWord, x: Value, y: Value): Value {
  return x.id <= y.id ? binary(word, x, y) : binary(word, y, x);
}

export function add<A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> {
  const x = lift("add", a);
  const y = lift("add", b);
  let r: Value;
  if (isConst(x, 0) && (y.kind === "row" || x.kind === y.kind)) r = y;
  else if (isConst(y, 0)) r = x;
  else if (isNeg(y)) r = sub(x, y.args[0] as Value);
  else if (isNeg(x)) r = sub(y, x.args[0] as Value);
  else if (x === y) r = mul(2, x);
  else r = commutative("add", x, y);
  return r as Expr as Num<A | B>;
}

export function sub<A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> {
  const x = lift("sub", a);
  const y = lift("sub", b);
  let r: Value;
  if (isConst(y, 0)) r = x;
  else if (isConst(x, 0)) r = neg(y);
  else if (isNeg(y)) r = add(x, y.args[0] as Value);
  else r = binary("sub", x, y);
  return r as Expr as Num<A | B>;
}

function product(word: "mul" | "mulZero", x: Value, y: Value): Value {
  if (isConst(x, 0) || isConst(y, 0)) return constant(0);
  if (isConst(x, 1)) return y;
  if (isConst(y, 1)) return x;
  if (isConst(x, -1)) return neg(y);
  if (isConst(y, -1)) return neg(x);
  if (isNeg(x)) return neg(product(word, x.args[0] as Value, y));
  if (isNeg(y)) return neg(product(word, x, y.args[0] as Value));
  // A mask stays a select: (mask ? v : 0)·y needs no multiplication by zero, and lets no NaN of y through.
  if (isMasked(x)) return select(x.args[0] as Mask, product(word, x.args[1] as Value, y), 0);
  if (isMasked(y)) return select(y.args[0] as Mask, product(word, x, y.args[1] as Value), 0);
  if (word === "mulZero") return binary(word, x, y);
  // Constants gather at the front of a product.
  const [c, v] = constantOf(y) !== undefined ? [y, x] : [x, y];
  if (constantOf(c) !== undefined && v.word === "mul" && constantOf(v.args[0]!) !== undefined) {
    return product(word, constant(constantOf(c)! * constantOf(v.args[0]!)!), v.args[1] as Value);
  }
  return constantOf(c) !== undefined ? binary("mul", c, v) : commutative("mul", x, y);
}

export function mul<A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> {
  return product("mul", lift("mul", a), lift("mul", b)) as Expr as Num<A | B>;
}

/** cotangent · factor with 0 · anything = 0: a masked entry's infinity must not turn a zero gradient into NaN. */
export function mulZero<A extends Operand, B extends Operand>(cotangent: A, factor: B): Num<A | B> {
  const f = lift("mulZero", factor);
  return product(mayBeInfinite(f) ? "mulZero" : "mul", lift("mulZero", cotangent), f) as Expr as Num<A | B>;
}

/** Whether finite or masked (−∞) scores can make this factor infinite or undefined. Blind to overflow. */
function mayBeInfinite(e: Expr): boolean {
  if (e.kind === "scalar")
    return e.word === "div" || (e.word === "const" && !Number.isFinite(e.detail as number));
  switch (e.word) {
    case "input":
      return (e.detail as InputInfo).stored === "float";
    case "exp":
    case "sigmoid":
      return e.args.some(mayBeUndefined);
    case "stop":
    case "neg":
    case "abs":
    case "floor":
    case "round":
    case "add":
    case "sub":
    case "mul":
    case "mulZero":
    case "maximum":
    case "minimum":
    case "select":
      return e.args.some(mayBeInfinite);
    default:
      return LIMITED_DOMAIN.has(e.word) || e.word === "softplus" || e.word === "logNormalCdf";
  }
}

const LIMITED_DOMAIN: ReadonlySet<Word> = /* @__PURE__ */ new Set<Word>([
  "log",
  "log1p",
  "sqrt",
  "div",
  "pow",
  "posPow",
  "log1pRatio",
]);

/** Whether this can be NaN where a mask will not look: a word outside its domain, and what is computed from it. */
function mayBeUndefined(e: Expr): boolean {
  return (
    e.kind === "row" &&
    (LIMITED_DOMAIN.has(e.word) ? e.word !== "div" || e.args[1]!.kind === "row" : e.args.some(mayBeUndefined))
  );
}

export function div<A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> {
  const x = lift("div", a);
  const y = lift("div", b);
  let r: Value;
  if (isConst(y, 1) || (isConst(x, 0) && constantOf(y) === undefined)) r = x;
  else if (isNeg(x)) r = neg(div(x.args[0] as Value, y));
  else if (isNeg(y)) r = neg(div(x, y.args[0] as Value));
  else if (isMasked(x)) r = select(x.args[0] as Mask, div(x.args[1] as Value, y), 0);
  else r = binary("div", x, y);
  return r as Expr as Num<A | B>;
}

/** The larger one; its derivative goes to the first where they are equal. NaN if either is. */
export const maximum = <A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> =>
  binary("maximum", lift("maximum", a), lift("maximum", b)) as Expr as Num<A | B>;
/** The smaller one; its derivative goes to the first where they are equal. NaN if either is. */
export const minimum = <A extends Operand, B extends Operand>(a: A, b: B): Num<A | B> =>
  binary("minimum", lift("minimum", a), lift("minimum", b)) as Expr as Num<A | B>;

/** a held within [low, high]; its derivative passes at both ends. */
export function clamp<A extends Operand, B extends Operand, C extends Operand>(
  a: A,
  low: B,
  high: C,
): Num<A | B | C> {
  const args = [lift("clamp", a), lift("clamp", low), lift("clamp", high)];
  return intern("clamp", joinKind(args), "number", args) as Num<A | B | C>;
}

function compare(word: "greater" | "greaterEqual" | "equal", a: Operand, b: Operand): Mask {
  const args = [lift(word, a), lift(word, b)];
  return intern(word, joinKind(args), "bool", args) as Mask;
}
export const greater = <A extends Operand, B extends Operand>(a: A, b: B): Truth<A | B> =>
  compare("greater", a, b) as Expr as Truth<A | B>;
export const greaterEqual = <A extends Operand, B extends Operand>(a: A, b: B): Truth<A | B> =>
  compare("greaterEqual", a, b) as Expr as Truth<A | B>;
export const less = <A extends Operand, B extends Operand>(a: A, b: B): Truth<A | B> =>
  compare("greater", b, a) as Expr as Truth<A | B>;
export const lessEqual = <A extends Operand, B extends Operand>(a: A, b: B): Truth<A | B> =>
  compare("greaterEqual", b, a) as Expr as Truth<A | B>;
export const equal = <A extends Operand, B extends Operand>(a: A, b: B): Truth<A | B> =>
  compare("equal", a, b) as Expr as Truth<A | B>;

export function and<A extends Mask, B extends Mask>(a: A, b: B): Truth<A | B> {
  const args = [liftMask("and", a), liftMask("and", b)];
  return intern("and", joinKind(args), "bool", args) as Truth<A | B>;
}
export function or<A extends Mask, B extends Mask>(a: A, b: B): Truth<A | B> {
  const args = [liftMask("or", a), liftMask("or", b)];
  return intern("or", joinKind(args), "bool", args) as Truth<A | B>;
}
export function not<A extends Mask>(a: A): Truth<A> {
  const x = liftMask("not", a);
  return (x.word === "not" ? x.args[0] : intern("not", x.kind, "bool", [x])) as Truth<A>;
}

/** a where the mask holds, b elsewhere; what is not selected is not looked at, so its NaN stays outside. */
export function select<C extends Mask, A extends Operand, B extends Operand>(
  mask: C,
  a: A,
  b: B,
): Num<C | A | B> {
  const c = liftMask("select", mask);
  const x = lift("select", a);
  const y = lift("select", b);
  let r: Value;
  if (x === y) r = x;
  // A mask is written with its zero last, whichever way round it came.
  else if (isConst(x, 0) && !isConst(y, 0)) r = select(not(c), y, 0);
  else if (c.word === "not" && !isConst(y, 0)) r = select(c.args[0] as Mask, y, x);
  else if (isConst(y, 0) && isNeg(x)) r = neg(select(c, x.args[0] as Value, 0));
  else if (isConst(y, 0) && isMasked(x) && x.args[0] === c) r = x;
  else r = intern("select", joinKind([c, x, y]), "number", [c, x, y]) as Value;
  return r as Expr as Num<C | A | B>;
}

// ---------------------------------------------------------------------------------------------------------------
// Reductions

/** The sum of a row. What an author has scaled stays scaled: nothing is taken out but signs, masks and what is no row at all. */
export function sum(row: Operand): Scalar {
  return sumOf(lift("sum", row)) as Scalar;
}

function sumOf(r: Value): Value {
  if (r.kind === "scalar") return product("mul", n, r);
  if (isNeg(r)) return neg(sumOf(r.args[0] as Value));
  if (isMasked(r)) {
    const [mask, v] = r.args as [Mask, Value];
    if (mask.kind === "scalar") return select(mask, sumOf(v), 0);
    if (v.kind === "scalar") return product("mul", v, count(mask));
  }
  return intern("sum", "scalar", "number", [r]) as Value;
}

function extreme(word: "max" | "min" | "argmax", row: Operand): Scalar {
  const r = lift(word, row);
  if (r.kind === "scalar") return word === "argmax" ? constant(0) : (r as Scalar);
  return intern(word, "scalar", "number", [r]) as Scalar;
}
/** The largest entry; NaN if the row holds a NaN. Its derivative goes to the first maximiser. */
export const max = (row: Operand): Scalar => extreme("max", row);
/** The smallest entry; NaN if the row holds a NaN. Its derivative goes to the first minimiser. */
export const min = (row: Operand): Scalar => extreme("min", row);
/** The position of the first largest entry (of the first NaN, if there is one). */
export const argmax = (row: Operand): Scalar => extreme("argmax", row);
/** How many entries the mask holds for. */
export function count(mask: RowMask | Mask): Scalar {
  const c = liftMask("count", mask);
  return (c.kind === "scalar" ? select(c, n, 0) : intern("count", "scalar", "number", [c])) as Scalar;
}
/** value at the entry `label`, 0 elsewhere. */
export const oneHot = (label: Scalar, value: Operand): Row => select(equal(index, label), value, 0) as Row;

/** Words that are NaN wherever one of their arguments is. */
export const strict: ReadonlySet<string> = /* @__PURE__ */ new Set(
  "neg exp expm1 log log1p sqrt sin cos tanh erf logNormalCdf sigmoid softplus abs sign floor round relu xlogx log1pRatio expm1Ratio add sub mul div maximum minimum".split(
    " ",
  ),
);

/** Words that give rows whose entries hang on their neighbours. */
export const alongRow: ReadonlySet<Word> = /* @__PURE__ */ new Set<Word>([
  "cumsum",
  "totalVariation",
  "groupMeans",
  "groupDrift",
]);

/** The entry of a row at a computed position (held within the row). Pushed down to what is stored, so only loads remain. */
export function pick(row: Operand | Mask, label: Scalar | number): Scalar {
  const at = lift("pick", label) as Scalar;
  const memo = new Map<Expr, Expr>();
  const down = (e: Expr): Expr => {
    if (e.kind === "scalar") return e;
    let r = memo.get(e);
    if (!r) {
      if (e.word === "index") r = clamp(at, 0, sub(n, 1));
      else if (e.word === "series") {
        const { variable, value } = e.detail as SeriesParts;
        r = seriesNode(e.args[0] as Scalar, variable, down(value) as Value, e.meaning);
      } else if (e.word === "input" || alongRow.has(e.word)) r = intern("pick", "scalar", e.sort, [e, at]);
      else r = rebuild(e, e.args.map(down));
      memo.set(e, r);
    }
    return r;
  };
  return down(typeof row === "number" ? constant(row) : row) as Scalar;
}

// ---------------------------------------------------------------------------------------------------------------
// root and series

/** A fresh unknown, for the formula of a root or a series. */
export function boundVariable(): Scalar {
  return fresh("bound", "scalar", "number", [], undefined) as Scalar;
}

/** Builds the node of a root from its parts; authors call `root` of `words.ts`. */
export function rootNode(lo: Scalar, hi: Scalar, parts: RootParts, meaning?: Meaning): Scalar {
  return fresh("root", "scalar", "number", [lo, hi], parts, meaning) as Scalar;
}

/**
 * Σ value over the numbers 0 … count − 1 of a variable, which the new node has to itself; `kept` is not looked into. Authors
 * call `series` of `words.ts`.
 */
export function seriesNode(
  count: Scalar,
  variable: Scalar,
  value: Value,
  meaning: Meaning | undefined,
  kept?: Expr,
): Value {
  const own = boundVariable();
  const [term] = substitute([value], (e) => (e === variable ? own : e === kept ? e : undefined)) as [Value];
  if (!dependsOn(term, own)) return mul(count, term);
  return fresh("series", term.kind, "number", [count], { variable: own, value: term }, meaning) as Value;
}

// ---------------------------------------------------------------------------------------------------------------
// Walking and rewriting

/** The same word on other arguments, simplified anew. */
export function rebuild(e: Expr, args: readonly Expr[]): Expr {
  if (args.every((a, i) => a === e.args[i])) return e;
  const [a, b, c] = args as [Value, Value, Value];
  switch (e.word) {
    case "neg":
      return neg(a);
    case "stop":
      return stop(a);
    case "differentiateAs":
      return differentiateAs(a, b);
    case "add":
      return add(a, b);
    case "sub":
      return sub(a, b);
    case "mul":
    case "mulZero":
      return product(e.word, a, b);
    case "div":
      return div(a, b);
    case "maximum":
    case "minimum":
      return binary(e.word, a, b);
    case "clamp":
      return clamp(a, b, c);
    case "greater":
    case "greaterEqual":
    case "equal":
      return compare(e.word, a, b);
    case "and":
      return and(args[0] as Mask, args[1] as Mask);
    case "or":
      return or(args[0] as Mask, args[1] as Mask);
    case "not":
      return not(args[0] as Mask);
    case "select":
      return select(args[0] as Mask, b, c);
    case "sum":
      return sum(a);
    case "max":
    case "min":
    case "argmax":
      return extreme(e.word, a);
    case "count":
      return count(args[0] as Mask);
    case "kth":
      return a.kind === "scalar" ? a : intern("kth", "scalar", "number", [a, b], undefined, e.meaning);
    case "cumsum":
      if (a.kind === "scalar") return mul(a, add(index, 1));
      return intern("cumsum", "row", "number", [a], undefined, e.meaning);
    case "pick":
      return pick(args[0] as Row, b as Scalar);
    case "root":
      return rootNode(a as Scalar, b as Scalar, e.detail as RootParts, e.meaning);
    case "series":
      return fresh("series", e.kind, "number", [a], e.detail, e.meaning);
    default:
      return (
        e.meaning?.build?.(a, b) ??
        unary(e.word as ElementwiseWord, a, e.detail as number | undefined, e.meaning)
      );
  }
}

/** Every expression that a node reads: its arguments and, for a root or a series, the formula inside. */
export function reads(e: Expr): readonly Expr[] {
  if (e.word === "series") return [...e.args, (e.detail as SeriesParts).value];
  if (e.word !== "root") return e.args;
  const { value, slope, support } = e.detail as RootParts;
  return support ? [...e.args, value, slope, support] : [...e.args, value, slope];
}

/** For each node the unknowns that are free in it: that of a root or a series is not free outside it. Arguments come first. */
export function freeUnknowns(nodes: readonly Expr[]): ReadonlyMap<Expr, ReadonlySet<Expr>> {
  const free = new Map<Expr, ReadonlySet<Expr>>();
  for (const e of nodes) {
    const found = new Set<Expr>(e.word === "bound" ? [e] : reads(e).flatMap((a) => [...free.get(a)!]));
    if (e.word === "root" || e.word === "series")
      found.delete((e.detail as RootParts | SeriesParts).variable);
    free.set(e, found);
  }
  return free;
}

/**
 * Replaces nodes by others throughout; the formula inside a root or a series is rewritten too. `replace` may go on below a node by
 * calling its second argument. Formulas that belong together must be given together: a rewritten root is a new node.
 */
export function substitute(
  roots: readonly Expr[],
  replace: (e: Expr, go: (e: Expr) => Expr) => Expr | undefined,
): Expr[] {
  const memo = new Map<Expr, Expr>();
  const go = (e: Expr): Expr => {
    let r = memo.get(e);
    if (r) return r;
    r = replace(e, go);
    if (!r) {
      const args = e.args.map(go);
      if (e.word === "root") {
        const parts = e.detail as RootParts;
        const [value, slope] = [go(parts.value), go(parts.slope)] as [Scalar, Scalar];
        const support = parts.support && (go(parts.support) as RowMask);
        const same =
          value === parts.value &&
          slope === parts.slope &&
          support === parts.support &&
          args.every((a, i) => a === e.args[i]);
        r = same
          ? e
          : rootNode(args[0] as Scalar, args[1] as Scalar, { ...parts, value, slope, support }, e.meaning);
      } else if (e.word === "series") {
        const { variable, value } = e.detail as SeriesParts;
        const term = go(value) as Value;
        // Two series with one variable would be one loop to whoever orders the work.
        const same = term === value && args[0] === e.args[0];
        r = same ? e : seriesNode(args[0] as Scalar, variable, term, e.meaning);
      } else r = rebuild(e, args);
    }
    memo.set(e, r);
    return r;
  };
  return roots.map(go);
}

/** Formulas as they are computed: without the words that only speak to differentiation. */
export function evaluated(formulas: readonly Expr[]): Expr[] {
  return substitute(formulas, (e, go) =>
    e.word === "stop" || e.word === "differentiateAs" ? go(e.args[0]!) : undefined,
  );
}

/** Whether `e` reads `target`. */
export function dependsOn(e: Expr, target: Expr): boolean {
  const seen = new Set<Expr>();
  const go = (x: Expr): boolean => {
    if (x === target) return true;
    // A node is made after what it reads, so nothing older than the target can read it.
    if (x.id < target.id || seen.has(x)) return false;
    seen.add(x);
    return reads(x).some(go);
  };
  return go(e);
}
