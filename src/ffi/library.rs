//! The library as a whole: version, names of numbers, log, strings.

use std::ffi::{CString, c_char, c_int, c_void};
use std::time::Duration;

use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::strings::name_of;
use super::userdata::UserData;
use crate::error::Error;
use crate::http;
use crate::net;
use crate::runtime::log::{self, Level};
use crate::runtime::secret::Wiped;
use crate::runtime::wait::Bounds;
use crate::runtime::{fork, timer, workers};
use crate::session::Session;
use crate::state::{vsession_reason, vsession_state};
use crate::status::vsession_status;
use crate::sync::Instant;
use crate::vim::service;

/// How important a log message is; a level includes those above it.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_log_level {
    /// Nothing.
    VSESSION_LOG_OFF = 0,
    /// Something failed and nobody else is told.
    VSESSION_LOG_ERROR = 1,
    /// Something failed and was dealt with, or is unsafe.
    VSESSION_LOG_WARNING = 2,
    /// Logins, logouts, sessions that ended.
    VSESSION_LOG_INFO = 3,
    /// Every error that a call returned.
    VSESSION_LOG_DEBUG = 4,
}

/// Receives log messages: the level, the text (UTF-8, valid during the call only), and the pointer that was registered.
/// Called on whatever thread has something to say, several at a time, with no lock of the library held; it may call any
/// function of the library.
pub type vsession_log_fn =
    Option<unsafe extern "C" fn(level: i32, message: *const c_char, data: *mut c_void)>;

/// The version of the library, for example `0.1.0`.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_version() -> *const c_char {
    guard!(accessor(c"".as_ptr()), || concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast())
}

/// The version as a number: major × 1,000,000 + minor × 1,000 + patch.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_version_number() -> u32 {
    guard!(accessor(0), || {
        let mut parts = env!("CARGO_PKG_VERSION").split('.').map(|p| p.parse::<u32>().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        next() * 1_000_000 + next() * 1_000 + next()
    })
}

/// The name of a status, for example `VSESSION_E_TIMEOUT`; `VSESSION_E_UNKNOWN` for a number that this version does not
/// know. Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_status_name(status: i32) -> *const c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_status, status, c"VSESSION_E_UNKNOWN"))
}

/// The name of a state for people, for example `active`. Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_state_name(state: i32) -> *const c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_state, state, c"invalid"))
}

/// The name of a reason for people, for example `relogin`; empty for a number that this version does not know.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_reason_name(reason: i32) -> *const c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_reason, reason, c""))
}

/// Sends the library's log to `sink`; messages above `level` are not made. One sink for the process: a later call replaces
/// it, NULL or `VSESSION_LOG_OFF` ends it. Messages hold no password, cookie or token at any level.
///
/// The old sink may still be running on another thread when this returns; keep its `data` alive.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_set_log(level: c_int, sink: vsession_log_fn, data: *mut c_void) {
    guard!(value(()), || {
        let level = level.clamp(0, vsession_log_level::VSESSION_LOG_DEBUG as c_int) as u8;
        let data = UserData::new(data, None);
        let sink = sink.map(|sink| {
            Box::new(move |level: Level, message: &str| {
                let data = &data;
                let text = CString::new(message.replace('\0', "?")).unwrap_or_default();
                // SAFETY: the caller registered the function to be called so, with this pointer.
                unsafe { sink(level as i32, text.as_ptr(), data.pointer()) };
            }) as log::Sink
        });
        log::set(level, sink);
    });
}

/// Frees a string that the library handed out as owned, for example by `vsession_get_cookie`. Its bytes are zeroed first.
/// NULL is allowed.
///
/// Threads: safe from any thread, once for each string. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_string_free(string: *mut c_char) {
    guard!(free(string), |string| {
        // SAFETY: the string came from `CString::into_raw` of this library and is freed once.
        let owned = unsafe { CString::from_raw(string) };
        drop(Wiped::new(owned.into_bytes()));
    })
}

/// Closes every session and ends the threads of the library: for a program that wants to leave nothing behind at its end.
/// Sessions are closed side by side, each as by `vsession_close`. Configurations, tokens and queues stay and are freed by
/// their owners. The library may be used again afterwards.
///
/// Threads: safe from any thread but those of callbacks. Blocks: up to `timeout_ms`.
/// Errors: VSESSION_E_TIMEOUT when sessions could not be logged out or threads not be ended in time; the first error of a
/// close otherwise. The sessions are closed in any case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_shutdown(
    timeout_ms: u32,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let end = Instant::now() + Duration::from_millis(timeout_ms.into());
        let (done, results) = std::sync::mpsc::channel();
        // All at once first: that ends the calls under way, which may have all the workers.
        let endings: Vec<_> = handles::sessions()
            .into_iter()
            .filter_map(|(handle, session)| {
                let ending = session.begin_close();
                let _ = handles::remove::<Session>(handle, "session");
                ending.map(|ending| (session, ending))
            })
            .collect();
        let number = endings.len();
        for (session, ending) in endings {
            let done = done.clone();
            let bounds = Bounds { deadline: Some(end), ..Bounds::default() };
            let (bounds_here, done_here) = (bounds.clone(), done.clone());
            let (closing, ending_there) = (session.clone(), ending.clone());
            let started = workers::pools().calls.run(move |thread| {
                let closed = thread.map_err(Error::from);
                let _ = done.send(closed.and_then(|()| closing.finish_close(ending_there, bounds)));
            });
            if started.is_err() {
                let _ = done_here.send(session.finish_close(ending, bounds_here));
            }
        }
        let mut first_error = None;
        for _ in 0..number {
            let left = end.saturating_duration_since(Instant::now()) + Duration::from_millis(100);
            match results.recv_timeout(left) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => first_error = first_error.or(Some(error)),
                Err(_) => break,
            }
        }
        let stopped = timer::stop(end) & workers::pools().stop(end);
        match first_error {
            Some(error) => Err(error),
            None if !stopped => Err(Error::new(
                vsession_status::VSESSION_E_TIMEOUT,
                "every session is closed, but threads of the library are still at work, for example in a callback; give it a larger timeout_ms",
            )),
            None => Ok(()),
        }
    })
}

/// Lets a forked child use the library: every handle of the parent's is a dead one here, and new ones can be made. Until
/// then each function answers VSESSION_E_FORKED. The parent is not affected; its sessions stay its own and must not be
/// logged out from here. What the child inherited is left in memory as it is. In a process that is no forked child this
/// does nothing.
///
/// Threads: to be called before the child starts threads of its own that use the library. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_after_fork_child(err: *mut *mut vsession_error) -> vsession_status {
    guard!(status_even_after_fork(err), || {
        if fork::is_forked_child() {
            workers::renew_after_fork();
            timer::renew_after_fork();
            net::renew_after_fork();
            http::renew_after_fork();
            service::renew_after_fork();
            handles::renew_after_fork();
            fork::start_afresh();
        }
        Ok(())
    })
}
