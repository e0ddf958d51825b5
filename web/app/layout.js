// What stands around every page: the house's name and lamp, the ways, the switches.
import { html, useEffect, useRef } from "./lib/html.js";
import { lost, returns } from "./lib/connection.js";
import { keep } from "./lib/place.js";
import { Link, find, focusHeading, path } from "./lib/router.js";
import { calledName, may, owed, signOut, user } from "./lib/session.js";
import { Toasts } from "./lib/toast.js";
import { Act, Questions } from "./lib/ui.js";
import { LANGUAGES, choose, language, t } from "./lib/words.js";
import { routes } from "./routes.js";

/** The pages of admins, each with the permission that it needs. */
export const ADMIN = /** @type {const} */ ([
  ["/admin/people", "admin.people", "users-read"],
  ["/admin/roles", "admin.roles", "roles-read"],
  ["/admin/invitations", "admin.invitations", "invitations-read"],
  ["/admin/events", "admin.events", "events-read"],
  ["/admin/log", "admin.log", "events-read"],
  ["/admin/outbox", "admin.outbox", "system-admin"],
  ["/admin/system", "admin.system", "system-health"],
]);
const ACCOUNT = /** @type {const} */ ([
  ["/account", "account.profile"],
  ["/account/security", "account.security"],
  ["/account/sessions", "account.sessions"],
  ["/account/keys", "account.keys"],
  ["/account/links", "account.links"],
]);

export const mayAdmin = () => ADMIN.some(([, , permission]) => may(permission));

/** The pages beside this one. */
function Sections() {
  const area = path.value.startsWith("/admin") ? ADMIN.filter(([, , right]) => may(right))
    : path.value.startsWith("/account") ? ACCOUNT : [];
  const nav = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // On a phone the row is longer than the screen: the page one is on has to be seen in it.
    const here = /** @type {HTMLElement | null | undefined} */ (nav.current?.querySelector("[aria-current]"));
    if (nav.current && here) nav.current.scrollLeft = here.offsetLeft - (nav.current.clientWidth - here.offsetWidth) / 2;
  }, [path.value, language.value]);
  if (!area.length) return null;
  const label = t(path.value.startsWith("/admin") ? "nav.admin" : "nav.account");
  return html`<nav class="sections" ref=${nav} aria-label=${label}>
    ${area.map(([to, key]) => html`<${Link} to=${to} ...${path.value.startsWith(`${to}/`) && to !== "/account" ? { "aria-current": "true" } : {}}>${t(key)}<//>`)}
  </nav>`;
}

function Brand() {
  return html`<${Link} to="/" class="brand">
    <svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 3 3 13v16h8V19a5 5 0 0 1 10 0v10h8V13z" /><circle class="lamp ${lost.value ? "off" : ""}" cx="16" cy="11" r="2.5" /></svg>
    Gatelodge
  <//>`;
}

function Ways() {
  if (!user.value) return null;
  const admin = path.value.startsWith("/admin");
  const account = path.value.startsWith("/account");
  return html`<nav class="ways" aria-label=${t("nav.main")}>
    <${Link} to="/">${t("nav.home")}<//>
    <${Link} to="/account" ...${account ? { "aria-current": "page" } : {}}>${t("nav.account")}<//>
    ${mayAdmin() && html`<${Link} to="/admin" ...${admin ? { "aria-current": "page" } : {}}>${t("nav.admin")}<//>`}
  </nav>`;
}

/** @param {string} name */
function paint(name) {
  const root = document.documentElement;
  if (name === "auto") delete root.dataset.theme;
  else root.dataset.theme = name;
  keep("theme", name === "auto" ? null : name);
}

function Switches() {
  const theme = document.documentElement.dataset.theme ?? "auto";
  const value = (/** @type {any} */ event) => event.currentTarget.value;
  return html`<footer>
    <label>${t("switch.language")}
      <select value=${language.value} onChange=${(/** @type {any} */ event) => choose(value(event))}>
        ${Object.entries(LANGUAGES).map(([name, text]) => html`<option value=${name} lang=${name} selected=${name === language.value}>${text}</option>`)}
      </select>
    </label>
    <label>${t("switch.theme")}
      <select onChange=${(/** @type {any} */ event) => paint(value(event))}>
        ${/** @type {const} */ (["auto", "light", "dark"]).map((name) => html`<option value=${name} selected=${name === theme}>${t(`theme.${name}`)}</option>`)}
      </select>
    </label>
  </footer>`;
}

/** Says that the server is away, and that it is back; and what somebody has to know who signs out meanwhile. */
function Connection() {
  return html`<div class="connection" role="status" aria-live="polite">
    ${lost.value ? html`<p class="away">${t("connection.lost")}</p>` : returns.value > 0 && html`<p class="unseen">${t("connection.back")}</p>`}
    ${owed.value && html`<p class="away">${t("sign_out.owed")}</p>`}
  </div>`;
}

/** @param {{ children: any, moving: boolean }} given */
export function Layout({ children, moving }) {
  const within = user.value !== null;
  // Letters' links and the like are one small thing to decide, whoever sits here.
  const narrow = !within || (path.value !== "/setup" && find(routes, path.value)?.route.open);
  return html`<a class="skip" href="#main" onClick=${skip}>${t("nav.skip")}</a>
    <div class="progress" data-on=${moving || undefined}></div>
    <header class="top ${within ? "" : "alone"}">
      <${Brand} />
      <${Ways} />
      ${within && html`<div class="who"><span class="quiet">${calledName.value}</span>
        <${Act} class="ghost" act=${signOut}>${t("sign_out")}<//></div>`}
    </header>
    <${Connection} />
    ${within && html`<${Sections} />`}
    <main id="main" class=${narrow ? "narrow" : "wide"}>${children}</main>
    <${Switches} />
    <${Questions} />
    <${Toasts} />`;
}

/** @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  focusHeading();
}
