// Chooses a new password by a link, or asks for such a link.
import { byId, onSubmit, post, show, takeToken, tell } from "./page.js";

const token = takeToken();

onSubmit(byId("forgot-form"), (given) => post("api/v1/auth/forgot-password", given), () =>
  show("sent", "Look into your mailbox"),
);

async function begin() {
  if (!token) return show("forgot", "Forgot your password?");
  const answer = await post("api/v1/auth/link", { token });
  if (!answer.ok && answer.status !== 400) {
    tell({ trouble: answer.body.message });
    return show("trouble", "That did not work");
  }
  if (answer.body.purpose !== "reset-password") {
    tell({ why: "The link is not valid or no longer valid. Ask for a new one." });
    return show("forgot", "This link does not work any more");
  }
  tell(answer.body);
  byId("username").value = answer.body.username;
  show("reset", "Choose a new password");
  const send = (given) =>
    post("api/v1/auth/reset-password", { token, new_password: given.new_password });
  onSubmit(byId("reset-form"), send, () => show("done", "Done"));
}

begin();
