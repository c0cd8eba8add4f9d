//! What a flight does: ask whether the session lives where that is in doubt, log in, and publish the result. Runs on a
//! worker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::gate::{Flight, Gate, Outcome, Phase};
use super::state::Input;
use super::{Session, closed};
use crate::auth::credential::Credential;
use crate::auth::fingerprint::Fingerprint;
use crate::auth::{self, SignIn};
use crate::error::{Error, Result};
use crate::runtime::event::now_ms;
use crate::runtime::log::log;
use crate::runtime::secret::Secret;
use crate::runtime::wait::{Bounds, Watch};
use crate::runtime::workers::NoThread;
use crate::state::State;
use crate::status::Status;
use crate::sync::{Arc, Ordering};
use crate::vim::service::Service;
use crate::vim::session_manager::{self, Login};

/// What a flight is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    LogIn {
        by_hand: bool,
    },
    /// Ask whether the session of this epoch lives; replace it if not.
    Check {
        epoch: u64,
    },
    /// See whether the server still is this one.
    Look {
        service: usize,
    },
}

/// A login that succeeded.
pub(super) struct Made {
    service: Arc<Service>,
    login: Login,
    credential: Credential,
}

/// Why a login did not succeed.
pub(super) enum Failure {
    /// The server refused the credentials.
    Refused(Error),
    /// They were refused before and have not been sent.
    NotSent(Error),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl Failure {
    fn error(&self) -> &Error {
        let (Failure::Refused(error) | Failure::NotSent(error) | Failure::Other(error)) = self;
        error
    }
}

impl Session {
    /// Carries out a flight, on a worker or, where none can be had, on the thread of a caller, within its limits. Whatever
    /// happens, it lands.
    pub(super) fn fly(self: &Arc<Self>, flight: &Arc<Flight>, task: Task, caller: Option<&Watch>) {
        let bounds = self.flight_bounds(flight, caller);
        let carry_out = || flight.flown_here(|| self.carry_out(flight, task, bounds));
        let outcome = catch_unwind(AssertUnwindSafe(carry_out)).unwrap_or_else(|_| {
            let error = Error::new(Status::VSESSION_E_INTERNAL, "a panic during the login; please report it");
            self.settle(Err(error.into()), false)
        });
        if !(planted!("flight-does-not-land") && self.closed.has_fired()) {
            flight.land(outcome);
        }
    }

    /// Nobody can carry it out.
    pub(super) fn ground(self: &Arc<Self>, flight: &Arc<Flight>, none: NoThread) {
        flight.land(self.settle(Err(Error::from(none).into()), false));
    }

    fn flight_bounds(&self, flight: &Flight, caller: Option<&Watch>) -> Bounds {
        let own = self.own_bounds();
        let Some(caller) = caller.map(Watch::bounds) else {
            let (close, cancel) = (Some(self.closed.clone()), Some(flight.abandoned.clone()));
            return Bounds { close, cancel, ..own };
        };
        let deadline = [own.deadline, caller.deadline].into_iter().flatten().min();
        Bounds { deadline, close: Some(self.closed.clone()), cancel: caller.cancel.clone() }
    }

    fn carry_out(self: &Arc<Self>, flight: &Arc<Flight>, task: Task, bounds: Bounds) -> Result<Outcome> {
        let watch = match Watch::new(bounds) {
            Ok(watch) => watch,
            // unreached: needs a process without free descriptors or memory
            Err(error) => return self.settle(Err(error.into()), false),
        };
        if let Task::Look { service } = task {
            let result = self.look(service, &watch);
            self.free_gate();
            return result;
        }
        if let Task::Check { epoch } = task {
            match self.lives(epoch, &watch) {
                Ok(true) => {
                    self.note_proof(epoch);
                    self.free_gate();
                    return Ok(Outcome::StillAlive);
                }
                Ok(false) => {
                    if !self.declare_expired()? {
                        return Ok(Outcome::Gone);
                    }
                }
                Err(error) => {
                    self.free_gate();
                    self.note_failure(&error);
                    return Err(error);
                }
            }
        }
        let by_hand = matches!(task, Task::LogIn { by_hand: true });
        let result = self.establish(flight, by_hand, &watch);
        self.settle(result, by_hand)
    }

    /// Whether the server still knows the session of this epoch.
    fn lives(&self, epoch: u64, watch: &Watch) -> Result<bool> {
        let snapshot = self.snapshot();
        let (Some(login), Some(service), true) =
            (&snapshot.login, &snapshot.service, snapshot.epoch == epoch)
        else {
            return Ok(false);
        };
        let asked = self.ask(service.clone(), false, watch, |service| {
            session_manager::current_session(&self.endpoint, service, &login.cookie, watch)
        });
        match asked {
            Ok((_, user)) => Ok(user.is_some_and(|user| user.key == login.user.key)),
            Err(error) if error.is_no_answer() => Ok(!self.gives_up_unproven(&error)),
            Err(error) => Err(error),
        }
    }

    /// Marks the session as ended by the server. True: a login is to follow in the same flight.
    fn declare_expired(self: &Arc<Self>) -> Result<bool> {
        let mut gate = self.gate.lock();
        if gate.machine.is_closed() {
            return Err(closed());
        }
        let given_up = self.give_up(&mut gate, true);
        let goes_on = gate.machine.state() == State::VSESSION_STATE_LOGGING_IN;
        if !goes_on {
            gate.phase = Phase::Idle;
        }
        drop(gate);
        if let Some(given_up) = given_up {
            self.log_out_later(given_up);
        }
        log!(Info, "the session with {} has ended on the server", self.endpoint.server());
        Ok(goes_on)
    }

    fn free_gate(&self) {
        let mut gate = self.gate.lock();
        if matches!(gate.phase, Phase::Login(_) | Phase::Look(_)) {
            gate.phase = Phase::Idle;
        }
    }

    /// Discovers the server where it is not known, and logs in.
    fn establish(&self, flight: &Flight, by_hand: bool, watch: &Watch) -> std::result::Result<Made, Failure> {
        let credential = self.credential_to_send(by_hand)?;
        // A function may have taken its time.
        watch.check().map_err(Error::from)?;
        let known = self.gate.lock().service.clone();
        let service = match known {
            Some(service) => service,
            None => self.discover(watch)?,
        };
        flight.may_have_run.store(true, Ordering::SeqCst);
        let locale = self.config.locale.as_deref();
        let sign_in =
            |service: &Service| auth::sign_in_to_vim(&self.endpoint, service, &credential, locale, watch);
        let (service, answer) = self.ask(service, true, watch, sign_in)?;
        let mut account = self.account.lock();
        match answer {
            SignIn::Accepted(login) => Ok(Made { service, login, credential }),
            SignIn::Refused(error) => {
                account.refused.note(credential.fingerprint, &error);
                Err(Failure::Refused(error))
            }
        }
    }

    /// What to log in with. A credential that was refused is sent again by hand only: repeating it could lock the account.
    fn credential_to_send(&self, by_hand: bool) -> std::result::Result<Credential, Failure> {
        loop {
            let given = {
                let mut account = self.account.lock();
                account.newer_given = false;
                account.given.clone()
            };
            let credential = self.config.credential(given, self.publisher.handle())?;
            credential.check_expiry(now_ms())?;
            let mut account = self.account.lock();
            account.user = Some(credential.user.clone());
            if !by_hand && account.refused.stops(credential.fingerprint) {
                // Another one was given while we read the old one.
                if account.newer_given {
                    continue;
                }
                return Err(Failure::NotSent(account.refused.answer()));
            }
            drop(account);
            self.feed(&mut self.gate.lock(), Input::CredentialsFound);
            return Ok(credential);
        }
    }

    /// Another password for the logins to come. Leaves the state of refused credentials behind. One that was refused is
    /// not taken: whoever cannot tell old from new would set it for ever.
    pub(crate) fn set_password(self: &Arc<Self>, password: Secret) -> Result<()> {
        if password.reveal().is_empty() && !self.config.allow_empty_password {
            return Err(Error::invalid_argument(
                "password",
                "empty; where the account has none, set the option 'allow_empty_password'",
            ));
        }
        {
            let mut gate = self.gate.lock();
            if gate.machine.is_closed() {
                return Err(closed());
            }
            let mut account = self.account.lock();
            // A credentials function may be the one to say for whom; then it is whom it named last.
            let user = self.config.username.as_ref().or(account.user.as_ref());
            let credentials = user.map(|user| Fingerprint::of(user, &password));
            if credentials.is_some_and(|credentials| account.refused.contains(credentials)) {
                return Err(refused_before(&self.endpoint.server()));
            }
            account.given = Some(password);
            account.newer_given = true;
            if credentials.is_some_and(|credentials| account.refused.stops(credentials)) {
                return Ok(());
            }
            drop(account);
            self.feed(&mut gate, Input::NewCredentials);
        }
        self.keepalive_soon();
        Ok(())
    }

    /// Publishes what came of a login and frees the gate.
    pub(super) fn settle(
        self: &Arc<Self>,
        result: std::result::Result<Made, Failure>,
        by_hand: bool,
    ) -> Result<Outcome> {
        let mut gate = self.gate.lock();
        if gate.machine.is_closed() {
            drop(gate);
            if let Ok(Made { service, login, .. }) = result
                && !planted!("orphan-kept")
            {
                // Closed while the login was out: nobody will use this session, so it must not stay on the server.
                if let Err(error) = self.end_orphan(&service, &login) {
                    // sometimes: a race, which a run meets or not
                    log!(Warning, "a session on {} could not be logged out: {error}", self.endpoint.server());
                    self.gate.lock().left_behind = Some(error);
                }
            }
            return Err(closed());
        }
        gate.phase = Phase::Idle;
        match result {
            Ok(Made { service, login, credential }) => {
                self.account.lock().refused.accept(&credential);
                self.publish(&mut gate, service, login, by_hand);
                let epoch = gate.machine.epoch();
                drop(gate);
                self.keepalive_after_login(by_hand);
                log!(Info, "logged in to {} (epoch {epoch})", self.endpoint.server());
                Ok(Outcome::Ready)
            }
            // A check that could not be made, for example for want of a descriptor: that says nothing of the session.
            Err(failure) if gate.machine.state().is_usable() => Err(failure.error().clone()),
            Err(failure) => {
                let looked_only = gate.machine.state() == State::VSESSION_STATE_REJECTED;
                let error = failure.error();
                self.feed(
                    &mut gate,
                    match &failure {
                        Failure::Refused(_) | Failure::NotSent(_) => Input::LoginRefused { error },
                        Failure::Other(_) => Input::LoginFailed { error },
                    },
                );
                drop(gate);
                if !looked_only {
                    log!(Warning, "login to {} failed: {error}", self.endpoint.server());
                }
                Err(error.clone())
            }
        }
    }

    pub(super) fn publish(&self, gate: &mut Gate, service: Arc<Service>, login: Login, by_hand: bool) {
        self.feed_with(gate, Input::LoginSucceeded { by_hand }, Some((login, service)));
    }

    fn end_orphan(&self, service: &Service, login: &Login) -> Result<()> {
        let watch = Watch::new(self.own_bounds())?;
        session_manager::logout(&self.endpoint, service, &login.cookie, &watch)
    }
}

fn refused_before(server: &str) -> Error {
    Error::new(
        Status::VSESSION_E_INVALID_LOGIN,
        format!(
            "{server} has refused this user with this password; the password was not taken: set another one, or call vsession_login to have what was set before tried again"
        ),
    )
    .not_run()
}
