//! Signals, and whom they wake. A signal keeps a list of its waiters, which are threads and tasks. A thread has one waker, which
//! ends the wait or the blocking read that the thread is in. How a thread or a task waits is in `wait.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::RawFd;

use super::fork;
use super::reactor::Sleeper;
use super::task::Task;
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, EventFd, Mutex, Ordering, rank, shut_down, thread_local};

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
    /// Tasks, by a number of their own. There may be ten thousand.
    tasks: BTreeMap<u64, Arc<Task>>,
    last_number: u64,
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

    /// Sets the flag and wakes all waiters. Any thread may call it, any number of times, but not with a lock of the library: where
    /// no worker can be had, a task that it wakes ends on this thread.
    pub(crate) fn fire(&self) {
        if planted!("flag-after-the-list") {
            self.waiting.lock().threads.iter().for_each(|waker| waker.raise());
            return self.fired.store(true, Ordering::SeqCst);
        }
        self.set();
        self.wake_all();
    }

    /// The half of `fire` that may be done with a lock.
    pub(crate) fn set(&self) {
        self.fired.store(true, Ordering::SeqCst);
    }

    /// The other half.
    pub(crate) fn wake_all(&self) {
        // A waiter enters the list before it reads the flag, so either it is in the list now or it will see the flag.
        let tasks: Vec<_> = {
            let waiting = self.waiting.lock();
            waiting.threads.iter().for_each(|waker| waker.raise());
            waiting.tasks.values().cloned().collect()
        };
        tasks.into_iter().for_each(Sleeper::wake);
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Clears the flag, so that a token can be used again.
    pub(crate) fn reset(&self) {
        self.fired.store(false, Ordering::SeqCst);
    }

    /// How many threads and tasks wait.
    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        let waiting = self.waiting.lock();
        waiting.threads.len() + waiting.tasks.len()
    }

    /// Enters `waiter` into the list, and returns its number there.
    pub(super) fn enlist(&self, waiter: &Waiter) -> u64 {
        let mut waiting = self.waiting.lock();
        match waiter {
            Waiter::Thread(waker) => {
                waiting.threads.push(waker.clone());
                0
            }
            Waiter::Task(task) => {
                waiting.last_number += 1;
                let number = waiting.last_number;
                waiting.tasks.insert(number, task.clone());
                number
            }
        }
    }

    pub(super) fn dismiss(&self, waiter: &Waiter, number: u64) {
        let mut waiting = self.waiting.lock();
        match waiter {
            Waiter::Thread(waker) => {
                if let Some(position) = waiting.threads.iter().position(|w| Arc::ptr_eq(w, waker)) {
                    waiting.threads.swap_remove(position);
                }
            }
            Waiter::Task(_) => {
                waiting.tasks.remove(&number);
            }
        }
    }
}

/// Ends the waits of one thread.
#[derive(Debug)]
pub(super) struct Waker {
    pub(super) event: EventFd,
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

    pub(super) fn begin_read(&self, socket: RawFd) {
        *self.read.lock() = BlockedRead { socket: Some(socket), ended: false };
    }

    /// Whether another thread ended the read.
    pub(super) fn end_read(&self) -> bool {
        std::mem::take(&mut *self.read.lock()).ended
    }

    #[cfg(test)]
    pub(super) fn is_in_a_read(&self) -> bool {
        self.read.lock().socket.is_some()
    }
}

thread_local! {
    /// The thread's waker, and how many forks preceded it: a child must not share its parent's.
    static WAKER: RefCell<Option<(u64, Arc<Waker>)>> = const { RefCell::new(None) };
}

pub(super) fn thread_waker() -> Result<Arc<Waker>> {
    // In an exit handler or while a thread ends, its thread-locals are gone: a waker for this wait alone will do.
    let kept = WAKER.try_with(|cell| cell.borrow().clone()).ok().flatten();
    if let Some((forks, waker)) = kept
        && forks == fork::forks()
    {
        return Ok(waker);
    }
    let event = EventFd::new().map_err(|e| {
        Error::new(Status::VSESSION_E_RESOURCE, format!("no eventfd for this thread: {e}"))
            .not_run()
            .caused_by(&e)
    })?;
    let waker = Arc::new(Waker { event, read: Mutex::new(BlockedRead::default()) });
    let _ = WAKER.try_with(|cell| *cell.borrow_mut() = Some((fork::forks(), waker.clone())));
    Ok(waker)
}

/// Who waits: a thread, or a task, which needs none for it.
#[derive(Clone)]
pub(super) enum Waiter {
    Thread(Arc<Waker>),
    Task(Arc<Task>),
}
