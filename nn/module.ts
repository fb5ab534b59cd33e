// A model is an object that holds parameters and other modules: named as PyTorch names them, printed, switched between training and use.
// Computes nothing itself and knows no layer.

import type { DeviceName } from "../core/backends/backend.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { display } from "../core/inspect.ts";
import { Parameter } from "../core/parameter.ts";
import { isRecord } from "../core/scope.ts";

/**
 * The base of layers and models. Parameters and modules held in fields (or in arrays and records in fields) belong to it.
 *
 * @example
 * class Residual extends Module {
 *   readonly inner = new Linear(64, 64);
 *   override forward(x: Tensor): Tensor {
 *     return add(x, relu(this.inner.forward(x)));
 *   }
 * }
 * new Residual().namedParameters().map(([name]) => name); // ["inner.weight", "inner.bias"]
 */
export abstract class Module {
  /** Whether it is being trained (true at first) or used: changed by `train` and `eval`. */
  training = true;

  /** What the module computes from its inputs. */
  abstract forward(...inputs: never[]): unknown;

  /** What the module holds, by name and in order: its fields. */
  protected members(): readonly (readonly [name: string, member: unknown])[] {
    return Object.entries(this);
  }

  /** All parameters inside, each once. Those that are not trainable are among them; optimizers leave them alone. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter);
  }

  /** All parameters inside with their names, such as `layers.0.weight`; one that is shared stands under its first name. */
  namedParameters(): [name: string, parameter: Parameter][] {
    const found = new Map<Parameter, string>();
    this.visit("", new Set(), (path, member) => {
      if (member instanceof Parameter && !found.has(member)) found.set(member, path);
    });
    return [...found].map(([parameter, name]) => [name, parameter]);
  }

  /** Puts this module and all inside into training (dropout drops) or, with false, out of it. Returns the module. */
  train(training = true): this {
    if (typeof training !== "boolean")
      throw new ArgumentError(
        "train",
        `${showValue(training)} stands where true or false is wanted`,
        "call train() or eval()",
      );
    this.training = training;
    this.visit("", new Set(), (_, member) => {
      if (member instanceof Module) member.training = training;
    });
    return this;
  }

  /** Puts this module and all inside into use: dropout passes everything. Returns the module. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Brings all parameters to a device ("wasm", "webgpu", "js"). An optimizer that has moments already is brought there too, by
   * its own `to`. Returns the module. Throws DeviceError where the device is missing; nothing has moved then.
   *
   * @example
   * await model.to("webgpu");
   */
  async to(device: DeviceName): Promise<this> {
    const parameters = this.parameters();
    const there = await Promise.all(parameters.map(({ value }) => value.to(device)));
    parameters.forEach((p, i) => {
      p.value = there[i]!;
    });
    return this;
  }

  /** Goes through everything inside, members of modules after the modules themselves. */
  private visit(path: string, seen: Set<unknown>, found: (path: string, member: unknown) => void): void {
    const go = (member: unknown, at: string): void => {
      if (typeof member !== "object" || member === null || seen.has(member)) return;
      found(at, member);
      if (member instanceof Parameter) return;
      seen.add(member);
      if (member instanceof Module) member.visit(`${at}.`, seen, found);
      else if (Array.isArray(member) || isRecord(member))
        for (const [key, item] of Object.entries(member)) go(item, `${at}.${key}`);
    };
    seen.add(this);
    for (const [name, member] of this.members()) go(member, path + name);
  }

  /** The options shown in the listing. */
  protected shown(): string {
    return "";
  }

  /** The module and what is inside, one line each, as PyTorch prints it. */
  toString(): string {
    const lines: string[] = [];
    const go = (member: unknown, name: string): void => {
      if (member instanceof Module || typeof member === "function") {
        const text = member instanceof Module ? member.toString() : `${member.name || "function"}()`;
        lines.push(`(${name}): ${text.replaceAll("\n", "\n  ")}`);
      } else if (Array.isArray(member) || isRecord(member))
        for (const [key, item] of Object.entries(member)) go(item, `${name}.${key}`);
    };
    for (const [name, member] of this.members()) go(member, name);
    const title = this.constructor.name;
    return lines.length === 0
      ? `${title}(${this.shown()})`
      : `${title}(${[this.shown(), ...lines].join("\n  ")}\n)`;
  }

  static {
    display(Module.prototype);
  }
}
