//! All waits of the library's callers. Each ends by a deadline, by a cancellation token, or by the close of the object to which
//! it belongs. A blocked thread waits in `poll` for its socket and for its waker, one eventfd for each thread; the thread that
//! ends the wait raises the waker. Sessions, tokens and logins therefore cost no descriptors. Nearly every call has one wait
//! for the reply, which is a blocking read: one system call instead of two. To end it, the socket is shut down.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::fork;
use super::timer::{self, Sleeper};
use super::workers::NoThread;
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::{
    Arc, AtomicBool, EventFd, Instant, Mutex, Ordering, Weak, poll, rank, receive, shut_down, thread_local,
};
use crate::sys::{self, Interest};

/// An event that threads may wait for: a token fires, a session closes, a login ends. Once fired it stays so until `reset`.
/// It has nothing to do with the signals of POSIX.
#[derive(Default)]
pub(crate) struct Signal {
    fired: AtomicBool,
    waiting: Mutex<Waiting, rank::Signal>,
}

/// Whom `fire` wakes.
#[derive(Default)]
struct Waiting {
    threads: Vec<Arc<Waker>>,
    /// Objects for which no thread waits. The thread that fires runs their `wake`.
    observers: Vec<Weak<dyn Sleeper>>,
}

impl std::fmt::Debug for Signal {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Signal").field("fired", &self.has_fired()).finish_non_exhaustive()
    }
}

impl Signal {
    pub(crate) fn new() -> Signal {
        Signal::default()
    }

    /// Sets the flag and wakes all waiters. Any thread may call it, any number of times.
    pub(crate) fn fire(&self) {
        if planted!("flag-after-the-list") {
            self.waiting.lock().threads.iter().for_each(|waker| waker.raise());
            return self.fired.store(true, Ordering::SeqCst);
        }
        self.fired.store(true, Ordering::SeqCst);
        // A waiter enters the list before it reads the flag, so either it is in the list now or it will see the flag.
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

    /// Clears the flag, so that a token can be used again.
    pub(crate) fn reset(&self) {
        self.fired.store(false, Ordering::SeqCst);
    }

    /// How many threads wait, for the models.
    #[cfg(all(test, vsession_model))]
    pub(super) fn waits(&self) -> usize {
        self.waiting.lock().threads.len()
    }

    fn enlist(&self, waker: &Arc<Waker>) {
        self.waiting.lock().threads.push(waker.clone());
    }

    fn dismiss(&self, waker: &Arc<Waker>) {
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

    /// Fails once one of the bounds is reached.
    pub(crate) fn check(&self) -> std::result::Result<(), WaitError> {
        self.check_signals()?;
        match self.deadline {
            // sometimes: a race, which a run meets or not
            Some(deadline) if Instant::now() >= deadline => Err(WaitError::TimedOut),
            _ => Ok(()),
        }
    }

    fn check_signals(&self) -> std::result::Result<(), WaitError> {
        if self.close.as_ref().is_some_and(|s| s.has_fired()) {
            return Err(WaitError::Closed);
        }
        if self.cancel.as_ref().is_some_and(|s| s.has_fired()) {
            return Err(WaitError::Cancelled);
        }
        Ok(())
    }

    /// Registers `observer` to be woken when one of the bounds is reached, on the thread that reaches it. Wake-ups may be
    /// spurious: the observer must check the bounds. Where the timer has no thread, the deadline may be noticed late.
    pub(crate) fn observe(&self, observer: &Weak<dyn Sleeper>) -> std::result::Result<(), NoThread> {
        for signal in self.signals() {
            signal.waiting.lock().observers.push(observer.clone());
        }
        self.deadline.map_or(Ok(()), |deadline| timer::wake_at(deadline, observer.clone()))
    }

    /// Undoes `observe`, except for the timer's entry.
    pub(crate) fn unobserve(&self, observer: &Weak<dyn Sleeper>) {
        for signal in self.signals() {
            let observers = &mut signal.waiting.lock().observers;
            if let Some(position) = observers.iter().position(|o| Weak::ptr_eq(o, observer)) {
                observers.swap_remove(position);
            }
        }
    }
}

/// Why a wait ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    Closed,
    Cancelled,
    TimedOut,
    /// The system call failed with this `errno`.
    Failed(i32),
}

impl From<WaitError> for Error {
    #[cold]
    fn from(error: WaitError) -> Error {
        match error {
            WaitError::Closed => Error::new(
                Status::VSESSION_E_CLOSED,
                "closed by another thread while this call was under way",
            ),
            WaitError::Cancelled => Error::new(Status::VSESSION_E_CANCELLED, "the cancellation token fired"),
            WaitError::TimedOut => Error::new(
                Status::VSESSION_E_TIMEOUT,
                "the deadline passed; give the call a larger timeout_ms, or see whether the server answers at all",
            ),
            WaitError::Failed(os_error) => Error::new(
                Status::VSESSION_E_RESOURCE,
                format!(
                    "the system cannot wait for descriptors (ppoll: {}); it lacks memory, or the limit of open files is below what one wait needs",
                    io::Error::from_raw_os_error(os_error)
                ),
            )
            .with(|d| d.os_error = os_error),
        }
    }
}

/// Ends the waits of one thread.
#[derive(Debug)]
struct Waker {
    event: EventFd,
    read: Mutex<BlockedRead, rank::Waker>,
}

/// The thread's blocking read, if it is in one.
#[derive(Debug, Default)]
struct BlockedRead {
    socket: Option<RawFd>,
    /// Another thread ended it.
    ended: bool,
}

impl Waker {
    fn raise(&self) {
        // While the socket stands here its thread cannot close it: the thread takes this lock first.
        let mut read = self.read.lock();
        match read.socket {
            Some(socket) => {
                shut_down(socket);
                read.ended = true;
            }
            None => self.event.raise(),
        }
    }

    fn begin_read(&self, socket: RawFd) {
        *self.read.lock() = BlockedRead { socket: Some(socket), ended: false };
    }

    /// Whether another thread ended the read.
    fn end_read(&self) -> bool {
        std::mem::take(&mut *self.read.lock()).ended
    }
}

thread_local! {
    /// The thread's waker, and how many forks preceded it: a child must not share its parent's.
    static WAKER: RefCell<Option<(u64, Arc<Waker>)>> = const { RefCell::new(None) };
    /// How many of this thread's watches are enlisted with their signals: more than one inside callbacks.
    static ENLISTED: Cell<usize> = const { Cell::new(0) };
}

fn thread_waker() -> Result<Arc<Waker>> {
    // In an exit handler or while a thread ends, its thread-locals are gone: a waker for this wait alone will do.
    let kept = WAKER.try_with(|cell| cell.borrow().clone()).ok().flatten();
    if let Some((forks, waker)) = kept
        && forks == fork::forks()
    {
        return Ok(waker);
    }
    // unreached: needs a process without free descriptors or memory
    let event = EventFd::new().map_err(|e| {
        Error::new(Status::VSESSION_E_RESOURCE, format!("no eventfd for this thread: {e}"))
            .not_run()
            .with(|d| d.os_error = e.raw_os_error().unwrap_or(0))
    })?;
    let waker = Arc::new(Waker { event, read: Mutex::new(BlockedRead::default()) });
    let _ = WAKER.try_with(|cell| *cell.borrow_mut() = Some((fork::forks(), waker.clone())));
    Ok(waker)
}

/// The waits of one call on one thread. Made when the call begins, dropped when it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    bounds: Bounds,
    waker: Arc<Waker>,
    /// The thread's waker stands in the lists of `bounds`. Done at the first real wait: many calls have none.
    enlisted: Cell<bool>,
    /// Only the deadline ends waits: the outcome of what was sent must be learnt.
    committed: Cell<bool>,
    /// Another thread ended a blocking read, and its socket cannot be used again.
    ended: Cell<Option<WaitError>>,
}

impl Watch {
    /// The receive timeout of sockets for `receive`. A nearer deadline needs `poll`.
    pub(crate) const LONGEST_READ: Duration = Duration::from_secs(1);

    pub(crate) fn new(bounds: Bounds) -> Result<Watch> {
        Ok(Watch {
            bounds,
            waker: thread_waker()?,
            enlisted: Cell::new(false),
            committed: Cell::new(false),
            ended: Cell::new(None),
        })
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether only the deadline ends waits from now on.
    pub(crate) fn commit(&self, committed: bool) {
        self.committed.set(committed);
    }

    /// Fails once the call should end.
    pub(crate) fn check(&self) -> std::result::Result<(), WaitError> {
        match self.bounds.deadline {
            _ if !self.committed.get() => self.bounds.check(),
            // sometimes: a race, which a run meets or not
            Some(deadline) if Instant::now() >= deadline => Err(WaitError::TimedOut),
            _ => Ok(()),
        }
    }

    fn check_signals(&self) -> std::result::Result<(), WaitError> {
        match self.ended.get() {
            Some(stop) => Err(stop),
            None if self.committed.get() => Ok(()),
            None => self.bounds.check_signals(),
        }
    }

    /// Waits until one of `descriptors` (at most three) is ready, and returns its index; `None` at the time `until`.
    pub(crate) fn wait_ready(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
    ) -> std::result::Result<Option<usize>, WaitError> {
        self.wait(descriptors, until, || false)
    }

    /// Reads from a blocking socket whose receive timeout is `LONGEST_READ`. `None`: nothing arrived in this time, or a blocking
    /// read is not possible here; use `wait_ready`. After a `WaitError` the socket cannot be used again.
    pub(crate) fn receive(
        &self,
        socket: &impl AsRawFd,
        buffer: &mut [u8],
    ) -> std::result::Result<Option<io::Result<usize>>, WaitError> {
        let near = |deadline: Instant| deadline < Instant::now() + Watch::LONGEST_READ;
        if self.bounds.deadline.is_some_and(near) {
            return Ok(None);
        }
        if self.committed.get() && !planted!("login-not-committed") {
            // Only the deadline ends it, and that is not near.
            return Ok(match receive(socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                result => Some(result),
            });
        }
        self.enlist();
        // Inside a callback, whatever ends the outer call's wait would end this read.
        if ENLISTED.try_with(Cell::get) != Ok(1) {
            return Ok(None);
        }
        self.waker.begin_read(socket.as_raw_fd());
        // `fire` sets the flag before it raises wakers, so either we see the flag or the waker ends the read.
        let result = self.check_signals().map(|()| receive(socket, buffer));
        if self.waker.end_read() {
            // A token that was reset at once has cancelled this call nevertheless.
            let stop = self.bounds.check_signals().err().unwrap_or(WaitError::Cancelled);
            self.ended.set(Some(stop));
        }
        match (result?, self.ended.get()) {
            (Ok(0) | Err(_), Some(stop)) => Err(stop),
            (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            (result, _) => Ok(Some(result)),
        }
    }

    /// Waits until `signal` has fired.
    pub(crate) fn wait_for(&self, signal: &Signal) -> std::result::Result<(), WaitError> {
        self.wait_ready_or(&[], signal).map(|_| ())
    }

    /// Waits until `signal` has fired or the time is `until`. Returns whether it has fired.
    pub(crate) fn wait_for_until(
        &self,
        signal: &Signal,
        until: Option<Instant>,
    ) -> std::result::Result<bool, WaitError> {
        signal.enlist(&self.waker);
        let result = self.wait(&[], until, || signal.has_fired());
        signal.dismiss(&self.waker);
        result.map(|_| signal.has_fired())
    }

    /// Waits until one of `descriptors` (at most three) is ready, and returns its index; `None` once `signal` has fired.
    pub(crate) fn wait_ready_or(
        &self,
        descriptors: &[(RawFd, Interest)],
        signal: &Signal,
    ) -> std::result::Result<Option<usize>, WaitError> {
        signal.enlist(&self.waker);
        let result = self.wait(descriptors, None, || signal.has_fired());
        signal.dismiss(&self.waker);
        result
    }

    fn wait(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
        is_done: impl Fn() -> bool,
    ) -> std::result::Result<Option<usize>, WaitError> {
        self.enlist();
        let mut wanted = [(self.waker.event.fd(), Interest::Read); sys::MAX_POLLED];
        wanted[1..=descriptors.len()].copy_from_slice(descriptors);
        let wanted = &wanted[..=descriptors.len()];
        loop {
            if is_done() {
                return Ok(None);
            }
            if !(planted!("flags-not-read-before-a-wait") && until.is_none() && descriptors.is_empty()) {
                self.check_signals()?;
            }
            if planted!("drained-after-the-flags") {
                self.waker.event.drain();
            }
            let end = match (self.bounds.deadline, until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let ready = match poll(wanted, left) {
                Ok(ready) => ready,
                // The kernel lacks memory, or the limit of open files is tiny. Another try would spin.
                // sometimes: a race, which a run meets or not
                Err(error) => return Err(WaitError::Failed(error.raw_os_error().unwrap_or(0))),
            };
            // A ready descriptor counts before a waker: a reply that has arrived is taken.
            if let Some(index) = ready[1..wanted.len()].iter().position(|r| *r) {
                return Ok(Some(index));
            }
            if ready[0] {
                // `fire` sets the flag before it raises, so the flags, read after this, say why. A raise meant for an
                // outer call of this thread is not lost: that call reads its flags before it waits.
                self.waker.event.drain();
                continue;
            }
            if let Some(end) = end {
                let now = Instant::now();
                if self.bounds.deadline.is_some_and(|deadline| now >= deadline) {
                    return Err(WaitError::TimedOut);
                }
                if now >= end {
                    return Ok(None);
                }
            }
        }
    }

    fn enlist(&self) {
        if !self.enlisted.replace(true) {
            let _ = ENLISTED.try_with(|number| number.set(number.get() + 1));
            for signal in self.bounds.signals() {
                signal.enlist(&self.waker);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.enlisted.get() {
            let _ = ENLISTED.try_with(|number| number.set(number.get() - 1));
            for signal in self.bounds.signals().filter(|_| !planted!("left-in-the-list")) {
                signal.dismiss(&self.waker);
            }
        }
    }
}

#[cfg(test)]
mod tests;
