//! One vSphere session, safe from every thread: a shared library with a C ABI.
//!
//! The C functions are in `ffi`. Everything below is safe Rust and private; arrows between modules go down only:
//! `ffi → session → config → auth → vim → rest → soap → http → net → runtime → {sys, error, status, state, text, sync, planted}`.
#![deny(unsafe_code)]
#![warn(unreachable_pub)]
// Under the model checker no connection is made, and the models use what they look at.
#![cfg_attr(vsession_model, allow(dead_code))]
// Unit tests may wait as they like.
#![cfg_attr(test, allow(clippy::disallowed_types))]

/// Planted faults, which show that the tests find them. The first module, because its macro is known only below.
#[macro_use]
mod planted;

pub mod ffi;

/// Calls, the login gate, the snapshot: the heart.
mod session;

/// Ways into a server.
mod auth;

/// Options, URL and environment.
mod config;

/// The vim25 service: discovery, SessionManager.
mod vim;

/// REST and VI JSON: their paths and their errors.
mod rest;

/// Calls: envelopes, replies, faults.
mod soap;

/// Requests, replies, and the connections that they share.
mod http;

/// Connections: names, proxies, TCP, TLS, trust.
mod net;

/// Waiting, workers, events, log, secrets.
mod runtime;

/// System calls.
mod sys;

/// The primitives of synchronisation.
mod sync;

/// What the fuzzer reaches into; see `fuzz/`. No part of the library.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

mod error;
mod state;
mod status;
mod text;

pub use runtime::event::vsession_event_kind;
pub use state::{vsession_reason, vsession_service, vsession_state};
pub use status::{vsession_executed, vsession_status};
