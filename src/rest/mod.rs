//! What a vCenter's HTTP services other than SOAP have in common: the REST API below /api and /rest, and VI JSON below /sdk/vim25.
//! Their paths, and the errors in their replies. Nothing here sends a request.

pub(crate) mod error;
mod json;
pub(crate) mod paths;
