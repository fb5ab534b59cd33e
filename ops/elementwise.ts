// Elementwise ops, each the formula of one entry. Shapes broadcast as in numpy; element types never convert by themselves.

import { type DType, type FloatDType, isDType, isFloat } from "../core/dtype.ts";
import { ArgumentError, DTypeError, showValue } from "../core/errors.ts";
import { type Binary, map, type Unary } from "../core/map.ts";
import { checkOptions, describe, describeAs, type Op } from "../core/op.ts";
import type { Broadcast, Checked, Result, Shape } from "../core/shape.ts";
import { record, tracked } from "../core/tape.ts";
import { checkTensor, newTensor, type Tensor } from "../core/tensor.ts";
import * as w from "../core/words.ts";

const xy: readonly string[] = /* @__PURE__ */ Object.freeze(["x", "y"]);

// ---------------------------------------------------------------------------------------------------------------
// Arithmetic

/** x + y. @example add(tensor([1, 2]), 10) // [11, 12] */
export const add: Binary = /* @__PURE__ */ map<Binary>("add", {
  doc: "The sum of two tensors.",
  inputs: xy,
  program: ({ x, y }) => w.add(x!, y!),
  integers: true,
  laws: ["commutative"],
  examples: [
    {
      args: [
        [1, 2],
        [10, 20],
      ],
      gives: [11, 22],
    },
  ],
});

/** x − y. @example sub(tensor([3, 5]), 1) // [2, 4] */
export const sub: Binary = /* @__PURE__ */ map<Binary>("sub", {
  doc: "The difference of two tensors.",
  inputs: xy,
  program: ({ x, y }) => w.sub(x!, y!),
  integers: true,
  examples: [
    {
      args: [
        [3, 5],
        [1, 10],
      ],
      gives: [2, -5],
    },
  ],
});

/** x · y, entry by entry. @example mul(tensor([1, 2]), tensor([3, 4])) // [3, 8] */
export const mul: Binary = /* @__PURE__ */ map<Binary>("mul", {
  doc: "The product of two tensors, entry by entry.",
  inputs: xy,
  program: ({ x, y }) => w.mul(x!, y!),
  integers: true,
  laws: ["commutative"],
  examples: [
    {
      args: [
        [1, 2],
        [3, 4],
      ],
      gives: [3, 8],
    },
  ],
});

/** x ÷ y. @example div(tensor([1, 3]), 2) // [0.5, 1.5] */
export const div: Binary<FloatDType> = /* @__PURE__ */ map<Binary<FloatDType>>("div", {
  doc: "The quotient of two tensors, entry by entry.",
  inputs: xy,
  program: ({ x, y }) => w.div(x!, y!),
  examples: [
    {
      args: [
        [1, 3],
        [2, -4],
      ],
      gives: [0.5, -0.75],
    },
  ],
  domain: { y: { min: 0.5, max: 3 } },
});

/** x to the power y; for a negative x only integer exponents have a value. @example pow(tensor([2, 3]), 2) // [4, 9] */
export const pow: Binary<FloatDType> = /* @__PURE__ */ map<Binary<FloatDType>>("pow", {
  doc: "One tensor to the power of another, entry by entry.",
  inputs: xy,
  program: ({ x, y }) => w.pow(x!, y!),
  examples: [
    {
      args: [
        [2, 3, -2],
        [2, 0.5, 3],
      ],
      gives: [4, 1.7320508075688772, -8],
    },
  ],
  domain: { x: { min: 0.2, max: 3 } },
});

/** The larger of x and y; the gradient goes to x where they are equal. @example maximum(tensor([1, 5]), 3) // [3, 5] */
export const maximum: Binary = /* @__PURE__ */ map<Binary>("maximum", {
  doc: "The larger of two tensors, entry by entry; NaN if either is.",
  inputs: xy,
  program: ({ x, y }) => w.maximum(x!, y!),
  integers: true,
  laws: ["commutative"],
  examples: [
    {
      args: [
        [1, 5],
        [3, 4],
      ],
      gives: [3, 5],
    },
  ],
});

/** The smaller of x and y; the gradient goes to x where they are equal. @example minimum(tensor([1, 5]), 3) // [1, 3] */
export const minimum: Binary = /* @__PURE__ */ map<Binary>("minimum", {
  doc: "The smaller of two tensors, entry by entry; NaN if either is.",
  inputs: xy,
  program: ({ x, y }) => w.minimum(x!, y!),
  integers: true,
  laws: ["commutative"],
  examples: [
    {
      args: [
        [1, 5],
        [3, 4],
      ],
      gives: [1, 4],
    },
  ],
});

type NumericUnary = (<S extends Shape, D extends "f32" | "f64" | "i32">(x: Tensor<S, D>) => Tensor<S, D>) &
  Op;

/** −x. */
export const neg: NumericUnary = /* @__PURE__ */ map<NumericUnary>("neg", {
  doc: "The negative of each entry.",
  program: ({ x }) => w.neg(x!),
  integers: true,
  examples: [{ args: [[1, -2]], gives: [-1, 2] }],
});

/** |x|, with derivative 0 at 0. */
export const abs: NumericUnary = /* @__PURE__ */ map<NumericUnary>("abs", {
  doc: "The absolute value of each entry.",
  program: ({ x }) => w.abs(x!),
  integers: true,
  examples: [{ args: [[1, -2]], gives: [1, 2] }],
  domain: { x: { avoid: [0] } },
});

/** −1, 0 or 1 by sign; the gradient is zero. */
export const sign: NumericUnary = /* @__PURE__ */ map<NumericUnary>("sign", {
  doc: "The sign of each entry: −1, 0 or 1.",
  program: ({ x }) => w.sign(x!),
  integers: true,
  smooth: false,
  examples: [{ args: [[3, 0, -2]], gives: [1, 0, -1] }],
  domain: { x: { avoid: [0] } },
});

/** x². */
export const square: NumericUnary = /* @__PURE__ */ map<NumericUnary>("square", {
  doc: "The square of each entry.",
  program: ({ x }) => w.mul(x!, x!),
  integers: true,
  examples: [{ args: [[3, -2]], gives: [9, 4] }],
});

// ---------------------------------------------------------------------------------------------------------------
// Exponentials, logarithms, roots

/** eˣ. */
export const exp: Unary = /* @__PURE__ */ map("exp", {
  doc: "The exponential of each entry.",
  program: ({ x }) => w.exp(x!),
  examples: [{ args: [[0, 1]], gives: [1, Math.E] }],
});

/** eˣ − 1, exact near 0. */
export const expm1: Unary = /* @__PURE__ */ map("expm1", {
  doc: "The exponential of each entry less one, without cancellation near zero.",
  program: ({ x }) => w.expm1(x!),
  examples: [{ args: [[0, 1e-10]], gives: [0, 1.00000000005e-10] }],
});

/** The natural logarithm; −∞ at 0, NaN below. */
export const log: Unary = /* @__PURE__ */ map("log", {
  doc: "The natural logarithm of each entry.",
  program: ({ x }) => w.log(x!),
  examples: [{ args: [[1, Math.E]], gives: [0, 1] }],
  domain: { x: { min: 0.1, max: 4 } },
});

/** log(1 + x), exact near 0. */
export const log1p: Unary = /* @__PURE__ */ map("log1p", {
  doc: "The logarithm of one plus each entry, without cancellation near zero.",
  program: ({ x }) => w.log1p(x!),
  examples: [{ args: [[0, 1e-10]], gives: [0, 9.9999999995e-11] }],
  domain: { x: { min: -0.7, max: 3 } },
});

/** √x. */
export const sqrt: Unary = /* @__PURE__ */ map("sqrt", {
  doc: "The square root of each entry.",
  program: ({ x }) => w.sqrt(x!),
  examples: [{ args: [[4, 2]], gives: [2, Math.SQRT2] }],
  domain: { x: { min: 0.1, max: 4 } },
});

/** 1 ÷ √x. */
export const rsqrt: Unary = /* @__PURE__ */ map("rsqrt", {
  doc: "One over the square root of each entry.",
  program: ({ x }) => w.div(1, w.sqrt(x!)),
  examples: [{ args: [[4, 0.25]], gives: [0.5, 2] }],
  domain: { x: { min: 0.1, max: 4 } },
});

// ---------------------------------------------------------------------------------------------------------------
// Rounding and limits

/** The largest integer not above x; the gradient is zero. */
export const floor: Unary = /* @__PURE__ */ map("floor", {
  doc: "The largest integer not above each entry.",
  program: ({ x }) => w.floor(x!),
  smooth: false,
  examples: [{ args: [[1.5, -1.5]], gives: [1, -2] }],
  domain: { x: { avoid: [-3, -2, -1, 0, 1, 2, 3] } },
});

/** The nearest integer, halves to the even one; the gradient is zero. */
export const round: Unary = /* @__PURE__ */ map("round", {
  doc: "The nearest integer, halves to the even one.",
  program: ({ x }) => w.round(x!),
  smooth: false,
  examples: [{ args: [[0.5, 1.5, -2.4]], gives: [0, 2, -2] }],
  domain: { x: { avoid: [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5] } },
});

type Clip = (<S extends Shape, D extends FloatDType>(
  x: Tensor<S, D>,
  options: { readonly min?: number; readonly max?: number },
) => Tensor<S, D>) &
  Op;

/** x held within [min, max]; the gradient passes at both ends. @example clip(tensor([-2, 0.5, 2]), { min: -1, max: 1 }) */
export const clip: Clip = /* @__PURE__ */ map<Clip>("clip", {
  doc: "Each entry held within two limits.",
  params: { min: -Infinity, max: Infinity },
  program: ({ x, min, max }) => w.clamp(x!, min!, max!),
  examples: [{ args: [[-2, 0.5, 2], { min: -1, max: 1 }], gives: [-1, 0.5, 1] }],
  domain: { x: { avoid: [-1, 1] } },
});

// ---------------------------------------------------------------------------------------------------------------
// Trigonometric and error functions

/** sin x, x in radians. */
export const sin: Unary = /* @__PURE__ */ map("sin", {
  doc: "The sine of each entry, in radians.",
  program: ({ x }) => w.sin(x!),
  examples: [{ args: [[0, 0.5235987755982988]], gives: [0, 0.49999999999999994] }],
});

/** cos x, x in radians. */
export const cos: Unary = /* @__PURE__ */ map("cos", {
  doc: "The cosine of each entry, in radians.",
  program: ({ x }) => w.cos(x!),
  examples: [{ args: [[0, 1.0471975511965976]], gives: [1, 0.5000000000000001] }],
});

/** The hyperbolic tangent. */
export const tanh: Unary = /* @__PURE__ */ map("tanh", {
  doc: "The hyperbolic tangent of each entry.",
  program: ({ x }) => w.tanh(x!),
  examples: [{ args: [[0, 1]], gives: [0, 0.7615941559557649] }],
});

/** The error function 2/√π ∫₀ˣ e^−t² dt. */
export const erf: Unary = /* @__PURE__ */ map("erf", {
  doc: "The error function of each entry.",
  program: ({ x }) => w.erf(x!),
  examples: [{ args: [[0, 1]], gives: [0, 0.8427007929497149] }],
});

// ---------------------------------------------------------------------------------------------------------------
// Activations

/** 1 ÷ (1 + e^−x). */
export const sigmoid: Unary = /* @__PURE__ */ map("sigmoid", {
  doc: "The logistic function of each entry.",
  program: ({ x }) => w.sigmoid(x!),
  examples: [{ args: [[0, 2]], gives: [0.5, 0.8807970779778823] }],
});

/** log σ(x), exact for very negative x. */
export const logSigmoid: Unary = /* @__PURE__ */ map("logSigmoid", {
  doc: "The logarithm of the logistic function.",
  program: ({ x }) => w.neg(w.softplus(w.neg(x!))),
  examples: [{ args: [[1, -800]], gives: [-0.31326168751822286, -800] }],
});

type Softplus = (<S extends Shape, D extends FloatDType>(
  x: Tensor<S, D>,
  options?: { readonly beta?: number },
) => Tensor<S, D>) &
  Op;

/** log(1 + e^(βx)) ÷ β: a smooth relu. */
export const softplus: Softplus = /* @__PURE__ */ map<Softplus>("softplus", {
  doc: "A smooth relu: log(1 + e^(βx))/β.",
  params: { beta: 1 },
  program: ({ x, beta }) => w.div(w.softplus(w.mul(beta!, x!)), beta!),
  examples: [{ args: [[0, 800]], gives: [Math.LN2, 800] }],
});

/** max(x, 0), with derivative 0 at 0. */
export const relu: Unary = /* @__PURE__ */ map("relu", {
  doc: "The positive part of each entry.",
  program: ({ x }) => w.relu(x!),
  examples: [{ args: [[-1, 2]], gives: [0, 2] }],
  domain: { x: { avoid: [0] } },
});

type LeakyRelu = (<S extends Shape, D extends FloatDType>(
  x: Tensor<S, D>,
  options?: { readonly negativeSlope?: number },
) => Tensor<S, D>) &
  Op;

/** x where positive, negativeSlope · x (0.01 by default) elsewhere. */
export const leakyRelu: LeakyRelu = /* @__PURE__ */ map<LeakyRelu>("leakyRelu", {
  doc: "A relu that lets negative entries through with a small slope.",
  params: { negativeSlope: 0.01 },
  program: ({ x, negativeSlope }) => w.select(w.greater(x!, 0), x!, w.mul(negativeSlope!, x!)),
  examples: [{ args: [[-1, 2]], gives: [-0.01, 2] }],
  domain: { x: { avoid: [0] } },
});

type Elu = (<S extends Shape, D extends FloatDType>(
  x: Tensor<S, D>,
  options?: { readonly alpha?: number },
) => Tensor<S, D>) &
  Op;

/** x where positive, α(eˣ − 1) elsewhere. */
export const elu: Elu = /* @__PURE__ */ map<Elu>("elu", {
  doc: "The exponential linear unit.",
  source: "Clevert, Unterthiner & Hochreiter 2016, eq. 15",
  params: { alpha: 1 },
  program: ({ x, alpha }) => w.select(w.greater(x!, 0), x!, w.mul(alpha!, w.expm1(w.minimum(x!, 0)))),
  examples: [{ args: [[-1, 2]], gives: [-0.6321205588285577, 2] }],
  domain: { x: { avoid: [0] } },
});

const geluErf: Unary = /* @__PURE__ */ map("gelu", {
  doc: "The input weighted by the normal distribution function: x · Φ(x).",
  source: "Hendrycks & Gimpel 2016, section 2",
  program: ({ x }) => w.mul(w.mul(0.5, x!), w.add(1, w.erf(w.mul(x!, Math.SQRT1_2)))),
  examples: [{ args: [[0, 1]], gives: [0, 0.8413447460685429] }],
});

const geluTanh: Unary = /* @__PURE__ */ map("geluTanh", {
  doc: "The tanh approximation of gelu.",
  source: "Hendrycks & Gimpel 2016, section 2",
  program: ({ x }) => {
    const cubic = w.mul(Math.sqrt(2 / Math.PI), w.add(x!, w.mul(0.044715, w.mul(x!, w.mul(x!, x!)))));
    return w.mul(w.mul(0.5, x!), w.add(1, w.tanh(cubic)));
  },
  examples: [{ args: [[0, 1]], gives: [0, 0.8411919906082768] }],
});

type Gelu = (<S extends Shape, D extends FloatDType>(
  x: Tensor<S, D>,
  options?: { readonly approximate?: "none" | "tanh" },
) => Tensor<S, D>) &
  Op;

/** x · Φ(x), exactly or by the tanh approximation. @example gelu(tensor([-1, 2]), { approximate: "tanh" }) */
export const gelu: Gelu = /* @__PURE__ */ describeAs(
  <S extends Shape, D extends FloatDType>(
    x: Tensor<S, D>,
    options?: { readonly approximate?: "none" | "tanh" },
  ): Tensor<S, D> => {
    checkOptions("gelu", options, ["approximate"]);
    const how = options?.approximate ?? "none";
    if (how !== "none" && how !== "tanh")
      throw new ArgumentError("gelu", `approximate is ${showValue(how)}`, 'give "none" or "tanh"');
    return how === "tanh" ? geluTanh(x) : geluErf(x);
  },
  geluErf,
  {
    examples: [
      { args: [[0, 1]], gives: [0, 0.8413447460685429] },
      { args: [[0, 1], { approximate: "tanh" }], gives: [0, 0.8411919906082768] },
    ],
  },
);

/** x · σ(x), also called swish. */
export const silu: Unary = /* @__PURE__ */ map("silu", {
  doc: "The input weighted by its logistic function.",
  source: "Elfwing, Uchibe & Doya 2018, eq. 11",
  program: ({ x }) => w.mul(x!, w.sigmoid(x!)),
  examples: [{ args: [[0, 1]], gives: [0, 0.7310585786300049] }],
});

/** x · tanh(softplus(x)). */
export const mish: Unary = /* @__PURE__ */ map("mish", {
  doc: "The input weighted by the tanh of its softplus.",
  source: "Misra 2019, eq. 1",
  program: ({ x }) => w.mul(x!, w.tanh(w.softplus(x!))),
  examples: [{ args: [[0, 1]], gives: [0, 0.8650983882673103] }],
});

// ---------------------------------------------------------------------------------------------------------------
// Comparisons and choice

type Comparison = Binary<DType, "bool">;
const comparison = (
  name: string,
  doc: string,
  program: (x: w.Value, y: w.Value) => w.Mask,
  gives: readonly boolean[],
): Comparison =>
  map<Comparison>(name, {
    doc,
    inputs: xy,
    program: ({ x, y }) => program(x!, y!),
    integers: true,
    smooth: false,
    examples: [
      {
        args: [
          [1, 2, 3],
          [2, 2, 2],
        ],
        gives,
      },
    ],
  });

/** x > y, as a bool tensor. */
export const greater: Comparison = /* @__PURE__ */ comparison("greater", "Where x > y.", w.greater, [
  false,
  false,
  true,
]);
/** x ≥ y, as a bool tensor. */
export const greaterEqual: Comparison = /* @__PURE__ */ comparison(
  "greaterEqual",
  "Where x ≥ y.",
  w.greaterEqual,
  [false, true, true],
);
/** x < y, as a bool tensor. */
export const less: Comparison = /* @__PURE__ */ comparison("less", "Where x < y.", w.less, [
  true,
  false,
  false,
]);
/** x ≤ y, as a bool tensor. */
export const lessEqual: Comparison = /* @__PURE__ */ comparison("lessEqual", "Where x ≤ y.", w.lessEqual, [
  true,
  true,
  false,
]);
/** x = y, as a bool tensor; NaN equals nothing. */
export const equal: Comparison = /* @__PURE__ */ comparison("equal", "Where x = y.", w.equal, [
  false,
  true,
  false,
]);
/** x ≠ y, as a bool tensor; NaN differs from everything. */
export const notEqual: Comparison = /* @__PURE__ */ comparison(
  "notEqual",
  "Where x ≠ y.",
  (x, y) => w.not(w.equal(x, y)),
  [true, false, true],
);

type Logic = (<A extends Shape, B extends Shape>(
  x: Tensor<A, "bool">,
  y: Checked<Tensor<B, "bool">, Broadcast<A, B>>,
) => Tensor<Result<Broadcast<A, B>>, "bool">) &
  Op;
const masks: readonly string[] = /* @__PURE__ */ Object.freeze(["?x", "?y"]);

/** Where both hold. */
export const logicalAnd: Logic = /* @__PURE__ */ map<Logic>("logicalAnd", {
  doc: "Where both of two bool tensors hold.",
  inputs: masks,
  program: ({ x, y }) => w.and(x!, y!),
  smooth: false,
  examples: [
    { args: [{ bool: [true, true, false] }, { bool: [true, false, false] }], gives: [true, false, false] },
  ],
});

/** Where at least one holds. */
export const logicalOr: Logic = /* @__PURE__ */ map<Logic>("logicalOr", {
  doc: "Where at least one of two bool tensors holds.",
  inputs: masks,
  program: ({ x, y }) => w.or(x!, y!),
  smooth: false,
  examples: [
    { args: [{ bool: [true, true, false] }, { bool: [true, false, false] }], gives: [true, true, false] },
  ],
});

type Not = (<S extends Shape>(x: Tensor<S, "bool">) => Tensor<S, "bool">) & Op;

/** Where it does not hold. */
export const logicalNot: Not = /* @__PURE__ */ map<Not>("logicalNot", {
  doc: "Where a bool tensor does not hold.",
  inputs: ["?x"],
  program: ({ x }) => w.not(x!),
  smooth: false,
  examples: [{ args: [{ bool: [true, false] }], gives: [false, true] }],
});

interface Where extends Op {
  <S extends Shape, D extends DType>(
    condition: Tensor<Shape, "bool">,
    x: Tensor<S, D>,
    y: Tensor<S, D> | number,
  ): Tensor<Shape, D>;
  <S extends Shape, D extends DType>(
    condition: Tensor<Shape, "bool">,
    x: number,
    y: Tensor<S, D>,
  ): Tensor<Shape, D>;
}

/** x where the condition holds, y elsewhere; what is not chosen receives no gradient. @example where(tensor([true, false]), tensor([1, 2]), 0) // [1, 0] */
export const where: Where = /* @__PURE__ */ map<Where>("where", {
  doc: "One tensor where a condition holds, another elsewhere.",
  inputs: ["?condition", "x", "y"],
  program: ({ condition, x, y }) => w.select(condition!, x!, y!),
  integers: true,
  examples: [{ args: [{ bool: [true, false] }, [1, 2], [10, 20]], gives: [1, 20] }],
});

// ---------------------------------------------------------------------------------------------------------------
// Conversion

type Cast = (<S extends Shape, D extends DType>(x: Tensor<S>, dtype: D) => Tensor<S, D>) & Op;

/**
 * The same values in another element type: floats to integers cut towards zero, to bool tell whether they differ from 0.
 * A gradient passes between float types and ends elsewhere.
 */
export const cast: Cast = /* @__PURE__ */ describe(
  <S extends Shape, D extends DType>(x: Tensor<S>, dtype: D): Tensor<S, D> => {
    checkTensor("cast", x);
    if (!isDType(dtype))
      throw new DTypeError(
        "cast",
        `${showValue(dtype)} is no element type`,
        'the element types are "f32", "f64", "i32" and "bool"',
      );
    if (x.dtype === (dtype as DType)) return x as unknown as Tensor<S, D>;
    const out = newTensor<D, S>(x.backend, dtype, x.shape, "cast");
    if (x.size > 0) x.backend.copy(x, out.storage, dtype);
    if (tracked([x]))
      record({ name: "cast", vjp: ([g]) => [isFloat(x.dtype) ? cast(g!, x.dtype) : undefined] }, [x], [out]);
    return out;
  },
  {
    name: "cast",
    doc: "The same values in another element type.",
    kind: "structure",
    laws: [],
    examples: [{ args: [[1.7, -1.7, 0], "i32"], gives: [1, -1, 0] }],
  },
);
