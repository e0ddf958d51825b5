// A file that the server makes when it is asked.
import { address, onStranger } from "./api.js";
import { missed } from "./connection.js";

/** @typedef {import("../types").Answer<null>} Nothing */

/** Posts, and hands what comes to the browser as a file of that name. By `fetch` and not by a form,
 * so that a refusal can be told in words here. The server says how the name ends.
 * @param {import("../types").PathOf<"post">} path @param {string} name @returns {Promise<Nothing>} */
export async function download(path, name) {
  try {
    const answer = await fetch(address(path, {}), { method: "POST", credentials: "same-origin", cache: "no-store" });
    if (answer.status === 401) for (const tell of onStranger) tell();
    if (!answer.ok) return { ok: false, status: answer.status, problem: await answer.json() };
    const url = URL.createObjectURL(await answer.blob());
    const end = answer.headers.get("content-disposition")?.match(/\.[a-z.]+(?="$)/)?.[0] ?? "";
    const link = Object.assign(document.createElement("a"), { href: url, download: name + end });
    link.click();
    // The browser reads it after the click has returned.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return { ok: true, status: answer.status, data: null };
  } catch {
    missed();
    return { ok: false, status: 0, problem: { error: "unreachable", message: "" } };
  }
}
