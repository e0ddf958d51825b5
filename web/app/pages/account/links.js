// Accounts elsewhere that sign in here.
import { get, post, remove } from "../../lib/api.js";
import { FormOf, PasswordField, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { root } from "../../lib/place.js";
import { Title, focusHeading, take } from "../../lib/router.js";
import { house, user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Card, Dialog, Loaded, confirm, useLoad } from "../../lib/ui.js";
import { ago, day, maybe, t } from "../../lib/words.js";

/** @typedef {import("../../types").Schemas["Identity"]} Identity */
/** @typedef {import("../../types").Schemas["Provider"]} Provider */

export default function Links() {
  const [error] = useState(() => take("error"));
  const [wanted, setWanted] = useState(/** @type {Provider | null} */ (null));
  const links = useLoad(() => get("/user/identities"));
  // Google signs in those who have no password, and is never linked.
  const providers = (house.value?.providers ?? []).filter(({ name }) => name !== "google");
  const called = (/** @type {string} */ name) =>
    house.value?.providers.find((one) => one.name === name)?.display_name ?? name;
  const unlink = async (/** @type {Identity} */ { id, provider }) => {
    const name = called(provider);
    if (!await confirm({ title: t("links.remove_ask", { name }), text: t("links.remove_text", { name }), yes: t("remove") })) return;
    return remove("/user/identities/{id}", { path: { id } });
  };
  return html`<div class="column">
    <${Title}>${t("account.links")}<//>
    <p class="lead">${t("links.about")}</p>
    ${error && html`<div class="notice bad" role="alert"><p>${maybe(`links.error.${error}`, maybe(`sign_in.error.${error}`, t("sign_in.error.refused")))}</p></div>`}
    <${Card}><${Loaded} of=${links}>${(/** @type {{ data: Identity[] }} */ { data }) => data.length
      ? html`<ul class="rows">${data.map((one) => html`<li key=${one.id}>
        <div><b>${called(one.provider)}</b><span class="quiet">${one.email ?? one.subject}</span>
          <br /><span class="quiet">${t("links.times", { since: day(one.created_at), used: ago(one.last_used_at) })}</span></div>
        <${Act} class="danger-line" act=${() => unlink(one)} done=${() => {
          toast(t("links.removed"));
          focusHeading();
          links.reload();
        }} aria-label=${t("links.remove_ask", { name: called(one.provider) })}>${t("remove")}<//>
      </li>`)}</ul>`
      : html`<p class="empty quiet">${t(providers.length ? "links.none" : "links.none_offered")}</p>`}<//>
    <//>
    ${providers.length > 0 && html`<${Card} title=${t("links.add")}><div class="actions">
      ${providers.map((provider) => html`<button type="button" key=${provider.name} onClick=${() => setWanted(provider)}>${t("links.with", { provider: provider.display_name })}</button>`)}
    </div><//>`}
    <${Dialog} open=${wanted !== null} onClose=${() => setWanted(null)} title=${wanted && t("links.with", { provider: wanted.display_name })}>
      ${wanted && html`<${Leave} provider=${wanted} cancel=${() => setWanted(null)} />`}
    <//>
  </div>`;
}

/** @param {{ provider: Provider, cancel: () => void }} given */
function Leave({ provider, cancel }) {
  const form = useForm({
    send: ({ current_password }) => post("/user/identities", {
      body: { provider: provider.name, to: `${root.pathname}account/links`, ...(current_password && { current_password }) },
    }),
    done: ({ location: way }) => location.assign(way),
  });
  return html`<p>${t("links.leave", { provider: provider.display_name })}</p>
    <${FormOf} form=${form}>
      ${user.value?.has_password && html`<${PasswordField} form=${form} name="current_password" label=${t("password.current")} />`}
      <div class="actions"><button type="button" onClick=${cancel}>${t("cancel")}</button><${Submit} form=${form}>${t("links.go")}<//></div>
    <//>`;
}
