// Divides data into a part to train on and a part to test on.

import { ArgumentError, DomainError, ShapeError, showValue } from "../../core/errors.ts";
import { checkOptions } from "../../core/op.ts";
import { permutation } from "../../core/random.ts";
import { scope } from "../../core/scope.ts";
import { readable } from "../../core/state.ts";
import { Tensor } from "../../core/tensor.ts";
import { layerKey } from "../keys.ts";
import { type Column, type Columns, type OrderOptions, type Rows, rowsOf, takeRows } from "./columns.ts";

export interface SplitOptions extends OrderOptions {
  /** What to test on: a share between 0 and 1, rounded up, or a number of rows. */
  readonly test: number;
  /** The name of a column of classes that both parts are to have in equal shares, as nearly as whole rows allow. */
  readonly stratify?: string;
}

/**
 * Rows divided at random into a part to train on and a part to test on, the same for the same seed (0 by default). With
 * `stratify` each class is divided in this proportion: what is left after rounding down goes to the largest remainders.
 *
 * Throws DomainError where one part would be empty, ArgumentError and ShapeError for what are no columns of equally many rows,
 * DeviceError for classes on a GPU, which cannot be read at once.
 * @example
 * const { train, test } = trainTestSplit({ x, y }, { test: 0.2, stratify: "y" });
 */
export function trainTestSplit<C extends Columns>(
  data: C,
  options: SplitOptions,
): { train: Rows<C, number>; test: Rows<C, number> } {
  const place = "trainTestSplit";
  const rows = rowsOf(place, data);
  checkOptions(place, options, ["test", "key", "seed", "stratify"]);
  const { test, stratify } = options;
  const count = typeof test === "number" && test < 1 ? Math.ceil(test * rows) : test;
  if (!Number.isInteger(count) || count < 1 || count >= rows)
    throw new DomainError(
      place,
      `test is ${showValue(test)}, of ${rows} rows`,
      "give a share between 0 and 1, or a number of rows, that leaves some for both parts",
    );
  const key = layerKey(place, options);
  return scope(() => {
    const order = permutation(rows, { key, device: "js" }).dataSync();
    const tested = new Uint8Array(rows);
    for (const i of stratify === undefined
      ? order.subarray(0, count)
      : proportional(place, data, stratify, order, count))
      tested[i] = 1;
    const part = (flag: number): Rows<C, number> =>
      takeRows(
        data,
        order.filter((i) => tested[i] === flag),
      );
    return { train: part(0), test: part(1) };
  });
}

/** So many rows, of each class its share: the first ones in the order. */
function proportional(
  place: string,
  data: Columns,
  name: string,
  order: Int32Array,
  count: number,
): number[] {
  const column: Column | undefined = Object.hasOwn(data, name) ? data[name] : undefined;
  if (column === undefined)
    throw new ArgumentError(
      place,
      `there is no column ${showValue(name)} to stratify by`,
      `the columns are ${Object.keys(data).join(", ")}`,
    );
  if (column instanceof Tensor && column.rank !== 1)
    throw new ShapeError(place, `${name} has ${column.rank} axes`, "stratify by one class for each row");
  const labels = column instanceof Tensor ? readable(place, name, column) : column;
  const classes = new Map<unknown, number[]>();
  for (const i of order) {
    const members = classes.get(labels[i]);
    if (members) members.push(i);
    else classes.set(labels[i], [i]);
  }
  const shares = [...classes.values()].map((members) => ({
    members,
    whole: Math.floor((members.length * count) / order.length),
    rest: (members.length * count) % order.length,
  }));
  let left = count - shares.reduce((sum, { whole }) => sum + whole, 0);
  return shares
    .toSorted((a, b) => b.rest - a.rest)
    .flatMap(({ members, whole }) => members.slice(0, whole + (left-- > 0 ? 1 : 0)));
}
