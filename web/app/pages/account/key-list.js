// Somebody's API keys: one's own, or another's for those who look after the house.
import { get, patch, post, remove } from "../../lib/api.js";
import { Field, FormOf, Select, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { focusHeading } from "../../lib/router.js";
import { user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Copy, Dialog, Loaded, Pager, confirm, useLoad } from "../../lib/ui.js";
import { ago, day, t } from "../../lib/words.js";
import { rightName, Rights } from "../rights.js";

/** @typedef {import("../../types").Schemas["ApiKey"]} Key */
/** @typedef {import("../../types").Schemas["User"]} User */

const DAYS = ["30", "90", "365"];
const DAY = 86_400_000;

/** The list in a card. `of` is left out for one's own; `head` draws what stands above from the
 * button that makes a key.
 * @param {{ of?: User, page: number, go: (page: number) => void, title?: string, head?: (make: any) => any, write?: boolean, revoke?: boolean }} given */
export function KeyList({ of, page, go, title, head, write = true, revoke = true }) {
  const keys = useLoad(() => get("/api-keys", { query: { user: of?.id, page, page_size: 50 } }), [of?.id, page]);
  const [asked, setAsked] = useState(/** @type {"new" | Key | null} */ (null));
  const [made, setMade] = useState(/** @type {{ name: string, key: string } | null} */ (null));
  const settled = (/** @type {any} */ data) => {
    setAsked(null);
    keys.reload();
    if (data.key) setMade(data);
    else toast(t("saved"));
  };
  const end = async (/** @type {Key} */ { id, name }) => {
    if (!await confirm({ title: t("keys.revoke_ask", { name }), text: t("keys.revoke_text"), yes: t("keys.revoke") })) return;
    return remove("/api-keys/{id}", { path: { id } });
  };
  const gone = () => {
    toast(t("keys.revoked"));
    keys.reload();
    focusHeading();
  };
  const make = write && html`<button type="button" class=${of ? "" : "strong"} onClick=${() => setAsked("new")}>${t("keys.make")}</button>`;
  return html`${head?.(make)}
    <${Card} title=${title} actions=${make}><${Loaded} of=${keys}>${(/** @type {any} */ list) => list.data.length
      ? html`<ul class="rows">${list.data.map((/** @type {Key} */ one) => html`<li key=${one.id}>
          <div><b>${one.name} <${Ends} at=${one.expires_at} /></b>
            <span class="quiet"><code>${one.key_prefix}…</code> · ${t("keys.used", { when: ago(one.last_used_at) })}</span>
            <br /><span class="quiet">${one.permissions ? one.permissions.map(rightName).join(", ") || t("profile.may_nothing") : t(of ? "keys.all_theirs" : "keys.all")}</span></div>
          <span class="actions">
            ${write && html`<button type="button" onClick=${() => setAsked(one)} aria-label=${t("keys.edit_of", { name: one.name })}>${t("keys.edit")}</button>`}
            ${revoke && html`<${Act} class="danger-line" act=${() => end(one)} done=${gone} aria-label=${t("keys.revoke_ask", { name: one.name })}>${t("keys.revoke")}<//>`}
          </span>
        </li>`)}</ul>
        ${list.total > list.page_size && html`<${Pager} list=${list} go=${go} />`}`
      : html`<p class=${of ? "quiet" : "empty quiet"}>${t(of ? "keys.none_theirs" : "keys.none")}</p>`}<//>
    <//>
    <${Dialog} open=${asked !== null} onClose=${() => setAsked(null)} title=${t(asked === "new" ? "keys.make" : "keys.edit")}>
      ${asked && html`<${Form} was=${asked === "new" ? null : asked} of=${of} cancel=${() => setAsked(null)} done=${settled} />`}
    <//>
    <${Dialog} open=${made !== null} onClose=${() => setMade(null)} title=${t("keys.made", { name: made?.name })}>
      <p>${t("keys.once")}</p>
      ${made && html`<${Copy} label=${t("keys.key")} text=${made.key} />`}
      <div class="actions"><button type="button" onClick=${() => setMade(null)}>${t("keys.kept")}</button></div>
    <//>`;
}

/** @param {{ at?: string | null }} given */
function Ends({ at }) {
  if (!at) return null;
  const over = new Date(at).getTime() < Date.now();
  return html`<${Badge} kind=${over ? "bad" : "plain"}>${t(over ? "keys.expired" : "keys.until", { day: day(at) })}<//>`;
}

/** What a key can be given: what both its owner and whoever gives it may.
 * @param {User | undefined} of */
function grantable(of) {
  const mine = user.value?.permissions ?? [];
  return of ? of.permissions.filter((name) => mine.includes(name)) : mine;
}

/** A new key, or another name, end or rights for one.
 * @param {{ was: Key | null, of?: User, cancel: () => void, done: (data: any) => void }} given */
function Form({ was, of, cancel, done }) {
  const [some, setSome] = useState(Boolean(was?.permissions));
  const [chosen, setChosen] = useState(was?.permissions ?? []);
  const rights = [...new Set([...grantable(of), ...(was?.permissions ?? [])])].sort();
  const form = useForm({
    send: ({ name, ends }) => {
      const permissions = /** @type {any} */ (some ? chosen : null);
      const expires_at = ends === "never" ? null : new Date(Date.now() + Number(ends) * DAY).toISOString();
      if (!was) {
        return post("/api-keys", { query: { user: of?.id }, body: { name, ...(some && { permissions }), ...(expires_at && { expires_at }) } });
      }
      const end = ends === "same" ? {} : { expires_at: /** @type {any} */ (expires_at) };
      return patch("/api-keys/{id}", { path: { id: was.id }, body: { name, permissions, ...end } });
    },
    done,
  });
  const ends = [...(was ? [["same", was.expires_at ? t("keys.until", { day: day(was.expires_at) }) : t("keys.never")]] : []),
    ...(was && !was.expires_at ? [] : [["never", t("keys.never")]]), ...DAYS.map((n) => [n, t("keys.days", { n })])];
  return html`<${FormOf} form=${form}>
    <${Field} form=${form} name="name" label=${t("keys.name")} hint=${t("keys.name_hint")} value=${was?.name} autocomplete="off" maxlength="128" />
    <${Select} form=${form} name="ends" label=${t("keys.ends")} options=${ends} value=${was ? "same" : "never"} />
    <fieldset><legend>${t("keys.rights")}</legend>
      <label class="choice"><input type="radio" name="rights" checked=${!some} onChange=${() => setSome(false)} />${t(of ? "keys.all_theirs" : "keys.all")}</label>
      <label class="choice"><input type="radio" name="rights" checked=${some} onChange=${() => setSome(true)} />${t("keys.some")}</label>
    </fieldset>
    ${some && html`<${Rights} chosen=${chosen} onChange=${setChosen} only=${rights} offered=${rights} />`}
    <div class="actions"><button type="button" onClick=${cancel}>${t("cancel")}</button><${Submit} form=${form}>${t(was ? "save" : "keys.make")}<//></div>
  <//>`;
}
