// What every area's tests use: a house of its own on a free port, a browser that notes whatever it
// should not do, and looks at every page with axe.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const tools = process.env.BROWSER_TOOLS;
if (!tools) throw new Error("BROWSER_TOOLS names the folder that holds node_modules");
const require = createRequire(join(resolve(tools), "tools.cjs"));
export const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

/** In milliseconds; a page that takes so long is broken. */
const PATIENCE = 15_000;
export const PASSWORD = "Walnut-tree-7";
const project = fileURLToPath(new URL("../..", import.meta.url));
const screens = join(project, "target/screens");

export function must(truth, what) {
  if (!truth) throw new Error(what);
}

export const same = (got, wanted, what) =>
  must(JSON.stringify(got) === JSON.stringify(wanted), `${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);

/** Asks until it is true: nothing here waits for a fixed time. */
export async function until(ask, what, patience = 10_000) {
  const end = Date.now() + patience;
  for (;;) {
    const got = await ask().catch(() => undefined);
    if (got) return got;
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((go) => setTimeout(go, 25));
  }
}

const freePort = () =>
  new Promise((tell) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => tell(port));
    });
  });

const houses = new Set();
const visits = new Set();

/** After a test, whatever came of it: nothing runs on, and what was seen last is kept of a failure. */
export async function tidy(failure) {
  for (const visit of visits) {
    if (failure) await visit.page.screenshot({ path: join(screens, `failed-${failure}.png`) }).catch(() => {});
    if (failure) console.log(`  the browser noted: ${visit.defects.join("\n    ")}`);
    await visit.context.close();
  }
  visits.clear();
  for (const house of houses) await house.close();
}

/** One running Gatelodge in a folder of its own. */
export class House {
  static async open(binary, settings = "") {
    const house = new House();
    houses.add(house);
    house.binary = resolve(binary);
    house.folder = mkdtempSync(join(tmpdir(), "gatelodge-browser-"));
    house.port = await freePort();
    house.url = `http://127.0.0.1:${house.port}`;
    house.config = join(house.folder, "gatelodge.yaml");
    if (typeof settings === "function") settings = await settings(house.url);
    const listen = settings.includes("server:") ? "" : `server:\n  listen: 127.0.0.1:${house.port}\n`;
    writeFileSync(house.config, `${listen}${settings.replaceAll("{port}", house.port)}`, { mode: 0o600 });
    await house.start();
    return house;
  }

  async start() {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GATELODGE_")));
    this.log = "";
    this.process = spawn(this.binary, ["serve", "--config", this.config], { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (text) => (this.log += text));
    this.gone = new Promise((tell) => this.process.once("exit", tell));
    const end = this.gone.then(() => {
      throw new Error(`the house does not open: ${this.log}`);
    });
    end.catch(() => {});
    await Promise.race([end, until(async () => (await fetch(`${this.url}/health`)).ok, "the house opens")]);
  }

  async stop() {
    this.process?.kill("SIGTERM");
    await this.gone;
  }

  async close() {
    houses.delete(this);
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Asks native as a program does. */
  async ask(method, path, body, token) {
    const headers = { ...(body && { "content-type": "application/json" }), ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(`${this.url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    const data = text ? JSON.parse(text) : null;
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return data;
  }

  /** The admin `ann`, and her token. */
  async settle() {
    const { token } = await this.ask("POST", "/setup/initialize", { username: "ann", email: "ann@example.org", password: PASSWORD });
    await this.ask("PATCH", "/user", { display_name: "Ann Miller" }, token);
    this.admin = token;
    return token;
  }
}

let browser;

export async function openBrowser() {
  browser ??= await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  return browser;
}

export const closeBrowser = async () => browser?.close();

/** Somebody's browser in front of a house. Whatever it should not do is a defect: console errors,
 * other hosts, what the policy stops, scripts that break. `visit.expects(/…/)` lets one kind pass. */
export class Visit {
  static async begin(house, { language = "en-GB", ...more } = {}) {
    const visit = new Visit();
    visit.house = house;
    visit.context = await (await openBrowser()).newContext({ baseURL: house.url, locale: language, viewport: { width: 1200, height: 850 }, ...more });
    visit.page = await visit.context.newPage();
    visit.page.setDefaultTimeout(PATIENCE);
    visit.defects = [];
    visit.expected = [];
    visit.watch(visit.page);
    visits.add(visit);
    return visit;
  }

  watch(page) {
    const note = (what) => this.defects.push(what);
    page.on("console", (said) => {
      if (["error", "warning"].includes(said.type())) note(`console: ${said.text()} ${said.location().url ?? ""}`);
    });
    page.on("pageerror", (error) => note(`script: ${error.stack ?? error}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      // Whoever leaves for a provider is on the provider's pages, which are not ours to judge.
      const ours = !request.isNavigationRequest() && request.frame().url().startsWith(this.house.url);
      if (ours && url.origin !== this.house.url && !["data:", "blob:", "about:"].includes(url.protocol)) note(`another host: ${url}`);
    });
  }

  /** What the console says because of what a test does: a refused password, a stopped server. */
  expects(pattern) {
    this.expected.push(pattern);
  }

  async goto(path, heading) {
    await this.page.goto(path);
    if (heading) await this.heading(heading);
  }

  async heading(text) {
    await this.page.getByRole("heading", { level: 1, name: text, exact: typeof text === "string" }).waitFor();
  }

  async signIn(name = "ann", password = PASSWORD) {
    await this.goto("/sign-in", "Sign in");
    await this.page.getByLabel("Name or e-mail").fill(name);
    await this.page.getByLabel("Password", { exact: true }).fill(password);
    await this.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await this.page.getByRole("button", { name: "Sign out", exact: true }).first().waitFor();
  }

  /** axe in light and dark, and a picture of each and of a phone. */
  async look(name) {
    const { page } = this;
    mkdirSync(screens, { recursive: true });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await this.axe(`${name}, ${colorScheme}`);
      await page.screenshot({ path: join(screens, `${name}-${colorScheme}.png`), fullPage: true });
    }
    const size = page.viewportSize();
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.setViewportSize({ width: 360, height: 740 });
    await this.axe(`${name}, phone`);
    await page.screenshot({ path: join(screens, `${name}-phone.png`), fullPage: true });
    await page.setViewportSize({ width: 320, height: 640 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    must(wide <= 320, `${name} is ${wide} pixels wide on a screen of 320`);
    await page.setViewportSize(size);
  }

  async axe(where) {
    const { page } = this;
    // By the debugger's way in, which the policy of the pages does not concern.
    await page.evaluate(axe);
    const found = await page.evaluate(() =>
      globalThis.axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    const bad = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = bad.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
    must(!bad.length, `axe at ${where}: ${told.join("; ")}`);
  }

  async end() {
    visits.delete(this);
    await this.context.close();
    const defects = this.defects.filter((one) => !this.expected.some((pattern) => pattern.test(one)));
    must(!defects.length, `the browser noted: ${defects.join("\n  ")}`);
  }
}

/** What a refused form and a used link say in the console. */
export const REFUSED = /Failed to load resource: .*status of (400|401|403|409|422)/;

/** A settled house, and ann's browser in it. */
export async function signedIn(binary, settings) {
  const house = await House.open(binary, settings);
  await house.settle();
  const visit = await Visit.begin(house);
  await visit.signIn();
  return { house, visit, page: visit.page };
}

export async function leave(...all) {
  for (const one of all) await (one instanceof Visit ? one.end() : one.close());
}

export const field = (page, label) => page.getByLabel(label, { exact: true });
export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const submit = (page) => page.keyboard.press("Enter");

/** Everything that the browser keeps, as text. */
export const storage = (page) =>
  page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href, history.state]));
