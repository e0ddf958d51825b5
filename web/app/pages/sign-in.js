// Signing in.
import { html } from "../lib/html.js";
import { post } from "../lib/api.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../lib/forms.js";
import { Link, Title } from "../lib/router.js";
import { signedIn } from "../lib/session.js";
import { t } from "../lib/words.js";

export default function SignIn() {
  const form = useForm({
    send: ({ username, password }) => post("/auth/session", { body: { username, password } }),
    done: ({ user }) => signedIn(user),
  });
  return html`<div class="card">
    <${Title}>${t("sign_in.title")}<//>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="username" label=${t("sign_in.name")} autocomplete="username" autocapitalize="none" spellcheck="false" />
      <${PasswordField} form=${form} name="password" label=${t("password")} />
      <${Submit} form=${form} class="full">${t("sign_in.title")}<//>
    <//>
    <p class="links"><${Link} to="/reset">${t("sign_in.forgot")}<//></p>
  </div>`;
}
