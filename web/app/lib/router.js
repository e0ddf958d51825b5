// One address for each page: links change the address and the page follows, without a new load.
import { batch, html, signal, useEffect, useRef } from "./html.js";
import { below, root } from "./place.js";

/** @typedef {import("../types").Route} Route */

export const path = signal(below(location.pathname));
/** The query of the address, without what was secret. */
export const query = signal(new URLSearchParams());
/** How often somebody went somewhere: the focus follows. */
export const steps = signal(0);

/** What came by a letter's link. It leaves the address and the history before anything is drawn. */
const taken = { token: /** @type {string | null} */ (null), error: /** @type {string | null} */ (null) };

function look() {
  const asked = new URLSearchParams(location.search);
  for (const name of /** @type {const} */ (["token", "error"])) {
    if (asked.has(name)) {
      taken[name] = asked.get(name);
      asked.delete(name);
      const rest = asked.size ? `?${asked}` : "";
      history.replaceState(null, "", location.pathname + rest);
    }
  }
  batch(() => {
    path.value = below(location.pathname);
    query.value = asked;
  });
}

/** What a letter's link or a provider brought along; `null` after it was taken.
 * @param {"token" | "error"} name */
export function take(name) {
  const value = taken[name];
  taken[name] = null;
  return value;
}

/** Whether a provider sent somebody back with an error that nobody has read yet. */
export const refused = () => taken.error !== null;

/** Where the focus goes when what it was on has gone. */
export const focusHeading = () =>
  /** @type {HTMLElement | null} */ (document.querySelector("main h1"))?.focus();

/** @param {string} to @param {{ replace?: boolean }} [how] */
export function go(to, { replace = false } = {}) {
  const url = new URL(to.slice(1), root);
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  steps.value += 1;
  look();
  scrollTo(0, 0);
}

/** Changes what the address asks for, without a step: filters and page numbers.
 * @param {Record<string, string | number | null | undefined>} changes */
export function ask(changes) {
  const asked = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") asked.delete(name);
    else asked.set(name, String(value));
  }
  history.replaceState(null, "", `${location.pathname}${asked.size ? `?${asked}` : ""}`);
  query.value = asked;
}

/** The route of a path and what its places hold.
 * @param {Route[]} routes @param {string} wanted */
export function find(routes, wanted) {
  const parts = wanted.split("/");
  for (const route of routes) {
    const names = route.path.split("/");
    if (names.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = names.every((name, i) => {
      if (!name.startsWith(":")) return name === parts[i];
      try {
        params[name.slice(1)] = decodeURIComponent(parts[i]);
      } catch {
        return false;
      }
      return parts[i] !== "";
    });
    if (fits) return { route, params };
  }
  return null;
}

/** A link to another page: `<${Link} to="/account">`. The browser's own ways with links stay.
 * @param {any} given */
export function Link({ to, children, ...rest }) {
  const here = path.value === to.split("?")[0];
  return html`<a href=${new URL(to.slice(1), root).href} aria-current=${here ? "page" : undefined} ...${rest}
    onClick=${(/** @type {MouseEvent} */ event) => {
      if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      go(to);
    }}>${children}</a>`;
}

/** The heading of a page: names the window, and takes the focus after a step to it.
 * @param {{ children: string }} given */
export function Title({ children }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    document.title = `${children} · Gatelodge`;
  }, [children]);
  useEffect(() => {
    if (steps.peek() > 0 && !document.activeElement?.closest("dialog")) heading.current?.focus();
  }, []);
  return html`<h1 ref=${heading} tabindex="-1">${children}</h1>`;
}

addEventListener("popstate", () => {
  steps.value += 1;
  look();
});
look();
