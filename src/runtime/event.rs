//! Event queues, which tell a program what happens to its sessions. A queue serves any number of sessions. Its descriptor is
//! readable exactly while events wait. It is bounded: if a session's events are not read in time they are merged, so that
//! the latest state is always told and memory does not grow.

use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::state::{Reason, ServiceName, State};
use crate::status::{Status, named};
use crate::sync::{Arc, EventFd, Mutex, rank};
use crate::sys::Interest;

use super::signal::Signal;
use super::task::on_this_thread;
use super::wait::{Bounds, WaitError, Watch};

/// The kind of an event.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_event_kind {
    /// The session's state changed.
    VSESSION_EVENT_STATE_CHANGED = 1,
    /// A login replaced a session that had ended. Filters, views and collectors of the old session no longer exist on the
    /// server and must be made again.
    VSESSION_EVENT_SESSION_REPLACED = 2,
    /// A keep-alive probe failed. The library will try again.
    VSESSION_EVENT_KEEPALIVE_FAILED = 3,
    /// The server refused the credentials, and the library waits for others: from `vsession_set_password`, from the
    /// credentials function, or from a call of `vsession_login`.
    VSESSION_EVENT_CREDENTIALS_WANTED = 4,
    /// A call that was started with `vsession_call_async` has ended.
    VSESSION_EVENT_COMPLETION = 5,
}

pub(crate) use vsession_event_kind as Kind;

/// One thing that happened to one session.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    /// The session's handle.
    pub(crate) session: u64,
    /// With which service.
    pub(crate) service: ServiceName,
    pub(crate) old_state: State,
    pub(crate) new_state: State,
    pub(crate) reason: Reason,
    pub(crate) old_epoch: u64,
    pub(crate) new_epoch: u64,
    /// The reason of a failure.
    pub(crate) error: Option<Error>,
    /// Milliseconds since 1970, UTC.
    pub(crate) time_ms: i64,
    /// How many unread events were merged into this one.
    pub(crate) merged: u32,
    /// The outcome of an asynchronous call.
    pub(crate) completion: Option<Completion>,
}

/// The outcome of an asynchronous call, which is opaque to the queue.
#[derive(Clone)]
pub(crate) struct Completion {
    pub(crate) tag: u64,
    pub(crate) result: Arc<dyn std::any::Any + Send + Sync>,
}

impl std::fmt::Debug for Completion {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Completion({})", self.tag)
    }
}

/// How many unread events a session with a service may have in a queue before they are merged.
pub(super) const MOST_PENDING: usize = 32;

/// A queue of events for any number of sessions.
#[derive(Debug)]
pub(crate) struct Queue {
    pending: Mutex<Pending, rank::Queue>,
    readable: EventFd,
    closed: Arc<Signal>,
}

#[derive(Debug, Default)]
struct Pending {
    events: VecDeque<Event>,
    /// By the session's handle and the service.
    by_session: HashMap<(u64, ServiceName), usize>,
}

impl Queue {
    pub(crate) fn new() -> Result<Arc<Queue>> {
        // unreached: needs a process without free descriptors or memory
        let readable = EventFd::new().map_err(|e| {
            Error::new(
                Status::VSESSION_E_RESOURCE,
                format!("no descriptor for the event queue: {e}; raise the limit of open files"),
            )
            .not_run()
            .caused_by(&e)
        })?;
        Ok(Arc::new(Queue { pending: Mutex::default(), readable, closed: Arc::default() }))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.readable.fd()
    }

    /// Appends an event. Does not wait for readers.
    pub(crate) fn push(&self, event: Event) {
        let too_early = planted!("put-into-a-freed-queue").then(|| self.closed.has_fired());
        let mut pending = self.pending.lock();
        // Under the lock, so that nothing enters a queue that `close` has emptied.
        if too_early.unwrap_or_else(|| self.closed.has_fired()) {
            return;
        }
        let session = event.of();
        let merges = event.kind.merges();
        pending.events.push_back(event);
        if merges {
            let count = pending.by_session.entry(session).or_insert(0);
            *count += 1;
            if *count > MOST_PENDING {
                pending.merge(session);
            }
        }
        if planted!("raised-after-the-lock") {
            drop(pending);
        }
        // Under the lock, so that a reader that takes the last event does not drain this raise.
        self.readable.raise();
    }

    /// Takes the oldest event. Waits up to `timeout` for one, and returns `None` if none came.
    pub(crate) fn next(&self, timeout: Duration) -> Result<Option<Event>> {
        if self.closed.has_fired() {
            return Err(closed());
        }
        if let Some(event) = self.pop() {
            return Ok(Some(event));
        }
        if timeout.is_zero() {
            return Ok(None);
        }
        let watch = Watch::new(Bounds { close: Some(self.closed.clone()), ..Bounds::with_timeout(timeout) })?;
        loop {
            // Only its own thread waits for an event.
            match on_this_thread(watch.wait_ready(&[(self.fd(), Interest::Read)], None)) {
                Ok(_) => {
                    if let Some(event) = self.pop() {
                        return Ok(Some(event));
                    }
                }
                Err(WaitError::Closed) => return Err(closed()),
                Err(error @ WaitError::Failed(_)) => return Err(error.into()),
                Err(_) => return Ok(None),
            }
        }
    }

    /// How many events wait, for the models.
    #[cfg(all(test, vsession_model))]
    pub(super) fn waiting(&self) -> usize {
        self.pending.lock().events.len()
    }

    fn pop(&self) -> Option<Event> {
        let mut pending = self.pending.lock();
        let event = pending.events.pop_front();
        if let Some(event) = event.as_ref().filter(|event| event.kind.merges())
            && let Some(count) = pending.by_session.get_mut(&event.of())
        {
            *count -= 1;
            if *count == 0 {
                pending.by_session.remove(&event.of());
            }
        }
        if pending.events.is_empty() {
            self.readable.drain();
        }
        event
    }

    /// Ends all waits of readers. Later events are dropped, and later reads fail.
    pub(crate) fn close(&self) {
        self.closed.fire();
        *self.pending.lock() = Pending::default();
        self.readable.drain();
    }
}

fn closed() -> Error {
    Error::new(Status::VSESSION_E_CLOSED, "the event queue was freed").not_run()
}

impl Event {
    /// Whose events it is merged with.
    fn of(&self) -> (u64, ServiceName) {
        (self.session, self.service)
    }
}

impl Pending {
    /// Replaces a session's events by at most one of each kind, at the end of the queue, which together tell the same.
    /// Completions are not merged: the program started each call, so it bounds their number.
    fn merge(&mut self, session: (u64, ServiceName)) {
        let mut merged: [Option<Event>; 4] = [None, None, None, None];
        self.events.retain(|event| {
            if event.of() != session {
                return true;
            }
            let sum = match event.kind {
                Kind::VSESSION_EVENT_SESSION_REPLACED => &mut merged[0],
                Kind::VSESSION_EVENT_KEEPALIVE_FAILED => &mut merged[1],
                Kind::VSESSION_EVENT_CREDENTIALS_WANTED => &mut merged[2],
                Kind::VSESSION_EVENT_STATE_CHANGED => &mut merged[3],
                Kind::VSESSION_EVENT_COMPLETION => return true,
            };
            *sum = Some(match sum.take() {
                None => event.clone(),
                Some(first) => Event {
                    old_state: first.old_state,
                    old_epoch: first.old_epoch,
                    merged: first.merged + event.merged + 1,
                    ..event.clone()
                },
            });
            false
        });
        let rest: Vec<Event> = merged.into_iter().flatten().collect();
        self.by_session.insert(session, rest.len());
        self.events.extend(rest);
    }
}

named! {
    vsession_event_kind:
    VSESSION_EVENT_STATE_CHANGED => "state changed",
    VSESSION_EVENT_SESSION_REPLACED => "session replaced",
    VSESSION_EVENT_KEEPALIVE_FAILED => "keep-alive failed",
    VSESSION_EVENT_CREDENTIALS_WANTED => "credentials wanted",
    VSESSION_EVENT_COMPLETION => "completion",
}

impl vsession_event_kind {
    fn merges(self) -> bool {
        self != Kind::VSESSION_EVENT_COMPLETION
    }
}

/// The current time in milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    fn event(session: u64, kind: Kind, old_epoch: u64, new_epoch: u64) -> Event {
        Event {
            kind,
            session,
            service: ServiceName::VSESSION_SERVICE_VIM,
            old_state: State::VSESSION_STATE_EXPIRED,
            new_state: State::VSESSION_STATE_ACTIVE,
            reason: Reason::VSESSION_REASON_RELOGIN,
            old_epoch,
            new_epoch,
            error: None,
            time_ms: 0,
            merged: 0,
            completion: None,
        }
    }

    fn readable(queue: &Queue) -> bool {
        sys::poll(&[(queue.fd(), Interest::Read)], Some(Duration::ZERO)).unwrap()[0]
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let queue = Queue::new().unwrap();
        assert!(!readable(&queue));
        queue.push(event(1, Kind::VSESSION_EVENT_STATE_CHANGED, 0, 1));
        queue.push(event(2, Kind::VSESSION_EVENT_STATE_CHANGED, 0, 1));
        assert!(readable(&queue));
        assert_eq!(queue.next(Duration::ZERO).unwrap().unwrap().session, 1);
        assert!(readable(&queue));
        assert_eq!(queue.next(Duration::ZERO).unwrap().unwrap().session, 2);
        assert!(!readable(&queue));
        assert!(queue.next(Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn unread_events_merge_and_keep_the_first_and_the_last() {
        let queue = Queue::new().unwrap();
        queue.push(event(2, Kind::VSESSION_EVENT_STATE_CHANGED, 7, 8));
        let state = |n: u64| State::from_number((n % 7) as i32 + 1).unwrap();
        let of_rest = event(1, Kind::VSESSION_EVENT_STATE_CHANGED, 7, 8);
        queue.push(Event { service: ServiceName::VSESSION_SERVICE_REST, ..of_rest });
        for epoch in 0..1000 {
            let changed = event(1, Kind::VSESSION_EVENT_STATE_CHANGED, epoch, epoch + 1);
            queue.push(Event { old_state: state(epoch), new_state: state(epoch + 1), ..changed });
            queue.push(event(1, Kind::VSESSION_EVENT_SESSION_REPLACED, epoch, epoch + 1));
            if epoch % 10 == 0 {
                queue.push(event(1, Kind::VSESSION_EVENT_KEEPALIVE_FAILED, epoch, epoch));
                queue.push(event(1, Kind::VSESSION_EVENT_CREDENTIALS_WANTED, epoch, epoch));
                let ended = Completion { tag: epoch, result: Arc::new(()) };
                let completion = event(1, Kind::VSESSION_EVENT_COMPLETION, epoch, epoch);
                queue.push(Event { completion: Some(ended), ..completion });
            }
        }
        let mut told = Vec::new();
        while let Some(event) = queue.next(Duration::ZERO).unwrap() {
            told.push(event);
        }
        let of_rest = told.remove(1);
        assert_eq!(
            of_rest.service,
            ServiceName::VSESSION_SERVICE_REST,
            "those of another service stay apart"
        );
        let tags: Vec<_> = told.iter().filter_map(|e| Some(e.completion.as_ref()?.tag)).collect();
        assert_eq!(tags, (0..1000).step_by(10).collect::<Vec<_>>(), "no completion is merged or lost");
        assert!(told.len() <= MOST_PENDING + 1 + tags.len());
        for kind in [Kind::VSESSION_EVENT_KEEPALIVE_FAILED, Kind::VSESSION_EVENT_CREDENTIALS_WANTED] {
            let of_kind = told.iter().filter(|e| e.kind == kind);
            assert_eq!(of_kind.map(|e| e.merged + 1).sum::<u32>(), 100);
        }
        assert_eq!(told[0].session, 2);
        for kind in [Kind::VSESSION_EVENT_STATE_CHANGED, Kind::VSESSION_EVENT_SESSION_REPLACED] {
            let of_kind: Vec<_> = told.iter().filter(|e| e.session == 1 && e.kind == kind).collect();
            assert_eq!(of_kind.first().unwrap().old_epoch, 0);
            assert_eq!(of_kind.last().unwrap().new_epoch, 1000);
            let total: u32 = of_kind.iter().map(|e| e.merged + 1).sum();
            assert_eq!(total, 1000, "every event is told, alone or merged");
            for pair in of_kind.windows(2) {
                assert_eq!(pair[0].new_epoch, pair[1].old_epoch, "no gap and no step back");
            }
            if kind == Kind::VSESSION_EVENT_STATE_CHANGED {
                let ends = (of_kind.first().unwrap().old_state, of_kind.last().unwrap().new_state);
                assert_eq!(ends, (state(0), state(1000)), "the first state and the last");
                assert!(of_kind.windows(2).all(|pair| pair[0].new_state == pair[1].old_state));
            }
        }
    }

    /// If a raise were lost, a reader would wait in `poll` while events wait in the queue.
    #[test]
    fn readers_and_writers_side_by_side_lose_neither_an_event_nor_its_descriptor() {
        const EACH: u64 = 3000;
        let queue = Queue::new().unwrap();
        let read = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for session in 0..4 {
                let queue = &queue;
                scope.spawn(move || {
                    for epoch in 0..EACH {
                        let mut event = event(session, Kind::VSESSION_EVENT_COMPLETION, epoch, epoch + 1);
                        event.completion = Some(Completion { tag: epoch, result: Arc::new(()) });
                        queue.push(event);
                        if epoch % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = [0; 4];
                    while read.load(std::sync::atomic::Ordering::SeqCst) < 4 * EACH {
                        let wait = Some(Duration::from_secs(10));
                        let ready = sys::poll(&[(queue.fd(), Interest::Read)], wait).unwrap()[0];
                        let all_read = || read.load(std::sync::atomic::Ordering::SeqCst) == 4 * EACH;
                        // The other reader may have taken the last ones.
                        assert!(ready || all_read(), "events wait and the descriptor is not readable");
                        while let Some(event) = queue.next(Duration::ZERO).unwrap() {
                            let last = &mut last[event.session as usize];
                            assert!(event.new_epoch > *last, "in order");
                            *last = event.new_epoch;
                            if read.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == 4 * EACH {
                                // Wakes the other reader.
                                queue.push(super::tests::event(
                                    0,
                                    Kind::VSESSION_EVENT_STATE_CHANGED,
                                    9,
                                    u64::MAX,
                                ));
                                return;
                            }
                        }
                    }
                });
            }
        });
    }

    /// A reader takes the event just as it arrives. The raise must not outlast the event.
    #[test]
    fn the_descriptor_is_not_readable_once_all_is_read_however_near_reader_and_writer_are() {
        const ROUNDS: usize = 1000;
        let queue = Queue::new().unwrap();
        let barrier = std::sync::Barrier::new(2);
        let mut wrong = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    barrier.wait();
                    queue.push(event(1, Kind::VSESSION_EVENT_STATE_CHANGED, 0, 1));
                    barrier.wait();
                }
            });
            for _ in 0..ROUNDS {
                barrier.wait();
                while queue.next(Duration::ZERO).unwrap().is_none() {}
                barrier.wait();
                wrong += usize::from(readable(&queue));
            }
        });
        assert_eq!(wrong, 0, "of {ROUNDS} times");
    }

    #[test]
    fn closing_ends_the_wait_of_a_reader() {
        let queue = Queue::new().unwrap();
        let reading = queue.clone();
        let reader = std::thread::spawn(move || reading.next(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        queue.close();
        assert_eq!(reader.join().unwrap().unwrap_err().status(), Status::VSESSION_E_CLOSED);
        queue.push(event(1, Kind::VSESSION_EVENT_STATE_CHANGED, 0, 1));
        assert!(queue.next(Duration::ZERO).is_err());
    }
}
