//! Notices that the process is a fork of the one that used the library. The locks and threads of the parent are not
//! usable there, so every entry point asks here before it touches anything.

use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::sys;

static FORKED: AtomicBool = AtomicBool::new(false);

/// How many forks lie between this process and the one that loaded the library; tells inherited values from own ones.
static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Declares that the child has new values for everything that it inherited.
pub(crate) fn start_afresh() {
    FORKED.store(false, Ordering::Relaxed);
}

/// The process id, without a system call each time.
pub(crate) fn process_id() -> u32 {
    /// The id in the lower half, and how many forks ago it was asked for in the upper one, plus one.
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    let known = KNOWN.load(Ordering::Relaxed);
    let now = forks() + 1;
    if known >> 32 == now {
        return known as u32;
    }
    let id = std::process::id();
    KNOWN.store(now << 32 | u64::from(id), Ordering::Relaxed);
    id
}

pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Has forks noticed from now on. Called before anything is made that a child must not use; until then a fork inherits
/// nothing.
pub(crate) fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    // Threads that come at the same time each register it: to be told twice of a fork does no harm.
    if !WATCHED.load(Ordering::Acquire) && sys::at_fork(None, Some(in_child)) {
        WATCHED.store(true, Ordering::Release);
    }
}

/// Whether this process is a fork that must not use what it inherited.
#[inline]
pub(crate) fn is_forked_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}
