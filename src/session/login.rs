//! What a flight does: ask whether the session lives where that is in doubt, log in, and publish the result. Runs on a
//! worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::gate::{Automatic, Flight, Gate, Outcome, Phase};
use super::{Session, Snapshot, chance, closed};
use crate::auth::fingerprint::Fingerprint;
use crate::auth::password::{self, Credentials};
use crate::error::{Error, Result};
use crate::runtime::event::{Event, Kind};
use crate::runtime::log::log;
use crate::runtime::secret::Secret;
use crate::runtime::wait::{Bounds, Watch};
use crate::runtime::workers::NoThread;
use crate::state::{Reason, State};
use crate::status::{Executed, Status};
use crate::sync::{Arc, Instant, Ordering};
use crate::vim::service::Service;
use crate::vim::session_manager::{self, Login};

/// What a flight is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    LogIn {
        reason: Reason,
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
    credentials: Fingerprint,
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
        flight.land(outcome);
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
        let by_hand = matches!(task, Task::LogIn { by_hand: true, .. });
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
        if matches!(gate.phase, Phase::Closed) {
            return Err(closed());
        }
        let given_up = self.give_up(&mut gate);
        let goes_on = self.may_relogin(&gate);
        if goes_on {
            self.transition(
                &mut gate,
                State::VSESSION_STATE_LOGGING_IN,
                Reason::VSESSION_REASON_RELOGIN,
                None,
            );
        } else {
            self.show_loss(&gate);
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
        let (user, password, fingerprint) = self.credentials_to_send(by_hand)?;
        // A function may have taken its time.
        watch.check().map_err(Error::from)?;
        let known = self.gate.lock().service.clone();
        let service = match known {
            Some(service) => service,
            None => self.discover(watch)?,
        };
        let credentials = Credentials { user, password, locale: self.config.locale.clone() };
        flight.may_have_run.store(true, Ordering::SeqCst);
        let log_in = |service: &Service| password::log_in(&self.endpoint, service, &credentials, watch);
        match self.ask(service, true, watch, log_in) {
            Ok((service, login)) => Ok(Made { service, login, credentials: fingerprint }),
            Err(error) if is_refusal(&error) => {
                let error = self.with_source_of_password(error);
                self.gate.lock().refused.note(fingerprint, &error);
                Err(Failure::Refused(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A refusal, with where the password came from if it can be mended there.
    fn with_source_of_password(&self, error: Error) -> Error {
        let given = self.config.credentials_source.is_some() || self.given_password.lock().is_some();
        match &self.config.password_file {
            Some(file) if !given => error.with(|d| {
                d.message.push_str(&format!(
                    "; the password is that of option 'password_file' ('{}')",
                    file.display()
                ));
            }),
            _ => error,
        }
    }

    /// What to log in with. Credentials that were refused are sent again by hand only: repeating them could lock the
    /// account.
    fn credentials_to_send(
        &self,
        by_hand: bool,
    ) -> std::result::Result<(String, Secret, Fingerprint), Failure> {
        loop {
            let (user, password) = self.credentials()?;
            let fingerprint = Fingerprint::of(&user, &password);
            let mut gate = self.gate.lock();
            gate.user = Some(user.clone());
            if !by_hand && gate.refused.stops(fingerprint) {
                // Another password was given while we read the old one.
                if gate.new_password {
                    continue;
                }
                return Err(Failure::NotSent(gate.refused.answer()));
            }
            // A look at whether there are others has found some.
            let reason = gate.login_reason();
            self.transition(&mut gate, State::VSESSION_STATE_LOGGING_IN, reason, None);
            return Ok((user, password, fingerprint));
        }
    }

    fn credentials(&self) -> Result<(String, Secret)> {
        let given = {
            let mut gate = self.gate.lock();
            gate.new_password = false;
            self.given_password.lock().clone()
        };
        let (user, password) = match (&self.config.credentials_source, given) {
            (Some(source), None) => (source.0)(self.publisher.handle())?,
            // The function still says for whom.
            (Some(source), Some(password)) if self.config.username.is_none() => {
                (source.0)(self.publisher.handle()).map(|(user, _)| (user, password))?
            }
            (_, given) => self.config.credentials(given)?,
        };
        self.config.check_password(&password)?;
        Ok((user, password))
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
            if matches!(gate.phase, Phase::Closed) {
                return Err(closed());
            }
            // A credentials function may be the one to say for whom; then it is whom it named last.
            let user = self.config.username.as_ref().or(gate.user.as_ref());
            let credentials = user.map(|user| Fingerprint::of(user, &password));
            if credentials.is_some_and(|credentials| gate.refused.contains(credentials)) {
                return Err(refused_before(&self.endpoint.server()));
            }
            *self.given_password.lock() = Some(password);
            gate.new_password = true;
            let stopped = credentials.is_some_and(|credentials| gate.refused.stops(credentials));
            if stopped {
                return Ok(());
            }
            if matches!(gate.automatic, Automatic::Refused { .. }) {
                gate.automatic = Automatic::Allowed;
            }
            if gate.state == State::VSESSION_STATE_REJECTED {
                let resting = self.resting_state();
                let reason = Reason::VSESSION_REASON_NEW_CREDENTIALS;
                self.transition(&mut gate, resting, reason, None);
            }
        }
        self.keepalive_soon();
        Ok(())
    }

    /// What the state is when there is no session and none is being made.
    fn resting_state(&self) -> State {
        if self.snapshot().had_login() {
            State::VSESSION_STATE_EXPIRED
        } else {
            State::VSESSION_STATE_LOGGED_OUT
        }
    }

    /// Publishes what came of a login and frees the gate.
    pub(super) fn settle(
        self: &Arc<Self>,
        result: std::result::Result<Made, Failure>,
        by_hand: bool,
    ) -> Result<Outcome> {
        let mut gate = self.gate.lock();
        if matches!(gate.phase, Phase::Closed) {
            drop(gate);
            if let Ok(Made { service, login, .. }) = result {
                // Closed while the login was out: nobody will use this session, so it must not stay on the server.
                if let Err(error) = self.end_orphan(&service, &login) {
                    log!(Warning, "a session on {} could not be logged out: {error}", self.endpoint.server());
                    self.gate.lock().left_behind = Some(error);
                }
            }
            return Err(closed());
        }
        gate.phase = Phase::Idle;
        match result {
            Ok(Made { service, login, credentials }) => {
                gate.refused.accept(credentials);
                self.publish(&mut gate, service, login, by_hand);
                let epoch = gate.epoch;
                drop(gate);
                self.keepalive_after_login(by_hand);
                log!(Info, "logged in to {} (epoch {epoch})", self.endpoint.server());
                Ok(Outcome::Ready)
            }
            // A check that could not be made, for example for want of a descriptor: that says nothing of the session.
            Err(failure) if gate.state.is_usable() => Err(failure.error().clone()),
            Err(failure) => {
                let looked_only = gate.state == State::VSESSION_STATE_REJECTED;
                self.show_loss(&gate);
                self.note_failed_login(&mut gate, &failure);
                drop(gate);
                let error = failure.error().clone();
                if looked_only {
                    return Err(error);
                }
                log!(Warning, "login to {} failed: {error}", self.endpoint.server());
                Err(error)
            }
        }
    }

    pub(super) fn publish(&self, gate: &mut Gate, service: Arc<Service>, login: Login, by_hand: bool) {
        let old_epoch = gate.epoch;
        let replaces = old_epoch > 0;
        self.shown.replace(Snapshot {
            epoch: old_epoch + 1,
            login: Some(login),
            service: Some(service.clone()),
            ..Snapshot::default()
        });
        gate.service = Some(service);
        gate.epoch = old_epoch + 1;
        gate.logged_in = Instant::now();
        if !gate.on_trial {
            gate.failures = 0;
        }
        gate.on_trial |= replaces && !by_hand;
        gate.automatic = Automatic::Allowed;
        // Readers who see the new state or epoch must find the new snapshot: it is in place by now.
        self.show_epoch(gate.epoch);
        let old_state = gate.state;
        let reason = if replaces { Reason::VSESSION_REASON_RELOGIN } else { Reason::VSESSION_REASON_LOGIN };
        self.transition(gate, State::VSESSION_STATE_ACTIVE, reason, None);
        if replaces {
            let event = self.event(gate, Kind::VSESSION_EVENT_SESSION_REPLACED, reason, None);
            self.tell(gate, Event { old_state, old_epoch, ..event });
        }
    }

    fn note_failed_login(&self, gate: &mut Gate, failure: &Failure) {
        let error = failure.error();
        let refused = !matches!(failure, Failure::Other(_));
        let newer_password = refused && gate.new_password;
        match error.status() {
            _ if refused && !newer_password => {
                gate.failures = gate.failures.saturating_add(1);
                let look_again = Instant::now() + self.backoff(gate.failures, error);
                gate.automatic = Automatic::Refused { look_again };
                // A look that found nothing new is no news.
                if gate.state != State::VSESSION_STATE_REJECTED {
                    let reason = Reason::VSESSION_REASON_REFUSED;
                    self.transition(gate, State::VSESSION_STATE_REJECTED, reason, Some(error.clone()));
                    self.tell_credentials_wanted(gate, error.clone());
                }
                return;
            }
            // Nobody waited for it any more: that says nothing about the server.
            Status::VSESSION_E_CANCELLED => {}
            // Nor does it that this process lacked something, and nothing was sent that a pause would spare.
            Status::VSESSION_E_RESOURCE if error.executed() == Executed::VSESSION_EXECUTED_NO => {}
            // What was refused is given up already; the next login tries something else.
            _ if newer_password => {}
            _ => {
                gate.failures = gate.failures.saturating_add(1);
                let next = Instant::now() + self.backoff(gate.failures, error);
                match &mut gate.automatic {
                    // After a logout or a refusal, automatic logins stay off whatever comes of one that was asked for.
                    Automatic::AfterLogout => {}
                    Automatic::Refused { look_again } => *look_again = next,
                    automatic => *automatic = Automatic::NotBefore(next, error.clone()),
                }
            }
        }
        if error.is_outage() {
            gate.service = None;
        }
        let resting = match gate.automatic {
            Automatic::Refused { .. } => State::VSESSION_STATE_REJECTED,
            _ => self.resting_state(),
        };
        self.transition(gate, resting, Reason::VSESSION_REASON_LOGIN_FAILED, Some(error.clone()));
    }

    pub(super) fn tell_credentials_wanted(&self, gate: &Gate, error: Error) {
        let (kind, reason) = (Kind::VSESSION_EVENT_CREDENTIALS_WANTED, Reason::VSESSION_REASON_REFUSED);
        self.tell(gate, self.event(gate, kind, reason, Some(error)));
    }

    /// Doubles with each failure up to the limit; half of it is chance, so that many clients do not come back at once. It
    /// comes on top of what the server asks for.
    pub(super) fn backoff(&self, failures: u32, error: &Error) -> Duration {
        let asked = error.detail().retry_after.unwrap_or_default();
        asked.saturating_add(self.pause(failures)).min(self.config.max_backoff)
    }

    /// The same where the server asks for nothing.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let longest = self
            .config
            .backoff
            .saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(self.config.max_backoff);
        longest.mul_f64(0.5 + 0.5 * chance())
    }

    fn end_orphan(&self, service: &Service, login: &Login) -> Result<()> {
        let watch = Watch::new(self.own_bounds())?;
        session_manager::logout(&self.endpoint, service, &login.cookie, &watch)
    }
}

/// Whether the server has refused the credentials: trying them again by ourselves could lock the account.
fn is_refusal(error: &Error) -> bool {
    matches!(error.status(), Status::VSESSION_E_INVALID_LOGIN | Status::VSESSION_E_NO_PERMISSION)
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
