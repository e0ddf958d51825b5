// Every page and its address; `http/pages.rs` knows the same addresses.

/** @type {import("./types").Route[]} */
export const routes = [
  { path: "/", load: () => import("./pages/home.js") },
  { path: "/setup", load: () => import("./pages/setup.js"), open: true },
  { path: "/sign-in", load: () => import("./pages/sign-in.js"), open: true },
  { path: "/register", load: () => import("./pages/register.js"), open: true },
  { path: "/invite", load: () => import("./pages/register.js"), open: true },
  { path: "/verify", load: () => import("./pages/verify.js"), open: true },
  { path: "/activate", load: () => import("./pages/verify.js"), open: true },
  { path: "/reset", load: () => import("./pages/reset.js"), open: true },
  { path: "/account", load: () => import("./pages/account/profile.js") },
  { path: "/account/security", load: () => import("./pages/account/security.js") },
  { path: "/account/keys", load: () => import("./pages/account/keys.js") },
  { path: "/account/sessions", load: () => import("./pages/account/sessions.js") },
  { path: "/account/links", load: () => import("./pages/account/links.js") },
  { path: "/admin", load: () => import("./pages/admin/first.js") },
  { path: "/admin/people", load: () => import("./pages/admin/people.js"), permission: "users-read" },
  { path: "/admin/people/:id", load: () => import("./pages/admin/person.js"), permission: "users-read" },
  { path: "/admin/roles", load: () => import("./pages/admin/roles.js"), permission: "roles-read" },
  { path: "/admin/roles/:name", load: () => import("./pages/admin/role.js"), permission: "roles-read" },
  { path: "/admin/invitations", load: () => import("./pages/admin/invitations.js"), permission: "invitations-read" },
  { path: "/admin/events", load: () => import("./pages/admin/events.js"), permission: "events-read" },
  { path: "/admin/log", load: () => import("./pages/admin/log.js"), permission: "events-read" },
  { path: "/admin/outbox", load: () => import("./pages/admin/outbox.js"), permission: "system-admin" },
  { path: "/admin/system", load: () => import("./pages/admin/system.js"), permission: "system-health" },
];
