//! Asking the server about the session: who it belongs to, whether it lives. Status reads never do this; these do.

use super::{Session, Snapshot};
use crate::error::Result;
use crate::runtime::wait::{Bounds, Watch};
use crate::sync::Arc;
use crate::vim::service::Service;
use crate::vim::session_manager::{self, Login};

impl Session {
    /// Asks the server for the session's record and publishes it. Never logs in.
    pub(crate) fn refresh(self: &Arc<Self>, bounds: Bounds) -> Result<Arc<Snapshot>> {
        let (mut snapshot, watch) = self.begin_check(bounds)?;
        if snapshot.usable().is_none() {
            return Err(self.no_session());
        }
        let (login, answer) = self.ask_about_it(&mut snapshot, &watch, |login, service| {
            session_manager::current_session(&self.endpoint, service, &login.cookie, &watch)
                .map(|answer| (login.clone(), answer))
        })?;
        self.note_success();
        match answer.filter(|user| user.key == login.user.key) {
            Some(user) => {
                self.note_proof(snapshot.epoch);
                self.publish_refreshed(&snapshot, Login { user, ..login.clone() });
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
    pub(crate) fn is_active(self: &Arc<Self>, bounds: Bounds) -> Result<bool> {
        let (mut snapshot, watch) = self.begin_check(bounds)?;
        if snapshot.usable().is_none() {
            return Ok(false);
        }
        let asked = self.ask_about_it(&mut snapshot, &watch, |login, service| {
            match session_manager::session_is_active(&self.endpoint, service, login, &watch)? {
                Some(answer) => Ok(answer),
                None => session_manager::current_session(&self.endpoint, service, &login.cookie, &watch)
                    .map(|user| user.is_some_and(|user| user.key == login.user.key)),
            }
        });
        if asked.is_err() && snapshot.usable().is_none() {
            // Another thread has found out meanwhile.
            return self.check_open().map(|()| false);
        }
        let active = asked?;
        self.note_success();
        if active {
            self.note_proof(snapshot.epoch);
        } else {
            self.note_expired(snapshot.epoch);
            self.check_open()?;
        }
        Ok(active)
    }

    /// Asks about the session, and once more where the server contradicts what is known of it and turns out to be another.
    /// `snapshot` becomes the one that was asked about.
    fn ask_about_it<T>(
        self: &Arc<Self>,
        snapshot: &mut Arc<Snapshot>,
        watch: &Watch,
        question: impl Fn(&Login, &Service) -> Result<T>,
    ) -> Result<T> {
        let Some((login, service)) = snapshot.usable() else { return Err(self.no_session()) };
        let mut answer = question(login, service);
        if let Err(error) = &answer
            && service.is_contradicted_by(error)
            && self.look_at_server(snapshot, false, watch).unwrap_or(false)
        {
            *snapshot = self.snapshot();
            let Some((login, service)) = snapshot.usable() else { return Err(self.no_session()) };
            answer = question(login, service);
        }
        answer.inspect_err(|error| self.note_failure(error))
    }

    fn begin_check(&self, bounds: Bounds) -> Result<(Arc<Snapshot>, Watch)> {
        // In this order: a close takes the login out of the snapshot.
        let snapshot = self.snapshot();
        self.check_open()?;
        Ok((snapshot, Watch::new(bounds)?))
    }

    /// Puts a refreshed record in place, unless a login or logout came in between.
    fn publish_refreshed(&self, old: &Arc<Snapshot>, renewed: Login) {
        let _gate = self.gate.lock();
        let current = self.snapshot();
        let same = Arc::ptr_eq(&current, old) || (current.epoch == old.epoch && current.login.is_some());
        if same || planted!("refresh-over-a-login") {
            // What is known of the server may be newer than the answer.
            let mut next = Snapshot { login: Some(renewed), ..(*current).clone() };
            if planted!("refresh-over-a-look") {
                next.service = old.service.clone();
            }
            self.shown.replace(next);
        }
    }

    /// The server no longer knows the session of this epoch.
    pub(super) fn note_expired(self: &Arc<Self>, epoch: u64) {
        let mut gate = self.gate.lock();
        if gate.machine.epoch() != epoch || !gate.machine.state().is_usable() {
            return;
        }
        let given_up = self.give_up(&mut gate, false);
        drop(gate);
        if let Some(given_up) = given_up {
            self.log_out_later(given_up);
        }
    }
}
