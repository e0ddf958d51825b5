//! All tests over HTTP and the command line, in one binary.

mod house;
mod map;
mod native_api_keys;
mod native_desk;
mod native_events;
mod native_invitations;
mod native_people;
mod native_profile;
mod native_rights;
mod native_roles;
mod native_system;
mod native_users;
mod smoke;
