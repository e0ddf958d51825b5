//! Gatelodge: one login for everything in a home lab.
//!
//! Doors ([`http`]) turn the words of a sign-in dialect into deeds of the one domain
//! ([`domain`]), which keeps its state in one SQLite file ([`db`]). The command line ([`cli`])
//! reads the [`config`] and does the same deeds without a door. `docs/HOUSE.md` is the map.

pub mod cli;
pub mod config;
pub mod db;
pub mod domain;
pub mod http;
pub mod log;
