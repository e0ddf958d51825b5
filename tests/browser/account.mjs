// What somebody sees who is signed in: home, and everything of their own account.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { House, PASSWORD, REFUSED, Visit, button, field, leave, must, same, signedIn, storage, submit, until } from "./house.mjs";

const NEW = "Elder-berry-9";

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

export default {
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
};
