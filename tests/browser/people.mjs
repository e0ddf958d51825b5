// What strangers see: the first run, signing in, what letters lead to; and what holds for every page.

import { House, PASSWORD, REFUSED, Visit, button, field, leave, must, same, signedIn, storage, submit, until } from "./house.mjs";

const NEW = "Elder-berry-9";

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

  async "too many tries are told with the time to wait, and nothing typed is lost"(binary) {
    const house = await House.open(binary);
    await house.settle();
    const visit = await Visit.begin(house, { language: "de-DE" });
    const { page } = visit;
    visit.expects(/status of (401|429)/);
    await visit.goto("/sign-in", "Anmelden");
    await field(page, "Name oder E-Mail").fill("ann");
    await field(page, "Passwort").fill("not-this");
    await until(async () => {
      await button(page, "Anmelden").click();
      return page.getByText(/Zu viele Versuche von hier\. Warte noch \d+ (Sekunden?|Minuten?)\./).count();
    }, "the throttle", 20_000);
    same(await field(page, "Passwort").inputValue(), "not-this", "what was typed");
    await leave(visit, house);
  },

  async "no link leads to another host after signing in"(binary) {
    const house = await House.open(binary);
    await house.settle();
    for (const to of ["https://example.org/", "//example.org", "/\\example.org", "javascript:alert(1)", "/%2f/example.org", "/.//example.org"]) {
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

  async "no link whose path is another host once it is resolved leads out of the house"(binary) {
    const { house, visit, page } = await signedIn(binary);
    const went = [];
    page.on("request", (request) => request.isNavigationRequest() && went.push(request.url()));
    for (const to of ["/.//evil.example/x", "/..//evil.example/x", "/%2e//evil.example/x", "/a/..//evil.example/x"]) {
      await visit.goto(`/sign-in?to=${encodeURIComponent(to)}`, "Hello, Ann Miller");
      same(page.url(), `${house.url}/`, to);
    }
    same(went.filter((url) => !url.startsWith(`${house.url}/`)), [], "addresses elsewhere");
    await visit.goto(`/sign-in?to=${encodeURIComponent("/admin/people?q=//b/../c")}`, "People");
    same(page.url(), `${house.url}/admin/people?q=//b/../c`, "a page with a query");
    await leave(visit, house);
  },

  async "signing out clears the page also when the server is away, and the session ends when it is back"(binary) {
    const { house, visit, page } = await signedIn(binary);
    visit.expects(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
    const cleared = async (one, heading) => {
      await button(one.page, "Sign out").click();
      await one.heading(heading);
      await one.page.getByText("the server has not ended the session").waitFor();
      const all = await one.page.locator("html").textContent() + await one.page.title();
      must(!/Ann|ann@|Recent sign-ins|API keys/.test(all) && !await button(one.page, "Sign out").count(), `left over: ${all}`);
    };
    const is_alive = async (cookies) => {
      const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
      return (await fetch(`${house.url}/api/v1/user`, { headers: { cookie } })).ok;
    };
    const back = async (one, cookies) => {
      await one.heading("Sign in");
      await until(async () => !await one.page.getByText("the server has not ended the session").count(), "the session has ended");
      must(!await is_alive(cookies), "its cookie is worth nothing");
      must(!(await storage(one.page)).includes("leaving"), "nothing is kept of it");
    };

    // It holds its connections and says nothing.
    await visit.goto("/", "Hello, Ann Miller");
    const first = await visit.context.cookies();
    must(await is_alive(first), "a session");
    house.process.kill("SIGSTOP");
    try {
      await cleared(visit, "Sign in");
      await visit.look("signed-out-unheard");
    } finally {
      house.process.kill("SIGCONT");
    }
    await back(visit, first);

    // It is gone, and this browser has never loaded the page to sign in.
    await visit.signIn();
    const second = await visit.context.cookies();
    const other = await Visit.begin(house);
    other.expects(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
    await other.context.addCookies(second);
    await other.goto("/account/keys", "API keys");
    await other.page.getByText("You have no keys.").waitFor();
    await house.stop();
    await cleared(other, "The server does not answer");
    await other.look("signed-out-away");
    await house.start();
    await back(other, second);
    await other.signIn();
    await leave(other, visit, house);
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
    await until(() => field(page, "PIN").evaluate((one) => one === document.activeElement), "the focus is where digits go");
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
    await field(page, "Password").fill(NEW);
    await submit(page);
    await page.getByText("Password is not right.").waitFor();
    await field(page, "Password").fill(PASSWORD);
    await submit(page);
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
