//! The vSphere protocol as text: envelopes out, replies and faults in. Pure functions over bytes: no I/O, no state.

pub(crate) mod cookie;
#[cfg(test)]
mod costs;
mod document;
pub(crate) mod envelope;
pub(crate) mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod reply;
mod scan;
pub(crate) mod service_content;
pub(crate) mod user_session;
pub(crate) mod versions;
pub(crate) mod xml;
