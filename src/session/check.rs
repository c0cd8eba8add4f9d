//! Asking the server about the session: who it belongs to, whether it lives. Status reads never do this; these do.

use std::rc::Rc;

use super::{Session, Snapshot};
use crate::api::session_manager::{self, Login};
use crate::error::Result;
use crate::runtime::wait::{Bounds, Watch};
use crate::state::{Reason, State};
use crate::sync::Arc;

impl Session {
    /// Asks the server for the session's record and publishes it. Never logs in.
    pub(crate) fn refresh(&self, bounds: Bounds) -> Result<Arc<Snapshot>> {
        let (snapshot, watch) = self.begin_check(bounds)?;
        let Some((login, service)) = snapshot.usable() else { return Err(self.no_session()) };
        let answer = session_manager::current_session(&self.endpoint, service, &login.cookie, &watch)
            .inspect_err(|error| self.note_failure(error))?;
        self.note_success();
        match answer.filter(|user| user.key == login.user.key) {
            Some(user) => {
                let renewed =
                    Snapshot { login: Some(Login { user, ..login.clone() }), ..(*snapshot).clone() };
                self.publish_refreshed(&snapshot, Arc::new(renewed));
                // A login, a logout or a close may have come in between.
                self.identity()
            }
            None => {
                self.note_expired(snapshot.epoch);
                Err(self.no_session())
            }
        }
    }

    /// Asks the server whether the session lives. No session is an answer (`false`); a failure to ask is an error.
    pub(crate) fn is_active(&self, bounds: Bounds) -> Result<bool> {
        let (snapshot, watch) = self.begin_check(bounds)?;
        let Some((login, service)) = snapshot.usable() else { return Ok(false) };
        let asked = match session_manager::session_is_active(&self.endpoint, service, login, &watch) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => session_manager::current_session(&self.endpoint, service, &login.cookie, &watch)
                .map(|user| user.is_some_and(|user| user.key == login.user.key)),
            Err(error) => Err(error),
        };
        let active = asked.inspect_err(|error| self.note_failure(error))?;
        self.note_success();
        if !active {
            self.note_expired(snapshot.epoch);
            self.check_open()?;
        }
        Ok(active)
    }

    fn begin_check(&self, bounds: Bounds) -> Result<(Arc<Snapshot>, Rc<Watch>)> {
        // In this order: a close takes the login out of the snapshot.
        let snapshot = self.snapshot();
        self.check_open()?;
        Ok((snapshot, Rc::new(Watch::new(bounds)?)))
    }

    /// Puts a refreshed record in place, unless a login or logout came in between.
    fn publish_refreshed(&self, old: &Arc<Snapshot>, renewed: Arc<Snapshot>) {
        let _gate = self.gate.lock();
        let current = self.snapshot();
        if Arc::ptr_eq(&current, old) || (current.epoch == old.epoch && current.login.is_some()) {
            self.shown.replace(renewed);
        }
    }

    /// The server no longer knows the session of this epoch.
    pub(super) fn note_expired(&self, epoch: u64) {
        let mut gate = self.gate.lock();
        if gate.epoch == epoch && gate.state.is_usable() {
            self.transition(&mut gate, State::VSESSION_STATE_EXPIRED, Reason::VSESSION_REASON_EXPIRED, None);
        }
    }
}
