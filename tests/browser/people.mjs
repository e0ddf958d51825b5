// What people see: the first run, signing in, what letters lead to, home, their account.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { House, PASSWORD, Visit, must, same, until } from "./house.mjs";

const NEW = "Elder-berry-9";

/** What a refused form and a used link say in the console. */
const REFUSED = /Failed to load resource: .*status of (400|401|403|409|422)/;

/** A settled house, and ann's browser in it. */
async function signedIn(binary, settings) {
  const house = await House.open(binary, settings);
  await house.settle();
  const visit = await Visit.begin(house);
  await visit.signIn();
  return { house, visit, page: visit.page };
}

async function leave(...all) {
  for (const one of all) await (one instanceof Visit ? one.end() : one.close());
}

/** The OpenID provider that the Rust tests sign in through as well. */
async function startProvider(redirect) {
  must(process.env.OIDC_PROVIDER_DIR, "OIDC_PROVIDER_DIR names the folder of tests/oidc's packages");
  const server = fileURLToPath(new URL("../oidc/server.mjs", import.meta.url));
  const process_ = spawn(process.execPath, [server, redirect], { stdio: ["pipe", "pipe", "ignore"] });
  let said = "";
  process_.stdout.on("data", (text) => (said += text));
  const issuer = await until(async () => /^issuer (\S+)/m.exec(said)?.[1], "the provider listens");
  return { process: process_, issuer };
}

const field = (page, label) => page.getByLabel(label, { exact: true });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const submit = (page) => page.keyboard.press("Enter");

/** Everything that the browser keeps, as text. */
const storage = (page) =>
  page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href, history.state]));

export default {
  async "the first run makes the admin, by keyboard alone"(binary) {
    const house = await House.open(binary);
    const visit = await Visit.begin(house);
    const { page } = visit;
    await visit.goto("/", "Welcome to your Gatelodge");
    same(new URL(page.url()).pathname, "/setup", "the address");
    await visit.look("setup");
    must(!await field(page, "Set-up token").count(), "no token at home");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    for (let i = 0; i < 10 && !await field(page, "User name").evaluate((one) => one === document.activeElement); i++) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.type("ann");
    await page.keyboard.press("Tab");
    await page.keyboard.type("ann@example.org");
    await page.keyboard.press("Tab");
    await page.keyboard.type("password");
    visit.expects(REFUSED);
    await submit(page);
    const wrong = page.getByText("This password is among the most common.");
    await wrong.waitFor();
    same(await field(page, "User name").inputValue(), "ann", "what was typed stays");
    must(await field(page, "Password").evaluate((one) => one === document.activeElement), "the focus is at what is wrong");
    await visit.look("setup-wrong");
    await page.keyboard.press("Control+A");
    await page.keyboard.type(PASSWORD);
    await submit(page);
    await visit.heading("Set-up checklist");
    await visit.look("checklist");
    must(!(await storage(page)).includes(PASSWORD), "no password is kept");
    await page.reload();
    await visit.heading("Set-up checklist");
    await leave(visit, house);
  },

  async "from outside the first run asks for the token"(binary) {
    const house = await House.open(binary);
    const visit = await Visit.begin(house, { extraHTTPHeaders: { "x-forwarded-for": "203.0.113.7" } });
    const { page } = visit;
    await visit.goto("/", "Welcome to your Gatelodge");
    await visit.look("setup-token");
    visit.expects(REFUSED);
    await field(page, "User name").fill("ann");
    await field(page, "E-mail address").fill("ann@example.org");
    await field(page, "Password").fill(PASSWORD);
    await field(page, "Set-up token").fill("guess");
    await submit(page);
    await page.getByText("needs the set-up token that the server printed").waitFor();
    await field(page, "Set-up token").fill(/token[^:]*: *(\w{20,})/i.exec(house.log)?.[1] ?? /(\b\w{32}\b)/.exec(house.log)?.[1] ?? "");
    await submit(page);
    await visit.heading("Set-up checklist");
    await leave(visit, house);
  },

  async "signing in and out by keyboard alone, back to where one wanted to go"(binary) {
    const house = await House.open(binary);
    await house.settle();
    const visit = await Visit.begin(house);
    const { page } = visit;
    await visit.goto("/account/security", "Sign in");
    await visit.look("sign-in");
    await until(() => field(page, "Name or e-mail").evaluate((one) => one === document.activeElement), "the first field has the focus");
    visit.expects(REFUSED);
    await page.keyboard.type("ann");
    await page.keyboard.press("Tab");
    await page.keyboard.type("not-this");
    await submit(page);
    await page.getByText("Wrong name or password.").waitFor();
    await visit.look("sign-in-wrong");
    same(await field(page, "Name or e-mail").inputValue(), "ann", "the name stays");
    await field(page, "Password").focus();
    await page.keyboard.press("Control+A");
    await page.keyboard.type(PASSWORD);
    await submit(page);
    await visit.heading("Password and PIN");
    same(new URL(page.url()).pathname + new URL(page.url()).search, "/account/security", "the address");
    must(await page.getByRole("heading", { level: 1 }).evaluate((one) => one === document.activeElement), "the focus is at the heading");
    same(await page.title(), "Password and PIN · Gatelodge", "the title");
    same(await storage(page), JSON.stringify([{}, {}, page.url(), null]), "nothing is kept");
    await visit.goto("/sign-in", /Hello, Ann Miller/);
    await button(page, "Sign out").focus();
    await submit(page);
    await visit.heading("Sign in");
    await leave(visit, house);
  },

  async "no link leads to another host after signing in"(binary) {
    const house = await House.open(binary);
    await house.settle();
    for (const to of ["https://example.org/", "//example.org", "/\\example.org", "javascript:alert(1)", "/%2f/example.org"]) {
      const visit = await Visit.begin(house);
      visit.expects(/404/);
      await visit.page.goto(`/sign-in?to=${encodeURIComponent(to)}`);
      await field(visit.page, "Name or e-mail").fill("ann");
      await field(visit.page, "Password").fill(PASSWORD);
      await submit(visit.page);
      await button(visit.page, "Sign out").waitFor();
      same(new URL(visit.page.url()).origin, house.url, to);
      await visit.end();
    }
    await house.close();
  },

  async "names are remembered on this device only for who wants it, and the pad takes a PIN"(binary) {
    const house = await House.open(binary, "server:\n  listen: 127.0.0.1:{port}\npin:\n  list_users: false\n");
    const token = await house.settle();
    await house.ask("POST", "/user/pin", { current_password: PASSWORD, pin: "246810" }, token);
    const { id } = await house.ask("POST", "/users", { username: "bob", display_name: "Bob", password: PASSWORD }, token);
    await house.ask("POST", `/users/${id}/pin`, { pin: "1357" }, token);
    const visit = await Visit.begin(house, { hasTouch: true });
    const { page } = visit;
    visit.expects(REFUSED);
    await visit.goto("/sign-in", "Sign in");
    must(!await button(page, "Sign in by PIN").count(), "strangers choose among nobody");
    for (const name of ["ann", "bob"]) {
      await field(page, "Name or e-mail").fill(name);
      await field(page, "Password").fill(PASSWORD);
      await page.getByLabel("Remember my name").check();
      await submit(page);
      await button(page, "Sign out").click();
      await visit.heading("Sign in");
    }
    const kept = await storage(page);
    must(kept.includes("bob") && !kept.includes(PASSWORD) && !kept.includes("session"), kept);
    await button(page, "Sign in by PIN").click();
    await visit.look("pad-who");
    await page.getByRole("button", { name: "Ann Miller" }).click();
    for (const digit of "1111") await button(page, digit).click();
    await visit.look("pad");
    await button(page, "Sign in").click();
    await page.getByText("That PIN is not right").waitFor();
    await visit.look("pad-wrong");
    for (const digit of "2468109") await button(page, digit).click();
    await button(page, "Take the last digit back").click();
    await button(page, "Sign in").click();
    await visit.heading("Hello, Ann Miller");
    await button(page, "Sign out").click();
    await page.getByRole("button", { name: "Bob" }).focus();
    await submit(page);
    await page.keyboard.type("1357");
    await submit(page);
    await visit.heading("Hello, Bob");
    await button(page, "Sign out").click();
    await button(page, "Forget the names on this device").click();
    await field(page, "Password").waitFor();
    must(!(await storage(page)).includes("bob"), "forgotten");
    await leave(visit, house);
  },

  async "inside the house the pad shows who has a PIN"(binary) {
    const house = await House.open(binary);
    const token = await house.settle();
    await house.ask("POST", "/user/pin", { current_password: PASSWORD, pin: "246810" }, token);
    const visit = await Visit.begin(house);
    await visit.goto("/sign-in", "Sign in");
    await button(visit.page, "Sign in by PIN").click();
    await until(() => field(visit.page, "PIN").evaluate((one) => one === document.activeElement), "the focus is where digits go");
    await visit.page.keyboard.type("246810");
    await submit(visit.page);
    await visit.heading("Hello, Ann Miller");
    await leave(visit, house);
  },

  async "an invitation becomes an account, once, and its token is nowhere"(binary) {
    const house = await House.open(binary);
    const token = await house.settle();
    const { link } = await house.ask("POST", "/invitations", { email: "cleo@example.org" }, token);
    const secret = new URL(link, house.url).searchParams.get("token");
    const visit = await Visit.begin(house);
    const { page } = visit;
    visit.expects(REFUSED);
    await visit.goto(new URL(link, house.url).pathname + new URL(link, house.url).search, "You are invited");
    must(!(await storage(page)).includes(secret), "the token has left the address");
    await visit.look("invite");
    same(await field(page, "E-mail address").inputValue(), "cleo@example.org", "the address");
    await field(page, "User name").fill("ann");
    await field(page, "Password").fill(PASSWORD);
    await submit(page);
    await page.getByText("User name is already in use.").waitFor();
    await field(page, "User name").fill("cleo");
    await submit(page);
    await visit.heading("Hello, cleo");
    same((await house.ask("GET", "/users?q=cleo", undefined, token)).data[0].status, "active", "cleo");
    await page.goBack().catch(() => {});
    must(!page.url().includes(secret), "and is not in the history");
    await visit.goto("/", "Hello, cleo");
    await button(page, "Sign out").click();
    await visit.goto(link.replace(/^https?:\/\/[^/]+/, ""), "This invitation does not work any more");
    await visit.look("invite-used");
    await visit.goto("/invite", "A link is missing");
    await leave(visit, house);
  },

  async "registration, activation and a forgotten password go by letters' links"(binary) {
    const house = await House.open(binary, "server:\n  listen: 127.0.0.1:{port}\n  public_url: http://127.0.0.1:{port}\nregistration:\n  mode: invite\n");
    const token = await house.settle();
    const visit = await Visit.begin(house);
    const { page } = visit;
    const way = async (purpose) => {
      const find = async () => (await house.ask("GET", "/outbox", undefined, token)).data.find((one) => one.purpose === purpose && one.link);
      const { link } = await until(find, `a letter to ${purpose}`);
      return link.replace(/^https?:\/\/[^/]+/, "");
    };
    visit.expects(REFUSED);
    await visit.goto("/sign-in", "Sign in");
    await page.getByRole("link", { name: "Make an account" }).click();
    await visit.heading("Make an account");
    await visit.look("register");
    await field(page, "User name").fill("dan");
    await field(page, "E-mail address").fill("dan@example.org");
    await field(page, "Password").fill(PASSWORD);
    await submit(page);
    await visit.heading("Almost done");
    await visit.look("register-pending");
    await visit.goto(await way("activate"), "Activate your account");
    must(!page.url().includes("token"), "the token has left the address");
    await visit.look("activate");
    await button(page, "Activate your account").click();
    await visit.heading("Done");
    await visit.signIn("dan");
    await button(page, "Sign out").click();

    await page.getByRole("link", { name: "Forgot your password?" }).click();
    await visit.heading("Forgot your password?");
    await visit.look("reset-forgot");
    await field(page, "E-mail address").fill("dan@example.org");
    await submit(page);
    await visit.heading("Look into your mailbox");
    await visit.goto(await way("reset-password"), "Choose a new password");
    await visit.look("reset");
    await field(page, "New password").fill("short");
    await submit(page);
    await page.getByText("New password must have at least 8 characters.").waitFor();
    await field(page, "New password").fill(NEW);
    await submit(page);
    await visit.heading("The password is changed");
    await visit.signIn("dan", NEW);
    await visit.goto("/verify", "A link is missing");
    await visit.look("verify-missing");
    await visit.goto("/verify?token=old", "This link does not work any more");
    await field(page, "E-mail address").fill("dan@example.org");
    await submit(page);
    await visit.heading("Look into your mailbox");
    await leave(visit, house);
  },

  async "home tells who one is and where apps connect"(binary) {
    const { house, visit, page } = await signedIn(binary);
    await visit.goto("/", "Hello, Ann Miller");
    await page.getByText("Podcast clients").waitFor();
    await page.locator("code", { hasText: `${house.url}/api/v1` }).waitFor();
    await page.getByRole("heading", { name: "Recent sign-ins" }).waitFor();
    await until(async () => await page.locator("time").count() > 1, "the last sign-ins");
    await visit.look("home");
    visit.expects(/404.*nowhere/);
    await visit.goto("/nowhere", "There is no such page");
    await visit.look("not-found");
    await page.getByRole("link", { name: "To the first page" }).click();
    await visit.heading("Hello, Ann Miller");
    await leave(visit, house);
  },

  async "the profile takes a name and asks for an address by letter"(binary) {
    const { house, visit, page } = await signedIn(binary);
    await visit.goto("/account", "My account");
    await visit.look("account");
    await field(page, "Name to be called by (optional)").fill("Ann Other");
    await button(page, "Save").click();
    await page.getByText("Saved").waitFor();
    await page.locator(".who", { hasText: "Ann Other" }).waitFor();
    visit.expects(REFUSED);
    await field(page, "New address").fill("not an address");
    await field(page, "Current password").fill(PASSWORD);
    await button(page, "Change the address").click();
    await page.getByText("Write an address like name@example.org").waitFor();
    await field(page, "New address").fill("other@example.org");
    await button(page, "Change the address").click();
    await page.getByText("Follow the link in the letter to other@example.org").waitFor();
    await visit.look("account-letter");
    await leave(visit, house);
  },

  async "password and PIN are changed and removed"(binary) {
    const { house, visit, page } = await signedIn(binary);
    await visit.goto("/account/security", "Password and PIN");
    await visit.look("account-security");
    const part = (name) => page.getByRole("region", { name, exact: true });
    visit.expects(REFUSED);
    const password = part("Password");
    await password.getByLabel("Current password", { exact: true }).fill("wrong-one");
    await password.getByLabel("New password", { exact: true }).fill(NEW);
    await button(password, "Change the password").click();
    await password.getByText("Current password is not right.").waitFor();
    await password.getByLabel("Current password", { exact: true }).fill(PASSWORD);
    await button(password, "Change the password").click();
    await page.getByText("The password is changed; other sessions have ended.").waitFor();
    const pin = part("PIN");
    await pin.getByLabel("New PIN", { exact: true }).fill("12");
    await pin.getByLabel("Current password", { exact: true }).fill(NEW);
    await button(pin, "Set the PIN").click();
    await pin.getByText("A PIN has 4 to 12 digits.").waitFor();
    await pin.getByLabel("New PIN", { exact: true }).fill("24680");
    await button(pin, "Set the PIN").click();
    await pin.getByText("You have one.").waitFor();
    await button(pin, "Remove the PIN").click();
    await pin.getByLabel("Current password", { exact: true }).fill(NEW);
    await button(pin, "Remove the PIN").click();
    await pin.getByText("You have none.").waitFor();
    await leave(visit, house);
  },

  async "a key is shown once, works, is edited and revoked"(binary) {
    const { house, visit, page } = await signedIn(binary);
    await visit.goto("/account/keys", "API keys");
    await visit.look("account-keys-none");
    await button(page, "Make a key").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("What it is for").fill("Backup of the NAS");
    await dialog.getByLabel("Expires").selectOption("90");
    await dialog.getByLabel("only what I choose").check();
    await dialog.getByLabel("See people").check();
    await visit.look("account-keys-make");
    await button(dialog, "Make a key").click();
    const key = await dialog.getByLabel("Key", { exact: true }).inputValue();
    must(key.startsWith("lodge_"), "a key");
    await visit.look("account-keys-made");
    must((await fetch(`${house.url}/api/v1/users`, { headers: { "x-api-key": key } })).ok, "it works");
    await button(dialog, "I have kept it").click();
    await page.getByText("Backup of the NAS").waitFor();
    must(!(await page.content()).includes(key) && !(await storage(page)).includes(key), "it is gone");
    await page.reload();
    await visit.heading("API keys");
    await page.getByText("See people").waitFor();
    await visit.look("account-keys");
    await button(page, "Edit Backup of the NAS").click();
    await dialog.getByLabel("What it is for").fill("NAS");
    await dialog.getByLabel("Expires").selectOption("never");
    await dialog.getByLabel("everything that I may").check();
    await button(dialog, "Save").click();
    await until(async () => !await dialog.isVisible(), "it is saved");
    await page.getByText("everything that I may").waitFor();
    await button(page, "Revoke “NAS”?").click();
    await dialog.waitFor();
    must(await button(dialog, "Cancel").evaluate((one) => one === document.activeElement), "the focus is at what is safe");
    await page.keyboard.press("Escape");
    await until(async () => !await dialog.isVisible(), "Escape leaves it");
    await button(page, "Revoke “NAS”?").click();
    await visit.look("account-keys-revoke");
    await button(dialog, "Revoke").click();
    await page.getByText("You have no keys.").waitFor();
    same((await fetch(`${house.url}/api/v1/users`, { headers: { "x-api-key": key } })).status, 401, "the key");
    await leave(visit, house);
  },

  async "sessions end one by one and all at once, and a page whose session ended says so"(binary) {
    const { house, visit, page } = await signedIn(binary);
    const other = await Visit.begin(house, { userAgent: "Mozilla/5.0 (Android 15) Firefox/140.0" });
    await other.signIn();
    await visit.goto("/account/sessions", "Sessions");
    await page.getByText("Firefox on Android").waitFor();
    await visit.look("account-sessions");
    await button(page, "Sign out Firefox on Android").click();
    await until(async () => !await page.getByText("Firefox on Android").count(), "it goes");
    other.expects(/status of 401/);
    await other.page.getByRole("link", { name: "My account" }).click();
    await other.page.getByRole("link", { name: "Sessions", exact: true }).click();
    await other.heading("Sign in");
    await other.page.getByText("Your session has ended.").waitFor();
    await other.look("sign-in-ended");
    await field(other.page, "Name or e-mail").fill("ann");
    await field(other.page, "Password").fill(PASSWORD);
    await submit(other.page);
    await other.heading("Sessions");
    await button(page, "Sign out everywhere else").click();
    await button(page.getByRole("dialog"), "Sign out everywhere else").click();
    await page.getByText("Signed out.").waitFor();
    await until(async () => await page.locator(".rows > li").count() === 1, "one is left");
    await leave(other, visit, house);
  },

  async "linked sign-ins are shown, and what a provider refuses is told"(binary) {
    const { house, visit, page } = await signedIn(binary, `server:
  listen: 127.0.0.1:{port}
  public_url: http://127.0.0.1:{port}
sso:
  providers:
    cellar:
      display_name: Cellar
      issuer_url: http://127.0.0.1:9
      client_id: gatelodge
      client_secret: not-much-of-a-secret
`);
    await visit.goto("/account/links", "Linked sign-ins");
    await visit.look("account-links");
    visit.expects(/status of (503|401|422)/);
    await button(page, "Link Cellar").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Current password", { exact: true }).fill("wrong");
    await button(dialog, "Go on").click();
    await dialog.getByText("Current password is not right.").waitFor();
    await visit.look("account-links-leave");
    await dialog.getByLabel("Current password", { exact: true }).fill(PASSWORD);
    await button(dialog, "Go on").click();
    await dialog.getByRole("alert").filter({ hasText: /\w/ }).first().waitFor();
    await button(dialog, "Cancel").click();
    await button(page, "Sign out").click();
    await visit.heading("Sign in");
    await visit.look("sign-in-providers");
    await page.getByRole("link", { name: "Sign in with Cellar" }).click();
    await page.getByText("The provider cannot be reached just now.").waitFor();
    must(!page.url().includes("error"), "the address is clean");
    await leave(visit, house);
  },

  async "through a provider one signs in, links, unlinks"(binary) {
    let provider;
    const house = await House.open(binary, async (url) => {
      const started = await startProvider(`${url}/auth/sso/callback`);
      provider = started.process;
      return `server:
  listen: 127.0.0.1:{port}
  public_url: ${url}
sso:
  providers:
    cellar:
      display_name: Cellar
      issuer_url: ${started.issuer}
      client_id: gatelodge-RS256
      client_secret: "secret: of & RS256"
`;
    });
    await house.settle();
    const visit = await Visit.begin(house);
    const { page } = visit;
    // What the provider's own pages say.
    visit.expects(/fonts\.|Content Security Policy.*fonts|favicon/);
    const there = async () => {
      await page.locator("input[name=login]").fill("ann");
      await page.locator("input[name=password]").fill("any");
      await page.locator("button[type=submit]").click();
      const consent = page.locator("button[type=submit]", { hasText: "Continue" });
      await consent.or(page.getByRole("button", { name: "Sign out" }).or(page.getByRole("heading", { name: "Sign in" }))).first().waitFor();
      if (await consent.count()) await consent.click();
    };
    await visit.goto("/account/links", "Sign in");
    await page.getByRole("link", { name: "Sign in with Cellar" }).click();
    await there();
    await page.getByText("Nobody here is known by that account.").waitFor();
    await visit.look("sign-in-refused");
    await visit.signIn();
    await visit.goto("/account/links", "Linked sign-ins");
    await button(page, "Link Cellar").click();
    await field(page, "Current password").fill(PASSWORD);
    await submit(page);
    await until(async () => await page.getByText("ann@elsewhere.example").count() || await page.locator("input[name=login]").count(), "the provider, or back already");
    if (await page.locator("input[name=login]").count()) await there();
    await visit.heading("Linked sign-ins");
    await page.getByText("ann@elsewhere.example").waitFor();
    await visit.look("account-links-linked");
    await button(page, "Sign out").click();
    await visit.goto("/account/links", "Sign in");
    await page.getByRole("link", { name: "Sign in with Cellar" }).click();
    await visit.heading("Linked sign-ins");
    await button(page, "Remove Cellar?").click();
    await button(page.getByRole("dialog"), "Remove").click();
    await page.getByText("Nothing is linked yet.").waitFor();
    await leave(visit, house);
    provider.stdin.end();
  },

  async "the language is the browser's until somebody chooses, and so are the colours"(binary) {
    const house = await House.open(binary);
    await house.settle();
    const visit = await Visit.begin(house, { language: "de-AT" });
    const { page } = visit;
    await visit.goto("/sign-in", "Anmelden");
    same(await page.evaluate(() => document.documentElement.lang), "de", "the language");
    await visit.look("sign-in-german");
    await field(page, "Name oder E-Mail").fill("ann");
    await page.getByLabel("Sprache").selectOption("en");
    await visit.heading("Sign in");
    same(await field(page, "Name or e-mail").inputValue(), "ann", "what was typed stays");
    await page.getByLabel("Colours").selectOption("dark");
    await page.reload();
    await visit.heading("Sign in");
    same(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dataset.theme]), ["en", "dark"], "what was chosen");
    same(await page.getByLabel("Colours").inputValue(), "dark", "the switch");
    await leave(visit, house);
  },

  async "German pages say everything in German"(binary) {
    const house = await House.open(binary);
    await house.settle();
    const visit = await Visit.begin(house, { language: "de-DE" });
    const { page } = visit;
    visit.expects(REFUSED);
    await visit.goto("/sign-in", "Anmelden");
    await field(page, "Name oder E-Mail").fill("ann");
    await field(page, "Passwort").fill("falsch");
    await submit(page);
    await page.getByText("Name oder Passwort stimmt nicht.").waitFor();
    await field(page, "Passwort").fill(PASSWORD);
    await submit(page);
    await visit.heading("Hallo, Ann Miller");
    await visit.look("home-german");
    await visit.goto("/account/security", "Passwort und PIN");
    await field(page, "Jetziges Passwort").first().fill(PASSWORD);
    await field(page, "Neues Passwort").fill("kurz");
    await button(page, "Passwort ändern").click();
    await page.getByText("Neues Passwort muss mindestens 8 Zeichen haben.").waitFor();
    await leave(visit, house);
  },

  async "a server that restarts in mid-use is missed and found again"(binary) {
    const { house, visit, page } = await signedIn(binary);
    await visit.goto("/account", "My account");
    visit.expects(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
    await field(page, "Name to be called by (optional)").fill("Ann Again");
    await house.stop();
    await button(page, "Save").click();
    await page.getByText("The server does not answer. Trying again").waitFor();
    await page.getByText("so this may not have happened").waitFor();
    await visit.look("server-away");
    await page.getByRole("link", { name: "API keys" }).click();
    await house.start();
    await visit.heading("API keys");
    await page.getByText("You have no keys.").waitFor();
    await until(async () => !await page.locator(".away").count(), "the banner goes");
    await leave(visit, house);
  },

  async "the first page is small, and nothing is loaded twice"(binary) {
    const house = await House.open(binary);
    await house.settle();
    const visit = await Visit.begin(house);
    const { page } = visit;
    let sent = { files: 0, bodies: 0, headers: 0 };
    page.on("requestfinished", async (request) => {
      const { responseBodySize, responseHeadersSize } = await request.sizes();
      sent = { files: sent.files + 1, bodies: sent.bodies + responseBodySize, headers: sent.headers + responseHeadersSize };
    });
    await visit.goto("/", "Sign in");
    await page.waitForLoadState("networkidle");
    console.log(`     the first page: ${sent.files} answers, ${sent.bodies} bytes and ${sent.headers} of headers`);
    must(sent.bodies > 5_000 && sent.bodies <= 60_000, `the first page has ${sent.bodies} bytes`);
    const session = await visit.context.newCDPSession(page);
    await session.send("Network.enable");
    let again = 0;
    session.on("Network.loadingFinished", ({ encodedDataLength }) => (again += encodedDataLength));
    await page.reload();
    await visit.heading("Sign in");
    must(again < 4_000, `again it has ${again} bytes`);
    await leave(visit, house);
  },

  async "below a path of a proxy everything works the same"(binary) {
    const { createServer, request } = await import("node:http");
    const house = await House.open(binary);
    await house.settle();
    const proxy = createServer((asked, answer) => {
      const path = asked.url.replace(/^\/gate/, "");
      const on = request({ port: house.port, host: "127.0.0.1", path, method: asked.method, headers: asked.headers }, (got) => {
        answer.writeHead(got.statusCode, got.headers);
        got.pipe(answer);
      });
      asked.pipe(on);
    });
    await new Promise((go) => proxy.listen(0, "127.0.0.1", go));
    const visit = await Visit.begin({ url: `http://127.0.0.1:${proxy.address().port}` });
    await visit.goto("/gate/account/keys", "Sign in");
    await field(visit.page, "Name or e-mail").fill("ann");
    await field(visit.page, "Password").fill(PASSWORD);
    await submit(visit.page);
    await visit.heading("API keys");
    same(new URL(visit.page.url()).pathname, "/gate/account/keys", "the address");
    await visit.page.getByRole("link", { name: "Home" }).click();
    await visit.heading("Hello, Ann Miller");
    await visit.end();
    proxy.close();
    proxy.closeAllConnections();
    await house.close();
  },
};
