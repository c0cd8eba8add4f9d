//! The vim25 service: how a server is discovered, its SessionManager, what it says of a session. Nothing here keeps state or
//! repeats a request for want of a session; that is the session's work.

#[cfg(test)]
mod costs;
pub(crate) mod discovery;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod service;
pub(crate) mod service_content;
pub(crate) mod session_manager;
pub(crate) mod user_session;
pub(crate) mod versions;
