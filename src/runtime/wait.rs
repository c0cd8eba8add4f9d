//! Every wait of the library ends here, and each can be ended from outside: by a deadline, by a cancellation token, by
//! the close of what it belongs to. A blocked thread waits in `poll` for its socket and for one descriptor of its own,
//! that of its waker; whoever ends the wait raises it. So a session, a token or a login under way costs no descriptor,
//! however many there are. The one wait that nearly every call has, that for the reply, is a blocking read, which takes one
//! system call in place of two; whoever ends that one shuts the socket down.

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
    Arc, AtomicBool, EventFd, Instant, Mutex, Ordering, Weak, poll, receive, shut_down, thread_local,
};
use crate::sys::{self, Interest};

/// Something that happens once and that threads may wait for: a token fires, a session closes, a login ends.
#[derive(Default)]
pub(crate) struct Signal {
    fired: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Who is to be told.
#[derive(Default)]
struct Waiting {
    threads: Vec<Arc<Waker>>,
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

    /// How many wait for it, for the models.
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
    /// reason, and must look. Where there is no thread for the timer, the deadline may be late.
    pub(crate) fn observe(&self, observer: &Weak<dyn Sleeper>) -> std::result::Result<(), NoThread> {
        for signal in self.signals() {
            signal.waiting.lock().observers.push(observer.clone());
        }
        self.deadline.map_or(Ok(()), |deadline| timer::wake_at(deadline, observer.clone()))
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
    /// The system cannot wait, for this reason (`errno`).
    Failed(i32),
}

impl From<Stop> for Error {
    #[cold]
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
            Stop::Failed(os_error) => Error::new(
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

/// What a wait for descriptors found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The descriptor with this index.
    Descriptor(usize),
    /// None of them until the moment asked for.
    NotYet,
}

/// Ends the waits of one thread.
#[derive(Debug)]
struct Waker {
    event: EventFd,
    read: Mutex<BlockedRead>,
}

/// The blocking read that the thread is in, if it is in one.
#[derive(Debug, Default)]
struct BlockedRead {
    socket: Option<RawFd>,
    /// It was ended from outside.
    ended: bool,
}

impl Waker {
    fn raise(&self) {
        // The socket stands here exactly as long as its thread cannot close it: that takes the lock first.
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

    /// Whether the read was ended from outside.
    fn end_read(&self) -> bool {
        std::mem::take(&mut *self.read.lock()).ended
    }
}

thread_local! {
    /// The thread's waker, and how many forks ago it was made: a child must not share its parent's.
    static WAKER: RefCell<Option<(u64, Arc<Waker>)>> = const { RefCell::new(None) };
    /// How many watches of this thread stand in the lists of their signals: more than one inside of callbacks.
    static ENLISTED: Cell<usize> = const { Cell::new(0) };
}

fn thread_waker() -> Result<Arc<Waker>> {
    // In a thread that is ending, or in an exit handler, the thread's values are gone already: one for this wait will do.
    let kept = WAKER.try_with(|cell| cell.borrow().clone()).ok().flatten();
    if let Some((forks, waker)) = kept
        && forks == fork::forks()
    {
        return Ok(waker);
    }
    let event = EventFd::new().map_err(|e| {
        Error::new(Status::VSESSION_E_RESOURCE, format!("no eventfd for this thread: {e}"))
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
    /// From here on only the deadline counts: the outcome of what was sent must be learnt.
    committed: Cell<bool>,
    /// A blocking read was ended from outside; its socket is of no more use.
    ended: Cell<Option<Stop>>,
}

impl Watch {
    /// How long a blocking read may last: the limit that its socket has. A deadline that is nearer needs another wait.
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
        match self.ended.get() {
            Some(stop) => Err(stop),
            None if self.committed.get() => Ok(()),
            None => self.bounds.check_signals(),
        }
    }

    /// Waits until one of `descriptors` (at most three) is ready, or until the moment `until`.
    pub(crate) fn descriptors(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
    ) -> std::result::Result<Ready, Stop> {
        self.wait(descriptors, until, || false)
    }

    /// Reads from a blocking socket whose receive timeout is `LONGEST_READ`. `None`: nothing has come by then, or this wait
    /// cannot be made so; wait for the descriptor. When it returns an error of its own, the socket is of no more use.
    pub(crate) fn receive(
        &self,
        socket: &impl AsRawFd,
        buffer: &mut [u8],
    ) -> std::result::Result<Option<io::Result<usize>>, Stop> {
        let near = |deadline: Instant| deadline < Instant::now() + Watch::LONGEST_READ;
        if self.bounds.deadline.is_some_and(near) {
            return Ok(None);
        }
        if self.committed.get() {
            // Nothing but the deadline ends it, and that is not near.
            return Ok(match receive(socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                result => Some(result),
            });
        }
        self.enlist();
        // What ends a wait further out, of a call from whose callback this one is made, would end this one.
        if ENLISTED.try_with(Cell::get) != Ok(1) {
            return Ok(None);
        }
        self.waker.begin_read(socket.as_raw_fd());
        // Who fires sets the flag first, and then either we see it or the waker stops the read.
        let result = self.check_signals().map(|()| receive(socket, buffer));
        if self.waker.end_read() {
            // A token that was reset at once has cancelled the call all the same.
            let stop = self.bounds.check_signals().err().unwrap_or(Stop::Cancelled);
            self.ended.set(Some(stop));
        }
        match (result?, self.ended.get()) {
            (Ok(0) | Err(_), Some(stop)) => Err(stop),
            (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            (result, _) => Ok(Some(result)),
        }
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
        let mut wanted = [(self.waker.event.fd(), Interest::Read); sys::MAX_POLLED];
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
            let ready = match poll(wanted, left) {
                Ok(ready) => ready,
                // The kernel lacks memory, or the limit of open files is tiny; waiting on would spin.
                Err(error) => return Err(Stop::Failed(error.raw_os_error().unwrap_or(0))),
            };
            // What this call waits for comes before what would end it: a reply that is there is taken.
            if let Some(index) = ready[1..wanted.len()].iter().position(|r| *r) {
                return Ok(Ready::Descriptor(index));
            }
            if ready[0] {
                // Whoever raised it set its flag first, so the flags, read after this, tell all. A raise that was
                // meant for an outer call of this thread is not lost either: that call reads its flags before it waits.
                self.waker.event.drain();
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
            for signal in self.bounds.signals() {
                signal.dismiss(&self.waker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
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

    /// A connection whose reads block as `receive` wants it, and its peer.
    fn blocking_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(Watch::LONGEST_READ)).unwrap();
        (stream, listener.accept().unwrap().0)
    }

    /// Has `then` run once the waker's thread is in a blocking read.
    fn during_the_read(watch: &Watch, then: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
        let waker = watch.waker.clone();
        thread::spawn(move || {
            while waker.read.lock().socket.is_none() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(5));
            then();
        })
    }

    #[test]
    fn a_fired_token_ends_a_blocking_read_and_so_does_one_that_is_reset_at_once() {
        for reset in [false, true] {
            let (stream, _peer) = blocking_pair();
            let token = Arc::new(Signal::new());
            let watch = Watch::new(bounds(&token)).unwrap();
            let firing = token.clone();
            let thread = during_the_read(&watch, move || {
                firing.fire();
                if reset {
                    firing.reset();
                }
            });
            assert!(matches!(watch.receive(&stream, &mut [0; 8]), Err(Stop::Cancelled)));
            assert_eq!(watch.check_signals(), Err(Stop::Cancelled), "the connection is of no more use");
            thread.join().unwrap();
            assert!(watch.waker.read.lock().socket.is_none());
        }
    }

    #[test]
    fn what_arrives_is_read_and_an_end_is_told() {
        let (stream, mut peer) = blocking_pair();
        let watch = Watch::new(bounds(&Arc::default())).unwrap();
        let mut buffer = [0; 8];
        let thread = during_the_read(&watch, move || peer.write_all(b"reply").unwrap());
        assert!(matches!(watch.receive(&stream, &mut buffer), Ok(Some(Ok(5)))));
        thread.join().unwrap(); // its end of the connection is closed
        assert!(matches!(watch.receive(&stream, &mut buffer), Ok(Some(Ok(0)))));
    }

    #[test]
    fn nothing_but_the_deadline_ends_a_committed_blocking_read() {
        let (stream, mut peer) = blocking_pair();
        let token = Arc::new(Signal::new());
        token.fire();
        let watch = Watch::new(bounds(&token)).unwrap();
        watch.commit(true);
        peer.write_all(b"reply").unwrap();
        assert!(matches!(watch.receive(&stream, &mut [0; 8]), Ok(Some(Ok(5)))));
        assert!(matches!(watch.receive(&stream, &mut [0; 8]), Ok(None)), "nothing more came");
    }

    #[test]
    fn a_blocking_read_is_not_made_where_something_else_could_end_it_or_its_deadline_is_near() {
        let (stream, _peer) = blocking_pair();
        let none = |watch: &Watch| matches!(watch.receive(&stream, &mut [0; 8]), Ok(None));
        assert!(none(&Watch::new(Bounds::with_timeout(Duration::from_millis(900))).unwrap()));
        let outer = Watch::new(Bounds::default()).unwrap();
        outer.enlist();
        assert!(none(&Watch::new(Bounds::default()).unwrap()));
        drop(outer);
        let start = Instant::now();
        assert!(none(&Watch::new(Bounds::default()).unwrap()), "nothing came");
        assert!(start.elapsed() >= Watch::LONGEST_READ);
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
