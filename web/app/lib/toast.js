// Short news at the edge of the page, read out by a live region.
import { html, signal } from "./html.js";
import { t } from "./words.js";

const LIFE = 6000;
let next = 1;
const toasts = signal(/** @type {{ id: number, text: string, kind: "good" | "bad" }[]} */ ([]));

/** @param {string} text @param {"good" | "bad"} [kind] */
export function toast(text, kind = "good") {
  const id = next++;
  toasts.value = [...toasts.value.filter((one) => one.text !== text).slice(-2), { id, text, kind }];
  if (kind === "good") setTimeout(dismiss, LIFE, id);
}

/** @param {number} id */
const dismiss = (id) => {
  toasts.value = toasts.value.filter((one) => one.id !== id);
};

/** Takes all of them away: they may speak of whoever has gone. */
export const clear = () => {
  toasts.value = [];
};

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map(({ id, text, kind }) => html`<div key=${id} class="toast ${kind}">
      <span>${text}</span>
      <button type="button" class="ghost" aria-label=${t("dismiss")} onClick=${() => dismiss(id)}>×</button>
    </div>`)}
  </div>`;
}
