//! Acceptance tests. Each uses the library through its C functions against the simulator and is named for the behaviour
//! it holds. What the simulator cannot produce comes from a canned reply, which is marked as such.
#![allow(clippy::disallowed_types)]
#![allow(clippy::print_stderr, clippy::undocumented_unsafe_blocks)]

#[path = "../../fuzz/targets/mod.rs"]
mod fuzz_targets;
// A part of it is only for tests/faults.
#[allow(dead_code)]
mod support;

mod asynchronous;
mod broken_replies;
mod chains;
mod client_certificates;
mod credentials;
mod descriptors;
mod dialing;
mod ending;
mod errors;
mod events;
mod exchanged;
mod flaws;
mod fuzzing;
mod handing_on;
mod http;
mod hung;
mod keepalive;
mod keepalive_failures;
mod keepalive_functions;
mod login;
mod long_polls;
mod lost_answers;
mod memory;
mod messages;
mod nodes;
mod outages;
mod overload;
mod phases;
mod properties;
mod proxies;
mod readers;
mod refused;
mod relogin;
mod requests;
mod rest;
mod resting;
mod secrets;
mod services;
mod shutdown;
mod silent;
mod syscalls;
mod tasks;
mod tracing;
mod trust;
mod waiting;
