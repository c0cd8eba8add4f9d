//! The library's mutex: what waits for it sleeps, a panic does not poison it, and debug builds check the order of locks.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

#[cfg(vsession_model)]
use super::model::primitives::{RawGuard, RawMutex};
#[cfg(debug_assertions)]
use super::rank::Held;
use super::rank::Rank;
#[cfg(not(vsession_model))]
use raw::{RawGuard, RawMutex};

/// parking_lot's mutex over a lock that waits in the kernel (`sys::FutexLock`). parking_lot's own lock keeps its waiters in a
/// table of the whole process, which a forked child inherits with threads that it does not have.
#[cfg(not(vsession_model))]
mod raw {
    use crate::sys::FutexLock;

    pub(super) type RawMutex<T> = parking_lot::lock_api::Mutex<FutexLock, T>;
    pub(super) type RawGuard<'a, T> = parking_lot::lock_api::MutexGuard<'a, FutexLock, T>;
}

/// A mutex whose place in the order of locks is `R`.
pub(crate) struct Mutex<T, R> {
    raw: RawMutex<T>,
    rank: PhantomData<fn() -> R>,
}

/// The value of a locked mutex, until dropped.
pub(crate) struct MutexGuard<'a, T> {
    raw: RawGuard<'a, T>,
    #[cfg(debug_assertions)]
    _held: Held,
}

impl<T, R: Rank> Mutex<T, R> {
    pub(crate) const fn new(value: T) -> Mutex<T, R> {
        Mutex { raw: RawMutex::new(value), rank: PhantomData }
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(debug_assertions)]
        Held::check::<R>();
        Mutex::<T, R>::guard(self.raw.lock())
    }

    /// Does not wait, and may be called whatever locks the thread holds.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().map(Mutex::<T, R>::guard)
    }

    #[inline]
    fn guard(raw: RawGuard<'_, T>) -> MutexGuard<'_, T> {
        MutexGuard {
            raw,
            #[cfg(debug_assertions)]
            _held: Held::note::<R>(),
        }
    }
}

impl<T: Default, R: Rank> Default for Mutex<T, R> {
    fn default() -> Mutex<T, R> {
        Mutex::new(T::default())
    }
}

impl<T: fmt::Debug, R: Rank> fmt::Debug for Mutex<T, R> {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(R::NAME).field(&self.raw).finish()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.raw
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.raw
    }
}

#[cfg(all(test, not(vsession_model)))]
mod tests {
    use super::*;
    use crate::sync::rank::{Signal, Test, Waker};

    #[test]
    fn many_threads_take_turns() {
        let counter = Mutex::<u64, Test>::new(0);
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

    /// Threads that sleep in the kernel are woken one after the other.
    #[test]
    fn each_waiter_gets_the_lock_after_a_long_wait() {
        let lock = Mutex::<u64, Test>::new(0);
        std::thread::scope(|scope| {
            let held = lock.lock();
            for _ in 0..8 {
                scope.spawn(|| *lock.lock() += 1);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            drop(held);
        });
        assert_eq!(*lock.lock(), 8);
    }

    #[test]
    fn a_panic_under_the_lock_does_not_poison_it() {
        let lock = Mutex::<u64, Test>::new(0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut value = lock.lock();
            *value = 2;
            panic!("a planted panic");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), 2);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn locks_taken_out_of_order_panic_with_both_names() {
        let (outer, inner) = (Mutex::<(), Signal>::new(()), Mutex::<(), Waker>::new(()));
        let message = |wrong: fn(&Mutex<(), Signal>, &Mutex<(), Waker>)| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wrong(&outer, &inner)));
            *panic.unwrap_err().downcast::<String>().unwrap()
        };
        {
            let _outer = outer.lock();
            drop(inner.lock());
        }
        let inverted = message(|outer, inner| {
            let _inner = inner.lock();
            drop(outer.lock());
        });
        assert_eq!(inverted, "lock order: Signal is taken while Waker is held; see src/sync/rank.rs");
        let twice = message(|outer, _| {
            let other = Mutex::<(), Signal>::new(());
            let _outer = outer.lock();
            drop(other.lock());
        });
        assert_eq!(twice, "lock order: Signal is taken while Signal is held; see src/sync/rank.rs");
        let _inner = inner.lock();
        assert!(outer.try_lock().is_some(), "what does not wait has no order");
    }
}
