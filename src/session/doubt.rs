//! Doubt about what is known of the server. Its version and its service content are learned before a login, and another
//! server may have taken its place since: restored, exchanged, another member of a cluster. Where an answer contradicts what
//! is known, the server is looked at once more; how often is bounded by a pause that grows.

use super::backoff::{Now, Throttle};
use super::gate::{Gate, Outcome, Wish};
use super::{Session, Snapshot};
use crate::error::{Error, Result};
use crate::runtime::log::log;
use crate::runtime::wait::Watch;
use crate::sync::Arc;
use crate::vim::discovery;
use crate::vim::service::Service;

/// What a session doubts.
#[derive(Default)]
pub(super) struct Doubts {
    /// An answer contradicted what is known of the server, and the server has not been looked at since.
    open: bool,
    /// Looks at the server.
    looks: Throttle,
    /// Sessions that were given up although nobody said that they are gone.
    given_up: Throttle,
}

impl Gate {
    /// Whether the server may be looked at for the sake of an answer; the doubt stays where not.
    pub(super) fn may_look(&mut self) -> bool {
        self.doubts.open = true;
        self.doubts.looks.allows(Now::read())
    }
}

/// A service as a name for what was known when a call was made: its address. Compared and never followed.
pub(super) fn name_of(service: &Arc<Service>) -> usize {
    Arc::as_ptr(service) as usize
}

impl Session {
    /// Has the server looked at because a call of this snapshot was answered by a contradiction, and the session replaced if
    /// that ended with the server which it was made with. True: something has changed, and what was asked may be asked again.
    pub(super) fn look_at_server(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        may_log_in: bool,
        watch: &Watch,
    ) -> Result<bool> {
        let Some(service) = &snapshot.service else { return Ok(false) };
        let wish = Wish::Look { service: name_of(service), by_hand: false };
        if self.through_gate(wish, watch)? == Outcome::StillAlive {
            return Ok(false);
        }
        if !may_log_in {
            return Ok(true);
        }
        Ok(self.through_gate(Wish::Replace { epoch: snapshot.epoch }, watch)? != Outcome::Gone)
    }

    /// Whether an answer contradicted what is known of the server, which could not be looked at since.
    pub(super) fn has_doubts(&self) -> bool {
        self.gate.lock().doubts.open
    }

    /// What a login by hand does for a session that seems to live, where there are doubts.
    pub(super) fn settle_doubts(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        let snapshot = self.snapshot();
        let Some(service) = &snapshot.service else { return Ok(()) };
        match self.through_gate(Wish::Look { service: name_of(service), by_hand: true }, watch)? {
            Outcome::StillAlive => Ok(()),
            _ => self.through_gate(Wish::Replace { epoch: snapshot.epoch }, watch).map(|_| ()),
        }
    }

    /// The flight of a look. `service`: what the answer contradicted.
    pub(super) fn look(&self, service: usize, watch: &Watch) -> Result<Outcome> {
        let known = self.snapshot().service.clone().filter(|known| name_of(known) == service);
        let changed = match known {
            // Somebody has learned something else meanwhile.
            None => true,
            Some(known) => self.rediscover(&known, watch)?.is_some(),
        };
        Ok(if changed { Outcome::Ready } else { Outcome::StillAlive })
    }

    /// Asks a question of the library's own about the session: with what is known of the server, and once more where the
    /// server contradicts that and turns out to be another. `by_hand`: however often it was looked at lately.
    pub(super) fn ask<T>(
        &self,
        service: Arc<Service>,
        by_hand: bool,
        watch: &Watch,
        mut question: impl FnMut(&Service) -> Result<T>,
    ) -> Result<(Arc<Service>, T)> {
        let error = match question(&service) {
            Ok(answer) => return Ok((service, answer)),
            Err(error) => error,
        };
        if !service.is_contradicted_by(&error) || !(self.gate.lock().may_look() || by_hand) {
            return Err(error);
        }
        match self.rediscover(&service, watch) {
            Ok(Some(other)) => question(&other).map(|answer| (other, answer)),
            Ok(None) => Err(error),
            Err(failure) if failure.is_no_answer() => Err(error),
            Err(failure) => Err(failure),
        }
    }

    /// What the server is, as it says now.
    pub(super) fn discover(&self, watch: &Watch) -> Result<Arc<Service>> {
        let version = self.config.api_version.as_deref();
        discovery::discover(&self.endpoint, version, watch).map(Service::shared)
    }

    /// Looks at the server again. `None`: it is as it was known. Another one is shown to readers too: the session, if it
    /// lives on, is one with that server.
    fn rediscover(&self, known: &Arc<Service>, watch: &Watch) -> Result<Option<Arc<Service>>> {
        {
            let mut gate = self.gate.lock();
            let backoff = gate.machine.backoff();
            gate.doubts.looks.note(backoff, Now::read());
        }
        let result = self.discover(watch);
        let mut gate = self.gate.lock();
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                gate.service = None;
                return Err(error);
            }
        };
        gate.doubts.open = false;
        let changed = *found != **known;
        if !gate.machine.is_closed() {
            let now_known = if planted!("found-and-forgotten") { known } else { &found };
            gate.service = Some(now_known.clone());
            let snapshot = self.snapshot();
            if changed && snapshot.login.is_some() {
                let service = Some(found.clone());
                self.shown.replace(Snapshot { service, elsewhere: true, ..(*snapshot).clone() });
            }
        }
        drop(gate);
        if changed {
            log!(
                Warning,
                "{} is not the server that it was: {} before, {} now",
                self.endpoint.server(),
                known.action,
                found.action
            );
        }
        Ok(changed.then_some(found))
    }

    /// A call was answered as if the session had ended, and the question whether it lives was answered by something that is no
    /// answer. Then the call's answer is all the evidence there is: the session is given up, unless that has been tried just
    /// now.
    pub(super) fn gives_up_unproven(&self, error: &Error) -> bool {
        let allowed = {
            let mut gate = self.gate.lock();
            let (now, backoff) = (Now::read(), gate.machine.backoff());
            let allowed = gate.doubts.given_up.allows(now);
            if allowed {
                gate.doubts.given_up.note(backoff, now);
            }
            allowed
        };
        if allowed {
            log!(
                Warning,
                "{} does not say whether the session lives, which a call was answered as if it did not: {error}",
                self.endpoint.server()
            );
        }
        allowed
    }
}
