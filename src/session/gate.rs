//! The login gate. It is a state and not a mutex: whoever needs a login enters, finds or starts the one flight that is
//! under way, and waits for its end with a deadline and a token of its own. The flight itself runs on a worker, so that
//! no caller's deadline can end a login that others wait for.
//!
//! The lock in here guards only the bookkeeping. It is never held while anything is waited for.

use std::cell::Cell;

use once_cell::sync::OnceCell;

use super::backoff::Now;
use super::doubt::{Doubts, name_of};
use super::login::Task;
use super::state::{Input, Machine, Notice, Readers};
use super::{Session, Snapshot, closed};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::runtime::event::{Completion, Event, now_ms};
use crate::runtime::wait::{Signal, Watch};
use crate::runtime::workers;
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, Instant, Ordering, thread_local};
use crate::vim::service::Service;
use crate::vim::session_manager::Login;

/// What the gate's lock guards.
pub(super) struct Gate {
    pub(super) machine: Machine,
    pub(super) phase: Phase,
    /// What is known of the server.
    pub(super) service: Option<Arc<Service>>,
    pub(super) doubts: Doubts,
    /// How many flights there have been; their numbers tell which began after something was seen.
    flights: u64,
    /// How many threads wait for the flight under way.
    waiting: usize,
    /// Why the session of a login that a close overtook could not be logged out.
    pub(super) left_behind: Option<Error>,
}

/// Who is changing the session.
pub(super) enum Phase {
    Idle,
    /// A login, or the question whether one is needed.
    Login(Arc<Flight>),
    /// The question whether the server still is what is known of it.
    Look(Arc<Flight>),
    Logout(Arc<Flight>),
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
            // unreached: needs a defect in ring, rustls or this library
            None => Err(Error::new(Status::VSESSION_E_INTERNAL, "a login ended without an outcome")),
        }
    }
}

impl Gate {
    pub(super) fn new(config: &Config) -> Gate {
        Gate {
            machine: Machine::new(config, Instant::now()),
            phase: Phase::Idle,
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
                (Wish::Replace { .. }, Ok(Outcome::StillAlive))
                    if flight.number < first_valid && !planted!("answer-from-before") => {}
                // It was a check: either there is a session now, or a login has to be started.
                (Wish::LogIn | Wish::NeedSession, Ok(Outcome::StillAlive | Outcome::Gone)) => {}
                // It ended because all the others had left just as we came.
                // sometimes: a race, which a run meets or not
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
        if gate.machine.is_closed() {
            return Err(closed());
        }
        let served = gate.machine.state().is_usable()
            && match wish {
                Wish::LogIn | Wish::NeedSession => true,
                Wish::Replace { epoch } => gate.machine.epoch() > epoch && !planted!("newer-epoch-unseen"),
                Wish::Look { .. } => false,
            };
        match &gate.phase {
            Phase::Logout(flight) => return Ok(Next::Wait(flight.clone())),
            _ if matches!(wish, Wish::Look { .. }) => return Ok(self.look_at_gate(gate, wish)),
            // Also while others ask whether that session lives: their answer is none to this wish.
            Phase::Idle | Phase::Login(_) | Phase::Look(_) if served => {
                return Ok(Next::Return(Outcome::Ready));
            }
            Phase::Look(flight) => return Ok(Next::Wait(flight.clone())),
            _ if planted!("two-logins") => {}
            Phase::Login(flight) if flight.abandoned.has_fired() => return Ok(Next::Wait(flight.clone())),
            Phase::Login(flight) => {
                let flight = flight.clone();
                gate.waiting += 1;
                return Ok(Next::Join(flight));
            }
            Phase::Idle => {}
        }
        let task = match wish {
            Wish::LogIn => Task::LogIn { by_hand: true },
            Wish::Replace { epoch } if gate.machine.state().is_usable() => Task::Check { epoch },
            Wish::NeedSession | Wish::Replace { .. } | Wish::Look { .. } => {
                gate.machine.may_log_in(&self.account.lock(), Instant::now())?;
                Task::LogIn { by_hand: false }
            }
        };
        let by_hand = matches!(task, Task::LogIn { by_hand: true });
        let flight = gate.new_flight(by_hand);
        gate.phase = Phase::Login(flight.clone());
        if let Task::LogIn { by_hand } = task {
            self.feed(gate, Input::LoginBegins { by_hand });
        }
        Ok(Next::Start(flight, task))
    }

    /// What a thread is to do that has seen a contradiction.
    fn look_at_gate(&self, gate: &mut Gate, wish: Wish) -> Next {
        let Wish::Look { service, by_hand } = wish else { return Next::Return(Outcome::StillAlive) };
        // Somebody else has looked, or has logged in or out.
        let changed = self.snapshot().service.as_ref().is_none_or(|known| name_of(known) != service);
        if changed && !planted!("looked-at-unseen") {
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
            Phase::Idle => {}
        }
        if !gate.may_look() && !by_hand {
            return Next::Return(Outcome::StillAlive);
        }
        let flight = gate.new_flight(by_hand);
        gate.phase = Phase::Look(flight.clone());
        Next::Start(flight, Task::Look { service })
    }

    /// Why no login has followed.
    pub(super) fn why_gone(&self) -> Error {
        let gate = self.gate.lock();
        gate.machine.why_not_replaced(&self.account.lock(), Instant::now())
    }

    /// Whether a flight that somebody else began did what a login by hand does: it sent the newest credentials, or could not
    /// although it would have sent any.
    fn tried_for(&self, flight: &Flight) -> bool {
        let sent = flight.by_hand || flight.may_have_run.load(Ordering::SeqCst);
        sent && !self.account.lock().newer_given
    }

    /// A thread stops waiting for a flight. The last one to go takes the purpose with it.
    fn leave(&self, flight: &Arc<Flight>) {
        let mut gate = self.gate.lock();
        if matches!(&gate.phase, Phase::Login(current) | Phase::Look(current) if Arc::ptr_eq(current, flight))
        {
            gate.waiting -= 1;
            let last = gate.waiting == 0 || planted!("abandoned-too-early");
            if last && !planted!("never-abandoned") {
                flight.abandoned.fire();
            }
        }
    }

    /// Feeds the state machine and carries out what follows, under the gate's lock, so that events come in the order of the
    /// changes.
    pub(super) fn feed(&self, gate: &mut Gate, input: Input) {
        self.feed_with(gate, input, None);
    }

    /// The same with the login that readers are to see.
    pub(super) fn feed_with(&self, gate: &mut Gate, input: Input, login: Option<(Login, Arc<Service>)>) {
        let effects = gate.machine.feed(&mut self.account.lock(), Now::read(), input);
        let epoch = gate.machine.epoch();
        match (effects.readers, login) {
            (Readers::NewLogin, Some((login, service))) => {
                gate.service = Some(service.clone());
                let (login, service) = (Some(login), Some(service));
                if planted!("epoch-before-snapshot") {
                    self.show_epoch(epoch);
                }
                self.shown.replace(Snapshot { epoch, login, service, ..Snapshot::default() });
                // Readers who see the new state or epoch must find the new snapshot: it is in place by now.
                self.show_epoch(epoch);
            }
            (Readers::LoggedOut, _) => {
                self.shown.replace(Snapshot { epoch, ..Snapshot::default() });
            }
            (Readers::NewLogin | Readers::Lost | Readers::Keep, _) => {}
        }
        if effects.forget_server {
            gate.service = None;
        }
        for notice in effects.notices {
            if notice.new_state != notice.old_state {
                self.publisher.set_state(notice.new_state);
            }
            if let Some(queue) = &self.config.queue {
                queue.push(self.event(notice, None));
            }
        }
        // After the state: where the snapshot says that the session was lost, the state says so too.
        if effects.readers == Readers::Lost && self.snapshot().login.is_some() {
            self.shown.replace(Snapshot { epoch, lost: true, ..Snapshot::default() });
        }
    }

    /// A notice of the state machine as the event that a program reads.
    pub(super) fn event(&self, notice: Notice, completion: Option<Completion>) -> Event {
        Event {
            kind: notice.kind,
            session: self.publisher.handle(),
            old_state: notice.old_state,
            new_state: notice.new_state,
            reason: notice.reason,
            old_epoch: notice.old_epoch,
            new_epoch: notice.new_epoch,
            error: notice.error,
            time_ms: now_ms(),
            merged: 0,
            completion,
        }
    }
}
