// A model is an object that holds parameters and other modules: named as PyTorch names them, printed, switched between training and use.
// Computes nothing itself and knows no layer.

import type { DeviceName } from "../core/backends/backend.ts";
import type { DType } from "../core/dtype.ts";
import { ArgumentError, showValue } from "../core/errors.ts";
import { display } from "../core/inspect.ts";
import { Parameter } from "../core/parameter.ts";
import { isKey, type Key } from "../core/random.ts";
import { isRecord, passingOn } from "../core/scope.ts";
import type { Shape } from "../core/shape.ts";
import { counted, handleBeside, handleOn, readable, type StateDict, snakeCase } from "../core/state.ts";
import type { Tensor } from "../core/tensor.ts";
import { type LoadOptions, type LoadResult, matched, type Place } from "./state.ts";

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

  /**
   * The parameters, trainable or not, by PyTorch's names: the path of fields in snake_case, so that `selfAttn.inProjWeight` is
   * `self_attn.in_proj_weight`. A shared one stands under each of its names. The tensors share the memory of the parameters and
   * keep these values when training goes on. Random keys are not among them: `randomState`.
   *
   * Throws ArgumentError where two parameters have one name in this spelling.
   * @example
   * await saveFile("model.safetensors", model.stateDict());
   */
  stateDict(): StateDict {
    return Object.fromEntries(
      this.cells().flatMap(({ names, cell: { value } }) => {
        const view = handleOn(value);
        return names.map((name): [string, Tensor] => [name, view]);
      }),
    );
  }

  /**
   * Gives the parameters the values of a dict of the names that `stateDict` has. The dict stays as it is. Of a shared parameter
   * one name is enough. Everything is checked first: when it refuses, nothing has changed.
   *
   * Floats of another width are refused, since that rounds or pretends to digits: `{ cast: true }` converts them. With
   * `{ strict: false }` the names that both have are loaded. Returns the names that had no counterpart.
   *
   * Throws ArgumentError for names that are missing or unknown, ShapeError and DTypeError for tensors that do not fit,
   * DeviceError for tensors on a GPU where the parameters live elsewhere: `await t.to(…)` first.
   * @example
   * model.loadStateDict(fromSafetensors(bytes).tensors);
   */
  loadStateDict(dict: StateDict, options: LoadOptions = {}): LoadResult {
    const place = "loadStateDict";
    return passingOn(() => {
      const { pairs, ...result } = matched(place, this.constructor.name, dict, this.cells(), options);
      const values = pairs.map(([{ names, cell }, t]) => handleBeside(place, names[0]!, t, cell.value));
      pairs.forEach(([{ cell }], i) => {
        cell.value = values[i]!;
      });
      return result;
    });
  }

  /**
   * What the random numbers of the next pass follow from: the field `key` of each module inside that has one, such as Dropout,
   * as two i32. With it beside the parameters, a training that is resumed draws what it would have drawn.
   *
   * @example
   * const before = model.randomState();
   * model.forward(x);
   * model.loadRandomState(before); // the next pass drops the same entries
   */
  randomState(): StateDict {
    return Object.fromEntries(
      this.drawing().map(({ names: [name], module }) => [name!, counted(module.key)]),
    );
  }

  /** Takes the keys that `randomState` gave. Throws what `loadStateDict` throws, and changes nothing then. */
  loadRandomState(dict: StateDict): void {
    const place = "loadRandomState";
    const { pairs } = matched(place, this.constructor.name, dict, this.drawing(), {});
    const words = pairs.map(([{ names }, t]) => readable(place, names[0]!, t));
    pairs.forEach(([{ module }], i) => {
      module.key = [words[i]![0]! >>> 0, words[i]![1]! >>> 0];
    });
  }

  /** The parameters with all their names in files. */
  private cells(): (Place & { readonly cell: Parameter<Shape, DType> })[] {
    const names = new Map<Parameter, string[]>();
    const owners = new Map<string, Parameter>();
    const found = (path: string, member: unknown): void => {
      if (!(member instanceof Parameter)) return;
      const name = snakeCase(path);
      if ((owners.get(name) ?? member) !== member)
        throw new ArgumentError(
          this.constructor.name,
          `two parameters are named ${name} in files`,
          "call one of the fields otherwise",
        );
      owners.set(name, member);
      if (!names.has(member)) names.set(member, []);
      names.get(member)!.push(name);
    };
    this.visit("", new Set(), found, true);
    return [...names].map(([cell, all]) => ({ names: all, like: cell, cell }));
  }

  /** The modules that have a key, this one among them. */
  private drawing(): (Place & { readonly module: { key: Key } })[] {
    const found: (Place & { readonly module: { key: Key } })[] = [];
    const look = (path: string, member: unknown): void => {
      if (!(member instanceof Module && "key" in member && isKey(member.key))) return;
      const module = member as Module & { key: Key };
      found.push({ names: [snakeCase(`${path}key`)], like: { shape: [2], dtype: "i32" }, module });
    };
    look("", this);
    this.visit("", new Set(), (path, member) => look(`${path}.`, member));
    return found;
  }

  /**
   * Goes through everything inside, members of modules after the modules themselves: what is shared once, or wherever it stands.
   */
  private visit(
    path: string,
    seen: Set<unknown>,
    found: (path: string, member: unknown) => void,
    everywhere = false,
  ): void {
    const go = (member: unknown, at: string): void => {
      if (typeof member !== "object" || member === null || seen.has(member)) return;
      found(at, member);
      if (member instanceof Parameter) return;
      seen.add(member);
      if (member instanceof Module) member.visit(`${at}.`, seen, found, everywhere);
      else if (Array.isArray(member) || isRecord(member))
        for (const [key, item] of Object.entries(member)) go(item, `${at}.${key}`);
      // What holds itself is entered once all the same.
      if (everywhere) seen.delete(member);
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
