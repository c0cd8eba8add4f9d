//! Values that belong to one process: what the library keeps for all its users. A forked child inherits copies whose
//! locks may be held by threads that it does not have; when it starts afresh it gets new ones, and the old ones are left
//! alone for ever, because nothing can safely be done with them.

use once_cell::sync::Lazy;

use crate::sync::{Arc, ArcSwap};

/// One value for the process, made when it is first used.
pub(crate) struct PerProcess<T>(Lazy<ArcSwap<T>>);

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(Lazy::new(|| ArcSwap::from_pointee(T::default())))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts a new value in place, in a forked child.
    pub(crate) fn renew(&self) {
        std::mem::forget(self.0.swap(Arc::new(T::default())));
    }
}
