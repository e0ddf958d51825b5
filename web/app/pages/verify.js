// What a letter's link is about happens once its owner says so.
import { post } from "../lib/api.js";
import { aboutLink } from "../lib/enter.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../lib/forms.js";
import { html, useState } from "../lib/html.js";
import { Link, Title, take } from "../lib/router.js";
import { refresh, user } from "../lib/session.js";
import { Act, Loaded, useLoad } from "../lib/ui.js";
import { t } from "../lib/words.js";

/** Which texts a purpose has. */
const TEXTS = /** @type {const} */ ({
  "verify-email": "verify",
  activate: "activate",
  "change-email": "change",
});

export default function Verify() {
  const [token] = useState(() => take("token"));
  if (!token) return html`<${Again} title=${t("link.missing")} />`;
  return html`<${Asked} token=${token} />`;
}

/** @param {{ token: string }} given */
function Asked({ token }) {
  const [done, setDone] = useState(false);
  const link = useLoad(() => aboutLink(token));
  return html`<${Loaded} of=${link}>${(/** @type {any} */ told) => {
    const which = TEXTS[/** @type {keyof typeof TEXTS} */ (told.purpose)];
    if (!which) return html`<${Again} title=${t("link.used")} />`;
    if (done) {
      return html`<div class="card"><${Title}>${t("verify.done")}<//>
        <p>${t(`verify.${which}.done`)}</p>
        <p class="links"><${Link} to=${user.value ? "/account" : "/sign-in"}>${t(user.value ? "nav.account" : "sign_in.title")}<//></p></div>`;
    }
    // An address may have been registered by somebody else, who would come in by their own password
    // ever after: the link shows whose the address is, the password who made the account.
    const mine = which === "change" || user.value?.username === told.username || !told.has_password;
    const finish = () => {
      setDone(true);
      refresh();
    };
    return html`<div class="card">
      <${Title}>${t(`verify.${which}.title`)}<//>
      <p>${t(`verify.${which}.text`)}</p>
      <dl><dt>${t("username")}</dt><dd><b>${told.username}</b></dd><dt>${t("email")}</dt><dd><b>${told.email}</b></dd></dl>
      <p class="quiet apart">${t(`verify.${which}.care`)}</p>
      ${mine
        ? html`<${Act} class="strong full" act=${() => post("/auth/verify-email", { body: { token } })} done=${finish}>${t(`verify.${which}.title`)}<//>`
        : html`<${Proven} token=${token} name=${told.username} which=${which} done=${finish} />`}
    </div>`;
  }}<//>`;
}

/** @param {{ token: string, name: string, which: "verify" | "activate", done: () => void }} given */
function Proven({ token, name, which, done }) {
  const form = useForm({ send: ({ password }) => post("/auth/verify-email", { body: { token, password } }), done });
  return html`<${FormOf} form=${form}>
    <input class="unseen" type="text" autocomplete="username" value=${name} readonly tabindex="-1" aria-hidden="true" />
    <${PasswordField} form=${form} name="password" label=${t("password")} hint=${t("verify.password")} />
    <${Submit} form=${form} class="full">${t(`verify.${which}.title`)}<//>
  <//>
  ${which === "verify" && html`<p class="links"><${Link} to="/reset">${t("verify.not_mine")}<//></p>`}`;
}

/** @param {{ title: string }} given */
function Again({ title }) {
  const [sent, setSent] = useState(false);
  const form = useForm({
    send: ({ email }) => post("/auth/resend-verification", { body: { email } }),
    done: () => setSent(true),
  });
  if (sent) return html`<div class="card"><${Title}>${t("letter.sent")}<//><p>${t("verify.sent_text")}</p></div>`;
  return html`<div class="card">
    <${Title}>${title}<//>
    <p>${t("verify.again_text")}</p>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="email" type="email" label=${t("email")} autocomplete="email" />
      <${Submit} form=${form} class="full">${t("verify.again_button")}<//>
    <//>
    <p class="links"><${Link} to="/sign-in">${t("sign_in.title")}<//></p>
  </div>`;
}
