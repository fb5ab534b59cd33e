// The triangle of all distributions over three classes: where a map sends the scores, the way there as the scores grow from
// nothing, and where it leads as they grow on. Draws; computes no probabilities.

import { letter, svg } from "./dom.ts";

const width = 120;
const height = 108;
const margin = 14;

/** Where a distribution (a, b, c) lies: A below left, B below right, C above. */
function point(p: readonly number[]): readonly [x: number, y: number] {
  const side = width - 2 * margin;
  const x = margin + side * (p[1]! + p[2]! / 2);
  const y = height - margin - (Math.sqrt(3) / 2) * side * p[2]!;
  return [x, y];
}

const pair = ([x, y]: readonly [number, number]): string => `${x.toFixed(2)},${y.toFixed(2)}`;

export interface Simplex {
  readonly element: SVGSVGElement;
  /**
   * The distribution, if there is one, and the path through it: the first `there` lead to it, the others on. Rows of the path that
   * are empty are left out.
   */
  readonly show: (
    p: readonly number[] | undefined,
    path: readonly (readonly number[])[],
    there: number,
  ) => void;
}

export function simplexPicture(): Simplex {
  const corners = [0, 1, 2].map((k) => point([0, 1, 2].map((j) => Number(j === k))));
  const way = svg("polyline", { class: "way" });
  const onward = svg("polyline", { class: "way onward" });
  const dot = svg("circle", { class: "dot", r: 4 });
  const names = corners.map(([x, y], k) => {
    const [dx, dy, anchor] = [
      [-3, 9, "end"],
      [3, 9, "start"],
      [0, -4, "middle"],
    ][k] as [number, number, string];
    return svg("text", { x: x + dx, y: y + dy, "text-anchor": anchor }, letter(k));
  });
  const triangle = svg("polygon", { class: "edges", points: corners.map(pair).join(" ") });
  const element = svg(
    "svg",
    {
      class: "simplex",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": "Place on the simplex",
    },
    triangle,
    ...names,
    onward,
    way,
    dot,
  );
  return {
    element,
    show: (p, path, there) => {
      const points = path.map((row) => (row.length > 0 ? [pair(point(row))] : []));
      const here = p ? point(p) : undefined;
      const at = here ? [pair(here)] : [];
      way.setAttribute("points", [...points.slice(0, there).flat(), ...at].join(" "));
      onward.setAttribute("points", [...at, ...points.slice(there).flat()].join(" "));
      dot.classList.toggle("none", here === undefined);
      const [x, y] = here ?? [0, 0];
      dot.setAttribute("cx", x.toFixed(2));
      dot.setAttribute("cy", y.toFixed(2));
    },
  };
}
