// What stands where no page is.
import { html } from "../lib/html.js";
import { Link, Title } from "../lib/router.js";
import { t } from "../lib/words.js";

export const NotFound = () => html`<div class="card column">
  <${Title}>${t("not_found.title")}<//>
  <p>${t("not_found.text")}</p>
  <p class="links"><${Link} to="/">${t("to_home")}<//></p>
</div>`;

export const Forbidden = () => html`<div class="card column">
  <${Title}>${t("forbidden.title")}<//>
  <p>${t("forbidden.text")}</p>
  <p class="links"><${Link} to="/">${t("to_home")}<//></p>
</div>`;

export const Unreachable = () => html`<div class="card column">
  <${Title}>${t("unreachable.title")}<//>
  <p>${t("unreachable.text")}</p>
</div>`;
