//! A small number for each thread, to spread threads over a few slots and to recognise a thread.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering, thread_local};

/// The number of the current thread. The first thread that asks gets 1.
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
