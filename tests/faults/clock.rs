//! A wall clock that jumps: the library, linked into this program, calls the function below instead of the C library's.

use std::sync::atomic::{AtomicI64, Ordering};

static AHEAD_S: AtomicI64 = AtomicI64::new(0);

/// Sets the wall clock this many years ahead of the true time.
pub fn jump(years: i64) {
    AHEAD_S.store(years * 365 * 24 * 3600, Ordering::SeqCst);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, now: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller passes what the system call needs.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, now) } as libc::c_int;
    if result == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the system call has filled the structure.
        unsafe { (*now).tv_sec += AHEAD_S.load(Ordering::SeqCst) };
    }
    result
}
