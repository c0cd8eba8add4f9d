//! What a reader sees of a session: one value, made once and never changed. A login, a refresh or a logout makes a new
//! one; nobody can pair one login's cookie with another's identity, because they are never apart.

use crate::api::service::Service;
use crate::api::session_manager::Login;
use crate::sync::Arc;

/// A session at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Grows with every login, from 1; 0 before the first.
    pub(crate) epoch: u64,
    /// `None` when there is no session.
    pub(crate) login: Option<Login>,
    /// The server that the login was made with.
    pub(crate) service: Option<Arc<Service>>,
}

impl Snapshot {
    /// Login and server together, which is what a call needs.
    pub(crate) fn usable(&self) -> Option<(&Login, &Service)> {
        Some((self.login.as_ref()?, self.service.as_deref()?))
    }
}
