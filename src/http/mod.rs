//! HTTP to one server: requests, replies, and the pool of connections that they share. Requests and plain replies take a
//! short way; all other replies are read by ureq. Nothing here knows of SOAP or of sessions.

mod buffers;
mod client;
mod connection;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod message;
#[cfg(vsession_model)]
pub(crate) mod model;
mod permits;
mod plain;
mod pool;
mod unusual;

pub(crate) use client::{Client, renew_after_fork};
pub(crate) use message::{HttpReply, HttpRequest, Method};
