//! SOAP: a call sends an envelope over HTTP and receives a reply or a fault.

pub(crate) mod answer;
pub(crate) mod arguments;
pub(crate) mod call;
#[cfg(any(test, fuzzing))]
pub(crate) mod comparison;
pub(crate) mod endpoint;
pub(crate) mod envelope;
pub(crate) mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod http_status;
pub(crate) mod operation_id;
mod redaction;
pub(crate) mod reply;
mod unreadable;
pub(crate) mod xml;
