// From an empty process to the library's first product; timed from outside.
// It imports what a user imports: the package, not its sources.
import { ones } from "simplexgrad";
import { matmul } from "simplexgrad/ops";

process.exit(matmul(ones([64, 64]), ones([64, 64])).dataSync()[0] === 64 ? 0 : 1);
