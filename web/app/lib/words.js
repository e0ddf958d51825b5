// Every text that people read, in their language: `t(key)`. A component that calls it is
// drawn again when the language changes.
import { signal } from "./html.js";
import { keep } from "./place.js";

export const LANGUAGES = /** @type {const} */ ({ en: "English", de: "Deutsch" });

/** @typedef {keyof typeof import("../words/en.js").default} Key */

export const language = signal(document.documentElement.lang);
const words = signal(/** @type {Record<string, string>} */ ({}));

/** @param {string} name */
export async function speak(name) {
  const { default: all } = await import(`../words/${name}.js`);
  words.value = all;
  language.value = name;
  document.documentElement.lang = name;
}

/** Speaks another language from now on, here.
 * @param {string} name */
export async function choose(name) {
  await speak(name);
  keep("language", name);
}

/** A text with its `{places}` filled.
 * @param {Key} key @param {Record<string, unknown>} [given] */
export function t(key, given = {}) {
  const text = words.value[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(given[name] ?? whole));
}

/** A text whose key is put together while it runs; `fallback` where the catalogue has none.
 * @param {string} key @param {string} fallback @param {Record<string, unknown>} [given] */
export const maybe = (key, fallback, given) =>
  key in words.value ? t(/** @type {Key} */ (key), given) : fallback;

/** `key.one` or `key.other`, with the number as `{n}`.
 * @param {string} key @param {number} n */
export function count(key, n) {
  const form = new Intl.PluralRules(language.value).select(n) === "one" ? "one" : "other";
  return t(/** @type {Key} */ (`${key}.${form}`), { n: number(n) });
}

/** @param {number} n */
export const number = (n) => new Intl.NumberFormat(language.value).format(n);

/** @param {string | null | undefined} text a moment as the API tells it */
export const moment = (text) =>
  text
    ? new Date(text).toLocaleString(language.value, { dateStyle: "medium", timeStyle: "short" })
    : t("never");

/** @param {string | null | undefined} text */
export const day = (text) =>
  text ? new Date(text).toLocaleDateString(language.value, { dateStyle: "medium" }) : t("never");

/** How long ago or how soon, in words; the whole moment belongs into a `title` beside it.
 * @param {string | null | undefined} text */
export function ago(text) {
  if (!text) return t("never");
  const seconds = (new Date(text).getTime() - Date.now()) / 1000;
  const far = Math.abs(seconds);
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto" });
  if (far < 60) return t("just_now");
  if (far < 3600) return format.format(Math.round(seconds / 60), "minute");
  if (far < 86_400) return format.format(Math.round(seconds / 3600), "hour");
  if (far < 30 * 86_400) return format.format(Math.round(seconds / 86_400), "day");
  return day(text);
}

/** So many seconds, or the minutes that they nearly are.
 * @param {number} seconds */
export function span(seconds) {
  const unit = seconds < 90 ? "second" : "minute";
  const n = unit === "second" ? seconds : Math.ceil(seconds / 60);
  return new Intl.NumberFormat(language.value, { style: "unit", unit, unitDisplay: "long" }).format(n);
}

/** @param {number} n */
export function bytes(n) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(n, 1)) / 3));
  return new Intl.NumberFormat(language.value, {
    style: "unit", unit: units[step], unitDisplay: step ? "short" : "long", maximumFractionDigits: 1,
  }).format(n / 1000 ** step);
}
