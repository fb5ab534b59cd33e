// The random stream itself: Threefry-2x32 with 20 rounds (Salmon et al. 2011), a function of a key and a counter, with no state.
// Words and unit floats on the host; backends make the same words. Knows no tensor; what users call stands in `random.ts`.

/** 64 bits from which a stream of random numbers follows. Using a key twice gives the same numbers twice: `split` it. */
export type Key = readonly [number, number];

/** Encrypts a counter of two words under a key into two random words, written at `at`. */
export function threefry(key: Key, first: number, second: number, out: Uint32Array, at: number): void {
  let [k0, k1] = key;
  let k2 = k0 ^ k1 ^ 0x1bd11bda;
  let x = (first + k0) | 0;
  let y = (second + k1) | 0;
  for (let turn = 1; turn <= 5; turn++) {
    const [a, b, c, d] = turn & 1 ? odd : even;
    x = (x + y) | 0;
    y = ((y << a) | (y >>> (32 - a))) ^ x;
    x = (x + y) | 0;
    y = ((y << b) | (y >>> (32 - b))) ^ x;
    x = (x + y) | 0;
    y = ((y << c) | (y >>> (32 - c))) ^ x;
    x = (x + y) | 0;
    y = ((y << d) | (y >>> (32 - d))) ^ x;
    const used = k0;
    k0 = k1;
    k1 = k2;
    k2 = used;
    x = (x + k0) | 0;
    y = (y + k1 + turn) | 0;
  }
  out[at] = x;
  out[at + 1] = y;
}

/** Rotations of four rounds, in turn. */
const odd = [13, 15, 26, 6] as const;
const even = [17, 29, 16, 24] as const;

/** The first `count` words of a key's stream: block b encrypts the counter (b, 0) and gives words 2b and 2b + 1. */
export function randomWords(key: Key, count: number): Uint32Array {
  const words = new Uint32Array(count + (count & 1));
  for (let at = 0; at < count; at += 2) threefry(key, at / 2, 0, words, at);
  return words.subarray(0, count);
}

/** The high 24 bits of a word as a float in [0, 1). */
export const unitFloat = (word: number): number => (word >>> 8) * 2 ** -24;

/** The high 53 bits of two words as a double in [0, 1). */
export const unitDouble = (high: number, low: number): number => (high * 2 ** 21 + (low >>> 11)) * 2 ** -53;
