// Letters: what waits, what failed and why, what went out; and their links, to hand over.
import { get } from "../../lib/api.js";
import { html, useState } from "../../lib/html.js";
import { Title, ask, query } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { Badge, Card, Dialog, Loaded, Pager, Table, useLoad } from "../../lib/ui.js";
import { maybe, t } from "../../lib/words.js";
import { MailTest } from "./mail-test.js";
import { Handover, When, onlyIf } from "./parts.js";

/** @typedef {import("../../types").Schemas["Letter"]} Letter */

const STATES = /** @type {const} */ (["waiting", "held", "failed", "sent"]);
const KINDS = /** @type {const} */ ({ waiting: "wait", held: "wait", failed: "bad", sent: "good" });

/** When it is tried again.
 * @param {{ at: string | null | undefined }} given */
function Next({ at }) {
  const soon = !at || new Date(at).getTime() < Date.now() + 60_000;
  return soon ? t("outbox.soon") : html`${t("outbox.next")} <${When} at=${at} />`;
}

/** @param {{ one: Letter }} given */
function Fate({ one }) {
  return html`<${Badge} kind=${KINDS[one.status]}>${t(`outbox.status.${one.status}`)}<//>
    ${one.status === "waiting" && one.attempts > 0 && html` <span class="quiet small"><${Next} at=${one.next_attempt_at} /></span>`}
    ${one.last_error && one.status !== "sent" && html`<span class="quiet small below">${one.last_error}</span>`}`;
}

/** What keeps letters here, in words.
 * @param {{ kinds: string[] }} given of warnings */
function Obstacles({ kinds }) {
  if (kinds.includes("no_mail_server")) return html`<div class="notice wait"><p>${t("outbox.no_mail")}</p></div>`;
  return kinds.includes("no_public_url") ? html`<div class="notice wait"><p>${t("outbox.no_url")}</p></div>` : null;
}

export default function Outbox() {
  const status = STATES.find((name) => name === query.value.get("status"));
  const page = Math.max(1, Number(query.value.get("page")) || 1);
  const list = useLoad(() => get("/outbox", { query: { status, page } }), [status, page]);
  const system = useLoad(() => onlyIf(may("system-health"), () => get("/system")));
  const kinds = system.data.value?.warnings.map(({ kind }) => kind) ?? [];
  const [shown, setShown] = useState(/** @type {Letter | null} */ (null));
  const purpose = (/** @type {Letter} */ one) => maybe(`purpose.${one.purpose}`, one.purpose);
  const columns = [
    { title: t("outbox.to"), main: true, of: (/** @type {Letter} */ one) => html`${one.recipient}<span class="quiet small below">${purpose(one)}</span>` },
    { title: t("people.state"), of: (/** @type {Letter} */ one) => html`<${Fate} one=${one} />` },
    { title: t("outbox.written"), of: (/** @type {Letter} */ one) => html`<${When} at=${one.sent_at ?? one.created_at} />` },
    { title: t("handover.link"), actions: true, of: (/** @type {Letter} */ one) => one.link && html`
      <button type="button" onClick=${() => setShown(one)} aria-label=${t("outbox.link.of", { to: one.recipient })}>${t("outbox.link")}</button>` },
  ];
  return html`<div class="page-head"><${Title}>${t("admin.outbox")}<//>
      <div class="actions"><button type="button" onClick=${list.reload}>${t("outbox.again")}</button></div></div>
    <${Obstacles} kinds=${kinds} />
    <search class="tools"><div class="field narrow"><label for="outbox-status">${t("outbox.which")}</label>
      <select id="outbox-status" value=${status ?? ""} onChange=${(/** @type {any} */ event) => ask({ status: event.currentTarget.value, page: null })}>
        <option value="">${t("outbox.unsent")}</option>
        ${STATES.map((name) => html`<option value=${name}>${t(`outbox.status.${name}`)}</option>`)}
      </select></div></search>
    <${Card}>
      <${Loaded} of=${list}>${(/** @type {any} */ found) => html`
        <${Table} columns=${columns} rows=${found.data} caption=${t("admin.outbox")} empty=${t("outbox.none")} />
        ${found.total > 0 && html`<${Pager} list=${found} go=${(/** @type {number} */ to) => ask({ page: to })} />`}`}<//>
    <//>
    ${!kinds.includes("no_mail_server") && html`<div class="column"><${MailTest} sent=${list.reload} /></div>`}
    <${Dialog} open=${shown !== null} onClose=${() => setShown(null)} title=${shown ? purpose(shown) : ""}>
      <${Handover} link=${shown?.link ?? ""} until=${shown?.expires_at} again text=${t("outbox.link.text", { to: shown?.recipient ?? "" })} />
      <div class="actions"><button type="button" class="strong" onClick=${() => setShown(null)}>${t("done")}</button></div>
    <//>`;
}
