//! Single flight: one login, check, rediscovery or logout at a time, shared by all threads that want its result. A flight is a task of
//! its own, so that no caller's deadline ends a login that others wait for. Each caller waits within its own bounds.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};

use once_cell::sync::OnceCell;

use super::kind::Kind;
use super::renewal::Activity;
use super::{Session, closed};
use crate::error::{Error, Result};
use crate::http;
use crate::runtime::log::log;
use crate::runtime::phase::{self, Progress};
use crate::runtime::signal::Signal;
use crate::runtime::task::{Panic, catching};
use crate::runtime::wait::{Bounds, Watch};
use crate::state::State;
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, AtomicU8, AtomicU64, Instant, Ordering, thread_local};

/// What a flight is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    LogIn {
        by_hand: bool,
    },
    /// Ask whether the session of this epoch lives; replace it if not.
    Check {
        epoch: u64,
    },
    /// Ask whether the server still is this one, named by `address_of`.
    Rediscover {
        service: usize,
    },
}

/// What a flight is doing, for those whose deadline passes meanwhile. A check may become a login.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Purpose {
    LogIn,
    Check,
    Rediscover,
    Discover,
    LogOut,
}

impl From<Action> for Purpose {
    fn from(action: Action) -> Purpose {
        match action {
            Action::LogIn { .. } => Purpose::LogIn,
            Action::Check { .. } => Purpose::Check,
            Action::Rediscover { .. } => Purpose::Rediscover,
        }
    }
}

/// What its waiters need.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) number: u64,
    pub(super) began: Option<Instant>,
    /// The program asked for it, so it sends the credentials even if they were refused before.
    pub(super) by_hand: bool,
    /// A `Purpose`.
    purpose: AtomicU8,
    progress: Arc<Progress>,
    /// The budget for the server has paid for it.
    paid: bool,
    done: Signal,
    outcome: OnceCell<Result<Outcome>>,
    /// It came so far that only the server was missing: the credentials were read, and their request was under way.
    pub(super) tried: AtomicBool,
    /// How many threads wait for it. It changes under the lock of the renewal.
    waiting: AtomicU64,
    /// Fired when the last waiter has left.
    pub(super) abandoned: Arc<Signal>,
}

/// How a flight ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is a session that calls may use.
    Ready,
    /// The session in question lives. What looked like its end was something else.
    StillAlive,
    /// The session is gone and was not replaced.
    Gone,
}

thread_local! {
    /// The address of the flight that this thread carries out; 0 for none. It is compared and never dereferenced.
    static RUNNING_HERE: Cell<usize> = const { Cell::new(0) };
}

impl Flight {
    pub(super) fn new(number: u64, by_hand: bool, purpose: Purpose, paid: bool) -> Arc<Flight> {
        let began = Some(Instant::now());
        Arc::new(Flight {
            number,
            began,
            by_hand,
            purpose: (purpose as u8).into(),
            paid,
            waiting: 1.into(),
            ..Flight::default()
        })
    }

    /// Another thread waits for it. The caller holds the lock of the renewal.
    pub(super) fn join(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread stops waiting. True: it was the last one. The caller holds the lock of the renewal.
    pub(super) fn leave(&self) -> bool {
        self.waiting.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// The waits of the one who carries it out.
    pub(super) fn watched(&self, watch: Watch) -> Watch {
        watch.telling(self.progress.clone())
    }

    /// What it was doing when a deadline passed.
    pub(super) fn occasion(&self, server: &str) -> String {
        match self.purpose.load(Ordering::Relaxed) {
            p if p == Purpose::Check as u8 => format!(" in a check whether the session with {server} lives,"),
            p if p == Purpose::Rediscover as u8 => format!(" in a new discovery of {server},"),
            p if p == Purpose::Discover as u8 => format!(" in a discovery of {server},"),
            p if p == Purpose::LogOut as u8 => format!(" in a logout from {server},"),
            _ => format!(" in a login to {server},"),
        }
    }

    /// Wakes all waiters. The renewal must already show what `outcome` says.
    pub(super) fn complete(&self, outcome: Result<Outcome>) {
        let _ = self.outcome.set(outcome);
        self.done.fire();
    }

    /// An error of this flight with what it says of the Login: without one, nothing has run.
    fn judged(&self, error: Error) -> Error {
        if self.may_have_run() { error } else { error.not_run() }
    }

    /// Whether a login may have been sent, so that a thread that stops waiting cannot know whether it runs.
    pub(super) fn may_have_run(&self) -> bool {
        self.progress.may_have_run()
    }

    /// Runs `body`, and marks the flight as carried out by the thread that runs it at the moment. Returns the result or a panic.
    pub(super) async fn run_here<T>(
        self: &Arc<Self>,
        body: Pin<&mut impl Future<Output = T>>,
    ) -> std::result::Result<T, Panic> {
        let mut body = pin!(catching(body));
        poll_fn(|context| {
            let before = RUNNING_HERE.replace(Arc::as_ptr(self) as usize);
            let polled = body.as_mut().poll(context);
            RUNNING_HERE.set(before);
            polled
        })
        .await
    }

    /// Whether the current thread carries out this flight. Then it is in a callback of the flight, and could wait for the flight for
    /// ever.
    pub(super) fn runs_here(self: &Arc<Self>) -> bool {
        RUNNING_HERE.get() == Arc::as_ptr(self) as usize
    }

    /// Waits for the end of the flight.
    async fn wait(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        if self.runs_here() {
            return Err(reentrant());
        }
        Ok(watch.wait_for(&self.done).await?)
    }

    /// How it ended, once `done` has fired.
    pub(super) fn outcome(&self) -> Result<Outcome> {
        match self.outcome.get() {
            Some(outcome) => outcome.clone(),
            // unreached: needs a defect in ring, rustls or this library
            None => Err(Error::new(Status::VSESSION_E_INTERNAL, "a login ended without an outcome")),
        }
    }
}

#[cold]
fn reentrant() -> Error {
    Error::new(
        Status::VSESSION_E_REENTRANT,
        "called from a callback of this session's own login, which it could only wait for",
    )
}

impl Session {
    /// Fails in a callback of a login of this kind, for who would wait for its end, maybe on another thread.
    pub(super) fn check_not_in_callback<K: Kind>(&self) -> Result<()> {
        match K::of(self).renewal.lock().activity.flight() {
            Some(flight) if flight.runs_here() => Err(reentrant().not_run()),
            _ => Ok(()),
        }
    }

    /// Carries out a flight. It ends in every case, even after a panic.
    pub(super) async fn run_flight<K: Kind>(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        action: Action,
        watch: &Watch,
    ) {
        let outcome = flight
            .run_here(pin!(self.carry_out::<K>(flight, action, watch)))
            .await
            .unwrap_or_else(|_| self.conclude_failure::<K>(Error::panicked("the login").into()))
            .map_err(|error| flight.judged(error));
        if flight.paid {
            let end = outcome.as_ref().err().map_or(http::Verdict::Answered, http::Verdict::of);
            K::of(self).kind.budget().settle(http::Spending::Trial, end);
        }
        if !(planted!("flight-does-not-land") && self.closed.has_fired()) {
            flight.complete(outcome);
        }
    }

    /// Waits for the end of a flight. An error says what the flight was doing.
    pub(super) async fn wait_for<K: Kind>(&self, flight: &Arc<Flight>, watch: &Watch) -> Result<()> {
        flight.wait(watch).await.map_err(|error| {
            let kind = &K::of(self).kind;
            kind.stopped(error, flight.progress.phase(), &flight.occasion(&kind.server()))
        })
    }

    /// The bounds of a flight that nobody's deadline or token ends.
    pub(super) fn bounds_of_flight(&self, flight: &Flight) -> Bounds {
        let (close, cancel) = (Some(self.closed.clone()), Some(flight.abandoned.clone()));
        Bounds { close, cancel, ..self.login_bounds() }
    }

    /// The bounds of a flight that a caller carries out, because no worker can be had.
    pub(super) fn bounds_of_flight_of(&self, caller: &Bounds) -> Bounds {
        let deadline = [self.login_bounds().deadline, caller.deadline].into_iter().flatten().min();
        Bounds { deadline, close: Some(self.closed.clone()), cancel: caller.cancel.clone() }
    }

    async fn carry_out<K: Kind>(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        action: Action,
        watch: &Watch,
    ) -> Result<Outcome> {
        // Without a worker there is no thread on which the program's functions may run.
        if let Err(stop) = watch.check() {
            let error = K::of(self).kind.stopped(stop.into(), phase::Phase::Thread, "");
            return self.conclude_failure::<K>(error.not_run().into());
        }
        watch.tell(phase::Phase::Start);
        if let Action::Rediscover { service } = action {
            let result = Box::pin(self.run_rediscovery::<K>(service, watch)).await;
            self.release::<K>();
            return result;
        }
        if let Action::Check { epoch } = action {
            let lives = self.is_live::<K>(epoch, watch).await;
            K::of(self).renewal.lock().check_failed = lives.is_err();
            match lives {
                Ok(true) => {
                    self.note_proof::<K>(epoch);
                    self.release::<K>();
                    return Ok(Outcome::StillAlive);
                }
                Ok(false) => {
                    if !self.expire_in_flight::<K>()? {
                        return Ok(Outcome::Gone);
                    }
                    flight.purpose.store(Purpose::LogIn as u8, Ordering::Relaxed);
                }
                Err(error) => {
                    self.release::<K>();
                    self.note_failure::<K>(&error);
                    return Err(error);
                }
            }
        }
        let by_hand = matches!(action, Action::LogIn { by_hand: true });
        loop {
            let result = self.acquire::<K>(flight, by_hand, watch).await;
            if let Some(outcome) = self.conclude(result, by_hand, watch).await {
                return outcome;
            }
        }
    }

    /// The server no longer knows the session. True: a login follows in the same flight.
    fn expire_in_flight<K: Kind>(self: &Arc<Self>) -> Result<bool> {
        let mut renewal = K::of(self).renewal.lock();
        if renewal.machine.is_closed() {
            // sometimes: a close comes just as the server has answered
            return Err(closed());
        }
        let orphan = self.expire(&mut renewal, true);
        let goes_on = renewal.machine.state() == State::VSESSION_STATE_LOGGING_IN;
        if !goes_on {
            renewal.activity = Activity::Idle;
        }
        drop(renewal);
        if let Some(orphan) = orphan {
            self.log_out_in_background(orphan);
        }
        log!(Info, "the session with {} has ended on the server", K::of(self).kind.server());
        Ok(goes_on)
    }

    /// Lets others change the session.
    fn release<K: Kind>(&self) {
        let mut renewal = K::of(self).renewal.lock();
        // sometimes: a race, which a run meets or not
        if matches!(renewal.activity, Activity::Login(_) | Activity::Rediscovery(_)) {
            renewal.activity = Activity::Idle;
        }
    }
}
