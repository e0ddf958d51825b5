// Everybody who has an account: found by name, role and state, page by page.
import { get } from "../../lib/api.js";
import { html, useEffect, useRef } from "../../lib/html.js";
import { Link, Title, ask, query } from "../../lib/router.js";
import { may, user } from "../../lib/session.js";
import { Badge, Card, Loaded, Pager, Table, useLoad } from "../../lib/ui.js";
import { t } from "../../lib/words.js";
import { When, onlyIf } from "./parts.js";

/** In milliseconds: who types is not asked about every letter. */
const PAUSE = 250;
const STATES = /** @type {const} */ (["active", "pending", "disabled"]);
const KINDS = /** @type {const} */ ({ active: "good", pending: "wait", disabled: "bad" });

/** @param {{ status: "active" | "pending" | "disabled" }} given */
export const State = ({ status }) => html`<${Badge} kind=${KINDS[status]}>${t(`state.${status}`)}<//>`;

/** @param {{ roles: string[] }} given */
function Tools({ roles }) {
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const value = (/** @type {any} */ event) => event.currentTarget.value;
  const search = (/** @type {any} */ event) => {
    const q = value(event).trim();
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => ask({ q, page: null }), PAUSE);
  };
  const one = (/** @type {string} */ name) => query.value.get(name) ?? "";
  return html`<search class="tools">
    <div class="field wide"><label for="people-q">${t("people.search")}</label>
      <input id="people-q" type="search" defaultValue=${query.peek().get("q") ?? ""} autocapitalize="none" spellcheck="false" onInput=${search} /></div>
    <div class="field"><label for="people-status">${t("people.state")}</label>
      <select id="people-status" value=${one("status")} onChange=${(/** @type {any} */ event) => ask({ status: value(event), page: null })}>
        <option value="">${t("filter.all")}</option>
        ${STATES.map((name) => html`<option value=${name}>${t(`state.${name}`)}</option>`)}
      </select></div>
    ${roles.length > 0 && html`<div class="field"><label for="people-role">${t("role")}</label>
      <select id="people-role" value=${one("role")} onChange=${(/** @type {any} */ event) => ask({ role: value(event), page: null })}>
        <option value="">${t("filter.all")}</option>
        ${roles.map((name) => html`<option value=${name}>${name}</option>`)}
      </select></div>`}
  </search>`;
}

export default function People() {
  const [q, role, page] = ["q", "role", "page"].map((name) => query.value.get(name) ?? undefined);
  const status = STATES.find((name) => name === query.value.get("status"));
  const number = Math.max(1, Number(page) || 1);
  const people = useLoad(() => get("/users", { query: { q, role, status, page: number } }), [q, role, status, number]);
  const roles = useLoad(() => onlyIf(may("roles-read"), () => get("/roles")));
  const columns = [
    { title: t("people.name"), main: true, of: (/** @type {any} */ one) => html`<${Link} to="/admin/people/${one.id}">${one.display_name || one.username}<//>
      ${one.id === user.value?.id && html` <span class="quiet">${t("people.you")}</span>`}
      <span class="quiet small below">${one.username}${one.email && one.email !== one.username && ` · ${one.email}`}</span>` },
    { title: t("role"), of: (/** @type {any} */ one) => one.role },
    { title: t("people.state"), of: (/** @type {any} */ one) => html`<${State} status=${one.status} />` },
    { title: t("people.last"), of: (/** @type {any} */ one) => html`<${When} at=${one.last_login_at} />` },
  ];
  return html`<div class="page-head">
      <${Title}>${t("admin.people")}<//>
      ${may("users-write") && html`<div class="actions"><${Link} to="/admin/people/new" class="button strong">${t("people.new")}<//></div>`}
    </div>
    <${Tools} roles=${(roles.data.value?.data ?? []).map(({ name }) => name)} />
    <${Card}>
      <${Loaded} of=${people}>${(/** @type {any} */ list) => html`
        <${Table} columns=${columns} rows=${list.data} caption=${t("admin.people")} empty=${t("people.none")} />
        <${Pager} list=${list} go=${(/** @type {number} */ to) => ask({ page: to })} />`}<//>
    <//>`;
}
