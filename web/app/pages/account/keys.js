// API keys: each is shown once, when it is made.
import { get, patch, post, remove } from "../../lib/api.js";
import { Field, FormOf, Select, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Title, ask, query } from "../../lib/router.js";
import { user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Copy, Dialog, Loaded, Pager, confirm, useLoad } from "../../lib/ui.js";
import { ago, day, t } from "../../lib/words.js";

/** @typedef {import("../../types").Schemas["ApiKey"]} Key */

const DAYS = ["30", "90", "365"];
const DAY = 86_400_000;

export default function Keys() {
  const page = Number(query.value.get("page")) || 1;
  const keys = useLoad(() => get("/api-keys", { query: { page, page_size: 50 } }), [page]);
  const [asked, setAsked] = useState(/** @type {"new" | Key | null} */ (null));
  const [made, setMade] = useState(/** @type {{ name: string, key: string } | null} */ (null));
  const settled = () => {
    setAsked(null);
    keys.reload();
  };
  const revoke = async (/** @type {Key} */ { id, name }) => {
    if (!await confirm({ title: t("keys.revoke_ask", { name }), text: t("keys.revoke_text"), yes: t("keys.revoke") })) return;
    return remove("/api-keys/{id}", { path: { id } });
  };
  return html`<div class="column">
    <div class="page-head"><${Title}>${t("account.keys")}<//><button type="button" class="strong" onClick=${() => setAsked("new")}>${t("keys.make")}</button></div>
    <p class="lead">${t("keys.about")}</p>
    <${Card}><${Loaded} of=${keys}>${(/** @type {any} */ list) => list.data.length
      ? html`<ul class="rows">${list.data.map((/** @type {Key} */ one) => html`<li key=${one.id}>
          <div><b>${one.name} <${Ends} at=${one.expires_at} /></b>
            <span class="quiet"><code>${one.key_prefix}…</code> · ${t("keys.used", { when: ago(one.last_used_at) })}</span>
            <br /><span class="quiet">${one.permissions ? one.permissions.join(", ") || t("profile.may_nothing") : t("keys.all")}</span></div>
          <span class="actions">
            <button type="button" onClick=${() => setAsked(one)} aria-label=${t("keys.edit_of", { name: one.name })}>${t("keys.edit")}</button>
            <${Act} class="danger-line" act=${() => revoke(one)} done=${() => {
              toast(t("keys.revoked"));
              keys.reload();
            }} aria-label=${t("keys.revoke_ask", { name: one.name })}>${t("keys.revoke")}<//>
          </span>
        </li>`)}</ul>
        <${Pager} list=${list} go=${(/** @type {number} */ to) => ask({ page: to })} />`
      : html`<p class="empty quiet">${t("keys.none")}</p>`}<//>
    <//>
    <${Dialog} open=${asked !== null} onClose=${() => setAsked(null)} title=${t(asked === "new" ? "keys.make" : "keys.edit")}>
      ${asked && html`<${Form} of=${asked === "new" ? null : asked} cancel=${() => setAsked(null)} done=${(/** @type {any} */ data) => {
        settled();
        if (data.key) setMade(data);
      }} />`}
    <//>
    <${Dialog} open=${made !== null} onClose=${() => setMade(null)} title=${t("keys.made", { name: made?.name })}>
      <p>${t("keys.once")}</p>
      ${made && html`<${Copy} label=${t("keys.key")} text=${made.key} />`}
      <div class="actions"><button type="button" onClick=${() => setMade(null)}>${t("keys.kept")}</button></div>
    <//>
  </div>`;
}

/** @param {{ at?: string | null }} given */
function Ends({ at }) {
  if (!at) return null;
  const over = new Date(at).getTime() < Date.now();
  return html`<${Badge} kind=${over ? "bad" : "plain"}>${t(over ? "keys.expired" : "keys.until", { day: day(at) })}<//>`;
}

/** A new key, or another name, end or rights for one.
 * @param {{ of: Key | null, cancel: () => void, done: (data: any) => void }} given */
function Form({ of, cancel, done }) {
  const [some, setSome] = useState(Boolean(of?.permissions));
  const rights = [...new Set([...(user.value?.permissions ?? []), ...(of?.permissions ?? [])])].sort();
  const form = useForm({
    send: ({ name, ends }) => {
      const boxes = form.element.current?.querySelectorAll("input[name=permission]:checked") ?? [];
      const chosen = [...boxes].map((box) => /** @type {HTMLInputElement} */ (box).value);
      const permissions = /** @type {any} */ (some ? chosen : null);
      const expires_at = ends === "never" ? null : new Date(Date.now() + Number(ends) * DAY).toISOString();
      if (!of) {
        return post("/api-keys", { body: { name, ...(some && { permissions }), ...(expires_at && { expires_at }) } });
      }
      const end = ends === "same" ? {} : { expires_at: /** @type {any} */ (expires_at) };
      return patch("/api-keys/{id}", { path: { id: of.id }, body: { name, permissions, ...end } });
    },
    done,
  });
  const ends = [...(of ? [["same", of.expires_at ? t("keys.until", { day: day(of.expires_at) }) : t("keys.never")]] : []),
    ...(of && !of.expires_at ? [] : [["never", t("keys.never")]]), ...DAYS.map((n) => [n, t("keys.days", { n })])];
  return html`<${FormOf} form=${form}>
    <${Field} form=${form} name="name" label=${t("keys.name")} hint=${t("keys.name_hint")} value=${of?.name} autocomplete="off" maxlength="128" />
    <${Select} form=${form} name="ends" label=${t("keys.ends")} options=${ends} value=${of ? "same" : "never"} />
    <fieldset><legend>${t("keys.rights")}</legend>
      <label class="choice"><input type="radio" name="rights" checked=${!some} onChange=${() => setSome(false)} />${t("keys.all")}</label>
      <label class="choice"><input type="radio" name="rights" checked=${some} onChange=${() => setSome(true)} />${t("keys.some")}</label>
    </fieldset>
    ${some && html`<fieldset class="choices"><legend class="unseen">${t("keys.some")}</legend>
      ${rights.map((name) => html`<label class="choice" key=${name}><input type="checkbox" name="permission" value=${name} defaultChecked=${of?.permissions?.includes(name)} /><code>${name}</code></label>`)}
    </fieldset>`}
    <div class="actions"><button type="button" onClick=${cancel}>${t("cancel")}</button><${Submit} form=${form}>${t(of ? "save" : "keys.make")}<//></div>
  <//>`;
}
