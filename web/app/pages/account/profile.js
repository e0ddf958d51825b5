// My account: the name that others read, the address, what I may do.
import { patch, post } from "../../lib/api.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Title } from "../../lib/router.js";
import { user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card } from "../../lib/ui.js";
import { day, t } from "../../lib/words.js";

export default function Profile() {
  const me = user.value;
  if (!me) return null;
  return html`<div class="column">
    <${Title}>${t("nav.account")}<//>
    <${Name} me=${me} />
    <${Address} me=${me} />
    <${Card} title=${t("profile.facts")}>
      <dl>
        <dt>${t("username")}</dt><dd>${me.username}</dd>
        <dt>${t("role")}</dt><dd>${me.role}</dd>
        <dt>${t("profile.since")}</dt><dd>${day(me.created_at)}</dd>
        <dt>${t("profile.may")}</dt><dd>${me.permissions.length
          ? html`<ul class="tags">${me.permissions.map((name) => html`<li><code>${name}</code></li>`)}</ul>`
          : t("profile.may_nothing")}</dd>
      </dl>
    <//>
  </div>`;
}

/** @param {{ me: import("../../lib/session.js").Schemas["User"] }} given */
function Name({ me }) {
  const form = useForm({
    send: ({ display_name }) => patch("/user", { body: { display_name } }),
    done: (data) => {
      user.value = data;
      toast(t("saved"));
    },
  });
  return html`<${Card} title=${t("profile.name")}>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="display_name" label=${t("display_name")} hint=${t("display_name.hint")} value=${me.display_name} optional autocomplete="name" maxlength="128" />
      <${Submit} form=${form}>${t("save")}<//>
    <//>
  <//>`;
}

/** @param {{ me: import("../../lib/session.js").Schemas["User"] }} given */
function Address({ me }) {
  const [sent, setSent] = useState("");
  const form = useForm({
    send: ({ email, current_password }) =>
      post("/user/email", { body: { email, ...(current_password && { current_password }) } }),
    done: (_, { email }) => {
      setSent(email);
      form.reset();
    },
  });
  return html`<${Card} title=${t("email")}>
    <p>${me.email ?? t("none")} ${me.email && html`<${Badge} kind=${me.email_verified ? "good" : "wait"}>${t(me.email_verified ? "email.verified" : "email.unverified")}<//>`}</p>
    ${me.email && !me.email_verified && html`<p><${Act} act=${() => post("/auth/resend-verification", { body: { email: me.email ?? "" } })} done=${() => toast(t("profile.resent"))}>${t("verify.again_button")}<//></p>`}
    ${sent && html`<div class="notice good" role="status"><p>${t("profile.letter_sent", { email: sent })}</p></div>`}
    <${FormOf} form=${form}>
      <${Field} form=${form} name="email" type="email" label=${t("profile.new_email")} hint=${t("profile.new_email_hint")} autocomplete="email" />
      ${me.has_password && html`<${PasswordField} form=${form} name="current_password" label=${t("password.current")} />`}
      <${Submit} form=${form}>${t("profile.change_email")}<//>
    <//>
  <//>`;
}
