//! The ways into a server, one file each. Each makes one attempt and returns the session, or says why there is none;
//! when to try and who waits is the session's work.

pub(crate) mod fingerprint;
pub(crate) mod password;
