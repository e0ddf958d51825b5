//! All tests over HTTP and the command line, in one binary.

mod at_rest;
mod carriers;
mod cli;
mod configuration;
mod connections;
mod house;
mod map;
mod native_auth;
mod native_letters;
mod native_register;
mod shell;
mod signing_in;
mod signing_pins;
mod storage;
