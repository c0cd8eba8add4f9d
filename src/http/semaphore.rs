//! Limits how many connections a client uses at a time. Waiters are served in order, and each wait can be ended.

use std::collections::VecDeque;

use crate::runtime::wait::{Signal, WaitError, Watch};
use crate::sync::{Arc, Mutex, rank};

#[derive(Debug)]
pub(super) struct Semaphore(Mutex<State, rank::Permits>);

#[derive(Debug)]
struct State {
    free: usize,
    line: VecDeque<Arc<Signal>>,
}

/// The right to use one connection, given back when dropped.
pub(crate) struct Permit<'a>(&'a Semaphore);

impl Semaphore {
    pub(super) fn new(number: usize) -> Semaphore {
        Semaphore(Mutex::new(State { free: number, line: VecDeque::new() }))
    }

    pub(super) fn try_take(&self) -> Option<Permit<'_>> {
        let mut state = self.0.lock();
        state.free = state.free.checked_sub(1)?;
        Some(Permit(self))
    }

    pub(super) async fn take(&self, watch: &Watch) -> Result<Permit<'_>, WaitError> {
        let turn = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Permit(self));
            }
            let turn = Arc::new(Signal::new());
            state.line.push_back(turn.clone());
            turn
        };
        match watch.wait_for(&turn).await {
            // The thread that gave a permit back has handed it to this one.
            Ok(()) => Ok(Permit(self)),
            Err(stop) => {
                let mut state = self.0.lock();
                match state.line.iter().position(|t| Arc::ptr_eq(t, &turn)) {
                    Some(position) => drop(state.line.remove(position)),
                    // sometimes: a race, which a run meets or not
                    // It was handed over just as this thread gave up: pass it on.
                    None => {
                        drop(state);
                        self.give_back();
                    }
                }
                Err(stop)
            }
        }
    }

    fn give_back(&self) {
        let next = {
            let mut state = self.0.lock();
            match state.line.pop_front() {
                Some(next) => next,
                None => {
                    state.free += 1;
                    return;
                }
            }
        };
        next.fire();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::Bounds;
    use crate::sync::{AtomicUsize, Ordering};
    use std::time::Duration;

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
}
