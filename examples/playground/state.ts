// What the maps and losses are shown for: the scores, and which class is the right one. Panels subscribe to it.
// Knows no element of the page and no op.

export const fewest = 3;
export const most = 8;
/** Sliders of scores go from −reach to reach. */
export const reach = 5;

/** Scores of one row, −∞ included, and the class that losses take for the right one. */
export interface Scene {
  readonly scores: readonly number[];
  readonly target: number;
}

/** Holds the scene, and tells of changes once a frame however many there were. */
export class Store {
  private current: Scene;
  private readonly listeners: ((scene: Scene) => void)[] = [];
  private waiting = false;

  constructor(scene: Scene) {
    this.current = scene;
  }

  get scene(): Scene {
    return this.current;
  }

  /** Calls back now and after every change. */
  subscribe(listener: (scene: Scene) => void): void {
    this.listeners.push(listener);
    listener(this.current);
  }

  set(change: Partial<Scene>): void {
    this.current = { ...this.current, ...change };
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      for (const listener of this.listeners) listener(this.current);
    });
  }

  /** Another number of classes; new ones begin with the score 0. */
  resize(n: number): void {
    if (n < fewest || n > most) return;
    const { scores, target } = this.current;
    this.set({
      scores: Array.from({ length: n }, (_, k) => scores[k] ?? 0),
      target: Math.min(target, n - 1),
    });
  }
}

/** Scores worth a look, for any number of classes. */
export const presets: readonly { readonly name: string; readonly scores: (n: number) => number[] }[] = [
  { name: "close race", scores: (n) => Array.from({ length: n }, (_, k) => [1.2, 0.8][k] ?? -0.5 * (k - 1)) },
  { name: "clear winner", scores: (n) => Array.from({ length: n }, (_, k) => (k === 1 ? 4 : -0.5 * k)) },
  { name: "all equal", scores: (n) => new Array<number>(n).fill(0) },
  { name: "ladder", scores: (n) => Array.from({ length: n }, (_, k) => round(2 - (4 * k) / (n - 1))) },
  { name: "random", scores: (n) => Array.from({ length: n }, () => round(6 * Math.random() - 3)) },
];

const round = (v: number): number => Math.round(v * 20) / 20;
