// What several pages of admins are put together from.
import { get } from "../../lib/api.js";
import { html } from "../../lib/html.js";
import { at } from "../../lib/place.js";
import { Qr } from "../../lib/qr.js";
import { may, user } from "../../lib/session.js";
import { Copy, useLoad } from "../../lib/ui.js";
import { ago, maybe, moment, t } from "../../lib/words.js";

/** @typedef {import("../../types").Schemas} Schemas */

/** The role of those for whom nobody chose one. */
export const DEFAULT_ROLE = "reader";

/** How long ago, and the whole moment for who rests on it.
 * @param {{ at: string | null | undefined }} given */
export function When({ at: text }) {
  if (!text) return html`<span class="quiet">${t("never")}</span>`;
  return html`<time datetime=${text} title=${moment(text)}>${ago(text)}</time>`;
}

/** Whether somebody's rights are all among one's own: what exceeds them, the server refuses.
 * @param {string[]} permissions */
export const covers = (permissions) => user.value?.role === "admin" || permissions.every(may);

/** Asks only for what one may see, or wants to.
 * @template T @param {unknown} wanted @param {() => Promise<import("../../types").Answer<T>>} load
 * @returns {Promise<import("../../types").Answer<T | null>>} */
export const onlyIf = async (wanted, load) => (wanted ? load() : { ok: true, status: 200, data: null });

/** The roles that one may give, once they are known; without the right to see them, the few that
 * one knows of anyway.
 * @param {string} [own] one that is to be among them */
export function useRoleNames(own) {
  const roles = useLoad(() => onlyIf(may("roles-read"), () => get("/roles")));
  const found = roles.data.value?.data.filter((role) => covers(role.permissions)).map(({ name }) => name) ?? [DEFAULT_ROLE];
  return own && !found.includes(own) ? [...found, own] : found;
}

/** Options of a `Select` for names.
 * @param {string[]} names @returns {[string, string][]} */
export const asOptions = (names) => names.map((name) => [name, name]);

/** A link of the server as people need it: with the address at which one reads this, if the server
 * does not know its own.
 * @param {string} link */
export const whole = (link) => (link.startsWith("/") ? at(link) : link);

/** Something that is shown this once, to carry to somebody.
 * @param {{ link?: string, password?: string, text: string, until?: string, again?: boolean }} given `again` for what can be shown again */
export function Handover({ link, password, text, until, again = false }) {
  return html`<div class="handover">
    <p>${text}</p>
    ${link && html`<${Qr} text=${whole(link)} label=${t("handover.qr")} />
      <${Copy} text=${whole(link)} label=${t("handover.link")} />`}
    ${password && html`<${Copy} text=${password} label=${t("handover.password")} />`}
    <p class="quiet small">${!again && t("handover.once")}${until && ` ${t("handover.until", { moment: moment(until) })}`}</p>
  </div>`;
}

/** @param {string} kind */
export const eventName = (kind) => maybe(`event.${kind}`, kind.replaceAll("_", " "));
/** @param {string} name */
export const dialectName = (name) => maybe(`dialect.${name}`, name);

/** What is said besides an event's name, as far as it means something to people.
 * @param {Schemas["Event"]} event */
export function eventDetail({ kind, detail }) {
  if (!detail) return "";
  if (kind === "signed_in") return maybe(`method.${detail}`, detail);
  if (kind === "account_updated") {
    return detail.split(", ").map((name) => maybe(`changed.${name}`, name)).join(", ");
  }
  return detail;
}

/** A link without which one would have to copy an id.
 * @param {Record<string, string>} asked */
export const eventsOf = (asked) => `/admin/events?${new URLSearchParams(asked)}`;
