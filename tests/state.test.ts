// State: names as PyTorch has them, loading that changes all or nothing, random keys, files that are whole, and a training that
// goes on after it was stopped as if it had not been.

import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { tensor, zeros } from "../core/create.ts";
import { ArgumentError, DeviceError, DTypeError, FormatError, ShapeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { normal } from "../core/random.ts";
import { memory, scope } from "../core/scope.ts";
import type { StateDict } from "../core/state.ts";
import type { Tensor } from "../core/tensor.ts";
import {
  batches,
  Dropout,
  fromCheckpoint,
  fromSafetensors,
  Linear,
  loadCheckpoint,
  loadFile,
  Module,
  type Parts,
  Sequential,
  type Stateful,
  saveCheckpoint,
  saveFile,
  toCheckpoint,
  toSafetensors,
} from "../nn/index.ts";
import { relu } from "../ops/elementwise.ts";

/** A model of one's own: fields in camelCase, a list, a record, state that no optimizer changes, and two shared things. */
class Made extends Module {
  readonly selfAttn = { inProjWeight: new Parameter(tensor([[1, 2]])), W: new Parameter(tensor([3])) };
  readonly layers = [new Linear(2, 2), new Linear(2, 1, { bias: false, seed: 1 })];
  readonly numBatchesTracked = new Parameter(tensor(0, { dtype: "i32" }), { trainable: false });
  readonly tiedWeight = this.layers[0]!.weight;
  readonly tiedLayer = this.layers[1]!;
  parent: Module | null = null;
  override forward(): void {}
}

const valuesOf = (dict: StateDict): { [name: string]: unknown } =>
  Object.fromEntries(Object.entries(dict).map(([name, t]) => [name, t.toArray()]));

describe("stateDict", () => {
  test("names are PyTorch's: paths in snake_case, shared parameters under each, what is no parameter under none", () => {
    expect(Object.keys(new Made().stateDict()).sort()).toEqual([
      "layers.0.bias",
      "layers.0.weight",
      "layers.1.weight",
      "num_batches_tracked",
      "self_attn.W",
      "self_attn.in_proj_weight",
      "tied_layer.weight",
      "tied_weight",
    ]);
    const nested = new Sequential(new Linear(2, 3), relu, new Sequential(new Dropout(), new Linear(3, 1)));
    expect(Object.keys(nested.stateDict())).toEqual(["0.weight", "0.bias", "2.1.weight", "2.1.bias"]);
    expect(new Sequential(relu).stateDict()).toEqual({});
  });

  test("a module that holds its parent is walked once", () => {
    const [made, inner] = [new Made(), new Made()];
    inner.parent = made;
    made.parent = inner;
    expect(Object.keys(made.stateDict())).toHaveLength(16);
    expect(Object.keys(made.stateDict())).toContain("parent.self_attn.W");
  });

  test("two fields of one name in files are refused", () => {
    class Twice extends Module {
      readonly inProj = new Parameter(tensor([1]));
      readonly in_proj = new Parameter(tensor([2]));
      override forward(): void {}
    }
    expect(() => new Twice().stateDict()).toThrow("Twice: two parameters are named in_proj in files");
  });

  test("it keeps its values when training goes on, and takes no memory until then", () => {
    const model = new Linear(20, 20);
    const before = memory().bytes;
    const dict = model.stateDict();
    expect(memory().bytes).toBe(before);
    const first = dict.weight!.toArray();
    scope(() => {
      model.weight.value = zeros([20, 20]);
    });
    expect(dict.weight!.toArray()).toEqual(first);
    expect(model.stateDict().weight!.toArray()).not.toEqual(first);
  });
});

describe("loadStateDict", () => {
  test("gives a model the values of another, and the dict stays as it is", () => {
    const [one, other] = [new Linear(30, 3, { seed: 1 }), new Linear(30, 3, { seed: 2 })];
    const dict = scope(() => one.stateDict());
    expect(other.loadStateDict(dict)).toEqual({ missing: [], unexpected: [] });
    expect(valuesOf(other.stateDict())).toEqual(valuesOf(one.stateDict()));
    scope(() => {
      other.weight.value = zeros([3, 30]);
    });
    expect(dict.weight!.toArray()).toEqual(one.weight.value.toArray());
    expect(valuesOf(dict)).toEqual(valuesOf(one.stateDict()));
  });

  test("inside a scope too, whose end leaves the parameters their values", () => {
    const model = new Linear(30, 3);
    scope(() => {
      model.loadStateDict({ weight: normal([3, 30], { seed: 3 }), bias: zeros([3]) });
    });
    expect(model.weight.value.toArray()).toEqual(normal([3, 30], { seed: 3 }).toArray());
  });

  test("counters of 64 bits in files are i32 here", () => {
    const made = new Made();
    made.loadStateDict({ num_batches_tracked: tensor(7, { dtype: "i32" }) }, { strict: false });
    expect(made.numBatchesTracked.value.item()).toBe(7);
  });

  test("of a shared parameter one name is enough; two are taken if they agree", () => {
    const dict = { ...new Made().stateDict() } as { [name: string]: Tensor };
    const { tied_weight: _, ...once } = dict;
    const made = new Made();
    expect(
      made.loadStateDict({
        ...once,
        "layers.0.weight": tensor([
          [1, 2],
          [3, 4],
        ]),
      }),
    ).toEqual({ missing: [], unexpected: [] });
    expect(made.tiedWeight.value.toArray()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    const copy = tensor([
      [1, 2],
      [3, 4],
    ]);
    made.loadStateDict({
      ...once,
      tied_weight: copy,
      "layers.0.weight": tensor([
        [1, 2],
        [3, 4],
      ]),
    });
    expect(() => made.loadStateDict({ ...dict, tied_weight: copy })).toThrow(
      "layers.0.weight and tied_weight are one tensor here, and differ in the dict",
    );
  });

  const model = (): Sequential => new Sequential(new Linear(2, 3), relu, new Linear(3, 1)) as never;
  const dict = model().stateDict();
  const { "0.weight": w, ...less } = dict;
  const wide = { ...dict, "2.bias": tensor([1], { dtype: "f64" }) };

  test.each<[string, StateDict, new (...args: never[]) => Error, string]>([
    [
      "a name that is misspelt",
      { ...less, "0.wieght": w! },
      ArgumentError,
      "loadStateDict: the dict lacks 0.weight and has 0.wieght, which the Sequential lacks; nearest are 0.weight for 0.wieght: give the names of the Sequential, or { strict: false }",
    ],
    ["a name that is missing", less, ArgumentError, "loadStateDict: the dict lacks 0.weight; give the names"],
    [
      "a name too many",
      { ...dict, "3.bias": tensor([1]) },
      ArgumentError,
      "loadStateDict: the dict has 3.bias, which the Sequential lacks; nearest are 0.bias for 3.bias",
    ],
    [
      "everything missing",
      {},
      ArgumentError,
      "the dict lacks 0.weight, 0.bias, 2.weight, 2.bias; give the names",
    ],
    [
      "other sizes",
      { ...dict, "0.weight": zeros([2, 3]), "2.bias": zeros([]) },
      ShapeError,
      "0.weight is [2, 3] in place of [3, 2], 2.bias is [] in place of [1]",
    ],
    [
      "floats of another width",
      wide,
      DTypeError,
      "2.bias is f64 in place of f32; convert floats of another width with { cast: true }",
    ],
    [
      "integers",
      { ...dict, "2.bias": tensor([1], { dtype: "i32" }) },
      DTypeError,
      "2.bias is i32 in place of f32",
    ],
    ["junk", [w] as never, ArgumentError, "an array of 1 stands where tensors by name are wanted"],
    [
      "junk inside",
      { ...less, "0.weight": [1] as never },
      ArgumentError,
      "loadStateDict: 0.weight: an array of 1 is not a tensor",
    ],
  ])("refuses %s, and nothing has changed", (_, given, kind, message) => {
    const target = new Sequential(new Linear(2, 3, { seed: 5 }), relu, new Linear(3, 1, { seed: 5 }));
    const before = valuesOf(target.stateDict());
    const bytes = memory().bytes;
    expect(() => target.loadStateDict(given)).toThrow(message);
    expect(() => target.loadStateDict(given)).toThrow(kind);
    expect(valuesOf(target.stateDict())).toEqual(before);
    expect(memory().bytes).toBe(bytes);
  });

  test("a tensor that its scope has freed is refused, and nothing has changed", () => {
    let gone: Tensor | undefined;
    scope(() => {
      gone = zeros([9, 9]);
    });
    const target = new Linear(9, 9);
    const before = valuesOf(target.stateDict());
    expect(() => target.loadStateDict({ bias: zeros([9]), weight: gone! })).toThrow(/keep\(\) it/);
    expect(valuesOf(target.stateDict())).toEqual(before);
  });

  test("many wrong names are counted", () => {
    const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`x${i}`, tensor([1])]));
    expect(() => new Sequential(relu).loadStateDict(many)).toThrow(
      "has x0, x1, x2, x3, x4 and 4 more, which",
    );
  });

  test("{ strict: false } loads what both have, and tells the rest", () => {
    const target = model();
    const more = { ...less, extra: tensor([1]), "2.bias": tensor([5]) };
    expect(target.loadStateDict(more, { strict: false })).toEqual({
      missing: ["0.weight"],
      unexpected: ["extra"],
    });
    expect(target.stateDict()["2.bias"]!.toArray()).toEqual([5]);
    expect(() => target.loadStateDict({ "2.bias": zeros([2]) }, { strict: false })).toThrow(ShapeError);
    expect(() => target.loadStateDict(dict, { strict: 1 as never })).toThrow("strict is 1");
    expect(() => target.loadStateDict(dict, { assign: true } as never)).toThrow("there is no option assign");
  });

  test("{ cast: true } converts floats, and no integers", () => {
    const target = model();
    target.loadStateDict({ ...wide, "2.bias": tensor([0.1], { dtype: "f64" }) }, { cast: true });
    expect(target.stateDict()["2.bias"]!.dtype).toBe("f32");
    expect(target.stateDict()["2.bias"]!.toArray()).toEqual([Math.fround(0.1)]);
    const double = new Linear(1, 1, { dtype: "f64" });
    double.loadStateDict(new Linear(1, 1, { seed: 3 }).stateDict(), { cast: true });
    expect(double.weight.value.toArray()).toEqual(new Linear(1, 1, { seed: 3 }).weight.value.toArray());
    const whole = { ...dict, "2.bias": tensor([1], { dtype: "i32" }) };
    expect(() => target.loadStateDict(whole, { cast: true })).toThrow(DTypeError);
  });
});

describe("random state", () => {
  const dropping = (): Sequential =>
    new Sequential(new Dropout(0.5, { seed: 4 }), new Sequential(new Dropout())) as never;
  const x = zeros([50]);
  const keys = (m: Module): unknown => valuesOf(m.randomState());

  test("is the key of each module that has one, by its name", () => {
    expect(Object.keys(dropping().randomState())).toEqual(["0.key", "1.0.key"]);
    expect(Object.keys(new Dropout().randomState())).toEqual(["key"]);
    expect(new Linear(2, 2).randomState()).toEqual({});
    expect(dropping().stateDict()).toEqual({});
  });

  test("repeats what is drawn, all words of 32 bits included", () => {
    const model = dropping();
    (model.layers[0] as Dropout).key = [2 ** 32 - 1, 2 ** 31];
    model.forward(x as never);
    (model.layers[0] as Dropout).key = [2 ** 32 - 1, 2 ** 31];
    const before = model.randomState();
    const other = dropping();
    other.loadRandomState(before);
    expect((other.layers[0] as Dropout).key).toEqual([2 ** 32 - 1, 2 ** 31]);
    const ones = tensor(new Float32Array(200).fill(1));
    const draw = (m: Sequential): unknown => (m.forward(ones as never) as Tensor).toArray();
    expect(draw(other)).toEqual(draw(model));
    expect(keys(other)).toEqual(keys(model));
    expect(keys(other)).not.toEqual(valuesOf(before));
  });

  test("refuses other names and sizes, and nothing has changed", () => {
    const model = dropping();
    const before = keys(model);
    const good = model.randomState();
    expect(() => model.loadRandomState({ ...good, "2.key": tensor([1]) })).toThrow(
      "has 2.key, which the Sequential lacks",
    );
    expect(() => model.loadRandomState({ "0.key": tensor([1, 2], { dtype: "i32" }) })).toThrow(
      "lacks 1.0.key",
    );
    expect(() => model.loadRandomState({ ...good, "1.0.key": tensor([1, 2, 3], { dtype: "i32" }) })).toThrow(
      ShapeError,
    );
    expect(() => model.loadRandomState({ ...good, "1.0.key": tensor([1, 2]) })).toThrow(DTypeError);
    expect(keys(model)).toEqual(before);
  });
});

/** A folder that is gone after the test. */
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "simplexgrad-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

describe("files", () => {
  test("what is written is read: tensors with metadata, or bytes as they are", async () => {
    const path = join(folder(), "a.safetensors");
    await saveFile(path, { x: tensor([1, 2]) }, { epoch: "3" });
    const { tensors, metadata } = await loadFile(path);
    expect([valuesOf(tensors), metadata]).toEqual([{ x: [1, 2] }, { epoch: "3" }]);
    expect(new Uint8Array(readFileSync(path))).toEqual(await toSafetensors(tensors, metadata));
    await saveFile(path, Uint8Array.of(1, 2));
    expect([...readFileSync(path)]).toEqual([1, 2]);
    await expect(loadFile(path)).rejects.toThrow(FormatError);
  });

  test("a file is replaced whole: its permissions stay, a link leads to the new one, and nothing is left beside it", async () => {
    const place = folder();
    const [path, link] = [join(place, "a"), join(place, "link")];
    writeFileSync(path, "old");
    chmodSync(path, 0o600);
    symlinkSync(path, link);
    await saveFile(link, Uint8Array.of(7));
    expect([...readFileSync(path)]).toEqual([7]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(place).sort()).toEqual(["a", "link"]);
  });

  test("a failure leaves the old file, and nothing beside it", async () => {
    const around = folder();
    const place = join(around, "inner");
    const path = join(place, "a");
    mkdirSync(place);
    await saveFile(path, Uint8Array.of(1));
    await expect(saveFile(path, { x: 3 as never })).rejects.toThrow(ArgumentError);
    await expect(saveFile(place, Uint8Array.of(2))).rejects.toThrow(/EISDIR|EEXIST|EPERM|ENOTEMPTY/);
    await expect(saveFile(join(place, "none", "a"), Uint8Array.of(2))).rejects.toThrow(/ENOENT/);
    await expect(loadFile(join(place, "b"))).rejects.toThrow(/ENOENT/);
    expect([...readFileSync(path)]).toEqual([1]);
    expect(readdirSync(place)).toEqual(["a"]);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`${basename(place)}.`))).toEqual([]);
  });

  test("where there are none, the way out is named", async () => {
    vi.stubGlobal("process", undefined);
    onTestFinished(() => {
      vi.unstubAllGlobals();
    });
    await expect(saveFile("a", Uint8Array.of(1))).rejects.toThrow(
      "saveFile: there are no files in a page, nor in Node before 20.16; offer the bytes as a download",
    );
    await expect(loadCheckpoint("a", {})).rejects.toThrow("fetch it");
    await expect(saveFile("a", Uint8Array.of(1))).rejects.toThrow(DeviceError);
    await expect(saveFile(3 as never, Uint8Array.of(1))).rejects.toThrow("saveFile: the path is 3");
  });
});

/** A part of one's own: a number. */
class Counter implements Stateful {
  count = 0;
  stateDict(): StateDict {
    return { count: tensor(this.count, { dtype: "f64" }) };
  }
  loadStateDict({ count }: StateDict): void {
    if (count === undefined) throw new ArgumentError("Counter", "there is no count", "give one");
    this.count = count.item() as number;
  }
}

describe("checkpoints", () => {
  const parts = (seed: number) => ({
    model: new Sequential(new Linear(3, 2, { seed }), new Dropout(0.5, { seed })),
    counter: new Counter(),
    train: batches({ x: zeros([10, 3]) }, { size: 3, seed }),
    empty: new Sequential(relu),
  });
  const stateOf = (given: Parts): unknown =>
    Object.entries(given).map(([, part]) => [
      valuesOf(part.stateDict()),
      part instanceof Module && valuesOf(part.randomState()),
    ]);

  test("hold every part under its name, random keys apart, in a file that others can read", async () => {
    const { tensors, metadata } = fromSafetensors(await toCheckpoint(parts(1), { note: "x" }));
    expect(Object.keys(tensors).sort()).toEqual([
      "counter.count",
      "model.0.bias",
      "model.0.weight",
      "random.model.1.key",
      "train.epoch",
      "train.index",
      "train.key",
      "train.rows",
    ]);
    expect(metadata).toEqual({ note: "x", "simplexgrad.parts": "model,counter,train,empty" });
  });

  test("bring all parts back, or those that are asked for, and give the metadata", async () => {
    const saved = parts(1);
    saved.counter.count = 5;
    saved.train.next();
    const path = join(folder(), "run");
    await saveCheckpoint(path, saved, { note: "x" });
    const loaded = parts(2);
    expect(await loadCheckpoint(path, loaded)).toEqual({ note: "x" });
    expect(stateOf(loaded)).toEqual(stateOf(saved));
    const { model } = parts(3);
    await loadCheckpoint(path, { model });
    expect(stateOf({ model })).toEqual(stateOf({ model: saved.model }));
  });

  test("change nothing where one part refuses, and say which", async () => {
    const bytes = await toCheckpoint(parts(1));
    const target = { ...parts(2), counter: batches({ x: [1] }, { size: 1 }) };
    const before = stateOf(target);
    expect(() => fromCheckpoint(bytes, target)).toThrow(
      "fromCheckpoint: counter: loadStateDict: the dict lacks key",
    );
    expect(stateOf(target)).toEqual(before);
    const smaller = { ...parts(2), train: batches({ x: [1] }, { size: 1 }) };
    const then = stateOf(smaller);
    expect(() => fromCheckpoint(bytes, smaller)).toThrow(
      "train: loadStateDict: the position is row 0 of 10 in epoch 0",
    );
    expect(stateOf(smaller)).toEqual(then);
  });

  test("are refused where they are none, lack a part, or have parts that are none", async () => {
    const bytes = await toCheckpoint({ counter: new Counter() });
    expect(() => fromCheckpoint(bytes, { conuter: new Counter() })).toThrow(
      "fromCheckpoint: there is no part conuter in the file; its parts are counter",
    );
    const plain = await toSafetensors({ "counter.count": tensor([1]) });
    expect(() => fromCheckpoint(plain, { counter: new Counter() })).toThrow(
      "the file holds tensors, but no checkpoint",
    );
    expect(() => fromCheckpoint(bytes.subarray(1), {})).toThrow(FormatError);
    const junk: readonly unknown[] = [
      3,
      { a: 3 },
      { a: { stateDict: () => ({}) } },
      { a: null },
      { "a.b": new Counter() },
      { random: new Counter() },
    ];
    for (const given of junk) await expect(toCheckpoint(given as never)).rejects.toThrow(ArgumentError);
    await expect(toCheckpoint({}, 3 as never)).rejects.toThrow("the metadata are 3");
  });
});
