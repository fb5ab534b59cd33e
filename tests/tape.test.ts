// The tape: gradients of any order, what is refused, and the listing.
import { describe, expect, test } from "vitest";
import { ones, range, tensor, zeros } from "../core/create.ts";
import { ArgumentError, DTypeError, GradientError, ShapeError } from "../core/errors.ts";
import { Parameter } from "../core/parameter.ts";
import { keep, memory, scope } from "../core/scope.ts";
import {
  grad,
  type Rule,
  record,
  stopGradient,
  tape,
  tracked,
  untracked,
  valueAndGrad,
  vjp,
} from "../core/tape.ts";
import { newTensor, Tensor } from "../core/tensor.ts";
import { broadcastTo, flip, padWindow, reshape, slice, sumTo, transpose } from "../core/views.ts";
import { add, cast, mul, sin } from "../ops/elementwise.ts";
import { argmax } from "../ops/reduce.ts";

const f64 = { dtype: "f64" } as const;
const sum = (t: Tensor): Tensor => sumTo(t, []);
const cube = (x: Tensor): Tensor => mul(x, mul(x, x)) as Tensor;
/** A number as a scalar in f64. */
const at = (v: number): Tensor => tensor(v, f64);
const close = (t: Tensor, expected: number): void => expect(t.item()).toBeCloseTo(expected, 10);

describe("grad", () => {
  test("the gradient of x³ is 3x², then 6x, then 6, then 0", () => {
    let derivative: (x: Tensor) => Tensor = cube;
    for (const expected of [8, 12, 12, 6, 0, 0]) {
      close(derivative(at(2)), expected);
      derivative = grad(derivative);
    }
  });

  test("cotangents of a value that is used twice add up", () => {
    const x = tensor([1, 2, 3], f64);
    const y = grad((x: Tensor) => sum(add(mul(x, x), add(x, x)) as Tensor))(x);
    expect(y.toArray()).toEqual([4, 6, 8]);
  });

  test("an inner gradient does not see through a closure: d/dx (x · d/dy (x·y)) is 2x", () => {
    const inner = (x: Tensor): Tensor => mul(x, grad((y: Tensor) => mul(x, y) as Tensor)(x)) as Tensor;
    close(grad(inner)(at(3)), 6);
  });

  test("one tensor given as two arguments has two gradients", () => {
    const x = at(3);
    const [a, b] = grad((a: Tensor, b: Tensor) => mul(a, mul(b, b)) as Tensor, { argnums: [0, 1] })(x, x);
    expect([a.item(), b.item()]).toEqual([9, 18]);
  });

  test("arguments may be records and arrays, and gradients have their structure", () => {
    const f = (p: { w: Tensor; list: readonly [Tensor, Tensor] }, scale: number): Tensor =>
      mul(mul(p.w, p.list[0]), mul(p.list[1], scale)) as Tensor;
    const g = grad(f)({ w: at(2), list: [at(3), at(5)] }, 10);
    expect([g.w.item(), g.list[0].item(), g.list[1].item()]).toEqual([150, 100, 60]);
  });

  test("a parameter among the arguments has a gradient", () => {
    const p = new Parameter(at(4));
    close(grad((q: Parameter<[], "f64">) => mul(q.value, q.value) as Tensor)(p as never) as Tensor, 8);
  });

  test("argnums chooses the argument", () => {
    close(grad((_: string, x: Tensor) => sin(x as Tensor<[], "f64">), { argnums: 1 })("label", at(0)), 1);
  });

  test("stopGradient makes a constant", () => {
    close(grad((x: Tensor) => mul(x, stopGradient(x)) as Tensor)(at(3)), 3);
  });

  test("untracked computations are constant", () => {
    close(
      grad(
        (x: Tensor) =>
          mul(
            x,
            untracked(() => mul(x, x) as Tensor),
          ) as Tensor,
      )(at(3)),
      9,
    );
  });

  test("the gradient of a gradient with respect to a closed-over outer argument", () => {
    // d/da of the norm of ∂/∂x (a·x³) = 3a x²
    const outer = (a: Tensor): Tensor => grad((x: Tensor) => mul(a, cube(x)) as Tensor)(at(2));
    close(grad(outer)(at(7)), 12);
  });

  test("computations that lead nowhere are not walked", () => {
    const explosive: Rule = {
      name: "explosive",
      vjp: () => {
        throw new Error("walked");
      },
    };
    const f = (x: Tensor): Tensor => {
      const dead = newTensor(x.backend, x.dtype, x.shape);
      record(explosive, [x], [dead]);
      return mul(x, x) as Tensor;
    };
    close(grad(f)(at(3)), 6);
  });
});

describe("valueAndGrad", () => {
  test("gives the value beside the gradient", () => {
    const { value, gradient } = valueAndGrad(cube)(at(2));
    expect([value.item(), gradient.item()]).toEqual([8, 12]);
  });

  test("differentiates with respect to parameters, trainable and reached", () => {
    const [w, unused] = [new Parameter(at(3)), new Parameter(at(1))];
    const still = new Parameter(at(5), { trainable: false });
    const { value, gradients } = valueAndGrad(
      () => mul(mul(w.value, w.value), still.value) as Tensor,
      [w, unused, still],
    );
    close(value, 45);
    close(gradients[0]!, 30);
    expect(gradients.slice(1)).toEqual([undefined, undefined]);
  });

  test("nests through parameters: the penalty on a gradient reaches the weights", () => {
    // loss = (d/dx (w·x²))² = 4w²x², dloss/dw = 8wx²
    const w = new Parameter(at(3));
    const { gradients } = valueAndGrad(() => {
      const slope = grad((x: Tensor) => mul(w.value, mul(x, x)) as Tensor)(at(2));
      return mul(slope, slope) as Tensor;
    }, [w]);
    close(gradients[0]!, 96);
  });

  test("inside grad, differentiates its own gradients with respect to the same parameter", () => {
    // inner: d/dw (w²·a) = 2wa; outer: d/da = 2w, and d/dw of the inner one = 2a
    const w = new Parameter(at(3));
    const list = [w];
    const step = (a: Tensor): Tensor =>
      valueAndGrad(() => mul(mul(w.value, w.value), a) as Tensor, list).gradients[0]!;
    close(grad(step)(at(5)), 6);
    close(valueAndGrad(() => step(at(5)), list).gradients[0]!, 10);
  });
});

describe("vjp", () => {
  test("pulls any cotangent back, more than once", () => {
    const x = tensor([1, 2, 3], f64);
    const { value, pullback } = vjp((x: Tensor) => mul(x, x) as Tensor, x as Tensor);
    expect(value.toArray()).toEqual([1, 4, 9]);
    for (let i = 0; i < 2; i++)
      expect(pullback(tensor([1, 10, 100], f64))[0].toArray()).toEqual([2, 40, 600]);
  });

  test("takes functions with several values, and leaves integers alone", () => {
    const f = (x: Tensor, labels: Tensor): { a: Tensor; b: Tensor } => {
      expect(labels.dtype).toBe("i32");
      return { a: mul(x, 2) as Tensor, b: mul(x, x) as Tensor };
    };
    const { pullback } = vjp(f, at(3) as Tensor, tensor([1], { dtype: "i32" }) as Tensor);
    const [dx, dLabels] = pullback({ a: at(1), b: at(10) });
    close(dx, 62);
    expect(dLabels).toBeUndefined();
  });

  test("its pullback is differentiable", () => {
    const x = at(3);
    const slope = (g: Tensor): Tensor => vjp(cube, x).pullback(g)[0];
    close(grad(slope)(at(1)), 27);
    close(grad((x: Tensor) => vjp(cube, x).pullback(at(1))[0])(x), 18);
  });

  test("refuses cotangents that do not fit", () => {
    const { pullback } = vjp((x: Tensor) => mul(x, x) as Tensor, tensor([1, 2], f64) as Tensor);
    expect(() => pullback(at(1))).toThrow(ShapeError);
    expect(() => pullback(tensor([1, 2]))).toThrow(DTypeError);
    expect(() => pullback(3 as never)).toThrow(ArgumentError);
  });
});

describe("views pass cotangents back", () => {
  const x = range(1, 7, f64).reshape([2, 3]);
  const w = range(24, f64);
  /** Σ w·view(x)² has the gradient 2·viewᵀ(w·view(x)); both orders are compared with numbers found entry by entry. */
  const check = (view: (x: Tensor) => Tensor): void => {
    const f = (x: Tensor): Tensor => {
      const v = view(x);
      const weights = reshape(slice(w, [0, v.size]), v.shape);
      return sum(mul(weights as Tensor, mul(v, mul(v, v))) as Tensor);
    };
    const entries = x.dataSync();
    const step = 1e-5;
    const along = (f: (x: Tensor) => Tensor): number[][] =>
      [...entries.keys()].map((i) => {
        const moved = (by: number): Float64Array => {
          const copy = entries.slice();
          copy[i]! += by;
          return f(tensor(copy, { shape: [2, 3] })).dataSync() as Float64Array;
        };
        const [up, down] = [moved(step), moved(-step)];
        return Array.from(up, (v, k) => (v - down[k]!) / (2 * step));
      });
    const first = grad(f)(x as Tensor).dataSync();
    const numeric = along(f);
    first.forEach((v, i) => {
      expect(v).toBeCloseTo(numeric[i]![0]!, 4);
    });
    const second = (x: Tensor): Tensor => grad(f)(x);
    const numeric2 = along(second);
    const weights = tensor([1, -2, 3, 0.5, 4, -1], { ...f64, shape: [2, 3] });
    const product = grad((x: Tensor) => sum(mul(second(x), weights) as Tensor))(x as Tensor).dataSync();
    product.forEach((v, i) => {
      const expected = numeric2[i]!.reduce((s, d, k) => s + d * weights.dataSync()[k]!, 0);
      expect(v).toBeCloseTo(expected, 3);
    });
  };
  const views: Record<string, (x: Tensor) => Tensor> = {
    reshape: (x) => reshape(x, [3, 2]) as Tensor,
    "reshape of a transposed": (x) => reshape(transpose(x), [6]) as Tensor,
    transpose: (x) => transpose(x),
    "transpose of three axes": (x) => transpose(reshape(x, [1, 2, 3]) as Tensor, [2, 0, 1]) as Tensor,
    slice: (x) => slice(x, null, [1]),
    "slice with steps and a dropped axis": (x) => slice(x, -1, [0, 3, 2]),
    flip: (x) => flip(x, 1),
    broadcastTo: (x) => broadcastTo(reshape(x, [2, 1, 3]) as Tensor, [2, 2, 3]) as Tensor,
    "broadcastTo with new axes": (x) => broadcastTo(x, [2, 2, 3]) as Tensor,
    sumTo: (x) => sumTo(x, [1, 3]),
    padWindow: (x) => padWindow(x, [3, 8], [1, 2], [1, 2]),
  };
  for (const [name, view] of Object.entries(views)) test(name, () => check(view));
});

describe("refusals name place, finding and way out", () => {
  const x = tensor([1, 2], f64) as Tensor;
  /** Failing calls leave nothing behind. */
  const refuses = (fn: () => unknown, kind: new (...args: never[]) => Error, sentence: RegExp): void => {
    const before = memory();
    expect(fn).toThrow(kind);
    expect(fn).toThrow(sentence);
    expect(memory()).toMatchObject({ tensors: before.tensors, bytes: before.bytes });
  };

  test("a loss that is not a single number", () => {
    refuses(
      () => grad((x: Tensor) => x)(x),
      GradientError,
      /grad: .* shape \[2\], not a single number; reduce/,
    );
    refuses(() => grad((_: Tensor) => 3 as never)(x), GradientError, /returned 3, not a tensor/);
    refuses(() => grad((async (x: Tensor) => sum(x)) as never as typeof sum)(x), GradientError, /a promise/);
  });

  test("an argument that the loss does not depend on", () => {
    refuses(
      () => grad((_: Tensor, y: Tensor) => sum(y))(x, x),
      GradientError,
      /does not depend on argument 0; use it in the function/,
    );
    refuses(
      () => grad((p: { a: Tensor; b: Tensor }) => sum(p.a))({ a: x, b: x }),
      GradientError,
      /argument 0\.b/,
    );
    const p = new Parameter(zeros([2]));
    refuses(() => valueAndGrad(() => sum(x), [p]), GradientError, /any of the parameters/);
    const { pullback } = vjp((x: Tensor, y: Tensor) => (x ? y : x), x, x);
    refuses(() => pullback(x), GradientError, /vjp: the result does not depend on argument 0/);
  });

  test("a path that ends in integers", () => {
    const f = (x: Tensor): Tensor => sum(cast(cast(x, "i32"), "f64") as Tensor);
    refuses(() => grad(f)(x), GradientError, /the path ends in integers at cast/);
    const largest = (x: Tensor): Tensor => sum(cast(argmax(x as Tensor<[2], "f64">), "f64") as Tensor);
    refuses(() => grad(largest)(x), GradientError, /the path ends in integers at argmax/);
    refuses(
      () => grad((x: Tensor) => cast(sum(x), "i32") as Tensor)(x),
      GradientError,
      /returned i32 \(made by cast\)/,
    );
    const labels = tensor([1], { dtype: "i32" }) as Tensor;
    refuses(() => grad((x: Tensor) => sum(x))(labels), GradientError, /argument 0 is i32/);
  });

  test("junk", () => {
    refuses(() => grad(3 as never), ArgumentError, /grad: 3 is not a function/);
    refuses(() => grad((v: number) => v as never)(3), ArgumentError, /argument 0 is 3; give a tensor/);
    refuses(() => grad(sum, { argnums: 1 as never })(x), ArgumentError, /argument 1 of 1/);
    refuses(() => grad(sum, { argnums: [0, 0] as never })(x), ArgumentError, /argument 0 twice/);
    refuses(() => grad(sum, { argnums: [] as never })(x), ArgumentError, /argnums is empty/);
    refuses(() => valueAndGrad(() => sum(x), [x as never]), ArgumentError, /entry 0 of the parameters/);
    refuses(() => vjp((v: number) => v as never, 3), ArgumentError, /no argument holds a float tensor/);
    refuses(() => vjp((_: Tensor) => 3 as never, x), GradientError, /returned 3/);
    refuses(() => stopGradient(3 as never), ArgumentError, /3 is not a tensor/);
    refuses(() => tape(3 as never), ArgumentError, /not a function/);
  });

  test("a rule whose cotangent does not fit is named", () => {
    const wrong: Rule = { name: "wrong", vjp: () => [x] };
    const f = (x: Tensor): Tensor => {
      const out = newTensor(x.backend, x.dtype, []);
      record(wrong, [x], [out]);
      return out;
    };
    refuses(() => grad(f)(zerosOf3), GradientError, /wrong: its rule gives \[2\] f64 .* which is \[3\] f64/);
  });
  const zerosOf3 = zeros([3], f64) as Tensor;

  test("an error in the function or in a rule leaves no tape behind", () => {
    const fail = (): never => {
      throw new Error("own");
    };
    expect(() => grad((x: Tensor) => mul(mul(x, x), fail()) as Tensor)(x)).toThrow("own");
    const failing: Rule = { name: "failing", vjp: fail };
    const f = (x: Tensor): Tensor => {
      const out = newTensor(x.backend, x.dtype, []);
      record(failing, [sumTo(mul(x, x) as Tensor, [])], [out]);
      return out;
    };
    refuses(() => grad(f)(x), Error, /own/);
    expect(tracked([x])).toBe(false);
  });
});

describe("memory", () => {
  test("gradients free everything but themselves, at every order", () => {
    const x = range(1, 1001, f64) as Tensor;
    const f = (x: Tensor): Tensor => sum(mul(x, sin(mul(x, x) as Tensor<[number], "f64">)) as Tensor);
    scope(() => {
      const before = memory();
      const g = grad(f)(x);
      expect(memory().tensors).toBe(before.tensors + 1);
      expect(memory().bytes).toBe(before.bytes + 8000);
      const h = grad((x: Tensor) => sum(grad(f)(x)))(x);
      expect(memory().tensors).toBe(before.tensors + 2);
      expect([g.size, h.size]).toEqual([1000, 1000]);
    });
  });

  test("cotangents are freed as they are consumed", () => {
    const n = 1000;
    const deep = (x: Tensor): Tensor => {
      let h = x;
      for (let i = 0; i < 50; i++) h = add(h, 1) as Tensor;
      return sum(h);
    };
    const x = ones([n], f64) as Tensor;
    let most = 0;
    // The rule of every addition runs while this one's cotangent is all that is alive.
    const spy: Rule = {
      name: "spy",
      vjp: ([g]) => {
        most = memory().bytes;
        return [g];
      },
    };
    const f = (x: Tensor): Tensor => {
      const out = add(x, 0) as Tensor;
      const twin = newTensor(x.backend, x.dtype, x.shape);
      x.backend.copy(out, twin.storage, "f64");
      record(spy, [out], [twin]);
      return deep(twin);
    };
    scope(() => {
      const before = memory().bytes;
      grad(f)(x);
      // 52 results of the forward pass, and no more than four cotangents beside them.
      expect(most - before).toBeLessThanOrEqual((53 + 4) * 8 * n);
    });
  });

  test("values that were kept inside survive", () => {
    let kept: Tensor | undefined;
    grad((x: Tensor) => {
      kept = keep(mul(x, ones([100], f64)) as Tensor);
      return sum(kept);
    })(at(2));
    expect(kept!.toArray()).toEqual(new Array(100).fill(2));
  });
});

describe("the listing", () => {
  const expected = [
    "%0 = argument 0 [2, 3] f64",
    "%1 = weight [3] f64",
    "%2 = mul(%0 [2, 3], %1 [3]) → [2, 3] f64",
    "%3 = sin(%2 [2, 3]) → [2, 3] f64",
    "%4 = mul(%3 [2, 3], constant [2, 3]) → [2, 3] f64",
    "%5 = sumTo(%4 [2, 3]) → [] f64",
  ].join("\n");

  test("names inputs, numbers results and shows shapes", () => {
    const w = new Parameter(ones([3], f64), { name: "weight" });
    const f = (x: Tensor, p: { value: Tensor }): Tensor =>
      sum(mul(sin(mul(x, p.value) as Tensor<[2, 3], "f64">), ones([2, 3], f64)) as Tensor);
    const made = tape(f, ones([2, 3], f64) as Tensor, w as unknown as { value: Tensor });
    expect(String(made.tape)).toBe(expected);
    expect(made.tape.records.map((r) => r.rule.name)).toEqual(["mul", "sin", "mul", "sumTo"]);
    expect(made.value).toBeInstanceOf(Tensor);
    // Later tapes do not disturb the listing of an earlier one.
    grad(cube)(w.value.slice(0));
    valueAndGrad(() => sum(w.value), [w]);
    expect(String(made.tape)).toBe(expected);
  });

  test("of a gradient shows the walk back", () => {
    const listing = String(tape(grad(cube), at(2)).tape);
    expect(listing).toMatch(/^%0 = argument 0 \[\] f64\n%1 = alias\(%0 \[\]\)/);
    expect(listing).toMatch(/mulGradient/);
  });
});
