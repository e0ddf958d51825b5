// A new password by a letter's link, or the letter itself.
import { post } from "../lib/api.js";
import { aboutLink } from "../lib/enter.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../lib/forms.js";
import { html, useState } from "../lib/html.js";
import { Link, Title, take } from "../lib/router.js";
import { refresh } from "../lib/session.js";
import { Loaded, useLoad } from "../lib/ui.js";
import { t } from "../lib/words.js";

export default function Reset() {
  const [token] = useState(() => take("token"));
  return token ? html`<${Choose} token=${token} />` : html`<${Forgot} title=${t("reset.forgot")} text=${t("reset.forgot_text")} />`;
}

/** @param {{ token: string }} given */
function Choose({ token }) {
  const [done, setDone] = useState(false);
  const link = useLoad(() => aboutLink(token));
  const form = useForm({
    send: ({ new_password }) => post("/auth/reset-password", { body: { token, new_password } }),
    done: () => {
      setDone(true);
      refresh();
    },
  });
  if (done) {
    return html`<div class="card"><${Title}>${t("reset.done")}<//>
      <p>${t("reset.done_text")}</p>
      <p class="links"><${Link} to="/sign-in">${t("sign_in.title")}<//></p></div>`;
  }
  return html`<${Loaded} of=${link}>${(/** @type {any} */ told) => told.purpose !== "reset-password"
    ? html`<${Forgot} title=${t("link.used")} text=${t("reset.again_text")} />`
    : html`<div class="card">
      <${Title}>${t("reset.title")}<//>
      <p>${t("reset.for", { name: told.username })}</p>
      <${FormOf} form=${form}>
        <input class="unseen" type="text" autocomplete="username" value=${told.username} readonly tabindex="-1" aria-hidden="true" />
        <${PasswordField} form=${form} name="new_password" label=${t("password.new")} fresh />
        <${Submit} form=${form} class="full">${t("reset.button")}<//>
      <//>
    </div>`}<//>`;
}

/** @param {{ title: string, text: string }} given */
function Forgot({ title, text }) {
  const [sent, setSent] = useState(false);
  const form = useForm({
    send: ({ email }) => post("/auth/forgot-password", { body: { email } }),
    done: () => setSent(true),
  });
  if (sent) return html`<div class="card"><${Title}>${t("letter.sent")}<//><p>${t("reset.sent_text")}</p></div>`;
  return html`<div class="card">
    <${Title}>${title}<//>
    <p>${text}</p>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="email" type="email" label=${t("email")} autocomplete="email" />
      <${Submit} form=${form} class="full">${t("reset.send")}<//>
    <//>
    <p class="links"><${Link} to="/sign-in">${t("sign_in.title")}<//></p>
  </div>`;
}
