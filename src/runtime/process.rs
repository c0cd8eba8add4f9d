//! Values that belong to the process. A forked child inherits copies whose locks may be held by threads that it does not have.
//! When it starts afresh it gets new values. The old ones are leaked, because nothing can safely be done with them.
//!
//! No thread waits while another makes such a value: a child that was forked meanwhile would wait for ever. Concurrent threads
//! each make one, and the first counts.

use super::fork;
use crate::sync::{Arc, ArcSwapOption};

/// One value for the process, made at its first use.
pub(crate) struct PerProcess<T>(ArcSwapOption<T>);

impl<T: Default> PerProcess<T> {
    // unreached: runs when the program is compiled
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(ArcSwapOption::const_empty())
    }

    #[inline]
    pub(crate) fn get(&self) -> Arc<T> {
        self.0.load_full().unwrap_or_else(|| self.make())
    }

    #[cold]
    fn make(&self) -> Arc<T> {
        // A child must detect the fork before it uses the inherited value.
        fork::watch();
        let new = Arc::new(T::default());
        let previous = self.0.compare_and_swap(&None::<Arc<T>>, Some(new.clone()));
        previous.as_ref().cloned().unwrap_or(new)
    }

    /// Replaces the value, in a forked child.
    pub(crate) fn renew(&self) {
        std::mem::forget(self.0.swap(Some(Arc::new(T::default()))));
    }
}
