// The plain reading of the words that walk a row in ways of their own; each comes with its word, so that a page carries those
// that it uses. Written to be read; speed is for the other devices.

export function kthLargest(row: Float64Array, k: number): number {
  if (Number.isNaN(k)) return k;
  for (const v of row) if (Number.isNaN(v)) return v;
  const sorted = Float64Array.from(row).sort();
  return sorted[Math.max(0, Math.min(sorted.length - 1, sorted.length - k))]!;
}

/** argmin ½‖y − x‖² + s·Σ|yᵢ₊₁ − yᵢ|: Condat 2013, with the bounds of the value that the current piece can have. */
export function totalVariation(x: Float64Array, s: number): Float64Array {
  const y = x.slice();
  const last = y.length - 1;
  let [k, start, endLow, endHigh] = [0, 0, 0, 0];
  let [low, high, slackLow, slackHigh] = [y[0]! - s, y[0]! + s, s, -s];
  const fill = (value: number, end: number): void => {
    do y[start++] = value;
    while (start <= end);
    k = start;
  };
  while (start <= last) {
    if (k === last) {
      if (slackLow < 0) {
        fill(low, endLow);
        endLow = start;
        low = y[start]!;
        slackLow = s;
        slackHigh = low + s - high;
      } else if (slackHigh > 0) {
        fill(high, endHigh);
        endHigh = start;
        high = y[start]!;
        slackHigh = -s;
        slackLow = high - s - low;
      } else fill(low + slackLow / (k - start + 1), k);
      continue;
    }
    const next = y[k + 1]!;
    slackLow += next - low;
    slackHigh += next - high;
    if (slackLow < -s) {
      fill(low, endLow);
      low = y[start]!;
      high = low + 2 * s;
    } else if (slackHigh > s) {
      fill(high, endHigh);
      high = y[start]!;
      low = high - 2 * s;
    } else {
      k++;
      if (slackLow >= s) {
        endLow = k;
        low += (slackLow - s) / (k - start + 1);
        slackLow = s;
      }
      if (slackHigh <= -s) {
        endHigh = k;
        high += (slackHigh + s) / (k - start + 1);
        slackHigh = -s;
      }
      continue;
    }
    endLow = endHigh = start;
    slackLow = s;
    slackHigh = -s;
  }
  return y;
}

/** Calls `each` with the beginning and end of every run of equal entries, and writes what it gives along the run. */
function alongGroups(of: Float64Array, each: (from: number, to: number) => number): Float64Array {
  const out = new Float64Array(of.length);
  for (let from = 0, to = 0; from < of.length; from = to) {
    do to++;
    while (to < of.length && of[to] === of[from]);
    out.fill(each(from, to), from, to);
  }
  return out;
}

export const groupMeans = (row: Float64Array, of: Float64Array): Float64Array =>
  alongGroups(of, (from, to) => row.subarray(from, to).reduce((a, b) => a + b) / (to - from));

export const groupDrift = (of: Float64Array): Float64Array =>
  alongGroups(of, (from, to) => {
    const right = to < of.length ? Math.sign(of[to]! - of[from]!) : 0;
    const left = from > 0 ? Math.sign(of[from]! - of[from - 1]!) : 0;
    return (right - left) / (to - from);
  });
