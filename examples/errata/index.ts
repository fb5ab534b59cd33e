// Errata, `npm run example:errata`: implementations and statements about softmax alternatives that are well known and wrong, run
// beside the right ops. Prints what each gives and why; ends with an error when a number is not as it is stated.

import { faultsOf, printed } from "./erratum.ts";
import { lossErrata } from "./losses.ts";
import { mapErrata } from "./maps.ts";

const errata = [...mapErrata(), ...lossErrata()];
console.log(errata.map(printed).join("\n\n\n"));

const faults = errata.flatMap((erratum) => erratum.findings.flatMap((finding) => faultsOf(erratum, finding)));
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
