// Draws ops from what they compute: a map as its image of a grid of scores and along one score, a loss along the score of one
// class with its gradient, an op of single entries as its curve with its derivative. Colours that are read on white and on black.

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { type Op, Tensor, tensor, vjp } from "simplexgrad";
import { show, withScores } from "./run.ts";

/** A picture: what is appended to the name of its file, what it shows, and its text. */
export interface Picture {
  readonly suffix: string;
  readonly title: string;
  readonly svg: string;
}

type Numbers = readonly number[];
type Point = readonly [x: number, y: number];
type AnyOp = Op & ((...args: readonly unknown[]) => unknown);

const ink = { blue: "#2b7fc0", orange: "#d2731a", green: "#2c9c61", grey: "#7d8590" } as const;
const colours: readonly string[] = [ink.blue, ink.orange, ink.green];

/** The pictures of an op that is a map of scores, a loss, or neither, drawn with the options of the call in its example. */
export function picturesOf(
  op: Op,
  call: readonly unknown[] | undefined,
  what: "map" | "loss" | "neither",
): Picture[] {
  if (call === undefined || !(call[0] instanceof Tensor)) return [];
  if (what === "neither") return op.info.kind === "map" ? elementPicture(op as AnyOp, call) : [];
  if (what === "loss" || op.info.kind === "reduction") return lossPicture(op as AnyOp, call, call[0]);
  return mapPictures(op, call);
}

/** The pictures of a map of scores. */
function mapPictures(op: Op, call: readonly unknown[]): Picture[] {
  const run = (rows: readonly Numbers[]): readonly Numbers[] => {
    const p = (op as AnyOp)(...withScores(op, call, scoresOf(rows))) as Tensor;
    return p.toArray() as unknown as number[][];
  };
  // Three probabilities; an op that makes one more than it is given gets two scores.
  const n = run([[0, 0, 0]])[0]!.length === 3 ? 3 : 2;
  return [imagePicture(op, n, run), pathPicture(op, n, run)];
}

const scoresOf = (rows: readonly Numbers[]): Tensor =>
  tensor(Float64Array.from(rows.flat()), { shape: [rows.length, rows[0]!.length] });

// ---------------------------------------------------------------------------------------------------------------
// Maps

const steps = (from: number, to: number, count: number): number[] =>
  Array.from({ length: count + 1 }, (_, i) => from + ((to - from) * i) / count);

/** Scores of all kinds, if the op takes them: not only where its derivatives are checked. */
const domainOf = ({ info }: Op): readonly [number, number] => {
  const { min = -3, max = 3 } = info.domain?.x ?? {};
  return min < 0 ? [-3, 3] : [min, max];
};

/** Where a distribution of three classes lies: class 1 below left, 2 below right, 3 above. */
const corner = (p: Numbers): Point => [p[1]! + p[2]! / 2, (Math.sqrt(3) / 2) * p[2]!];

/** The image of lines on which one of two scores is constant: within the simplex, or in the plane of the first two results. */
function imagePicture(op: Op, n: number, run: (rows: readonly Numbers[]) => readonly Numbers[]): Picture {
  const simplex = op.info.laws.includes("sumsToOne");
  const [least, most] = domainOf(op);
  const place = simplex ? corner : (p: Numbers): Point => [p[0]!, p[1]!];
  // Beside a third result that is 0 by itself a plane shows nothing.
  const third = n === 3 ? [(least < 0 ? 0 : (least + most) / 2) + (simplex ? 0 : (most - least) / 12)] : [];
  const lines = [0, 1].flatMap((constant) =>
    steps(least, most, 8).map((v) => {
      const rows = steps(least, most, 96).map((t) => (constant === 0 ? [v, t, ...third] : [t, v, ...third]));
      return { constant, points: run(rows).map(place) };
    }),
  );
  const finite = lines.flatMap(({ points }) => points).filter((p) => p.every(Number.isFinite));
  const shares = op.info.laws.includes("nonNegative") && finite.every((p) => Math.max(...p) <= 1);
  const bounds = (axis: 0 | 1): [number, number] => {
    const values = [...finite.map((p) => p[axis]), 0, ...(shares ? [1] : [])];
    return [Math.min(...values), Math.max(...values)];
  };
  const height = Math.sqrt(3) / 2;
  const [x, y]: [number, number][] = simplex
    ? [
        [0, 1],
        [0, height],
      ]
    : ([bounds(0), bounds(1)] as [[number, number], [number, number]]);
  const span = Math.max(x![1] - x![0], y![1] - y![0]);
  const drawn = lines.map(
    ({ constant, points }) => [pieces(points, span, span), colours[constant]!] as const,
  );
  const border: Point[] = simplex
    ? [
        [0, 0],
        [1, 0],
        [0.5, height],
        [0, 0],
      ]
    : shares
      ? [
          [0, 1],
          [1, 0],
        ]
      : [];
  const names: { at: Point; text: string; anchor: "start" | "end" | "middle"; dx: number; dy: number }[] =
    simplex
      ? [
          { at: [0, 0], text: "class 1", anchor: "middle", dx: 8, dy: 14 },
          { at: [1, 0], text: "class 2", anchor: "middle", dx: -8, dy: 14 },
          { at: [0.5, height], text: "class 3", anchor: "middle", dx: 0, dy: -9 },
        ]
      : [];
  const [first, second] = namesOf(op);
  const title = simplex
    ? "Where it sends a grid of scores in the simplex of three classes"
    : "Where it sends a grid of scores, in the plane of its first two results";
  return {
    suffix: "",
    title,
    svg: svg(`${op.info.name}: ${title}`, {
      width: 320,
      height: 320,
      marginTop: 64,
      marginLeft: simplex ? 16 : 44,
      marginRight: 16,
      marginBottom: simplex ? 30 : 40,
      x: simplex ? { axis: null, domain: x! } : { domain: x!, label: `${first} →`, ticks: 5, nice: true },
      y: simplex ? { axis: null, domain: y! } : { domain: y!, label: `↑ ${second}`, ticks: 5, nice: true },
      marks: [
        Plot.line(border, {
          stroke: ink.grey,
          strokeWidth: 1,
          ...(simplex ? {} : { strokeDasharray: "3 3" }),
        }),
        ...strokes(drawn, 1.1),
        ...names.map(({ at, text, anchor, dx, dy }) =>
          Plot.text([at], { text: [text], textAnchor: anchor, dx, dy, fill: ink.grey }),
        ),
        ...legend([
          { text: "x₁ constant", colour: ink.blue },
          { text: "x₂ constant", colour: ink.orange },
        ]),
        caption(
          `each from ${show(least)} to ${show(most)}${third.length > 0 ? `, x₃ = ${show(third[0])}` : ""}`,
          simplex ? -24 : -20,
        ),
      ],
    }),
  };
}

/** What the results of a map are called. */
const namesOf = ({ info }: Op): readonly [string, string, string] =>
  info.laws.includes("nonNegative") ? ["p₁", "p₂", "p₃"] : ["y₁", "y₂", "y₃"];

/** All results along the first score, the others fixed. */
function pathPicture(op: Op, n: number, run: (rows: readonly Numbers[]) => readonly Numbers[]): Picture {
  const [least, most] = domainOf(op);
  const unit = (most - least) / 12;
  const others = least < 0 ? [unit, -unit] : [(least + most) / 2 + unit, (least + most) / 2 - unit];
  const fixed = others.slice(0, n - 1);
  const from = least < 0 ? -4 : 0;
  const xs = steps(from, 4, 256);
  const results = run(xs.map((v) => [v, ...fixed]));
  const curves = [0, 1, 2].map((k) => xs.map((v, i): Point => [v, results[i]![k]!]));
  const values = curves.flat().flatMap(([, y]) => (Number.isFinite(y) ? [y] : []));
  const height = Math.max(0, ...values) - Math.min(0, ...values);
  const [first, second, third] = namesOf(op);
  const title = "Its results along one score";
  const zeros = curves.flatMap((points, k) =>
    runsOf(points, ([, y]) => y === 0).map(([a, b]) => ({ k, from: a[0], to: b[0] })),
  );
  return {
    suffix: "-path",
    title,
    svg: svg(`${op.info.name}: ${title}`, {
      width: 360,
      height: 320,
      marginTop: 60,
      marginLeft: 44,
      marginRight: 16,
      marginBottom: 40,
      x: { domain: [from, 4], label: "x₁ →", ticks: 8 },
      // Room for what is exactly 0.
      y: {
        label: null,
        ticks: 5,
        grid: true,
        nice: true,
        zero: true,
        insetBottom: zeros.length > 0 ? 16 : 0,
      },
      marks: [
        Plot.ruleY([0], { stroke: ink.grey }),
        ...strokes(
          curves.map((points, k) => [pieces(points, 4 - from, height || 1), colours[k]!]),
          1.8,
        ),
        // Exact zeros of several classes lie beside one another.
        ...zeros.map(({ k, from, to }) =>
          Plot.line(
            [
              [from, 0],
              [to, 0],
            ],
            { stroke: colours[k]!, strokeWidth: 3, strokeOpacity: 0.75, dy: 3 + 4 * k },
          ),
        ),
        ...legend([
          { text: first, colour: ink.blue },
          { text: second, colour: ink.orange },
          { text: third, colour: ink.green },
        ]),
        caption(
          `x₂ = ${show(fixed[0])}${fixed.length > 1 ? `, x₃ = ${show(fixed[1])}` : ""}${zeros.length > 0 ? "; bars below 0: exactly 0" : ""}`,
        ),
      ],
    }),
  };
}

/** The stretches of points for which something holds. */
function runsOf(points: readonly Point[], holds: (p: Point) => boolean): [Point, Point][] {
  const found: [Point, Point][] = [];
  points.forEach((p, i) => {
    if (!holds(p)) return;
    if (i > 0 && holds(points[i - 1]!)) found.at(-1)![1] = p;
    else found.push([p, p]);
  });
  return found.filter(([a, b]) => a !== b);
}

// ---------------------------------------------------------------------------------------------------------------
// Losses, and ops of single entries

/** A loss (or a fold of scores) along the score of one class, the others as in its example, with its gradient by that score. */
function lossPicture(op: AnyOp, call: readonly unknown[], scores: Tensor): Picture[] {
  const { info } = op;
  const row = [...scores.dataSync()].slice(0, scores.shape.at(-1));
  const label = info.params?.target?.is === "label" ? (call[1] as readonly number[])[0]! : undefined;
  const target =
    call[1] instanceof Tensor && "target" in (info.params ?? {}) ? [call[1].toArray()].flat(9) : [];
  const at = label ?? Math.max(0, target.map(Number).indexOf(Math.max(...target.map(Number))));
  const { min, max } = info.domain?.x ?? {};
  const shares = min !== undefined && max !== undefined && min >= 0 && max <= 1;
  const [from, to] = shares ? [0, 1] : [-4, 4];
  const xs = steps(from, to, 256).filter((v) => !shares || (v > 0 && v < 1));
  const rest = row.reduce((sum, v, i) => (i === at ? sum : sum + v), 0);
  const rows = xs.map((v) =>
    row.map((other, i) => (i === at ? v : shares ? ((1 - v) * other) / (rest || 1) : rounded(other))),
  );
  const folds = info.kind === "reduction";
  const each = (x: Tensor): Tensor => {
    const args = withScores(op, call, x);
    const last = args.at(-1);
    const hasOptions = args.length > 1 && !Array.isArray(last) && !(last instanceof Tensor);
    const options = {
      ...(hasOptions ? (last as object) : {}),
      ...(folds ? { axis: -1 } : { reduction: "none" }),
    };
    return op(...(hasOptions ? args.slice(0, -1) : args), options) as Tensor;
  };
  const { value, pullback } = vjp(each, scoresOf(rows));
  const values = [...value.dataSync()];
  const shape = value.shape;
  const ones = tensor(new Float64Array(value.size).fill(1), { shape, dtype: "f64" });
  const dx = (pullback(ones)[0] as Tensor).toArray() as number[][];
  // A loss of single entries has one for each: those of the others add a constant.
  const width = values.length / rows.length;
  const loss = xs.map((v, i): Point => [v, values[i * width + (width > 1 ? at : 0)]!]);
  const slope = xs.map((v, i): Point => [v, dx[i]![at]!]);
  const moves = !shares && slope.some(([, y]) => y !== 0);
  const what = folds || label === undefined ? `x${sub(at + 1)}` : "the score of the right class";
  const fixed = row.map(rounded).map((v, i) => (i === at ? "·" : show(v)));
  const title = shares
    ? "Along the probability of one class"
    : `Along ${what}${moves ? ", with its gradient" : ""}`;
  return [
    curvePicture(op, title, loss, moves ? slope : undefined, {
      x: shares ? "probability →" : `${what} →`,
      names: [moves && !folds ? "loss" : "value", "gradient"],
      caption: shares ? "the others in proportion" : `x = (${fixed.join(", ")})`,
    }),
  ];
}

const rounded = (v: number): number => Number(v.toPrecision(5));
const sub = (k: number): string => String(k).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[Number(d)]!);

/** The curve of a function of one number, with its derivative. */
function elementPicture(op: AnyOp, [first, ...options]: readonly unknown[]): Picture[] {
  const alone = options.every((v) => typeof v === "object" && !(v instanceof Tensor));
  if (!(first instanceof Tensor) || first.dtype !== "f32" || !alone) return [];
  const { min = -4, max = 4 } = op.info.domain?.x ?? {};
  const xs = steps(min, max, 256);
  const apply = (x: Tensor): Tensor => op(x, ...options) as Tensor;
  const { value, pullback } = vjp(apply, tensor(Float64Array.from(xs)));
  const ys = value.dataSync();
  const slopes = (pullback(tensor(new Float64Array(xs.length).fill(1)))[0] as Tensor).dataSync();
  return [
    curvePicture(
      op,
      "Its curve and its derivative",
      xs.map((v, i): Point => [v, ys[i]!]),
      xs.map((v, i): Point => [v, slopes[i]!]),
      { x: "x →", names: [op.info.name, "derivative"], caption: "" },
    ),
  ];
}

function curvePicture(
  op: Op,
  title: string,
  curve: readonly Point[],
  slope: readonly Point[] | undefined,
  words: { readonly x: string; readonly names: readonly [string, string]; readonly caption: string },
): Picture {
  const all = [...curve, ...(slope ?? [])].filter(([, y]) => Number.isFinite(y));
  // Steep ends would press the rest flat.
  const sizes = all.map(([, y]) => y).toSorted((a, b) => a - b);
  const within = (q: number): number => sizes[Math.round(q * (sizes.length - 1))]!;
  const [low, high] = [Math.min(0, within(0.01)), Math.max(0, within(0.99))];
  const slack = (high - low || 1) * 0.06;
  const domain = [low - slack, high + slack];
  const width = curve.at(-1)![0] - curve[0]![0];
  const drawn = (points: readonly Point[], colour: string) =>
    [pieces(points, width, domain[1]! - domain[0]!), colour] as const;
  return {
    suffix: "",
    title,
    svg: svg(`${op.info.name}: ${title}`, {
      width: 400,
      height: 280,
      marginTop: 60,
      marginLeft: 44,
      marginRight: 16,
      marginBottom: 40,
      x: { label: words.x, ticks: 8 },
      y: { label: null, domain, ticks: 6, grid: true },
      marks: [
        Plot.ruleY([0], { stroke: ink.grey }),
        ...strokes([...(slope ? [drawn(slope, ink.orange)] : []), drawn(curve, ink.blue)], 1.8),
        ...legend([
          { text: words.names[0], colour: ink.blue },
          ...(slope ? [{ text: words.names[1], colour: ink.orange }] : []),
        ]),
        ...(words.caption ? [caption(words.caption)] : []),
      ],
    }),
  };
}

// ---------------------------------------------------------------------------------------------------------------
// Drawing

/** Coloured words along the top. */
function legend(items: readonly { readonly text: string; readonly colour: string }[]): Plot.Markish[] {
  let dx = 4;
  return items.map(({ text, colour }) => {
    const mark = Plot.text([`— ${text}`], {
      frameAnchor: "top-left",
      dx: dx - 4,
      dy: -40,
      lineAnchor: "bottom",
      textAnchor: "start",
      fill: colour,
      fontWeight: 600,
      text: (d: string) => d,
    });
    dx += 30 + 7.2 * text.length;
    return mark;
  });
}

/** What is fixed, below the legend. */
const caption = (text: string, dy = -24): Plot.Markish =>
  Plot.text([text.replaceAll("-", "−")], {
    frameAnchor: "top-left",
    dy,
    lineAnchor: "bottom",
    textAnchor: "start",
    fill: ink.grey,
    text: (d: string) => d,
  });

/** A point of a line that is drawn in pieces. */
interface Drawn {
  readonly x: number;
  readonly y: number;
  readonly piece: number;
}

/**
 * A line in a picture of these spans: broken where it has no value or jumps, and without the points that hardly differ from a
 * straight line between others.
 */
function pieces(points: readonly Point[], width: number, height: number): Drawn[] {
  const size = (a: Point, b: Point): number => Math.hypot((a[0] - b[0]) / width, (a[1] - b[1]) / height);
  const step = (i: number): number => (points[i] && points[i - 1] ? size(points[i], points[i - 1]!) : 0);
  const found: Point[][] = [[]];
  points.forEach((p, i) => {
    // A lone value on the way of a jump makes two steps of it.
    const around = [-2, -1, 1, 2].map((k) => step(i + k)).toSorted((a, b) => b - a);
    const jumps = step(i) > 0.05 && step(i) > 5 * around[1]!;
    if (jumps || !p.every(Number.isFinite)) found.push([]);
    if (p.every(Number.isFinite)) found.at(-1)!.push(p);
  });
  return found
    .filter(({ length }) => length > 0)
    .flatMap((part, piece) => thinned(part, size).map(([x, y]) => ({ x, y, piece })));
}

/** The points of a line that are needed to draw it within a third of a pixel (Ramer, Douglas & Peucker). */
function thinned(points: readonly Point[], size: (a: Point, b: Point) => number): Point[] {
  const away = (p: Point, a: Point, b: Point): number => {
    const [ab, ap, bp] = [size(a, b), size(a, p), size(b, p)];
    if (ab === 0) return ap;
    const along = (ap ** 2 - bp ** 2 + ab ** 2) / (2 * ab);
    return along < 0 ? ap : along > ab ? bp : Math.sqrt(Math.max(0, ap ** 2 - along ** 2));
  };
  const between = (from: number, to: number): Point[] => {
    let [largest, at] = [1 / 900, -1];
    for (let i = from + 1; i < to; i++) {
      const distance = away(points[i]!, points[from]!, points[to]!);
      if (distance > largest) [largest, at] = [distance, i];
    }
    return at < 0 ? [] : [...between(from, at), points[at]!, ...between(at, to)];
  };
  return [points[0]!, ...between(0, points.length - 1), points.at(-1)!];
}

/** Lines drawn in pieces; a piece that is a single point is a dot. */
function strokes(
  lines: readonly (readonly [points: readonly Drawn[], colour: string])[],
  strokeWidth: number,
): Plot.Markish[] {
  const all = lines.flatMap(([points, colour], line) =>
    points.map((p) => ({ ...p, colour, id: `${line} ${p.piece}` })),
  );
  const alone = all.filter((p, i) => {
    const same = (q: (typeof all)[number] | undefined): boolean =>
      q?.id === p.id && (q.x !== p.x || q.y !== p.y);
    return !same(all[i - 1]) && !same(all[i + 1]);
  });
  const dots = [...new Map(alone.map((p) => [`${p.x.toFixed(3)} ${p.y.toFixed(3)}`, p])).values()];
  const stroke = (d: { readonly colour: string }): string => d.colour;
  return [
    Plot.line(all, { x: "x", y: "y", z: "id", stroke, strokeWidth, clip: true }),
    ...(dots.length > 0 ? [Plot.dot(dots, { x: "x", y: "y", fill: stroke, r: 3 })] : []),
  ];
}

/** Runs Plot on a document of its own and gives the text of the SVG, with one digit after the point. */
function svg(label: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const drawing = Plot.plot({
    ...options,
    document,
    ariaLabel: label,
    color: { type: "identity" },
    style: {
      background: "transparent",
      color: ink.grey,
      fontFamily: "system-ui, sans-serif",
      fontSize: "12px",
    } as object,
  });
  drawing.setAttribute("role", "img");
  drawing.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  drawing.querySelector("style")?.remove();
  const inTags = /<[^>]*>/g;
  const short = (v: string): string => String(Number(Number(v).toFixed(1)));
  return `${drawing.outerHTML.replace(inTags, (tag) => tag.replace(/-?\d+\.\d{2,}/g, short))}\n`;
}
