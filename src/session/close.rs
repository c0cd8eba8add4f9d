//! What a program does by hand: login; logout, after which it can log in again; and close, which is final.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::flight::{Flight, Outcome, Purpose};
use super::kind::Kind;
use super::renewal::{Activity, Goal};
use super::snapshot::Snapshot;
use super::state::Input;
use super::vim25::Vim25;
use super::{Session, closed};
use crate::error::{Error, Result};
use crate::http::Retry;
use crate::runtime::log::log;
use crate::runtime::phase;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, Watch};
use crate::state::{ServiceName, State};
use crate::sync::Arc;

/// A close that the server has not been told of yet.
#[derive(Clone)]
pub(crate) struct Ending {
    flight: Option<Arc<Flight>>,
    /// The server has a session to be logged out.
    alive: bool,
}

impl Session {
    /// Logs in, or joins the login that is under way. Makes no request if the session is usable.
    pub(crate) fn login(self: &Arc<Self>, bounds: Bounds) -> Result<()> {
        let usable = self.state::<Vim25>().is_usable();
        if usable && !self.is_contradicted::<Vim25>() {
            return Ok(());
        }
        let watch = Watch::new(bounds)?;
        if usable {
            on_this_thread(self.resolve_contradiction::<Vim25>(&watch))?;
        }
        on_this_thread(self.renew::<Vim25>(Goal::LogIn, &watch)).map(|_| ())
    }

    /// Ends the session on the server. Automatic logins stay off until the next `login`.
    pub(crate) fn logout(&self, bounds: Bounds) -> Result<()> {
        self.log_out::<Vim25>(bounds)
    }

    fn log_out<K: Kind>(&self, bounds: Bounds) -> Result<()> {
        let server_session = K::of(self);
        let watch = Watch::new(bounds)?;
        loop {
            watch.check().map_err(|stop| {
                server_session.kind.stopped(stop.into(), phase::Phase::Start, "").not_run()
            })?;
            let (busy, flight, snapshot) = {
                let mut renewal = server_session.renewal.lock();
                if renewal.machine.is_closed() {
                    return Err(closed().not_run());
                }
                let busy = match &renewal.activity {
                    // sometimes: a race, which a run meets or not
                    Activity::Login(flight) | Activity::Rediscovery(flight) | Activity::Logout(flight) => {
                        Some(flight.clone())
                    }
                    Activity::Idle => None,
                };
                let snapshot = server_session.current.snapshot();
                let flight = match busy {
                    Some(_) => None,
                    None if !renewal.machine.state().is_usable() || snapshot.login.is_none() => {
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
                on_this_thread(self.wait_for::<K>(&busy, &watch)).map_err(Error::not_run)?;
                continue;
            }
            // sometimes: a race, which a run meets or not
            let Some(flight) = flight else { continue };
            let watch = flight.watched(watch.within(watch.bounds().clone()));
            // After a panic others must be able to change the session.
            let sent =
                catch_unwind(AssertUnwindSafe(|| on_this_thread(self.send_logout::<K>(&snapshot, &watch))));
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

    /// Ends the session for good: calls under way return VSESSION_E_CLOSED, the server's session is logged out. The
    /// second close finds nothing to do.
    pub(crate) fn close(&self, bounds: Bounds) -> Result<()> {
        self.begin_close().map_or(Ok(()), |ending| self.finish_close(ending, bounds))
    }

    /// The part of a close that waits for nothing. `None`: the session was closed before.
    pub(crate) fn begin_close(&self) -> Option<Ending> {
        let ending = self.begin_close_of::<Vim25>()?;
        self.vim.publisher.of(ServiceName::VSESSION_SERVICE_REST).set_state(State::VSESSION_STATE_CLOSED);
        self.closed.fire();
        Some(ending)
    }

    fn begin_close_of<K: Kind>(&self) -> Option<Ending> {
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
        Some(Ending { flight, alive })
    }

    /// The part that asks the server.
    pub(crate) fn finish_close(&self, ending: Ending, bounds: Bounds) -> Result<()> {
        self.finish_close_of::<Vim25>(ending, bounds)
    }

    fn finish_close_of<K: Kind>(&self, ending: Ending, bounds: Bounds) -> Result<()> {
        let server_session = K::of(self);
        let Ending { flight, alive } = ending;
        // The signal of the close must not end the close itself.
        // unreached: needs a process without free descriptors or memory
        let watch = Watch::new(Bounds { close: None, ..bounds }).map_err(|error| unfinished(&error))?;
        // A login under way ends with its own logout; see `conclude`. There is no need to wait for a check or a logout. A callback of
        // that login cannot wait for it and need not: the login sees that the session is closed.
        let waits = |flight: &Arc<Flight>| !alive && !flight.runs_here() && !planted!("close-does-not-wait");
        if let Some(flight) = flight.filter(waits) {
            on_this_thread(self.wait_for::<K>(&flight, &watch))
                .map_err(|error| unfinished(&error.not_run()))?;
            if let Some(error) = server_session.renewal.lock().left_behind.take() {
                return Err(unfinished(&error));
            }
        }
        let snapshot = server_session.current.replace(Snapshot::default());
        if !alive || !self.config.close_logs_out || !snapshot.origin.is_ours_to_end() {
            return Ok(());
        }
        on_this_thread(self.send_logout::<K>(&snapshot, &watch)).map_err(|error| {
            log!(
                Warning,
                "the session on {} was closed but not logged out: {error}",
                server_session.kind.server()
            );
            unfinished(&error)
        })
    }
}

/// The error of a close that left a session on the server.
fn unfinished(error: &Error) -> Error {
    error.clone().reworded(|message| {
        format!("the handle is closed, but the logout did not succeed ({message}); the server will end the session when it has been idle long enough")
    })
}
