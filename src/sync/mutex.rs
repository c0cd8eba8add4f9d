//! The mutex of the library.

use std::time::Duration;

/// parking_lot's mutex without its parking. Threads that park do so in a table of the whole process, which a forked child
/// inherits with entries of threads that it does not have; a child that uses such locks hangs or crashes. What our locks
/// guard takes a few instructions, so whoever finds one taken looks again in a moment.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(parking_lot::const_mutex(value))
    }

    pub(crate) fn try_lock(&self) -> Option<parking_lot::MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        const SPINS: u32 = 32;
        const YIELDS: u32 = 128;
        let mut tries = 0;
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            match tries {
                0..SPINS => std::hint::spin_loop(),
                SPINS..YIELDS => std::thread::yield_now(),
                // A thread of real-time priority would never let the holder run by yielding.
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_take_turns() {
        let counter = Mutex::new(0u64);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        *counter.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*counter.lock(), 80_000);
    }
}
