// What a letter's link is about happens once its owner says so.
import { post } from "../lib/api.js";
import { aboutLink } from "../lib/enter.js";
import { Field, FormOf, Submit, useForm } from "../lib/forms.js";
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
    return html`<div class="card">
      <${Title}>${t(`verify.${which}.title`)}<//>
      <p>${t(`verify.${which}.text`)}</p>
      <dl><dt>${t("username")}</dt><dd><b>${told.username}</b></dd><dt>${t("email")}</dt><dd><b>${told.email}</b></dd></dl>
      <p class="quiet apart">${t(`verify.${which}.care`)}</p>
      <${Act} class="strong full" act=${() => post("/auth/verify-email", { body: { token } })} done=${() => {
        setDone(true);
        refresh();
      }}>${t(`verify.${which}.title`)}<//>
    </div>`;
  }}<//>`;
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
