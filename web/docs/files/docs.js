// The documents of the dialects in Swagger UI, one at a time.

const chooser = document.querySelector("#document");
const note = document.querySelector("#note");
const mount = document.querySelector("#ui");

// Swagger UI looks dark where a class says so.
const dark = matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

const secure = location.protocol === "https:" ? "; Secure" : "";
// On https the cookie of the pages has another name than on http, which the document names.
const cookieName = (name) => (secure && name === "session" ? "__Host-session" : name);

// A page cannot send the header `Cookie`, which is what Swagger UI would do with a cookie. It can
// set the cookie for itself, but not over one that a sign-in here has set (RFC 6265, HttpOnly).
function setCookie(name, value) {
  document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; SameSite=Lax${secure}`;
  const held = document.cookie.split("; ").includes(`${name}=${encodeURIComponent(value)}`);
  note.textContent = held ? "" : `The browser already holds a cookie ${name}, which stays: sign out first.`;
}

const cookies = () => {
  const set = new Map();
  return {
    statePlugins: {
      auth: {
        wrapActions: {
          authorize: (original) => (payload) => {
            for (const [scheme, { schema, value }] of Object.entries(payload)) {
              if (schema?.get("in") !== "cookie" || !value) continue;
              const name = cookieName(schema.get("name"));
              set.set(scheme, name);
              setCookie(name, value);
            }
            return original(payload);
          },
          logout: (original) => (schemes) => {
            for (const scheme of schemes.filter((scheme) => set.has(scheme))) {
              document.cookie = `${set.get(scheme)}=; Path=/; Max-Age=0${secure}`;
              set.delete(scheme);
            }
            note.textContent = "";
            return original(schemes);
          },
        },
      },
    },
  };
};

// Each document begins anew: what was typed in for one dialect is not sent to another.
function show() {
  const dialect = chooser.value;
  const room = document.createElement("div");
  mount.replaceChildren(room);
  SwaggerUIBundle({
    domNode: room,
    url: `openapi/${dialect}.json`,
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    plugins: [cookies],
    presets: [SwaggerUIBundle.presets.apis],
    // Nobody else is asked whether a document is right.
    validatorUrl: null,
    onComplete: () => {
      mount.dataset.shows = dialect;
    },
  });
}

const offered = [...chooser.options].map((option) => option.value);
const wanted = new URLSearchParams(location.search).get("document");
if (offered.includes(wanted)) chooser.value = wanted;
chooser.addEventListener("change", () => {
  history.replaceState(null, "", `?document=${chooser.value}`);
  show();
});
show();
