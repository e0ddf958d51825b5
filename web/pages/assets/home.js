// The first page: signs in, says who one is and where one is signed in, and signs out.
import { byId, get, onSubmit, post, remove, show, tell } from "./page.js";

const asked = new URLSearchParams(location.search);
if (location.search || location.hash) history.replaceState(null, "", location.pathname);

const ERRORS = {
  use_password: "This address has an account here already. Sign in with its password.",
  no_account: "Nobody here is known by that account. Ask an admin for an invitation.",
  registration_closed: "Registration is closed. Ask an admin for an invitation.",
  inactive: "This account may not sign in.",
  check_email: "Follow the link in the letter first.",
  email_unverified: "The provider has not verified your e-mail address.",
  expired: "That took too long. Try again.",
  wait: "Too many tries from here. Wait a few minutes.",
  provider: "The provider cannot be reached just now. Try again, or another way.",
  busy: "Many people are signing in. Try again in a moment.",
};

/// Only a path of our own, so that nobody is led elsewhere after signing in.
function wayBack() {
  const to = asked.get("to");
  if (!to || !/^\/(?![\/\\])[\x21-\x7e]*$/.test(to)) return null;
  const url = new URL(to, location.origin);
  return url.origin === location.origin ? url.href : null;
}

const element = (name, text) => {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
};

const moment = (text) =>
  new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

const SPOKEN = {
  native: "App",
  pages: "Browser",
  pin: "Tablet",
  pair: "App",
  signup: "App",
  gpodder: "Podcast client",
};

function sessionItem(session) {
  const item = document.createElement("li");
  const what = `${SPOKEN[session.dialect] ?? session.dialect}, from ${session.address || "this machine"}`;
  const told = document.createElement("div");
  told.append(element("b", session.current ? "This browser" : what));
  told.append(element("span", `last used ${moment(session.last_seen_at)}`));
  item.append(told);
  if (!session.current) {
    const end = element("button", "End");
    end.className = "small";
    end.setAttribute("aria-label", `End the session of ${what}`);
    end.addEventListener("click", () => endSession(end, session.id));
    item.append(end);
  }
  return item;
}

async function endSession(button, id) {
  button.disabled = true;
  const answer = await remove(`api/v1/user/sessions/${encodeURIComponent(id)}`);
  if (answer.ok || answer.status === 404) return home();
  if (answer.status === 401) return signIn();
  button.disabled = false;
  byId("home-wrong").textContent = answer.body.message;
}

async function home() {
  const [user, sessions] = await Promise.all([get("api/v1/user"), get("api/v1/user/sessions")]);
  if (user.status === 401 || sessions.status === 401) return signIn();
  if (!user.ok || !sessions.ok) return trouble((user.ok ? sessions : user).body.message);
  tell({ ...user.body, email: user.body.email ?? "none" });
  byId("home-wrong").textContent = "";
  byId("sessions").replaceChildren(...sessions.body.data.map(sessionItem));
  show("home", `Hello, ${user.body.display_name || user.body.username}`);
}

function trouble(why) {
  tell({ trouble: why });
  show("trouble", "That did not work");
}

async function signIn() {
  const answer = await get("api/v1/auth/options");
  if (!answer.ok) return trouble(answer.body.message);
  const { setup_required, registration_mode, providers } = answer.body;
  if (setup_required) return show("empty", "Welcome");
  byId("to-register").hidden = registration_mode === "closed";
  byId("providers").replaceChildren(...providers.map((provider) => {
    const way = element("a", `Sign in with ${provider.display_name}`);
    way.href = provider.login_url;
    way.className = "button quiet-button";
    const item = document.createElement("li");
    item.append(way);
    return item;
  }));
  const error = asked.get("error");
  if (error) byId("before").textContent = ERRORS[error] ?? "The sign-in did not work. Try again, or another way.";
  show("sign-in", "Sign in");
}

function knock(given) {
  byId("before").textContent = "";
  asked.delete("error");
  return post("api/v1/auth/session", given);
}

onSubmit(byId("sign-in-form"), knock, () => {
  byId("sign-in-form").reset();
  const to = wayBack();
  if (to) location.replace(to);
  else home();
});

byId("sign-out").addEventListener("click", async () => {
  const answer = await remove("api/v1/auth/session");
  if (answer.ok || answer.status === 401) return signIn();
  byId("home-wrong").textContent = answer.body.message;
});

home();
