//! Keep-alive: probes keep a session that nobody uses from reaching the server's idle timeout. An idle session costs
//! one entry in the reactor. A probe is a task, and a call like any other: no login, logout or close waits for it, and it has a dead
//! session replaced. A failed probe is repeated after growing pauses.

use std::pin::pin;
use std::time::Duration;

use super::backoff::{Backoff, jitter};
use super::call::{CallOptions, MethodCall};
use super::kind::Kind;
use super::renewal::Goal;
use super::rest::Rest;
use super::state::Input;
use super::vim25::Vim25;
use super::{Session, not_logged_in};
use crate::config::{Probe, Relogin};
use crate::error::{Error, Result};
use crate::http::{Spending, Verdict};
use crate::runtime::phase::Phase;
use crate::runtime::reactor::{self, Sleeper};
use crate::runtime::secret::BorrowedOrWiped;
use crate::runtime::task::{Task, catching};
use crate::runtime::wait::Watch;
use crate::runtime::workers;
use crate::state::State;
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, AtomicU64, Instant, Mutex, Ordering, rank};
use crate::vim::service::SERVICE_INSTANCE;

/// What the program wants of keep-alive, for the sessions of all kinds.
pub(super) struct Wish {
    /// Milliseconds. Zero: keep-alive is off.
    interval: AtomicU64,
    /// The program stopped it; an automatic login does not start it again.
    stopped: AtomicBool,
}

impl Wish {
    pub(super) fn new(interval: Duration) -> Wish {
        let wish = Wish { interval: AtomicU64::new(0), stopped: AtomicBool::new(false) };
        wish.set_interval(interval);
        wish
    }

    fn set_interval(&self, interval: Duration) {
        self.interval.store(interval.as_millis() as u64, Ordering::SeqCst);
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.interval.load(Ordering::SeqCst))
    }

    fn is_on(&self) -> bool {
        !self.stopped.load(Ordering::SeqCst) && !self.interval().is_zero()
    }
}

/// When the next probe of a session is due.
pub(super) struct KeepAlive(Mutex<Schedule, rank::Schedule>);

struct Schedule {
    /// When the server last answered.
    last_traffic: Instant,
    /// The pause after `last_traffic` or after a failure: the interval, shortened at random.
    pause: Duration,
    /// Probes that failed in a row.
    failures: u32,
    /// The valid entry in the reactor. Entries that it replaced may still be there.
    entry: Option<Instant>,
    probing: bool,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration) -> KeepAlive {
        KeepAlive(Mutex::new(Schedule {
            last_traffic: Instant::now(),
            pause: interval,
            failures: 0,
            entry: None,
            probing: false,
        }))
    }

    /// The server answered: the next probe can wait.
    pub(super) fn note_traffic(&self) {
        // Whoever holds the lock reads the time too. A missed note only makes a probe earlier.
        if let Some(mut schedule) = self.0.try_lock() {
            schedule.last_traffic = Instant::now();
        }
    }
}

impl Schedule {
    /// Starts a new pause. The first one varies widely, so that sessions which began together do not probe together.
    fn restart(&mut self, interval: Duration, spread: f64) {
        self.last_traffic = Instant::now();
        self.failures = 0;
        self.pause = interval.mul_f64(1.0 - spread * jitter());
    }
}

impl Session {
    /// Starts keep-alive, or changes its interval.
    pub(crate) fn keepalive_start(self: &Arc<Self>, interval: Option<Duration>) -> Result<()> {
        let interval = interval.unwrap_or(self.config.keepalive_interval);
        if interval.is_zero() {
            return Err(Error::invalid_argument(
                "interval_ms",
                "0 stands for the option 'keepalive.interval_ms', which is 0; name an interval of at least 1000",
            ));
        }
        self.check_open()?;
        // Before the locks of the schedules: a session that is being made reads it under the lock of its own.
        self.keepalive.set_interval(interval);
        self.keepalive.stopped.store(false, Ordering::SeqCst);
        self.keepalive_restart::<Vim25>(0.1);
        if self.rest.get().is_some() {
            self.keepalive_restart::<Rest>(0.1);
        }
        Ok(())
    }

    /// Stops keep-alive. Waits for no probe.
    pub(crate) fn keepalive_stop(&self) -> Result<()> {
        self.check_open()?;
        self.keepalive.stopped.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn keepalive_restart<K: Kind>(self: &Arc<Self>, spread: f64) {
        let mut schedule = K::of(self).keepalive.0.lock();
        schedule.restart(self.keepalive.interval(), spread);
        self.arrange::<K>(&mut schedule);
    }

    /// A login succeeded.
    pub(super) fn keepalive_after_login<K: Kind>(self: &Arc<Self>, by_hand: bool) {
        if by_hand {
            self.keepalive.stopped.store(false, Ordering::SeqCst);
        }
        self.keepalive_restart::<K>(0.5);
    }

    /// Cuts a long pause short, because something has changed and another attempt may succeed.
    pub(super) fn keepalive_soon<K: Kind>(self: &Arc<Self>) {
        if self.needs_keepalive::<K>() {
            let mut schedule = K::of(self).keepalive.0.lock();
            schedule.last_traffic = Instant::now();
            schedule.pause = self.config.backoff.min(self.keepalive.interval());
            self.arrange::<K>(&mut schedule);
        }
    }

    /// Has the reactor wake the session after the pause.
    fn arrange<K: Kind>(self: &Arc<Self>, schedule: &mut Schedule) {
        if !self.keepalive.is_on() || schedule.probing {
            return;
        }
        let due = reactor::about(schedule.last_traffic + schedule.pause, schedule.pause);
        if schedule.entry.is_none_or(|entry| due < entry) {
            schedule.entry = Some(due);
            let me: Arc<Session> = self.clone();
            let weak = Arc::downgrade(&me);
            if planted!("keep-alive-holds-the-session") {
                std::mem::forget(me);
            }
            // If the reactor gets no thread, it wakes the session once it has one.
            let _ = reactor::wake_at(due, weak);
        }
    }

    /// Whether there is a session to keep alive or to replace.
    fn needs_keepalive<K: Kind>(&self) -> bool {
        match self.state::<K>() {
            State::VSESSION_STATE_ACTIVE | State::VSESSION_STATE_UNREACHABLE => {
                K::of(self).current.snapshot().origin.is_ours()
            }
            State::VSESSION_STATE_EXPIRED | State::VSESSION_STATE_LOGGING_IN => self.may_bring_back::<K>(),
            // A file or a function may supply other credentials by now.
            State::VSESSION_STATE_REJECTED => {
                self.may_bring_back::<K>() && self.config.credentials_may_change()
            }
            _ => false,
        }
    }

    /// Whether there was a session, and the library may replace it by itself. That of another kind comes back with that kind.
    fn may_bring_back<K: Kind>(&self) -> bool {
        let snapshot = K::of(self).current.snapshot();
        self.config.relogin == Relogin::Auto && snapshot.had_login() && snapshot.origin.is_ours()
    }

    /// `paid`: the budget for the server has paid for the probe.
    async fn probe_and_reschedule<K: Kind>(self: &Arc<Self>, paid: bool, watch: &Watch) {
        let server_session = K::of(self);
        let rejected = || self.state::<K>() == State::VSESSION_STATE_REJECTED;
        let was_rejected = rejected();
        let had_session = self.state::<K>().is_usable();
        let logouts = server_session.renewal.lock().machine.logouts();
        // A panic in a probe must not end keep-alive.
        let result = catching(pin!(self.probe::<K>(watch))).await;
        let result = result.unwrap_or_else(|_| Err(Error::panicked("a keep-alive probe")));
        let status = result.as_ref().err().map(Error::status);
        if paid {
            let end = result.as_ref().err().map_or(Verdict::Answered, Verdict::of);
            server_session.kind.budget().settle(Spending::Trial, end);
        }
        let ended = server_session.renewal.lock().machine.logouts() != logouts;
        let interval = self.keepalive.interval();
        let mut schedule = server_session.keepalive.0.lock();
        schedule.probing = false;
        match result {
            Ok(()) => schedule.restart(interval, 0.1),
            // The program has ended the session meanwhile, so this is no failure.
            Err(_) if ended => schedule.restart(interval, 0.1),
            Err(error) => {
                schedule.last_traffic = Instant::now();
                // While there is no session and the next login has to wait, there was nothing to probe, and nothing has failed.
                let until_login =
                    error.detail().retry_after.filter(|_| !had_session && error.detail().not_tried);
                if until_login.is_none() {
                    schedule.failures = schedule.failures.saturating_add(1);
                    // That the credentials are still the refused ones was reported before.
                    let news = status != Some(Status::VSESSION_E_CLOSED) && !(was_rejected && rejected());
                    if news && self.keepalive.is_on() {
                        self.tell_failed_probe::<K>(&error, logouts);
                    }
                }
                let pause = until_login
                    .unwrap_or_else(|| Backoff::of(&self.config).after(schedule.failures, &error, jitter()));
                schedule.pause = pause.min(interval);
            }
        }
        if self.needs_keepalive::<K>() {
            self.arrange::<K>(&mut schedule);
        }
    }

    /// One probe. A dead session is replaced.
    async fn probe<K: Kind>(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        // sometimes: a race, which a run meets or not
        watch.check().map_err(|stop| K::of(self).kind.stopped(stop.into(), Phase::Thread, "").not_run())?;
        if self.state::<K>() == State::VSESSION_STATE_REJECTED {
            return self.renew::<K>(Goal::HaveSession, watch).await.map(|_| ());
        }
        K::probe(self, watch).await
    }

    /// The probe of the vim25 session, of the configured kind.
    pub(super) async fn probe_vim(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        let client = &self.vim.kind.endpoint.client;
        match &self.config.probe {
            Probe::CurrentTime => {
                let _turn = client.background_turn(watch).await?;
                let call = MethodCall {
                    method: "CurrentTime".into(),
                    kind: SERVICE_INSTANCE.into(),
                    id: None,
                    arguments: BorrowedOrWiped::Borrowed(""),
                    special: None,
                };
                let options = CallOptions { idempotent: true, ..CallOptions::default() };
                match self.call_within(&call, &options, watch).await {
                    Err(error) if error.is_fault() => self.judge_fault(error, watch).await,
                    result => {
                        result.map(|_| ()).inspect_err(|error| self.note_failed_question::<Vim25>(error))
                    }
                }
            }
            Probe::CurrentSession => {
                let _turn = client.background_turn(watch).await?;
                self.probe_current_session(watch).await
            }
            Probe::Custom(probe) => {
                let epoch = self.snapshot().epoch;
                match (probe.0)(self.handle()) {
                    Status::VSESSION_OK => {
                        self.note_success::<Vim25>();
                        self.note_proof::<Vim25>(epoch);
                        Ok(())
                    }
                    Status::VSESSION_E_NOT_AUTHENTICATED => {
                        self.note_expired::<Vim25>(epoch);
                        if self.state::<Vim25>() == State::VSESSION_STATE_LOGGED_OUT {
                            return Err(not_logged_in());
                        }
                        // The function may have taken long.
                        let watch = watch.within(self.probe_bounds());
                        self.renew::<Vim25>(Goal::HaveSession, &watch).await.map(|_| ())
                    }
                    status => {
                        let name = status.name();
                        Err(Error::new(status, format!("the program's keep-alive function returned {name}")))
                    }
                }
            }
        }
    }

    async fn probe_current_session(self: &Arc<Self>, watch: &Watch) -> Result<()> {
        match self.refresh_within(watch).await {
            Err(error) if error.status() == Status::VSESSION_E_NOT_AUTHENTICATED => {
                self.renew::<Vim25>(Goal::HaveSession, watch).await.map(|_| ())
            }
            result => result.map(|_| ()),
        }
    }

    /// Judges a fault in answer to CurrentTime. A missing privilege shows that the session lives. Any other fault says nothing about
    /// the session, so the server is asked about it.
    async fn judge_fault(self: &Arc<Self>, error: Error, watch: &Watch) -> Result<()> {
        match self.state::<Vim25>() {
            // The program has just ended it.
            State::VSESSION_STATE_LOGGED_OUT | State::VSESSION_STATE_CLOSED => Ok(()),
            state if state.is_usable() && error.status() == Status::VSESSION_E_NO_PERMISSION => Ok(()),
            state if state.is_usable() => self.probe_current_session(watch).await,
            _ => Err(error),
        }
    }

    pub(super) fn tell_failed_probe<K: Kind>(&self, error: &Error, logouts: u64) {
        // Under the lock of the renewal, so that the event comes before those of a later login.
        let mut renewal = K::of(self).renewal.lock();
        if renewal.machine.logouts() != logouts {
            // sometimes: a race, which a run meets or not
            return;
        }
        if planted!("failed-probe-out-of-order") {
            use crate::runtime::event::{Kind::VSESSION_EVENT_KEEPALIVE_FAILED as FAILED, Queue};
            let notice =
                renewal.machine.notice(FAILED, crate::state::Reason::VSESSION_REASON_NONE, Some(error));
            drop(renewal);
            crate::sync::thread::yield_now();
            let _renewal = K::of(self).renewal.lock();
            let tell = |queue: &Arc<Queue>| queue.push(self.event::<K>(notice.clone(), None));
            return self.config.queue.iter().for_each(tell);
        }
        self.feed(&mut renewal, Input::KeepAliveFailed { error });
    }
}

impl Sleeper for Session {
    fn wake(self: Arc<Self>) {
        self.wake_of::<Vim25>();
        if self.rest.get().is_some() {
            self.wake_of::<Rest>();
        }
    }
}

impl Session {
    /// The reactor has woken the session: a probe is due, or an entry was replaced by an earlier one.
    fn wake_of<K: Kind>(self: &Arc<Self>) {
        let server_session = K::of(self);
        let mut schedule = server_session.keepalive.0.lock();
        let now = Instant::now();
        match schedule.entry {
            Some(entry) if now >= entry && planted!("entry-not-cleared") => {}
            Some(entry) if now >= entry => schedule.entry = None,
            // An earlier entry has replaced this one.
            _ => return,
        }
        // Under the lock: a login that completes meanwhile relies on this entry, or makes one.
        if !self.keepalive.is_on() || !self.needs_keepalive::<K>() || schedule.probing {
            return;
        }
        if now < schedule.last_traffic + schedule.pause {
            // Traffic has postponed it.
            self.arrange::<K>(&mut schedule);
            return;
        }
        // After a failed probe the budget pays for the next. Where there is no session, the login pays for itself.
        let paid = schedule.failures > 0 && self.state::<K>().is_usable();
        if paid && !server_session.kind.budget().take(Spending::Trial) {
            // Others ask already whether the server is back.
            schedule.last_traffic = now;
            self.arrange::<K>(&mut schedule);
            return;
        }
        schedule.probing = true;
        drop(schedule);
        let session = self.clone();
        Task::spawn_or_end(&workers::pools().probes, |waiter| async move {
            let watch = Watch::of_task(session.probe_bounds(), waiter);
            session.probe_and_reschedule::<K>(paid, &watch).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, publish_login};
    use super::*;
    use crate::config::{Config, ProgramFunction};
    use std::sync::atomic::AtomicU32;

    /// After a machine has slept for an hour, or a program was stopped, missed probes are not made up for.
    #[test]
    fn an_entry_long_overdue_makes_one_probe() {
        let probes = Arc::new(AtomicU32::new(0));
        let counted = probes.clone();
        let mut config = Config::new("http://user:pass@127.0.0.1:1/sdk").unwrap();
        config.probe = Probe::Custom(ProgramFunction(Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Status::VSESSION_OK
        })));
        let session = open(config);
        publish_login(&session);
        let second = Duration::from_secs(1);
        // No longer than the machine is up.
        let long_ago =
            [3600, 600, 60, 10].into_iter().find_map(|s| Instant::now().checked_sub(s * second)).unwrap();
        session.keepalive.set_interval(second);
        let mut schedule = session.vim.keepalive.0.lock();
        (schedule.last_traffic, schedule.pause) = (long_ago, second);
        session.arrange::<Vim25>(&mut schedule);
        assert!(schedule.entry.is_some_and(|entry| entry < Instant::now()));
        drop(schedule);
        let start = Instant::now();
        let due_again = loop {
            assert!(start.elapsed() < Duration::from_secs(60), "no probe");
            // Not in a match, which would keep the lock for its arms.
            let entry = session.vim.keepalive.0.lock().entry;
            match entry {
                Some(entry) if entry > start => break entry,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        assert_eq!(probes.load(Ordering::SeqCst), 1);
        assert!(due_again >= start + second.mul_f64(0.9), "the next one comes after a whole pause");
        while Instant::now() < due_again - Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(10));
            let missed_nothing = probes.load(Ordering::SeqCst) == 1;
            assert!(missed_nothing || Instant::now() >= due_again, "one probe for the whole hour");
        }
    }

    /// The reactor wakes a session by an old entry while a login completes that relies on that entry.
    #[test]
    fn a_login_beside_a_wake_up_does_not_lose_keep_alive() {
        let session = open(Config::new("http://user:pass@127.0.0.1:1/sdk").unwrap());
        let mut schedule = session.vim.keepalive.0.lock();
        schedule.entry = Some(Instant::now());
        let waking = {
            let session = session.clone();
            std::thread::spawn(move || session.wake())
        };
        // It gets as far as the lock.
        std::thread::sleep(Duration::from_millis(100));
        publish_login(&session);
        drop(schedule);
        waking.join().unwrap();
        let schedule = session.vim.keepalive.0.lock();
        assert!(schedule.entry.is_some() || schedule.probing, "nobody will ask it for a sign of life");
    }

    #[test]
    fn a_panic_in_a_probe_does_not_end_keep_alive() {
        let probes = Arc::new(AtomicU32::new(0));
        let counted = probes.clone();
        let mut config = Config::new("http://user:pass@127.0.0.1:1/sdk").unwrap();
        config.keepalive_interval = Duration::from_millis(50);
        config.backoff = Duration::from_millis(10);
        config.probe = Probe::Custom(ProgramFunction(Arc::new(move |_| {
            assert!(counted.fetch_add(1, Ordering::SeqCst) > 2, "planted");
            Status::VSESSION_OK
        })));
        let session = open(config);
        publish_login(&session);
        session.keepalive_after_login::<Vim25>(false);
        let start = Instant::now();
        while probes.load(Ordering::SeqCst) < 5 {
            assert!(start.elapsed() < Duration::from_secs(60), "{} probes", probes.load(Ordering::SeqCst));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn pauses_are_the_interval_or_less_by_chance() {
        let interval = Duration::from_secs(600);
        let keepalive = KeepAlive::new(interval);
        for (spread, least) in [(0.5, 300), (0.1, 540)] {
            let mut pauses: Vec<_> = (0..200)
                .map(|_| {
                    let mut schedule = keepalive.0.lock();
                    schedule.restart(interval, spread);
                    schedule.pause.as_secs()
                })
                .collect();
            pauses.sort_unstable();
            assert!(pauses[0] >= least && pauses[199] <= 600, "{pauses:?}");
            // Half of them in each half.
            assert!(pauses[50] < (least + 600) / 2 && pauses[150] > (least + 600) / 2, "{pauses:?}");
        }
    }

    #[test]
    fn after_a_failed_probe_the_next_one_is_paid_for_by_the_budget() {
        let gate = Arc::new(std::sync::Mutex::new(()));
        // A probe that was sent lasts until the end of the test.
        let closed = gate.lock().unwrap();
        let of_probe = gate.clone();
        let mut config = Config::new("http://user:pass@paid.example/sdk").unwrap();
        config.probe = Probe::Custom(ProgramFunction(Arc::new(move |_| {
            drop(of_probe.lock());
            Status::VSESSION_OK
        })));
        let session = open(config);
        publish_login(&session);
        let budget = session.vim.kind.budget();
        while budget.take(Spending::Trial) {}
        for (failures, sent) in [(1, false), (0, true)] {
            let mut schedule = session.vim.keepalive.0.lock();
            schedule.pause = Duration::from_secs(60);
            schedule.last_traffic = Instant::now() - schedule.pause;
            (schedule.failures, schedule.entry) = (failures, Some(Instant::now()));
            drop(schedule);
            session.clone().wake();
            let schedule = session.vim.keepalive.0.lock();
            assert_eq!(schedule.probing, sent, "{failures} failures");
            assert!(sent || schedule.entry.is_some_and(|entry| entry > Instant::now()), "it is put off");
        }
        drop(closed);
    }
}
