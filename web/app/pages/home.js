// The first page of somebody who is signed in: who they are, what they can connect, where they are
// signed in.
import { get } from "../lib/api.js";
import { html } from "../lib/html.js";
import { at, root } from "../lib/place.js";
import { Link, Title } from "../lib/router.js";
import { calledName, house, may, user } from "../lib/session.js";
import { Badge, Card, Loaded, useLoad } from "../lib/ui.js";
import { ago, moment, t } from "../lib/words.js";
import { device } from "./account/sessions.js";

const RECENT = 5;

export default function Home() {
  return html`<${Title}>${t("home.title", { name: calledName.value })}<//>
    <div class="two">
      <div><${Me} /><${Recent} /></div>
      <div><${Connect} /></div>
    </div>`;
}

function Me() {
  const me = user.value;
  if (!me) return null;
  return html`<${Card} title=${t("home.me")} actions=${html`<${Link} to="/account">${t("home.change")}<//>`}>
    <dl>
      <dt>${t("username")}</dt><dd>${me.username}</dd>
      <dt>${t("email")}</dt><dd>${me.email ?? t("none")}${me.email && !me.email_verified && html` <${Badge} kind="wait">${t("email.unverified")}<//>`}</dd>
      <dt>${t("role")}</dt><dd>${me.role}</dd>
      <dt>${t("pin")}</dt><dd>${t(me.has_pin ? "pin.set" : "pin.unset")}</dd>
    </dl>
    ${may("system-admin") && html`<p class="links"><${Link} to="/setup">${t("checklist.title")}<//></p>`}
  <//>`;
}

function Recent() {
  const sessions = useLoad(() => get("/user/sessions"));
  return html`<${Card} title=${t("home.recent")} actions=${html`<${Link} to="/account/sessions">${t("home.all")}<//>`}>
    <${Loaded} of=${sessions}>${(/** @type {import("../types").Schemas["Sessions"]} */ { data }) => {
      const last = [...data].sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, RECENT);
      return html`<ul class="rows">${last.map((one) => html`<li key=${one.id}>
        <div><b>${device(one)}</b><span class="quiet">${t("session.from", { address: one.address || t("session.here") })}</span></div>
        <time class="quiet" datetime=${one.created_at} title=${moment(one.created_at)}>${ago(one.created_at)}</time>
      </li>`)}</ul>`;
    }}<//>
  <//>`;
}

/** Which addresses and which way to sign in an app needs, by dialect. */
const WAYS = /** @type {const} */ ([
  ["gpodder", ""],
  ["native", "/api/v1"],
  ["pair", "/api"],
  ["pin", "/auth/login"],
  ["signup", "/auth/login"],
]);

function Connect() {
  const open = house.value?.dialects ?? [];
  return html`<${Card} title=${t("connect.title")} about=${t("connect.text")}>
    <ul class="rows">${WAYS.filter(([name]) => open.includes(name)).map(([name, path]) => html`<li key=${name}>
      <div><b>${t(`connect.${name}`)}</b><span class="quiet">${t(`connect.${name}.text`)}</span>
      <code class="address">${path ? at(path) : root.href.replace(/\/$/, "")}</code></div>
      <a href=${at(`/openapi/${name}.json`)} aria-label=${t("connect.document_of", { name })}>${t("connect.document")}</a>
    </li>`)}</ul>
  <//>`;
}
