// The playground: puts the panels together. Every panel is a file of its own and shares only the scene.

import { place } from "./dom.ts";
import { mountLosses } from "./losses-panel.ts";
import { mountMaps } from "./maps-panel.ts";
import { mountScores } from "./scores-panel.ts";
import { presets, Store } from "./state.ts";
import { mountTraining } from "./training-panel.ts";

const store = new Store({ scores: presets[0]!.scores(3), target: 1 });
mountScores(place("scores"), store);
mountMaps(place("maps"), store);
mountLosses(place("losses"), store);
mountTraining(place("training"), new Worker(new URL("worker.js", import.meta.url), { type: "module" }));
