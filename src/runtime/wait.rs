//! Every wait of the library ends here, and each can be ended from outside: by a deadline, by a cancellation token, by
//! the close of what it belongs to. A blocked thread waits in `poll` for its socket and for one descriptor of its own,
//! the waker; whoever ends the wait raises that descriptor. So a session, a token or a login under way costs no
//! descriptor, however many there are.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::sync::Weak;
use std::time::{Duration, Instant};

use super::fork;
use super::timer::{self, Sleeper};
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use crate::sys::{self, EventFd, Interest};

/// Something that happens once and that threads may wait for: a token fires, a session closes, a login ends.
#[derive(Default)]
pub(crate) struct Signal {
    fired: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Who is to be told.
#[derive(Default)]
struct Waiting {
    threads: Vec<Arc<EventFd>>,
    /// What has no thread that waits for it. Woken by the thread that fires.
    observers: Vec<Weak<dyn Sleeper>>,
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Signal").field("fired", &self.has_fired()).finish_non_exhaustive()
    }
}

impl Signal {
    pub(crate) fn new() -> Signal {
        Signal::default()
    }

    /// Makes it happen and wakes every thread that waits for it. May be called any number of times, from any thread.
    pub(crate) fn fire(&self) {
        self.fired.store(true, Ordering::SeqCst);
        // A waiter enters the list before it looks at the flag, so it is either in the list now or will see the flag.
        let observers = {
            let waiting = self.waiting.lock();
            waiting.threads.iter().for_each(|waker| waker.raise());
            waiting.observers.clone()
        };
        observers.iter().filter_map(Weak::upgrade).for_each(|observer| observer.wake());
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Makes it unhappened, for a token that is to be used again.
    pub(crate) fn reset(&self) {
        self.fired.store(false, Ordering::SeqCst);
    }

    fn enlist(&self, waker: &Arc<EventFd>) {
        self.waiting.lock().threads.push(waker.clone());
    }

    fn dismiss(&self, waker: &Arc<EventFd>) {
        let threads = &mut self.waiting.lock().threads;
        if let Some(position) = threads.iter().position(|w| Arc::ptr_eq(w, waker)) {
            threads.swap_remove(position);
        }
    }
}

/// What may end the waits of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) deadline: Option<Instant>,
    pub(crate) close: Option<Arc<Signal>>,
    pub(crate) cancel: Option<Arc<Signal>>,
}

impl Bounds {
    pub(crate) fn with_timeout(timeout: Duration) -> Bounds {
        Bounds { deadline: Instant::now().checked_add(timeout), ..Bounds::default() }
    }

    fn signals(&self) -> impl Iterator<Item = &Arc<Signal>> {
        [&self.close, &self.cancel].into_iter().flatten()
    }

    /// Whether what they bound should stop now.
    pub(crate) fn check(&self) -> std::result::Result<(), Stop> {
        self.check_signals()?;
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Stop::TimedOut),
            _ => Ok(()),
        }
    }

    fn check_signals(&self) -> std::result::Result<(), Stop> {
        if self.close.as_ref().is_some_and(|s| s.has_fired()) {
            return Err(Stop::Closed);
        }
        if self.cancel.as_ref().is_some_and(|s| s.has_fired()) {
            return Err(Stop::Cancelled);
        }
        Ok(())
    }

    /// Has `observer` woken when any of the bounds is reached, by the thread that reaches it. It may be woken without a
    /// reason, and must look.
    pub(crate) fn observe(&self, observer: &Weak<dyn Sleeper>) {
        for signal in self.signals() {
            signal.waiting.lock().observers.push(observer.clone());
        }
        if let Some(deadline) = self.deadline {
            timer::wake_at(deadline, observer.clone());
        }
    }

    /// Takes back what `observe` did, but for the timer's entry.
    pub(crate) fn unobserve(&self, observer: &Weak<dyn Sleeper>) {
        for signal in self.signals() {
            let observers = &mut signal.waiting.lock().observers;
            if let Some(position) = observers.iter().position(|o| Weak::ptr_eq(o, observer)) {
                observers.swap_remove(position);
            }
        }
    }
}

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Closed,
    Cancelled,
    TimedOut,
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Error {
        match stop {
            Stop::Closed => Error::new(
                Status::VSESSION_E_CLOSED,
                "closed by another thread while this call was under way",
            ),
            Stop::Cancelled => Error::new(Status::VSESSION_E_CANCELLED, "the cancellation token fired"),
            Stop::TimedOut => Error::new(
                Status::VSESSION_E_TIMEOUT,
                "the deadline passed; give the call a larger timeout_ms, or see whether the server answers at all",
            ),
        }
    }
}

/// What a wait for descriptors found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The descriptor with this index.
    Descriptor(usize),
    /// None of them until the moment asked for.
    NotYet,
}

thread_local! {
    /// The thread's waker, and how many forks ago it was made: a child must not share its parent's.
    static WAKER: RefCell<Option<(u64, Arc<EventFd>)>> = const { RefCell::new(None) };
}

fn thread_waker() -> Result<Arc<EventFd>> {
    // In a thread that is ending, or in an exit handler, the thread's values are gone already: one for this wait will do.
    let kept = WAKER.try_with(|cell| cell.borrow().clone()).ok().flatten();
    if let Some((forks, waker)) = kept
        && forks == fork::forks()
    {
        return Ok(waker);
    }
    let waker = Arc::new(EventFd::new().map_err(|e| {
        Error::new(Status::VSESSION_E_RESOURCE, format!("no eventfd for this thread: {e}"))
            .with(|d| d.os_error = e.raw_os_error().unwrap_or(0))
    })?);
    let _ = WAKER.try_with(|cell| *cell.borrow_mut() = Some((fork::forks(), waker.clone())));
    Ok(waker)
}

/// The waits of one call on one thread. Made when the call begins, dropped when it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    bounds: Bounds,
    waker: Arc<EventFd>,
    /// The thread's waker stands in the lists of `bounds`. Done at the first real wait: many calls have none.
    enlisted: Cell<bool>,
    /// From here on only the deadline counts: the outcome of what was sent must be learnt.
    committed: Cell<bool>,
}

impl Watch {
    pub(crate) fn new(bounds: Bounds) -> Result<Watch> {
        Ok(Watch { bounds, waker: thread_waker()?, enlisted: Cell::new(false), committed: Cell::new(false) })
    }

    /// Lets only the deadline end the waits from now on, or everything again.
    pub(crate) fn commit(&self, committed: bool) {
        self.committed.set(committed);
    }

    /// Whether the call should stop now.
    pub(crate) fn check(&self) -> std::result::Result<(), Stop> {
        match self.bounds.deadline {
            _ if !self.committed.get() => self.bounds.check(),
            Some(deadline) if Instant::now() >= deadline => Err(Stop::TimedOut),
            _ => Ok(()),
        }
    }

    fn check_signals(&self) -> std::result::Result<(), Stop> {
        if self.committed.get() { Ok(()) } else { self.bounds.check_signals() }
    }

    /// Waits until one of `descriptors` (at most three) is ready, or until the moment `until`.
    pub(crate) fn descriptors(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
    ) -> std::result::Result<Ready, Stop> {
        self.wait(descriptors, until, || false)
    }

    /// Waits until `signal` has fired.
    pub(crate) fn signal(&self, signal: &Signal) -> std::result::Result<(), Stop> {
        self.descriptors_or(&[], signal).map(|_| ())
    }

    /// Waits until `signal` has fired, or until the moment `until`; says whether it has.
    pub(crate) fn signal_until(
        &self,
        signal: &Signal,
        until: Option<Instant>,
    ) -> std::result::Result<bool, Stop> {
        signal.enlist(&self.waker);
        let result = self.wait(&[], until, || signal.has_fired());
        signal.dismiss(&self.waker);
        result.map(|_| signal.has_fired())
    }

    /// Waits until one of `descriptors` (at most three) is ready or `signal` has fired (`NotYet`).
    pub(crate) fn descriptors_or(
        &self,
        descriptors: &[(RawFd, Interest)],
        signal: &Signal,
    ) -> std::result::Result<Ready, Stop> {
        signal.enlist(&self.waker);
        let result = self.wait(descriptors, None, || signal.has_fired());
        signal.dismiss(&self.waker);
        result
    }

    fn wait(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
        happened: impl Fn() -> bool,
    ) -> std::result::Result<Ready, Stop> {
        self.enlist();
        let mut wanted = [(self.waker.fd(), Interest::Read); sys::MAX_POLLED];
        wanted[1..=descriptors.len()].copy_from_slice(descriptors);
        let wanted = &wanted[..=descriptors.len()];
        loop {
            if happened() {
                return Ok(Ready::NotYet);
            }
            self.check_signals()?;
            let end = match (self.bounds.deadline, until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let ready = match sys::poll(wanted, left) {
                Ok(ready) => ready,
                // Only a lack of kernel memory is left as a reason; waiting on would spin.
                Err(_) => return Err(Stop::TimedOut),
            };
            // What this call waits for comes before what would end it: a reply that is there is taken.
            if let Some(index) = ready[1..wanted.len()].iter().position(|r| *r) {
                return Ok(Ready::Descriptor(index));
            }
            if ready[0] {
                // Whoever raised it set its flag first, so the flags, read after this, tell all. A raise that was
                // meant for an outer call of this thread is not lost either: that call reads its flags before it waits.
                self.waker.drain();
                continue;
            }
            if let Some(end) = end {
                let now = Instant::now();
                if self.bounds.deadline.is_some_and(|deadline| now >= deadline) {
                    return Err(Stop::TimedOut);
                }
                if now >= end {
                    return Ok(Ready::NotYet);
                }
            }
        }
    }

    fn enlist(&self) {
        if !self.enlisted.replace(true) {
            for signal in self.bounds.signals() {
                signal.enlist(&self.waker);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.enlisted.get() {
            for signal in self.bounds.signals() {
                signal.dismiss(&self.waker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn bounds(cancel: &Arc<Signal>) -> Bounds {
        Bounds { cancel: Some(cancel.clone()), ..Bounds::default() }
    }

    #[test]
    fn a_fired_token_ends_a_wait() {
        let token = Arc::new(Signal::new());
        let never = Signal::new();
        let firing = token.clone();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            firing.fire();
        });
        let watch = Watch::new(bounds(&token)).unwrap();
        assert_eq!(watch.signal(&never), Err(Stop::Cancelled));
        thread.join().unwrap();
        drop(watch);
        assert!(token.waiting.lock().threads.is_empty(), "a wait that ended leaves nothing behind");
    }

    #[test]
    fn a_token_that_fired_before_ends_the_wait_at_once() {
        let token = Arc::new(Signal::new());
        token.fire();
        let watch = Watch::new(bounds(&token)).unwrap();
        assert_eq!(watch.signal(&Signal::new()), Err(Stop::Cancelled));
    }

    #[test]
    fn a_deadline_ends_a_wait() {
        let start = Instant::now();
        let watch = Watch::new(Bounds::with_timeout(Duration::from_millis(30))).unwrap();
        assert_eq!(watch.signal(&Signal::new()), Err(Stop::TimedOut));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn a_committed_watch_heeds_only_the_deadline() {
        let token = Arc::new(Signal::new());
        token.fire();
        let watch =
            Watch::new(Bounds { cancel: Some(token), ..Bounds::with_timeout(Duration::from_millis(10)) })
                .unwrap();
        watch.commit(true);
        assert_eq!(watch.signal(&Signal::new()), Err(Stop::TimedOut));
    }

    #[test]
    fn a_wait_inside_a_wait_does_not_swallow_the_outer_wake_up() {
        let outer_token = Arc::new(Signal::new());
        let outer = Watch::new(bounds(&outer_token)).unwrap();
        outer.enlist();
        outer_token.fire();
        let inner = Watch::new(Bounds::with_timeout(Duration::from_millis(10))).unwrap();
        assert_eq!(inner.signal(&Signal::new()), Err(Stop::TimedOut));
        assert_eq!(outer.signal(&Signal::new()), Err(Stop::Cancelled));
    }

    #[test]
    fn every_waiter_is_woken_by_one_fire() {
        let done = Arc::new(Signal::new());
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let done = done.clone();
                thread::spawn(move || Watch::new(Bounds::default()).unwrap().signal(&done))
            })
            .collect();
        thread::sleep(Duration::from_millis(10));
        done.fire();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
    }
}
