import { html } from "../../lib/html.js";
import { Title } from "../../lib/router.js";
import { t } from "../../lib/words.js";

export default function Outbox() {
  return html`<${Title}>${t("admin.outbox")}<//>`;
}
