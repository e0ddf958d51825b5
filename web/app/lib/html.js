// The one place that names what others wrote.
import htm from "../../vendor/htm.js";
import { Fragment, h, render } from "../../vendor/preact.js";

export { Fragment, h, render };
export { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../../vendor/hooks.js";
export {
  batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect,
} from "../../vendor/signals.js";

/** @typedef {import("../../vendor/preact.js").ComponentChildren} Children */

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);
