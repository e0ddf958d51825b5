// What the document of native says of each operation, for the type check; browsers never see it.
import type { components, paths } from "native";

type Paths = { [P in keyof paths as P extends `/api/v1${infer Rest}` ? Rest : never]: paths[P] };
export type Verb = "get" | "post" | "put" | "patch" | "delete";
export type PathOf<V extends Verb> = {
  [P in keyof Paths]: Paths[P] extends { [K in V]: object } ? P : never;
}[keyof Paths];
type Operation<P extends keyof Paths, V extends Verb> = Paths[P] extends { [K in V]: infer O } ? O : never;
type Json<T> = T extends { content: infer C } ? (C extends { [K in keyof C]: infer B } ? B : never) : null;
type Answers<O> = O extends { responses: infer R } ? R : never;
export type Good<P extends keyof Paths, V extends Verb> = {
  [S in keyof Answers<Operation<P, V>>]: S extends 200 | 201 | 204 ? Json<Answers<Operation<P, V>>[S]> : never;
}[keyof Answers<Operation<P, V>>];
type BodyOf<O> = O extends { requestBody: { content: { [K: string]: infer B } } } ? { body: B } : { body?: undefined };
type InPath<O> = O extends { parameters: { path: infer I } } ? { path: I } : { path?: undefined };
type InQuery<O> = O extends { parameters: { query?: infer Q } } ? { query?: Q } : { query?: undefined };
export type Asked<P extends keyof Paths, V extends Verb> =
  BodyOf<Operation<P, V>> & InPath<Operation<P, V>> & InQuery<Operation<P, V>> & { signal?: AbortSignal };

export type Schemas = components["schemas"];
export type Problem = {
  /** Of the API, or `unreachable` where there was no answer at all. */
  error: Schemas["Kind"] | "unreachable";
  message: string;
  field?: string;
  reason?: string;
  limit?: number;
  /** In seconds, where it makes sense to wait. */
  wait?: number;
};
export type Answer<T> =
  | { ok: true; status: number; data: T }
  | { ok: false; status: number; problem: Problem };
export type Route = {
  path: string;
  load: () => Promise<{ default: (given: { params: Record<string, string> }) => unknown }>;
  /** Who sees it: everybody, or somebody who is signed in. */
  open?: boolean;
  /** Somebody with this permission. */
  permission?: string;
};
