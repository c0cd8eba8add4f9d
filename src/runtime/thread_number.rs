//! A number for each thread, so that threads can have their own among a few of something.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering, thread_local};

/// The number of the current thread, from 1, in the order in which threads ask for one.
pub(crate) fn thread_number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }
    static LAST: AtomicU64 = AtomicU64::new(0);
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed) as usize + 1);
        }
        number.get()
    })
}
