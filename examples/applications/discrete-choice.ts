// Discrete choice, `npm run example:choice`: the multinomial logit model of economics is softmax over the alternatives of each
// person. Coefficients of the textbook by Newton's method on derivatives of the library, elasticities by differentiating choice
// probabilities, and what the model cannot say. Data: 210 travellers between Sydney, Canberra and Melbourne who chose among air,
// train, bus and car (Greene 2003, table F21.2).

import { grad, Parameter, type Shape, scope, type Tensor, tensor, valueAndGrad, zeros } from "simplexgrad";
import { crossEntropy, entmax15Loss, sparsemaxLoss } from "simplexgrad/losses";
import {
  add,
  entmax15,
  expm1,
  log,
  maskedSoftmax,
  matmul,
  mul,
  softmax,
  sparsemax,
  sum,
} from "simplexgrad/ops";
import { Adam } from "simplexgrad/optim";
import { loadTravel, type Traveller } from "../data/travel.ts";
import { align } from "../main-job/table.ts";
import { gate, near } from "./gate.ts";

type Floats<D extends "f32" | "f64" = "f64"> = Tensor<Shape, D>;

const modes = ["air", "train", "bus", "car"] as const;
const travellers = await loadTravel();
const chosen = tensor(Int32Array.from(travellers, ({ choice }) => choice));
const count = travellers.length;

/** A column of the table of attributes: a number for each traveller and mode. */
interface Attribute {
  readonly name: string;
  readonly of: (traveller: Traveller, mode: number) => number;
}
const constants: readonly Attribute[] = modes
  .slice(0, 3)
  .map((name, m) => ({ name: `constant, ${name}`, of: (_, mode) => Number(mode === m) }));
const attribute = (name: "wait" | "vcost" | "travel" | "gcost"): Attribute => ({
  name,
  of: (traveller, mode) => traveller[name][mode]!,
});
const airIncome: Attribute = {
  name: "income, air",
  of: ({ income }, mode) => (mode === 0 ? income : 0),
};

/** Attributes as a tensor [travellers, modes, attributes]. */
function design<D extends "f32" | "f64">(attributes: readonly Attribute[], dtype: D): Floats<D> {
  const data = travellers.flatMap((traveller) =>
    modes.flatMap((_, mode) => attributes.map(({ of }) => of(traveller, mode))),
  );
  return tensor(data, { shape: [count, modes.length, attributes.length], dtype });
}

/** Utilities: one score for each traveller and mode. */
const utility = <D extends "f32" | "f64">(x: Floats<D>, beta: Floats<D>): Floats<D> =>
  matmul(x, beta as never) as Floats<D>;

// ---------------------------------------------------------------------------------------------------------------
// Maximum likelihood by Newton's method

/** Solves a symmetric positive definite system, and gives the diagonal of the inverse. */
function solve(a: readonly (readonly number[])[], b: readonly number[]): { x: number[]; inverse: number[] } {
  const n = b.length;
  const rows = a.map((row, i) => [...row, b[i]!, ...Array.from({ length: n }, (_, j) => Number(i === j))]);
  for (let i = 0; i < n; i++) {
    const pivot = rows[i]!;
    for (let k = 0; k < n; k++) {
      if (k === i) continue;
      const factor = rows[k]![i]! / pivot[i]!;
      for (let j = i; j < pivot.length; j++) rows[k]![j]! -= factor * pivot[j]!;
    }
  }
  return {
    x: rows.map((row, i) => row[n]! / row[i]!),
    inverse: rows.map((row, i) => row[n + 1 + i]! / row[i]!),
  };
}

interface Fit {
  readonly beta: number[];
  readonly errors: number[];
  readonly logLikelihood: number;
  readonly steps: number;
}

/** Coefficients of largest likelihood, with their standard errors: the roots of the inverse Hessian's diagonal. */
function maximumLikelihood(attributes: readonly Attribute[]): Fit {
  const x = design(attributes, "f64");
  const loss = (beta: Floats): Floats =>
    crossEntropy(utility(x, beta) as Tensor<[210, 4], "f64">, chosen, { reduction: "sum" }) as Floats;
  let beta = attributes.map(() => 0);
  for (let steps = 1; ; steps++) {
    const { value, g, hessian } = scope(() => {
      const at = tensor(beta, { dtype: "f64" }) as Floats;
      const { value, gradient } = valueAndGrad(loss)(at);
      const hessian = beta.map((_, k) => [
        ...grad((b: Floats) => sum((grad(loss)(b) as Floats).slice(k) as Floats))(at).dataSync(),
      ]);
      return { value: value.item() as number, g: [...gradient.dataSync()], hessian };
    });
    const { x: step, inverse } = solve(hessian, g);
    if (Math.max(...g.map(Math.abs)) < 1e-8 || steps > 30)
      return { beta, errors: inverse.map(Math.sqrt), logLikelihood: -value, steps };
    beta = beta.map((b, i) => b - step[i]!);
  }
}

const attributes = [...constants, attribute("gcost"), attribute("wait"), airIncome];
const textbook = [5.20744, 3.86904, 3.16319, -0.0155015, -0.0961248, 0.013287];
const model = maximumLikelihood(attributes);
console.log(
  `Multinomial logit, ${count} travellers, car as the base, Newton's method in ${model.steps} steps\n`,
);
console.log(
  align([
    ["attribute", "coefficient", "standard error", "textbook"],
    ...attributes.map(({ name }, i) => [
      name,
      model.beta[i]!.toFixed(6),
      model.errors[i]!.toFixed(6),
      String(textbook[i]),
    ]),
  ]),
);
const onlyConstants = maximumLikelihood(constants).logLikelihood;
const equalShares = -count * Math.log(modes.length);
console.log(
  `\nlog-likelihood ${model.logLikelihood.toFixed(5)}; constants only ${onlyConstants.toFixed(5)}; equal shares ${equalShares.toFixed(5)}; McFadden's R² ${(1 - model.logLikelihood / onlyConstants).toFixed(3)}\n`,
);
gate(
  "the coefficients are the textbook's within 1e-4",
  model.beta.every((b, i) => near(b, textbook[i]!, 1e-4)),
);
gate(
  "so are the standard errors of cost and waiting time",
  near(model.errors[3]!, 0.004408, 1e-6) && near(model.errors[4]!, 0.0104399, 1e-6),
);
gate(
  "log-likelihoods: −199.12837, −283.75877 and −291.12182",
  near(model.logLikelihood, -199.12837, 1e-5) &&
    near(onlyConstants, -283.75877, 1e-5) &&
    near(equalShares, -291.12182, 1e-5),
);

const second = maximumLikelihood([...constants, attribute("vcost"), attribute("travel"), attribute("wait")]);
const valueOfTime = (60 * second.beta[4]!) / second.beta[3]!;
console.log(
  `\nWith cost, travelling and waiting time apart: ${second.beta
    .slice(3)
    .map((b) => b.toPrecision(6))
    .join(
      ", ",
    )}; log-likelihood ${second.logLikelihood.toFixed(4)}; an hour is worth ${valueOfTime.toFixed(2)}`,
);
gate(
  "coefficients −0.0139116, −0.00399468, −0.0968869, log-likelihood −192.8885, value of time 17.23",
  near(second.beta[3]!, -0.0139116, 1e-6) &&
    near(second.beta[4]!, -0.00399468, 1e-7) &&
    near(second.beta[5]!, -0.0968869, 1e-6) &&
    near(second.logLikelihood, -192.8885, 1e-4) &&
    near(valueOfTime, 17.23, 0.005),
);

// ---------------------------------------------------------------------------------------------------------------
// What the model says

const x = design(attributes, "f64");
const beta = tensor(model.beta, { dtype: "f64" }) as Floats;
const p = softmax(utility(x, beta));
const shares = (sum(p, { axis: 0 }) as Floats).dataSync().map((s) => s / count);
const observed = modes.map((_, m) => travellers.filter(({ choice }) => choice === m).length / count);
const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;

/** The elasticity of a mode's expected share in its own cost: ∂ log Σ p / ∂ log c, all costs scaled together. */
function elasticity(mode: number): number {
  const costs = travellers.flatMap(({ gcost }) => modes.map((_, m) => (m === mode ? gcost[m]! : 0)));
  const weighed = tensor(
    costs.map((cost) => model.beta[3]! * cost),
    { shape: [count, modes.length], dtype: "f64" },
  ) as Floats;
  const logShare = (logScale: Floats): Floats => {
    const scores = add(utility(x, beta), mul(weighed, expm1(logScale)) as never) as Floats;
    return log(sum(softmax(scores).slice(null, mode) as Floats)) as Floats;
  };
  return grad(logShare)(tensor(0, { dtype: "f64" }) as Floats).item() as number;
}

console.log();
console.log(
  align([
    ["mode", "observed share", "predicted share", "own-cost elasticity"],
    ...modes.map((mode, m) => [mode, percent(observed[m]!), percent(shares[m]!), elasticity(m).toFixed(4)]),
  ]),
);
console.log();
gate(
  "predicted shares are the observed ones to 1e-6, as in any model with constants",
  modes.every((_, m) => near(shares[m]!, observed[m]!, 1e-6)),
);
gate("the elasticity of train is −0.8656", near(elasticity(1), -0.8656, 5e-5));

const table = (probabilities: Floats): number[][] => probabilities.toArray() as number[][];
const all = table(p);
const noBus = table(maskedSoftmax(utility(x, beta), tensor([true, true, false, true])));
gate(
  "without the bus the odds of air against train stay as they are: independence of irrelevant alternatives",
  noBus.every((row, i) => row[2] === 0 && near((row[0]! / row[1]!) * (all[i]![1]! / all[i]![0]!), 1, 1e-12)),
);
const doubled = table(softmax(utility(x, mul(beta, 2) as Floats), { temperature: 2 }));
gate(
  "temperature 2 with coefficients twice as large is the same model: only their ratio is identified",
  doubled.every((row, i) => row.every((v, m) => near(v, all[i]![m]!, 1e-12))),
);

// ---------------------------------------------------------------------------------------------------------------
// The same by Adam in single precision, and with maps that rule modes out

type FloatLoss = (scores: Tensor<[210, 4], "f32">) => Tensor;

/** Coefficients by Adam in f32, of attributes on the scale of 1. */
function trained(loss: FloatLoss, steps: number): { beta: number[]; scores: Floats<"f32"> } {
  const scale = attributes.map(({ of }) =>
    Math.max(...travellers.flatMap((t) => modes.map((_, m) => Math.abs(of(t, m))))),
  );
  const scaled = attributes.map(({ name, of }, i) => ({
    name,
    of: (t: Traveller, m: number) => of(t, m) / scale[i]!,
  }));
  const data = design(scaled, "f32");
  const weights = scope(() => new Parameter(zeros([attributes.length]), { name: "β" }));
  const adam = new Adam([weights as Parameter], { lr: 0.1 });
  for (let step = 0; step < steps; step++) {
    adam.groups[0]!.lr = step < steps / 2 ? 0.1 : 0.1 * (2 - (2 * step) / steps);
    adam.minimize(() => loss(utility(data, weights.value) as Tensor<[210, 4], "f32">));
  }
  return {
    beta: [...weights.value.dataSync()].map((b, i) => b / scale[i]!),
    scores: utility(data, weights.value),
  };
}

const byAdam = trained((scores) => crossEntropy(scores, chosen), 3000);
const off = Math.max(...byAdam.beta.map((b, i) => Math.abs(b / model.beta[i]! - 1)));
gate(`Adam in f32 finds the coefficients within 1 % (${(100 * off).toFixed(2)} %)`, off <= 0.01);

console.log("\nMaps with exact zeros, trained by their own losses:\n");
const sparse = (
  [
    ["sparsemax", sparsemaxLoss, sparsemax],
    ["1.5-entmax", entmax15Loss, entmax15],
  ] as const
).map(([name, loss, map]) => {
  const { scores } = trained((s) => loss(s, chosen), 1500);
  const probabilities = table(map(scores) as unknown as Floats);
  const ruledOut = probabilities.flat().filter((v) => v === 0).length;
  return {
    name,
    ruledOut,
    people: probabilities.filter((row) => row.includes(0)).length,
    chosenAnyway: probabilities.filter((row, i) => row[travellers[i]!.choice] === 0).length,
  };
});
console.log(
  align([
    ["map", "modes ruled out", "of", "people concerned", "who chose one of them"],
    ...sparse.map(({ name, ruledOut, people, chosenAnyway }) => [
      name,
      String(ruledOut),
      String(count * modes.length),
      String(people),
      String(chosenAnyway),
    ]),
  ]),
);
console.log();
gate(
  "sparse maps rule modes out for some people and not for all",
  sparse.every(({ people }) => people > 0 && people < count),
);
