//! Limits how many connections a client uses at a time. Waiters are served in order, and each wait can be ended. Who cannot be
//! served before its deadline is told so instead of waiting: a request that is sent too late is abandoned, with its connection,
//! and the next one is late because of it.

use std::time::Duration;

use super::line::{Arrival, Line, Time};
use super::pace::Forecast;
use crate::runtime::signal::Signal;
use crate::runtime::wait::{WaitError, Watch};
use crate::sync::{Instant, Mutex, rank};

#[derive(Debug)]
pub(super) struct Semaphore(Mutex<Line, rank::Permits>);

/// The right to use one connection, given back when dropped.
pub(crate) struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// How long the request takes, as far as that is known: a plain call needs no clock for it.
    time: Time,
    pub(super) answered: bool,
}

/// Why there is no permit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Stopped(WaitError),
    TooLate(Forecast),
}

impl Semaphore {
    pub(super) fn new(permits: usize) -> Semaphore {
        Semaphore(Mutex::new(Line::new(permits)))
    }

    /// How many permits are free, for the models.
    #[cfg(all(test, vsession_model))]
    pub(super) fn free(&self) -> usize {
        let line = self.0.lock();
        assert!(line.waiting.is_empty(), "an ended wait is left in the line");
        line.free
    }

    /// How many calls wait for a permit, for tests.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }

    pub(super) fn try_take(&self) -> Option<Permit<'_>> {
        let mut line = self.0.lock();
        line.free = line.free.checked_sub(1)?;
        Some(self.permit(Time::Unknown))
    }

    /// Waits for a permit, however long that takes.
    pub(super) async fn take(&self, watch: &Watch) -> Result<Permit<'_>, WaitError> {
        self.take_before(None, watch).await.map_err(|refusal| match refusal {
            Refusal::Stopped(stop) => stop,
            // unreached: without a deadline nothing is too late
            Refusal::TooLate(_) => WaitError::TimedOut,
        })
    }

    /// Waits for a permit, unless the reply to the request would come after the deadline.
    pub(super) async fn take_in_time(&self, watch: &Watch) -> Result<Permit<'_>, Refusal> {
        self.take_before(watch.bounds().deadline, watch).await
    }

    async fn take_before(&self, deadline: Option<Instant>, watch: &Watch) -> Result<Permit<'_>, Refusal> {
        let arrival = self.0.lock().arrive(deadline, Instant::now);
        let turn = match arrival {
            Arrival::Free => return Ok(self.permit(Time::Unknown)),
            Arrival::TooLate(forecast, told_at) => {
                watch.wait_for_until(&Signal::new(), Some(told_at)).await.map_err(Refusal::Stopped)?;
                return Err(Refusal::TooLate(forecast));
            }
            Arrival::Waits(turn) => turn,
        };
        let waited = watch.wait_for(&turn.decided).await;
        if let Err(stop) = waited {
            let late = !self.0.lock().leave(&turn);
            // sometimes: it was decided just as this thread gave up; a permit is passed on
            if late && matches!(turn.outcome.get(), Some(Ok(_))) && !planted!("permit-of-who-gave-up") {
                drop(self.permit(Time::Unknown));
            }
            return Err(Refusal::Stopped(stop));
        }
        match turn.outcome.get() {
            // It was told at the last moment, or woke up late. A refusal is for those who still have time.
            Some(Err(_)) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                Err(Refusal::Stopped(WaitError::TimedOut))
            }
            Some(Err(forecast)) => Err(Refusal::TooLate(*forecast)),
            // The thread that gave a permit back has handed it to this one.
            Some(Ok(since)) => Ok(self.permit(Time::Since(*since))),
            // unreached: the outcome is written before the signal fires
            None => Ok(self.permit(Time::Unknown)),
        }
    }

    fn permit(&self, time: Time) -> Permit<'_> {
        Permit { semaphore: self, time, answered: false }
    }
}

impl Permit<'_> {
    /// The reply began so long after the request was sent. A call that waited knows better.
    pub(super) fn took(&mut self, took: Option<Duration>) {
        if let (Time::Unknown, Some(took)) = (self.time, took) {
            self.time = Time::Took(took);
        }
    }

    /// The request that was sent then failed, or has no reply.
    #[cold]
    pub(super) fn failed(&mut self, sent: Option<Instant>) {
        if let (Time::Unknown, Some(sent)) = (self.time, sent) {
            self.time = Time::Since(sent);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let decided = self.semaphore.0.lock().give_back(self.time, self.answered, Instant::now);
        decided.iter().for_each(|turn| turn.decided.fire());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::task::{Task, on_this_thread};
    use crate::runtime::wait::Bounds;
    use crate::runtime::workers::WorkerPool;
    use crate::sync::{Arc, AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    #[test]
    fn never_more_holders_than_permits_and_everyone_gets_a_turn() {
        let permits = Semaphore::new(3);
        let (now, peak, turns) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let watch = Watch::new(Bounds::default()).unwrap();
                        let _permit = on_this_thread(permits.take(&watch)).unwrap();
                        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(peak.load(Ordering::SeqCst) <= 3);
        assert_eq!(turns.load(Ordering::SeqCst), 600);
        assert_eq!(permits.0.lock().free, 3);
    }

    #[test]
    fn a_waiter_that_gives_up_loses_no_permit() {
        let permits = Semaphore::new(1);
        let patient = Watch::new(Bounds::default()).unwrap();
        let held = on_this_thread(permits.take(&patient)).unwrap();
        let hasty = Watch::new(Bounds::with_timeout(Duration::from_millis(10))).unwrap();
        assert_eq!(on_this_thread(permits.take(&hasty)).err(), Some(WaitError::TimedOut));
        drop(held);
        assert!(on_this_thread(permits.take(&patient)).is_ok());
        assert_eq!(permits.0.lock().free, 1);
    }

    #[test]
    fn a_call_that_learns_after_its_deadline_that_it_was_refused_has_missed_the_deadline() {
        const LONG: Duration = Duration::from_secs(60);
        let (workers, permits) = (WorkerPool::new("test", 1), Arc::new(Semaphore::new(1)));
        let (told, results) = channel();
        for wakes_late in [false, true] {
            let mut held = permits.try_take().unwrap();
            // Longer than the call has time. The first in the line waits nevertheless.
            held.took(Some(LONG));
            let deadline = Instant::now() + Duration::from_millis(400);
            let (told, permits) = (told.clone(), permits.clone());
            let call = |task| async move {
                let watch = Watch::of_task(Bounds { deadline: Some(deadline), ..Bounds::default() }, task);
                let refused = permits.take_in_time(&watch).await.err();
                told.send((refused, Instant::now())).unwrap();
            };
            Task::spawn(&workers, call).unwrap();
            // The only worker begins this when the call has let go of it.
            let (begun, begins) = channel();
            let (release, released) = channel::<()>();
            let hold = move |_| {
                begun.send(()).unwrap();
                released.recv().unwrap();
            };
            workers.run(hold).unwrap();
            begins.recv_timeout(LONG).unwrap();
            drop(held);
            while wakes_late && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            release.send(()).unwrap();
            let (refused, at) = results.recv_timeout(LONG).unwrap();
            match refused.unwrap() {
                Refusal::TooLate(_) => assert!(!wakes_late),
                // On a slow machine the other one may be late too.
                Refusal::Stopped(stop) => assert!(stop == WaitError::TimedOut && at >= deadline, "{stop:?}"),
            }
        }
    }
}
