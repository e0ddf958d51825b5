// What happened, by kind, person, door and time; and what happens now.
import { get } from "../../lib/api.js";
import { explain } from "../../lib/forms.js";
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { Title, ask, query } from "../../lib/router.js";
import { house, may } from "../../lib/session.js";
import { useStream } from "../../lib/stream.js";
import { toast } from "../../lib/toast.js";
import { Badge, Card, Loaded, Pager, Table, useLoad } from "../../lib/ui.js";
import { moment, t } from "../../lib/words.js";
import { Actors, EVENT_KINDS, Origin, What } from "./happenings.js";
import { dialectName, eventName, onlyIf } from "./parts.js";

/** @typedef {import("../../types").Schemas["Event"]} Happening */

/** Rows on a page that grows. */
const MOST = 200;

/** A day of the calendar here, as the moment at which it begins.
 * @param {string | null} day @param {number} [more] days */
function moments(day, more = 0) {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day ?? "");
  if (!parts) return undefined;
  return new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]) + more).toISOString();
}

/** What the address asks for. */
function asked() {
  const one = (/** @type {string} */ name) => query.value.get(name) || undefined;
  return {
    kind: one("kind"), account: one("account"), dialect: one("dialect"),
    since: moments(query.value.get("from")), until: moments(query.value.get("to"), 1),
  };
}

/** @param {Happening} one @param {ReturnType<typeof asked>} filter */
const fits = (one, { kind, account, dialect, since, until }) =>
  (!kind || one.kind === kind) && (!account || one.account === account) && (!dialect || one.dialect === dialect) &&
  (!since || new Date(one.at) >= new Date(since)) && (!until || new Date(one.at) < new Date(until));

/** Chooses somebody by a part of the name: the server knows the rest. */
function PersonFilter() {
  const id = query.value.get("account");
  const [text, setText] = useState("");
  const timer = useRef(0);
  const found = useLoad(() => onlyIf(text, () => get("/users", { query: { q: text, page_size: 8 } })), [text]);
  const known = useLoad(() => onlyIf(id, () => get("/users/{id}", { path: { id: id ?? "" } })), [id]);
  const people = found.data.value?.data ?? [];
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (/** @type {any} */ event) => {
    const value = event.currentTarget.value.trim();
    const chosen = people.find((one) => one.username === value);
    clearTimeout(timer.current);
    if (chosen) return ask({ account: chosen.id, page: null });
    timer.current = window.setTimeout(setText, 250, value);
  };
  if (id) {
    const name = known.problem.value ? t("event.gone") : known.data.value?.username ?? "…";
    return html`<div class="field"><label for="events-person">${t("events.person")}</label>
      <button type="button" id="events-person" class="chosen" aria-label=${t("events.person.clear", { name })}
        onClick=${() => ask({ account: null, page: null })}>${name} <span aria-hidden="true">×</span></button></div>`;
  }
  return html`<div class="field"><label for="events-person">${t("events.person")}</label>
    <input id="events-person" list="events-people" onInput=${type} autocomplete="off" autocapitalize="none" spellcheck="false" placeholder=${t("events.person.hint")} />
    <datalist id="events-people">${people.map((one) => html`<option value=${one.username}>${one.display_name}</option>`)}</datalist></div>`;
}

function Tools() {
  const value = (/** @type {any} */ event) => event.currentTarget.value;
  const one = (/** @type {string} */ name) => query.value.get(name) ?? "";
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => ask({ [name]: value(event), page: null });
  return html`<search class="tools">
    <div class="field"><label for="events-kind">${t("events.kind")}</label>
      <select id="events-kind" value=${one("kind")} onChange=${set("kind")}>
        <option value="">${t("filter.all")}</option>
        ${EVENT_KINDS.map((kind) => html`<option value=${kind}>${eventName(kind)}</option>`)}
      </select></div>
    ${may("users-read") && html`<${PersonFilter} />`}
    <div class="field"><label for="events-dialect">${t("events.dialect")}</label>
      <select id="events-dialect" value=${one("dialect")} onChange=${set("dialect")}>
        <option value="">${t("filter.all")}</option>
        ${["pages", ...(house.value?.dialects ?? []), "cli"].map((name) => html`<option value=${name}>${dialectName(name)} (${name})</option>`)}
      </select></div>
    <div class="field"><label for="events-from">${t("events.from")}</label>
      <input id="events-from" type="date" value=${one("from")} onChange=${set("from")} /></div>
    <div class="field"><label for="events-to">${t("events.to")}</label>
      <input id="events-to" type="date" value=${one("to")} onChange=${set("to")} /></div>
  </search>`;
}

export default function Events() {
  const filter = asked();
  const page = Math.max(1, Number(query.value.get("page")) || 1);
  const list = useLoad(() => get("/events", { query: { ...filter, page } }), [...Object.values(filter), page]);
  const [since, setSince] = useState(/** @type {number | null} */ (null));
  const live = since !== null;
  // From the newest of all on, and the list asked for after that: between them nothing is missed.
  const turn = async () => {
    if (live) return setSince(null);
    const answer = await get("/events", { query: { page_size: 1 } });
    if (!answer.ok) return toast(explain(answer.problem), "bad");
    await list.reload();
    setSince(answer.data.data[0]?.id ?? 0);
  };
  const connected = useStream(since, (one) => {
    const now = list.data.value;
    if (!now || page !== 1 || !fits(one, filter) || now.data.some(({ id }) => id >= one.id)) return;
    list.data.value = { ...now, total: now.total + 1, data: [one, ...now.data].slice(0, MOST) };
  });
  const columns = [
    { title: t("events.at"), of: (/** @type {Happening} */ one) => html`<time datetime=${one.at}>${moment(one.at)}</time>` },
    { title: t("events.what"), main: true, of: (/** @type {Happening} */ one) => html`<${What} one=${one} />` },
    { title: t("events.who"), of: (/** @type {Happening} */ one) => html`<${Actors} one=${one} />` },
    { title: t("events.where"), of: (/** @type {Happening} */ one) => html`<${Origin} one=${one} />` },
  ];
  return html`<div class="page-head">
      <${Title}>${t("admin.events")}<//>
      <div class="actions">
        ${live && html`<${Badge} kind=${connected.value ? "good" : "wait"}>${t(connected.value ? "live.on" : "live.opening")}<//>`}
        <label class="choice switch"><input type="checkbox" role="switch" checked=${live} onChange=${turn} /><span>${t("events.live")}</span></label>
      </div>
    </div>
    <${Tools} />
    <${Card}>
      <${Loaded} of=${list}>${(/** @type {any} */ found) => html`
        <${Table} columns=${columns} rows=${found.data} caption=${t("admin.events")} empty=${t("events.none")} />
        <${Pager} list=${found} go=${(/** @type {number} */ to) => ask({ page: to })} />`}<//>
    <//>`;
}
