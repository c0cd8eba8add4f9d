//! HTTP/1.1 to one server: requests, replies, and the pool of connections that they share. Nothing here knows of SOAP or of
//! sessions.

mod budget;
mod buffers;
mod chunked;
mod client;
mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod head;
mod header_lines;
mod input;
mod line;
#[cfg(vsession_model)]
pub(crate) mod model;
#[cfg(all(test, vsession_model))]
mod models;
mod pace;
mod pool;
mod reply;
mod request;
mod retry;
mod round_trips;
mod scrub;
mod semaphore;
mod stream;
mod trace;

pub(crate) use budget::{Budget, Spending, Verdict};
pub(crate) use client::{Client, renew_after_fork};
pub(crate) use head::Head;
pub(crate) use header_lines::HeaderLines;
pub(crate) use input::{check_headers, check_method, check_target, percent_decoded};
pub(crate) use reply::HttpReply;
pub(crate) use request::{HttpRequest, Lane};
pub(crate) use retry::{Reason, Retry};
pub(crate) use scrub::Secrets;
pub(crate) use stream::{Give, Streams, Take, given_up};
