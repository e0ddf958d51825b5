// Questions to native, typed by its document: `get("/users/{id}", { path: { id } })`. The answer is
// `{ ok: true, data }` or `{ ok: false, problem }`; nothing throws.
import { missed } from "./connection.js";
import { at } from "./place.js";

/** @typedef {import("../types").Verb} Verb */
/** @typedef {import("../types").Problem} Problem */
/** @template {Verb} V @typedef {import("../types").PathOf<V>} PathOf */
/** @template {keyof import("../types").Paths} P @template {Verb} V @typedef {import("../types").Asked<P, V>} Asked */
/** @template T @typedef {import("../types").Answer<T>} Answer */

/** Told of every 401, so that a session that ended is noticed wherever it is.
 * @type {Set<() => void>} */
export const onStranger = new Set();

/** @param {string} path @param {any} given */
export function address(path, { path: parts = {}, query = {} } = {}) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name]));
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") asked.set(name, String(value));
  }
  const tail = asked.size ? `?${asked}` : "";
  return at(`/api/v1${filled}${tail}`);
}

/** @type {Answer<any>} */
const UNREACHABLE = { ok: false, status: 0, problem: { error: "unreachable", message: "" } };

/** @param {string} method @param {string} path @param {any} given @returns {Promise<Answer<any>>} */
async function ask(method, path, given = {}) {
  let answer, text;
  try {
    answer = await fetch(address(path, given), {
      method,
      headers: given.body === undefined ? {} : { "content-type": "application/json" },
      body: given.body === undefined ? undefined : JSON.stringify(given.body),
      credentials: "same-origin",
      cache: "no-store",
      signal: given.signal,
    });
    text = await answer.text();
  } catch {
    if (!given.signal?.aborted) missed();
    return UNREACHABLE;
  }
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    // A proxy speaks in the server's place.
    missed();
    return UNREACHABLE;
  }
  if (answer.ok) return { ok: true, status: answer.status, data: body };
  if (answer.status === 401) for (const tell of onStranger) tell();
  const problem = { error: "internal", message: "", ...body, wait: Number(answer.headers.get("retry-after")) || undefined };
  return { ok: false, status: answer.status, problem };
}

/** @template {PathOf<"get">} P @param {P} path @param {Asked<P, "get">} [given]
 * @returns {Promise<Answer<import("../types").Good<P, "get">>>} */
export const get = (path, given) => ask("GET", path, given);

/** What is posted waits for it. */
let first = /** @type {Promise<unknown>} */ (Promise.resolve());

/** @template {PathOf<"post">} P @param {P} path @param {Asked<P, "post">} [given]
 * @returns {Promise<Answer<import("../types").Good<P, "post">>>} */
export const post = (path, given) => first.then(() => ask("POST", path, given));

/** @template {PathOf<"put">} P @param {P} path @param {Asked<P, "put">} given
 * @returns {Promise<Answer<import("../types").Good<P, "put">>>} */
export const put = (path, given) => ask("PUT", path, given);

/** @template {PathOf<"patch">} P @param {P} path @param {Asked<P, "patch">} given
 * @returns {Promise<Answer<import("../types").Good<P, "patch">>>} */
export const patch = (path, given) => ask("PATCH", path, given);

/** @template {PathOf<"delete">} P @param {P} path @param {Asked<P, "delete">} [given]
 * @returns {Promise<Answer<import("../types").Good<P, "delete">>>} */
export const remove = (path, given) => ask("DELETE", path, given);

/** The same, before anything is posted: the end of a session takes the cookie along, and coming late it
 * would take that of the next one.
 * @template {PathOf<"delete">} P @param {P} path @param {Asked<P, "delete">} [given]
 * @returns {Promise<Answer<import("../types").Good<P, "delete">>>} */
export function removeFirst(path, given) {
  const answer = remove(path, given);
  first = answer;
  return answer;
}
