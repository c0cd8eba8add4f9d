//! Login by hand and the two ways to end: logout, after which the session can be used again, and close, after which it
//! cannot.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::gate::{Flight, Outcome, Phase, Wish};
use super::state::Input;
use super::{Session, Snapshot, closed};
use crate::error::{Error, Result};
use crate::runtime::log::log;
use crate::runtime::wait::{Bounds, Watch};
use crate::status::Status;
use crate::sync::Arc;
use crate::vim::service::Service;
use crate::vim::session_manager;

/// A close of which the server does not know yet.
#[derive(Clone)]
pub(crate) struct Ending {
    flight: Option<Arc<Flight>>,
    /// The server has a session to be logged out.
    alive: bool,
}

impl Session {
    /// Logs in, or joins the login that is under way. Already logged in: no request.
    pub(crate) fn login(self: &Arc<Self>, bounds: Bounds) -> Result<()> {
        let usable = self.state().is_usable();
        if usable && !self.has_doubts() {
            return Ok(());
        }
        let watch = Watch::new(bounds)?;
        if usable {
            self.settle_doubts(&watch)?;
        }
        self.through_gate(Wish::LogIn, &watch).map(|_| ())
    }

    /// Ends the session on the server. Automatic logins stay off until the next `login`.
    pub(crate) fn logout(&self, bounds: Bounds) -> Result<()> {
        let watch = Watch::new(bounds)?;
        loop {
            watch.check().map_err(|stop| Error::from(stop).not_run())?;
            let (busy, flight, snapshot) = {
                let mut gate = self.gate.lock();
                if gate.machine.is_closed() {
                    return Err(closed().not_run());
                }
                let busy = match &gate.phase {
                    Phase::Login(flight) | Phase::Look(flight) | Phase::Logout(flight) => {
                        Some(flight.clone())
                    }
                    Phase::Idle => None,
                };
                let snapshot = self.snapshot();
                let flight = match busy {
                    Some(_) => None,
                    None if !gate.machine.state().is_usable() || snapshot.login.is_none() => {
                        self.feed(&mut gate, Input::LoggedOut);
                        return Ok(());
                    }
                    None => {
                        let flight = gate.new_flight(true);
                        gate.phase = Phase::Logout(flight.clone());
                        Some(flight)
                    }
                };
                (busy, flight, snapshot)
            };
            if let Some(busy) = busy {
                // Whatever comes of it, look again.
                busy.wait(&watch).map_err(Error::not_run)?;
                continue;
            }
            // sometimes: a race, which a run meets or not
            let Some(flight) = flight else { continue };
            // A panic in here must not leave the gate shut for ever.
            let result = catch_unwind(AssertUnwindSafe(|| self.send_logout(&snapshot, &watch)))
                // unreached: needs a defect in ring, rustls or this library
                .unwrap_or_else(|_| {
                    Err(Error::new(
                        Status::VSESSION_E_INTERNAL,
                        "a panic during the logout; please report it",
                    ))
                });
            {
                let mut gate = self.gate.lock();
                if matches!(gate.phase, Phase::Logout(_)) {
                    gate.phase = Phase::Idle;
                    if result.is_ok() {
                        self.feed(&mut gate, Input::LoggedOut);
                    }
                }
            }
            if !planted!("logout-does-not-land") {
                flight.land(Ok(Outcome::Gone));
            }
            return result.inspect_err(|error| self.note_failure(error));
        }
    }

    fn send_logout(&self, snapshot: &Snapshot, watch: &Watch) -> Result<()> {
        let (Some(login), Some(service)) = (&snapshot.login, &snapshot.service) else { return Ok(()) };
        let log_out =
            |service: &Service| session_manager::logout(&self.endpoint, service, &login.cookie, watch);
        self.ask(service.clone(), true, watch, log_out).map(|_| ())
    }

    /// Ends the session for good: calls under way return VSESSION_E_CLOSED, the server's session is logged out. The
    /// second close finds nothing to do.
    pub(crate) fn close(&self, bounds: Bounds) -> Result<()> {
        self.begin_close().map_or(Ok(()), |ending| self.finish_close(ending, bounds))
    }

    /// The part of a close that waits for nothing. `None`: the session was closed before.
    pub(crate) fn begin_close(&self) -> Option<Ending> {
        let ending = {
            let mut gate = self.gate.lock();
            if gate.machine.is_closed() {
                return None;
            }
            let flight = match std::mem::replace(&mut gate.phase, Phase::Idle) {
                Phase::Login(flight) | Phase::Look(flight) | Phase::Logout(flight) => Some(flight),
                Phase::Idle => None,
            };
            let alive = gate.machine.state().is_usable();
            self.feed(&mut gate, Input::Closed);
            Ending { flight, alive }
        };
        self.closed.fire();
        Some(ending)
    }

    /// The part that asks the server.
    pub(crate) fn finish_close(&self, ending: Ending, bounds: Bounds) -> Result<()> {
        let Ending { flight, alive } = ending;
        // From here on the close itself must not be ended by its own signal.
        // unreached: needs a process without free descriptors or memory
        let watch = Watch::new(Bounds { close: None, ..bounds }).map_err(|error| unfinished(&error))?;
        // A login that is out ends with a logout of its own; see `settle`. A check or a logout needs no waiting for.
        // From a callback of that login there is no waiting for it, and no need: it sees that we closed.
        let waits =
            |flight: &Arc<Flight>| !alive && !flight.is_flown_here() && !planted!("close-does-not-wait");
        if let Some(flight) = flight.filter(waits) {
            flight.wait(&watch).map_err(|error| unfinished(&error.not_run()))?;
            if let Some(error) = self.gate.lock().left_behind.take() {
                return Err(unfinished(&error));
            }
        }
        let snapshot = self.shown.replace(Snapshot::default());
        if !alive || !self.config.close_logs_out {
            return Ok(());
        }
        self.send_logout(&snapshot, &watch).map_err(|error| {
            log!(Warning, "the session on {} was closed but not logged out: {error}", self.endpoint.server());
            unfinished(&error)
        })
    }
}

/// The handle is gone all the same; what remains is on the server.
fn unfinished(error: &Error) -> Error {
    error.clone().with(|d| {
        d.message = format!(
            "the handle is closed, but the logout did not succeed ({}); the server will end the session when it has been idle long enough",
            d.message
        );
    })
}
