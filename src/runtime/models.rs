//! Models of signals, the reactor, workers and event queues.

use std::collections::HashMap;
use std::time::Duration;

use super::event::{Event, Kind, MOST_PENDING, Queue};
use super::handle::Publisher;
use super::reactor::{self, Sleeper};
use super::signal::Signal;
use super::task::{Task, on_this_thread};
use super::wait::{Bounds, WaitError, Watch};
use super::workers::{self, WorkerPool};
use crate::state::{Reason, ServiceName, State};
use crate::status::Status;
use crate::sync::model::{check, is_readable, one_in};
use crate::sync::{Arc, AtomicUsize, EventFd, Instant, Mutex, Ordering, Weak, rank, thread};
use crate::sys::Interest;

/// Resets the state of the process.
pub(crate) fn begin() {
    super::fork::process_id();
    workers::renew_after_fork();
    reactor::renew_after_fork();
    reactor::about(Instant::now(), Duration::ZERO);
}

/// Ends the library's own threads, as `vsession_shutdown` does.
pub(crate) fn end() {
    assert!(workers::pools().stop(never()), "the workers do not end");
    assert!(reactor::stop(never()), "the reactor does not end");
}

fn never() -> Instant {
    Instant::now() + Duration::from_secs(1 << 30)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Each wait ends by its signal, its token or its deadline, and by nothing else.
#[test]
fn a_wait_ends_by_its_signal_its_token_or_its_deadline() {
    check(begin, || {
        let (done, token) = (Arc::new(Signal::new()), Arc::new(Signal::new()));
        let wait = |cancel: bool, timeout: Option<u64>| {
            let (done, token) = (done.clone(), token.clone());
            thread::spawn(move || {
                let bounds = Bounds {
                    cancel: cancel.then(|| token.clone()),
                    deadline: timeout.map(|timeout| Instant::now() + ms(timeout)),
                    close: None,
                };
                let end = bounds.deadline;
                let waited = on_this_thread(Watch::new(bounds).unwrap().wait_for(&done));
                match waited {
                    Ok(()) => assert!(done.has_fired(), "woken without a signal"),
                    Err(WaitError::Cancelled) => assert!(cancel && token.has_fired()),
                    Err(WaitError::TimedOut) => assert!(end.is_some_and(|end| Instant::now() >= end)),
                    Err(WaitError::Closed | WaitError::Failed(_) | WaitError::NoThread(_)) => {
                        panic!("nothing closes, and the wait itself cannot fail")
                    }
                }
            })
        };
        let mut waiters = vec![wait(false, None), wait(true, None), wait(false, Some(10))];
        let firing = token.clone();
        waiters.push(thread::spawn(move || firing.fire()));
        done.fire();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!((done.waits(), token.waits()), (0, 0), "an ended wait leaves its waker in the list");
    });
}

/// One thread with two nested waits, which share its waker.
#[test]
fn an_inner_wait_does_not_consume_the_outer_waits_wake_up() {
    check(begin, || {
        let (outer, inner) = (Arc::new(Signal::new()), Arc::new(Signal::new()));
        let fires = [outer.clone(), inner.clone()].map(|signal| thread::spawn(move || signal.fire()));
        let watch = Watch::new(Bounds { cancel: Some(outer), ..Bounds::default() }).unwrap();
        let _ = on_this_thread(watch.wait_for_until(&Signal::new(), Some(Instant::now() + ms(1))));
        assert_eq!(on_this_thread(Watch::new(Bounds::default()).unwrap().wait_for(&inner)), Ok(()));
        assert_eq!(on_this_thread(watch.wait_for(&Signal::new())), Err(WaitError::Cancelled));
        fires.into_iter().for_each(|fire| fire.join().unwrap());
    });
}

/// Records when it is woken.
struct Bell {
    due: Instant,
    rung: AtomicUsize,
    early: AtomicUsize,
    heard: Signal,
}

impl Bell {
    fn new(due: Instant) -> Arc<Bell> {
        Arc::new(Bell { due, rung: AtomicUsize::new(0), early: AtomicUsize::new(0), heard: Signal::new() })
    }
}

impl Sleeper for Bell {
    fn wake(self: Arc<Self>) {
        if Instant::now() < self.due {
            self.early.fetch_add(1, Ordering::SeqCst);
        }
        self.rung.fetch_add(1, Ordering::SeqCst);
        self.heard.fire();
    }
}

/// Sleepers register in any order while the idle reactor thread may be about to end.
#[test]
fn the_timer_wakes_each_sleeper_once_and_not_early() {
    check(begin, || {
        let sleep = |times: &'static [u64]| {
            thread::spawn(move || {
                for time in times {
                    let bell = Bell::new(Instant::now() + ms(*time));
                    let weak: Weak<Bell> = Arc::downgrade(&bell);
                    reactor::wake_at(bell.due, weak).unwrap();
                    // No deadline: a lost wake-up is a deadlock.
                    on_this_thread(Watch::new(Bounds::default()).unwrap().wait_for(&bell.heard)).unwrap();
                    assert_eq!(bell.rung.load(Ordering::SeqCst), 1);
                    assert_eq!(bell.early.load(Ordering::SeqCst), 0, "woken early");
                }
            })
        };
        // The reactor's thread ends after five idle seconds.
        let sleepers = [sleep(&[30, 5]), sleep(&[20])];
        let gone = Bell::new(Instant::now() + ms(10));
        let weak: Weak<Bell> = Arc::downgrade(&gone);
        reactor::wake_at(gone.due, weak.clone()).unwrap();
        drop(gone);
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        if one_in(2) {
            thread::sleep(Duration::from_secs(5));
        }
        sleep(&[7]).join().unwrap();
        end();
        assert_eq!(weak.strong_count(), 0, "the reactor holds no sleeper");
    });
}

/// Tasks wait on one worker for a descriptor and for a signal, while others raise it, fire it, cancel, or nobody does.
#[test]
fn a_task_that_waits_misses_nothing_and_ends_once() {
    check(begin, || {
        let workers = WorkerPool::new("model", 1);
        let (event, signal, token) =
            (Arc::new(EventFd::new().unwrap()), Arc::new(Signal::new()), Arc::new(Signal::new()));
        let ended: [_; 3] = std::array::from_fn(|_| Arc::new((Signal::new(), AtomicUsize::new(0))));
        let start = |number: usize, deadline: Option<u64>| {
            let (event, signal, token, ended) =
                (event.clone(), signal.clone(), token.clone(), ended[number].clone());
            let bounds = Bounds {
                deadline: deadline.map(|deadline| Instant::now() + ms(deadline)),
                cancel: Some(token.clone()),
                close: None,
            };
            let end = bounds.deadline;
            let body = |task| async move {
                let watch = Watch::of_task(bounds, task);
                let waited = match number {
                    0 => watch.wait_ready(&[(event.fd(), Interest::Read)], None).await.map(|_| ()),
                    _ => watch.wait_for(&signal).await,
                };
                match waited {
                    Ok(()) => assert!(number == 0 || signal.has_fired(), "woken by nothing"),
                    Err(WaitError::Cancelled) => assert!(token.has_fired()),
                    Err(WaitError::TimedOut) => assert!(end.is_some_and(|end| Instant::now() >= end)),
                    Err(error) => panic!("{error:?}"),
                }
                drop(watch);
                ended.1.fetch_add(1, Ordering::SeqCst);
                ended.0.fire();
            };
            Task::spawn(&workers, body).unwrap();
        };
        start(0, None);
        start(1, None);
        start(2, Some(10));
        let raise = |event: Arc<EventFd>| thread::spawn(move || event.raise());
        let fire = |signal: Arc<Signal>| thread::spawn(move || signal.fire());
        let causes = match one_in(2) {
            true => vec![fire(token.clone())],
            false => vec![raise(event.clone()), fire(signal.clone())],
        };
        causes.into_iter().for_each(|cause| cause.join().unwrap());
        for ended in &ended {
            // No deadline: a lost wake-up is a deadlock.
            on_this_thread(Watch::new(Bounds::default()).unwrap().wait_for(&ended.0)).unwrap();
            assert_eq!(ended.1.load(Ordering::SeqCst), 1);
        }
        assert_eq!((signal.waits(), token.waits()), (0, 0), "a task that ended stays in the list");
        workers.begin_to_stop();
        assert!(workers.wait_for_end(never(), never()), "workers that do not end");
        end();
    });
}

/// A shutdown whose time is over ends a task that waits, committed or not, as soon as its session is closed, and no other.
#[test]
fn a_shutdown_ends_what_waits_for_a_closed_session() {
    check(begin, || {
        let workers = WorkerPool::new("model", 1);
        let (close, event) = (Arc::new(Signal::new()), EventFd::new().unwrap());
        let ended = Arc::new(Mutex::<_, rank::Test>::new(None));
        // Without a deadline, to which the time could jump.
        let bounds = Bounds { close: Some(close.clone()), ..Bounds::default() };
        let told = ended.clone();
        let committed = one_in(2);
        let body = |task| async move {
            let watch = Watch::of_task(bounds, task);
            watch.commit(committed);
            let waited = watch.wait_ready(&[(event.fd(), Interest::Read)], None).await;
            *told.lock() = Some((waited, watch.is_ended()));
        };
        Task::spawn(&workers, body).unwrap();
        let closing = close.clone();
        let closing = thread::spawn(move || closing.fire());
        workers.begin_to_stop();
        assert!(workers.wait_for_end(Instant::now() + ms(10), never()), "a task outlives the shutdown");
        closing.join().unwrap();
        let (waited, was_ended) = ended.lock().take().expect("it ended");
        assert_eq!(waited, Err(WaitError::Closed));
        assert!(was_ended || !committed, "a close alone ended what was committed");
        end();
    });
}

/// Several threads submit jobs while idle workers end. Then all end.
#[test]
fn workers_do_each_job_once_and_end() {
    check(begin, || {
        let workers = WorkerPool::new("model", if one_in(2) { 1 } else { 2 });
        let jobs: [_; 4] = std::array::from_fn(|_| Arc::new((Signal::new(), AtomicUsize::new(0))));
        let give = |jobs: &[Arc<(Signal, AtomicUsize)>]| {
            let (workers, jobs) = (workers.clone(), jobs.to_vec());
            thread::spawn(move || {
                for job in jobs {
                    let job = move |_| {
                        job.1.fetch_add(1, Ordering::SeqCst);
                        job.0.fire();
                    };
                    let ran = if one_in(2) { workers.run(job) } else { workers.resume(job) };
                    ran.unwrap();
                }
            })
        };
        let givers = [give(&jobs[..2]), give(&jobs[2..3])];
        if one_in(2) {
            thread::sleep(Duration::from_secs(5));
        }
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        give(&jobs[3..]).join().unwrap();
        for job in &jobs {
            // No deadline: a lost job is a deadlock.
            on_this_thread(Watch::new(Bounds::default()).unwrap().wait_for(&job.0)).unwrap();
            assert_eq!(job.1.load(Ordering::SeqCst), 1, "a job done twice");
        }
        workers.begin_to_stop();
        assert!(workers.wait_for_end(never(), never()), "the workers do not end");
        end();
    });
}

fn event(session: u64, epoch: u64) -> Event {
    Event {
        kind: Kind::VSESSION_EVENT_STATE_CHANGED,
        session,
        service: ServiceName::VSESSION_SERVICE_VIM,
        old_state: State::VSESSION_STATE_EXPIRED,
        new_state: State::VSESSION_STATE_ACTIVE,
        reason: Reason::VSESSION_REASON_RELOGIN,
        old_epoch: epoch,
        new_epoch: epoch + 1,
        error: None,
        time_ms: 0,
        merged: 0,
        completion: None,
    }
}

/// Two sessions push events, one of them so many that they merge, and a thread reads. Each session's events are complete and
/// in order.
#[test]
fn a_queue_keeps_each_sessions_order_and_loses_nothing() {
    check(begin, || {
        const EVENTS: [u64; 2] = [2, MOST_PENDING as u64 + 3];
        let queue = Queue::new().unwrap();
        let tellers: Vec<_> = (0..2)
            .map(|session| {
                let queue = queue.clone();
                thread::spawn(move || {
                    (0..EVENTS[session]).for_each(|epoch| queue.push(event(session as u64, epoch)));
                })
            })
            .collect();
        let told = Arc::new(Mutex::<_, rank::Test>::new(HashMap::<u64, Vec<Event>>::new()));
        let reader = {
            let (queue, told) = (queue.clone(), told.clone());
            thread::spawn(move || {
                while queue.next(Duration::MAX).unwrap().is_some_and(|event| {
                    let last = event.session == 1 && event.new_epoch == EVENTS[1];
                    told.lock().entry(event.session).or_default().push(event);
                    !last
                }) {}
            })
        };
        reader.join().unwrap();
        tellers.into_iter().for_each(|teller| teller.join().unwrap());
        let mut told = told.lock();
        assert_eq!(is_readable(queue.fd()), queue.waiting() > 0, "readable exactly while something waits");
        while let Some(event) = queue.next(Duration::ZERO).unwrap() {
            told.entry(event.session).or_default().push(event);
        }
        assert!(!is_readable(queue.fd()), "the queue is empty but readable");
        for (session, events) in EVENTS.iter().enumerate() {
            let story = &told[&(session as u64)];
            assert_eq!(story[0].old_epoch, 0, "the first event is reported");
            assert_eq!(story.last().unwrap().new_epoch, *events, "the last event is reported");
            for pair in story.windows(2) {
                assert_eq!(pair[0].new_epoch, pair[1].old_epoch, "a gap or a step back");
            }
            assert_eq!(story.iter().map(|e| u64::from(e.merged) + 1).sum::<u64>(), *events);
        }
    });
}

/// `vsession_queue_free` during pushes and reads.
#[test]
fn a_closed_queue_ends_its_readers_and_holds_nothing() {
    check(begin, || {
        let queue = Queue::new().unwrap();
        let teller = {
            let queue = queue.clone();
            thread::spawn(move || (0..2).for_each(|epoch| queue.push(event(1, epoch))))
        };
        let readers = [None, Some(10)].map(|limit| {
            let queue = queue.clone();
            thread::spawn(move || {
                loop {
                    match queue.next(limit.map_or(Duration::MAX, ms)) {
                        Ok(None) if limit.is_some() => return,
                        Ok(None) => panic!("the wait ended without an event"),
                        Ok(Some(event)) => assert_eq!(event.session, 1),
                        Err(error) => return assert_eq!(error.status(), Status::VSESSION_E_CLOSED),
                    }
                }
            })
        });
        queue.close();
        assert_eq!(queue.next(Duration::ZERO).unwrap_err().status(), Status::VSESSION_E_CLOSED);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        teller.join().unwrap();
        assert_eq!(queue.waiting(), 0, "the closed queue holds events");
        assert!(!is_readable(queue.fd()), "a freed queue is readable");
    });
}

/// A session that does not know yet that its slot belongs to another session.
#[test]
fn only_the_owner_changes_published_words() {
    check(begin, || {
        let services = [ServiceName::VSESSION_SERVICE_VIM, ServiceName::VSESSION_SERVICE_REST];
        let owner = Publisher::alone().of(services[usize::from(one_in(2))]);
        let late = thread::spawn(move || {
            owner.set_state(State::VSESSION_STATE_LOGGING_IN);
            owner.raise_epoch(1);
        });
        let next = owner.hand_over();
        late.join().unwrap();
        for next in services.map(|service| next.of(service)) {
            assert_eq!((next.state(), next.epoch()), (State::VSESSION_STATE_LOGGED_OUT, 0));
        }
    });
}
