//! Values that belong to one process: what the library keeps for all its users. A forked child inherits copies whose
//! locks may be held by threads that it does not have; when it starts afresh it gets new ones, and the old ones are left
//! alone for ever, because nothing can safely be done with them.
//!
//! Nothing in the library waits until another thread has made such a value: a child that was forked in that moment would
//! wait for ever. Threads that come at the same time make one each, and the first counts.

use super::fork;
use crate::sync::{Arc, ArcSwapOption};

/// One value for the process, made when it is first used.
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
        // A child that inherits the value must know that it is a child.
        fork::watch();
        let new = Arc::new(T::default());
        let previous = self.0.compare_and_swap(&None::<Arc<T>>, Some(new.clone()));
        previous.as_ref().cloned().unwrap_or(new)
    }

    /// Puts a new value in place, in a forked child.
    pub(crate) fn renew(&self) {
        std::mem::forget(self.0.swap(Some(Arc::new(T::default()))));
    }
}
