// How somebody gets in: password and PIN, set by an admin or by a link to hand over.
import { get, patch, post } from "../../lib/api.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { toast } from "../../lib/toast.js";
import { Act, Card, Dialog, confirm } from "../../lib/ui.js";
import { t } from "../../lib/words.js";
import { invented } from "./new-person.js";
import { Handover, When } from "./parts.js";

/** @typedef {import("../../types").Schemas["User"]} User */

/** @param {{ one: User, done: (one: User) => void, close: () => void }} given */
function PasswordForm({ one, done, close }) {
  const form = useForm({
    send: ({ password }) => patch("/users/{id}", { path: { id: one.id }, body: { password } }),
    done,
  });
  return html`<p>${t("access.password.text")}</p>
    <${FormOf} form=${form}>
      <input type="text" class="unseen" name="username" value=${one.username} autocomplete="username" tabindex="-1" aria-hidden="true" readonly />
      <${PasswordField} form=${form} name="password" label=${t("password.new")} fresh />
      <div class="actions"><button type="button" onClick=${close}>${t("cancel")}</button>
        <${Submit} form=${form}>${t("save")}<//></div>
    <//>`;
}

/** @param {{ one: User, done: () => void, close: () => void }} given */
function PinForm({ one, done, close }) {
  const form = useForm({
    send: ({ pin }) => post("/users/{id}/pin", { path: { id: one.id }, body: { pin } }),
    done,
  });
  return html`<p>${t("access.pin.text")}</p>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="pin" type="password" inputmode="numeric" label=${t("pin.new")} hint=${t("pin.hint")} autocomplete="off" maxlength="12" />
      <div class="actions"><button type="button" onClick=${close}>${t("cancel")}</button>
        <${Submit} form=${form}>${t("save")}<//></div>
    <//>`;
}

/** @param {{ one: User, change: (one: User) => void, write: boolean }} given */
export function Access({ one, change, write }) {
  const [open, setOpen] = useState(/** @type {"password" | "pin" | null} */ (null));
  const [given, setGiven] = useState(/** @type {any} */ (null));
  const name = one.display_name || one.username;
  const path = { id: one.id };
  const again = async () => {
    const answer = await get("/users/{id}", { path });
    if (answer.ok) change(answer.data);
  };
  const link = async () => {
    const answer = await post("/users/{id}/reset-link", { path });
    if (answer.ok) setGiven({ title: t("access.link.title"), link: answer.data.link, until: answer.data.expires_at, text: t("access.link.text", { name }) });
    return answer;
  };
  const generate = async () => {
    const yes = await confirm({ title: t("access.generate.title", { name }), text: t("access.generate.text"), yes: t("access.generate.yes"), danger: false });
    if (!yes) return;
    const password = invented();
    const answer = await patch("/users/{id}", { path, body: { password } });
    if (answer.ok) {
      change(answer.data);
      setGiven({ title: t("access.generated"), password, text: t("access.generated.text", { name }) });
    }
    return answer;
  };
  const clearPin = async () => {
    if (!await confirm({ title: t("access.pin.remove.title", { name }), text: t("access.pin.remove.text"), yes: t("access.pin.remove") })) return;
    const answer = await post("/users/{id}/pin", { path, body: /** @type {any} */ ({ pin: null }) });
    if (answer.ok) {
      await again();
      toast(t("access.pin.removed"));
    }
    return answer;
  };
  const close = () => setOpen(null);
  return html`<${Card} title=${t("access.title")}>
    <ul class="rows">
      <li><div><b>${t("password")}</b><span class="quiet">${t(one.has_password ? "access.password.has" : "access.password.none")}</span></div>
        ${write && html`<div class="actions">
          <${Act} act=${link}>${t("access.link")}<//>
          <button type="button" onClick=${() => setOpen("password")}>${t("access.password.set")}…</button>
          <${Act} act=${generate}>${t("access.generate")}…<//>
        </div>`}</li>
      <li><div><b>${t("pin")}</b><span class="quiet">${t(one.has_pin ? "access.pin.has" : "access.pin.none")}</span></div>
        ${write && html`<div class="actions">
          <button type="button" onClick=${() => setOpen("pin")}>${t(one.has_pin ? "access.pin.change" : "access.pin.set")}…</button>
          ${one.has_pin && html`<${Act} act=${clearPin}>${t("access.pin.remove")}…<//>`}
        </div>`}</li>
      <li><div><b>${t("access.last")}</b><span class="quiet"><${When} at=${one.last_login_at} /></span></div></li>
      <li><div><b>${t("email")}</b><span class="quiet">${!one.email ? t("none") : t(one.email_verified ? "email.verified" : "email.unverified")}</span></div></li>
    </ul>
    <${Dialog} open=${open !== null} onClose=${close} title=${open === "pin" ? t("access.pin.title", { name }) : t("access.password.title", { name })}>
      ${open === "pin"
        ? html`<${PinForm} one=${one} close=${close} done=${() => { close(); toast(t("pin.saved")); again(); }} />`
        : html`<${PasswordForm} one=${one} close=${close} done=${(/** @type {User} */ now) => { close(); toast(t("access.password.saved")); change(now); }} />`}
    <//>
    <${Dialog} open=${given !== null} onClose=${() => setGiven(null)} title=${given?.title}>
      <${Handover} ...${given} />
      <div class="actions"><button type="button" class="strong" onClick=${() => setGiven(null)}>${t("done")}</button></div>
    <//>
  <//>`;
}
