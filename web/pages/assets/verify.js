// Confirms an address or activates an account, once its owner says so.
import { byId, onSubmit, post, show, takeToken, tell } from "./page.js";

const WORDS = {
  "verify-email": {
    title: "Confirm your address",
    what: "Confirm that this address is yours:",
    care: "Did you make this account? If not, close this page; the address stays unconfirmed.",
    button: "Confirm the address",
    done: "The address is confirmed. You can sign in.",
  },
  activate: {
    title: "Activate your account",
    what: "Activate this account with your address:",
    care: "Did you make this account? If not, close this page; the account goes away by itself.",
    button: "Activate the account",
    done: "The account is active. You can sign in.",
  },
  "change-email": {
    title: "Confirm your new address",
    what: "From now on, this account has this address:",
    care: "Is this your account? If not, close this page; nothing changes.",
    button: "Confirm the new address",
    done: "The account has its new address now.",
  },
};

const token = takeToken();

onSubmit(byId("again-form"), (given) => post("api/v1/auth/resend-verification", given), () =>
  show("sent", "Look into your mailbox"),
);

function notValid(title) {
  show("again", title);
}

async function begin() {
  if (!token) return notValid("A link is missing");
  const answer = await post("api/v1/auth/link", { token });
  const words = WORDS[answer.body.purpose];
  if (!answer.ok && answer.status !== 400) {
    tell({ trouble: answer.body.message });
    return show("trouble", "That did not work");
  }
  if (!words) return notValid("This link does not work any more");
  tell({ ...answer.body, ...words });
  show("ask", words.title);
  onSubmit(byId("ask-form"), () => post("api/v1/auth/verify-email", { token }), () =>
    show("done", "Done"),
  );
}

begin();
