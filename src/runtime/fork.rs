//! Detects that the process is a forked child. The child cannot use the locks and threads of its parent, so each exported
//! function asks here before it touches anything.

use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::sys;

static FORKED: AtomicBool = AtomicBool::new(false);

/// How many forks lie between this process and the one that loaded the library. Tells inherited values from own ones.
static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Called when the child has replaced everything that it inherited.
pub(crate) fn start_afresh() {
    FORKED.store(false, Ordering::Relaxed);
}

/// The process id, without a system call each time.
pub(crate) fn process_id() -> u32 {
    /// The lower half is the id; the upper half is one more than the value of `forks` when it was read.
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

/// Detects forks from now on. Called before the library makes anything that a child must not use; before that a child
/// inherits nothing.
pub(crate) fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    // Concurrent threads may each register the handler. Running it twice does no harm.
    if !WATCHED.load(Ordering::Acquire) && sys::at_fork(in_child) {
        WATCHED.store(true, Ordering::Release);
    }
}

/// Whether this process is a forked child that must not use what it inherited.
#[inline]
pub(crate) fn is_forked_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}
