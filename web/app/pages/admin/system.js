import { html } from "../../lib/html.js";
import { Title } from "../../lib/router.js";
import { t } from "../../lib/words.js";

export default function System() {
  return html`<${Title}>${t("admin.system")}<//>`;
}
