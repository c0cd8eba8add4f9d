//! Rediscovery of the server. Its version and its service content are learned before a login, and another server may have taken its
//! place since: restored, exchanged, another member of a cluster. When an answer contradicts what is known, the server is asked anew
//! what it is, once for all threads and no more often than a growing pause allows.

use super::Session;
use super::backoff::{Now, Throttle};
use super::flight::Outcome;
use super::kind::Kind;
use super::renewal::{Goal, Renewal};
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::http::{Reason, Retry};
use crate::runtime::log::log;
use crate::runtime::wait::Watch;
use crate::sync::Arc;

#[derive(Default)]
pub(super) struct Rediscovery {
    /// An answer contradicted what is known of the server, and the server has not been rediscovered since.
    wanted: bool,
    throttle: Throttle,
}

/// A question names no objects but those that the library knows from the server, so it has not run where the server objects.
pub(super) const OBJECTION_TO_A_QUESTION: Reason = Reason::ServerRediscovered { proven_not_run: true };

impl<K: Kind> Renewal<K> {
    /// Notes a contradiction; whether the server may be rediscovered for it now.
    pub(super) fn may_rediscover(&mut self) -> bool {
        self.rediscovery.wanted = true;
        self.rediscovery.throttle.allows(Now::read())
    }
}

/// Names what was known of the server when a call was made, by its address. It is compared and never dereferenced.
pub(super) fn address_of<S>(service: &Arc<S>) -> usize {
    Arc::as_ptr(service) as usize
}

impl Session {
    /// Rediscovers the server because a call of this snapshot was answered by a contradiction, and replaces the session if it ended
    /// with the server that made it. True: something has changed, and the question may be asked again.
    pub(super) async fn rediscover_for_call<K: Kind>(
        self: &Arc<Self>,
        snapshot: &Snapshot<K>,
        may_log_in: bool,
        watch: &Watch,
    ) -> Result<bool> {
        // sometimes: a race, which a run meets or not
        let Some(service) = &snapshot.service else { return Ok(false) };
        let goal = Goal::Rediscover { service: address_of(service), by_hand: false };
        if self.renew::<K>(goal, watch).await? == Outcome::StillAlive {
            return Ok(false);
        }
        if !may_log_in {
            return Ok(true);
        }
        Ok(self.renew::<K>(Goal::Replace { epoch: snapshot.epoch }, watch).await? != Outcome::Gone)
    }

    /// Whether an answer contradicted what is known of the server, which could not be rediscovered since.
    pub(super) fn is_contradicted<K: Kind>(&self) -> bool {
        K::of(self).renewal.lock().rediscovery.wanted
    }

    /// What a login by hand does for a session that seems to live after a contradiction.
    pub(super) async fn resolve_contradiction<K: Kind>(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        let snapshot = K::of(self).current.snapshot();
        // sometimes: a race, which a run meets or not
        let Some(service) = &snapshot.service else { return Ok(()) };
        match self.renew::<K>(Goal::Rediscover { service: address_of(service), by_hand: true }, watch).await?
        {
            // sometimes: a race, which a run meets or not
            Outcome::StillAlive => Ok(()),
            _ => self.renew::<K>(Goal::Replace { epoch: snapshot.epoch }, watch).await.map(|_| ()),
        }
    }

    /// The flight of a rediscovery. `service`: what the answer contradicted.
    pub(super) async fn run_rediscovery<K: Kind>(&self, service: usize, watch: &Watch) -> Result<Outcome> {
        let known =
            K::of(self).current.snapshot().service.clone().filter(|known| address_of(known) == service);
        let changed = match known {
            // Another thread has learned something else meanwhile.
            // sometimes: a race, which a run meets or not
            None => true,
            Some(known) => self.rediscover::<K>(&known, watch).await?.is_some(),
        };
        Ok(if changed { Outcome::Ready } else { Outcome::StillAlive })
    }

    /// The server to which a question of the library's own is sent again: another one, if this answer contradicts what is known of
    /// `service` and `retry` allows another attempt. Otherwise the error. `by_hand`: however often the server was rediscovered
    /// lately.
    pub(super) async fn corrected<K: Kind>(
        &self,
        service: &Arc<K::Service>,
        error: Error,
        retry: &Retry,
        by_hand: bool,
        watch: &Watch,
    ) -> Result<Arc<K::Service>> {
        let may_correct = K::is_contradicted(service, &error)
            && retry.may_correct()
            && (K::of(self).renewal.lock().may_rediscover() || by_hand);
        if !may_correct {
            return Err(error);
        }
        match Box::pin(self.rediscover::<K>(service, watch)).await {
            Ok(Some(other)) if retry.again(OBJECTION_TO_A_QUESTION) => Ok(other),
            Err(failure) if !failure.is_no_answer() => Err(failure),
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// Asks the server again what it is. `None`: it is as it was known. Another one is shown to readers too: the session, if it
    /// lives on, is one with that server.
    pub(super) async fn rediscover<K: Kind>(
        &self,
        known: &Arc<K::Service>,
        watch: &Watch,
    ) -> Result<Option<Arc<K::Service>>> {
        let server_session = K::of(self);
        {
            let mut renewal = server_session.renewal.lock();
            let backoff = renewal.machine.backoff();
            renewal.rediscovery.throttle.note(backoff, Now::read());
        }
        let result = server_session.kind.discover(&self.config, watch).await;
        let mut renewal = server_session.renewal.lock();
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                renewal.service = None;
                return Err(error);
            }
        };
        renewal.rediscovery.wanted = false;
        let changed = *found != **known;
        if !renewal.machine.is_closed() {
            let now_known = if planted!("found-and-forgotten") { known } else { &found };
            renewal.service = Some(now_known.clone());
            let snapshot = server_session.current.snapshot();
            if changed && snapshot.login.is_some() {
                let service = Some(found.clone());
                server_session.current.replace(Snapshot { service, elsewhere: true, ..(*snapshot).clone() });
            }
        }
        drop(renewal);
        if changed {
            log!(
                Warning,
                "{} is not the server that it was: {} before, {} now",
                server_session.kind.server(),
                K::version(known),
                K::version(&found)
            );
        }
        Ok(changed.then_some(found))
    }
}
