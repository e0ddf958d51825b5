// Where somebody is signed in now.
import { get, remove } from "../../lib/api.js";
import { html } from "../../lib/html.js";
import { focusHeading } from "../../lib/router.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Loaded, confirm, useLoad } from "../../lib/ui.js";
import { maybe, t } from "../../lib/words.js";
import { device } from "../account/sessions.js";
import { When, dialectName } from "./parts.js";

/** @typedef {import("../../types").Schemas} Schemas */

/** @param {{ of: Schemas["User"], write: boolean }} given */
export function SignIns({ of: { id, display_name, username, updated_at }, write }) {
  const list = useLoad(() => get("/users/{id}/sessions", { path: { id } }), [id, updated_at]);
  const name = display_name || username;
  const gone = (/** @type {string} */ text) => {
    list.reload();
    toast(text);
    focusHeading();
  };
  const endAll = async () => {
    if (!await confirm({ title: t("sign_ins.all.title", { name }), text: t("sign_ins.all.text"), yes: t("sign_ins.all") })) return;
    return remove("/users/{id}/sessions", { path: { id } });
  };
  const rows = list.data.value?.data ?? [];
  return html`<${Card} title=${t("sign_ins.title")}
    actions=${write && rows.length > 1 && html`<${Act} act=${endAll} done=${() => gone(t("sign_ins.all.done"))}>${t("sign_ins.all")}…<//>`}>
    <${Loaded} of=${list}>${(/** @type {Schemas["Sessions"]} */ { data }) => data.length === 0 ? html`<p class="quiet">${t("sign_ins.none")}</p>` : html`<ul class="rows">
      ${data.map((/** @type {Schemas["Session"]} */ one) => html`<li key=${one.id}>
        <div><b>${device(one)} ${one.current && html`<${Badge} kind="good">${t("session.current")}<//>`}</b>
          <span class="quiet">${dialectName(one.dialect)} · ${maybe(`method.${one.method}`, one.method)} · ${t("session.from", { address: one.address || t("session.here") })} · <${When} at=${one.last_seen_at} /></span></div>
        ${write && html`<${Act} aria-label=${t("session.end_of", { what: device(one) })}
          act=${() => remove("/users/{id}/sessions/{session}", { path: { id, session: one.id } })}
          done=${() => gone(t("session.ended"))}>${t("session.end")}<//>`}
      </li>`)}
    </ul>`}<//>
  <//>`;
}
