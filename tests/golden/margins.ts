// Golden adapters of margin, pair and prototype losses.

import type { Adapters } from "./adapter.ts";

export const margins: Adapters = {};
