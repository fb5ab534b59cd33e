// Ops that bring their own gradient: what the tape asks of them, and where derivatives of higher order come from.

import { describe, expect, test } from "vitest";
import { customOp, GradientError, grad, type Tensor, tensor, valueAndGrad, vjp } from "../core/index.ts";
import { mul, square, sum } from "../ops/index.ts";

type Vector = Tensor<[number], "f64">;
const vector = (...data: number[]): Vector => tensor(Float64Array.from(data)) as Vector;

/** Σ x²·y with its gradient computed going forward; counts what is called. */
function counting(withDefinition: boolean) {
  const calls = { forward: 0, vjp: 0, definition: 0, wanted: [] as boolean[] };
  const whole = (x: Vector, y: Vector): Vector => sum(mul(square(x), y)) as unknown as Vector;
  const op = customOp<[Vector, Vector, string], Tensor, { dx: Tensor | undefined; dy: Tensor | undefined }>(
    "own",
    {
      forward: ([x, y], wanted) => {
        calls.forward++;
        calls.wanted = [...wanted];
        return {
          value: whole(x, y),
          saved: {
            dx: wanted[0] ? mul(2, mul(x, y)) : undefined,
            dy: wanted[1] ? square(x) : undefined,
          },
        };
      },
      vjp: ([g], { saved: { dx, dy } }) => {
        calls.vjp++;
        return [dx && mul(g as Vector, dx as Vector), dy && mul(g as Vector, dy as Vector)];
      },
      ...(withDefinition
        ? {
            definition: (x: Vector, y: Vector) => {
              calls.definition++;
              return whole(x, y);
            },
          }
        : {}),
    },
  );
  return { op, calls };
}

describe("an op with a gradient of its own", () => {
  test("is called once, and told which arguments a tape follows", () => {
    const { op, calls } = counting(false);
    const [x, y] = [vector(1, 2), vector(3, 4)];
    expect(op(x, y, "words are passed on").item()).toBe(19);
    expect(calls).toMatchObject({ forward: 1, wanted: [false, false, false] });
    expect(grad((x: Vector) => op(x, y, ""))(x).toArray()).toEqual([6, 16]);
    expect(calls).toMatchObject({ forward: 2, vjp: 1, wanted: [true, false, false] });
    const { gradient } = valueAndGrad((x: Vector, y: Vector) => op(x, y, ""), { argnums: [0, 1] })(x, y);
    expect(gradient.map((g) => g.toArray())).toEqual([
      [6, 16],
      [1, 4],
    ]);
  });

  test("is scaled by its cotangent, each time anew", () => {
    const { op } = counting(false);
    const { pullback } = vjp((x: Vector) => op(x, vector(3, 4), ""), vector(1, 2));
    for (const g of [1, 10, 1]) {
      const [dx] = pullback(tensor(Float64Array.of(g), { shape: [] }));
      expect((dx as Tensor).toArray()).toEqual([6 * g, 16 * g]);
    }
  });

  test("has the derivatives of its definition where an outer tape looks on", () => {
    const { op, calls } = counting(true);
    const y = vector(3, 4);
    const first = (x: Vector): Tensor => sum(square(grad((x: Vector) => op(x, y, ""))(x)) as Vector);
    // Σ (2xy)², of which the derivative is 8xy².
    expect(grad(first)(vector(1, 2)).toArray()).toEqual([72, 256]);
    expect(calls.definition).toBe(1);
    // An outer tape that follows nothing of it does not count.
    grad((t: Vector) =>
      mul(sum(t) as never, grad((x: Vector) => op(x, y, ""))(vector(1, 2)).slice(0) as never),
    )(vector(1));
    expect(calls.definition).toBe(1);
  });

  test("says so where a derivative of higher order is asked for and there is none", () => {
    const { op } = counting(false);
    const second = grad((x: Vector) => sum(grad((x: Vector) => op(x, vector(1), ""))(x) as Vector));
    expect(() => second(vector(1))).toThrow(GradientError);
    expect(() => second(vector(1))).toThrow("own: a derivative of its gradient is asked for");
  });

  test("may give its argument back", () => {
    const same = customOp<[Vector], Tensor, undefined>("same", {
      forward: ([x]) => ({ value: x, saved: undefined }),
      vjp: ([g]) => [mul(2, g as Vector)],
    });
    expect(grad((x: Vector) => sum(same(x) as Vector))(vector(1, 2)).toArray()).toEqual([2, 2]);
  });
});
