//! The synchronisation primitives of the library, in one place, so that a model checker can be put in their stead.
//! Nothing else in the crate names a mutex or an atomic type from elsewhere.

pub(crate) use parking_lot::{Condvar, Mutex};
pub(crate) use std::sync::Arc;
#[cfg(test)]
pub(crate) use std::sync::atomic::AtomicUsize;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
