//! What answers say about the session, and questions to the server whether it still knows the session. Reading the state makes no
//! request; `refresh`, `is_active` and `is_live` do.

use super::backoff::Now;
use super::kind::Kind;
use super::rediscovery::OBJECTION_TO_A_QUESTION;
use super::snapshot::Snapshot;
use super::state::Input;
use super::vim25::Vim25;
use super::{Session, VimSnapshot};
use crate::error::{Error, Result};
use crate::http::Retry;
use crate::runtime::log::log;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::state::State;
use crate::sync::Arc;
use crate::vim::session_manager::{self, Login};

impl Session {
    /// The server answered.
    pub(super) fn note_success<K: Kind>(&self) {
        let server_session = K::of(self);
        server_session.keepalive.note_traffic();
        if server_session.publisher.state() == State::VSESSION_STATE_UNREACHABLE {
            self.feed(&mut server_session.renewal.lock(), Input::Answered);
        }
    }

    /// Notes an outage if the error is one. A fault is an answer.
    pub(super) fn note_failure<K: Kind>(&self, error: &Error) {
        if error.is_fault() {
            return self.note_success::<K>();
        }
        if error.is_outage() {
            self.note_outage::<K>(error);
        }
    }

    /// The same for a question of the library's own.
    pub(super) fn note_failed_question<K: Kind>(&self, error: &Error) {
        match error.is_failure_of_the_service() {
            true => self.note_outage::<K>(error),
            false => self.note_failure::<K>(error),
        }
    }

    fn note_outage<K: Kind>(&self, error: &Error) {
        let server_session = K::of(self);
        if server_session.publisher.state() == State::VSESSION_STATE_ACTIVE {
            self.feed(&mut server_session.renewal.lock(), Input::NotAnswered { error });
        }
    }

    /// Whether the server still knows the session of this epoch.
    pub(super) async fn is_live<K: Kind>(&self, epoch: u64, watch: &Watch) -> Result<bool> {
        let server_session = K::of(self);
        let snapshot = server_session.current.snapshot();
        let (Some(login), Some(service), true) =
            (&snapshot.login, &snapshot.service, snapshot.epoch == epoch)
        else {
            return Ok(false);
        };
        match self.ask_for_life::<K>(service.clone(), login, watch).await {
            Ok(live) => Ok(live),
            Err(error) if error.is_no_answer() => Ok(!self.accepts_unproven_loss::<K>(&error)),
            Err(error) => Err(error),
        }
    }

    async fn ask_for_life<K: Kind>(
        &self,
        mut service: Arc<K::Service>,
        login: &K::Login,
        watch: &Watch,
    ) -> Result<bool> {
        let retry = Retry::of_question();
        loop {
            match K::of(self).kind.is_live(&service, login, &retry, watch).await {
                Ok(live) => return Ok(live),
                Err(error) => service = self.corrected::<K>(&service, error, &retry, false, watch).await?,
            }
        }
    }

    /// A call was answered as if the session had ended, and the server does not say whether it lives. The answer is the only
    /// evidence then, and the session is given up, unless that happened a moment ago.
    fn accepts_unproven_loss<K: Kind>(&self, error: &Error) -> bool {
        let accepted = {
            let mut renewal = K::of(self).renewal.lock();
            let (now, backoff) = (Now::read(), renewal.machine.backoff());
            let accepted = renewal.unproven_losses.allows(now);
            if accepted {
                renewal.unproven_losses.note(backoff, now);
            }
            accepted
        };
        if accepted {
            log!(
                Warning,
                "{} does not say whether the session lives, and a call was answered as if it did not: {error}",
                K::of(self).kind.server()
            );
        }
        accepted
    }

    /// The server no longer knows the session of this epoch.
    pub(super) fn note_expired<K: Kind>(self: &Arc<Self>, epoch: u64) {
        let mut renewal = K::of(self).renewal.lock();
        if renewal.machine.epoch() != epoch || !renewal.machine.state().is_usable() {
            return;
        }
        let orphan = self.expire(&mut renewal, false);
        drop(renewal);
        if let Some(orphan) = orphan {
            self.log_out_in_background(orphan);
        }
    }
}

impl Session {
    /// Asks the server for the session's record and publishes it. Never logs in.
    pub(crate) fn refresh(self: &Arc<Self>, bounds: Bounds) -> Result<Arc<VimSnapshot>> {
        on_this_thread(self.refresh_within(&Watch::new(bounds)?))
    }

    pub(super) async fn refresh_within(self: &Arc<Self>, watch: &Watch) -> Result<Arc<VimSnapshot>> {
        let mut snapshot = self.begin_check()?;
        if snapshot.usable().is_none() {
            return Err(self.no_session());
        }
        let retry = Retry::new(true);
        let (login, answer) = loop {
            let Some((login, service)) = snapshot.usable() else { return Err(self.no_session()) };
            match self.vim.kind.current_session(service, login, &retry, watch).await {
                Ok(answer) => break (login.clone(), answer),
                Err(error) => snapshot = self.other_session(snapshot, error, &retry, watch).await?,
            }
        };
        self.note_success::<Vim25>();
        match answer {
            Some(user) => {
                self.note_proof::<Vim25>(snapshot.epoch);
                self.publish_refreshed(&snapshot, Login { user, ..login });
                // A login, a logout or a close may have come in between.
                self.identity::<Vim25>()
            }
            None => {
                self.note_expired::<Vim25>(snapshot.epoch);
                Err(self.no_session())
            }
        }
    }

    /// Asks the server whether the session lives. No session is an answer (`false`); a failure to ask is an error.
    pub(crate) fn is_active(self: &Arc<Self>, bounds: Bounds) -> Result<bool> {
        on_this_thread(self.is_active_within(&Watch::new(bounds)?))
    }

    async fn is_active_within(self: &Arc<Self>, watch: &Watch) -> Result<bool> {
        let mut snapshot = self.begin_check()?;
        if snapshot.usable().is_none() {
            return Ok(false);
        }
        let retry = Retry::new(true);
        let asked = loop {
            let Some((login, service)) = snapshot.usable() else { break Err(self.no_session()) };
            let vim = &self.vim.kind;
            let answer = match session_manager::session_is_active(
                &vim.endpoint, service, login, &retry, watch,
            )
            .await
            {
                Ok(Some(active)) => Ok(active),
                Ok(None) => vim.is_live(service, login, &retry, watch).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(active) => break Ok(active),
                Err(error) => match self.other_session(snapshot.clone(), error, &retry, watch).await {
                    Ok(other) => snapshot = other,
                    Err(error) => break Err(error),
                },
            }
        };
        if asked.is_err() && snapshot.usable().is_none() {
            // Another thread has found that the session is gone.
            return self.check_open().map(|()| false);
        }
        let active = asked?;
        self.note_success::<Vim25>();
        if active {
            self.note_proof::<Vim25>(snapshot.epoch);
        } else {
            self.note_expired::<Vim25>(snapshot.epoch);
            self.check_open()?;
        }
        Ok(active)
    }

    /// The snapshot with which a question is asked again; see `corrected`. Otherwise the error, which is noted.
    async fn other_session(
        self: &Arc<Self>,
        snapshot: Arc<VimSnapshot>,
        error: Error,
        retry: &Retry,
        watch: &Watch,
    ) -> Result<Arc<VimSnapshot>> {
        let contradicted =
            snapshot.service.as_ref().is_some_and(|service| service.is_contradicted_by(&error));
        if contradicted
            && retry.may_correct()
            && self.rediscover_for_call(&snapshot, false, watch).await.unwrap_or(false)
            && retry.again(OBJECTION_TO_A_QUESTION)
        {
            return Ok(self.snapshot());
        }
        self.note_failed_question::<Vim25>(&error);
        Err(error)
    }

    fn begin_check(&self) -> Result<Arc<VimSnapshot>> {
        // In this order, because a close takes the login out of the snapshot.
        let snapshot = self.snapshot();
        self.check_open()?;
        Ok(snapshot)
    }

    /// Puts a refreshed record in place, unless a login or logout came in between.
    fn publish_refreshed(&self, old: &Arc<VimSnapshot>, renewed: Login) {
        let _renewal = self.vim.renewal.lock();
        let current = self.snapshot();
        let same = Arc::ptr_eq(&current, old) || (current.epoch == old.epoch && current.login.is_some());
        if same || planted!("refresh-over-a-login") {
            // What is known of the server may be newer than the answer.
            let mut next = Snapshot { login: Some(renewed), ..(*current).clone() };
            if planted!("refresh-over-a-look") {
                next.service = old.service.clone();
            }
            self.vim.current.replace(next);
        }
    }
}
