// Links that let somebody in.
import { get, post, remove } from "../../lib/api.js";
import { Field, FormOf, Select, Submit, useForm } from "../../lib/forms.js";
import { html, useState } from "../../lib/html.js";
import { Title, ask, focusHeading, query } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Dialog, Loaded, Pager, Table, confirm, useLoad } from "../../lib/ui.js";
import { ago, count, moment, t } from "../../lib/words.js";
import { DEFAULT_ROLE, Handover, asOptions, useRoleNames } from "./parts.js";

/** @typedef {import("../../types").Schemas["Invitation"]} Invitation */

const DAYS = [1, 7, 30, 365];
const KINDS = /** @type {Record<string, "good" | "plain">} */ ({ open: "good" });
const STATES = /** @type {const} */ (["open", "used_up", "expired", "withdrawn"]);

/** @param {{ done: (made: Invitation) => void, close: () => void }} given */
function InvitationForm({ done, close }) {
  const [role, setRole] = useState(DEFAULT_ROLE);
  const [days, setDays] = useState("7");
  const roles = useRoleNames(DEFAULT_ROLE);
  const form = useForm({
    send: ({ email, role, expires_at, uses }) => post("/invitations", {
      body: {
        email: email || undefined, role,
        expires_at: new Date(Date.now() + Number(expires_at) * 86_400_000).toISOString(),
        uses: Math.trunc(Number(uses)),
      },
    }),
    done,
  });
  return html`<${FormOf} form=${form}>
    <${Select} form=${form} name="role" label=${t("role")} options=${asOptions(roles)} value=${role}
      onChange=${(/** @type {any} */ event) => setRole(event.currentTarget.value)} />
    <${Select} form=${form} name="expires_at" label=${t("invitation.until")} value=${days} options=${DAYS.map((one) => [String(one), count("invitation.days", one)])}
      onChange=${(/** @type {any} */ event) => setDays(event.currentTarget.value)} />
    <${Field} form=${form} name="uses" type="number" min="1" max="1000" defaultValue="1" label=${t("invitation.uses")} />
    <${Field} form=${form} name="email" type="email" label=${t("email")} hint=${t("invitation.email.hint")} optional autocomplete="off" />
    <div class="actions"><button type="button" onClick=${close}>${t("cancel")}</button>
      <${Submit} form=${form}>${t("invitation.make")}<//></div>
  <//>`;
}

export default function Invitations() {
  const page = Math.max(1, Number(query.value.get("page")) || 1);
  const list = useLoad(() => get("/invitations", { query: { page } }), [page]);
  const [open, setOpen] = useState(false);
  const [made, setMade] = useState(/** @type {Invitation | null} */ (null));
  const withdraw = async (/** @type {Invitation} */ { id }) => {
    const yes = await confirm({ title: t("invitation.withdraw.title"), text: t("invitation.withdraw.text"), yes: t("invitation.withdraw") });
    if (!yes) return;
    const answer = await remove("/invitations/{id}", { path: { id } });
    if (answer.ok) {
      list.reload();
      toast(t("invitation.withdrawn"));
      focusHeading();
    }
    return answer;
  };
  const columns = [
    { title: t("invitation.for"), main: true, of: (/** @type {Invitation} */ one) => one.email ?? t("invitation.anyone") },
    { title: t("role"), of: (/** @type {Invitation} */ one) => one.role },
    { title: t("people.state"), of: (/** @type {Invitation} */ one) => {
      const state = STATES.find((name) => name === one.state) ?? "open";
      return html`<${Badge} kind=${KINDS[state] ?? "plain"}>${t(`invitation.state.${state}`)}<//>`;
    } },
    { title: t("invitation.left"), of: (/** @type {Invitation} */ one) => t("invitation.left.of", { left: one.uses_left, uses: one.uses }) },
    { title: t("invitation.until"), of: (/** @type {Invitation} */ one) => html`<time datetime=${one.expires_at} title=${moment(one.expires_at)}>${ago(one.expires_at)}</time>` },
    ...(may("invitations-write") ? [{ title: t("invitation.withdraw"), actions: true, of: (/** @type {Invitation} */ one) => one.state === "open" && html`
      <${Act} act=${() => withdraw(one)} aria-label=${t("invitation.withdraw.of", { who: one.email ?? t("invitation.anyone") })}>${t("invitation.withdraw")}…<//>` }] : []),
  ];
  return html`<div class="page-head">
      <${Title}>${t("admin.invitations")}<//>
      ${may("invitations-write") && html`<div class="actions"><button type="button" class="strong" onClick=${() => setOpen(true)}>${t("invitation.new")}…</button></div>`}
    </div>
    <p class="lead">${t("invitation.about")}</p>
    <${Card}>
      <${Loaded} of=${list}>${(/** @type {any} */ found) => html`
        <${Table} columns=${columns} rows=${found.data} caption=${t("admin.invitations")} empty=${t("invitation.none")} />
        ${found.total > 0 && html`<${Pager} list=${found} go=${(/** @type {number} */ to) => ask({ page: to })} />`}`}<//>
    <//>
    <${Dialog} open=${open} onClose=${() => setOpen(false)} title=${t("invitation.new")}>
      <${InvitationForm} close=${() => setOpen(false)} done=${(/** @type {Invitation} */ one) => {
        setOpen(false);
        setMade(one);
        list.reload();
      }} />
    <//>
    <${Dialog} open=${made !== null} onClose=${() => setMade(null)} title=${t("invitation.made")}>
      <${Handover} link=${made?.link ?? ""} until=${made?.expires_at}
        text=${made?.email ? t("invitation.made.email", { email: made.email }) : count("invitation.made.text", made?.uses ?? 1)} />
      <div class="actions"><button type="button" class="strong" onClick=${() => setMade(null)}>${t("done")}</button></div>
    <//>`;
}
