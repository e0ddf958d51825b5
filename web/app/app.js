// Begins the pages: words, who sits here, then the page of the address.
import { computed, effect, html, render, signal } from "./lib/html.js";
import { missed, returns } from "./lib/connection.js";
import { below, root } from "./lib/place.js";
import { find, go, path, query, refused } from "./lib/router.js";
import { house, may, refresh, user } from "./lib/session.js";
import { language, speak } from "./lib/words.js";
import { Layout } from "./layout.js";
import { Forbidden, NotFound, Unreachable } from "./pages/apart.js";
import { routes } from "./routes.js";

/** What is drawn now: it stays until the next page is there. */
const shown = signal(/** @type {{ key: string, whose: string | null, page: any, params: Record<string, string> } | null} */ (null));
const moving = signal(false);
const somebody = computed(() => user.value?.id ?? null);

/** Only an address of this very server, so that nobody is led elsewhere after signing in. Resolved once:
 * of `/.//host` remains the path `//host`, which means that host to whoever resolves it again.
 * @param {string | null} to */
function wayBack(to) {
  if (!to || !/^\/(?![/\\])[\x21-\x7e]*$/.test(to)) return root;
  const url = new URL(to, location.origin);
  return url.origin === location.origin && !url.pathname.startsWith("//") ? url : root;
}

/** Another address that somebody belongs to, given who they are.
 * @param {string} wanted @param {ReturnType<typeof find>} found */
function elsewhere(wanted, found) {
  if (house.value?.setup_required && found && wanted !== "/setup") return "/setup";
  if (!somebody.value) {
    const is_done = wanted === "/setup" && !house.value?.setup_required;
    if (is_done) return "/sign-in";
    if (!found || found.route.open) return null;
    const here = location.pathname + location.search;
    return here === root.pathname ? "/sign-in" : `/sign-in?to=${encodeURIComponent(here)}`;
  }
  if (wanted === "/setup" && !may("system-admin")) return "/";
  if (wanted !== "/sign-in") return null;
  // Whoever is signed in and comes back from a provider wanted to link it.
  if (refused()) return "/account/links";
  const to = wayBack(query.peek().get("to"));
  const own = below(to.pathname);
  if (find(routes, own)) return own + to.search;
  location.replace(to.href);
  return null;
}

let turns = 0;

async function follow() {
  const turn = ++turns;
  // What was somebody's goes with them, also when the next page cannot be loaded.
  if (!somebody.value && shown.peek()?.whose) shown.value = null;
  const wanted = path.value;
  const found = find(routes, wanted);
  const to = elsewhere(wanted, found);
  if (to) return go(to, { replace: true });
  const show = (/** @type {any} */ page, params = {}) => {
    if (turn !== turns) return;
    const whose = somebody.peek();
    lateness.value = false;
    shown.value = { key: `${wanted} ${whose}`, whose, page, params };
  };
  if (!found) return show(NotFound);
  if (found.route.permission && !may(found.route.permission)) return show(Forbidden);
  moving.value = true;
  try {
    const { default: page } = await found.route.load();
    show(page, found.params);
    if (history.state?.loaded_anew) history.replaceState(null, "");
  } catch {
    if (turn === turns) torn();
  }
  if (turn === turns) moving.value = false;
}

/** A page could not be loaded: the server is away, or it is a newer one whose files have other names.
 * When it answers, everything is loaded anew, once. */
function torn() {
  lateness.value = true;
  missed();
  const before = returns.peek();
  const stop = effect(() => {
    if (returns.value === before) return;
    queueMicrotask(() => stop());
    if (history.state?.loaded_anew) return;
    history.replaceState({ loaded_anew: true }, "");
    location.reload();
  });
}

function App() {
  const now = shown.value;
  return html`<${Layout} moving=${moving.value}>
    ${now ? html`<${now.page} key=${now.key} params=${now.params} />` : lateness.value && html`<${Unreachable} />`}
  <//>`;
}

/** The first question has had no answer, or the first page of somebody could not be loaded. */
const lateness = signal(false);

async function begin() {
  const [, answer] = await Promise.all([speak(language.peek()), refresh()]);
  lateness.value = !answer.ok;
  const place = /** @type {HTMLElement} */ (document.getElementById("app"));
  place.replaceChildren();
  render(html`<${App} />`, place);
  effect(() => {
    // A house that comes back may have changed meanwhile.
    if (returns.value) refresh();
  });
  effect(() => {
    // Whatever may lead elsewhere: the address, who sits here, what the house is.
    void [path.value, somebody.value, house.value?.setup_required];
    if (house.value) follow();
  });
}

begin().catch(torn);
