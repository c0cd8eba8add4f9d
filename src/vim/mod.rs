//! The vim25 service: discovery of a server, its SessionManager, its cookie, its records of a session, its properties and tasks. Nothing here keeps state
//! or repeats a request after a lost session: `session` does.

pub(crate) mod cookie;
#[cfg(test)]
mod costs;
pub(crate) mod discovery;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod property_collector;
pub(crate) mod service;
pub(crate) mod service_content;
pub(crate) mod session_manager;
pub(crate) mod tasks;
pub(crate) mod user_session;
pub(crate) mod versions;
