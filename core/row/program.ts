// A row program: named inputs, and results that are formulas of them. A kernel is a program with its element types fixed.
// Both are plain data; backends compile kernels and keep what they compiled by the kernel's identity.

import type { DType, FloatDType } from "../dtype.ts";
import type { Expr, InputInfo, Kind } from "./expr.ts";

/** A formula, or several that share work, over the same row. */
export interface Program {
  readonly name: string;
  /** Input nodes, in the order in which operands are given. */
  readonly inputs: readonly Expr[];
  readonly results: readonly Expr[];
  /** Whether a result fills a row or one number per row; a scalar formula stored as a row is repeated along it. */
  readonly kinds: readonly Kind[];
  /** How each result is stored: "float" is the kernel's float type; truth values are stored as bool. */
  readonly stored: readonly ("float" | "i32" | "bool")[];
}

/** A program to run in one float type: what a backend compiles, once. */
export class Kernel {
  readonly program: Program;
  readonly float: FloatDType;
  /** The element type of each operand in memory. */
  readonly inputs: readonly DType[];
  readonly outputs: readonly DType[];
  /** What each backend made of it. Backends own their slot and nobody else looks. */
  readonly compiled: { js?: unknown; wasm?: unknown; webgpu?: unknown } = {};

  constructor(program: Program, float: FloatDType, inputs: readonly DType[]) {
    this.program = program;
    this.float = float;
    this.inputs = inputs;
    this.outputs = program.stored.map((s) => (s === "float" ? float : s));
  }

  /** A kernel whose inputs are stored as the program declares them, floats in the kernel's own type. */
  static of(program: Program, float: FloatDType): Kernel {
    const inputs = program.inputs.map((e) => {
      const { stored } = e.detail as InputInfo;
      return stored === "float" ? float : stored;
    });
    return new Kernel(program, float, inputs);
  }
}
