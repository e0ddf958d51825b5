// What every page needs: the token of the link, questions to the server, errors where they belong.

/// The token of the link; it leaves the address bar, the history and what is sent as Referer.
export function takeToken() {
  const token = new URLSearchParams(location.search).get("token");
  if (location.search || location.hash) history.replaceState(null, "", location.pathname);
  return token;
}

export const byId = (id) => document.getElementById(id);

/// Shows one part of the page and hides the others; the heading tells what it is now.
export function show(id, title) {
  for (const part of document.querySelectorAll("[data-part]")) part.hidden = part.id !== id;
  if (title) {
    const heading = document.querySelector("h1");
    heading.textContent = title;
    document.title = `${title} · Gatelodge`;
    heading.focus();
  }
}

/// Puts texts into the elements that ask for them by `data-fact`; never as markup.
export function tell(facts) {
  for (const place of document.querySelectorAll("[data-fact]")) {
    const text = facts[place.dataset.fact];
    if (text !== undefined && text !== null) place.textContent = text;
  }
}

async function ask(method, path, body, headers = {}) {
  try {
    const answer = await fetch(path, {
      method,
      headers: body ? { "content-type": "application/json", ...headers } : headers,
      body: body && JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
    const text = await answer.text();
    return { status: answer.status, ok: answer.ok, body: text ? JSON.parse(text) : {} };
  } catch {
    return { status: 0, ok: false, body: { message: "The server cannot be reached. Try again." } };
  }
}

export const post = (path, body, headers) => ask("POST", path, body, headers);
export const get = (path) => ask("GET", path);
export const remove = (path) => ask("DELETE", path);

const sentence = (text) => {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
};

/// Shows what is wrong at the field that the server names, else above the button.
function complain(form, { message = "Something went wrong. Try again.", field }) {
  const input = field && form.elements.namedItem(field);
  if (!input || input.type === "hidden") {
    form.querySelector("[role=alert]").textContent = sentence(message);
    return;
  }
  const label = form.querySelector(`label[for="${input.id}"]`).textContent.trim();
  const rest = message.startsWith(`${field} `) ? `${label} ${message.slice(field.length + 1)}` : message;
  input.setAttribute("aria-invalid", "true");
  byId(input.getAttribute("aria-describedby").split(" ")[0]).textContent = sentence(rest);
  input.focus();
}

function calm(form) {
  for (const place of form.querySelectorAll(".wrong")) place.textContent = "";
  for (const input of form.elements) input.removeAttribute("aria-invalid");
}

/// Sends a form by `send`, once at a time, and goes on with `done` when the server agrees.
export function onSubmit(form, send, done) {
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    calm(form);
    button.disabled = true;
    const answer = await send(Object.fromEntries(new FormData(form)));
    button.disabled = false;
    if (answer.ok) done(answer.body);
    else complain(form, answer.body);
  });
  for (const choice of form.querySelectorAll("[data-shows]")) {
    choice.addEventListener("change", () => {
      byId(choice.dataset.shows).type = choice.checked ? "text" : "password";
    });
  }
}
