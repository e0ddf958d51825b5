// Making an account: by invitation, or as far as the house lets everybody.
import { post } from "../lib/api.js";
import { aboutLink, enter } from "../lib/enter.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../lib/forms.js";
import { html, useState } from "../lib/html.js";
import { Link, Title, go, path, take } from "../lib/router.js";
import { house, signedIn } from "../lib/session.js";
import { Loaded, useLoad } from "../lib/ui.js";
import { t } from "../lib/words.js";

export default function Register() {
  const [token] = useState(() => take("token"));
  if (token) return html`<${Invited} token=${token} />`;
  if (path.value === "/invite") return html`<${Stop} title=${t("link.missing")} text=${t("register.missing")} />`;
  if (house.value?.registration_mode === "closed") {
    return html`<${Stop} title=${t("register.closed")} text=${t("register.closed_text")} />`;
  }
  return html`<${Open} title=${t("register.title")} />`;
}

/** @param {{ token: string }} given */
function Invited({ token }) {
  const link = useLoad(() => aboutLink(token));
  return html`<${Loaded} of=${link}>${(/** @type {any} */ told) => told.purpose === "invitation"
    ? html`<${Open} title=${t("register.invited")} text=${t("register.invited_text")} email=${told.email} invitation=${token} />`
    : html`<${Stop} title=${t("register.used")} text=${t("register.used_text")} />`}<//>`;
}

/** @param {any} given */
function Stop({ title, text }) {
  return html`<div class="card">
    <${Title}>${title}<//>
    <p>${text}</p>
    <p class="links"><${Link} to="/sign-in">${t("sign_in.title")}<//></p>
  </div>`;
}

/** @param {any} given */
function Open({ title, text, email, invitation }) {
  const [pending, setPending] = useState(/** @type {any} */ (null));
  const form = useForm({
    send: ({ username, email, password }) =>
      post("/auth/register", { body: { username, email, password, ...(invitation && { invitation }) } }),
    done: async ({ user, token }, values) => {
      if (!token) return setPending(user);
      const entered = await enter({ username: values.username, password: values.password }, token);
      if (entered.ok) signedIn(entered.data.user);
      go("/", { replace: true });
    },
  });
  if (pending) {
    return html`<div class="card">
      <${Title}>${t("register.pending")}<//>
      <p>${t("register.pending_text", { name: pending.username, email: pending.email })}</p>
      <p class="quiet">${t("register.pending_hint")}</p>
    </div>`;
  }
  return html`<div class="card">
    <${Title}>${title}<//>
    ${text && html`<p>${text}</p>`}
    <${FormOf} form=${form}>
      <${Field} form=${form} name="username" label=${t("username")} hint=${t("username.hint")} autocomplete="username" autocapitalize="none" spellcheck="false" />
      <${Field} form=${form} name="email" type="email" label=${t("email")} value=${email} readonly=${Boolean(email)} autocomplete="email" />
      <${PasswordField} form=${form} name="password" label=${t("password")} fresh />
      <${Submit} form=${form} class="full">${t("register.button")}<//>
    <//>
    <p class="links"><${Link} to="/sign-in">${t("register.have_one")}<//></p>
  </div>`;
}
