//! The login gate. It is a state and not a mutex: whoever needs a login enters, finds or starts the one flight that is
//! under way, and waits for its end with a deadline and a token of its own. The flight itself runs on a worker, so that
//! no caller's deadline can end a login that others wait for.
//!
//! The lock in here guards only the bookkeeping. It is never held while anything is waited for.

use std::cell::Cell;
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::doubt::{Doubts, name_of};
use super::login::Task;
use super::{Session, closed, not_logged_in};
use crate::auth::fingerprint::Fingerprint;
use crate::config::{Config, Relogin};
use crate::error::{Error, Result};
use crate::runtime::event::{Event, Kind, now_ms};
use crate::runtime::wait::{Signal, Watch};
use crate::runtime::workers;
use crate::state::{Reason, State};
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, Instant, Ordering, thread_local};
use crate::vim::service::Service;

/// What the gate's lock guards.
pub(super) struct Gate {
    pub(super) state: State,
    pub(super) phase: Phase,
    pub(super) automatic: Automatic,
    /// Logins that failed in a row, or brought no successful call.
    pub(super) failures: u32,
    /// The credentials that the server has refused.
    pub(super) refused: Refused,
    /// Whom the last credentials were for.
    pub(super) user: Option<String>,
    /// The program gave another password since a login last looked.
    pub(super) new_password: bool,
    /// The epoch of the last login.
    pub(super) epoch: u64,
    /// When that was.
    pub(super) logged_in: Instant,
    /// A session has been replaced, and no call has succeeded since: when the server does not know the new one either, the
    /// next login has to wait.
    pub(super) on_trial: bool,
    /// How often the program has logged out.
    pub(super) logouts: u64,
    /// The epoch of the last event.
    told_epoch: u64,
    /// What is known of the server; forgotten after an outage, because another one may come back.
    pub(super) service: Option<Arc<Service>>,
    pub(super) doubts: Doubts,
    /// How many flights there have been; their numbers tell which began after something was seen.
    flights: u64,
    /// How many threads wait for the flight under way.
    waiting: usize,
    /// Why the session of a login that a close overtook could not be logged out.
    pub(super) left_behind: Option<Error>,
}

/// Credentials that only a login by hand may send again. Nothing is ever forgotten but what the server accepts later: the
/// list could otherwise be filled until it has forgotten what is to be sent again.
#[derive(Default)]
pub(super) struct Refused {
    credentials: Vec<Fingerprint>,
    /// Those that the server accepted last.
    accepted: Option<Fingerprint>,
    /// What the server said to the last ones.
    error: Option<Error>,
}

impl Refused {
    /// With so many refused, no others are sent without being asked for but those that were accepted last.
    const MOST: usize = 64;

    /// The server refused them, in these words.
    pub(super) fn note(&mut self, credentials: Fingerprint, error: &Error) {
        self.accepted.take_if(|accepted| *accepted == credentials);
        if !self.contains(credentials) && self.credentials.len() < Refused::MOST {
            self.credentials.push(credentials);
        }
        self.error = Some(error.clone());
    }

    /// The server accepted them.
    pub(super) fn accept(&mut self, credentials: Fingerprint) {
        self.credentials.retain(|refused| *refused != credentials);
        self.accepted = Some(credentials);
    }

    pub(super) fn contains(&self, credentials: Fingerprint) -> bool {
        self.credentials.contains(&credentials)
    }

    /// Whether these may be sent without being asked for.
    pub(super) fn stops(&self, credentials: Fingerprint) -> bool {
        let full = self.credentials.len() == Refused::MOST && self.accepted != Some(credentials);
        full || self.contains(credentials)
    }

    /// The answer to whoever would have to send them. Made anew each time from what the server said.
    pub(super) fn answer(&self) -> Error {
        let advice = if self.credentials.len() < Refused::MOST { REFUSED } else { TOO_MANY_REFUSED };
        match &self.error {
            Some(error) => not_tried(error, advice),
            None => Error::new(Status::VSESSION_E_INVALID_LOGIN, advice).not_run(),
        }
    }
}

/// Who is changing the session.
pub(super) enum Phase {
    Idle,
    /// A login, or the question whether one is needed.
    Login(Arc<Flight>),
    /// The question whether the server still is what is known of it.
    Look(Arc<Flight>),
    Logout(Arc<Flight>),
    Closed,
}

/// Whether the library may log in by itself.
pub(super) enum Automatic {
    Allowed,
    /// Not after a logout: the program must ask.
    AfterLogout,
    /// Not with credentials that were refused. Where they may change by themselves, they may be looked at again from
    /// then on.
    Refused {
        look_again: Instant,
    },
    /// Not yet: the last attempt failed.
    NotBefore(Instant, Error),
}

/// One login, check or logout under way, and what those who wait for it need.
#[derive(Default)]
pub(super) struct Flight {
    number: u64,
    /// The program asked for it: it sends the credentials whatever became of them before.
    by_hand: bool,
    done: Signal,
    outcome: OnceCell<Result<Outcome>>,
    /// A login may have been sent: who stops waiting cannot know whether it is run.
    pub(super) may_have_run: AtomicBool,
    /// Fired when nobody waits any more.
    pub(super) abandoned: Arc<Signal>,
}

/// How a flight ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is a session that calls may use.
    Ready,
    /// The session in question lives: what looked like its end was something else.
    StillAlive,
    /// The session is gone and was not replaced.
    Gone,
}

thread_local! {
    /// The address of the flight that this thread flies; 0 for none. Compared and never followed.
    static FLOWN_HERE: Cell<usize> = const { Cell::new(0) };
}

/// Why a thread comes to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The program asked for a login.
    LogIn,
    /// A call needs a session and there is none.
    NeedSession,
    /// A call was answered as if the session of this epoch had ended.
    Replace { epoch: u64 },
    /// A call was answered by a contradiction to this service, named by `name_of`. `by_hand`: however often the server was
    /// looked at lately.
    Look { service: usize, by_hand: bool },
}

/// What a thread at the gate is to do.
pub(super) enum Next {
    Return(Outcome),
    Join(Arc<Flight>),
    Start(Arc<Flight>, Task),
    /// Somebody else is changing the session; come again when they have done.
    Wait(Arc<Flight>),
}

impl Flight {
    /// Tells everybody who waits. `outcome` must say what the gate already shows.
    pub(super) fn land(&self, outcome: Result<Outcome>) {
        let _ = self.outcome.set(outcome);
        self.done.fire();
    }

    /// Marks the flight as flown by the current thread while `body` runs.
    pub(super) fn flown_here<T>(self: &Arc<Self>, body: impl FnOnce() -> T) -> T {
        let before = FLOWN_HERE.replace(Arc::as_ptr(self) as usize);
        let result = body();
        FLOWN_HERE.set(before);
        result
    }

    /// Whether the current thread flies this flight: we are in a callback that it made, and waiting for it here could
    /// never end.
    pub(super) fn is_flown_here(self: &Arc<Self>) -> bool {
        FLOWN_HERE.get() == Arc::as_ptr(self) as usize
    }

    /// Waits until the flight has landed.
    pub(super) fn wait(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        if self.is_flown_here() {
            return Err(Error::new(
                Status::VSESSION_E_REENTRANT,
                "called from a callback of this session's own login, which it could only wait for",
            ));
        }
        Ok(watch.wait_for(&self.done)?)
    }

    /// What came of it, once `done` has fired.
    fn outcome(&self) -> Result<Outcome> {
        match self.outcome.get() {
            Some(outcome) => outcome.clone(),
            None => Err(Error::new(Status::VSESSION_E_INTERNAL, "a login ended without an outcome")),
        }
    }
}

impl Gate {
    pub(super) fn new() -> Gate {
        Gate {
            state: State::VSESSION_STATE_LOGGED_OUT,
            phase: Phase::Idle,
            automatic: Automatic::Allowed,
            failures: 0,
            refused: Refused::default(),
            user: None,
            new_password: false,
            epoch: 0,
            logged_in: Instant::now(),
            on_trial: false,
            logouts: 0,
            told_epoch: 0,
            service: None,
            doubts: Doubts::default(),
            flights: 0,
            waiting: 0,
            left_behind: None,
        }
    }

    pub(super) fn new_flight(&mut self, by_hand: bool) -> Arc<Flight> {
        self.flights += 1;
        self.waiting = 1;
        Arc::new(Flight { number: self.flights, by_hand, ..Flight::default() })
    }

    /// Why an automatic login begins.
    pub(super) fn login_reason(&self) -> Reason {
        if self.epoch == 0 { Reason::VSESSION_REASON_LOGIN } else { Reason::VSESSION_REASON_RELOGIN }
    }

    /// Whether the library may log in now without being asked to.
    fn automatic_login(&self, config: &Config) -> Result<()> {
        match &self.automatic {
            _ if config.relogin == Relogin::Never => Err(Error::new(
                Status::VSESSION_E_NOT_AUTHENTICATED,
                "there is no session, and 'relogin' is 'never'; call vsession_login",
            )
            .not_run()),
            Automatic::Allowed => Ok(()),
            Automatic::AfterLogout => Err(not_logged_in()),
            Automatic::Refused { look_again }
                if config.credentials_may_change() && Instant::now() >= *look_again =>
            {
                Ok(())
            }
            Automatic::Refused { .. } => Err(self.refused.answer()),
            Automatic::NotBefore(moment, error) => {
                let left = moment.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(());
                }
                let ms = left.as_micros().div_ceil(1000);
                let advice = format!("the last login failed; the next automatic one may start in {ms} ms");
                Err(not_tried(error, &advice)
                    .with(|d| d.retry_after = Some(Duration::from_millis(ms as u64))))
            }
        }
    }
}

const REFUSED: &str = "the credentials were refused and are not tried again by themselves; call vsession_set_password with others, or vsession_login when they are right";

const TOO_MANY_REFUSED: &str = "so many credentials were refused that no others are tried by themselves; set the right ones and call vsession_login";

/// An earlier error as the answer to a call that made no request. It is never stored: an error that is built from it would
/// grow with each answer.
fn not_tried(earlier: &Error, advice: &str) -> Error {
    earlier.clone().with(|d| d.message = format!("{advice} ({})", d.message)).not_run()
}

impl Session {
    /// Gets `wish` fulfilled, with at most one login under way for all threads together.
    pub(super) fn through_gate(self: &Arc<Self>, wish: Wish, watch: &Watch) -> Result<Outcome> {
        // A check that was under way before we saw what we saw may have asked too early to answer for us.
        let mut first_valid = 0;
        // The login that was wished for: one that others sent on the way may have been it.
        let mut may_have_run = false;
        let judged =
            |error: Error, may_have_run| if may_have_run { error.may_have_run() } else { error.not_run() };
        loop {
            let mut flown_here = false;
            watch.check().map_err(|stop| judged(stop.into(), may_have_run))?;
            let (next, flights) = {
                let mut gate = self.gate.lock();
                let next = self.next_at_gate(&mut gate, wish).map_err(|error| judged(error, may_have_run))?;
                (next, gate.flights)
            };
            let (flight, started) = match next {
                Next::Return(outcome) => return Ok(outcome),
                Next::Wait(flight) => {
                    flight.wait(watch).map_err(|error| judged(error, may_have_run))?;
                    continue;
                }
                Next::Join(flight) => (flight, false),
                Next::Start(flight, task) => {
                    let (session, flying) = (self.clone(), flight.clone());
                    let started = workers::pools().logins.run(move |thread| match thread {
                        Ok(()) => session.fly(&flying, task, None),
                        Err(none) => session.ground(&flying, none),
                    });
                    if started.is_err() {
                        // No thread can be had. Ours can do it, as long as we may wait.
                        flown_here = true;
                        self.fly(&flight, task, Some(watch));
                    }
                    (flight, true)
                }
            };
            if first_valid == 0 {
                first_valid = if started { flights } else { flights + 1 };
            }
            if let Err(error) = flight.wait(watch) {
                self.leave(&flight);
                let error = self.late_at_gate(error);
                return Err(judged(error, may_have_run || flight.may_have_run.load(Ordering::SeqCst)));
            }
            may_have_run |= flight.may_have_run.load(Ordering::SeqCst);
            match (wish, flight.outcome()) {
                (Wish::Replace { .. }, Ok(Outcome::StillAlive)) if flight.number < first_valid => {}
                // It was a check: either there is a session now, or a login has to be started.
                (Wish::LogIn | Wish::NeedSession, Ok(Outcome::StillAlive | Outcome::Gone)) => {}
                // It ended because all the others had left just as we came.
                (_, Err(error)) if error.status() == Status::VSESSION_E_CANCELLED && !flown_here => {}
                // By hand means tried, with the credentials as they are now.
                (Wish::LogIn, Err(_)) if !started && !self.tried_for(&flight) => {}
                (_, outcome) => return outcome,
            }
        }
    }

    /// A deadline that passed while a login or a check, of this thread's or another's, was under way.
    #[cold]
    fn late_at_gate(&self, error: Error) -> Error {
        if error.status() != Status::VSESSION_E_TIMEOUT {
            return error;
        }
        let server = self.endpoint.server();
        error.with(|d| {
            d.message = format!(
                "the deadline passed while a login to {server}, or the question whether the session lives, was under way; give the call a larger timeout_ms, or see whether {server} answers at all"
            );
        })
    }

    pub(super) fn next_at_gate(&self, gate: &mut Gate, wish: Wish) -> Result<Next> {
        let served = gate.state.is_usable()
            && match wish {
                Wish::LogIn | Wish::NeedSession => true,
                Wish::Replace { epoch } => gate.epoch > epoch,
                Wish::Look { .. } => false,
            };
        match &gate.phase {
            Phase::Closed => return Err(closed()),
            Phase::Logout(flight) => return Ok(Next::Wait(flight.clone())),
            _ if matches!(wish, Wish::Look { .. }) => return Ok(self.look_at_gate(gate, wish)),
            // Also while others ask whether that session lives: their answer is none to this wish.
            Phase::Idle | Phase::Login(_) | Phase::Look(_) if served => {
                return Ok(Next::Return(Outcome::Ready));
            }
            Phase::Look(flight) => return Ok(Next::Wait(flight.clone())),
            Phase::Login(flight) if flight.abandoned.has_fired() => return Ok(Next::Wait(flight.clone())),
            Phase::Login(flight) => {
                let flight = flight.clone();
                gate.waiting += 1;
                return Ok(Next::Join(flight));
            }
            Phase::Idle => {}
        }
        let task = match wish {
            Wish::LogIn => Task::LogIn { reason: Reason::VSESSION_REASON_LOGIN, by_hand: true },
            Wish::Replace { epoch } if gate.state.is_usable() => Task::Check { epoch },
            Wish::NeedSession | Wish::Replace { .. } | Wish::Look { .. } => {
                gate.automatic_login(&self.config)?;
                Task::LogIn { reason: gate.login_reason(), by_hand: false }
            }
        };
        let by_hand = matches!(task, Task::LogIn { by_hand: true, .. });
        let flight = gate.new_flight(by_hand);
        gate.phase = Phase::Login(flight.clone());
        // Where credentials were refused, the flight first looks whether there are others.
        if let Task::LogIn { reason, by_hand } = task
            && (by_hand || !matches!(gate.automatic, Automatic::Refused { .. }))
        {
            self.transition(gate, State::VSESSION_STATE_LOGGING_IN, reason, None);
        }
        Ok(Next::Start(flight, task))
    }

    /// What a thread is to do that has seen a contradiction.
    fn look_at_gate(&self, gate: &mut Gate, wish: Wish) -> Next {
        let Wish::Look { service, by_hand } = wish else { return Next::Return(Outcome::StillAlive) };
        // Somebody else has looked, or has logged in or out.
        if self.snapshot().service.as_ref().is_none_or(|known| name_of(known) != service) {
            return Next::Return(Outcome::Ready);
        }
        match &gate.phase {
            Phase::Look(flight) if !flight.abandoned.has_fired() => {
                let flight = flight.clone();
                gate.waiting += 1;
                return Next::Join(flight);
            }
            Phase::Look(flight) | Phase::Login(flight) | Phase::Logout(flight) => {
                return Next::Wait(flight.clone());
            }
            Phase::Closed => return Next::Return(Outcome::StillAlive),
            Phase::Idle => {}
        }
        if !gate.may_look() && !by_hand {
            return Next::Return(Outcome::StillAlive);
        }
        let flight = gate.new_flight(by_hand);
        gate.phase = Phase::Look(flight.clone());
        Next::Start(flight, Task::Look { service })
    }

    /// Whether a login may follow a check that found the session gone.
    pub(super) fn may_relogin(&self, gate: &Gate) -> bool {
        gate.automatic_login(&self.config).is_ok()
    }

    /// Why no login has followed.
    pub(super) fn why_gone(&self) -> Error {
        let gate = self.gate.lock();
        match (&gate.automatic, gate.automatic_login(&self.config)) {
            (Automatic::NotBefore(..), Err(error)) => error,
            _ => Error::new(
                Status::VSESSION_E_NOT_AUTHENTICATED,
                "the session has ended, and no automatic login is allowed now; call vsession_login",
            )
            .not_run(),
        }
    }

    /// Whether a flight that somebody else began did what a login by hand does: it sent the newest credentials, or could not
    /// although it would have sent any.
    fn tried_for(&self, flight: &Flight) -> bool {
        let sent = flight.by_hand || flight.may_have_run.load(Ordering::SeqCst);
        sent && !self.gate.lock().new_password
    }

    /// A thread stops waiting for a flight. The last one to go takes the purpose with it.
    fn leave(&self, flight: &Arc<Flight>) {
        let mut gate = self.gate.lock();
        if matches!(&gate.phase, Phase::Login(current) | Phase::Look(current) if Arc::ptr_eq(current, flight))
        {
            gate.waiting -= 1;
            if gate.waiting == 0 {
                flight.abandoned.fire();
            }
        }
    }

    /// Changes the state and tells the queue. Under the gate's lock, so that events come in the order of the changes. A
    /// closed session changes no more, whoever comes late.
    pub(super) fn transition(&self, gate: &mut Gate, state: State, reason: Reason, error: Option<Error>) {
        if gate.state == state || gate.state == State::VSESSION_STATE_CLOSED {
            return;
        }
        let old = std::mem::replace(&mut gate.state, state);
        self.publisher.set_state(state);
        let old_epoch = std::mem::replace(&mut gate.told_epoch, gate.epoch);
        let event = self.event(gate, Kind::VSESSION_EVENT_STATE_CHANGED, reason, error);
        self.push(Event { old_state: old, old_epoch, ..event });
    }

    /// Tells of something that happened to the session as it is. Of a closed one nothing is told.
    pub(super) fn tell(&self, gate: &Gate, event: Event) {
        if gate.state != State::VSESSION_STATE_CLOSED {
            self.push(event);
        }
    }

    /// An event about the session as it is.
    pub(super) fn event(&self, gate: &Gate, kind: Kind, reason: Reason, error: Option<Error>) -> Event {
        Event {
            kind,
            session: self.publisher.handle(),
            old_state: gate.state,
            new_state: gate.state,
            reason,
            old_epoch: gate.epoch,
            new_epoch: gate.epoch,
            error,
            time_ms: now_ms(),
            merged: 0,
            completion: None,
        }
    }

    fn push(&self, event: Event) {
        if let Some(queue) = &self.config.queue {
            queue.push(event);
        }
    }
}
