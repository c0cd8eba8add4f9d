//! Renewal of a server session: a thread that needs a login finds the flight that is under way or starts one, and waits for its end
//! with a deadline and a token of its own. So at most one login is under way for all threads together.
//!
//! The lock guards only the bookkeeping. It is never held across I/O, a wait or a callback.

use super::backoff::{Now, Throttle};
use super::flight::{Action, Flight, Outcome, Purpose};
use super::kind::{Kind, Origin};
use super::rediscovery::{Rediscovery, address_of};
use super::snapshot::Snapshot;
use super::state::{Input, Machine, May, Notice, Readers};
use super::{Session, closed};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::Spending;
use crate::runtime::event::{Completion, Event, now_ms};
use crate::runtime::phase;
use crate::runtime::task;
use crate::runtime::wait::Watch;
use crate::runtime::workers;
use crate::status::Status;
use crate::sync::{Arc, Instant, Ordering};

/// What the lock guards.
pub(super) struct Renewal<K: Kind> {
    pub(super) machine: Machine,
    pub(super) activity: Activity,
    /// What is known of the server.
    pub(super) service: Option<Arc<K::Service>>,
    pub(super) rediscovery: Rediscovery,
    /// The question what the server is, for calls without a session. It goes on beside any activity.
    pub(super) discovery: Option<Arc<Flight>>,
    /// How often a session is given up although nobody said that it is gone.
    pub(super) unproven_losses: Throttle,
    /// The last question whether the session lives got no answer: the next one is paid for by the budget.
    pub(super) check_failed: bool,
    /// It was the session of another kind, which has ended and takes this one along when it comes back.
    pub(super) follows: bool,
    /// The number of the newest flight. Numbers tell which flights began after something was seen.
    flights: u64,
    /// Why the session of a login that a close overtook could not be logged out.
    pub(super) left_behind: Option<Error>,
}

/// What is being done to the session.
pub(super) enum Activity {
    Idle,
    /// A login, or the question whether one is needed.
    Login(Arc<Flight>),
    /// The question whether the server still is what is known of it.
    Rediscovery(Arc<Flight>),
    Logout(Arc<Flight>),
}

impl Activity {
    pub(super) fn flight(&self) -> Option<&Arc<Flight>> {
        match self {
            Activity::Idle => None,
            // sometimes: a race, which a run meets or not
            Activity::Login(flight) | Activity::Rediscovery(flight) | Activity::Logout(flight) => {
                Some(flight)
            }
        }
    }
}

/// What a thread wants of the renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The program asked for a login.
    LogIn,
    /// A call needs a session and there is none.
    HaveSession,
    /// A call was answered as if the session of this epoch had ended.
    Replace { epoch: u64 },
    /// A call was answered by a contradiction to this service, named by `address_of`. `by_hand`: however often the server was
    /// rediscovered lately.
    Rediscover { service: usize, by_hand: bool },
}

/// What a thread has to do for its goal.
pub(super) enum Next {
    Return(Outcome),
    Join(Arc<Flight>),
    Start(Arc<Flight>, Action),
    /// Wait for this flight, which serves another goal, and ask again.
    Wait(Arc<Flight>),
}

impl<K: Kind> Renewal<K> {
    pub(super) fn new(config: &Config) -> Renewal<K> {
        Renewal {
            machine: Machine::new(config, K::IS_COVERED, Instant::now()),
            activity: Activity::Idle,
            service: None,
            rediscovery: Rediscovery::default(),
            discovery: None,
            unproven_losses: Throttle::default(),
            check_failed: false,
            follows: false,
            flights: 0,
            left_behind: None,
        }
    }

    pub(super) fn new_flight(&mut self, by_hand: bool, purpose: Purpose, paid: bool) -> Arc<Flight> {
        self.flights += 1;
        Flight::new(self.flights, by_hand, purpose, paid)
    }
}

impl Session {
    /// Reaches `goal`, with at most one login under way for all threads together.
    pub(super) async fn renew<K: Kind>(self: &Arc<Self>, goal: Goal, watch: &Watch) -> Result<Outcome> {
        // A check that was under way before we saw what we saw may have asked too early to answer for us.
        let mut first_valid = 0;
        // A login that was wanted and that others sent on the way may have been this one.
        let mut may_have_run = false;
        let judged =
            |error: Error, may_have_run| if may_have_run { error.may_have_run() } else { error.not_run() };
        loop {
            let mut ran_here = false;
            watch.check().map_err(|stop| {
                let error = K::of(self).kind.stopped(stop.into(), phase::Phase::Start, "");
                judged(error, may_have_run)
            })?;
            let (next, flights) = {
                let mut renewal = K::of(self).renewal.lock();
                let next = self.next_step(&mut renewal, goal).map_err(|error| judged(error, may_have_run))?;
                (next, renewal.flights)
            };
            let (flight, started) = match next {
                Next::Return(outcome) => return Ok(outcome),
                Next::Wait(flight) => {
                    // sometimes: the thread's own bounds end the wait
                    self.wait_for::<K>(&flight, watch).await.map_err(|error| judged(error, may_have_run))?;
                    continue;
                }
                Next::Join(flight) => (flight, false),
                Next::Start(flight, action) => {
                    let (session, flying) = (self.clone(), flight.clone());
                    let body = |waiter| async move {
                        let watch = Watch::of_task(session.bounds_of_flight(&flying), waiter);
                        let watch = flying.watched(watch);
                        session.run_flight::<K>(&flying, action, &watch).await;
                    };
                    let workers = &workers::pools().logins;
                    // The program's function and a password file may block, which must not keep this thread beyond its deadline.
                    let started = if watch.is_of_task() || self.config.credentials_may_change() {
                        task::Task::spawn(workers, body)
                    } else {
                        task::Task::begin(workers, body)
                    };
                    if started.is_err() {
                        // No worker can be had. This thread does it, within its own bounds.
                        ran_here = true;
                        let watch = flight.watched(watch.within(self.bounds_of_flight_of(watch.bounds())));
                        // In a box: this is rare, and every call would be as large.
                        Box::pin(self.run_flight::<K>(&flight, action, &watch)).await;
                    }
                    (flight, true)
                }
            };
            if first_valid == 0 {
                first_valid = if started { flights } else { flights + 1 };
            }
            if let Err(error) = self.wait_for::<K>(&flight, watch).await {
                self.leave::<K>(&flight);
                return Err(judged(error, may_have_run || flight.may_have_run()));
            }
            may_have_run |= flight.may_have_run();
            match (goal, flight.outcome()) {
                (Goal::Replace { .. }, Ok(Outcome::StillAlive))
                    if flight.number < first_valid && !planted!("answer-from-before") => {}
                // sometimes: it was a check; either there is a session now, or a login has to be started
                (Goal::LogIn | Goal::HaveSession, Ok(Outcome::StillAlive | Outcome::Gone)) => {}
                // It ended because all the others had left just as we came.
                // sometimes: a race, which a run meets or not
                (_, Err(error)) if error.status() == Status::VSESSION_E_CANCELLED && !ran_here => {}
                // By hand means tried, with the credentials as they are now.
                (Goal::LogIn, Err(_)) if !started && !self.tried_for(&flight) => {}
                // The program may ask for a login at any time.
                (Goal::LogIn, outcome) => return outcome,
                (_, outcome) => return outcome.map_err(|error| self.with_next_login::<K>(error)),
            }
        }
    }

    pub(super) fn next_step<K: Kind>(&self, renewal: &mut Renewal<K>, goal: Goal) -> Result<Next> {
        if renewal.machine.is_closed() {
            return Err(closed());
        }
        let served = renewal.machine.state().is_usable()
            && match goal {
                Goal::LogIn | Goal::HaveSession => true,
                Goal::Replace { epoch } => renewal.machine.epoch() > epoch && !planted!("newer-epoch-unseen"),
                Goal::Rediscover { .. } => false,
            };
        match &renewal.activity {
            Activity::Logout(flight) => return Ok(Next::Wait(flight.clone())),
            _ if matches!(goal, Goal::Rediscover { .. }) => {
                return Ok(self.next_step_of_rediscovery(renewal, goal));
            }
            // Also while others ask whether that session lives: their answer does not matter to this goal.
            Activity::Idle | Activity::Login(_) | Activity::Rediscovery(_) if served => {
                return Ok(Next::Return(Outcome::Ready));
            }
            // sometimes: a race, which a run meets or not
            Activity::Rediscovery(flight) => return Ok(Next::Wait(flight.clone())),
            _ if planted!("two-logins") => {}
            Activity::Login(flight) if flight.abandoned.has_fired() => return Ok(Next::Wait(flight.clone())),
            Activity::Login(flight) => {
                flight.join();
                return Ok(Next::Join(flight.clone()));
            }
            Activity::Idle => {}
        }
        let budget = K::of(self).kind.budget();
        let (action, paid) = match goal {
            Goal::LogIn => (Action::LogIn { by_hand: true }, false),
            Goal::Replace { epoch } if renewal.machine.state().is_usable() => {
                let paid = renewal.check_failed;
                if paid && !budget.take(Spending::Trial) {
                    // The call's own answer stands.
                    return Ok(Next::Return(Outcome::StillAlive));
                }
                (Action::Check { epoch }, paid)
            }
            Goal::HaveSession | Goal::Replace { .. } | Goal::Rediscover { .. } => {
                let paid = match renewal.machine.may_log_in(&self.account.lock(), Instant::now())? {
                    May::LogIn => false,
                    May::Try(_) if budget.take(Spending::Trial) => true,
                    May::Try(error) => return Err(error),
                };
                (Action::LogIn { by_hand: false }, paid)
            }
        };
        let by_hand = matches!(action, Action::LogIn { by_hand: true });
        let flight = renewal.new_flight(by_hand, action.into(), paid);
        renewal.activity = Activity::Login(flight.clone());
        if let Action::LogIn { by_hand } = action {
            self.feed(renewal, Input::LoginBegins { by_hand });
        }
        Ok(Next::Start(flight, action))
    }

    /// The next step of a thread that has seen a contradiction.
    fn next_step_of_rediscovery<K: Kind>(&self, renewal: &mut Renewal<K>, goal: Goal) -> Next {
        // unreached: this is the goal of the caller
        let Goal::Rediscover { service, by_hand } = goal else { return Next::Return(Outcome::StillAlive) };
        // Another thread has rediscovered the server, or has logged in or out.
        let changed =
            K::of(self).current.snapshot().service.as_ref().is_none_or(|known| address_of(known) != service);
        if changed && !planted!("looked-at-unseen") {
            return Next::Return(Outcome::Ready);
        }
        match &renewal.activity {
            Activity::Rediscovery(flight) if !flight.abandoned.has_fired() => {
                flight.join();
                return Next::Join(flight.clone());
            }
            // sometimes: a race, which a run meets or not
            Activity::Rediscovery(flight) | Activity::Login(flight) | Activity::Logout(flight) => {
                return Next::Wait(flight.clone());
            }
            Activity::Idle => {}
        }
        if !renewal.may_rediscover() && !by_hand {
            return Next::Return(Outcome::StillAlive);
        }
        let action = Action::Rediscover { service };
        let flight = renewal.new_flight(by_hand, action.into(), false);
        renewal.activity = Activity::Rediscovery(flight.clone());
        Next::Start(flight, action)
    }

    /// The error of a login that has failed, for a call that waited for it: like those who ask later, it is told when the next one may
    /// start.
    #[cold]
    fn with_next_login<K: Kind>(&self, error: Error) -> Error {
        let wait = K::of(self).renewal.lock().machine.next_login(Instant::now());
        error.with(|d| d.next_login = wait)
    }

    /// Why no login has followed the end of the session.
    pub(super) fn why_not_replaced<K: Kind>(&self) -> Error {
        let renewal = K::of(self).renewal.lock();
        renewal.machine.why_not_replaced(&self.account.lock(), Instant::now())
    }

    /// Whether a flight that somebody else began did what a login by hand does: it sent the newest credentials, or could not
    /// although it would have sent any.
    fn tried_for(&self, flight: &Flight) -> bool {
        let tried = flight.by_hand || flight.tried.load(Ordering::SeqCst);
        tried && !self.account.lock().newer_given
    }

    /// A thread stops waiting for a flight. When the last one leaves, nobody needs the flight any more.
    pub(super) fn leave<K: Kind>(&self, flight: &Arc<Flight>) {
        let renewal = K::of(self).renewal.lock();
        let is_under_way = |current: &Arc<Flight>| Arc::ptr_eq(current, flight);
        // sometimes: a race, which a run meets or not
        if !matches!(&renewal.activity, Activity::Login(current) | Activity::Rediscovery(current) if is_under_way(current))
            && !renewal.discovery.as_ref().is_some_and(is_under_way)
        {
            return;
        }
        let last = flight.leave() || planted!("abandoned-too-early");
        if last && !planted!("never-abandoned") {
            // Under the lock, so that nobody joins it any more.
            flight.abandoned.set();
            drop(renewal);
            flight.abandoned.wake_all();
        }
    }

    /// Feeds the state machine and carries out the effects, under the lock, so that events come in the order of the changes.
    pub(super) fn feed<K: Kind>(&self, renewal: &mut Renewal<K>, input: Input) {
        self.feed_with(renewal, input, None);
    }

    /// The same with the login that readers are to see.
    pub(super) fn feed_with<K: Kind>(
        &self,
        renewal: &mut Renewal<K>,
        input: Input,
        login: Option<(K::Login, Arc<K::Service>)>,
    ) {
        let server_session = K::of(self);
        let before = renewal.machine.living();
        let effects = renewal.machine.feed(&mut self.account.lock(), Now::read(), input);
        let epoch = renewal.machine.epoch();
        if before.is_some() && before != renewal.machine.living() && !planted!("loans-outlive-their-session")
        {
            K::end_loans(self, renewal.machine.state());
        }
        match (effects.readers, login) {
            (Readers::NewLogin, Some((login, service))) => {
                renewal.service = Some(service.clone());
                renewal.follows = false;
                let origin = if K::lent(&login).is_some() { Origin::OfVim25 } else { Origin::Made };
                let (login, service) = (Some(login), Some(service));
                if planted!("epoch-before-snapshot") {
                    server_session.publisher.raise_epoch(epoch);
                }
                let made = Snapshot { epoch, login, service, origin, ..Snapshot::default() };
                server_session.current.replace(made);
                // Readers who see the new state or epoch must find the new snapshot: it is in place by now.
                server_session.publisher.raise_epoch(epoch);
            }
            (Readers::LoggedOut, _) => {
                server_session.current.replace(Snapshot { epoch, ..Snapshot::default() });
            }
            (Readers::NewLogin | Readers::Lost | Readers::Keep, _) => {}
        }
        if effects.forget_server {
            renewal.service = None;
        }
        for notice in effects.notices {
            if notice.new_state != notice.old_state {
                server_session.publisher.set_state(notice.new_state);
            }
            if let Some(queue) = &self.config.queue {
                queue.push(self.event::<K>(notice, None));
            }
        }
        // After the state: where the snapshot says that the session was lost, the state says so too.
        let shown = server_session.current.snapshot();
        if effects.readers == Readers::Lost && shown.login.is_some() {
            let origin = shown.origin;
            server_session.current.replace(Snapshot { epoch, lost: true, origin, ..Snapshot::default() });
        }
        if effects.readers == Readers::NewLogin {
            K::lend(self, &shown);
        }
    }

    /// A notice of the state machine as the event that a program reads.
    pub(super) fn event<K: Kind>(&self, notice: Notice, completion: Option<Completion>) -> Event {
        Event {
            kind: notice.kind,
            session: self.handle(),
            service: K::NAME,
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
