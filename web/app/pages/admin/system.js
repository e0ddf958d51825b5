// How the house is: what to look after, sizes and counts, a copy of the database.
import { get } from "../../lib/api.js";
import { download } from "../../lib/download.js";
import { html } from "../../lib/html.js";
import { Link, Title } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Act, Badge, Card, Loaded, useLoad } from "../../lib/ui.js";
import { bytes, language, maybe, moment, number, t } from "../../lib/words.js";
import { MailTest } from "./mail-test.js";

/** @typedef {import("../../types").Schemas} Schemas */

const GRAVE = ["backup_failed", "clock_behind", "data_exposed", "disk_full", "disk_low", "files_low", "read_only", "storage_failing", "weak_hashing", "wrong_owner"];
const IN_BYTES = ["disk_full", "disk_low", "wal_large"];

/** In days, hours or minutes: the two largest that are not zero.
 * @param {number} seconds */
function span(seconds) {
  const parts = /** @type {const} */ ([["day", 86_400], ["hour", 3600], ["minute", 60]]).map(([unit, size], i, all) =>
    ({ unit, n: Math.floor((i ? seconds % all[i - 1][1] : seconds) / size) }));
  const first = parts.findIndex(({ n }) => n > 0);
  if (first < 0) return t("system.new");
  return parts.slice(first, first + 2).filter(({ n }) => n > 0)
    .map(({ unit, n }) => new Intl.NumberFormat(language.value, { style: "unit", unit, unitDisplay: "long" }).format(n)).join(", ");
}

/** @param {Schemas["Warning"]} warning */
function words({ kind, message, amount }) {
  const shown = amount === undefined ? "" : IN_BYTES.includes(kind) ? bytes(amount) : number(amount);
  return maybe(`warning.${kind}`, message, { amount: shown });
}

/** @param {{ warnings: Schemas["Warning"][] }} given */
function Warnings({ warnings }) {
  if (!warnings.length) return html`<div class="notice good"><p>${t("system.well")}</p></div>`;
  return html`<${Card} title=${t("system.warnings")}><ul class="rows">
    ${warnings.map((one) => html`<li key=${one.kind}><div><b>${maybe(`warning.${one.kind}.title`, one.kind)}
      ${GRAVE.includes(one.kind) && html` <${Badge} kind="bad">${t("system.grave")}<//>`}</b><span class="quiet">${words(one)}</span></div>
      ${["letters_failed", "no_mail_server"].includes(one.kind) && may("system-admin") && html`<${Link} to=${one.kind === "letters_failed" ? "/admin/outbox?status=failed" : "/admin/outbox"} class="button">${t("admin.outbox")}<//>`}
    </li>`)}
  </ul><//>`;
}

/** @param {{ state: Schemas["System"] }} given */
function Numbers({ state }) {
  const facts = /** @type {const} */ ([
    ["accounts", number(state.accounts)], ["sessions", number(state.live_sessions)], ["letters", number(state.letters_waiting)],
    ["database", bytes(state.database_bytes)], ["wal", bytes(state.wal_bytes)], ["lanes", number(state.hash_lanes)],
    ["backup", state.last_backup_at ? moment(state.last_backup_at) : t("system.no_backup")],
    ["uptime", span(state.uptime_seconds)], ["version", state.version],
  ]);
  return html`<dl class="numbers">${facts.map(([key, text]) => html`<div key=${key}><dt>${t(`system.${key}`)}</dt><dd>${text}</dd></div>`)}</dl>`;
}

function Backup() {
  const name = `gatelodge-${new Date().toISOString().slice(0, 10)}`;
  return html`<${Card} title=${t("backup.title")} about=${t("backup.about")}>
    <${Act} act=${() => download("/system/backup", name)} done=${() => toast(t("backup.done"))}>${t("backup.get")}<//>
  <//>`;
}

export default function System() {
  const system = useLoad(() => get("/system"));
  const letters = system.data.value?.warnings.every(({ kind }) => kind !== "no_mail_server");
  return html`<div class="page-head"><${Title}>${t("admin.system")}<//>
      <div class="actions"><button type="button" onClick=${system.reload}>${t("outbox.again")}</button></div></div>
    <${Loaded} of=${system}>${(/** @type {Schemas["System"]} */ state) => html`
      <${Warnings} warnings=${state.warnings} />
      <${Card}><${Numbers} state=${state} /><//>`}<//>
    ${may("system-admin") && html`<div class="two"><${Backup} />${letters && html`<${MailTest} />`}</div>`}`;
}
