// Draws the main job's results as one HTML page that needs nothing else: no script, no font, no network.
// Pure: results in, text out. Trains nothing and writes no file.
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { bestText, columns, meanAndSpread, type TestFigures } from "./table.ts";

/** One trained head. */
export interface HeadResult {
  /** What a person reads: "entmax α = 1.25". */
  readonly title: string;
  /** The formula or loss in a few words, under the title of its curves. */
  readonly note?: string;
  /** Training loss, one value a step (or an epoch), from the first to the last. */
  readonly losses: readonly number[];
  /** Test accuracy after each epoch, 0 … 1. */
  readonly accuracyByEpoch: readonly number[];
  readonly test: TestFigures;
  /** The distribution predicted for each of the report's samples, in their order. */
  readonly predictions: readonly (readonly number[])[];
  /** The test figures of every seed when several were run, `test` being those of the first. */
  readonly seeds?: readonly TestFigures[];
}

/** A test image that every head was asked about. Pixels in [0, 1], row by row. */
export interface Sample {
  readonly pixels: ArrayLike<number>;
  readonly label: number;
}

/** All that the page shows. */
export interface Report {
  readonly data: string;
  readonly epochs: number;
  readonly seed: number;
  readonly image: readonly [height: number, width: number];
  readonly classes: number;
  /** One line about model, optimizer and machine. */
  readonly environment: string;
  readonly heads: readonly HeadResult[];
  readonly samples: readonly Sample[];
}

/** The whole page as text. */
export function htmlReport(report: Report): string {
  const { heads, samples } = report;
  const title = `${heads.length} ${heads.length === 1 ? "head" : "heads"} on ${report.data}`;
  const several = heads.some((head) => head.seeds !== undefined && head.seeds.length > 1);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>simplexgrad: ${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
<p class="brand">simplexgrad</p>
<h1>One network, ${escapeHtml(title)}</h1>
<p class="lead">${escapeHtml(headline(report))}</p>
<p class="quiet">${escapeHtml(report.environment)} · seed ${report.seed} · ${report.epochs} ${report.epochs === 1 ? "epoch" : "epochs"}</p>
</header>
<section>
<h2>On the test set</h2>
${resultsTable(heads)}
<p class="quiet">The best value of a column is <span class="best">marked</span>. An NLL of ∞ means that a true class was given probability exactly 0.</p>
${several ? `<h3>Over the seeds</h3>\n${seedsTable(heads)}` : ""}
</section>
<section>
<h2>Training</h2>
<p class="quiet">Test accuracy after each epoch, the other heads in grey; below it the root of the training loss, on a scale of its own for each head.</p>
<div class="grid small">
${heads.map((head) => trainingCard(head, heads)).join("\n")}
</div>
</section>
<section>
<h2>What each head predicts</h2>
<p class="quiet">Bars are the predicted probabilities of the classes. At the right stands the probability of the true class, with ✗ where the answer is wrong.</p>
<p class="quiet legend"><span><i class="true"></i> true class</span> <span><i class="other"></i> another class</span> <span>× exactly zero</span></p>
<div class="grid large">
${samples.map((_, i) => sampleCard(report, i)).join("\n")}
</div>
</section>
</body>
</html>
`;
}

/** The finding in two sentences: who is most accurate, who is most decided. */
function headline({ heads, classes }: Report): string {
  if (heads.length === 0) return "No head was trained.";
  const by = (key: keyof TestFigures, sign: number): HeadResult =>
    heads.reduce((a, b) => (sign * b.test[key] > sign * a.test[key] ? b : a));
  const accurate = by("accuracy", 1);
  const narrow = by("meanSupport", -1);
  const dense = heads.filter((head) => head.test.zeroShare === 0).length;
  const share = columns[0]!.show(accurate.test.accuracy);
  const support = narrow.test.meanSupport.toFixed(2);
  return (
    `Most accurate: ${accurate.title}, ${share} of the test images. ` +
    (dense === heads.length
      ? "Every head gives every class some probability."
      : `Most decided: ${narrow.title}, with ${support} of ${classes} classes above zero on average.`)
  );
}

function resultsTable(heads: readonly HeadResult[]): string {
  const best = columns.map((column) => bestText(column, heads));
  const cell = (head: HeadResult, i: number): string => {
    const text = columns[i]!.show(head.test[columns[i]!.key]);
    return `<td${text === best[i] ? ' class="best"' : ""}>${text}</td>`;
  };
  return table(
    columns.map((column) => ({ title: column.title, explained: column.explained })),
    heads.map((head) => ({ title: head.title, cells: columns.map((_, i) => cell(head, i)) })),
  );
}

function seedsTable(heads: readonly HeadResult[]): string {
  return table(
    columns.map((column) => ({ title: column.title, explained: column.explained })),
    heads.map((head) => ({
      title: head.title,
      cells: columns.map((column) => `<td>${meanAndSpread(column, head.seeds ?? [head.test])}</td>`),
    })),
  );
}

function table(
  headings: readonly { title: string; explained: string }[],
  rows: readonly { title: string; cells: readonly string[] }[],
): string {
  const head = headings.map(
    ({ title, explained }) => `<th title="${escapeHtml(explained)}">${escapeHtml(title)}</th>`,
  );
  const body = rows.map(({ title, cells }) => `<tr><th>${escapeHtml(title)}</th>${cells.join("")}</tr>`);
  return `<div class="scroll"><table><thead><tr><th>head</th>${head.join("")}</tr></thead><tbody>
${body.join("\n")}
</tbody></table></div>`;
}

function trainingCard(head: HeadResult, heads: readonly HeadResult[]): string {
  const note = head.note === undefined ? "" : `<p class="quiet">${escapeHtml(head.note)}</p>`;
  return `<figure><figcaption><b>${escapeHtml(head.title)}</b>${note}</figcaption>
${accuracyChart(head, heads)}
${lossChart(head)}
</figure>`;
}

/** Test accuracy by epoch: one head in colour over all the others in grey, on the scale that all charts share. */
function accuracyChart(head: HeadResult, heads: readonly HeadResult[]): string {
  const points = (of: HeadResult) =>
    of.accuracyByEpoch.map((y, i) => ({ x: i + 1, y: 100 * y, head: of.title }));
  // The first quarter of training may start anywhere; the rest decides the scale, in steps of 5 %.
  const settled = heads.flatMap((one) =>
    one.accuracyByEpoch.slice(Math.floor(one.accuracyByEpoch.length / 4)),
  );
  const low = 5 * Math.floor(20 * Math.min(0.95, ...settled));
  return svg({
    width: 300,
    height: 130,
    marginTop: 8,
    marginRight: 40,
    marginBottom: 22,
    marginLeft: 30,
    x: { label: null, ticks: 4, tickSize: 0 },
    y: { label: null, domain: [low, 100], ticks: 3, tickSize: 0, grid: true, clamp: true },
    marks: [
      Plot.lineY(heads.filter((other) => other !== head).flatMap(points), {
        x: "x",
        y: "y",
        z: "head",
        stroke: "var(--faint)",
        strokeWidth: 1,
      }),
      Plot.lineY(points(head), { x: "x", y: "y", stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.text(points(head).slice(-1), {
        x: "x",
        y: "y",
        text: (d: { y: number }) => d.y.toFixed(1),
        dx: 5,
        textAnchor: "start",
        fill: "var(--accent)",
        fontWeight: "bold",
      }),
    ],
    label: `Test accuracy of ${head.title} by epoch`,
  });
}

/** The training loss from first to last, averaged into at most 120 points. */
function lossChart(head: HeadResult): string {
  const count = Math.min(120, head.losses.length);
  const points = Array.from({ length: count }, (_, i) => {
    const part = head.losses.slice(
      Math.floor((i * head.losses.length) / count),
      Math.floor(((i + 1) * head.losses.length) / count),
    );
    return { x: i, y: part.reduce((a, b) => a + b, 0) / part.length };
  });
  const lossText = { x: "x", y: "y", text: (d: { y: number }) => shortNumber(d.y), fill: "var(--quiet)" };
  return svg({
    width: 300,
    height: 56,
    marginTop: 8,
    marginRight: 40,
    marginBottom: 6,
    marginLeft: 30,
    x: { axis: null },
    // The root keeps the end of training visible beside its beginning; a logarithm has no room for a loss of 0.
    y: { axis: null, type: "sqrt", domain: [0, Math.max(...points.map((point) => point.y))] },
    marks: [
      Plot.areaY(points, { x: "x", y: "y", fill: "var(--accent)", fillOpacity: 0.15 }),
      Plot.lineY(points, { x: "x", y: "y", stroke: "var(--accent)", strokeWidth: 1.5 }),
      Plot.text(points.slice(0, 1), { ...lossText, dx: -5, textAnchor: "end" }),
      Plot.text(points.slice(-1), { ...lossText, dx: 5, textAnchor: "start" }),
    ],
    label: `Training loss of ${head.title}`,
  });
}

/** Two digits, without a row of zeros. */
function shortNumber(value: number): string {
  return value > 0 && value < 0.001 ? value.toExponential(1) : value.toPrecision(2);
}

function sampleCard(report: Report, index: number): string {
  const sample = report.samples[index]!;
  return `<figure class="sample"><figcaption>${picture(sample, report.image)}<span>true class <b>${sample.label}</b></span></figcaption>
${predictionChart(report, index)}
</figure>`;
}

function picture({ pixels, label }: Sample, [height, width]: readonly [number, number]): string {
  const ink = Array.from({ length: height * width }, (_, i) => {
    const shade = pixels[i]!;
    if (shade === 0) return "";
    const place = `x="${i % width}" y="${Math.floor(i / width)}"`;
    return `<rect ${place} width="1.02" height="1.02" opacity="${Number(shade.toFixed(3))}"/>`;
  });
  return `<svg class="picture" viewBox="0 0 ${width} ${height}" role="img" aria-label="An image of class ${label}">${ink.join("")}</svg>`;
}

/** The distributions of all heads for one image, a row of bars each. */
function predictionChart({ heads, samples, classes }: Report, index: number): string {
  const label = samples[index]!.label;
  const bars = heads.flatMap((head) =>
    head.predictions[index]!.map((p, k) => ({ head: head.title, k, p, true: k === label })),
  );
  const answers = heads.map((head) => {
    const p = head.predictions[index]!;
    return { head: head.title, p: p[label]!, right: p.every((other) => other <= p[label]!) };
  });
  const titleWidth = 16 + 6 * Math.max(...heads.map((head) => head.title.length));
  return svg({
    width: 300 + titleWidth,
    height: 44 * heads.length + 24,
    marginTop: 4,
    marginRight: 44,
    marginBottom: 20,
    marginLeft: titleWidth,
    x: { type: "band", domain: Array.from({ length: classes }, (_, k) => k), label: null, tickSize: 0 },
    y: { axis: null, domain: [0, 1] },
    fy: { domain: heads.map((head) => head.title), label: null, axis: null, padding: 0.22 },
    marks: [
      Plot.barY(bars, { fy: "head", x: "k", y: "p", fill: (d) => (d.true ? "var(--accent)" : "var(--bar)") }),
      Plot.ruleY([0], { stroke: "var(--faint)" }),
      Plot.text(
        bars.filter((bar) => bar.p === 0),
        { fy: "head", x: "k", y: 0, dy: -5, text: () => "×", fill: "var(--quiet)", fontSize: 10 },
      ),
      Plot.text(heads, {
        fy: "title",
        frameAnchor: "left",
        dx: -8,
        textAnchor: "end",
        text: "title",
        fill: "currentColor",
      }),
      Plot.text(answers, {
        fy: "head",
        frameAnchor: "right",
        dx: 8,
        textAnchor: "start",
        text: (d: { p: number; right: boolean }) => `${d.p.toFixed(2)}${d.right ? "" : " ✗"}`,
        fill: (d) => (d.right ? "var(--accent)" : "var(--wrong)"),
        fontWeight: "bold",
      }),
    ],
    label: `Predicted distributions for a test image of class ${label}`,
  });
}

/** Runs Plot on a document of its own and returns the SVG's text, scaled by the page. */
function svg({ label, ...options }: Plot.PlotOptions & { label: string }): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const drawing = Plot.plot({
    ...options,
    document,
    ariaLabel: label,
    color: { type: "identity" },
    style: {
      background: "transparent",
      overflow: "visible",
      fontFamily: "inherit",
      fontSize: "11px",
    } as object,
  });
  drawing.removeAttribute("width");
  drawing.removeAttribute("height");
  drawing.setAttribute("role", "img");
  return drawing.outerHTML;
}

function escapeHtml(text: string): string {
  const codes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (letter) => codes[letter]!);
}

const style = `
:root { --paper: #fbfaf8; --card: #fff; --ink: #1d2327; --quiet: #66707a; --faint: #cfd4d8; --line: #e4e6e8; --accent: #0b6e99; --bar: #aab3ba; --wrong: #c2410c; --mark: #dff0e6; --mark-ink: #14532d; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --card: #1c2226; --ink: #e7eaec; --quiet: #98a3ab; --faint: #414a51; --line: #2b3338; --accent: #5bb8e0; --bar: #66727a; --wrong: #fb923c; --mark: #173b28; --mark-ink: #a7e3bf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: clamp(1rem, 4vw, 3rem); max-width: 84rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0 0 .5rem; font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.3rem; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
p { margin: 0 0 .75rem; max-width: 70ch; }
.brand { margin: 0 0 .25rem; color: var(--accent); font-weight: 600; }
.lead { font-size: 1.1rem; }
.quiet { color: var(--quiet); font-size: .875rem; }
.scroll { overflow-x: auto; margin-bottom: .75rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .45rem .9rem; text-align: right; }
thead th { color: var(--quiet); font-size: .8rem; font-weight: 500; border-bottom: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th:first-child { position: sticky; left: 0; background: var(--card); text-align: left; font-weight: 500; }
.best { background: var(--mark); color: var(--mark-ink); font-weight: 600; }
span.best { padding: .1em .4em; border-radius: .25rem; }
.grid { display: grid; gap: 1rem; }
.grid.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.grid.large { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; padding: .9rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
figcaption p { margin: 0; }
figure svg { display: block; width: 100%; height: auto; }
.sample figcaption { display: flex; align-items: center; gap: .9rem; margin-bottom: .5rem; }
figure svg.picture { width: 4.5rem; height: 4.5rem; fill: var(--ink); border: 1px solid var(--line); border-radius: .25rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.legend i { display: inline-block; width: .7em; height: .7em; border-radius: 2px; }
.legend .true { background: var(--accent); }
.legend .other { background: var(--bar); }
`;
