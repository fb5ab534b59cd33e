// From an empty process to the library's first product; timed from outside.
import { ones } from "../../core/index.ts";
import { matmul } from "../../ops/index.ts";

process.exit(matmul(ones([64, 64]), ones([64, 64])).dataSync()[0] === 64 ? 0 : 1);
