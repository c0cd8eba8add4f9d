//! All waits of the library. Each ends by a deadline, by a cancellation token, or by the close of the object to which it belongs.
//! Code that waits is written once, as `async` functions, and runs in two ways. On a thread, the wait blocks, and the future is
//! ready when it returns. In a task, the wait lets go of the worker until the task is woken.
//!
//! A blocked thread waits in `poll` for its socket and for its waker, one eventfd for each thread; the thread that
//! ends the wait raises the waker. Sessions, tokens and logins therefore cost no descriptors. Nearly every call has one wait
//! for the reply, which is a blocking read: one system call instead of two. To end it, the socket is shut down.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::phase::{Phase, Progress};
use super::reactor::{self, Sleeper};
use super::signal::{Signal, Waiter, Waker, thread_waker};
use super::task::{self, Task};
use super::workers::NoThread;
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::{Arc, Instant, Ordering, Weak, poll, receive, thread_local, unshared};
use crate::sys::{self, Interest};

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
        self.check_and_read_clock().map(|_| ())
    }

    /// The same, with the time; `None` without a deadline.
    fn check_and_read_clock(&self) -> std::result::Result<Option<Instant>, WaitError> {
        self.check_signals()?;
        let Some(deadline) = self.deadline else { return Ok(None) };
        let now = Instant::now();
        // sometimes: a race, which a run meets or not
        if now >= deadline { Err(WaitError::TimedOut) } else { Ok(Some(now)) }
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
}

/// Why a wait ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    Closed,
    Cancelled,
    TimedOut,
    /// The system call failed with this `errno`.
    Failed(i32),
    /// A task has no thread that could go on with it.
    NoThread(NoThread),
}

impl From<NoThread> for WaitError {
    fn from(none: NoThread) -> WaitError {
        WaitError::NoThread(none)
    }
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
            WaitError::NoThread(none) => Error::from(none).may_have_run(),
        }
    }
}

thread_local! {
    /// How many of this thread's watches are enlisted with their signals: more than one inside callbacks.
    static ENLISTED: Cell<usize> = const { Cell::new(0) };
}

/// The waits of one call. Made when the call begins, dropped when it ends.
pub(crate) struct Watch {
    bounds: Bounds,
    waiter: Waiter,
    /// The waiter stands in the lists of `bounds`. Done at the first real wait: many calls have none.
    enlisted: unshared::AtomicBool,
    /// The waiter's numbers in the lists of `bounds`.
    numbers: [unshared::AtomicU64; 2],
    /// Only the deadline ends waits: the outcome of what was sent must be learnt.
    committed: unshared::AtomicBool,
    /// Another thread ended a blocking read, and its socket cannot be used again.
    ended: OnceCell<WaitError>,
    /// Where others read how far it has come, if anybody waits for it.
    progress: Option<Arc<Progress>>,
}

impl Watch {
    /// The receive timeout of sockets for `receive`. A nearer deadline needs `wait_ready`.
    pub(crate) const LONGEST_READ: Duration = Duration::from_secs(1);

    /// A task that waits for a reply keeps its worker for so long: most replies come at once, and then the task need not be
    /// given from the reactor's thread to another worker.
    const A_MOMENT: Duration = Duration::from_millis(1);

    /// The waits of the current thread.
    pub(crate) fn new(bounds: Bounds) -> Result<Watch> {
        Ok(Watch::of(bounds, Waiter::Thread(thread_waker()?)))
    }

    /// The waits of a task.
    pub(crate) fn of_task(bounds: Bounds, task: Arc<Task>) -> Watch {
        Watch::of(bounds, Waiter::Task(task))
    }

    /// Tells others through `progress` how far it has come.
    pub(crate) fn telling(mut self, progress: Arc<Progress>) -> Watch {
        self.progress = Some(progress);
        self
    }

    pub(crate) fn tell(&self, phase: Phase) {
        if let Some(progress) = &self.progress {
            progress.enter(phase);
        }
    }

    fn tell_sending(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.begin_to_send())
    }

    /// Takes back what `begin_to_send` told.
    #[cold]
    pub(crate) fn tell_nothing_sent(&self) {
        if let Some(progress) = &self.progress {
            progress.nothing_sent();
        }
    }

    /// The waits of the same thread or task within other bounds.
    pub(crate) fn within(&self, bounds: Bounds) -> Watch {
        let mut watch = Watch::of(bounds, self.waiter.clone());
        watch.progress = self.progress.clone();
        watch
    }

    /// The same until this moment at the latest.
    pub(crate) fn until(&self, moment: Option<Instant>) -> Watch {
        let deadline = [moment, self.bounds.deadline].into_iter().flatten().min();
        self.within(Bounds { deadline, ..self.bounds.clone() })
    }

    fn of(bounds: Bounds, waiter: Waiter) -> Watch {
        Watch {
            bounds,
            waiter,
            enlisted: false.into(),
            numbers: Default::default(),
            committed: false.into(),
            ended: OnceCell::new(),
            progress: None,
        }
    }

    /// Whether waits let go of their thread.
    pub(crate) fn is_of_task(&self) -> bool {
        matches!(self.waiter, Waiter::Task(_))
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether only the deadline ends waits from now on.
    pub(crate) fn commit(&self, committed: bool) {
        self.committed.store(committed && !planted!("login-not-committed"), Ordering::Relaxed);
    }

    /// Whether a shutdown whose time was over has ended what waits here. It ends what has been committed, too, but nothing of a
    /// session that is not closed.
    pub(crate) fn is_ended(&self) -> bool {
        let closed = || self.bounds.close.as_ref().is_none_or(|close| close.has_fired());
        matches!(&self.waiter, Waiter::Task(task) if task.has_ended()) && closed()
    }

    /// Fails if the task can wait no longer, whatever its bounds are.
    fn check_task(&self) -> std::result::Result<(), WaitError> {
        if let Waiter::Task(task) = &self.waiter {
            task.check()?;
        }
        if self.is_ended() { Err(WaitError::Closed) } else { Ok(()) }
    }

    fn is_committed(&self) -> bool {
        self.committed.load(Ordering::Relaxed)
    }

    /// Fails once the call should end.
    pub(crate) fn check(&self) -> std::result::Result<(), WaitError> {
        self.check_task()?;
        match self.bounds.deadline {
            _ if !self.is_committed() => self.bounds.check(),
            // sometimes: a race, which a run meets or not
            Some(deadline) if Instant::now() >= deadline => Err(WaitError::TimedOut),
            _ => Ok(()),
        }
    }

    /// The last look before a request is sent. `commit`: its outcome must be learnt, so from now on only the deadline ends waits.
    /// Returns the time, which is `None` without a deadline, and whether those who wait for the outcome were told just now that the
    /// request may run.
    pub(crate) fn begin_to_send(
        &self,
        commit: bool,
    ) -> std::result::Result<(Option<Instant>, bool), WaitError> {
        // They are told before the look: who stops waiting is either seen by it or has been told.
        let told = commit && self.tell_sending();
        let checked = self.check_task().and_then(|()| self.bounds.check_and_read_clock());
        match checked {
            Ok(_) if commit => self.commit(true),
            Err(_) if told => self.tell_nothing_sent(),
            _ => {}
        }
        Ok((checked?, told))
    }

    fn check_signals(&self) -> std::result::Result<(), WaitError> {
        match self.ended.get() {
            Some(stop) => Err(*stop),
            None if self.is_committed() => Ok(()),
            None => self.bounds.check_signals(),
        }
    }

    /// Reads from a blocking socket whose receive timeout is `LONGEST_READ`. `None`: nothing arrived in this time, or a blocking
    /// read is not possible here; use `wait_ready`. After a `WaitError` the socket cannot be used again.
    pub(crate) fn receive(
        &self,
        socket: &impl AsRawFd,
        buffer: &mut [u8],
    ) -> std::result::Result<Option<io::Result<usize>>, WaitError> {
        let Waiter::Thread(waker) = &self.waiter else { return Ok(None) };
        let near = |deadline: Instant| deadline < Instant::now() + Watch::LONGEST_READ;
        if self.bounds.deadline.is_some_and(near) {
            return Ok(None);
        }
        if self.is_committed() {
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
        waker.begin_read(socket.as_raw_fd());
        // `fire` sets the flag before it raises wakers, so either we see the flag or the waker ends the read.
        let result = self.check_signals().map(|()| receive(socket, buffer));
        if waker.end_read() {
            // A token that was reset at once has cancelled this call nevertheless.
            let stop = self.bounds.check_signals().err().unwrap_or(WaitError::Cancelled);
            let _ = self.ended.set(stop);
        }
        match (result?, self.ended.get()) {
            (Ok(0) | Err(_), Some(stop)) => Err(*stop),
            (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            (result, _) => Ok(Some(result)),
        }
    }

    /// Whether the descriptor is ready now or in a moment. The wait for it keeps the thread, and ends by nothing else. There is none
    /// while other tasks wait for a worker: a thousand whose servers are silent would hold them up, a moment each.
    pub(crate) fn is_ready_soon(&self, descriptor: (RawFd, Interest)) -> bool {
        if let Waiter::Task(task) = &self.waiter
            && task.others_wait()
        {
            return false;
        }
        let left = self.bounds.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = poll(&[descriptor], Some(left.unwrap_or(Watch::A_MOMENT).min(Watch::A_MOMENT)));
        ready.is_ok_and(|ready| ready[0])
    }

    /// Waits until one of `descriptors` (at most eight) is ready, and returns its index; `None` at the time `until`.
    pub(crate) fn wait_ready(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
    ) -> impl Future<Output = std::result::Result<Option<usize>, WaitError>> {
        self.wait(descriptors, until, None)
    }

    /// Waits until `signal` has fired.
    pub(crate) async fn wait_for(&self, signal: &Signal) -> std::result::Result<(), WaitError> {
        self.wait_for_until(signal, None).await.map(|_| ())
    }

    /// Waits until `signal` has fired or the time is `until`. Returns whether it has fired.
    pub(crate) async fn wait_for_until(
        &self,
        signal: &Signal,
        until: Option<Instant>,
    ) -> std::result::Result<bool, WaitError> {
        if signal.has_fired() {
            return Ok(true);
        }
        let number = signal.enlist(&self.waiter);
        let result = self.wait(&[], until, Some(signal)).await;
        signal.dismiss(&self.waiter, number);
        result.map(|_| signal.has_fired())
    }

    async fn wait(
        &self,
        descriptors: &[(RawFd, Interest)],
        until: Option<Instant>,
        signal: Option<&Signal>,
    ) -> std::result::Result<Option<usize>, WaitError> {
        self.enlist();
        let end = match (self.bounds.deadline, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let is_done = || signal.is_some_and(Signal::has_fired);
        match &self.waiter {
            Waiter::Thread(waker) => self.wait_on_this_thread(waker, descriptors, end, is_done),
            Waiter::Task(task) => self.wait_parked(task, descriptors, end, is_done).await,
        }
    }

    fn wait_on_this_thread(
        &self,
        waker: &Waker,
        descriptors: &[(RawFd, Interest)],
        end: Option<Instant>,
        is_done: impl Fn() -> bool,
    ) -> std::result::Result<Option<usize>, WaitError> {
        let mut wanted = [(waker.event.fd(), Interest::Read); sys::MAX_POLLED];
        wanted[1..=descriptors.len()].copy_from_slice(descriptors);
        let wanted = &wanted[..=descriptors.len()];
        loop {
            if is_done() {
                return Ok(None);
            }
            if !(planted!("flags-not-read-before-a-wait") && descriptors.is_empty()) {
                self.check_signals()?;
            }
            if planted!("drained-after-the-flags") {
                waker.event.drain();
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let ready = poll(wanted, left).map_err(no_poll)?;
            // A ready descriptor counts before a waker: a reply that has arrived is taken.
            if let Some(index) = ready[1..wanted.len()].iter().position(|r| *r) {
                return Ok(Some(index));
            }
            if ready[0] {
                // `fire` sets the flag before it raises, so the flags, read after this, say why. A raise meant for an
                // outer call of this thread is not lost: that call reads its flags before it waits.
                waker.event.drain();
                continue;
            }
            if self.is_over(end)? {
                return Ok(None);
            }
        }
    }

    /// What happens between a look and the moment at which the worker lets go wakes the task, which then looks again.
    async fn wait_parked(
        &self,
        task: &Arc<Task>,
        descriptors: &[(RawFd, Interest)],
        end: Option<Instant>,
        is_done: impl Fn() -> bool,
    ) -> std::result::Result<Option<usize>, WaitError> {
        loop {
            if is_done() {
                return Ok(None);
            }
            self.check_signals()?;
            self.check_task()?;
            if !descriptors.is_empty() {
                let ready = poll(descriptors, Some(Duration::ZERO)).map_err(no_poll)?;
                if let Some(index) = ready.iter().position(|r| *r) {
                    return Ok(Some(index));
                }
            }
            if self.is_over(end)? {
                return Ok(None);
            }
            let sleeper: Weak<dyn Sleeper> = Arc::<Task>::downgrade(task);
            let mut registered = Vec::with_capacity(descriptors.len());
            for descriptor in descriptors {
                registered.push(reactor::wake_when_ready(*descriptor, sleeper.clone())?);
            }
            if let Some(end) = end {
                reactor::wake_at(end, sleeper)?;
            }
            task::parked().await;
        }
    }

    /// Whether the time of a wait is over. Fails at the deadline.
    fn is_over(&self, end: Option<Instant>) -> std::result::Result<bool, WaitError> {
        let Some(end) = end else { return Ok(false) };
        let now = Instant::now();
        if self.bounds.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(WaitError::TimedOut);
        }
        Ok(now >= end)
    }

    fn enlist(&self) {
        if self.enlisted.load(Ordering::Relaxed) {
            return;
        }
        self.enlisted.store(true, Ordering::Relaxed);
        if let Waiter::Thread(_) = self.waiter {
            let _ = ENLISTED.try_with(|number| number.set(number.get() + 1));
        }
        for (signal, number) in self.bounds.signals().zip(&self.numbers) {
            number.store(signal.enlist(&self.waiter), Ordering::Relaxed);
        }
    }
}

/// The kernel lacks memory, or the limit of open files is tiny. Another try would spin.
// sometimes: a race, which a run meets or not
fn no_poll(error: io::Error) -> WaitError {
    WaitError::Failed(error.raw_os_error().unwrap_or(0))
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !*self.enlisted.get_mut() {
            return;
        }
        if let Waiter::Thread(_) = self.waiter {
            let _ = ENLISTED.try_with(|number| number.set(number.get() - 1));
        }
        for (signal, number) in self.bounds.signals().zip(&self.numbers) {
            if !planted!("left-in-the-list") {
                signal.dismiss(&self.waiter, number.load(Ordering::Relaxed));
            }
        }
    }
}

#[cfg(test)]
mod tests;
