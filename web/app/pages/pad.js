// The PIN pad: who, then digits, with keys for fingers. The keys of a keyboard do as well.
import { post } from "../lib/api.js";
import { choices, forgetAll, remembered } from "../lib/enter.js";
import { explain } from "../lib/forms.js";
import { html, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { signedIn } from "../lib/session.js";
import { t } from "../lib/words.js";

const LONGEST = 12;
const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];

/** @typedef {import("../lib/enter.js").Known} Known */

/** @param {{ other: () => void }} given */
export function Pad({ other }) {
  const [people, setPeople] = useState(choices());
  const [who, setWho] = useState(/** @type {Known | null} */ (people.length === 1 ? people[0] : null));
  const forget = () => {
    forgetAll();
    setPeople(choices());
    if (!choices().length) other();
  };
  return html`${who
    ? html`<${Keys} who=${who} back=${people.length > 1 && (() => setWho(null))} />`
    : html`<p id="who">${t("pad.who")}</p>
      <ul class="faces" aria-labelledby="who">${people.map((one) => html`<li key=${one.username}>
        <button type="button" onClick=${() => setWho(one)}><span class="face" aria-hidden="true">${[...one.name][0].toUpperCase()}</span>${one.name}</button>
      </li>`)}</ul>`}
    <p class="links">
      <button type="button" class="plain-link" onClick=${other}>${t("pad.by_password")}</button>
      ${!who && remembered().length > 0 && html`<button type="button" class="plain-link" onClick=${forget}>${t("pad.forget")}</button>`}
    </p>`;
}

/** @param {{ who: Known, back: false | (() => void) }} given */
function Keys({ who, back }) {
  const [pin, setPin] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  // At once, so that the first digit of a keyboard finds it.
  useLayoutEffect(() => field.current?.focus(), []);
  const put = (/** @type {string} */ text) => setPin(text.replace(/\D/g, "").slice(0, LONGEST));
  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy || !pin) return;
    setBusy(true);
    const answer = await post("/auth/session", { body: { username: who.username, pin } });
    setBusy(false);
    if (answer.ok) return signedIn(answer.data.user);
    setWrong(answer.status === 401 ? t("pad.wrong") : explain(answer.problem));
    // Whoever mistyped begins anew; whoever was not heard need not.
    if (answer.status === 401) setPin("");
    field.current?.focus();
  };
  return html`<form class="pad" onSubmit=${send} novalidate aria-busy=${busy}>
    <p class="pad-who"><span class="face" aria-hidden="true">${[...who.name][0].toUpperCase()}</span><b>${who.name}</b>
      ${back && html`<button type="button" class="plain-link" onClick=${back}>${t("pad.other")}</button>`}</p>
    <label class="unseen" for="pin">${t("pin")}</label>
    <input id="pin" ref=${field} type="password" inputmode="none" autocomplete="off" maxlength=${LONGEST} value=${pin}
      aria-invalid=${wrong ? "true" : undefined} aria-describedby="pin-wrong"
      onInput=${(/** @type {any} */ event) => put(event.currentTarget.value)} />
    <p class="wrong" id="pin-wrong" role="alert">${wrong}</p>
    <div class="keys">
      ${DIGITS.map((digit) => html`<button type="button" onClick=${() => put(pin + digit)}>${digit}</button>`)}
      <button type="button" aria-label=${t("pad.back")} onClick=${() => put(pin.slice(0, -1))}>⌫</button>
      <button type="button" onClick=${() => put(`${pin}0`)}>0</button>
      <button type="submit" class="strong" aria-label=${t("sign_in.title")} data-busy=${busy || undefined}>${busy ? "" : "→"}</button>
    </div>
  </form>`;
}
