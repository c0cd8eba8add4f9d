//! What is known of the server, for calls that need no session: learned once for all threads, without credentials, and whatever a login
//! is doing meanwhile. A login discovers the server by itself, see `acquire`.

use std::pin::pin;

use super::flight::{Flight, Outcome, Purpose};
use super::kind::Kind;
use super::{Session, closed};
use crate::error::{Error, Result};
use crate::runtime::phase::Phase;
use crate::runtime::task::Task;
use crate::runtime::wait::Watch;
use crate::runtime::workers;
use crate::status::Status;
use crate::sync::Arc;

/// What a thread has to do.
enum Next<S> {
    Return(Arc<S>),
    Join(Arc<Flight>),
    Start(Arc<Flight>),
}

impl Session {
    /// What is known of the server; if nothing is, the server is asked. `contradicted`: what an answer has contradicted. It is
    /// returned as it is if the server still is that, or was asked a moment ago.
    pub(super) async fn discovered<K: Kind>(
        self: &Arc<Self>,
        contradicted: Option<&Arc<K::Service>>,
        watch: &Watch,
    ) -> Result<Arc<K::Service>> {
        let mut asked = false;
        loop {
            watch.check().map_err(|stop| K::of(self).kind.stopped(stop.into(), Phase::Start, ""))?;
            let (flight, ran_here) = match self.next_step_of_discovery::<K>(contradicted, asked)? {
                Next::Return(service) => return Ok(service),
                Next::Join(flight) => (flight, false),
                Next::Start(flight) => {
                    let ran_here = self.begin_discovery::<K>(&flight, contradicted.cloned(), watch).await;
                    (flight, ran_here)
                }
            };
            if let Err(error) = self.wait_for::<K>(&flight, watch).await {
                self.leave::<K>(&flight);
                return Err(error);
            }
            match flight.outcome() {
                Ok(_) => asked = true,
                // It ended because all the others had left just as we came.
                // sometimes: a race, which a run meets or not
                Err(error) if error.status() == Status::VSESSION_E_CANCELLED && !ran_here => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `asked`: the server has been asked for this thread.
    fn next_step_of_discovery<K: Kind>(
        &self,
        contradicted: Option<&Arc<K::Service>>,
        asked: bool,
    ) -> Result<Next<K::Service>> {
        let mut renewal = K::of(self).renewal.lock();
        if renewal.machine.is_closed() {
            return Err(closed());
        }
        if let Some(known) = &renewal.service
            && (asked || contradicted.is_none_or(|old| !Arc::ptr_eq(old, known)))
        {
            return Ok(Next::Return(known.clone()));
        }
        match &renewal.discovery {
            _ if planted!("two-discoveries") => {}
            Some(flight) if !flight.abandoned.has_fired() => {
                flight.join();
                return Ok(Next::Join(flight.clone()));
            }
            _ => {}
        }
        if let Some(old) = contradicted
            && (asked || !renewal.may_rediscover())
        {
            return Ok(Next::Return(old.clone()));
        }
        let flight = renewal.new_flight(false, Purpose::Discover, false);
        renewal.discovery = Some(flight.clone());
        Ok(Next::Start(flight))
    }

    /// Has a task carry out the discovery. True: this thread did, because no worker can be had.
    async fn begin_discovery<K: Kind>(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        contradicted: Option<Arc<K::Service>>,
        watch: &Watch,
    ) -> bool {
        let (session, flying, before) = (self.clone(), flight.clone(), contradicted.clone());
        let body = |waiter| async move {
            let watch = flying.watched(Watch::of_task(session.bounds_of_flight(&flying), waiter));
            session.run_discovery::<K>(&flying, before, &watch).await;
        };
        let workers = &workers::pools().logins;
        let started =
            if watch.is_of_task() { Task::spawn(workers, body) } else { Task::begin(workers, body) };
        if started.is_ok() {
            return false;
        }
        let watch = flight.watched(watch.within(self.bounds_of_flight_of(watch.bounds())));
        Box::pin(self.run_discovery::<K>(flight, contradicted, &watch)).await;
        true
    }

    /// It ends in every case, even after a panic.
    async fn run_discovery<K: Kind>(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        contradicted: Option<Arc<K::Service>>,
        watch: &Watch,
    ) {
        let outcome = flight
            .run_here(pin!(self.discover::<K>(contradicted.as_ref(), watch)))
            .await
            .unwrap_or_else(|_| Err(Error::panicked("the discovery")));
        let mut renewal = K::of(self).renewal.lock();
        if renewal.discovery.as_ref().is_some_and(|current| Arc::ptr_eq(current, flight)) {
            renewal.discovery = None;
        }
        drop(renewal);
        flight.complete(outcome.map_err(Error::not_run));
    }

    async fn discover<K: Kind>(
        &self,
        contradicted: Option<&Arc<K::Service>>,
        watch: &Watch,
    ) -> Result<Outcome> {
        watch.check().map_err(|stop| K::of(self).kind.stopped(stop.into(), Phase::Thread, ""))?;
        watch.tell(Phase::Start);
        match contradicted {
            Some(known) => drop(Box::pin(self.rediscover::<K>(known, watch)).await?),
            None => {
                let found = Box::pin(K::of(self).kind.discover(&self.config, watch)).await?;
                let mut renewal = K::of(self).renewal.lock();
                if !renewal.machine.is_closed() {
                    renewal.service = Some(found);
                }
            }
        }
        Ok(Outcome::Ready)
    }
}
