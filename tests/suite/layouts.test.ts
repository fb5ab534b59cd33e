// Arguments that lie in memory in other ways: transposed, sliced, flipped, broadcast. Results and gradients are those of plain ones.

import { describe, expect, test } from "vitest";
import { dtypes, isFloat } from "../../core/dtype.ts";
import { openScope } from "../../core/scope.ts";
import { sizeOf } from "../../core/shape.ts";
import { vjp } from "../../core/tape.ts";
import type { Tensor } from "../../core/tensor.ts";
import { broadcastTo, flip, reshape, slice, transpose } from "../../core/views.ts";
import {
  type AnyOp,
  byName,
  draw,
  drawn,
  firstDifference,
  generator,
  isSizable,
  mapSlots,
  numbersOf,
  type Setting,
  type Slot,
  settings,
  slotsOf,
  type Template,
  templateOf,
  tensorsIn,
  upload,
} from "./samples.ts";

/** A slot as a view whose entries are those of the slot. */
type View = (s: Slot, setting: Setting) => Tensor;

/** The slot with its entries moved: the entry of the new shape at `index` is the old one at `from(index)`, or 9 outside. */
function rearranged(
  s: Slot,
  shape: readonly number[],
  from: (index: number[]) => readonly number[] | undefined,
): Slot {
  const data = Array.from({ length: sizeOf(shape) }, (_, i) => {
    const index: number[] = [];
    let rest = i;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index.unshift(rest % shape[axis]!);
      rest = Math.floor(rest / shape[axis]!);
    }
    const old = from(index);
    return old === undefined
      ? Number(s.stored === "float")
      : s.data[old.reduce((at, k, axis) => at * s.shape[axis]! + k, 0)]!;
  });
  return { ...s, shape, data };
}

const views: { readonly [layout: string]: View } = {
  transposed: (s, setting) => {
    const stored = rearranged(s, s.shape.toReversed(), (index) => index.toReversed());
    return transpose(upload(stored, setting), [...s.shape.keys()].reverse());
  },
  sliced: (s, setting) => {
    // Every second entry along each axis, after one that is left out.
    const stored = rearranged(
      s,
      s.shape.map((size) => 2 * size + 1),
      (index) => (index.every((k) => k % 2 === 1) ? index.map((k) => (k - 1) / 2) : undefined),
    );
    return slice(upload(stored, setting), ...s.shape.map((size) => [1, 2 * size + 1, 2] as const));
  },
  flipped: (s, setting) =>
    flip(
      upload(
        rearranged(s, s.shape, (index) => index.map((k, axis) => s.shape[axis]! - 1 - k)),
        setting,
      ),
    ),
};

/** Values, and the gradients of random cotangents, as arrays of numbers. */
async function results(op: AnyOp, template: Template, setting: Setting, view: View): Promise<number[][]> {
  using _ = openScope();
  const floats = slotsOf(template).filter((s) => s.stored === "float");
  const f = (...given: Tensor[]): Tensor[] => {
    let next = 0;
    return tensorsIn(
      op(...mapSlots(template, (s) => (s.stored === "float" ? given[next++] : view(s, setting)))),
    );
  };
  const args = floats.map((s) => view(s, setting));
  const plain = f(...args);
  if (floats.length === 0 || !plain.some((t) => isFloat(t.dtype))) return numbersOf(...plain);
  const { value, pullback } = vjp(f, ...args);
  const random = generator(5);
  const cotangents = value.map((t) =>
    isFloat(t.dtype) ? view(draw({ ...op.info, domain: {} }, "float", "g", t.shape, random), setting) : t,
  );
  return numbersOf(...value, ...(pullback(cotangents) as readonly Tensor[]));
}

describe.each(byName)("%s", (_, op) => {
  describe.each(settings)("on $device in $dtype", (setting) => {
    test("gives the same for transposed, sliced and flipped arguments as for plain ones", async () => {
      const random = generator(17);
      for (const example of op.info.examples) {
        const template = drawn(op, templateOf(op, example), { rows: 3, n: 7 }, random);
        const want = await results(op, template, setting, upload);
        for (const [layout, view] of Object.entries(views))
          expect(await results(op, template, setting, view), layout).toEqual(want);
      }
    });

    if (!isSizable(op)) return;
    test("gives the same for repeated rows as for a copy of them", async () => {
      const random = generator(19);
      for (const example of op.info.examples) {
        const sizes = { rows: 3, n: 5 };
        const template = drawn(op, templateOf(op, example), sizes, random);
        // The first row again and again, without memory of its own.
        const firstRows = mapSlots(template, (s) =>
          s.stored === "float" && s.shape.length === 2
            ? { ...s, data: s.data.map((_, i) => s.data[i % s.shape[1]!]!) }
            : s,
        );
        const repeated: View = (s, setting) => {
          const isRow =
            s.stored === "float" &&
            s.shape.length === 2 &&
            s.data.every((v, i) => v === s.data[i % s.shape[1]!]);
          return isRow
            ? broadcastTo(
                upload({ ...s, shape: [1, s.shape[1]!], data: s.data.slice(0, s.shape[1]) }, setting),
                s.shape,
              )
            : upload(s, setting);
        };
        expect(await results(op, firstRows, setting, repeated)).toEqual(
          await results(op, firstRows, setting, upload),
        );
      }
    });
  });
});

describe("elementwise ops of several arguments", () => {
  const several = byName.filter(
    ([, op]) => op.info.kind === "map" && slotsOf(templateOf(op, op.info.examples[0]!)).length > 1,
  );
  const shapes: readonly (readonly (readonly number[])[])[] = [
    [
      [3, 1, 7],
      [5, 1],
      [3, 5, 7],
    ],
    [[], [4], [4]],
    [[2, 3], [3], [1]],
    [[3], [2, 3], [2, 1]],
    [[2, 1], [1, 6], []],
    [
      [2, 3, 1, 2],
      [3, 4, 1],
      [1, 1, 1, 2],
    ],
  ];

  test.each(several)(
    "%s broadcasts like copies of its arguments, and sums the gradients of what was repeated",
    async (_, op) => {
      const template = templateOf(op, op.info.examples[0]!);
      for (const setting of settings) {
        for (const given of shapes) {
          using _ = openScope();
          const random = generator(23);
          let next = 0;
          const small = slotsOf(template).map((s) => draw(op.info, s.stored, s.name, given[next++]!, random));
          const rank = Math.max(...small.map((s) => s.shape.length));
          const padded = small.map((s) => [...new Array<number>(rank - s.shape.length).fill(1), ...s.shape]);
          const full = Array.from({ length: rank }, (_, axis) =>
            Math.max(...padded.map((shape) => shape[axis]!)),
          );
          const tensors = small.map((s) => upload(s, setting));
          const copies = small.map((s, i) =>
            upload(
              rearranged({ ...s, shape: padded[i]! }, full, (index) =>
                index.map((k, axis) => Math.min(k, padded[i]![axis]! - 1)),
              ),
              setting,
            ),
          );
          const want = tensorsIn(op(...copies))[0]!;
          const got = tensorsIn(op(...tensors))[0]!;
          expect(got.shape).toEqual(full);
          const [found, wanted] = await numbersOf(got, want);
          expect(found).toEqual(wanted);
          if (!isFloat(got.dtype)) continue;
          const pulled = (args: Tensor[]): Promise<number[][]> => {
            const places = args.flatMap((t, i) => (isFloat(t.dtype) ? [i] : []));
            const f = (...floats: Tensor[]): Tensor =>
              tensorsIn(op(...args.map((t, i) => (places.includes(i) ? floats[places.indexOf(i)]! : t))))[0]!;
            const { pullback } = vjp(f, ...places.map((i) => args[i]!));
            const g = upload(draw({ ...op.info, domain: {} }, "float", "g", full, generator(29)), setting);
            return numbersOf(...(pullback(g) as readonly Tensor[]));
          };
          const sums = await pulled(copies);
          (await pulled(tensors)).forEach((gradient, k) => {
            const s = small.filter(({ stored }) => stored === "float")[k]!;
            const shape = padded[small.indexOf(s)]!;
            const total = new Array<number>(sizeOf(shape)).fill(0);
            sums[k]!.forEach((v, i) => {
              let rest = i;
              let at = 0;
              let step = 1;
              for (let axis = rank - 1; axis >= 0; axis--) {
                at += Math.min(rest % full[axis]!, shape[axis]! - 1) * step;
                step *= shape[axis]!;
                rest = Math.floor(rest / full[axis]!);
              }
              total[at]! += v;
            });
            expect(firstDifference(gradient, total, dtypes[setting.dtype].tolerance[1])).toBeUndefined();
          });
        }
      }
    },
  );
});

describe("the option axis", () => {
  const rowOps = byName.filter(
    ([, op]) => op.info.kind === "rowMap" || op.info.kind === "loss" || op.info.kind === "reduction",
  );

  test.each(rowOps)("%s works along any axis as along the last", async (_, op) => {
    for (const setting of settings) {
      using _ = openScope();
      const example = op.info.examples[0]!;
      const random = generator(31);
      for (const axis of [0, 1, -1, -3]) {
        const place = (axis + 3) % 3;
        const shape = [2, 3, 4];
        const n = shape[place]!;
        const order = [0, 1, 2].filter((i) => i !== place);
        const outer = order.map((i) => shape[i]!);
        const resized = mapSlots(templateOf(op, example), (s) => {
          if (s.stored === "i32" && s.name === "target")
            return {
              ...s,
              shape: outer,
              data: Array.from({ length: sizeOf(outer) }, () => Math.floor(random() * n)),
            };
          if (s.name !== "x" && s.name !== "target" && op.info.kind === "loss")
            return { ...s, shape: [n], data: Array.from({ length: n }, () => 0.5 + random()) };
          return draw(op.info, s.stored, s.name, shape, random);
        });
        const withAxis = (args: readonly unknown[], axis: number): unknown[] => {
          const last = args.at(-1);
          const isOptions = args.length > 1 && Object.getPrototypeOf(last) === Object.prototype;
          const { axis: _, ...rest } = (isOptions ? last : {}) as { axis?: unknown };
          const more = op.info.kind === "loss" ? { reduction: "none" } : {};
          return [...(isOptions ? args.slice(0, -1) : args), { ...rest, ...more, axis }];
        };
        const there = [...order, place];
        const rows = (t: Tensor): Tensor => (t.rank === 3 ? transpose(t, there) : t);
        const args = mapSlots(resized, (s) => upload(s, setting));
        const moved = mapSlots(resized, (s) => rows(upload(s, setting)));
        const got = tensorsIn(op(...withAxis(args, axis)))[0]!;
        const want = tensorsIn(op(...withAxis(moved, -1)))[0]!;
        const isMap = got.rank === shape.length;
        expect(got.shape).toEqual(isMap ? shape : want.shape);
        // A sum along another axis may add in another order.
        const [tolerance] = dtypes[setting.dtype].tolerance;
        const [found, wanted] = await numbersOf(isMap ? transpose(got, there) : got, want);
        expect(firstDifference(found!, wanted!, tolerance), `axis ${axis}`).toBeUndefined();
      }
    }
  });

  const folds = byName.filter(([, op]) => op.info.kind === "reduction");

  test.each(folds)("%s over several axes is that over one of their joint size", async (_, op) => {
    const [first] = slotsOf(templateOf(op, op.info.examples[0]!));
    for (const setting of settings) {
      using _ = openScope();
      const x = upload(draw(op.info, first!.stored, "x", [2, 3, 4], generator(37)), setting);
      const joint = reshape(transpose(x, [1, 0, 2]), [3, 8]);
      const want = tensorsIn(op(joint, { axis: 1 }))[0]!;
      const [tolerance] = dtypes[setting.dtype].tolerance;
      for (const options of [{ axis: [0, 2] }, { axis: [-1, 0], keepDims: true }]) {
        const [found, wanted] = await numbersOf(tensorsIn(op(x, options))[0]!, want);
        expect(firstDifference(found!, wanted!, tolerance)).toBeUndefined();
      }
      expect(tensorsIn(op(x, { axis: [0, 2], keepDims: true }))[0]!.shape).toEqual([1, 3, 1]);
    }
  });
});
