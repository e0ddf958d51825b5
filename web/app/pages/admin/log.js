// What happens, as it happens: the stream of events, held back while somebody reads.
import { get } from "../../lib/api.js";
import { html, useMemo, useRef, useState } from "../../lib/html.js";
import { Title } from "../../lib/router.js";
import { useStream } from "../../lib/stream.js";
import { Badge, Card, Loaded, useLoad } from "../../lib/ui.js";
import { count, moment, t } from "../../lib/words.js";
import { Actors, Origin, What, clock, isGrave } from "./happenings.js";

/** @typedef {import("../../types").Schemas["Event"]} Happening */

/** Lines that are kept here; the server keeps the rest. */
const MOST = 500;
/** Lines to begin with. */
const BEFORE = 50;

/** @param {{ begin: Happening[] }} given newest first */
function Lines({ begin }) {
  const [lines, setLines] = useState(begin);
  const [paused, setPaused] = useState(false);
  const held = useRef(/** @type {Happening[]} */ ([]));
  const [waiting, setWaiting] = useState(0);
  const last = useMemo(() => begin[0]?.id ?? 0, []);
  const connected = useStream(last, (one) => {
    if (!paused) return setLines((now) => [one, ...now].slice(0, MOST));
    held.current = [one, ...held.current].slice(0, MOST);
    setWaiting(held.current.length);
  });
  const turn = () => {
    if (paused) setLines([...held.current, ...lines].slice(0, MOST));
    held.current = [];
    setWaiting(0);
    setPaused(!paused);
  };
  const state = paused ? "live.paused" : connected.value ? "live.on" : "live.opening";
  return html`<${Card}>
    <div class="log-head">
      <span role="status"><${Badge} kind=${paused || !connected.value ? "wait" : "good"}>${t(state)}<//>
        ${waiting > 0 && html` <span class="quiet">${count("log.waiting", waiting)}</span>`}</span>
      <div class="actions">
        <button type="button" onClick=${turn}>${t(paused ? "log.go_on" : "log.pause")}</button>
        <button type="button" onClick=${() => setLines([])}>${t("log.clear")}</button>
      </div>
    </div>
    ${lines.length === 0 ? html`<p class="quiet empty">${t("log.empty")}</p>` : html`<ol class="log" aria-label=${t("admin.log")}>
      ${lines.map((one) => html`<li key=${one.id} class=${isGrave(one) ? "grave-line" : ""}>
        <time datetime=${one.at} title=${moment(one.at)}>${clock(one.at)}</time>
        <span><${What} one=${one} /></span>
        <span><${Actors} one=${one} /></span>
        <${Origin} one=${one} />
      </li>`)}
    </ol>`}
  <//>`;
}

export default function Log() {
  const before = useLoad(() => get("/events", { query: { page_size: BEFORE } }));
  // What comes later comes by the stream, also after a break.
  const begin = useRef(/** @type {Happening[] | null} */ (null));
  begin.current ??= before.data.value?.data ?? null;
  return html`<${Title}>${t("admin.log")}<//>
    <p class="lead">${t("log.about")}</p>
    <${Loaded} of=${before}>${() => html`<${Lines} begin=${begin.current ?? []} />`}<//>`;
}
