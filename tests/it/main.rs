//! All tests over HTTP and the command line, in one binary.

mod documents;
mod guards;
mod house;
mod map;
mod smoke;
