//! Acceptance tests: each drives the library through its C functions against the simulator, and is named for the
//! behaviour that it holds. What the simulator cannot say comes from a canned answer and is marked so.
#![allow(clippy::print_stderr)]

mod support;

mod ending;
mod errors;
mod events;
mod http;
mod login;
mod phases;
mod readers;
mod relogin;
mod secrets;
mod syscalls;
mod waiting;
