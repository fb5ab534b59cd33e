// What the applications share: gates, which are sentences with numbers that must hold, and seeds.

/** States what must hold. A program that misses one of its gates ends with an error. */
export function gate(sentence: string, holds: boolean): void {
  console.log(`${holds ? "✓" : "✗"} ${sentence}`);
  if (!holds) process.exitCode = 1;
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Whether a number is within a distance of what is stated. */
export const near = (value: number, stated: number, distance: number): boolean =>
  Math.abs(value - stated) <= distance;
