// Who sits here, and what the house offers. One question answers both.
import { get, onStranger, remove } from "./api.js";
import { batch, computed, signal } from "./html.js";

/** @typedef {import("../types").Schemas} Schemas */

/** `null` until the server has answered. */
export const house = signal(/** @type {Schemas["Options"] | null} */ (null));
/** Whoever is signed in here. */
export const user = signal(/** @type {Schemas["User"] | null} */ (null));
/** The session ended by itself, and the sign-in page says so. */
export const ended = signal(false);

/** @param {string} permission */
export const may = (permission) => user.value?.permissions.includes(permission) ?? false;

/** The name for people to read. */
export const calledName = computed(() => user.value?.display_name || user.value?.username || "");

/** Asks who sits here; the answer is that of the API. */
export async function refresh() {
  const answer = await get("/auth/options");
  if (answer.ok) {
    batch(() => {
      house.value = answer.data;
      user.value = answer.data.user ?? null;
    });
  }
  return answer;
}

/** @param {Schemas["User"]} somebody */
export function signedIn(somebody) {
  ended.value = false;
  user.value = somebody;
}

export async function signOut() {
  const answer = await remove("/auth/session");
  if (answer.ok || answer.status === 401) {
    ended.value = false;
    user.value = null;
    // What the house offers to a stranger: it may have changed meanwhile.
    refresh();
  }
  return answer;
}

onStranger.add(() => {
  if (user.value) {
    ended.value = true;
    user.value = null;
  }
});
