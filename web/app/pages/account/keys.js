// API keys: each is shown once, when it is made.
import { html } from "../../lib/html.js";
import { Title, ask, query } from "../../lib/router.js";
import { t } from "../../lib/words.js";
import { KeyList } from "./key-list.js";

export default function Keys() {
  const page = Number(query.value.get("page")) || 1;
  return html`<div class="column">
    <${KeyList} page=${page} go=${(/** @type {number} */ to) => ask({ page: to })} head=${(/** @type {any} */ make) => html`
      <div class="page-head"><${Title}>${t("account.keys")}<//>${make}</div>
      <p class="lead">${t("keys.about")}</p>`} />
  </div>`;
}
