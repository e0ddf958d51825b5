// Where the house is: a proxy may have put it below a path, so nothing here begins with "/".

/** The root, always with a slash at its end; this file lies four folders below it. */
export const root = new URL("../../../../", import.meta.url);

/** An address of the server, for `fetch` and for links that leave the pages.
 * @param {string} path with a slash at its begin */
export const at = (path) => new URL(path.slice(1), root).href;

/** What the address bar shows, as routes name it.
 * @param {string} pathname */
export const below = (pathname) =>
  pathname.startsWith(root.pathname) ? `/${pathname.slice(root.pathname.length)}` : pathname;

/** Storage may be switched off or full: then nothing is kept.
 * Nothing secret goes in.
 * @param {string} name @param {string | null} value */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch { /* as above */ }
}

/** @param {string} name */
export function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
