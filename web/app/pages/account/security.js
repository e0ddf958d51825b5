// The password and the PIN.
import { post } from "../../lib/api.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Title } from "../../lib/router.js";
import { user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Card } from "../../lib/ui.js";
import { t } from "../../lib/words.js";

/** @typedef {import("../../lib/session.js").Schemas["User"]} User */

export default function Security() {
  const me = user.value;
  if (!me) return null;
  return html`<div class="column">
    <${Title}>${t("account.security")}<//>
    <${Password} me=${me} />
    <${Pin} me=${me} />
  </div>`;
}

/** So that a password manager knows whose password it keeps.
 * @param {{ me: User }} given */
const Whose = ({ me }) =>
  html`<input class="unseen" type="text" autocomplete="username" value=${me.username} readonly tabindex="-1" aria-hidden="true" />`;

/** @param {{ me: User }} given */
function Password({ me }) {
  const form = useForm({
    send: ({ current_password, new_password }) =>
      post("/user/password", { body: { new_password, ...(current_password && { current_password }) } }),
    done: () => {
      form.reset();
      user.value = { ...me, has_password: true };
      toast(t("password.changed"));
    },
  });
  return html`<${Card} title=${t("password")} about=${t("password.about")}>
    <${FormOf} form=${form}>
      <${Whose} me=${me} />
      ${me.has_password && html`<${PasswordField} form=${form} name="current_password" label=${t("password.current")} />`}
      <${PasswordField} form=${form} name="new_password" label=${t("password.new")} fresh />
      <${Submit} form=${form}>${t("password.change")}<//>
    <//>
  <//>`;
}

/** @param {{ me: User }} given */
function Pin({ me }) {
  const [removing, setRemoving] = useState(false);
  const form = useForm({
    send: ({ current_password, pin }) =>
      post("/user/pin", { body: { pin: /** @type {any} */ (removing ? null : pin), ...(current_password && { current_password }) } }),
    done: () => {
      form.reset();
      user.value = { ...me, has_pin: !removing };
      toast(t(removing ? "pin.removed" : "pin.saved"));
      setRemoving(false);
    },
  });
  return html`<${Card} title=${t("pin")} about=${t("pin.about")}>
    <p>${t(me.has_pin ? "pin.set" : "pin.unset")}</p>
    <${FormOf} form=${form} key=${removing}>
      <${Whose} me=${me} />
      ${!removing && html`<${Field} form=${form} name="pin" type="password" inputmode="numeric" label=${t("pin.new")} hint=${t("pin.hint")} autocomplete="off" maxlength="12" />`}
      ${me.has_password && html`<${PasswordField} form=${form} name="current_password" label=${t("password.current")} />`}
      <div class="actions">
        <${Submit} form=${form} class=${removing ? "danger" : ""}>${t(removing ? "pin.remove" : me.has_pin ? "pin.change" : "pin.save")}<//>
        ${me.has_pin && html`<button type="button" class=${removing ? "" : "danger-line"} onClick=${() => setRemoving(!removing)}>${t(removing ? "cancel" : "pin.remove")}</button>`}
      </div>
    <//>
  <//>`;
}
