// What those see who look after the house: people, roles, invitations, events, letters, the house.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { House, PASSWORD, Visit, must, same, until } from "./house.mjs";

const NEW = "Elder-berry-9";

/** What a refused form says in the console. */
const REFUSED = /Failed to load resource: .*status of (400|403|404|409|422|503)/;
/** What a server that is away says there. */
const AWAY = /Failed to load resource: net::ERR|status of 503|ERR_/;

/** A settled house with some people, and ann's browser in it. */
async function settled(binary, settings = "server: { listen: \"127.0.0.1:{port}\", public_url: \"http://127.0.0.1:{port}\" }\n", before = async (_house) => {}) {
  const house = await House.open(binary, settings);
  await house.settle();
  house.bob = await house.ask("POST", "/users", { username: "bob", email: "bob@example.org", display_name: "Bob Miller", password: PASSWORD }, house.admin);
  house.mia = await house.ask("POST", "/users", { username: "mia", display_name: "Mia", password: PASSWORD, role: "maintainer" }, house.admin);
  await before(house);
  const visit = await Visit.begin(house);
  await visit.signIn();
  return { house, visit, page: visit.page };
}

async function leave(...all) {
  for (const one of all) await (one instanceof Visit ? one.end() : one.close());
}

const field = (page, label) => page.getByLabel(label, { exact: true });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const link = (page, name) => page.getByRole("link", { name, exact: true });
const dialog = (page) => page.locator("dialog[open]");
const said = (page, text) => page.locator(".toast", { hasText: text }).first().waitFor();
const focused = (locator) => locator.evaluate((one) => one === document.activeElement);

/** Goes on by the tabulator until something has the focus. */
async function tabTo(page, locator, what) {
  for (let i = 0; i < 80; i++) {
    if (await locator.count() && await focused(locator.first())) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`nobody gets to ${what} by the tabulator`);
}

/** Ten thousand accounts, as quickly as SQLite writes them; Python has it everywhere. */
async function crowd(house) {
  await house.stop();
  const text = `
import sqlite3, uuid
db = sqlite3.connect(${JSON.stringify(join(house.folder, "gatelodge.db"))}, isolation_level=None)
db.execute("BEGIN")
db.executemany("""INSERT INTO accounts (id, username, username_key, email, display_name, role, status, email_verified, epoch, created_at, updated_at)
  VALUES (?, ?, ?, ?, ?, 'reader', ?, 1, 'e', 0, 0)""", (
    (str(uuid.UUID(int=n + 1, version=4)), f"guest{n:05}", f"guest{n:05}", f"guest{n:05}@example.org", f"Guest number {n}", "disabled" if n % 1000 == 7 else "active")
    for n in range(10000)))
db.execute("COMMIT")
`;
  execFileSync("python3", ["-c", text]);
  await house.start();
}

export default {
  async "ten thousand people are searched, filtered and paged"(binary) {
    const { house, visit, page } = await settled(binary, undefined, crowd);
    await visit.goto("/admin/people", "People");
    await page.getByText("10,003 entries · page 1 of 201").waitFor();
    await visit.look("admin-people");
    await button(page, "Next").click();
    await page.getByText("page 2 of 201").waitFor();
    must(page.url().endsWith("?page=2"), "the page has an address");
    await page.reload();
    await page.getByText("page 2 of 201").waitFor();
    await field(page, "Search by name or address").fill("number 4711");
    await page.getByText("1 entry").waitFor();
    same(await page.locator("tbody tr").count(), 1, "found");
    await link(page, "Guest number 4711").waitFor();
    await field(page, "Search by name or address").fill("guest");
    await field(page, "State").selectOption("disabled");
    await page.getByText("10 entries").waitFor();
    await field(page, "Role").selectOption("admin");
    await page.getByText("Nobody is found by this.").waitFor();
    await visit.look("admin-people-none");
    await field(page, "Role").selectOption("");
    await field(page, "State").selectOption("");
    await field(page, "Search by name or address").fill("");
    await page.getByText("10,003 entries").waitFor();
    await leave(visit, house);
  },

  async "people are made by each way, and what is wrong stands at its field"(binary) {
    const { house, visit, page } = await settled(binary);
    await visit.goto("/admin/people", "People");
    await link(page, "New person").click();
    await visit.heading("New person");
    await visit.look("admin-person-new");
    await button(page, "Make the account").click();
    await page.getByText("User name is required.").waitFor();
    must(await focused(field(page, "User name")), "the focus is at what is missing");
    visit.expects(REFUSED);
    await field(page, "User name").fill("bob");
    await page.getByLabel("Name to be called by").fill("Another Bob");
    await page.keyboard.press("Enter");
    await page.getByText("User name is already in use.").waitFor();
    same(await page.getByLabel("Name to be called by").inputValue(), "Another Bob", "what was typed stays");
    await field(page, "User name").fill("cleo");
    await field(page, "Role").selectOption("maintainer");
    await page.keyboard.press("Enter");
    const given = field(page, "Link");
    await given.waitFor();
    await page.getByRole("img", { name: "QR code of the link" }).waitFor();
    const reset = await given.inputValue();
    must(reset.startsWith(`${house.url}/reset?token=`), reset);
    await visit.look("admin-person-made");
    await link(page, "Open the account").click();
    await visit.heading("Another Bob");

    await visit.goto("/admin/people/new", "New person");
    await page.getByLabel("A generated password").check();
    await field(page, "User name").fill("dora");
    await page.keyboard.press("Enter");
    const password = await field(page, "Password").inputValue();
    must(/^[a-z2-9]{4}(-[a-z2-9]{4}){3}$/.test(password), password);
    await house.ask("POST", "/auth/login", { username: "dora", password });

    await button(page, "Another one").click();
    await page.getByLabel("A password that I type").check();
    await field(page, "User name").fill("emil");
    await field(page, "Password").fill("password");
    await page.keyboard.press("Enter");
    await page.getByText("This password is among the most common.").waitFor();
    await field(page, "Password").fill(NEW);
    await page.keyboard.press("Enter");
    await page.getByText("The account emil is made.").waitFor();
    await house.ask("POST", "/auth/login", { username: "emil", password: NEW });

    await button(page, "Another one").click();
    await page.getByLabel("An invitation by letter").check();
    must(!await field(page, "User name").count(), "an invitation needs no name");
    await page.getByLabel("E-mail address").fill("fred@example.org");
    await button(page, "Invite").click();
    await page.getByText("The invitation for fred@example.org is made.").waitFor();
    must((await field(page, "Link").inputValue()).includes("/invite?token="), "a link to hand over");

    const other = await Visit.begin(house);
    await other.goto(reset, "Choose a new password");
    await other.end();
    await leave(visit, house);
  },

  async "an account is changed, let in anew, disabled and deleted"(binary) {
    const { house, visit, page } = await settled(binary);
    for (const name of ["one", "two"]) await house.ask("POST", "/auth/login", { username: "bob", password: PASSWORD }, undefined, name);
    await visit.goto("/admin/people", "People");
    await link(page, "Bob Miller").click();
    await visit.heading("Bob Miller");
    await page.locator(".rows b", { hasText: "node" }).first().waitFor();
    await visit.look("admin-person");
    visit.expects(REFUSED);
    await field(page, "User name").fill("ann");
    await button(page, "Save").click();
    await page.getByText("User name is already in use.").waitFor();
    await field(page, "User name").fill("robert");
    await page.getByLabel("E-mail address").fill("");
    await page.getByLabel("Name to be called by").fill("Robert");
    await button(page, "Save").click();
    await visit.heading("Robert");
    const bob = await house.ask("GET", `/users/${house.bob.id}`, undefined, house.admin);
    same([bob.username, bob.email], ["robert", null], "the account");

    await button(page, "Reset link").click();
    must((await dialog(page).getByLabel("Link", { exact: true }).inputValue()).includes("/reset?token="), "a reset link");
    await dialog(page).getByRole("img").waitFor();
    await visit.look("admin-person-link");
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    must(await focused(button(page, "Reset link")), "the focus is back");

    await button(page, "Type one…").click();
    await dialog(page).getByLabel("New password", { exact: true }).fill("short");
    await page.keyboard.press("Enter");
    await page.getByText("New password must have at least 8 characters.").waitFor();
    await dialog(page).getByLabel("New password", { exact: true }).fill(NEW);
    await page.keyboard.press("Enter");
    await said(page, "The password is set");
    await page.getByText("Signed in nowhere.").waitFor();
    await button(page, "Generate one…").click();
    await button(dialog(page), "Generate").click();
    const password = await dialog(page).getByLabel("Password", { exact: true }).inputValue();
    await button(dialog(page), "Done").click();
    for (let i = 0; i < 2; i++) await house.ask("POST", "/auth/login", { username: "robert", password });

    await button(page, "Set…").click();
    same(await dialog(page).getByLabel("New PIN").getAttribute("type"), "password", "what somebody beside sees of the PIN");
    await dialog(page).getByLabel("New PIN").fill("12");
    await page.keyboard.press("Enter");
    await page.getByText("A PIN has 4 to 12 digits.").waitFor();
    await dialog(page).getByLabel("New PIN").fill("246810");
    await page.keyboard.press("Enter");
    await said(page, "The PIN is set.");
    await button(page, "Remove…").click();
    await button(dialog(page), "Remove").click();
    await said(page, "The PIN is removed.");

    await page.reload();
    await page.getByRole("button", { name: /^Sign out node/ }).first().click();
    await said(page, "Signed out.");
    await house.ask("POST", "/auth/login", { username: "robert", password });
    await page.reload();
    await button(page, "Sign out everywhere…").click();
    await button(dialog(page), "Cancel").click();
    await button(page, "Sign out everywhere…").click();
    await button(dialog(page), "Sign out everywhere").click();
    await page.getByText("Signed in nowhere.").waitFor();

    await button(page, "Make a key").click();
    await dialog(page).getByLabel("What it is for").fill("Backup of the NAS");
    await visit.look("admin-person-key");
    await page.keyboard.press("Enter");
    must((await dialog(page).getByLabel("Key", { exact: true }).inputValue()).startsWith("lodge_"), "a key");
    await page.keyboard.press("Escape");
    await button(page, "Revoke “Backup of the NAS”?").click();
    await button(dialog(page), "Revoke").click();
    await said(page, "The key is revoked.");
    await page.getByText("No keys.").waitFor();

    await button(page, "Disable…").click();
    await visit.look("admin-person-disable");
    await button(dialog(page), "Cancel").click();
    must(await focused(button(page, "Disable…")), "the focus is back");
    await button(page, "Disable…").click();
    await button(dialog(page), "Disable").click();
    await said(page, "The account is disabled.");
    await button(page, "Enable").click();
    await said(page, "The account is active.");
    await button(page, "Delete…").click();
    await button(dialog(page), "Delete").click();
    await visit.heading("People");
    await page.getByText("2 entries").waitFor();
    await visit.goto(`/admin/people/${house.bob.id}`);
    await page.getByText("No such account.").waitFor();
    await leave(visit, house);
  },

  async "roles are made by keyboard alone, changed and deleted"(binary) {
    const { house, visit, page } = await settled(binary);
    await visit.goto("/admin/roles", "Roles");
    await page.getByText("for new people").waitFor();
    await visit.look("admin-roles");
    await tabTo(page, link(page, "New role"), "the new role");
    await page.keyboard.press("Enter");
    await visit.heading("New role");
    await tabTo(page, field(page, "Name"), "its name");
    await page.keyboard.type("librarian");
    await page.keyboard.press("Tab");
    await page.keyboard.type("Looks after the books");
    await tabTo(page, page.getByLabel("See people"), "a permission");
    await page.keyboard.press("Space");
    await tabTo(page, field(page, "Another permission"), "another permission");
    await page.keyboard.type("No Such");
    await page.keyboard.press("Enter");
    await page.getByText("Small letters and digits, with hyphens between").waitFor();
    await page.keyboard.press("Control+A");
    await page.keyboard.type("books-read");
    await page.keyboard.press("Enter");
    await field(page, "books-read").waitFor();
    await visit.look("admin-role-new");
    await tabTo(page, button(page, "Make the role"), "the button");
    await page.keyboard.press("Enter");
    await visit.heading("Roles");
    const made = await house.ask("GET", "/roles/librarian", undefined, house.admin);
    same([made.description, made.permissions], ["Looks after the books", ["books-read", "users-read"]], "the role");

    await link(page, "librarian").click();
    await visit.heading("librarian");
    await page.getByLabel("See invitations").check();
    await field(page, "books-read").uncheck();
    await button(page, "Save").click();
    await said(page, "Saved");
    same((await house.ask("GET", "/roles/librarian", undefined, house.admin)).permissions, ["invitations-read", "users-read"], "the role");
    await house.ask("PATCH", `/users/${house.bob.id}`, { role: "librarian" }, house.admin);
    visit.expects(REFUSED);
    await button(page, "Delete the role…").click();
    await button(dialog(page), "Delete the role").click();
    await said(page, "Somebody has this role");
    await house.ask("PATCH", `/users/${house.bob.id}`, { role: "reader" }, house.admin);
    await button(page, "Delete the role…").click();
    await button(dialog(page), "Delete the role").click();
    await visit.heading("Roles");
    await visit.goto("/admin/roles/maintainer", "maintainer");
    await page.getByText("This role comes with the house").waitFor();
    must(!await button(page, "Save").count(), "a built-in role stays as it is");
    await visit.look("admin-role-built-in");
    await visit.goto("/admin/roles/admin", "admin");
    await page.getByText("It has every permission").waitFor();
    await leave(visit, house);
  },

  async "an invitation is made, scanned and withdrawn"(binary) {
    const { house, visit, page } = await settled(binary);
    await visit.goto("/admin/invitations", "Invitations");
    await page.getByText("No invitation yet.").waitFor();
    visit.expects(REFUSED);
    await button(page, "New invitation…").click();
    await field(page, "How many may use it").fill("2000");
    await page.keyboard.press("Enter");
    await page.getByText("This has to be a number from 1 to 1000.").waitFor();
    await visit.look("admin-invitation-new");
    await field(page, "How many may use it").fill("3");
    await field(page, "Expires").selectOption("30");
    await page.keyboard.press("Enter");
    const invitation = await dialog(page).getByLabel("Link", { exact: true }).inputValue();
    const code = dialog(page).getByRole("img", { name: "QR code of the link" });
    await code.waitFor();
    must((await code.locator("path").getAttribute("d")).length > 1000, "a code is drawn");
    await visit.look("admin-invitation-made");
    await button(dialog(page), "Done").click();
    must(await focused(button(page, "New invitation…")), "the focus is back");
    must(!(await page.content()).includes(invitation.split("token=")[1]), "the link is shown once");
    await page.getByText("3 of 3").waitFor();
    await visit.look("admin-invitations");
    const other = await Visit.begin(house);
    await other.goto(invitation, "You are invited");
    await button(page, "Withdraw the invitation: Whoever has the link").click();
    await button(dialog(page), "Withdraw").click();
    await page.getByText("Withdrawn", { exact: true }).waitFor();
    must(await page.locator("h1").evaluate((one) => one === document.activeElement), "the focus is at the heading");
    other.expects(REFUSED);
    await other.goto(invitation, "This invitation does not work any more");
    await leave(other, visit, house);
  },

  async "events are filtered, and come by themselves"(binary) {
    const { house, visit, page } = await settled(binary);
    visit.expects(REFUSED);
    await fetch(`${house.url}/api/v1/auth/login`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ username: "bob", password: "not-this" }) });
    await house.ask("POST", "/auth/login", { username: "bob", password: PASSWORD });
    await visit.goto("/admin/events", "Events");
    await until(async () => {
      await page.reload();
      return page.locator("tbody tr", { hasText: "Sign-in failed" }).count();
    }, "the failure is written");
    await visit.look("admin-events");
    await field(page, "What").selectOption("account_created");
    await page.getByText("3 entries").waitFor();
    await page.getByLabel("Person").fill("mi");
    await page.locator("datalist option[value=mia]").waitFor({ state: "attached" });
    await page.getByLabel("Person").fill("mia");
    await page.getByText("1 entry").waitFor();
    await button(page, "mia: show everybody again").click();
    await page.getByText("3 entries").waitFor();
    const tomorrow = new Date(Date.now() + 86_400_000 * 2).toISOString().slice(0, 10);
    await field(page, "From").fill(tomorrow);
    await page.getByText("Nothing like that happened.").waitFor();
    await field(page, "From").fill("");
    await field(page, "What").selectOption("signed_in");
    const rows = page.locator("tbody tr");
    await until(async () => await rows.count() === await rows.filter({ hasText: "Signed in" }).count(), "only sign-ins are shown");
    const before = await rows.count();
    await page.getByRole("switch", { name: "Live" }).check();
    await page.getByText("live", { exact: true }).waitFor();
    await house.ask("POST", "/auth/login", { username: "mia", password: PASSWORD });
    await until(async () => await page.locator("tbody tr").count() === before + 1, "a sign-in appears by itself");
    await visit.look("admin-events-live");
    await house.ask("POST", "/invitations", {}, house.admin);
    await house.ask("POST", "/auth/login", { username: "mia", password: PASSWORD });
    await until(async () => await page.locator("tbody tr").count() === before + 2, "and another one, and nothing else");
    await leave(visit, house);
  },

  async "the live log goes on, holds back and survives a restart"(binary) {
    const { house, visit, page } = await settled(binary);
    await visit.goto("/admin/log", "Live log");
    await page.getByText("live", { exact: true }).waitFor();
    const lines = page.locator(".log li");
    const before = await lines.count();
    must(before >= 3, "what happened before is there");
    await visit.look("admin-log");
    await house.ask("POST", "/auth/login", { username: "bob", password: PASSWORD });
    await until(async () => await lines.count() === before + 1, "a line appears");
    await button(page, "Pause").click();
    await house.ask("POST", "/auth/login", { username: "bob", password: PASSWORD });
    await page.getByText("1 new").waitFor();
    same(await lines.count(), before + 1, "nothing moves while paused");
    await button(page, "Go on").click();
    await until(async () => await lines.count() === before + 2, "what was held back is there");
    visit.expects(AWAY);
    await house.stop();
    await page.getByText("The server does not answer.").waitFor();
    await house.start();
    await page.getByText("live", { exact: true }).waitFor();
    await house.ask("POST", "/auth/login", { username: "mia", password: PASSWORD });
    await until(async () => await lines.first().getByText("Mia").or(lines.first().getByText("mia")).count(), "it goes on after the restart");
    const all = await lines.allTextContents();
    same(new Set(all.map((text, i) => `${i}${text}`)).size, all.length, "lines");
    await button(page, "Clear").click();
    await page.getByText("Nothing has happened since.").waitFor();
    await leave(visit, house);
  },

  async "letters that cannot go out are there to hand over"(binary) {
    const { house, visit, page } = await settled(binary);
    await house.ask("POST", "/auth/forgot-password", { email: "bob@example.org" });
    await visit.goto("/admin/outbox", "Outbox");
    await page.getByText("No mail server is set up").waitFor();
    await until(async () => {
      await button(page, "Look again").click();
      return page.getByText("bob@example.org").count();
    }, "the letter is in the outbox");
    await visit.look("admin-outbox");
    await button(page, "Show the link for bob@example.org").click();
    must((await dialog(page).getByLabel("Link", { exact: true }).inputValue()).includes("/reset?token="), "a link");
    await visit.look("admin-outbox-link");
    await button(dialog(page), "Done").click();
    await field(page, "Which letters").selectOption("sent");
    await page.getByText("No letters here.").waitFor();
    must(!await button(page, "Send").count(), "without a mail server there is nothing to try");
    await leave(visit, house);
  },

  async "a letter that the mail server does not take is told of, with the reason"(binary) {
    const { house, visit, page } = await settled(binary, `server: { listen: "127.0.0.1:{port}", public_url: "http://127.0.0.1:{port}" }
email: { smtp_host: 127.0.0.1, smtp_port: 9, smtp_tls: none, smtp_from_email: gate@example.org }
`);
    await visit.goto("/admin/outbox", "Outbox");
    await field(page, "To").fill("not an address");
    visit.expects(REFUSED);
    await button(page, "Send").click();
    await page.getByText("Write an address like name@example.org").waitFor();
    await field(page, "To").fill("ann@example.org");
    await button(page, "Send").click();
    await said(page, "The letter is in the outbox.");
    await until(async () => {
      await button(page, "Look again").click();
      return page.locator("tbody .quiet", { hasText: "cannot be reached" }).count();
    }, `the reason is told: ${JSON.stringify(await house.ask("GET", "/outbox", undefined, house.admin))}`);
    await visit.look("admin-outbox-waiting");
    await leave(visit, house);
  },

  async "the house says how it is and gives a backup"(binary) {
    const { house, visit, page } = await settled(binary);
    await visit.goto("/admin/system", "System");
    await page.getByText("No mail server", { exact: true }).waitFor();
    await page.getByText("less than a minute").waitFor();
    await visit.look("admin-system");
    const waits = page.waitForEvent("download");
    await button(page, "Download a backup").click();
    const file = await waits;
    must(/^gatelodge-\d{4}-\d\d-\d\d\.db$/.test(file.suggestedFilename()), file.suggestedFilename());
    const bytes = readFileSync(await file.path());
    same(bytes.subarray(0, 15).toString(), "SQLite format 3", "the file");
    await said(page, "The backup is on its way");
    must(await page.getByText("none yet", { exact: true }).count(), "no backup before");
    await page.reload();
    await page.getByText("Last backup", { exact: true }).waitFor();
    same(await page.getByText("none yet", { exact: true }).count(), 0, "a backup is told of");
    await leave(visit, house);
  },

  async "names that are HTML are text on every page that shows them"(binary) {
    const name = "<img src=x onerror=window.ran=1>";
    const { house, visit, page } = await settled(binary, undefined, async (house) => {
      const { bob } = house;
      const by = (method, path, body) => house.ask(method, path, body, house.admin);
      await by("PATCH", "/user", { display_name: name });
      await by("PATCH", `/users/${bob.id}`, { display_name: name });
      await by("POST", "/api-keys", { name });
      await by("POST", `/api-keys?user=${bob.id}`, { name });
      await by("POST", "/user/pin", { current_password: PASSWORD, pin: "246810" });
    });
    for (const username of ["ann", "bob"]) {
      const headers = { "content-type": "application/json", "user-agent": name };
      const answer = await fetch(`${house.url}/api/v1/auth/login`, { method: "POST", headers, body: JSON.stringify({ username, password: PASSWORD }) });
      must(answer.ok, `${username} signs in`);
    }
    const is_text = async (where, times) => {
      await until(async () => (await page.locator("body").innerText()).split(name).length > times, `${where} shows it ${times} times`);
      same(await page.evaluate(() => [document.querySelectorAll("img, [onerror]").length, typeof globalThis.ran]), [0, "undefined"], where);
    };
    const keys = async () => {
      await button(page, `Revoke “${name}”?`).click();
      await dialog(page).getByText(name).first().waitFor();
      await is_text("the question", 1);
      await button(dialog(page), "Cancel").click();
    };
    for (const [path, times] of Object.entries({ "": 3, account: 1, "account/sessions": 2, "account/keys": 2, "admin/people": 3, [`admin/people/${house.bob.id}`]: 4, "admin/events": 3, "admin/log": 3 })) {
      await page.goto(`/${path}`);
      await is_text(`/${path}`, times);
      if (path.includes("keys") || path.includes(house.bob.id)) await keys();
    }
    await page.goto("/admin/log");
    await page.getByText("live", { exact: true }).waitFor();
    const lines = page.locator(".log li");
    const before = await lines.count();
    await house.ask("POST", "/api-keys", { name }, house.admin);
    await until(async () => await lines.count() === before + 1, "a line that comes by the stream");
    await is_text("the live log", 4);
    await button(page, "Sign out").click();
    await button(page, "Sign in by PIN").click();
    await is_text("the pad", 1);
    await leave(visit, house);
  },

  async "everybody sees what their role allows and no more"(binary) {
    const { house, visit, page } = await settled(binary);
    const mia = await Visit.begin(house);
    await mia.signIn("mia");
    await mia.goto("/admin/people", "People");
    await mia.page.getByText("3 entries").waitFor();
    same(await mia.page.getByRole("navigation", { name: "House" }).getByRole("link").allTextContents(),
      ["People", "Invitations", "Events", "Live log", "System"], "mia's pages");
    must(!await link(mia.page, "New person").count(), "she makes nobody");
    await link(mia.page, "Bob Miller").click();
    await mia.heading("Bob Miller");
    for (const name of ["Save", "Reset link", "Disable…", "Delete…", "Make a key"]) must(!await button(mia.page, name).count(), name);
    await mia.look("admin-person-to-look-at");
    await mia.goto("/admin/system", "System");
    await mia.page.getByText("Accounts", { exact: true }).waitFor();
    must(!await button(mia.page, "Download a backup").count(), "no backup");
    await mia.goto("/admin/roles", "This page is for others");
    await mia.goto("/admin/invitations", "Invitations");
    await button(mia.page, "New invitation…").click();
    same(await dialog(mia.page).getByLabel("Role").locator("option").allTextContents(), ["reader"], "what she may give, as far as she knows");
    await house.ask("POST", "/roles", { name: "helper", permissions: ["users-read", "users-write", "users-delete", "roles-read"] }, house.admin);
    await house.ask("POST", "/users", { username: "hal", password: PASSWORD, role: "helper" }, house.admin);
    const hal = await Visit.begin(house);
    await hal.signIn("hal");
    await hal.goto("/admin/people", "People");
    await link(hal.page, "Ann Miller").click();
    await hal.page.getByText("This account may more than you").waitFor();
    must(!await button(hal.page, "Save").count() && !await button(hal.page, "Delete…").count(), "an admin is beyond a helper");
    await hal.goto(`/admin/people/${house.bob.id}`, "Bob Miller");
    await until(async () => await field(hal.page, "Role").locator("option").count() === 3, "roles to give");
    same((await field(hal.page, "Role").locator("option").allTextContents()).sort(), ["developer", "helper", "reader"], "what a helper may give");
    await leave(hal, mia, visit, house);
  },

  async "all of it in German, and narrow"(binary) {
    const { house, visit } = await settled(binary);
    await house.ask("POST", "/auth/forgot-password", { email: "bob@example.org" });
    await house.ask("POST", "/invitations", { email: "eine.besonders.lange.adresse@langername.example.org" }, house.admin);
    await house.ask("POST", "/api-keys", { name: "Sicherung" }, house.admin);
    const german = await Visit.begin(house, { language: "de-DE" });
    await german.context.addCookies(await visit.context.cookies());
    const pages = {
      people: "Personen", "people/new": "Neue Person", [`people/${house.bob.id}`]: "Bob Miller", roles: "Rollen", "roles/+": "Neue Rolle",
      "roles/maintainer": "maintainer", invitations: "Einladungen", events: "Ereignisse", log: "Live-Protokoll", outbox: "Postausgang", system: "System",
    };
    for (const [path, heading] of Object.entries(pages)) {
      await german.goto(`/admin/${path}`, heading);
      await until(async () => !await german.page.locator(".waiting, [aria-busy=true]").count(), `${path} has loaded`);
      // A text that is missing is shown as its key.
      const text = await german.page.locator("body").innerText();
      const keys = text.match(/\b(people|person|access|sign_ins|roles?|rights?|invitation|events?|log|live|outbox|purpose|mail_test|backup|system|warning|handover|filter|state|keys)\.[a-z_.]+\b/g)
        ?.filter((one) => !/^(server|email|auth)\./.test(one));
      must(!keys, `${path} says ${keys}`);
      await german.look(`admin-german-${path.replace(house.bob.id, "one").replaceAll("/", "-").replace("+", "new")}`);
    }
    await leave(german, visit, house);
  },
};
