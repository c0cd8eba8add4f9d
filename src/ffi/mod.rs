//! The C API: the only `extern "C"` functions and raw pointers of the library. One file for each C type; `guard`,
//! `handles`, `strings` and `options` hold what they share. Each function turns its arguments into values, calls the
//! layer below, and hands out owned results or an error.
#![allow(unsafe_code, non_camel_case_types)]

mod guard;
mod handles;
mod strings;

pub mod call;
pub mod cancel;
pub mod certificates;
pub mod config;
pub mod error;
pub mod event;
pub mod info;
pub mod library;
pub mod queue;
pub mod reply;
pub mod session;
