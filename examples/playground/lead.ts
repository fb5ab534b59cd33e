// Links within the page. What was out of sight gets its height only when it is shown, so that a jump is made again until it lands.

import { place } from "./dom.ts";

/** Frames that a jump may take, and that it has to stay where it is. */
const [most, still] = [30, 3];

function leadTo(id: string): void {
  const target = place(id);
  let before = Number.NaN;
  let unmoved = 0;
  const jump = (frame: number): void => {
    target.scrollIntoView({ behavior: "instant" });
    const { top } = target.getBoundingClientRect();
    unmoved = top === before ? unmoved + 1 : 0;
    before = top;
    if (unmoved < still && frame < most) requestAnimationFrame(() => jump(frame + 1));
  };
  jump(0);
}

/** Follows all links of the page to places of its own, and the one that it was opened with. */
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    const link = (event.target as Element).closest<HTMLAnchorElement>('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    history.pushState(null, "", link.hash);
    leadTo(link.hash.slice(1));
  });
  const wanted = location.hash.slice(1);
  if (document.getElementById(wanted)) leadTo(wanted);
}
