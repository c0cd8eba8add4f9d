//! What a program does by hand: login; logout, after which it can log in again; and close, which is final.

use std::pin::pin;

use once_cell::sync::OnceCell;

use super::flight::{Flight, Outcome, Purpose};
use super::kind::Kind;
use super::renewal::{Activity, Goal};
use super::rest::Rest;
use super::snapshot::Snapshot;
use super::state::Input;
use super::vim25::Vim25;
use super::{Session, closed};
use crate::error::{Error, Result};
use crate::http::Retry;
use crate::runtime::log::log;
use crate::runtime::phase;
use crate::runtime::signal::Signal;
use crate::runtime::task::{Task, catching, on_this_thread};
use crate::runtime::wait::{Bounds, Watch};
use crate::runtime::workers;
use crate::state::State;
use crate::sync::Arc;

/// A close that the server has not been told of yet.
#[derive(Clone)]
pub(crate) struct Ending {
    vim: EndingOf,
    rest: Option<EndingOf>,
}

/// The same of one session.
#[derive(Clone)]
pub(super) struct EndingOf {
    flight: Option<Arc<Flight>>,
    /// The server has a session to be logged out.
    alive: bool,
}

impl Session {
    /// Logs in, or joins the login that is under way. Makes no request if the session is usable.
    pub(crate) fn login(self: &Arc<Self>, bounds: Bounds) -> Result<()> {
        let usable = self.state::<Vim25>().is_usable();
        if usable && !self.is_contradicted::<Vim25>() {
            self.allow_ended_rest();
            return Ok(());
        }
        let watch = Watch::new(bounds)?;
        if usable {
            on_this_thread(self.resolve_contradiction::<Vim25>(&watch))?;
        }
        on_this_thread(self.renew::<Vim25>(Goal::LogIn, &watch))?;
        self.allow_ended_rest();
        Ok(())
    }

    /// Ends the sessions on the server. Automatic logins stay off until the next `login`.
    pub(crate) fn logout(self: &Arc<Self>, bounds: Bounds) -> Result<()> {
        self.check_not_in_callback::<Vim25>()?;
        if self.rest.get().is_some() {
            self.check_not_in_callback::<Rest>()?;
        }
        let watch = Watch::new(bounds)?;
        let rest = self.rest.get().map(|_| {
            self.beside(watch.bounds(), |session, watch| async move { session.log_out::<Rest>(&watch).await })
        });
        let vim = on_this_thread(self.log_out::<Vim25>(&watch));
        vim.and(rest.map_or(Ok(()), |rest| rest.wait(self, &watch)))
    }

    async fn log_out<K: Kind>(&self, watch: &Watch) -> Result<()> {
        let server_session = K::of(self);
        loop {
            watch.check().map_err(|stop| {
                server_session.kind.stopped(stop.into(), phase::Phase::Start, "").not_run()
            })?;
            let (busy, flight, snapshot) = {
                let mut renewal = server_session.renewal.lock();
                if renewal.machine.is_closed() {
                    return Err(closed().not_run());
                }
                let busy = renewal.activity.flight().cloned();
                let snapshot = server_session.current.snapshot();
                let to_end = renewal.machine.state().is_usable()
                    && snapshot.login.is_some()
                    && snapshot.origin.is_ours();
                let flight = match busy {
                    Some(_) => None,
                    None if !to_end => {
                        self.feed(&mut renewal, Input::LoggedOut);
                        return Ok(());
                    }
                    None => {
                        let flight = renewal.new_flight(true, Purpose::LogOut, false);
                        renewal.activity = Activity::Logout(flight.clone());
                        Some(flight)
                    }
                };
                (busy, flight, snapshot)
            };
            if let Some(busy) = busy {
                // However it ends, the state is examined again.
                self.wait_for::<K>(&busy, watch).await.map_err(Error::not_run)?;
                continue;
            }
            // sometimes: a race, which a run meets or not
            let Some(flight) = flight else { continue };
            let watch = flight.watched(watch.within(watch.bounds().clone()));
            // After a panic others must be able to change the session.
            let sent = catching(pin!(self.send_logout::<K>(&snapshot, &watch))).await;
            // unreached: needs a defect in ring, rustls or this library
            let result = sent.unwrap_or_else(|_| Err(Error::panicked("the logout")));
            {
                let mut renewal = server_session.renewal.lock();
                // sometimes: a race, which a run meets or not
                if matches!(renewal.activity, Activity::Logout(_)) {
                    renewal.activity = Activity::Idle;
                    if result.is_ok() {
                        self.feed(&mut renewal, Input::LoggedOut);
                    }
                }
            }
            if !planted!("logout-does-not-land") {
                flight.complete(Ok(Outcome::Gone));
            }
            return result.inspect_err(|error| self.note_failure::<K>(error));
        }
    }

    async fn send_logout<K: Kind>(&self, snapshot: &Snapshot<K>, watch: &Watch) -> Result<()> {
        // sometimes: a race, which a run meets or not
        let (Some(login), Some(service)) = (&snapshot.login, &snapshot.service) else { return Ok(()) };
        let retry = Retry::new(true);
        let mut service = service.clone();
        loop {
            match K::of(self).kind.log_out(&service, login, &retry, watch).await {
                Ok(()) => return Ok(()),
                Err(error) => service = self.corrected::<K>(&service, error, &retry, true, watch).await?,
            }
        }
    }

    /// Ends the session for good: calls under way return VSESSION_E_CLOSED, the server's sessions are logged out. The
    /// second close finds nothing to do.
    pub(crate) fn close(self: &Arc<Self>, bounds: Bounds) -> Result<()> {
        self.begin_close().map_or(Ok(()), |ending| self.finish_close(ending, bounds))
    }

    /// The part of a close that waits for nothing. `None`: the session was closed before.
    pub(crate) fn begin_close(&self) -> Option<Ending> {
        let vim = self.begin_close_of::<Vim25>()?;
        self.vim.publisher.of(Rest::NAME).set_state(State::VSESSION_STATE_CLOSED);
        self.closed.fire();
        // Whoever makes it from now on sees that.
        let rest = self.rest.get().filter(|_| !planted!("rest-is-not-closed"));
        let rest = rest.and_then(|_| self.begin_close_of::<Rest>());
        Some(Ending { vim, rest })
    }

    pub(super) fn begin_close_of<K: Kind>(&self) -> Option<EndingOf> {
        let mut renewal = K::of(self).renewal.lock();
        if renewal.machine.is_closed() {
            return None;
        }
        let flight = match std::mem::replace(&mut renewal.activity, Activity::Idle) {
            // sometimes: a race, which a run meets or not
            Activity::Login(flight) | Activity::Rediscovery(flight) | Activity::Logout(flight) => {
                Some(flight)
            }
            Activity::Idle => None,
        };
        let alive = renewal.machine.state().is_usable();
        self.feed(&mut renewal, Input::Closed);
        Some(EndingOf { flight, alive })
    }

    /// The part that asks the server.
    pub(crate) fn finish_close(self: &Arc<Self>, ending: Ending, bounds: Bounds) -> Result<()> {
        // The signal of the close must not end the close itself.
        // unreached: needs a process without free descriptors or memory
        let watch = Watch::new(Bounds { close: None, ..bounds }).map_err(|error| unfinished(&error))?;
        let rest = ending.rest.map(|rest| {
            self.beside(watch.bounds(), |session, watch| async move {
                session.finish_close_of::<Rest>(rest, &watch).await
            })
        });
        let vim = on_this_thread(self.finish_close_of::<Vim25>(ending.vim, &watch));
        let rest = rest.map_or(Ok(()), |rest| rest.wait(self, &watch));
        vim.and(rest).map_err(|error| unfinished(&error))
    }

    async fn finish_close_of<K: Kind>(&self, ending: EndingOf, watch: &Watch) -> Result<()> {
        let server_session = K::of(self);
        let EndingOf { flight, alive } = ending;
        // A login under way ends with its own logout; see `conclude`. There is no need to wait for a check or a logout. A callback of
        // that login cannot wait for it and need not: the login sees that the session is closed.
        let waits = |flight: &Arc<Flight>| !alive && !flight.runs_here() && !planted!("close-does-not-wait");
        if let Some(flight) = flight.filter(waits) {
            self.wait_for::<K>(&flight, watch).await.map_err(Error::not_run)?;
            if let Some(error) = server_session.renewal.lock().left_behind.take() {
                return Err(error);
            }
        }
        let snapshot = server_session.current.replace(Snapshot::default());
        if !alive || !self.config.close_logs_out || !snapshot.origin.is_ours() {
            return Ok(());
        }
        self.send_logout::<K>(&snapshot, watch).await.inspect_err(|error| {
            log!(
                Warning,
                "the session on {} was closed but not logged out: {error}",
                server_session.kind.server()
            );
        })
    }

    /// Does something about the REST session in a task, while this thread does the same about the vim25 session: a service that hangs
    /// must not keep the other's session on the server.
    fn beside<F>(
        self: &Arc<Self>,
        bounds: &Bounds,
        body: impl FnOnce(Arc<Session>, Watch) -> F + Send + 'static,
    ) -> Beside
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (session, bounds) = (self.clone(), bounds.clone());
        let beside = Beside::default();
        let ending = beside.clone();
        Task::spawn_or_end(&workers::pools().logins, |waiter| async move {
            let result = catching(pin!(body(session, Watch::of_task(bounds, waiter)))).await;
            // unreached: needs a defect in ring, rustls or this library
            let _ = ending.result.set(result.unwrap_or_else(|_| Err(Error::panicked("the logout"))));
            ending.done.fire();
        });
        beside
    }
}

/// What a task does about the REST session.
#[derive(Clone, Default)]
struct Beside {
    done: Arc<Signal>,
    result: Arc<OnceCell<Result<()>>>,
}

impl Beside {
    /// Its bounds are those of `watch`, so it ends when the wait does.
    fn wait(self, session: &Session, watch: &Watch) -> Result<()> {
        let waited = on_this_thread(watch.wait_for(&self.done));
        match (self.result.get(), waited) {
            (Some(result), _) => result.clone(),
            // sometimes: a race, which a run meets or not
            (None, Err(stop)) => {
                Err(session.rest().kind.stopped(stop.into(), phase::Phase::Start, " in a logout,"))
            }
            // unreached: the result comes before the signal
            (None, Ok(())) => Ok(()),
        }
    }
}

/// The error of a close that left a session on the server.
fn unfinished(error: &Error) -> Error {
    error.clone().reworded(|message| {
        format!("the handle is closed, but the logout did not succeed ({message}); the server will end the session when it has been idle long enough")
    })
}
