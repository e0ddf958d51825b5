// openapi-fetch over the types that openapi-typescript made of native's document, against a running
// server: signs in, refreshes, makes a key, pages through people, gets an error as a value with a
// type. BASE and PASSWORD come from the environment.

import createClient from "openapi-fetch";
import type { components, paths } from "./native.js";

declare const process: { env: Record<string, string | undefined> };

type Problem = components["schemas"]["Problem"];

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const baseUrl = process.env["BASE"] ?? "";
const password = process.env["PASSWORD"] ?? "";
const stranger = createClient<paths>({ baseUrl });
const bearer = (token: string) =>
  createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const login = await stranger.POST("/api/v1/auth/login", { body: { username: "ann", password } });
must(login.data !== undefined, "ann signs in");
const refreshed = await stranger.POST("/api/v1/auth/refresh", {
  body: { refresh_token: login.data.refresh_token },
});
must(refreshed.data !== undefined, "ann's token is renewed");

const ann = bearer(refreshed.data.token);
const me = await ann.GET("/api/v1/user");
const email: string | null | undefined = me.data?.email;
must(email === "ann@example.org" && me.data?.status === "active", "ann is ann");
for (let number = 0; number < 5; number += 1) {
  const made = await ann.POST("/api/v1/users", { body: { username: `visitor${number}` } });
  must(made.response.status === 201 && made.data?.email === null, "a visitor");
}

const key = await ann.POST("/api/v1/api-keys", {
  body: { name: "script", permissions: ["users-read"] },
});
must(key.data !== undefined, "a key");
const script = bearer(key.data.key);

const names: string[] = [];
let total = 1;
for (let page = 1; names.length < total; page += 1) {
  const found = await script.GET("/api/v1/users", { params: { query: { page, page_size: 3 } } });
  must(found.data !== undefined && found.data.page === page, `page ${page}`);
  total = found.data.total;
  names.push(...found.data.data.map((user) => user.username));
}
must(["ann", "bob", "visitor4"].every((name) => names.includes(name)), names.join());

const refused = await script.POST("/api/v1/users", { body: { username: "nobody" } });
const problem: Problem | undefined = refused.error;
must(problem?.error === "forbidden" && problem.message !== "", "a key may not do everything");
const wrong = await stranger.POST("/api/v1/auth/login", {
  body: { username: "ann", password: "wrong" },
});
must(wrong.error?.error === "unauthorized", "a wrong password");
// @ts-expect-error: a name is needed, which the types know before the server does.
const unnamed = await ann.POST("/api/v1/users", { body: {} });
must(unnamed.error?.field === "username", "the server knows it too");
const gone = await ann.DELETE("/api/v1/api-keys/{id}", { params: { path: { id: key.data.id } } });
must(gone.response.status === 204, "the key is revoked");
console.log("the client in TypeScript signs in, refreshes, makes a key, turns pages and reads errors");
