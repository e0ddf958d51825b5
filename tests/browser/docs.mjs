// The page at /docs in Chromium: every document opens, each way to authorise lets an operation
// through, and nothing comes from elsewhere or against the policy.
//
//   node docs.mjs PROGRAM [FOLDER FOR SCREENSHOTS]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const [program, pictures] = process.argv.slice(2).map((path) => resolve(path));
const PASSWORD = "Walnut-tree-7";
const DIALECTS = ["native", "pin", "pair", "signup", "gpodder"];

const free = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

const folder = mkdtempSync(join(tmpdir(), "docs-"));
const port = await free();
const base = `http://127.0.0.1:${port}`;
const server = spawn(program, ["serve"], {
  cwd: folder,
  stdio: "ignore",
  env: {
    ...process.env,
    GATELODGE_SERVER__LISTEN: `127.0.0.1:${port}`,
    GATELODGE_LOG__ACCESS: "false",
    GATELODGE_RATE_LIMIT__REQUESTS_PER_SECOND: "0",
  },
});

async function healthy() {
  for (let tries = 0; tries < 200; tries += 1) {
    const answer = await fetch(`${base}/health`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("the server does not answer");
}

async function post(path, body, headers = {}) {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer;
}

/** What each way to authorise takes. */
async function credentials() {
  const body = { username: "ann", email: "ann@example.org", password: PASSWORD };
  const { token } = await (await post("/api/v1/setup/initialize", body)).json();
  const bearer = { Authorization: `Bearer ${token}` };
  const { key } = await (await post("/api/v1/api-keys", { name: "docs" }, bearer)).json();
  const signedIn = await post("/api/v1/auth/session", { username: "ann", password: PASSWORD });
  const cookie = /^session=([^;]+)/.exec(signedIn.headers.get("set-cookie"))[1];
  const basic = `Basic ${Buffer.from(`ann:${PASSWORD}`).toString("base64")}`;
  const podcasts = await post("/api/2/auth/ann/login.json", {}, { Authorization: basic });
  const sessionid = /sessionid=([^;]+)/.exec(podcasts.headers.get("set-cookie"))[1];
  return { token, key, cookie, sessionid };
}

/** A page that writes down whatever goes wrong on it. */
async function open(browser, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (line) => {
    // What Chromium says of an answer that is no success is what we came for.
    const isAnswer = line.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(line.type()) && !isAnswer) wrong.push(line.text());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith("data:")) wrong.push(`asked ${url}`);
  });
  await page.exposeFunction("violated", (what) => wrong.push(`against the policy: ${what}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.violated(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
    });
  });
  await page.goto(`${base}/docs`);
  await shown(page, "native");
  return { context, page, wrong };
}

async function shown(page, dialect) {
  await page.waitForSelector(`#ui[data-shows="${dialect}"] .opblock`);
}

async function choose(page, dialect) {
  await page.selectOption("#document", dialect);
  await shown(page, dialect);
}

/** Opens "Authorize" and fills in one scheme. */
async function authorise(page, scheme, ...values) {
  await page.click(".auth-wrapper .authorize");
  const dialog = page.locator(".modal-ux");
  const box = dialog.locator(".auth-container").filter({ has: page.locator(`h4 code:text-is("${scheme}")`) });
  const inputs = box.locator("input");
  for (const [index, value] of values.entries()) await inputs.nth(index).fill(value);
  await box.locator("button.authorize").click();
  await box.getByText("Authorized", { exact: true }).waitFor();
  await dialog.locator("button.btn-done").first().click();
}

async function forget(page, scheme) {
  await page.click(".auth-wrapper .authorize");
  const dialog = page.locator(".modal-ux");
  const box = dialog.locator(".auth-container").filter({ has: page.locator(`h4 code:text-is("${scheme}")`) });
  await box.getByRole("button", { name: "Remove authorization" }).click();
  await dialog.locator("button.btn-done").first().click();
}

/** Tries one operation out; the status that came. */
async function tried(page, id) {
  const block = page.locator(`.opblock[id$="-${id}"]`);
  if (!(await block.locator(".opblock-body").isVisible())) {
    await block.locator(".opblock-summary-control").click();
    await block.locator(".try-out__btn").click();
  }
  const clear = block.locator("button.btn-clear");
  if (await clear.isVisible()) await clear.click();
  await block.locator("button.execute").click();
  const status = block.locator(".live-responses-table .response .response-col_status").first();
  await status.waitFor();
  return Number.parseInt(await status.innerText(), 10);
}

async function everyDocument(browser) {
  const { context, page, wrong } = await open(browser);
  const offered = await page.locator("#document option").allInnerTexts();
  assert.deepEqual(offered, DIALECTS);
  for (const dialect of DIALECTS) {
    await choose(page, dialect);
    const document = await (await fetch(`${base}/openapi/${dialect}.json`)).json();
    const operations = Object.values(document.paths).flatMap((path) => Object.keys(path));
    assert.equal(await page.locator(".opblock").count(), operations.length, dialect);
    assert.equal(await page.locator(".errors-wrapper").count(), 0, dialect);
  }
  // Whatever lies in a document is drawn once, and closed again: all at once would take minutes.
  await choose(page, "pin");
  for (const block of await page.locator(".opblock").all()) {
    await block.locator(".opblock-summary-control").click();
    await block.locator(".opblock-body").waitFor();
    await block.locator(".opblock-summary-control").click();
  }
  await page.goto(`${base}/docs?document=pair`);
  await shown(page, "pair");
  assert.deepEqual(wrong, []);
  await context.close();
}

async function everyWay(browser, known) {
  const { context, page, wrong } = await open(browser);
  assert.equal(await tried(page, "profile_get"), 401);
  const ways = [
    ["bearer", known.token],
    ["basic", "ann", PASSWORD],
    ["api_key", known.key],
    ["session", known.cookie],
  ];
  for (const [scheme, ...values] of ways) {
    await authorise(page, scheme, ...values);
    assert.equal(await tried(page, "profile_get"), 200, scheme);
    await forget(page, scheme);
    assert.equal(await tried(page, "profile_get"), 401, `${scheme} is forgotten`);
  }
  await choose(page, "gpodder");
  await authorise(page, "session", known.sessionid);
  assert.equal(await tried(page, "me"), 200, "gpodder by cookie");
  assert.deepEqual(wrong, []);
  await context.close();
}

async function looks(browser) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, width] of [["wide", 1280], ["phone", 360]]) {
      const viewport = { width, height: 900 };
      const { context, page } = await open(browser, { colorScheme, viewport });
      const picture = (what) => join(pictures, `docs-${what}-${colorScheme}-${name}.png`);
      await page.screenshot({ path: picture("top") });
      await page.click(".auth-wrapper .authorize");
      await page.screenshot({ path: picture("authorise") });
      await page.locator(".modal-ux button.btn-done").first().click();
      await page.locator(".opblock-post .opblock-summary-control").first().click();
      await page.locator(".opblock-body").first().scrollIntoViewIfNeeded();
      await page.screenshot({ path: picture("operation") });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `${name} scrolls sideways by ${wider}`);
      await context.close();
    }
  }
}

const flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
let browser;
try {
  await healthy();
  const known = await credentials();
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: flags.split(" ") });
  await everyDocument(browser);
  await everyWay(browser, known);
  if (pictures) await looks(browser);
  console.log("the page at /docs: every document opens, every way to authorise works");
} finally {
  await browser?.close();
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
