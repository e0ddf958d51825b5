// Permissions in words, to tick.
import { html, useState } from "../lib/html.js";
import { maybe, t } from "../lib/words.js";

/** Those that mean something to the house itself, in groups. */
const GROUPS = /** @type {const} */ ([
  ["people", ["users-read", "users-write", "users-delete"]],
  ["roles", ["roles-read", "roles-write"]],
  ["invitations", ["invitations-read", "invitations-write"]],
  ["keys", ["api-keys-read", "api-keys-write", "api-keys-delete"]],
  ["house", ["events-read", "system-health", "system-admin"]],
]);
const OWN = GROUPS.flatMap(([, names]) => /** @type {readonly string[]} */ (names));

/** @param {string} name */
export const rightName = (name) => maybe(`right.${name}`, name);

/** What a role or a key may do; `locked` says which cannot be changed here, `offered` which there
 * are besides those of the house.
 * @param {{ chosen: string[], onChange?: (chosen: string[]) => void, offered?: string[], only?: string[], locked?: (name: string) => boolean, add?: boolean }} given */
export function Rights({ chosen, onChange, offered = [], only, locked = () => false, add = false }) {
  const [extra, setExtra] = useState(/** @type {string[]} */ ([]));
  const fits = (/** @type {string} */ name) => !only || only.includes(name);
  const others = [...new Set([...offered, ...chosen, ...extra])].filter((name) => !OWN.includes(name) && fits(name)).sort();
  const groups = [...GROUPS.map(([key, names]) => ({ key, names: names.filter(fits) })), { key: /** @type {const} */ ("others"), names: others }];
  const turn = (/** @type {string} */ name, /** @type {boolean} */ on) =>
    onChange?.(on ? [...chosen, name] : chosen.filter((one) => one !== name));
  const addOne = (/** @type {string} */ name) => {
    setExtra([...extra, name]);
    turn(name, true);
  };
  return html`<div class="rights">
    ${groups.filter(({ key, names }) => names.length || (add && key === "others")).map(({ key, names }) => html`<fieldset key=${key}>
      <legend>${t(`rights.${key}`)}</legend>
      ${key === "others" && html`<p class="quiet small">${t("rights.others.about")}</p>`}
      ${names.map((name) => html`<label class="choice" key=${name}>
        <input type="checkbox" checked=${chosen.includes(name)} disabled=${!onChange || locked(name)}
          onChange=${(/** @type {any} */ event) => turn(name, event.currentTarget.checked)} />
        <span>${rightName(name)}${OWN.includes(name) && html`<span class="quiet small">${t(/** @type {any} */ (`right.${name}.about`))}</span>`}</span>
      </label>`)}
      ${add && key === "others" && html`<${Another} known=${names} addOne=${addOne} />`}
    </fieldset>`)}
  </div>`;
}

/** A permission that only an app behind the gate knows.
 * @param {{ known: string[], addOne: (name: string) => void }} given */
function Another({ known, addOne }) {
  const [name, setName] = useState("");
  const [wrong, setWrong] = useState("");
  const add = () => {
    const wanted = name.trim();
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(wanted) || wanted.length > 64) return setWrong(t("rights.add.form"));
    if (!known.includes(wanted)) addOne(wanted);
    setName("");
    setWrong("");
  };
  return html`<div class="field another">
    <label for="another-right">${t("rights.add")}</label>
    <span class="with-button">
      <input id="another-right" value=${name} autocapitalize="none" spellcheck="false" maxlength="64" placeholder="libraries-read"
        aria-invalid=${wrong ? "true" : undefined} aria-describedby="another-right-wrong"
        onInput=${(/** @type {any} */ event) => setName(event.currentTarget.value)}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          add();
        }} />
      <button type="button" onClick=${add}>${t("rights.add.yes")}</button>
    </span>
    <p class="wrong" id="another-right-wrong" role=${wrong ? "alert" : undefined}>${wrong}</p>
  </div>`;
}
