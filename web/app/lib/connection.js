// Whether the server answers. When it does not, it is asked again, less and less often, until it
// does; whoever waits for it is told.
import { signal } from "./html.js";
import { at } from "./place.js";

export const lost = signal(false);
/** Counts up whenever the server is back. */
export const returns = signal(0);

const FIRST = 1000;
const LONGEST = 15_000;

/** Tells that there was no answer, or none of ours. */
export function missed() {
  if (lost.value) return;
  lost.value = true;
  setTimeout(probe, FIRST, FIRST);
}

/** @param {number} pause in milliseconds */
async function probe(pause) {
  try {
    const answer = await fetch(at("/api/v1/setup/status"), { cache: "no-store" });
    if (answer.status < 500) {
      lost.value = false;
      returns.value += 1;
      return;
    }
  } catch { /* asked again below */ }
  const next = Math.min(pause * 1.6, LONGEST);
  setTimeout(probe, next, next);
}
