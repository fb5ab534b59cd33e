// Golden adapters of output layers, sampling and contrastive losses.

import type { Adapters } from "./adapter.ts";

export const outputs: Adapters = {};
