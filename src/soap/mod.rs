//! SOAP: a call is an envelope that goes out over HTTP, and a reply or a fault that comes in.

pub(crate) mod arguments;
pub(crate) mod call;
pub(crate) mod cookie;
pub(crate) mod envelope;
pub(crate) mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod http_status;
mod redaction;
pub(crate) mod reply;
mod unreadable;
pub(crate) mod xml;
