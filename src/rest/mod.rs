//! What a vCenter's HTTP services other than SOAP have in common: the REST API below /api and /rest, and VI JSON below /sdk/vim25.
//! Their paths, the errors in their replies, and the sessions of the REST API.

pub(crate) mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
pub(crate) mod paths;
pub(crate) mod session;
