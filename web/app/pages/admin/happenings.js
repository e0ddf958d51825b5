// One thing that happened, as a line for people.
import { html } from "../../lib/html.js";
import { Link } from "../../lib/router.js";
import { may } from "../../lib/session.js";
import { language, t } from "../../lib/words.js";
import { dialectName, eventDetail, eventName } from "./parts.js";

/** @typedef {import("../../types").Schemas["Event"]} Happening */

/** Every kind of event that the server writes. */
export const EVENT_KINDS = [
  "signed_in", "signed_out", "session_ended", "login_failure", "login_failures", "pin_locked", "refresh_reused",
  "account_created", "account_activated", "account_updated", "account_deleted",
  "password_changed", "pin_changed", "reset_link_made", "email_changed", "email_verified",
  "identity_linked", "identity_unlinked", "api_key_created", "api_key_updated", "api_key_revoked",
  "invitation_created", "invitation_withdrawn", "role_created", "role_updated", "role_deleted", "backup_made",
];
/** Those that somebody who looks after the house should not overlook. */
const GRAVE = ["login_failure", "login_failures", "pin_locked", "refresh_reused"];

/** @param {Happening} one */
export const isGrave = (one) => GRAVE.includes(one.kind);

/** @param {string} text */
export const clock = (text) => new Date(text).toLocaleTimeString(language.value, { timeStyle: "medium" });

/** A name that leads to the account, where it still exists.
 * @param {{ id?: string | null, name?: string | null }} given */
export function Who({ id, name }) {
  if (!id) return null;
  if (!name) return html`<span class="quiet">${t("event.gone")}</span>`;
  return may("users-read") ? html`<${Link} to="/admin/people/${id}">${name}<//>` : name;
}

/** Whom it is about, and who did it, where that is somebody else.
 * @param {{ one: Happening }} given */
export function Actors({ one }) {
  const other = one.actor && one.actor !== one.account;
  return html`<${Who} id=${one.account} name=${one.account_name} />
    ${other && html` <span class="quiet">${t("event.by")}</span> <${Who} id=${one.actor} name=${one.actor_name} />`}
    ${!one.account && !one.actor && html`<span class="quiet">${t(one.address ? "event.stranger" : "event.house")}</span>`}`;
}

/** @param {{ one: Happening }} given */
export function What({ one }) {
  const detail = eventDetail(one);
  return html`<span class=${isGrave(one) ? "grave" : ""}>${eventName(one.kind)}</span>${detail && html` <span class="quiet">${detail}</span>`}`;
}

/** @param {{ one: Happening }} given */
export const Origin = ({ one }) => html`<span class="quiet">${[one.address, dialectName(one.dialect)].filter(Boolean).join(" · ")}</span>`;
