// One account: who it is, how they get in, where they are signed in, and its end.
import { get, patch, remove } from "../../lib/api.js";
import { Field, FormOf, Select, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Link, Title, focusHeading, go } from "../../lib/router.js";
import { may, user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Card, Loaded, confirm, useLoad } from "../../lib/ui.js";
import { moment, t } from "../../lib/words.js";
import { KeyList } from "../account/key-list.js";
import { Access } from "./access.js";
import { NewPerson } from "./new-person.js";
import { asOptions, covers, eventsOf, useRoleNames } from "./parts.js";
import { State } from "./people.js";
import { SignIns } from "./sign-ins.js";

/** @typedef {import("../../types").Schemas["User"]} User */
/** @typedef {{ one: User, change: (one: User) => void }} Given */

/** Only what differs, so that nothing that somebody else changed meanwhile is put back.
 * @param {User} one @param {Record<string, string>} values */
function differences(one, { username, email, display_name, role }) {
  return {
    ...(username !== one.username && { username }),
    ...(email !== undefined && email !== (one.email ?? "") && { email: email || null }),
    ...(display_name !== one.display_name && { display_name }),
    ...(role !== undefined && role !== one.role && { role }),
  };
}

/** @param {Given} given */
function Profile({ one, change }) {
  const [role, setRole] = useState(one.role);
  const roles = useRoleNames(one.role);
  const self = one.id === user.value?.id;
  const form = useForm({
    send: (values) => patch("/users/{id}", { path: { id: one.id }, body: /** @type {any} */ (differences(one, values)) }),
    done: (data) => {
      change(data);
      toast(t("saved"));
    },
  });
  return html`<${Card} title=${t("person.profile")}>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="display_name" label=${t("display_name")} defaultValue=${one.display_name} optional autocomplete="off" />
      <${Field} form=${form} name="username" label=${t("username")} defaultValue=${one.username} autocomplete="off" autocapitalize="none" spellcheck="false" />
      ${self ? html`<p class="quiet">${t("person.role.own", { role: one.role })} ${t("person.email.own")}</p>`
        : html`<${Field} form=${form} name="email" type="email" label=${t("email")} defaultValue=${one.email ?? ""} optional autocomplete="off" />
          <${Select} form=${form} name="role" label=${t("role")} options=${asOptions(roles)} value=${role}
            hint=${role === one.role ? undefined : t("person.role.hint")}
            onChange=${(/** @type {any} */ event) => setRole(event.currentTarget.value)} />`}
      <${Submit} form=${form}>${t("save")}<//>
    <//>
  <//>`;
}

/** For those who may look and not change.
 * @param {{ one: User }} given */
function Facts({ one }) {
  return html`<${Card} title=${t("person.profile")}>
    <dl>
      <dt>${t("display_name")}</dt><dd>${one.display_name}</dd>
      <dt>${t("username")}</dt><dd>${one.username}</dd>
      <dt>${t("email")}</dt><dd>${one.email ?? "–"}</dd>
      <dt>${t("role")}</dt><dd>${one.role}</dd>
    </dl>
  <//>`;
}

/** @param {Given} given */
function Ending({ one, change }) {
  const name = one.display_name || one.username;
  const set = async (/** @type {"active" | "disabled"} */ status) => {
    const yes = status === "active" || await confirm({
      title: t("person.disable.title", { name }), text: t("person.disable.text"), yes: t("person.disable"),
    });
    if (!yes) return;
    const answer = await patch("/users/{id}", { path: { id: one.id }, body: { status } });
    if (answer.ok) {
      change(answer.data);
      toast(t(status === "active" ? "person.enabled" : "person.disabled"));
    }
    return answer;
  };
  const end = async () => {
    const yes = await confirm({
      title: t("person.delete.title", { name }), text: t("person.delete.text"), yes: t("person.delete"),
    });
    if (!yes) return;
    const answer = await remove("/users/{id}", { path: { id: one.id } });
    if (answer.ok) {
      go("/admin/people", { replace: true });
      toast(t("person.deleted", { name }));
    }
    return answer;
  };
  return html`<${Card} title=${t("person.end")}>
    <ul class="rows">
      ${may("users-write") && html`<li><div><b>${t(one.status === "active" ? "person.disable" : "person.enable")}</b>
          <span class="quiet">${t(one.status === "active" ? "person.disable.about" : "person.enable.about")}</span></div>
        ${one.status === "active" ? html`<${Act} key="off" class="danger-line" act=${() => set("disabled")}>${t("person.disable")}…<//>`
          : html`<${Act} key="on" act=${() => set("active")}>${t("person.enable")}<//>`}</li>`}
      ${may("users-delete") && html`<li><div><b>${t("person.delete")}</b><span class="quiet">${t("person.delete.about")}</span></div>
        <${Act} class="danger-line" act=${end}>${t("person.delete")}…<//></li>`}
    </ul>
  <//>`;
}

/** @param {{ of: User, within: boolean, self: boolean }} given */
function Keys({ of, within, self }) {
  const [page, go] = useState(1);
  return html`<${KeyList} of=${of} page=${page} go=${go} title=${t("account.keys")}
    write=${within && (self || may("api-keys-write"))} revoke=${within && (self || may("api-keys-delete"))} />`;
}

/** @param {Given} given */
function Details({ one, change }) {
  const within = covers(one.permissions);
  const self = one.id === user.value?.id;
  const write = may("users-write") && within;
  return html`<div class="page-head">
      <div><${Title}>${one.display_name || one.username}<//>
        <p class="quiet facts">${one.username} · ${one.role} · <${State} status=${one.status} /></p></div>
      ${may("events-read") && html`<div class="actions"><${Link} to=${eventsOf({ account: one.id })} class="button">${t("admin.events")}<//></div>`}
    </div>
    ${!within && may("users-write") && html`<div class="notice"><p>${t("person.beyond")}</p></div>`}
    ${self && html`<div class="notice"><p>${t("person.self")}</p><${Link} to="/account/security" class="button">${t("nav.account")}<//></div>`}
    <div class="two">
      ${write ? html`<${Profile} one=${one} change=${change} />` : html`<${Facts} one=${one} />`}
      <${Access} one=${one} change=${change} write=${write && !self} />
    </div>
    <${SignIns} of=${one} write=${write} />
    ${(may("api-keys-read") || self) && html`<${Keys} of=${one} within=${within} self=${self} />`}
    ${within && !self && (may("users-write") || may("users-delete")) && html`<${Ending} one=${one} change=${change} />`}
    <p class="quiet small">${t("person.since", { moment: moment(one.created_at) })}</p>`;
}

/** @param {{ id: string }} given */
function Account({ id }) {
  const person = useLoad(() => get("/users/{id}", { path: { id } }), [id]);
  const change = (/** @type {User} */ one) => {
    const had = document.activeElement;
    person.data.value = one;
    // What was pressed may be gone now.
    requestAnimationFrame(() => had && !had.isConnected && focusHeading());
  };
  return html`<p class="links back"><${Link} to="/admin/people">${t("people.all")}<//></p>
    ${person.problem.value && !person.data.value && html`<${Title}>${t("admin.people")}<//>`}
    <${Loaded} of=${person}>${(/** @type {User} */ one) => html`<${Details} one=${one} change=${change} />`}<//>`;
}

/** @param {{ params: Record<string, string> }} given */
export default function Person({ params: { id } }) {
  // No account has this id: theirs are UUIDs.
  return id === "new" ? html`<${NewPerson} />` : html`<${Account} id=${id} />`;
}
