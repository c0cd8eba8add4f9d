//! One thread that wakes things when their time has come. Ten thousand sleepers are ten thousand entries in a heap, and
//! no more threads. The thread is started by the first entry and ends when there has been none for a while.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use once_cell::race::OnceBox;

use super::process::PerProcess;
use super::workers::NoThread;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, AtomicBool, Instant, Mutex, Ordering, Weak};
use crate::sys;

/// Something that wants to be woken. It is held weakly: what is gone by its time is not woken.
pub(crate) trait Sleeper: Send + Sync {
    /// Its time has come. Runs on the timer's thread, so it must neither wait nor work long.
    fn wake(self: Arc<Self>);
}

struct Entry {
    at: Instant,
    /// Breaks ties in the order of arrival.
    number: u64,
    sleeper: Weak<dyn Sleeper>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Timer {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BinaryHeap<Reverse<Entry>>,
    /// With so many entries it is time to look for sleepers that are gone.
    crowded: usize,
    numbers: u64,
    /// The thread that wakes the sleepers, where there is one.
    thread: Option<JoinHandle<()>>,
    /// It has nothing to do any more, and ends.
    ended: Option<JoinHandle<()>>,
    /// What sleeps is not worth waiting for: the program shuts the library down.
    stopping: bool,
}

static TIMER: PerProcess<Timer> = PerProcess::new();

/// In a forked child: forgets the parent's sleepers.
pub(crate) fn renew_after_fork() {
    TIMER.renew();
    UNSTAFFED.store(false, Ordering::Relaxed);
}

/// Ends the thread, and waits for that until `end`. False: it is still at work.
pub(crate) fn stop(end: Instant) -> bool {
    let timer = TIMER.get();
    {
        let mut state = timer.state.lock();
        state.stopping = true;
        state.call();
    }
    while timer.state.lock().thread.is_some() && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
    let ended = {
        let mut state = timer.state.lock();
        state.stopping = false;
        if state.thread.is_some() {
            return false;
        }
        state.ended.take()
    };
    // Until it is gone the library must not be unloaded.
    ended.into_iter().for_each(|handle| drop(handle.join()));
    true
}

impl State {
    /// Forgets sleepers that are gone when there may be as many of them as of the others: an entry keeps the memory of its
    /// sleeper until its moment comes.
    fn make_room(&mut self) {
        if self.entries.len() >= self.crowded {
            self.entries.retain(|Reverse(entry)| entry.sleeper.strong_count() > 0);
            self.crowded = LEAST_CROWD.max(2 * self.entries.len());
        }
    }

    /// Has the thread look at the entries again.
    fn call(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

/// So many entries are never too many.
const LEAST_CROWD: usize = 64;

/// How long the thread stays with nothing to do.
const IDLE: Duration = Duration::from_secs(5);

/// Wakes `sleeper` at `at`, by the monotonic clock. An entry cannot be taken back: who wakes looks whether there still is
/// something to do. Where no thread can be had that is said, and the sleeper is woken once there is one: the next entry and
/// the next use of the library try again.
pub(crate) fn wake_at(at: Instant, sleeper: Weak<dyn Sleeper>) -> std::result::Result<(), NoThread> {
    let timer = TIMER.get();
    let mut state = timer.state.lock();
    state.numbers += 1;
    let number = state.numbers;
    state.make_room();
    let first = state.entries.peek().is_none_or(|Reverse(first)| at < first.at);
    state.entries.push(Reverse(Entry { at, number, sleeper }));
    if state.thread.is_some() {
        if first {
            state.call();
        }
        return Ok(());
    }
    timer.start(&mut state)
}

/// There are sleepers, and no thread could be had to wake them.
static UNSTAFFED: AtomicBool = AtomicBool::new(false);

/// Tries again to start the thread, where it could not be had. Called whenever the library is used.
#[inline]
pub(crate) fn retry() {
    if UNSTAFFED.load(Ordering::Relaxed) {
        start_again();
    }
}

#[cold]
fn start_again() {
    let timer = TIMER.get();
    let mut state = timer.state.lock();
    if state.thread.is_none() && !state.entries.is_empty() {
        let _ = timer.start(&mut state);
    }
}

/// `at`, put off by at most a 32nd of `pause` and by 17 seconds: sleepers whose times are near each other are woken
/// together, which costs less than to wake threads for each. The moments are multiples of a power of two, so sleepers
/// with different pauses meet too.
pub(crate) fn about(at: Instant, pause: Duration) -> Instant {
    static ORIGIN: OnceBox<Instant> = OnceBox::new();
    let origin = *ORIGIN.get_or_init(|| Box::new(Instant::now()));
    let bits = (pause.as_nanos() / 32).max(1).ilog2().min(34);
    let past = at.saturating_duration_since(origin).as_nanos() as u64 & ((1 << bits) - 1);
    at + Duration::from_nanos(if past == 0 { 0 } else { (1 << bits) - past })
}

impl Timer {
    fn start(self: &Arc<Self>, state: &mut State) -> std::result::Result<(), NoThread> {
        let mine = self.clone();
        let builder = thread::Builder::new().name("vsession-timer".into()).stack_size(128 * 1024);
        let started = sys::without_signals(|| builder.spawn(move || mine.run()));
        UNSTAFFED.store(started.is_err(), Ordering::Relaxed);
        state.thread = Some(started?);
        Ok(())
    }

    fn run(&self) {
        let mut idle_since = None;
        let mut state = self.state.lock();
        while !state.stopping {
            let now = Instant::now();
            match state.entries.peek().map(|Reverse(first)| first.at) {
                Some(at) if at <= now => {
                    let due = state.entries.pop().and_then(|Reverse(entry)| entry.sleeper.upgrade());
                    if let Some(sleeper) = due {
                        drop(state);
                        // One that panics must not take the others' clock with it.
                        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sleeper.wake()));
                        state = self.state.lock();
                    }
                }
                Some(at) => {
                    drop(state);
                    thread::park_timeout(at.saturating_duration_since(now));
                    state = self.state.lock();
                }
                None if idle_since.is_some_and(|since| now >= since + IDLE) => break,
                None => {
                    idle_since = idle_since.or(Some(now));
                    drop(state);
                    thread::park_timeout(IDLE);
                    state = self.state.lock();
                    continue;
                }
            }
            idle_since = None;
        }
        state.ended = state.thread.take();
        if state.stopping {
            // What lives on relies on its entry, when the library is used again.
            state.entries.retain(|Reverse(entry)| entry.sleeper.strong_count() > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Bell(u32, Mutex<Sender<(u32, Instant)>>);

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
            assert_eq!(number, expected, "one that is gone is not woken");
            let ms = held.iter().find(|(bell, _)| bell.0 == number).unwrap().1;
            assert!(at >= start + Duration::from_millis(ms));
        }
    }

    #[test]
    fn near_moments_become_one_and_none_comes_early_or_much_later() {
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
    fn those_that_are_gone_are_forgotten_before_their_time() {
        let mut state = State::default();
        let (sender, _wakes) = channel();
        let lives: Vec<_> = (0..100).map(|n| Arc::new(Bell(n, Mutex::new(sender.clone())))).collect();
        for n in 0..10_000 {
            let gone: Arc<dyn Sleeper> = Arc::new(Bell(n, Mutex::new(sender.clone())));
            let sleeper: Arc<dyn Sleeper> = if n % 100 == 0 { lives[n as usize / 100].clone() } else { gone };
            state.make_room();
            let at = Instant::now() + Duration::from_secs(600);
            state.entries.push(Reverse(Entry { at, number: n.into(), sleeper: Arc::downgrade(&sleeper) }));
            assert!(
                state.entries.len() <= 2 * (n as usize / 100 + 1) + 64 + 1,
                "{} at {n}",
                state.entries.len()
            );
        }
    }
}
