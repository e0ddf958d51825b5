// What people may do, by the name of a role.
import { get } from "../../lib/api.js";
import { html } from "../../lib/html.js";
import { Link, Title } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { Badge, Card, Loaded, Table, useLoad } from "../../lib/ui.js";
import { count, maybe, t } from "../../lib/words.js";
import { DEFAULT_ROLE } from "./parts.js";

/** @typedef {import("../../types").Schemas["Role"]} Role */

/** What a role is for; those that come with the house are told in the reader's language.
 * @param {Role} role */
export const about = ({ name, description, built_in }) => (built_in ? maybe(`role.about.${name}`, description) : description);

/** @param {{ role: Role }} given */
export const Marks = ({ role }) => html`
  ${role.built_in && html` <${Badge}>${t("role.built_in")}<//>`}
  ${role.name === DEFAULT_ROLE && html` <${Badge}>${t("role.default")}<//>`}`;

export default function Roles() {
  const roles = useLoad(() => get("/roles"));
  const columns = [
    { title: t("role.name"), main: true, of: (/** @type {Role} */ role) => html`<${Link} to="/admin/roles/${role.name}">${role.name}<//> <${Marks} role=${role} />` },
    { title: t("role.description"), of: (/** @type {Role} */ role) => about(role) || html`<span class="quiet">–</span>` },
    { title: t("role.rights"), of: (/** @type {Role} */ role) => role.name === "admin" ? t("role.everything") : count("role.count", role.permissions.length) },
    ...(may("users-read") ? [{ title: t("admin.people"), actions: true, of: (/** @type {Role} */ role) => html`<${Link} to="/admin/people?role=${role.name}" aria-label=${t("role.people.of", { name: role.name })}>${t("admin.people")}<//>` }] : []),
  ];
  return html`<div class="page-head">
      <${Title}>${t("admin.roles")}<//>
      ${may("roles-write") && html`<div class="actions"><${Link} to="/admin/roles/+" class="button strong">${t("roles.new")}<//></div>`}
    </div>
    <p class="lead">${t("roles.about")}</p>
    <${Card}>
      <${Loaded} of=${roles}>${(/** @type {{ data: Role[] }} */ { data }) => html`
        <${Table} columns=${columns} rows=${data} caption=${t("admin.roles")} keyOf=${(/** @type {Role} */ role) => role.name} />`}<//>
    <//>`;
}
