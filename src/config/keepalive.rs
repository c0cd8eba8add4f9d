//! How keep-alive asks the server for a sign of life.

use std::fmt;

use crate::status::Status;
use crate::sync::Arc;

/// The request that keep-alive makes.
#[derive(Clone)]
pub(crate) enum Probe {
    CurrentTime,
    CurrentSession,
    /// A function of the program, given the session's handle.
    Custom(Arc<dyn Fn(u64) -> Status + Send + Sync>),
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Probe::CurrentTime => "CurrentTime",
            // unreached: a trait requires it, and nothing calls it
            Probe::CurrentSession => "CurrentSession",
            // unreached: a trait requires it, and nothing calls it
            Probe::Custom(_) => "Custom",
        })
    }
}
