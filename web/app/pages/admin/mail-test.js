// A letter to see whether letters arrive.
import { post } from "../../lib/api.js";
import { Field, FormOf, Submit, useForm } from "../../lib/forms.js";
import { html } from "../../lib/html.js";
import { user } from "../../lib/session.js";
import { toast } from "../../lib/toast.js";
import { Card } from "../../lib/ui.js";
import { t } from "../../lib/words.js";

/** @param {{ sent?: () => void }} given */
export function MailTest({ sent }) {
  const form = useForm({
    send: ({ email }) => post("/system/mail-test", { body: { email } }),
    done: () => {
      toast(t("mail_test.sent"));
      sent?.();
    },
  });
  return html`<${Card} title=${t("mail_test.title")} about=${t("mail_test.about")}>
    <${FormOf} form=${form}>
      <${Field} form=${form} name="email" type="email" label=${t("mail_test.to")} defaultValue=${user.value?.email ?? ""} autocomplete="email" />
      <${Submit} form=${form}>${t("mail_test.send")}<//>
    <//>
  <//>`;
}
