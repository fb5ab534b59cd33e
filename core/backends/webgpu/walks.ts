// Words that walk a row in ways of their own, as WGSL: what one invocation does. Each comes with its word, so that the chunk of
// the GPU does not carry what few programs use. A text is given places: of its result, and of each argument.

/** The text of an entry of a row, or of a number whatever the index is. */
type Place = (i: string) => string;

/** Condat 2013: the bounds of the value that the current piece can have, entry by entry. */
export function totalVariation(out: Place, row: Place, strength: Place): string {
  const fill = (value: string, end: string): string =>
    `loop { ${out("start")} = ${value}; start++; if (start > ${end}) { break; } }`;
  return `for (var i = 0u; i < n; i++) { ${out("i")} = ${row("i")}; }
let s = ${strength("")};
let last = n - 1u;
var k = 0u;
var start = 0u;
var endLow = 0u;
var endHigh = 0u;
var low = ${out("0u")} - s;
var high = ${out("0u")} + s;
var slackLow = s;
var slackHigh = -s;
while (start <= last) {
  if (k >= last) {
    if (slackLow < 0.0) {
      ${fill("low", "endLow")}
      k = start;
      endLow = start;
      low = ${out("min(start, last)")};
      slackLow = s;
      slackHigh = low + s - high;
    } else if (slackHigh > 0.0) {
      ${fill("high", "endHigh")}
      k = start;
      endHigh = start;
      high = ${out("min(start, last)")};
      slackHigh = -s;
      slackLow = high - s - low;
    } else {
      low += slackLow / f32(k - start + 1u);
      ${fill("low", "last")}
    }
    continue;
  }
  let next = ${out("k + 1u")};
  slackLow += next - low;
  slackHigh += next - high;
  if (slackLow < -s) {
    ${fill("low", "endLow")}
    low = ${out("min(start, last)")};
    high = low + 2.0 * s;
  } else if (slackHigh > s) {
    ${fill("high", "endHigh")}
    high = ${out("min(start, last)")};
    low = high - 2.0 * s;
  } else {
    k++;
    if (slackLow >= s) {
      endLow = k;
      low += (slackLow - s) / f32(k - start + 1u);
      slackLow = s;
    }
    if (slackHigh <= -s) {
      endHigh = k;
      high += (slackHigh + s) / f32(k - start + 1u);
      slackHigh = -s;
    }
    continue;
  }
  k = start;
  endLow = start;
  endHigh = start;
  slackLow = s;
  slackHigh = -s;
}`;
}

/** Goes from run to run of equal entries, writing `total / length` along each. */
const runs = (out: Place, of: Place, begin: string, along: string, end: string): string => `var start = 0u;
while (start < n) {
  let value = ${of("start")};
  var total = ${begin};
  var end = start + 1u;
  while (end < n && ${of("min(end, n - 1u)")} == value) {${along}
    end++;
  }
  total = (total${end}) / f32(end - start);
  while (start < end) {
    ${out("start")} = total;
    start++;
  }
}`;

/** The mean of a row over each run of equal entries of another. */
export const groupMeans = (out: Place, row: Place, of: Place): string =>
  runs(out, of, row("start"), `\n    total += ${row("end")};`, "");

/** The drift of each run: the pull of its right neighbour less that of its left one, shared out. */
export const groupDrift = (out: Place, of: Place): string =>
  runs(
    out,
    of,
    `select(0.0, -sign(value - ${of("max(start, 1u) - 1u")}), start > 0u)`,
    "",
    ` + select(0.0, sign(${of("min(end, n - 1u)")} - value), end < n)`,
  );
