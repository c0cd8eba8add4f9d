//! The primitives of synchronisation of the library, in one place, so that a model checker can be put in their stead:
//! mutexes, atomics, threads, the clock, and the descriptors that threads wait for. Nothing else in the crate names one from
//! elsewhere, but for the exceptions that `tests/layers.py` lists. Built with `--cfg vsession_model`, `sync/model.rs` stands for all of them.

#[cfg(vsession_model)]
pub(crate) mod model;
#[cfg(not(vsession_model))]
mod mutex;

pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{Arc, Weak};

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

    pub(crate) use super::mutex::Mutex;
    pub(crate) use crate::sys::{EventFd, poll, receive, shut_down};
}
#[cfg(not(vsession_model))]
pub(crate) use real::*;
