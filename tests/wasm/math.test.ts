// The emitted functions keep their error budgets, and their limits are right.
import { expect, test } from "vitest";
import { type Fn, type Local, lanes, WasmModule } from "../../core/backends/wasm/assembler.ts";
import * as math from "../../core/backends/wasm/math.ts";
import * as op from "../../core/backends/wasm/opcodes.ts";
import * as special from "../../core/special.ts";

const count = 2 ** 18;
const arrays = { f32: Float32Array, f64: Float64Array };
const widths = ["f32", "f64"] as const;
type Emit = (f: Fn, w: math.Width, x: Local, y: Local) => Local;

/** The emitted function as one of arrays. */
function compile(w: math.Width, emit: Emit) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const m = new WasmModule();
  m.function("f", ["i32", "i32", "i32", "i32"], [], (f, [x, y, out, end]) => {
    const a = f.local("v128");
    const b = f.local("v128");
    const loop = f.loop();
    f.get(x).load(op.v128Load).set(a).get(y).load(op.v128Load).set(b);
    f.get(out)
      .get(emit(f, w, a, b))
      .store(op.v128Store);
    for (const p of [y, out]) f.get(p).i32(16).op(op.i32Add).set(p);
    f.get(x).i32(16).op(op.i32Add).tee(x).get(end).op(op.i32LtU).brIf(loop).end();
  });
  const { f: run } = m.instantiate(memory);
  return (xs: ArrayLike<number>, ys: ArrayLike<number> = xs): Float32Array | Float64Array => {
    const bytes = Math.ceil((xs.length * lanes[w].bytes) / 16) * 16;
    const missing = Math.ceil((3 * bytes - memory.buffer.byteLength) / 65536);
    if (missing > 0) memory.grow(missing);
    new arrays[w](memory.buffer, 0, xs.length).set(xs);
    new arrays[w](memory.buffer, bytes, ys.length).set(ys);
    run!(0, bytes, 2 * bytes, bytes);
    return new arrays[w](memory.buffer, 2 * bytes, xs.length).slice();
  };
}

/** Numbers of [0, 1), the same on every run. */
function uniforms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    const high = state >>> 0;
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (high + (state >>> 0) / 2 ** 32) / 2 ** 32;
  };
}

/** Points spread over the given ranges, alternately; a range may be of exponents of ten. */
function points(
  w: math.Width,
  ranges: readonly (readonly [number, number, ("log" | "-log")?])[],
): Float32Array | Float64Array {
  const u = uniforms(7);
  return new arrays[w](count).map((_, i) => {
    const [low, high, scale] = ranges[i % ranges.length]!;
    const v = low + (high - low) * u();
    return scale === "log" ? 10 ** v : scale === "-log" ? -(10 ** v) : v;
  });
}

/** Size of the last place of v in a width. */
function ulp(w: math.Width, v: number): number {
  const [digits, lowest] = w === "f32" ? [23, -126] : [52, -1022];
  let exponent = Math.max(Math.floor(Math.log2(Math.abs(v))), lowest);
  if (2 ** exponent > Math.abs(v) && exponent > lowest) exponent--;
  return 2 ** Math.max(exponent - digits, -1074);
}

/** The largest difference in ulp; what overflows the width must be infinite. */
function worst(
  w: math.Width,
  xs: ArrayLike<number>,
  got: ArrayLike<number>,
  exact: (x: number) => number,
): number {
  let result = 0;
  for (let i = 0; i < xs.length; i++) {
    const e = exact(xs[i]!);
    const rounded = w === "f32" ? Math.fround(e) : e;
    if (!Number.isFinite(rounded)) {
      if (!Object.is(rounded, got[i]) && !(Math.abs(got[i]!) >= 3.4e38)) return Infinity;
      continue;
    }
    const error = Math.abs(got[i]! - e) / ulp(w, e);
    if (!(error <= result)) result = Number.isNaN(error) ? Infinity : error;
  }
  return result;
}

// A pair of doubles that stand for their sum, for references that Math does not have.
function multiply(a: number, b: number): [number, number] {
  const split = (v: number): [number, number] => {
    const t = 134217729 * v;
    const high = t - (t - v);
    return [high, v - high];
  };
  const p = a * b;
  const [ah, al] = split(a);
  const [bh, bl] = split(b);
  return [p, ah * bh - p + ah * bl + al * bh + al * bl];
}

/** erf by its Taylor series, as a pair; for |x| up to about 4. */
function erfPair(x: number): [number, number] {
  const add = ([h, l]: [number, number], bh: number, bl: number): [number, number] => {
    const s = h + bh;
    const v = s - h;
    const low = h - (s - v) + (bh - v) + l + bl;
    return [s + low, low - (s + low - s)];
  };
  const [sh, sl] = multiply(x, x);
  let [h, l] = [x, 0];
  let total: [number, number] = [x, 0];
  for (let n = 1; Math.abs(h) > 1e-20 * Math.abs(x); n++) {
    // term ← −term·x²/n
    const [ph, pl] = multiply(h, sh);
    const low = pl + h * sl + l * sh;
    const q = ph / n;
    const [qh, ql] = multiply(q, n);
    [h, l] = [-q, -((ph - qh - ql + low) / n)];
    const d = 2 * n + 1;
    const r = h / d;
    const [rh, rl] = multiply(r, d);
    total = add(total, r, (h - rh - rl + l) / d);
  }
  // 2/√π as a pair.
  const [ch, cl] = [1.1283791670955126, 1.533545961316588e-17];
  const [ph, pl] = multiply(total[0], ch);
  const rest = pl + total[0] * cl + total[1] * ch;
  return [ph + rest, rest - (ph + rest - ph)];
}

/** erf; by the oracle's continued fraction where erfc is small. */
const erf = (x: number): number => (Math.abs(x) > 3.5 ? special.erf(x) : erfPair(x)[0]);

/** log Φ; by the oracle's continued fraction in the tails. */
function logNormalCdf(x: number): number {
  if (Math.abs(x) > 4) return special.logNormalCdf(x);
  const [high, low] = erfPair(Math.abs(x) * Math.SQRT1_2);
  const erfc = 1 - high - low;
  return x < 0 ? Math.log(erfc / 2) : Math.log1p(-erfc / 2);
}

const budgets: Record<
  string,
  {
    emit: Emit;
    exact: (x: number) => number;
    ulp: number;
    ranges: Record<math.Width, [number, number, ("log" | "-log")?][]>;
  }
> = {
  exp: {
    emit: math.exp,
    exact: Math.exp,
    ulp: 2,
    ranges: {
      f32: [
        [-1, 1],
        [-104, 89],
        [-8, 0, "log"],
      ],
      f64: [
        [-1, 1],
        [-746, 710],
        [-16, 0, "log"],
      ],
    },
  },
  expBounded: {
    emit: math.expBounded,
    exact: Math.exp,
    ulp: 2,
    ranges: {
      f32: [
        [-1, 0],
        [-87.3, 0],
      ],
      f64: [
        [-1, 0],
        [-708.3, 0],
      ],
    },
  },
  expm1: {
    emit: math.expm1,
    exact: Math.expm1,
    ulp: 2,
    ranges: {
      f32: [
        [-1, 1],
        [-40, 89],
        [-40, 0, "log"],
        [-40, 0, "-log"],
      ],
      f64: [
        [-1, 1],
        [-60, 710],
        [-300, 0, "log"],
        [-300, 0, "-log"],
      ],
    },
  },
  log: {
    emit: math.log,
    exact: Math.log,
    ulp: 2,
    ranges: {
      f32: [
        [0, 3],
        [-45, 38.5, "log"],
        [0.99, 1.01],
      ],
      f64: [
        [0, 3],
        [-323, 308, "log"],
        [0.99, 1.01],
      ],
    },
  },
  log1p: {
    emit: math.log1p,
    exact: Math.log1p,
    ulp: 2,
    ranges: {
      f32: [
        [-1, 3],
        [-40, 38.5, "log"],
        [-40, 0, "-log"],
      ],
      f64: [
        [-1, 3],
        [-300, 308, "log"],
        [-300, 0, "-log"],
      ],
    },
  },
  log1pOfUnit: {
    emit: math.log1pOfUnit,
    exact: Math.log1p,
    ulp: 2,
    ranges: {
      f32: [
        [0, 1],
        [-37, 0, "log"],
      ],
      f64: [
        [0, 1],
        [-300, 0, "log"],
      ],
    },
  },
  log1pRatioOfUnit: {
    emit: math.log1pRatioOfUnit,
    exact: (x) => special.log1pRatio(x, 0),
    ulp: 3,
    ranges: {
      f32: [
        [0, 1],
        [-37, 0, "log"],
      ],
      f64: [
        [0, 1],
        [-300, 0, "log"],
      ],
    },
  },
  log1pNonPositive: {
    emit: math.log1pNonPositive,
    exact: Math.log1p,
    ulp: 2,
    ranges: {
      f32: [
        [-1, 0],
        [-0.5, 0],
        [-37, 0, "-log"],
      ],
      f64: [
        [-1, 0],
        [-0.5, 0],
        [-300, 0, "-log"],
      ],
    },
  },
  tanh: {
    emit: math.tanh,
    exact: Math.tanh,
    ulp: 4,
    ranges: {
      f32: [
        [-1, 1],
        [-20, 20],
        [-40, 0, "log"],
      ],
      f64: [
        [-1, 1],
        [-40, 40],
        [-300, 0, "log"],
      ],
    },
  },
  sin: {
    emit: math.sin,
    exact: Math.sin,
    ulp: 4,
    ranges: {
      f32: [
        [-4, 4],
        [-1e5, 1e5],
        [-40, 0, "log"],
        [8, 38, "-log"],
      ],
      f64: [
        [-4, 4],
        [-1e5, 1e5],
        [-1e9, 1e9],
        [-300, 0, "log"],
        [8, 300, "-log"],
      ],
    },
  },
  cos: {
    emit: math.cos,
    exact: Math.cos,
    ulp: 4,
    ranges: {
      f32: [
        [-4, 4],
        [-1e5, 1e5],
      ],
      f64: [
        [-4, 4],
        [-1e5, 1e5],
        [-1e9, 1e9],
      ],
    },
  },
  erf: {
    emit: math.erf,
    exact: erf,
    ulp: 4,
    ranges: {
      f32: [
        [-1, 1],
        [-5, 5],
        [-40, 0, "log"],
      ],
      f64: [
        [-1, 1],
        [-7, 7],
        [-300, 0, "log"],
      ],
    },
  },
};

for (const [name, { emit, exact, ulp: budget, ranges }] of Object.entries(budgets)) {
  for (const w of widths) {
    test(`${name} in ${w} is within ${budget} ulp`, () => {
      const xs = points(w, ranges[w]);
      expect(worst(w, xs, compile(w, emit)(xs), exact)).toBeLessThanOrEqual(budget);
    });
  }
}

test("sin and cos keep their digits beside multiples of π/2", () => {
  for (const w of widths) {
    const xs = new arrays[w](4096).map((_, i) => (i - 2048) * 7 * (Math.PI / 2));
    expect(worst(w, xs, compile(w, math.sin)(xs), Math.sin)).toBeLessThanOrEqual(4);
    expect(worst(w, xs, compile(w, math.cos)(xs), Math.cos)).toBeLessThanOrEqual(4);
  }
});

test("logNormalCdf keeps its digits far into both tails", () => {
  // Values to 40 digits, rounded.
  const table: [number, number][] = [
    [-300, -45006.62273211866],
    [-37.5, -707.6689893175072],
    [-8.25, -37.074589931901535],
    [-1, -1.8410216450092636],
    [-0.25, -0.9130617648111351],
    [0, -Math.LN2],
    [0.5, -0.3689464152886564],
    [3, -0.0013508099647481938],
    [11.125, -4.740293719471598e-29],
    [37, -5.725571222524577e-300],
  ];
  const xs = table.map(([x]) => x);
  const f64 = compile("f64", math.logNormalCdf);
  const f32 = compile("f32", math.logNormalCdf);
  table.forEach(([, e], i) => {
    expect(Math.abs(f64(xs)[i]! / e - 1)).toBeLessThan(1e-15 * 4);
    if (e < -1e-38) expect(Math.abs(f32(xs)[i]! / e - 1)).toBeLessThan(1e-6);
  });
  for (const [w, run, tolerance] of [
    ["f64", f64, 1e-13],
    ["f32", f32, 1e-6],
  ] as const) {
    const spread = points(
      w,
      w === "f64"
        ? [
            [-3, 3],
            [-40, 30],
            [0, 15, "-log"],
          ]
        : [
            [-3, 3],
            [-40, 12],
            [0, 15, "-log"],
          ],
    );
    const got = run(spread);
    let largest = 0;
    spread.forEach((x, i) => {
      largest = Math.max(largest, Math.abs(got[i]! / logNormalCdf(x) - 1));
    });
    expect(largest).toBeLessThan(tolerance);
  }
});

const log1pPoints = [-0.9375, -0.5, -0.1875, 0.0078125, 0.25, 0.6875, 3.5, 100];
const expm1Points = [-30, -2.25, -0.5, 0.0078125, 1, 1.75, 2.5, 20];
// Values to 40 digits, rounded; a row for each order.
const log1pRatios = [
  [
    2.9574279703890998, 1.3862943611198906, 1.1074099454839708, 0.9961139765830335, 0.8925742052568391,
    0.7610882091120695, 0.42973639907893546, 0.0461512051684126,
  ],
  [
    13.91207683158496, 1.2274112777602189, 0.6579161881880539, 0.4948370646437874, 0.3702968210273561,
    0.24508453311923925, 0.05928976481620378, 0.0003625021506940269,
  ],
  [
    121.69378471297604, 1.5451774444795625, 0.5305613947524703, 0.32754641369930476, 0.20118728410942438,
    0.1010931530493586, 0.009885259083289263, 3.134873482236809e-6,
  ],
  [
    1326.5488518617144, 2.2429784443742085, 0.48475787968358336, 0.24385037898748138, 0.12208246977103081,
    0.04614841219785913, 0.0017792228904766631, 2.811343432927594e-8,
  ],
];
const expm1Ratios = [
  [
    0.03333333333333022, 0.39760034463917143, 0.7869386805747332, 1.003916442425341, 1.7182818284590453,
    2.7169158148604176, 4.472997584281389, 24258259.720489513,
  ],
  [
    0.001111111111107888, 0.12986716447880314, 0.36081604172419945, 0.5026118119816746, 1, 1.7358210635116074,
    3.0837985505688335, 23045346.784465037,
  ],
  [
    7.407407407073999e-5, 0.06859337973144086, 0.230202847471531, 0.3352925751166396, 0.7182818284590452,
    1.304548885132866, 2.4059587438263224, 21953725.09204301,
  ],
  [
    7.407407403954791e-6, 0.04461373983664812, 0.16815576540391908, 0.251567597635716, 0.5634363430819095,
    1.0519748689183614, 1.9858470916898023, 20965201.006683063,
  ],
];

test("the ratios are right on both sides of their series, for orders 0 to 3", () => {
  // The recurrence loses about two bits an order where the series ends.
  for (const w of widths) {
    for (let k = 0; k < 4; k++) {
      const tolerance = 4 ** (k + 1) * (w === "f32" ? 2 ** -23 : 2 ** -52);
      const logs = compile(w, (f, width, x) => math.log1pRatio(f, width, x, k))(log1pPoints);
      const exps = compile(w, (f, width, x) => math.expm1Ratio(f, width, x, k))(expm1Points);
      for (let i = 0; i < 8; i++) {
        expect(
          Math.abs(logs[i]! / log1pRatios[k]![i]! - 1),
          `log1pRatio(${log1pPoints[i]}, ${k})`,
        ).toBeLessThan(tolerance);
        expect(
          Math.abs(exps[i]! / expm1Ratios[k]![i]! - 1),
          `expm1Ratio(${expm1Points[i]}, ${k})`,
        ).toBeLessThan(tolerance);
      }
    }
  }
});

test("pow agrees with Math.pow, special cases included", () => {
  const interesting = [
    Number.NaN,
    Infinity,
    -Infinity,
    0,
    -0,
    1,
    -1,
    2,
    -2,
    3,
    -3,
    0.5,
    -0.5,
    1e-40,
    7.25,
    -7.25,
    1e30,
  ];
  const u = uniforms(3);
  for (const w of widths) {
    const xs: number[] = [];
    const ys: number[] = [];
    for (const x of interesting) {
      for (const y of interesting) {
        xs.push(x);
        ys.push(y);
      }
    }
    for (let i = 0; i < 20_000; i++) {
      xs.push(10 ** (20 * u() - 10));
      ys.push(i % 3 === 0 ? Math.floor(20 * u() - 10) : 8 * u() - 4);
    }
    const input = new arrays[w](xs);
    const exponents = new arrays[w](ys);
    const got = compile(w, math.pow)(input, exponents);
    for (let i = 0; i < xs.length; i++) {
      const e = input[i]! ** exponents[i]!;
      const rounded = w === "f32" ? Math.fround(e) : e;
      if (!Number.isFinite(rounded) || rounded === 0)
        expect(got[i], `${input[i]} to the ${exponents[i]}`).toBe(rounded);
      // In f64 y·log x is rounded once: its size in ulp.
      else {
        const budget = w === "f32" ? 1 : 3 + 2 * Math.abs(Math.log(Math.abs(e)));
        expect(Math.abs(got[i]! - e) / ulp(w, e), `${input[i]} to the ${exponents[i]}`).toBeLessThan(budget);
      }
    }
  }
});

test("NaN stays NaN and limits are exact", () => {
  const inf = Infinity;
  const nan = Number.NaN;
  const cases: [string, Emit, [number, number][]][] = [
    [
      "exp",
      math.exp,
      [
        [inf, inf],
        [-inf, 0],
        [0, 1],
      ],
    ],
    [
      "expBounded",
      math.expBounded,
      [
        [-inf, 0],
        [-1e30, 0],
        [0, 1],
        [-800, 0],
      ],
    ],
    [
      "expm1",
      math.expm1,
      [
        [inf, inf],
        [-inf, -1],
        [0, 0],
        [-300, -1],
      ],
    ],
    [
      "log",
      math.log,
      [
        [inf, inf],
        [0, -inf],
        [-0, -inf],
        [-1, nan],
        [-inf, nan],
        [1, 0],
        [-1e-40, nan],
      ],
    ],
    [
      "log1p",
      math.log1p,
      [
        [inf, inf],
        [-1, -inf],
        [-1.5, nan],
        [-inf, nan],
        [0, 0],
      ],
    ],
    ["log1pOfUnit", math.log1pOfUnit, [[0, 0]]],
    [
      "log1pNonPositive",
      math.log1pNonPositive,
      [
        [-1, -inf],
        [-1.5, nan],
        [-inf, nan],
        [0, 0],
      ],
    ],
    [
      "tanh",
      math.tanh,
      [
        [inf, 1],
        [-inf, -1],
        [0, 0],
        [1e5, 1],
      ],
    ],
    [
      "sin",
      math.sin,
      [
        [inf, nan],
        [-inf, nan],
        [0, 0],
      ],
    ],
    [
      "cos",
      math.cos,
      [
        [inf, nan],
        [0, 1],
      ],
    ],
    [
      "erf",
      math.erf,
      [
        [inf, 1],
        [-inf, -1],
        [0, 0],
        [1e20, 1],
      ],
    ],
    [
      "logNormalCdf",
      math.logNormalCdf,
      [
        [inf, 0],
        [-inf, -inf],
        [1e25, 0],
      ],
    ],
    [
      "log1pRatio 0",
      (f, w, x) => math.log1pRatio(f, w, x, 0),
      [
        [inf, 0],
        [0, 1],
        [-1, inf],
        [-2, nan],
      ],
    ],
    [
      "log1pRatio 1",
      (f, w, x) => math.log1pRatio(f, w, x, 1),
      [
        [inf, 0],
        [0, 0.5],
        [-2, nan],
      ],
    ],
    [
      "expm1Ratio 0",
      (f, w, x) => math.expm1Ratio(f, w, x, 0),
      [
        [inf, inf],
        [-inf, 0],
        [0, 1],
      ],
    ],
    [
      "expm1Ratio 1",
      (f, w, x) => math.expm1Ratio(f, w, x, 1),
      [
        [inf, inf],
        [-inf, 0],
        [0, 0.5],
      ],
    ],
  ];
  for (const w of widths) {
    for (const [name, emit, table] of cases) {
      const run = compile(w, emit);
      expect(run([nan, nan, nan, nan])[0], name).toBeNaN();
      for (const [x, y] of table) expect(run([x, x, x, x])[0]! + 0, `${name}(${x}) in ${w}`).toBe(y + 0);
    }
  }
});

test("subnormal numbers are numbers", () => {
  for (const w of widths) {
    const tiny = w === "f32" ? 2 ** -149 : 2 ** -1074;
    for (const emit of [math.expm1, math.log1p, math.tanh, math.sin])
      expect(compile(w, emit)([tiny, tiny, tiny, tiny])[0]).toBe(tiny);
    expect(compile(w, math.log)([tiny, tiny, tiny, tiny])[0]).toBeCloseTo(Math.log(tiny), 4);
  }
  expect(compile("f32", math.exp)([-100, -100, -100, -100])[0]).toBe(Math.fround(Math.exp(-100)));
});

test("a function leaves its argument alone and constants are shared", () => {
  const m = new WasmModule();
  m.function("f", ["i32"], [], (f, [p]) => {
    const x = f.local("v128");
    f.get(p).load(op.v128Load).set(x);
    const first = math.exp(f, "f32", x);
    const once = f.size;
    const second = math.exp(f, "f32", x);
    expect(f.size - once).toBeLessThan(once + 8);
    f.get(p).get(first).get(second).op(op.f32x4Eq).get(x).op(op.v128And).store(op.v128Store, 16);
  });
  const memory = new WebAssembly.Memory({ initial: 1 });
  const view = new Float32Array(memory.buffer);
  view.set([1, 2, 3, -4]);
  m.instantiate(memory).f!(0);
  expect([...view.subarray(4, 8)]).toEqual([1, 2, 3, -4]);
});
