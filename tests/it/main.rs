//! All tests over HTTP and the command line, in one binary.

mod documents;
mod guards;
mod hostile_accounts;
mod hostile_binding;
mod hostile_browser;
mod hostile_canonical;
mod hostile_flood;
mod hostile_proxy;
mod hostile_stale;
mod house;
mod map;
mod no_secrets;
mod smoke;
