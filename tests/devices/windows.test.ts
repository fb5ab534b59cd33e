// Convolution and pooling on every device against their definitions: one sum, one maximum, one mean for each entry of the result.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tensor } from "../../core/create.ts";
import { useDevice } from "../../core/device.ts";
import { dtypes } from "../../core/dtype.ts";
import { openScope } from "../../core/scope.ts";
import { sizeOf } from "../../core/shape.ts";
import { grad, vjp } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { conv1d, conv2d } from "../../ops/conv.ts";
import { mul } from "../../ops/elementwise.ts";
import { avgPool1d, avgPool2d, maxPool1d, maxPool2d } from "../../ops/pool.ts";
import { sum } from "../../ops/reduce.ts";
import { place } from "../place.ts";
import { firstDifference, generator, settings } from "../suite/samples.ts";

/** How windows slide along one axis; `after` is the border behind it where that differs from the one before. */
interface Axis {
  readonly n: number;
  readonly taps: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  readonly ceil: boolean;
}

/** An axis on which at least one window fits. */
const axis = (pooled: boolean): fc.Arbitrary<Axis> =>
  fc
    .record({
      n: fc.integer({ min: 1, max: 9 }),
      taps: fc.integer({ min: 1, max: 4 }),
      stride: fc.integer({ min: 1, max: 3 }),
      padding: fc.nat({ max: 2 }),
      dilation: fc.integer({ min: 1, max: 3 }),
    })
    .filter(
      ({ n, taps, padding, dilation }) =>
        n + 2 * padding > dilation * (taps - 1) && (!pooled || 2 * padding <= taps),
    )
    .map((a) => ({ ...a, ceil: false }));

/** How many windows there are, found by trying. */
function windowsOn({ n, taps, stride, padding, dilation, ceil }: Axis): number {
  let count = 0;
  for (let start = -padding; ; start += stride, count++) {
    const fits = start + dilation * (taps - 1) < n + padding;
    if (!fits && !(ceil && start < n && start - stride + dilation * (taps - 1) < n + padding - 1)) break;
  }
  return count;
}

const taken = (axes: readonly Axis[], name: keyof Axis): number[] => axes.map((a) => Number(a[name]));

/** Visits the taps of a window: the place in the input, undefined in the border, and the number of the tap. */
function eachTap(
  axes: readonly Axis[],
  window: readonly number[],
  visit: (at: number[] | undefined, tap: number) => void,
): void {
  const taps = taken(axes, "taps");
  for (let tap = 0; tap < sizeOf(taps); tap++) {
    const at = axes.map(({ stride, padding, dilation }, i) => {
      const own = Math.floor(tap / sizeOf(taps.slice(i + 1))) % taps[i]!;
      return window[i]! * stride - padding + own * dilation;
    });
    visit(at.every((v, i) => v >= 0 && v < axes[i]!.n) ? at : undefined, tap);
  }
}

/** All positions of a shape in row-major order. */
const positions = (shape: readonly number[]): number[][] =>
  Array.from({ length: sizeOf(shape) }, (_, k) =>
    shape.map((n, i) => Math.floor(k / sizeOf(shape.slice(i + 1))) % n),
  );

const flat = (at: readonly number[], axes: readonly Axis[]): number =>
  at.reduce((sum, v, i) => sum * axes[i]!.n + v, 0);

/** The gradient that a random cotangent gives. */
const pulled = (f: (...args: Tensor[]) => Tensor, args: Tensor[], cotangent: Tensor): Tensor[] =>
  grad((...all: Tensor[]) => sum(mul(f(...all) as never, cotangent as never) as Tensor<[]>), {
    argnums: args.map((_, i) => i),
  })(...args) as Tensor[];

describe.each(settings)("on $device in $dtype", ({ device, dtype }) => {
  const numRuns = place.page ? 3 : device === "webgpu" ? 5 : 20;
  const [tolerance, gradientTolerance] = dtypes[dtype].tolerance;
  const draw = (shape: readonly number[], random: () => number): [number[], Tensor] => {
    // Sixteenths: entries are exact in every type, and some of a pool are equal.
    const data = Array.from({ length: sizeOf(shape) }, () => Math.round(32 * random() - 16) / 16);
    return [data, tensor(Float64Array.from(data), { shape: shape as number[], dtype })];
  };
  const expectSame = async (got: Tensor, want: readonly number[], allowed = tolerance): Promise<void> =>
    expect(firstDifference(await got.data(), want, allowed)).toBeUndefined();

  test("a convolution is a sum over taps and channels, and so are its gradients", async () => {
    await useDevice(device);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2 }).chain((n) => fc.array(axis(false), { minLength: n, maxLength: n })),
        fc.record({ groups: fc.integer({ min: 1, max: 2 }), inputs: fc.integer({ min: 1, max: 2 }) }),
        fc.record({ outputs: fc.integer({ min: 1, max: 3 }), batch: fc.nat({ max: 3 }), seed: fc.nat() }),
        async (axes, { groups, inputs }, { outputs, batch, seed }) => {
          using _ = openScope();
          const random = generator(seed);
          const [channels, out] = [groups * inputs, groups * outputs];
          const [sizes, taps, counts] = [taken(axes, "n"), taken(axes, "taps"), axes.map(windowsOn)];
          const [plane, each, places] = [sizeOf(sizes), sizeOf(taps), sizeOf(counts)];
          const [x, xs] = draw([batch, channels, ...sizes], random);
          const [w, ws] = draw([out, inputs, ...taps], random);
          const [b, bs] = draw([out], random);
          const [g, gs] = draw([batch, out, ...counts], random);
          const want = new Array<number>(g.length).fill(0);
          const [dx, dw] = [new Array<number>(x.length).fill(0), new Array<number>(w.length).fill(0)];
          const db = new Array<number>(out).fill(0);
          for (const [k, [n, o, ...window]] of positions([batch, out, ...counts]).entries()) {
            want[k] = b[o!]!;
            db[o!]! += g[k]!;
            for (let c = 0; c < inputs; c++) {
              const channel = Math.floor(o! / outputs) * inputs + c;
              eachTap(axes, window, (at, tap) => {
                if (!at) return;
                const [i, j] = [
                  (n! * channels + channel) * plane + flat(at, axes),
                  (o! * inputs + c) * each + tap,
                ];
                want[k]! += x[i]! * w[j]!;
                dx[i]! += g[k]! * w[j]!;
                dw[j]! += g[k]! * x[i]!;
              });
            }
          }
          const options = {
            stride: taken(axes, "stride"),
            padding: taken(axes, "padding"),
            dilation: taken(axes, "dilation"),
            groups,
          };
          const conv = (axes.length === 1 ? conv1d : conv2d) as unknown as (...args: unknown[]) => Tensor;
          const f = (...[x, weight, bias]: Tensor[]): Tensor => conv(x, weight, { ...options, bias });
          const got = f(xs, ws, bs);
          expect(got.shape).toEqual([batch, out, ...counts]);
          expect(places).toBeGreaterThan(0);
          await expectSame(got, want);
          const grads = pulled(f, [xs, ws, bs], gs);
          for (const [i, v] of [dx, dw, db].entries()) await expectSame(grads[i]!, v, gradientTolerance);
        },
      ),
      { numRuns },
    );
  });

  test("a pool is the first maximum, or the mean, of the entries of each window, and so are its gradients", async () => {
    await useDevice(device);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2 }).chain((n) => fc.array(axis(true), { minLength: n, maxLength: n })),
        fc.record({ ceil: fc.boolean(), include: fc.boolean() }),
        fc.record({ batch: fc.nat({ max: 2 }), channels: fc.integer({ min: 1, max: 3 }), seed: fc.nat() }),
        async (drawn, { ceil, include }, { batch, channels, seed }) => {
          using _ = openScope();
          const random = generator(seed);
          for (const kind of ["max", "avg"] as const) {
            const axes = drawn.map((a) => ({ ...a, ceil, dilation: kind === "max" ? a.dilation : 1 }));
            const counts = axes.map(windowsOn);
            const [x, xs] = draw([batch, channels, ...taken(axes, "n")], random);
            const [g, gs] = draw([batch, channels, ...counts], random);
            const want: number[] = [];
            const dx = new Array<number>(x.length).fill(0);
            const plane = sizeOf(taken(axes, "n"));
            for (const [k, [n, c, ...window]] of positions([batch, channels, ...counts]).entries()) {
              const inside: number[] = [];
              eachTap(axes, window, (at) => {
                if (at) inside.push((n! * channels + c!) * plane + flat(at, axes));
              });
              // Entries of the border that was asked for, one axis after the other.
              const asked = axes.reduce((product, { n, taps, stride, padding }, i) => {
                const start = window[i]! * stride - padding;
                return product * (Math.min(start + taps, n + padding) - start);
              }, 1);
              if (kind === "max") {
                const top = inside.reduce((best, i) => (best < 0 || x[i]! > x[best]! ? i : best), -1);
                want.push(top < 0 ? Number.NEGATIVE_INFINITY : x[top]!);
                if (top >= 0) dx[top]! += g[k]!;
              } else {
                const divisor = include ? asked : inside.length;
                want.push(inside.reduce((sum, i) => sum + x[i]!, 0) / divisor);
                for (const i of inside) dx[i]! += g[k]! / divisor;
              }
            }
            const { [axes.length - 1]: op } =
              kind === "max" ? [maxPool1d, maxPool2d] : [avgPool1d, avgPool2d];
            const options = {
              stride: taken(axes, "stride"),
              padding: taken(axes, "padding"),
              ceilMode: ceil,
              ...(kind === "max" ? { dilation: taken(axes, "dilation") } : { countIncludePad: include }),
            };
            const f = (x: Tensor): Tensor =>
              (op as unknown as (...args: unknown[]) => Tensor)(x, taken(axes, "taps"), options);
            const got = f(xs);
            expect(got.shape).toEqual([batch, channels, ...counts]);
            await expectSame(got, want);
            // A window of nothing but border is −∞ everywhere, and −∞ times a cotangent is no number to sum.
            if (want.every(Number.isFinite)) await expectSame(pulled(f, [xs], gs)[0]!, dx, gradientTolerance);
          }
        },
      ),
      { numRuns },
    );
  });

  test("NaN is the largest entry, masked windows are −∞, and both pass gradients to one place", async () => {
    await useDevice(device);
    using _ = openScope();
    const { NaN: nan, NEGATIVE_INFINITY: none } = Number;
    const x = tensor(Float64Array.of(1, nan, 3, nan, none, none), { shape: [1, 1, 6], dtype });
    const pool = (t: Tensor): Tensor => maxPool1d(t as typeof x, 2) as Tensor;
    expect([...(await pool(x).data())]).toEqual([nan, nan, none]);
    const ones = tensor(Float64Array.of(1, 2, 3), { shape: [1, 1, 3], dtype });
    const { value, pullback } = vjp(pool, x as Tensor);
    expect(value.shape).toEqual([1, 1, 3]);
    expect([...(await (pullback(ones as never)[0] as Tensor).data())]).toEqual([0, 1, 0, 2, 3, 0]);
  });
});
