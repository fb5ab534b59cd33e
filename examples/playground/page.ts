// The playground: puts the panels together. Every panel is a file of its own and shares only the scene.

import { mountCards } from "./cards-panel.ts";
import { families } from "./catalogue.ts";
import { place } from "./dom.ts";
import { mountFind } from "./find-panel.ts";
import { followLinks } from "./lead.ts";
import { mountScores } from "./scores-panel.ts";
import { presets, Store } from "./state.ts";
import { mountTraining } from "./training-panel.ts";

const store = new Store({ scores: presets[0]!.scores(3), target: 1 });
const { maps, losses } = families();
store.subscribe(({ scores }) => {
  document.documentElement.style.setProperty("--classes", String(scores.length));
});
mountScores(place("scores"), store);
mountFind(place("find"), [
  ["Maps", mountCards(place("maps"), maps, store)],
  ["Losses", mountCards(place("losses"), losses, store)],
]);
mountTraining(place("training"), new Worker(new URL("worker.js", import.meta.url), { type: "module" }));
followLinks();
