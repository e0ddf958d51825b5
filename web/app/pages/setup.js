// The first run: the account that looks after all others, and what is good to do next.
import { get, post } from "../lib/api.js";
import { enter } from "../lib/enter.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../lib/forms.js";
import { html } from "../lib/html.js";
import { Link, Title } from "../lib/router.js";
import { house, refresh, user } from "../lib/session.js";
import { Card, Loaded, useLoad } from "../lib/ui.js";
import { t } from "../lib/words.js";

export default function Setup() {
  return house.value?.setup_required ? html`<${First} />` : html`<${Checklist} />`;
}

function First() {
  const form = useForm({
    send: async ({ username, email, password, setup_token }) => {
      const made = await post("/setup/initialize", { body: { username, email, password, ...(setup_token && { setup_token }) } });
      if (!made.ok) return made;
      await enter({ username, password }, made.data.token);
      // The account is there, whatever comes of the sign-in: the house tells how to go on.
      return refresh();
    },
  });
  return html`<div class="card">
    <${Title}>${t("setup.title")}<//>
    <p>${t("setup.text")}</p>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="username" label=${t("username")} hint=${t("username.hint")} autocomplete="username" autocapitalize="none" spellcheck="false" />
      <${Field} form=${form} name="email" type="email" label=${t("email")} autocomplete="email" />
      <${PasswordField} form=${form} name="password" label=${t("password")} fresh />
      ${house.value?.setup_token_required && html`<${Field} form=${form} name="setup_token" label=${t("setup.token")} hint=${t("setup.token_hint")} autocomplete="off" autocapitalize="none" spellcheck="false" />`}
      <${Submit} form=${form} class="full">${t("setup.button")}<//>
    <//>
  </div>`;
}

function Checklist() {
  const system = useLoad(() => get("/system"));
  return html`<div class="column">
    <${Title}>${t("checklist.title")}<//>
    <p class="lead">${t("checklist.text")}</p>
    <${Loaded} of=${system}>${(/** @type {import("../types").Schemas["System"]} */ { accounts, warnings }) => {
      const told = (/** @type {string} */ kind) => warnings.some((one) => one.kind === kind);
      return html`<${Card}><ol class="rows checklist">
        <${Step} done title=${t("checklist.admin")} text=${t("checklist.admin_text", { name: user.value?.username })} />
        <${Step} done=${!told("no_public_url")} title=${t("checklist.address")} text=${t("checklist.address_text")} />
        <${Step} done=${!told("no_mail_server")} title=${t("checklist.letters")} text=${t("checklist.letters_text")} />
        <${Step} done=${accounts > 1} title=${t("checklist.people")} text=${t("checklist.people_text")} to="/admin/invitations" way=${t("checklist.people_way")} />
        <${Step} done=${user.value?.has_pin} title=${t("checklist.pin")} text=${t("checklist.pin_text")} to="/account/security" way=${t("checklist.pin_way")} />
        <${Step} title=${t("checklist.backup")} text=${t("checklist.backup_text")} to="/admin/system" way=${t("checklist.backup_way")} />
      </ol><//>`;
    }}<//>
    <p class="links"><${Link} to="/">${t("to_home")}<//></p>
  </div>`;
}

/** @param {any} given */
function Step({ done = false, title, text, to, way }) {
  return html`<li>
    <div><b><span class="tick ${done ? "good" : ""}" aria-hidden="true">${done ? "✓" : ""}</span>${title}${done && html`<span class="unseen"> (${t("done")})</span>`}</b>
    <span class="quiet">${text}</span></div>
    ${!done && to && html`<${Link} to=${to} class="button">${way}<//>`}
  </li>`;
}
