//! The reactor: one thread that wakes sleepers, at a time or when a descriptor is ready. Ten thousand sleepers cost ten thousand
//! entries and no more threads. The first entry starts the thread, which ends after some seconds without one.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use once_cell::race::OnceBox;

use super::process::PerProcess;
use super::workers::NoThread;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, AtomicBool, Epoll, EventFd, Instant, Mutex, Ordering, Weak, poll, rank};
use crate::sys::{self, Interest};

/// Something that the reactor or a `Signal` wakes. Both hold it weakly and skip what is gone.
pub(crate) trait Sleeper: Send + Sync {
    /// Runs on the reactor's thread, or on the thread that fires the signal, so it must neither wait nor work long.
    fn wake(self: Arc<Self>);

    /// A shutdown ends what still waits. On the thread that shuts down.
    fn end(self: Arc<Self>) {}
}

#[derive(Default)]
struct Reactor {
    state: Mutex<State, rank::Reactor>,
}

#[derive(Default)]
struct State {
    /// Who is woken when. The number orders entries with equal times by arrival.
    entries: BTreeMap<(Instant, u64), Weak<dyn Sleeper>>,
    /// The number of entries at which those of dropped sleepers are removed.
    purge_at: usize,
    last_number: u64,
    /// Who waits for a descriptor, by the key under which `Epoll` reports it.
    descriptors: HashMap<u64, Weak<dyn Sleeper>>,
    /// What the thread waits in. It is there while the thread runs.
    waits: Option<Arc<Waits>>,
    /// The reactor's thread, if it runs.
    thread: Option<JoinHandle<()>>,
    /// A thread that is about to end.
    ended: Option<JoinHandle<()>>,
    /// The thread ends although sleepers wait: the program shuts the library down.
    stopping: bool,
}

/// What the thread waits in.
struct Waits {
    /// Raised when the thread has to look at the entries again.
    changed: EventFd,
    descriptors: Epoll,
}

static REACTOR: PerProcess<Reactor> = PerProcess::new();

/// Forgets the parent's sleepers, in a forked child.
pub(crate) fn renew_after_fork() {
    REACTOR.renew();
    START_FAILED.store(false, Ordering::Relaxed);
}

/// Ends the thread and waits for it until `end`. Returns false if it still runs.
pub(crate) fn stop(end: Instant) -> bool {
    let reactor = REACTOR.get();
    {
        let mut state = reactor.state.lock();
        state.stopping = true;
        state.notify();
    }
    while reactor.state.lock().thread.is_some() && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
    let ended = {
        let mut state = reactor.state.lock();
        state.stopping = false;
        if state.thread.is_some() {
            return false;
        }
        state.ended.take()
    };
    // The library must not be unloaded before the thread is gone.
    ended.into_iter().for_each(|handle| drop(handle.join()));
    true
}

/// Tells all sleepers that a shutdown ends what still waits.
pub(super) fn end_sleepers() {
    let sleepers: Vec<_> = {
        let reactor = REACTOR.get();
        let state = reactor.state.lock();
        state.entries.values().chain(state.descriptors.values()).filter_map(Weak::upgrade).collect()
    };
    sleepers.into_iter().for_each(Sleeper::end);
}

impl State {
    /// Removes the entries of dropped sleepers once they may be as many as the others: an entry keeps the memory of its
    /// sleeper.
    fn purge(&mut self) {
        if self.entries.len() >= self.purge_at {
            self.entries.retain(|_, sleeper| sleeper.strong_count() > 0);
            self.purge_at = MIN_PURGE.max(2 * self.entries.len());
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Wakes the thread to look at the entries again.
    fn notify(&self) {
        if let Some(waits) = &self.waits {
            waits.changed.raise();
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.descriptors.is_empty()
    }
}

/// Fewer entries are never purged.
const MIN_PURGE: usize = 64;
/// How long the thread waits for an entry before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// Wakes `sleeper` at `at`, by the monotonic clock. An entry cannot be removed: the sleeper must check whether there is still
/// something to do. If no thread can be started the error is returned and the entry stays: the next entry and the next
/// use of the library try again.
pub(crate) fn wake_at(at: Instant, sleeper: Weak<dyn Sleeper>) -> std::result::Result<(), NoThread> {
    let reactor = REACTOR.get();
    let mut state = reactor.state.lock();
    let number = state.next_number();
    state.purge();
    let first = state.entries.first_key_value().is_none_or(|((first, _), _)| at < *first);
    state.entries.insert((at, number), sleeper);
    if state.thread.is_some() {
        if first {
            state.notify();
        }
        return Ok(());
    }
    reactor.start(&mut state)
}

/// A sleeper that waits for a descriptor. It is no longer woken once this is dropped, which must be before the descriptor is closed.
pub(crate) struct Registration {
    reactor: Arc<Reactor>,
    waits: Arc<Waits>,
    fd: RawFd,
    key: u64,
}

/// Wakes `sleeper` once the descriptor is ready.
pub(crate) fn wake_when_ready(
    (fd, interest): (RawFd, Interest),
    sleeper: Weak<dyn Sleeper>,
) -> std::result::Result<Registration, NoThread> {
    let reactor = REACTOR.get();
    let mut state = reactor.state.lock();
    let key = state.next_number();
    state.descriptors.insert(key, sleeper);
    let added = reactor.waits(&mut state).and_then(|waits| {
        waits.descriptors.add(fd, interest, key)?;
        Ok(waits)
    });
    match added {
        Ok(waits) => {
            drop(state);
            Ok(Registration { reactor, waits, fd, key })
        }
        // unreached: needs a process without free descriptors or memory
        Err(error) => {
            state.descriptors.remove(&key);
            Err(error.into())
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.waits.descriptors.remove(self.fd);
        self.reactor.state.lock().descriptors.remove(&self.key);
    }
}

/// There are entries, and the thread could not be started.
static START_FAILED: AtomicBool = AtomicBool::new(false);

/// Tries again to start the thread if that failed before. Called whenever the library is used.
#[inline]
pub(crate) fn retry() {
    if START_FAILED.load(Ordering::Relaxed) {
        start_again();
    }
}

#[cold]
fn start_again() {
    let reactor = REACTOR.get();
    let mut state = reactor.state.lock();
    if state.thread.is_none() && !state.entries.is_empty() {
        let _ = reactor.start(&mut state);
    }
}

/// `at`, rounded up by at most 1/32 of `pause` and at most 17 seconds, so that sleepers with near times are woken together:
/// waking threads once for all is cheaper. Times are multiples of a power of two, so that those of sleepers with
/// different pauses coincide too.
pub(crate) fn about(at: Instant, pause: Duration) -> Instant {
    static ORIGIN: OnceBox<Instant> = OnceBox::new();
    let origin = *ORIGIN.get_or_init(|| Box::new(Instant::now()));
    let bits = (pause.as_nanos() / 32).max(1).ilog2().min(34);
    let past = at.saturating_duration_since(origin).as_nanos() as u64 & ((1 << bits) - 1);
    at + Duration::from_nanos(if past == 0 { 0 } else { (1 << bits) - past })
}

impl Reactor {
    fn start(self: &Arc<Self>, state: &mut State) -> std::result::Result<(), NoThread> {
        let started = self.try_start(state);
        START_FAILED.store(started.is_err(), Ordering::Relaxed);
        Ok(started?)
    }

    fn try_start(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let waits = Arc::new(Waits { changed: EventFd::new()?, descriptors: Epoll::new()? });
        let (mine, thread_waits) = (self.clone(), waits.clone());
        let builder = thread::Builder::new().name("vsession-reactor".into()).stack_size(128 * 1024);
        state.thread = Some(sys::without_signals(|| builder.spawn(move || mine.run(&thread_waits)))?);
        state.waits = Some(waits);
        Ok(())
    }

    /// What the thread waits in, once it runs.
    fn waits(self: &Arc<Self>, state: &mut State) -> io::Result<Arc<Waits>> {
        if state.waits.is_none() {
            self.try_start(state)?;
        }
        // unreached: a thread that was started waits in something
        state.waits.clone().ok_or_else(|| io::ErrorKind::Other.into())
    }

    fn run(&self, waits: &Waits) {
        let mut idle_since = None;
        let mut state = self.state.lock();
        while !state.stopping {
            let now = Instant::now();
            let limit = match state.entries.first_key_value().map(|((at, _), _)| *at) {
                Some(at)
                    if at <= now || (planted!("woken-early") && at <= now + Duration::from_millis(10)) =>
                {
                    let due = state.entries.pop_first().and_then(|(_, sleeper)| sleeper.upgrade());
                    drop(state);
                    wake(due);
                    state = self.state.lock();
                    idle_since = None;
                    continue;
                }
                Some(at) => Some(at.saturating_duration_since(now)),
                None if !state.descriptors.is_empty() => None,
                // sometimes: after five seconds without an entry
                None if idle_since.is_some_and(|since| now >= since + IDLE) => {
                    if planted!("timer-ends-without-a-look") {
                        drop(state);
                        state = self.state.lock();
                    }
                    break;
                }
                None => Some(IDLE),
            };
            idle_since = if state.is_empty() { idle_since.or(Some(now)) } else { None };
            drop(state);
            let ready = waits.wait(limit);
            state = self.state.lock();
            let ready: Vec<_> =
                ready.iter().filter_map(|key| state.descriptors.remove(key)?.upgrade()).collect();
            if !ready.is_empty() {
                drop(state);
                ready.into_iter().for_each(|sleeper| wake(Some(sleeper)));
                state = self.state.lock();
            }
        }
        state.waits = None;
        state.ended = state.thread.take();
        if state.stopping {
            // Sleepers that outlive the shutdown rely on their entries when the library is used again.
            state.entries.retain(|_, sleeper| sleeper.strong_count() > 0);
            // Nobody watches their descriptors any more. They look, and register again.
            // sometimes: the shutdown comes while tasks wait for descriptors
            let left: Vec<_> =
                state.descriptors.drain().filter_map(|(_, sleeper)| sleeper.upgrade()).collect();
            drop(state);
            // sometimes: the same
            left.into_iter().for_each(|sleeper| wake(Some(sleeper)));
        }
    }
}

/// A panic must not end the reactor for the others.
fn wake(sleeper: Option<Arc<dyn Sleeper>>) {
    if let Some(sleeper) = sleeper {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sleeper.wake()));
    }
}

impl Waits {
    /// Waits for a change, or for a descriptor, no longer than `limit`. The keys of descriptors that are ready.
    fn wait(&self, limit: Option<Duration>) -> Vec<u64> {
        let mut keys = Vec::new();
        let wanted = [(self.changed.fd(), Interest::Read), (self.descriptors.fd(), Interest::Read)];
        match poll(&wanted, limit) {
            Ok(ready) => {
                if ready[0] {
                    self.changed.drain();
                }
                if ready[1] {
                    self.descriptors.ready(&mut keys);
                }
            }
            // The kernel lacks memory for a moment. Nobody else can wake the sleepers.
            // unreached: needs a process without free descriptors or memory
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Bell(u32, Mutex<Sender<(u32, Instant)>, rank::Test>);

    impl Sleeper for Bell {
        fn wake(self: Arc<Self>) {
            self.1.lock().send((self.0, Instant::now())).unwrap();
        }
    }

    #[test]
    fn sleepers_wake_in_order_and_not_early() {
        let (rang, bells) = channel();
        let start = Instant::now();
        let make = |number| Arc::new(Bell(number, Mutex::new(rang.clone())));
        let held: Vec<_> = [(3, 600), (1, 200), (2, 400)]
            .map(|(number, ms)| {
                let bell = make(number);
                let weak: Weak<Bell> = Arc::downgrade(&bell);
                wake_at(start + Duration::from_millis(ms), weak).unwrap();
                (bell, ms)
            })
            .into();
        let gone = Arc::downgrade(&make(9));
        wake_at(start + Duration::from_millis(300), gone).unwrap();
        for expected in 1..=3 {
            let (number, at) = bells.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(number, expected, "a dropped sleeper is not woken");
            let ms = held.iter().find(|(bell, _)| bell.0 == number).unwrap().1;
            assert!(at >= start + Duration::from_millis(ms));
        }
    }

    #[test]
    fn near_times_are_rounded_to_one_and_none_comes_early_or_much_later() {
        let start = Instant::now();
        let mut woken = Vec::new();
        for n in 0..1000 {
            let (at, pause) = (start + Duration::from_millis(n), Duration::from_millis(9000 + n));
            let moment = about(at, pause);
            assert!(moment >= at && moment - at <= pause / 32);
            woken.push(moment);
        }
        woken.sort();
        woken.dedup();
        assert!(woken.len() <= 5, "{}", woken.len());
        assert!(about(start, Duration::from_secs(3600)) - start < Duration::from_secs(18));
        assert_eq!(about(start, Duration::ZERO), start);
    }

    #[test]
    fn entries_of_dropped_sleepers_are_removed_before_their_time() {
        let mut state = State::default();
        let (sender, _wakes) = channel();
        let lives: Vec<_> = (0..100).map(|n| Arc::new(Bell(n, Mutex::new(sender.clone())))).collect();
        for n in 0..10_000 {
            let gone: Arc<dyn Sleeper> = Arc::new(Bell(n, Mutex::new(sender.clone())));
            let sleeper: Arc<dyn Sleeper> = if n % 100 == 0 { lives[n as usize / 100].clone() } else { gone };
            state.purge();
            let at = Instant::now() + Duration::from_secs(600);
            state.entries.insert((at, n.into()), Arc::downgrade(&sleeper));
            assert!(
                state.entries.len() <= 2 * (n as usize / 100 + 1) + 64 + 1,
                "{} at {n}",
                state.entries.len()
            );
        }
    }
}
