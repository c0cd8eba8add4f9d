//! The C API: the only `extern "C"` functions and raw pointers of the library. One file for each C type; `guard`,
//! `handles` and `strings` hold what they share. Each function turns its arguments into values, calls the
//! layer below, and hands out owned results or an error.
//!
//! What every unsafe function here asks of its caller is the contract of the C API, stated once: a pointer is NULL or
//! points to a valid object of its type; a string ends with a NUL or is as long as its length says; a result object has
//! not been freed.
#![allow(unsafe_code, non_camel_case_types)]
#![allow(clippy::missing_safety_doc)]

mod guard;
mod handles;
#[cfg(all(test, vsession_model))]
mod models;
mod strings;
mod userdata;

pub mod call;
pub mod cancel;
pub mod certificates;
pub mod config;
pub mod credentials;
pub mod error;
pub mod event;
pub mod info;
pub mod library;
pub mod queue;
pub mod reply;
pub mod session;
