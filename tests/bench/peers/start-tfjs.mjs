// From an empty process to the first product with TensorFlow.js; timed from outside.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setThreadsCount(1);
await tf.setBackend("wasm");
process.exit(tf.matMul(tf.ones([64, 64]), tf.ones([64, 64])).dataSync()[0] === 64 ? 0 : 1);
