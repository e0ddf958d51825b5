//! All tests over HTTP and the command line, in one binary.

mod house;
mod map;
mod smoke;
