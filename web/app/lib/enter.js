// Coming in, and who came in here before.
import { post } from "./api.js";
import { at, keep, kept } from "./place.js";
import { query } from "./router.js";
import { house } from "./session.js";

/** Signs a new account in, with what was typed a moment ago. The page's cookie is all it keeps: the
 * token that came with the account ends here.
 * @param {{ username: string, password: string }} given @param {string} [token] */
export async function enter({ username, password }, token) {
  const answer = await post("/auth/session", { body: { username, password } });
  if (token) {
    const headers = { authorization: `Bearer ${token}` };
    fetch(at("/api/v1/auth/logout"), { method: "POST", headers, credentials: "omit" }).catch(() => {});
  }
  return answer;
}

/** What a letter's link is for. One that is used or old is for nothing, which is an answer as well.
 * @param {string} token
 * @returns {Promise<import("../types").Answer<Partial<import("../types").Schemas["Link"]>>>} */
export async function aboutLink(token) {
  const answer = await post("/auth/link", { body: { token } });
  if (answer.ok || answer.status !== 400) return answer;
  return { ok: true, status: 400, data: {} };
}

/** @typedef {{ username: string, name: string }} Known */
const MOST = 8;

/** Who asked to be remembered on this device: names, and nothing that opens a door.
 * @returns {Known[]} */
export function remembered() {
  try {
    const list = JSON.parse(kept("people") ?? "[]");
    return Array.isArray(list) ? list.filter(({ username, name }) => username && name).slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** @param {import("./session.js").Schemas["User"]} user @param {boolean} wanted */
export function remember({ username, display_name }, wanted) {
  const others = remembered().filter((one) => one.username !== username);
  const all = wanted ? [{ username, name: display_name || username }, ...others].slice(0, MOST) : others;
  keep("people", all.length ? JSON.stringify(all) : null);
}

export const forgetAll = () => keep("people", null);

/** Who may be chosen by PIN: those who are remembered here, and those whom the house shows inside.
 * @returns {Known[]} */
export function choices() {
  if (!house.value?.pin_allowed) return [];
  const shown = house.value.people.map(({ username, display_name }) => ({ username, name: display_name || username }));
  const here = remembered();
  return [...here, ...shown.filter(({ username }) => !here.some((one) => one.username === username))];
}

/** The way to a provider and back to where somebody wanted to go.
 * @param {string} login */
export function wayOut(login) {
  const url = new URL(at(login));
  const to = query.value.get("to");
  if (to) url.searchParams.set("to", to);
  return url.href;
}
