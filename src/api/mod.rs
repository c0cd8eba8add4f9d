//! What can be asked of a server, one request at a time: SOAP calls and the documents that precede a login. Nothing here
//! keeps state or repeats a request for want of a session; that is the session's work.

pub(crate) mod discovery;
pub(crate) mod service;
pub(crate) mod session_manager;
pub(crate) mod soap;
