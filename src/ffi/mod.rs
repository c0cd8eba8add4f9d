//! The C API: the only `extern "C"` functions and raw pointers of the library. Each C type has a file. `guard`, `handles`,
//! `strings` and `callback_data` hold what these files share. Each function converts its arguments into values,
//! calls the layer below, and returns owned results or an error.
//!
//! Every unsafe function here relies on the contract of the C API: a pointer is NULL or points to a valid object of its
//! type, a string ends with a NUL or has the given length, and a result object has not been freed.
#![allow(unsafe_code, non_camel_case_types)]
#![allow(clippy::missing_safety_doc)]

mod callback_data;
mod guard;
mod handles;
#[cfg(all(test, vsession_model))]
mod models;
mod strings;

pub mod call;
pub mod cancel;
pub mod certificates;
pub mod config;
pub mod credentials;
pub mod error;
pub mod event;
pub mod http;
pub mod info;
pub mod library;
pub mod node;
pub mod properties;
pub mod queue;
pub mod reply;
pub mod session;
pub mod task;
