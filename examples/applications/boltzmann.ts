// Statistical physics, `npm run example:boltzmann`: softmax is the Boltzmann distribution and logsumexp the logarithm of its
// partition function, so energy and heat capacity are their derivatives. An Ising ring of eight spins, all 256 states as scores;
// then coupling and field learned from samples. Everything is compared with closed forms.

import { grad, Parameter, randomKey, type Shape, scope, type Tensor, tensor, uniform } from "simplexgrad";
import { crossEntropy } from "simplexgrad/losses";
import { add, cumsum, logsumexp, mul, neg, softmax, sub, sum } from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import { align } from "../main-job/table.ts";
import { gate, near } from "./gate.ts";

type Floats = Tensor<Shape, "f64">;
const f64 = (data: readonly number[] | number): Floats => tensor(data as number[], { dtype: "f64" });

// ---------------------------------------------------------------------------------------------------------------
// All states of a ring

const spins = 8;
const states = Array.from({ length: 2 ** spins }, (_, state) =>
  Array.from({ length: spins }, (_, i) => ((state >> i) & 1 ? 1 : -1)),
);
const pairs = states.map((s) => s.reduce((total, spin, i) => total + spin * s[(i + 1) % spins]!, 0));
const magnets = states.map((s) => s.reduce((total, spin) => total + spin, 0));
const energy = f64(pairs.map((bond) => -bond)); // J = 1, no field

/** log Z(β) = log Σ exp(−βE). */
const logZ = (beta: Floats): Floats => logsumexp(mul(neg(energy), beta)) as Floats;
const meanEnergy = (beta: Floats): Floats => neg(grad(logZ)(beta)) as Floats;
/** dE/dT = −β²·dE/dβ: the second derivative of log Z. */
const heatCapacity = (beta: Floats): number =>
  -((beta.item() as number) ** 2) * (grad((b: Floats) => sum(meanEnergy(b)))(beta).item() as number);

const references = [
  { T: 1, logZ: 9.122649352006, energy: -6.541303003476, capacity: 4.206813592145 },
  { T: 2, logZ: 6.508171117278, energy: -3.725194007859, capacity: 1.650321522726 },
];
const rows = references.map(({ T }) => {
  const beta = 1 / T;
  const transfer = Math.log((2 * Math.cosh(beta)) ** spins + (2 * Math.sinh(beta)) ** spins);
  return {
    T,
    logZ: logZ(f64(beta)).item() as number,
    transfer,
    energy: meanEnergy(f64(beta)).item() as number,
    capacity: heatCapacity(f64(beta)),
  };
});
console.log(`Ising ring of ${spins} spins, J = 1: thermodynamics by differentiating log Z\n`);
console.log(
  align([
    ["T", "log Z", "by the transfer matrix", "⟨E⟩ = −∂log Z/∂β", "C = β²·∂²log Z/∂β²"],
    ...rows.map((r) => [
      String(r.T),
      ...[r.logZ, r.transfer, r.energy, r.capacity].map((value) => value.toFixed(12)),
    ]),
  ]),
);
console.log();
rows.forEach((r, i) => {
  const want = references[i]!;
  gate(`T = ${r.T}: log Z is the transfer matrix's to 1e-10`, near(r.logZ, r.transfer, 1e-10));
  gate(
    `T = ${r.T}: log Z, energy and heat capacity are the references to 1e-10`,
    near(r.logZ, want.logZ, 1e-10) &&
      near(r.energy, want.energy, 1e-10) &&
      near(r.capacity, want.capacity, 1e-10),
  );
});

// ---------------------------------------------------------------------------------------------------------------
// The first and second derivatives of logsumexp in the scores

const z = mul(neg(energy), f64(1)) as Floats;
const p = softmax(z);
const gradient = grad((x: Floats) => logsumexp(x) as Floats)(z);
gate(
  "the gradient of log Z in the scores is softmax, to 1e-15",
  Math.max(...(sub(gradient, p) as Floats).dataSync().map(Math.abs)) <= 1e-15,
);
/** ⟨v, ∇log Z⟩: its gradient is the Hessian times v. */
const along = (v: Floats) => (x: Floats) =>
  sum(mul(grad((y: Floats) => logsumexp(y) as Floats)(x), v)) as Floats;
let worst = 0;
let least = Number.POSITIVE_INFINITY;
for (let seed = 0; seed < 20; seed++) {
  scope(() => {
    const v = uniform([states.length], { seed, low: -1, dtype: "f64" }) as Floats;
    const hv = grad(along(v))(z);
    const mean = sum(mul(p, v)) as Floats;
    const want = mul(p, sub(v, mean)) as Floats; // (diag(p) − p·pᵀ)·v
    worst = Math.max(worst, ...(sub(hv, want) as Floats).dataSync().map(Math.abs));
    least = Math.min(least, sum(mul(v, hv)).item() as number);
  });
}
gate(`the Hessian is diag(p) − p·pᵀ (${worst.toExponential(0)} off at most)`, worst <= 1e-14);
gate("vᵀHv, a variance, is never negative, for 20 directions v", least >= 0);

// ---------------------------------------------------------------------------------------------------------------
// Two levels: the Schottky anomaly

const twoLevels = (beta: Floats): Floats => logsumexp(mul(f64([0, -1]), beta)) as Floats;
const schottky = (T: number): number => {
  const slope = grad((b: Floats) => sum(grad(twoLevels)(b)));
  return (slope(f64(1 / T)).item() as number) / T ** 2;
};
let [low, high] = [0.3, 0.6];
for (let i = 0; i < 60; i++) {
  const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
  if (schottky(a) < schottky(b)) low = a;
  else high = b;
}
console.log(
  `\nTwo levels Δ apart: heat capacity ${schottky(low).toFixed(6)} k at its peak, T = ${low.toFixed(5)} Δ/k`,
);
gate(
  "the Schottky peak is 0.439229 k at T = 0.41677 Δ/k",
  near(low, 0.41677, 1e-5) && near(schottky(low), 0.439229, 1e-6),
);

// ---------------------------------------------------------------------------------------------------------------
// From samples back to coupling and field

const [T, J, h, count] = [1.5, 1, 0.1, 20_000];
const bonds = f64(pairs);
const magnetization = f64(magnets);
const scoresOf = (coupling: Floats, field: Floats): Floats =>
  mul(add(mul(bonds, coupling), mul(magnetization, field)), 1 / T) as Floats;
const cumulative = (cumsum(softmax(scoresOf(f64(J), f64(h)))) as Floats).dataSync();
const draws = uniform([count], { key: randomKey(7), dtype: "f64" }).dataSync();
const frequency = new Float64Array(states.length);
for (const u of draws) {
  const state = cumulative.findIndex((c) => u < c);
  frequency[state < 0 ? states.length - 1 : state]! += 1 / count;
}
const [coupling, field] = [new Parameter(f64(0), { name: "J" }), new Parameter(f64(0), { name: "h" })];
const adam = new Adam([coupling, field] as unknown as Parameter[], { lr: 0.02 });
const observed = tensor(frequency, { shape: [1, states.length] }) as Floats;
for (let step = 0; step < 600; step++)
  adam.minimize(() => {
    const scores = scoresOf(coupling.value as Floats, field.value as Floats);
    return crossEntropy(scores.reshape([1, states.length]) as Tensor<[1, 256], "f64">, observed);
  });
const [foundJ, foundH] = [coupling.value.item() as number, field.value.item() as number];
console.log(
  `\nCross-entropy over 256 states against ${count.toLocaleString("en-US")} samples at T = ${T}: J = ${foundJ.toFixed(4)} (${J}), h = ${foundH.toFixed(4)} (${h})`,
);
gate("the coupling is found within 0.02", near(foundJ, J, 0.02));
gate("the field is found within 0.02", near(foundH, h, 0.02));
// At the optimum the model's mean bond and magnetization are those of the samples.
const moments = scope(() => {
  const fitted = softmax(scoresOf(coupling.value as Floats, field.value as Floats));
  const off = (quantity: Floats): number => {
    const model = sum(mul(fitted, quantity)).item() as number;
    return Math.abs(model - (sum(mul(observed.reshape([states.length]), quantity)).item() as number));
  };
  return Math.max(off(bonds), off(magnetization));
});
gate("the fitted model has the samples' mean bond and magnetization, to 1e-3", moments <= 1e-3);
