// Somebody new: an account by one of three ways to its first password, or an invitation by letter.
import { post } from "../../lib/api.js";
import { Field, FormOf, PasswordField, Select, Submit, explain, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Link, Title } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Card } from "../../lib/ui.js";
import { t } from "../../lib/words.js";
import { DEFAULT_ROLE, Handover, asOptions, useRoleNames } from "./parts.js";

/** @typedef {"link" | "generated" | "password" | "letter"} Way */

/** Letters and digits that nobody takes for one another. */
const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";

/** Sixteen of them in groups: about 79 bits. */
export function invented() {
  const bytes = [];
  // Those that would prefer some letters are left out.
  const even = 256 - (256 % LETTERS.length);
  while (bytes.length < 16) bytes.push(...[...crypto.getRandomValues(new Uint8Array(32))].filter((byte) => byte < even));
  const text = bytes.slice(0, 16).map((byte) => LETTERS[byte % LETTERS.length]).join("");
  return text.replace(/(.{4})(?=.)/g, "$1-");
}

/** @param {Way} way @param {Record<string, string>} values */
async function make(way, values) {
  const { username, email, display_name, role } = values;
  if (way === "letter") {
    const answer = await post("/invitations", { body: { email, role } });
    if (!answer.ok) return answer;
    const { link, expires_at } = answer.data;
    return { ...answer, data: { link, until: expires_at, text: t("new_person.invited", { email }) } };
  }
  const password = way === "generated" ? invented() : way === "password" ? values.password : undefined;
  const answer = await post("/users", {
    body: { username, email: email || undefined, display_name: display_name || undefined, role, password },
  });
  if (!answer.ok) return answer;
  const { id } = answer.data;
  const made = { id, text: t("new_person.made", { username }) };
  if (way === "generated") return { ...answer, data: { ...made, password, text: t("new_person.made_password", { username }) } };
  if (way !== "link") return { ...answer, data: made };
  const link = await post("/users/{id}/reset-link", { path: { id } });
  // The account is there all the same, and its page makes another link.
  if (!link.ok) toast(explain(link.problem), "bad");
  return { ...answer, data: link.ok ? { ...made, link: link.data.link, until: link.data.expires_at, text: t("new_person.made_link", { username }) } : made };
}

/** @param {{ way: Way, setWay: (way: Way) => void }} given */
function Ways({ way, setWay }) {
  /** @type {Way[]} */
  const ways = ["link", "generated", "password"];
  if (may("invitations-write")) ways.push("letter");
  return html`<fieldset>
    <legend>${t("new_person.way")}</legend>
    ${ways.map((name) => html`<label class="choice" key=${name}>
      <input type="radio" name="way" value=${name} checked=${name === way} onChange=${() => setWay(name)} />
      <span>${t(`new_person.way.${name}`)}<span class="quiet small">${t(`new_person.way.${name}.about`)}</span></span>
    </label>`)}
  </fieldset>`;
}

/** @param {{ made: any, again: () => void }} given */
function Made({ made, again }) {
  return html`<${Card}>
    ${made.link || made.password ? html`<${Handover} ...${made} />` : html`<p>${made.text}</p>`}
    <div class="actions">
      ${made.id ? html`<${Link} to="/admin/people/${made.id}" class="button strong">${t("new_person.open")}<//>`
        : html`<${Link} to="/admin/invitations" class="button strong">${t("admin.invitations")}<//>`}
      <button type="button" onClick=${again}>${t("new_person.again")}</button>
    </div>
  <//>`;
}

export function NewPerson() {
  const [way, setWay] = useState(/** @type {Way} */ ("link"));
  const [role, setRole] = useState(DEFAULT_ROLE);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const roles = useRoleNames(DEFAULT_ROLE);
  const form = useForm({ send: (values) => make(way, values), done: setMade });
  const letter = way === "letter";
  return html`<div class="column">
    <p class="links back"><${Link} to="/admin/people">${t("people.all")}<//></p>
    <${Title}>${t("people.new")}<//>
    ${made ? html`<${Made} made=${made} again=${() => setMade(null)} />` : html`<${Card}><${FormOf} form=${form}>
      <${Ways} way=${way} setWay=${setWay} />
      ${!letter && html`<${Field} form=${form} name="username" label=${t("username")} hint=${t("username.hint")} autocomplete="off" autocapitalize="none" spellcheck="false" />
        <${Field} form=${form} name="display_name" label=${t("display_name")} optional autocomplete="off" />`}
      <${Field} key="email" form=${form} name="email" type="email" label=${t("email")} optional=${!letter} autocomplete="off" />
      <${Select} form=${form} name="role" label=${t("role")} options=${asOptions(roles)} value=${role}
        onChange=${(/** @type {any} */ event) => setRole(event.currentTarget.value)} />
      ${way === "password" && html`<${PasswordField} form=${form} name="password" label=${t("password")} fresh />`}
      <${Submit} form=${form}>${t(letter ? "new_person.invite" : "new_person.create")}<//>
    <//><//>`}
  </div>`;
}
