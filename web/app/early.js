// Before the first paint: the colours and the language that somebody chose here, and an icon whose
// address stays right when the page's own changes.
(() => {
  const root = document.documentElement;
  const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector("link[rel=icon]"));
  if (icon) icon.href = new URL(icon.href).href;
  const kept = (/** @type {string} */ name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // Storage may be switched off; then every visit is the first.
    }
  };
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const wanted = [kept("language"), ...navigator.languages].map((one) => (one ?? "").slice(0, 2));
  root.lang = wanted.find((one) => one === "en" || one === "de") ?? "en";
})();
