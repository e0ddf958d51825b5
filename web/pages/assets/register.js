// Makes an account: by invitation, or as far as the house lets everybody.
import { byId, get, onSubmit, post, show, takeToken, tell } from "./page.js";

const invitation = takeToken();
const isInvitePage = location.pathname.endsWith("/invite");

function registered({ user, token }) {
  tell(user);
  if (!token) return show("pending", "Almost done");
  // The page signs nobody in: what came with the account ends here.
  post("api/v1/auth/logout", undefined, { authorization: `Bearer ${token}` });
  show("done", "Welcome");
}

function open(title) {
  const form = byId("register-form");
  onSubmit(form, ({ setup_token, ...given }) => {
    const more = {};
    if (invitation) more.invitation = invitation;
    if (setup_token) more.setup_token = setup_token;
    return post("api/v1/auth/register", { ...given, ...more });
  }, registered);
  show("register", title);
}

function stop(title, why) {
  tell({ trouble: why });
  show("trouble", title);
}

async function byInvitation() {
  const answer = await post("api/v1/auth/link", { token: invitation });
  if (!answer.ok && answer.status !== 400) return stop("That did not work", answer.body.message);
  if (answer.body.purpose !== "invitation") {
    return stop("This invitation does not work any more",
      "It was used, withdrawn or is too old. Ask whoever sent it for a new one.");
  }
  byId("invited").hidden = false;
  if (answer.body.email) {
    byId("email").value = answer.body.email;
    byId("email").readOnly = true;
  }
  open("You are invited");
}

async function begin() {
  if (invitation) return byInvitation();
  if (isInvitePage) {
    return stop("A link is missing", "Open this page by the link of your invitation.");
  }
  const answer = await get("api/v1/auth/options");
  if (!answer.ok) return stop("That did not work", answer.body.message);
  const { setup_required, registration_mode } = answer.body;
  if (setup_required) {
    byId("first").hidden = false;
    byId("setup").hidden = false;
  } else if (registration_mode === "closed") {
    return stop("Registration is closed", "Ask an admin for an invitation.");
  }
  open("Make an account");
}

begin();
