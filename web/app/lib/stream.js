// The event stream of native, followed for as long as somebody looks. By `fetch`, since an
// `EventSource` gives up at the first answer that is no stream, and then forgets where it was.
import { address, onStranger } from "./api.js";
import { lost, missed } from "./connection.js";
import { signal, useEffect, useMemo, useRef } from "./html.js";

/** @typedef {import("../types").Schemas["Event"]} Happening */

/** In milliseconds; the server says something every fifteen seconds at least. */
const PATIENCE = 45_000;
const PAUSE = 1000;

/** @param {number} time in milliseconds */
const sleep = (time) => new Promise((go) => setTimeout(go, time));

/** The events in a part of the stream, each a block of lines.
 * @param {string} text @returns {Happening[]} */
function parse(text) {
  const data = text.split("\n").filter((line) => line.startsWith("data:"));
  return data.length ? [JSON.parse(data.map((line) => line.slice(5)).join("\n"))] : [];
}

/** Reads one connection to its end.
 * @param {number} last @param {AbortSignal} stop @param {(one: Happening) => void} tell @param {() => void} opened
 * @returns {Promise<number | null>} how long to wait before the next one; `null` for never */
async function read(last, stop, tell, opened) {
  const end = new AbortController();
  let silent = false;
  const still = () => {
    silent = true;
    end.abort();
  };
  let timer = setTimeout(still, PATIENCE);
  stop.addEventListener("abort", () => end.abort(), { signal: end.signal });
  try {
    const answer = await fetch(address("/events/stream", {}), {
      headers: { "last-event-id": String(last) },
      credentials: "same-origin",
      cache: "no-store",
      signal: end.signal,
    });
    if (answer.status === 401) for (const out of onStranger) out();
    if (answer.status === 401 || answer.status === 403) return null;
    if (!answer.ok || !answer.body) return (Number(answer.headers.get("retry-after")) || 5) * 1000;
    opened();
    let rest = "";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return PAUSE;
      clearTimeout(timer);
      timer = setTimeout(still, PATIENCE);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const one of blocks.flatMap(parse)) tell(one);
    }
  } catch {
    if (!stop.aborted && !silent) missed();
    return PAUSE;
  } finally {
    clearTimeout(timer);
    // Lets go of the connection, whatever ended the reading, and of `stop`.
    end.abort();
  }
}

/** Tells of every event after the one with the id `last`, in order and once, over as many
 * connections as that takes.
 * @param {number} last @param {(one: Happening) => void} tell @param {(live: boolean) => void} state
 * @returns {() => void} what ends it */
export function follow(last, tell, state) {
  const stop = new AbortController();
  const note = (/** @type {Happening} */ one) => {
    if (one.id <= last) return;
    last = one.id;
    tell(one);
  };
  (async () => {
    while (!stop.signal.aborted) {
      const pause = await read(last, stop.signal, note, () => state(true));
      if (stop.signal.aborted) return;
      state(false);
      if (pause === null) return;
      await sleep(pause);
      while (lost.peek() && !stop.signal.aborted) await sleep(200);
    }
  })();
  return () => stop.abort();
}

/** Follows while `last` is a number, and says whether it is connected.
 * @param {number | null} last @param {(one: Happening) => void} tell */
export function useStream(last, tell) {
  const live = useMemo(() => signal(false), []);
  const now = useRef(tell);
  now.current = tell;
  const on = last !== null;
  useEffect(() => {
    if (!on) return;
    const stop = follow(last, (one) => now.current(one), (is) => void (live.value = is));
    return () => {
      stop();
      live.value = false;
    };
  }, [on]);
  return live;
}
