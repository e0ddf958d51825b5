// What pages are put together from: cards, buttons that work, questions, tables, what is loaded.
import { returns } from "./connection.js";
import { explain } from "./forms.js";
import { html, signal, useEffect, useId, useMemo, useRef, useState } from "./html.js";
import { toast } from "./toast.js";
import { count, t } from "./words.js";

/** @typedef {import("../types").Answer<any>} AnyAnswer */

/** Something that is asked of the server: `const people = useLoad(() => get("/users"), [page])`. It is
 * asked again when `needs` change, and when a server that was away is back.
 * @template T
 * @param {() => Promise<import("../types").Answer<T>>} ask @param {unknown[]} [needs] */
export function useLoad(ask, needs = []) {
  const state = useMemo(() => ({
    data: signal(/** @type {T | null} */ (null)),
    problem: signal(/** @type {import("../types").Problem | null} */ (null)),
    busy: signal(true),
    turn: 0,
  }), []);
  const reload = async () => {
    const turn = ++state.turn;
    state.busy.value = true;
    const answer = await ask();
    // A later question has been asked meanwhile.
    if (turn !== state.turn) return;
    state.busy.value = false;
    if (answer.ok) {
      state.data.value = answer.data;
      state.problem.value = null;
    } else {
      state.problem.value = answer.problem;
    }
  };
  const back = returns.value;
  useEffect(() => void reload(), [...needs, back]);
  return { ...state, reload };
}

/** Draws what was loaded; until then it says so after a moment, and what went wrong.
 * @param {{ of: any, children: (data: any) => any }} given */
export function Loaded({ of, children }) {
  const { data, problem, busy, reload } = of;
  if (data.value !== null) {
    return html`<div aria-busy=${busy.value}>
      ${problem.value && html`<${Trouble} problem=${problem.value} again=${reload} />`}
      ${children(data.value)}
    </div>`;
  }
  if (problem.value) return html`<${Trouble} problem=${problem.value} again=${reload} />`;
  return html`<${Waiting} />`;
}

/** Seen after 300 ms only: what comes at once does not flicker. */
export function Waiting() {
  return html`<p class="waiting quiet" role="status">${t("loading")}</p>`;
}

/** @param {{ problem: any, again?: () => void }} given */
export function Trouble({ problem, again }) {
  return html`<div class="notice bad" role="alert">
    <p>${explain(problem)}</p>
    ${again && html`<button type="button" onClick=${again}>${t("again")}</button>`}
  </div>`;
}

/** A part of a page with a heading of its own.
 * @param {any} given */
export function Card({ title, about, actions, children, ...rest }) {
  const id = useId();
  return html`<section class="card" aria-labelledby=${title ? id : undefined} ...${rest}>
    ${title && html`<header><h2 id=${id}>${title}</h2>${actions}</header>`}
    ${about && html`<p class="quiet about">${about}</p>`}
    ${children}
  </section>`;
}

/** A button that does something and waits for it. `act` answers as the API does, or nothing.
 * @param {any} given */
export function Act({ act, done, children, ...rest }) {
  const [busy, setBusy] = useState(false);
  const live = useRef(true);
  useEffect(() => () => void (live.current = false), []);
  const click = async () => {
    if (busy) return;
    setBusy(true);
    const answer = /** @type {AnyAnswer | undefined} */ (await act());
    if (live.current) setBusy(false);
    if (answer?.ok) done?.(answer.data);
    else if (answer) toast(explain(answer.problem), "bad");
  };
  return html`<button type="button" onClick=${click} aria-disabled=${busy} data-busy=${busy || undefined} ...${rest}>${children}</button>`;
}

/** A window above the page; `open` shows it. Escape and the button close it, and the focus goes back.
 * @param {any} given `open`, `onClose`, `title`, children */
export function Dialog({ open, onClose, title, children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    if (open && dialog && !dialog.open) dialog.showModal();
    else if (!open && dialog?.open) dialog.close();
  }, [open]);
  return html`<dialog ref=${element} aria-labelledby=${id} onClose=${onClose}>
    ${open && html`<h2 id=${id}>${title}</h2>${children}`}
  </dialog>`;
}

/** @typedef {{ title: string, text: string, yes: string, danger?: boolean, settle: (yes: boolean) => void }} Question */
const question = signal(/** @type {Question | null} */ (null));

/** Asks before what cannot be undone: `if (await confirm({ title, text, yes })) …`.
 * @param {Omit<Question, "settle">} asked @returns {Promise<boolean>} */
export const confirm = (asked) =>
  new Promise((settle) => {
    question.value = { danger: true, ...asked, settle };
  });

/** Where questions appear; the layout has it. */
export function Questions() {
  const asked = question.value;
  /** @param {boolean} yes */
  const settle = (yes) => {
    question.value = null;
    asked?.settle(yes);
  };
  return html`<${Dialog} open=${asked !== null} onClose=${() => question.peek() && settle(false)} title=${asked?.title}>
    <p>${asked?.text}</p>
    <div class="actions">
      <button type="button" onClick=${() => settle(false)}>${t("cancel")}</button>
      <button type="button" class=${asked?.danger ? "danger" : "strong"} onClick=${() => settle(true)}>${asked?.yes}</button>
    </div>
  <//>`;
}

/** A table that becomes a list of cards on a phone. `columns` are `{ title, of, main, actions }`: `of`
 * draws a row's cell.
 * @param {{ columns: { title: string, of: (row: any) => any, main?: boolean, actions?: boolean }[], rows: any[], caption: string, keyOf?: (row: any) => unknown, empty?: any }} given */
export function Table({ columns, rows, caption, keyOf = (row) => row.id, empty }) {
  if (!rows.length) return html`<div class="empty quiet">${empty ?? t("nothing")}</div>`;
  return html`<table>
    <caption class="unseen">${caption}</caption>
    <thead><tr>${columns.map(({ title, actions }) => html`<th scope="col">${actions ? html`<span class="unseen">${title}</span>` : title}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)}>
      ${columns.map(({ title, of, main, actions }) => main
        ? html`<th scope="row">${of(row)}</th>`
        : html`<td class=${actions ? "row-actions" : undefined} data-title=${actions ? undefined : title}>${of(row)}</td>`)}
    </tr>`)}</tbody>
  </table>`;
}

/** The way through a long list.
 * @param {{ list: { page: number, page_size: number, total: number }, go: (page: number) => void }} given */
export function Pager({ list: { page, page_size, total }, go }) {
  const last = Math.max(1, Math.ceil(total / page_size));
  return html`<nav class="pager" aria-label=${t("pager.label")}>
    <span class="quiet" role="status">${count("pager.total", total)}${last > 1 && ` · ${t("pager.page", { page, last })}`}</span>
    ${last > 1 && html`<span class="actions">
      <button type="button" disabled=${page <= 1} onClick=${() => go(page - 1)}>${t("pager.back")}</button>
      <button type="button" disabled=${page >= last} onClick=${() => go(page + 1)}>${t("pager.on")}</button>
    </span>`}
  </nav>`;
}

/** Something to carry elsewhere: a link, a key. Shown once in full, with a button that copies it.
 * @param {{ text: string, label: string }} given */
export function Copy({ text, label }) {
  const id = useId();
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const copy = async () => {
    field.current?.select();
    try {
      await navigator.clipboard.writeText(text);
      toast(t("copied"));
    } catch {
      // Not on plain http: then the old way, for what is selected.
      toast(document.execCommand("copy") ? t("copied") : t("copy_by_hand"));
    }
  };
  return html`<div class="field copy">
    <label for=${id}>${label}</label>
    <span class="with-button">
      <input id=${id} ref=${field} readonly value=${text} onFocus=${() => field.current?.select()} />
      <button type="button" class="strong" onClick=${copy}>${t("copy")}</button>
    </span>
  </div>`;
}

/** A small word about a state.
 * @param {{ kind?: "good" | "bad" | "wait" | "plain", children: any }} given */
export const Badge = ({ kind = "plain", children }) => html`<span class="badge ${kind}">${children}</span>`;
