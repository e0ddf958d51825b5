// One role: what it is for and what it grants.
import { get, post, put, remove } from "../../lib/api.js";
import { Field, FormOf, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Link, Title, go } from "../../lib/router.js";
import { may, refresh, user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Card, Loaded, confirm, useLoad } from "../../lib/ui.js";
import { t } from "../../lib/words.js";
import { covers } from "./parts.js";
import { Rights } from "../rights.js";
import { Marks, about } from "./roles.js";

/** @typedef {import("../../types").Schemas["Role"]} Role */

/** What one may not grant, since one may not do it.
 * @param {string} name */
const locked = (name) => !covers([name]);

/** What there is to tick besides the house's own: the names that roles have here already. */
const offered = () => user.value?.permissions ?? [];

function NewRole() {
  const [chosen, setChosen] = useState(/** @type {string[]} */ ([]));
  const form = useForm({
    send: ({ name, description }) => post("/roles", { body: { name, description, permissions: chosen } }),
    done: (/** @type {Role} */ { name }) => {
      go("/admin/roles");
      toast(t("roles.made", { name }));
      refresh();
    },
  });
  return html`<${Title}>${t("roles.new")}<//>
    <${Card}><${FormOf} form=${form}>
      <${Field} form=${form} name="name" label=${t("role.name")} hint=${t("role.name.hint")} maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false" />
      <${Field} form=${form} name="description" label=${t("role.description")} optional maxlength="500" autocomplete="off" />
      <${Rights} chosen=${chosen} onChange=${setChosen} offered=${offered()} locked=${locked} add />
      <${Submit} form=${form}>${t("roles.make")}<//>
    <//><//>`;
}

/** @param {{ role: Role, change: (role: Role) => void }} given */
function RoleForm({ role, change }) {
  const [chosen, setChosen] = useState(role.permissions);
  const form = useForm({
    send: ({ description }) => put("/roles/{name}", { path: { name: role.name }, body: { description, permissions: chosen } }),
    done: (data) => {
      change(data);
      toast(t("saved"));
      refresh();
    },
  });
  const end = async () => {
    const yes = await confirm({ title: t("role.delete.title", { name: role.name }), text: t("role.delete.text"), yes: t("role.delete") });
    if (!yes) return;
    const answer = await remove("/roles/{name}", { path: { name: role.name } });
    if (answer.ok) {
      go("/admin/roles", { replace: true });
      toast(t("role.deleted", { name: role.name }));
    }
    return answer;
  };
  return html`<${Card}><${FormOf} form=${form}>
      <${Field} form=${form} name="description" label=${t("role.description")} defaultValue=${role.description} optional maxlength="500" autocomplete="off" />
      <${Rights} chosen=${chosen} onChange=${setChosen} offered=${offered()} locked=${locked} add />
      <p class="quiet small">${t("role.counts")}</p>
      <${Submit} form=${form}>${t("save")}<//>
    <//><//>
    <${Card} title=${t("role.delete")} about=${t("role.delete.about")}>
      <${Act} class="danger-line" act=${end}>${t("role.delete")}…<//>
    <//>`;
}

/** @param {{ role: Role }} given */
function Fixed({ role }) {
  return html`<${Card}>
    ${role.built_in && html`<p class="quiet">${t("role.fixed")}</p>`}
    ${role.name === "admin" ? html`<p>${t("role.everything.about")}</p>`
      : role.permissions.length ? html`<${Rights} chosen=${role.permissions} only=${role.permissions} />` : html`<p>${t("role.nothing")}</p>`}
  <//>`;
}

/** @param {{ name: string }} given */
function Known({ name }) {
  const role = useLoad(() => get("/roles/{name}", { path: { name } }), [name]);
  const change = (/** @type {Role} */ one) => void (role.data.value = one);
  return html`<${Title}>${name}<//>
    <${Loaded} of=${role}>${(/** @type {Role} */ one) => html`
      <p class="lead">${about(one)} <${Marks} role=${one} /></p>
      ${one.built_in || !may("roles-write") || !covers(one.permissions) ? html`<${Fixed} role=${one} />` : html`<${RoleForm} role=${one} change=${change} />`}`}<//>`;
}

/** @param {{ params: Record<string, string> }} given */
export default function RolePage({ params: { name } }) {
  return html`<div class="column">
    <p class="links back"><${Link} to="/admin/roles">${t("roles.all")}<//></p>
    ${/* No role can be called so. */ name === "+" ? html`<${NewRole} />` : html`<${Known} name=${name} />`}
  </div>`;
}
