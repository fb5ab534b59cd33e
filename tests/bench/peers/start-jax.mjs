// From an empty process to the first product with jax-js; timed from outside.
import { defaultDevice, init, numpy as np } from "@jax-js/jax";

await init("wasm");
defaultDevice("wasm");
process.exit(np.matmul(np.ones([64, 64]), np.ones([64, 64])).dataSync()[0] === 64 ? 0 : 1);
