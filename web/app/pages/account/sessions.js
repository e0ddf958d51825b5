// Where I am signed in, and the way out of each.
import { get, remove } from "../../lib/api.js";
import { html } from "../../lib/html.js";
import { Title, focusHeading } from "../../lib/router.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Loaded, confirm, useLoad } from "../../lib/ui.js";
import { ago, maybe, moment, t } from "../../lib/words.js";

/** @typedef {import("../../types").Schemas["Session"]} Session */

const BROWSERS = /** @type {const} */ ([
  [/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"],
]);
const SYSTEMS = /** @type {const} */ ([
  [/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"],
]);

/** What somebody signed in with, as far as it says so itself.
 * @param {Session} session */
export function device({ user_agent, dialect }) {
  const first = (/** @type {readonly (readonly [RegExp, string])[]} */ list) => list.find(([form]) => form.test(user_agent))?.[1];
  const [browser, system] = [first(BROWSERS), first(SYSTEMS)];
  if (browser && system) return t("session.browser_on", { browser, system });
  if (user_agent) return user_agent.length > 60 ? `${user_agent.slice(0, 60)}…` : user_agent;
  return maybe(`dialect.${dialect}`, dialect);
}

export default function Sessions() {
  const sessions = useLoad(() => get("/user/sessions"));
  const end = async (/** @type {Session} */ session) => {
    const answer = await remove("/user/sessions/{id}", { path: { id: session.id } });
    // Gone is gone.
    return answer.ok || answer.status !== 404 ? answer : { ok: /** @type {const} */ (true), status: 204, data: null };
  };
  const endOthers = async () => {
    if (!await confirm({ title: t("session.end_others"), text: t("session.end_others_ask"), yes: t("session.end_others") })) return;
    return remove("/user/sessions");
  };
  const ended = () => {
    toast(t("session.ended"));
    focusHeading();
    sessions.reload();
  };
  return html`<div class="column">
    <div class="page-head"><${Title}>${t("account.sessions")}<//>
      ${(sessions.data.value?.data.length ?? 0) > 1 && html`<${Act} class="danger-line" act=${endOthers} done=${ended}>${t("session.end_others")}<//>`}
    </div>
    <p class="lead">${t("session.about")}</p>
    <${Card}><${Loaded} of=${sessions}>${(/** @type {{ data: Session[] }} */ { data }) => html`<ul class="rows">
      ${data.map((one) => html`<li key=${one.id}>
        <div><b>${device(one)} ${one.current && html`<${Badge} kind="good">${t("session.current")}<//>`}</b>
          <span class="quiet">${maybe(`dialect.${one.dialect}`, one.dialect)} · ${maybe(`method.${one.method}`, one.method)} · ${t("session.from", { address: one.address || t("session.here") })}</span>
          <br /><span class="quiet" title=${moment(one.last_seen_at)}>${t("session.times", { begun: moment(one.created_at), seen: ago(one.last_seen_at) })}</span></div>
        ${!one.current && html`<${Act} act=${() => end(one)} done=${ended} aria-label=${t("session.end_of", { what: device(one) })}>${t("session.end")}<//>`}
      </li>`)}
    </ul>`}<//><//>
  </div>`;
}
