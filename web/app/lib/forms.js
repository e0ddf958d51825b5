// Forms: what is wrong stands at the field that it belongs to, what was typed stays, and a form is
// sent once at a time.
import { html, signal, useId, useMemo, useRef, useState } from "./html.js";
import { language, maybe, span, t } from "./words.js";

/** @typedef {import("../types").Problem} Problem */
/** @typedef {import("../types").Answer<any>} AnyAnswer */
/** @typedef {ReturnType<typeof useForm>} Form */

/** @param {string} text */
const sentence = (text) => {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return !whole || /[.!?…]$/.test(whole) ? whole : `${whole}.`;
};

/** What went wrong, in the reader's language; the server's own words where the catalogue has none.
 * @param {Problem} problem @param {string} [label] of the field that it speaks of */
export function explain(problem, label) {
  const { error, field = "", message, reason = "", limit, wait = 0 } = problem;
  const name = label ?? field;
  const own = sentence(message.startsWith(`${field} `) ? `${name} ${message.slice(field.length + 1)}` : message);
  const kind = maybe(`problem.${error}`, own || t("problem.internal"), { wait: span(wait) });
  // The server says it more exactly, in English; how long to wait is told better here.
  const text = language.value === "en" && own && error !== "too_many_requests" ? own : kind;
  const known = maybe(`problem.reason.${reason}`, text, { label: name, limit });
  return maybe(`problem.reason.${reason}.${field}`, known, { label: name, limit });
}

/** A form's state. `send` gets the values as typed and answers as the API does; `done` gets the data.
 * @param {{ send: (values: Record<string, string>) => Promise<AnyAnswer>, done?: (data: any, values: Record<string, string>) => void }} given */
export function useForm({ send, done }) {
  const state = useMemo(() => ({
    busy: signal(false),
    /** @type {import("../../vendor/signals.js").Signal<Record<string, string>>} */
    wrong: signal({}),
    general: signal(""),
  }), []);
  const element = useRef(/** @type {HTMLFormElement | null} */ (null));

  /** @param {string} name */
  const input = (name) => {
    const found = element.current?.elements.namedItem(name);
    return found instanceof HTMLElement && found.getAttribute("type") !== "hidden" ? found : null;
  };
  /** @param {HTMLElement} field */
  const label = (field) =>
    element.current?.querySelector(`label[for="${field.id}"]`)?.textContent?.trim() ?? "";

  /** Says what is wrong, at its field if the form has it, and leads there.
   * @param {Problem} problem */
  const complain = (problem) => {
    const field = problem.field ? input(problem.field) : null;
    if (problem.field && field) {
      state.wrong.value = { [problem.field]: explain(problem, label(field)) };
      field.focus();
    } else {
      state.general.value = explain(problem);
    }
  };

  const missing = () => {
    /** @type {Record<string, string>} */
    const found = {};
    for (const one of element.current?.elements ?? []) {
      if (one instanceof HTMLInputElement && one.required && one.name && !one.value.trim()) {
        found[one.name] = t("problem.reason.missing", { label: label(one) });
      }
    }
    return found;
  };

  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    if (state.busy.value || !element.current) return;
    state.general.value = "";
    const gaps = missing();
    state.wrong.value = gaps;
    const [first] = Object.keys(gaps);
    if (first) return input(first)?.focus();
    const values = /** @type {Record<string, string>} */ (Object.fromEntries(new FormData(element.current)));
    state.busy.value = true;
    const answer = await send(values);
    state.busy.value = false;
    if (answer.ok) done?.(answer.data, values);
    else complain(answer.problem);
  };
  return { ...state, element, submit, complain, reset: () => element.current?.reset() };
}

/** @param {any} given `form`, the children, and attributes */
export function FormOf({ form, children, ...rest }) {
  return html`<form ref=${form.element} novalidate onSubmit=${form.submit} aria-busy=${form.busy.value} ...${rest}>
    ${children}
    <p class="wrong general" role="alert">${form.general.value}</p>
  </form>`;
}

/** A label, an input and the place for what is wrong with it.
 * @param {any} given `form`, `name`, `label`, `hint`, `value` at the begin, and attributes of the input */
export function Field({ form, name, label, hint, value, optional = false, children, ...rest }) {
  const id = useId();
  const wrong = form.wrong.value[name];
  const described = [wrong && `${id}-wrong`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const more = { id, name, required: !optional, "aria-invalid": wrong ? "true" : undefined, "aria-describedby": described || undefined };
  return html`<div class="field">
    <label for=${id}>${label}${optional && html` <span class="quiet">${t("optional")}</span>`}</label>
    ${children ? children(more) : html`<input type="text" defaultValue=${value} ...${more} ...${rest} />`}
    <p class="wrong" id="${id}-wrong" role=${wrong ? "alert" : undefined}>${wrong}</p>
    ${hint && html`<p class="quiet hint" id="${id}-hint">${hint}</p>`}
  </div>`;
}

/** A password with a button that shows it.
 * @param {any} given as of `Field`; `fresh` for one to be chosen */
export function PasswordField({ form, fresh = false, ...rest }) {
  const [shown, setShown] = useState(false);
  const autocomplete = fresh ? "new-password" : "current-password";
  return html`<${Field} form=${form} ...${rest} hint=${fresh ? t("password.hint") : rest.hint}>
    ${(/** @type {any} */ more) => html`<span class="with-button">
      <input type=${shown ? "text" : "password"} autocomplete=${autocomplete} autocapitalize="none" spellcheck="false" ...${more} />
      <button type="button" class="ghost" aria-pressed=${shown} aria-label=${t("password.show")} title=${t("password.show")}
        onClick=${() => setShown(!shown)}><${Eye} /></button>
    </span>`}
  <//>`;
}

function Eye() {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z" /><circle cx="12" cy="12" r="3" /></svg>`;
}

/** A choice among few: `options` are `[value, text]`.
 * @param {any} given */
export function Select({ form, options, value, onChange, ...rest }) {
  // Given as it begins, like other fields: drawing it again leaves what was chosen.
  const begin = useMemo(() => value, []);
  return html`<${Field} form=${form} ...${rest}>
    ${(/** @type {any} */ more) => html`<select ...${more} onChange=${onChange}>
      ${options.map((/** @type {[string, string]} */ [name, text]) => html`<option key=${name} value=${name} defaultSelected=${name === begin}>${text}</option>`)}
    </select>`}
  <//>`;
}

/** @param {any} given `form`, the button's text, and attributes */
export function Submit({ form, children, ...rest }) {
  const busy = form.busy.value;
  return html`<button type="submit" ...${rest} class="strong ${rest.class ?? ""}" aria-disabled=${busy} data-busy=${busy || undefined}>${children}</button>`;
}
