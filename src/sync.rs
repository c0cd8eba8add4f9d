//! The library's primitives of synchronisation: mutexes, atomics, threads, the clock, and the descriptors that threads wait for.
//! All other modules take them from here, with the exceptions that `tests/layers.rs` lists, so that a model checker can replace
//! them: with `--cfg vsession_model` they come from `sync/model.rs`.

#[cfg(vsession_model)]
pub(crate) mod model;
mod mutex;
pub(crate) mod rank;

pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{Arc, Weak};

pub(crate) use mutex::{Mutex, MutexGuard};

/// For values that belong to one thread at a time, such as those of a task, which different workers run in turn. Nothing
/// is shared through them, so that the models make no step at them.
pub(crate) mod unshared {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
}

#[cfg(vsession_model)]
pub(crate) use model::primitives::*;

#[cfg(not(vsession_model))]
mod real {
    pub(crate) use arc_swap::{ArcSwap, ArcSwapOption};
    pub(crate) use std::hash::RandomState;
    #[cfg(test)]
    pub(crate) use std::sync::atomic::AtomicUsize;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
    pub(crate) use std::time::Instant;
    pub(crate) use std::{thread, thread_local};

    pub(crate) use crate::sys::{Epoll, EventFd, poll, receive, shut_down};
}
#[cfg(not(vsession_model))]
pub(crate) use real::*;
