// Draws what is in sight, and what has left it only when it comes back. Knows nothing of what is drawn.

/** Whether an element is in sight, or close to it, told to whoever watches it. */
const watched = new WeakMap<Element, (inSight: boolean) => void>();
let observer: IntersectionObserver | undefined;

/** Gives a function that draws now if the element is in sight, or else as soon as it is. */
export function whenSeen(element: Element, draw: () => void): () => void {
  let inSight = false;
  let stale = true;
  const update = (): void => {
    stale = !inSight;
    if (inSight) draw();
  };
  observer ??= new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) watched.get(target)?.(isIntersecting);
    },
    { rootMargin: "25% 0px" },
  );
  watched.set(element, (now) => {
    inSight = now;
    if (inSight && stale) update();
  });
  observer.observe(element);
  return update;
}
