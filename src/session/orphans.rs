//! Sessions on the server that nobody uses any more, because a renewal replaced them, a close overtook their login, or their login's
//! reply was unusable. They are logged out here only, if this library made them.

use super::Session;
use super::kind::{Kind, Origin};
use super::renewal::Renewal;
use super::snapshot::Snapshot;
use super::state::Input;
use crate::error::{Error, Result};
use crate::http::Retry;
use crate::runtime::log::log;
use crate::runtime::task::Task;
use crate::runtime::wait::Watch;
use crate::runtime::workers;
use crate::sync::Arc;

/// A call under way that uses the login of a snapshot.
pub(super) struct InUse<'a, K: Kind> {
    session: &'a Arc<Session>,
    snapshot: &'a Arc<Snapshot<K>>,
}

impl<'a, K: Kind> InUse<'a, K> {
    pub(super) fn begin(session: &'a Arc<Session>, snapshot: &'a Arc<Snapshot<K>>) -> InUse<'a, K> {
        snapshot.uses.begin();
        InUse { session, snapshot }
    }
}

impl<K: Kind> Drop for InUse<'_, K> {
    fn drop(&mut self) {
        if self.snapshot.uses.end() {
            self.session.log_out_in_background(self.snapshot.clone());
        }
    }
}

impl Session {
    /// The server says that the session is gone. `replace`: a login may follow at once; the state says whether it does. Returns the
    /// session if the caller has to log it out after it has released the lock. A server that did not make the session is not asked
    /// to end it, because it may have made another one with that name.
    #[must_use]
    pub(super) fn expire<K: Kind>(
        &self,
        renewal: &mut Renewal<K>,
        replace: bool,
    ) -> Option<Arc<Snapshot<K>>> {
        let server_session = K::of(self);
        let (had_session, snapshot) =
            (renewal.machine.state().is_usable(), server_session.current.snapshot());
        self.feed(renewal, Input::Expired { server: &server_session.kind.server(), replace });
        (had_session && !snapshot.elsewhere && snapshot.origin.is_ours() && snapshot.uses.give_up())
            .then_some(snapshot)
    }

    /// Logs an abandoned session out; nobody waits for it. The session may still live, on another node behind the same address, or
    /// because its cookie gets lost on the way.
    pub(super) fn log_out_in_background<K: Kind>(self: &Arc<Self>, orphan: Arc<Snapshot<K>>) {
        let session = self.clone();
        // If the system provides no thread, the session stays until the server ends it.
        let _ = Task::spawn(&workers::pools().probes, |waiter| async move {
            let watch = Watch::of_task(session.orphan_bounds(), waiter);
            if let Some((login, service)) = orphan.usable() {
                let _ = session.end_orphan::<K>(service, login, orphan.origin, &watch).await;
            }
        });
    }

    pub(super) async fn end_orphan<K: Kind>(
        &self,
        service: &K::Service,
        login: &K::Login,
        origin: Origin,
        watch: &Watch,
    ) -> Result<()> {
        if !origin.is_ours() {
            // unreached: all sessions are made by this library
            return Ok(());
        }
        let ended = K::of(self).kind.log_out(service, login, &Retry::new(true), watch).await;
        if let Err(error) = &ended
            && watch.is_ended()
        {
            self.note_undone::<K>("a logout", error);
        }
        ended
    }

    /// A shutdown ended `what` before the server had answered. Returns the error for whoever asks what became of the session.
    pub(super) fn note_undone<K: Kind>(&self, what: &str, error: &Error) -> Error {
        let user = self.account.lock().user.clone();
        let server = K::of(self).kind.server();
        let undone = match user {
            Some(user) => format!("{what} of '{user}' at {server}"),
            None => format!("{what} at {server}"),
        };
        log!(
            Warning,
            "the shutdown has ended {undone}, which the server had not answered: a session may be left there until it has been idle long enough"
        );
        workers::pools().note_undone(undone.clone());
        error
            .clone()
            .reworded(|_| format!("the shutdown has ended {undone}, which the server had not answered"))
    }
}
