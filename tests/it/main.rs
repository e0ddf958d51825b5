//! All tests over HTTP and the command line, in one binary.

mod at_rest;
mod carriers;
mod cli;
mod configuration;
mod connections;
mod house;
mod map;
mod native_api_keys;
mod native_auth;
mod native_desk;
mod native_events;
mod native_invitations;
mod native_letters;
mod native_people;
mod native_profile;
mod native_register;
mod native_rights;
mod native_roles;
mod native_system;
mod native_users;
mod shell;
mod signing_in;
mod signing_pins;
mod storage;
