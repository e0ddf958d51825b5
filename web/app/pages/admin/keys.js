// Somebody's API keys: made, changed and revoked by an admin.
import { get, patch, post, remove } from "../../lib/api.js";
import { Field, FormOf, Select, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { may, user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Copy, Dialog, Loaded, Pager, confirm, useLoad } from "../../lib/ui.js";
import { count, moment, t } from "../../lib/words.js";
import { When, toHeading } from "./parts.js";
import { Rights } from "./rights.js";

/** @typedef {import("../../types").Schemas} Schemas */
/** @typedef {Schemas["ApiKey"]} Key */

const DAYS = [7, 30, 90, 365];

/** What the choice of a time means, from now on.
 * @param {string} choice days, `never`, or `keep` @param {Key | null} was */
function end(choice, was) {
  if (choice === "keep") return was?.expires_at ?? null;
  return choice === "never" ? null : new Date(Date.now() + Number(choice) * 86_400_000).toISOString();
}

/** @param {{ of: Schemas["User"], was: Key | null, done: (made: any) => void, close: () => void }} given */
function KeyForm({ of, was, done, close }) {
  const [all, setAll] = useState(!was?.permissions);
  const [chosen, setChosen] = useState(was?.permissions ?? []);
  const [time, setTime] = useState(was ? "keep" : "90");
  /** @type {[string, string][]} */
  const times = [
    ...(was ? [/** @type {[string, string]} */ (["keep", was.expires_at ? t("keys.until.keep", { moment: moment(was.expires_at) }) : t("keys.until.never")])] : []),
    ...DAYS.map((days) => /** @type {[string, string]} */ ([String(days), count("keys.until.days", days)])),
    ...(was && !was.expires_at ? [] : [/** @type {[string, string]} */ (["never", t("keys.until.never")])]),
  ];
  const form = useForm({
    send: ({ name }) => {
      const body = { name, permissions: all ? null : chosen, expires_at: end(time, was) };
      return was ? patch("/api-keys/{id}", { path: { id: was.id }, body })
        : post("/api-keys", { query: { user: of.id }, body: /** @type {any} */ (Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))) });
    },
    done,
  });
  return html`<${FormOf} form=${form}>
    <${Field} form=${form} name="name" label=${t("keys.name")} hint=${t("keys.name.hint")} defaultValue=${was?.name ?? ""} maxlength="128" autocomplete="off" />
    <${Select} form=${form} name="expires_at" label=${t("keys.until")} options=${times} value=${time}
      onChange=${(/** @type {any} */ event) => setTime(event.currentTarget.value)} />
    <label class="choice"><input type="checkbox" checked=${all} onChange=${() => setAll(!all)} /><span>${t("keys.all")}</span></label>
    ${!all && html`<${Rights} chosen=${chosen} onChange=${setChosen} only=${of.permissions} offered=${of.permissions} locked=${(/** @type {string} */ name) => !may(name)} />`}
    <div class="actions"><button type="button" onClick=${close}>${t("cancel")}</button>
      <${Submit} form=${form}>${t(was ? "save" : "keys.make")}<//></div>
  <//>`;
}

/** @param {{ one: Key, change: () => void, write: boolean, end: any }} given */
function KeyRow({ one, change, write, end: revoke }) {
  const over = one.expires_at && new Date(one.expires_at) < new Date();
  return html`<li>
    <div><b>${one.name} ${over && html`<${Badge} kind="bad">${t("keys.over")}<//>`}</b>
      <span class="quiet"><code>${one.key_prefix}…</code> · ${one.permissions ? count("keys.rights", one.permissions.length) : t("keys.rights.all")}
        · ${one.last_used_at ? html`${t("keys.used")} <${When} at=${one.last_used_at} />` : t("keys.unused")}
        · ${one.expires_at ? t("keys.expires", { moment: moment(one.expires_at) }) : t("keys.until.never")}</span></div>
    <div class="actions">
      ${write && html`<button type="button" onClick=${change} aria-label=${t("keys.change.of", { name: one.name })}>${t("keys.change")}…</button>`}
      ${revoke && html`<${Act} class="danger-line" act=${revoke} aria-label=${t("keys.revoke.of", { name: one.name })}>${t("keys.revoke")}…<//>`}
    </div>
  </li>`;
}

/** @param {{ of: Schemas["User"], within: boolean }} given */
export function Keys({ of, within }) {
  const [page, setPage] = useState(1);
  const [open, setOpen] = useState(/** @type {{ was: Key | null } | null} */ (null));
  const [made, setMade] = useState(/** @type {string | null} */ (null));
  const list = useLoad(() => get("/api-keys", { query: { user: of.id, page, page_size: 20 } }), [of.id, page]);
  const self = of.id === user.value?.id;
  const write = within && (self || may("api-keys-write"));
  const revoke = within && (self || may("api-keys-delete"));
  const end = async (/** @type {Key} */ { id, name }) => {
    if (!await confirm({ title: t("keys.revoke.title", { name }), text: t("keys.revoke.text"), yes: t("keys.revoke") })) return;
    const answer = await remove("/api-keys/{id}", { path: { id } });
    if (answer.ok) {
      list.reload();
      toast(t("keys.revoked"));
      toHeading();
    }
    return answer;
  };
  const close = () => setOpen(null);
  const done = (/** @type {any} */ data) => {
    close();
    list.reload();
    if (data.key) setMade(data.key);
    else toast(t("saved"));
  };
  return html`<${Card} title=${t("account.keys")} actions=${write && html`<button type="button" onClick=${() => setOpen({ was: null })}>${t("keys.new")}…</button>`}>
    <${Loaded} of=${list}>${(/** @type {Schemas["List_ApiKey"]} */ found) => found.data.length === 0 ? html`<p class="quiet">${t("keys.none")}</p>` : html`
      <ul class="rows">${found.data.map((one) => html`<${KeyRow} key=${one.id} one=${one} write=${write} change=${() => setOpen({ was: one })} end=${revoke && (() => end(one))} />`)}</ul>
      ${found.total > found.page_size && html`<${Pager} list=${found} go=${setPage} />`}`}<//>
    <${Dialog} open=${open !== null} onClose=${close} title=${t(open?.was ? "keys.change.title" : "keys.new")}>
      <${KeyForm} of=${of} was=${open?.was ?? null} done=${done} close=${close} />
    <//>
    <${Dialog} open=${made !== null} onClose=${() => setMade(null)} title=${t("keys.made")}>
      <p>${t("keys.made.text")}</p>
      <${Copy} text=${made ?? ""} label=${t("keys.key")} />
      <div class="actions"><button type="button" class="strong" onClick=${() => setMade(null)}>${t("done")}</button></div>
    <//>
  <//>`;
}
