//! All tests over HTTP and the command line, in one binary.

mod cli;
mod configuration;
mod connections;
mod house;
mod map;
mod shell;
mod storage;
