// Who sits here, and what the house offers. One question answers both.
import { get, onStranger, removeFirst } from "./api.js";
import { missed } from "./connection.js";
import { batch, computed, signal } from "./html.js";
import { keep, kept } from "./place.js";
import { clear } from "./toast.js";

/** @typedef {import("../types").Schemas} Schemas */

/** `null` until the server has answered. */
export const house = signal(/** @type {Schemas["Options"] | null} */ (null));
/** Whoever is signed in here. */
export const user = signal(/** @type {Schemas["User"] | null} */ (null));
/** The session ended by itself, and the sign-in page says so. */
export const ended = signal(false);
/** Somebody signed out here and the server has not ended the session: the page says so. */
export const owed = signal(false);

/** A sign-out is not confirmed. It outlives a new load of the page, since the cookie does as well. */
let leaving = kept("leaving") !== null;
/** How long the server has to end a session, in milliseconds. */
const PATIENCE = 5000;

/** @param {string} permission */
export const may = (permission) => user.value?.permissions.includes(permission) ?? false;

/** The name for people to read. */
export const calledName = computed(() => user.value?.display_name || user.value?.username || "");

/** @param {boolean} begins */
function leaves(begins) {
  leaving = begins;
  keep("leaving", begins ? "yes" : null);
  if (!begins) owed.value = false;
}

/** The asking that is under way: whoever asks meanwhile waits for the same answer.
 * @type {Promise<void> | null} */
let asking = null;

/** Has the session ended, as far as the server answers. */
function leave() {
  asking ??= askToLeave().finally(() => {
    asking = null;
  });
  return asking;
}

async function askToLeave() {
  const answer = await removeFirst("/auth/session", { signal: AbortSignal.timeout(PATIENCE) });
  if (answer.ok || answer.status === 401) leaves(false);
  else owed.value = leaving;
  if (!answer.status) missed();
}

/** Asks who sits here; the answer is that of the API. Nobody does who has signed out. */
export async function refresh() {
  const left = leaving;
  const answer = await get("/auth/options");
  if (!answer.ok) {
    owed.value = leaving;
    return answer;
  }
  if (leaving) {
    if (answer.data.user) await leave();
    else leaves(false);
  }
  batch(() => {
    house.value = answer.data;
    user.value = left || leaving ? null : answer.data.user ?? null;
  });
  return answer;
}

/** @param {Schemas["User"]} somebody */
export function signedIn(somebody) {
  leaves(false);
  ended.value = false;
  user.value = somebody;
}

/** Somebody goes to a provider to sign in: what comes back is another session, which stays. */
export function goesOut() {
  leaves(false);
}

// Another window of this browser has settled it, or begun it.
addEventListener("storage", ({ key }) => {
  if (key === "leaving") leaving = kept("leaving") !== null;
});

/** Takes what is somebody's off the screen, whether the server answers or not. */
export async function signOut() {
  leaves(true);
  clear();
  batch(() => {
    ended.value = false;
    user.value = null;
  });
  await leave();
  // What the house offers to a stranger: it may have changed meanwhile.
  if (!leaving) refresh();
}

onStranger.add(() => {
  if (user.value) {
    ended.value = true;
    user.value = null;
  }
});
