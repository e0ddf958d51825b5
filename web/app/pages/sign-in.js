// Signing in: by password, by PIN on a pad, or through a provider.
import { post } from "../lib/api.js";
import { choices, remember, remembered, wayOut } from "../lib/enter.js";
import { Field, FormOf, PasswordField, Submit, useForm } from "../lib/forms.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { keep, kept } from "../lib/place.js";
import { Link, Title, take } from "../lib/router.js";
import { ended, goesOut, house, signedIn } from "../lib/session.js";
import { Loaded, useLoad } from "../lib/ui.js";
import { maybe, t } from "../lib/words.js";

export default function SignIn() {
  const pad = choices().length > 0;
  const [way, setWay] = useState(pad && kept("way") === "pin" ? "pin" : "password");
  const [error] = useState(() => take("error"));
  const turn = (/** @type {string} */ to) => {
    setWay(to);
    keep("way", to === "pin" ? to : null);
  };
  return html`<div class="card">
    <${Title}>${t("sign_in.title")}<//>
    ${error && html`<div class="notice bad" role="alert"><p>${maybe(`sign_in.error.${error}`, t("sign_in.error.refused"))}</p></div>`}
    ${ended.value && html`<div class="notice wait" role="status"><p>${t("sign_in.ended")}</p></div>`}
    ${way === "pin" ? html`<${ByPin} other=${() => turn("password")} />` : html`<${ByPassword} />`}
    ${way === "password" && html`<${Providers} pin=${pad && (() => turn("pin"))} />
    <p class="links">
      <${Link} to="/reset">${t("sign_in.forgot")}<//>
      ${house.value?.registration_mode !== "closed" && html`<${Link} to="/register">${t("sign_in.register")}<//>`}
    </p>`}
  </div>`;
}

/** The pad comes when somebody wants it.
 * @param {any} given */
function ByPin(given) {
  const pad = useLoad(async () => {
    const { Pad } = await import("./pad.js");
    return { ok: /** @type {const} */ (true), status: 200, data: Pad };
  });
  return html`<${Loaded} of=${pad}>${(/** @type {any} */ Pad) => html`<${Pad} ...${given} />`}<//>`;
}

function ByPassword() {
  const [last] = remembered();
  const remembers = useRef(/** @type {HTMLInputElement | null} */ (null));
  const form = useForm({
    send: ({ username, password }) => post("/auth/session", { body: { username, password } }),
    done: ({ user }) => {
      remember(user, remembers.current?.checked ?? false);
      signedIn(user);
    },
  });
  useEffect(() => {
    // Only where it is certain that nobody reads something else first.
    if (!matchMedia("(pointer: coarse)").matches) {
      const field = last ? "password" : "username";
      /** @type {HTMLElement | null} */ (form.element.current?.elements.namedItem(field))?.focus();
    }
  }, []);
  return html`<${FormOf} form=${form}>
    <${Field} form=${form} name="username" label=${t("sign_in.name")} value=${last?.username} autocomplete="username" autocapitalize="none" spellcheck="false" />
    <${PasswordField} form=${form} name="password" label=${t("password")} />
    <label class="choice"><input type="checkbox" ref=${remembers} defaultChecked=${Boolean(last)} />${t("sign_in.remember")}</label>
    <${Submit} form=${form} class="full">${t("sign_in.title")}<//>
  <//>`;
}

/** @param {{ pin: false | (() => void) }} given */
function Providers({ pin }) {
  const providers = house.value?.providers ?? [];
  if (!providers.length && !pin) return null;
  return html`<ul class="other-ways" aria-label=${t("sign_in.others")}>
    ${pin && html`<li><button type="button" class="full" onClick=${pin}>${t("sign_in.by_pin")}</button></li>`}
    ${providers.map(({ name, display_name, login_url }) => html`<li key=${name}>
      <a class="button full" href=${wayOut(login_url)} onClick=${goesOut}>${t("sign_in.with", { provider: display_name })}</a>
    </li>`)}
  </ul>`;
}
