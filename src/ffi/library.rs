//! The library as a whole: version, names of values, log, shutdown, fork.

use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

use super::callback_data::CallbackData;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::strings::{borrowed, name_of, taken_back};
use crate::error::Error;
use crate::http;
use crate::net;
use crate::runtime::log::{self, Level};
use crate::runtime::secret::Wiped;
use crate::runtime::wait::Bounds;
use crate::runtime::workers::{self, NoThread};
use crate::runtime::{fork, reactor};
use crate::session::Session;
use crate::state::{vsession_reason, vsession_state};
use crate::status::vsession_status;
use crate::sync::Instant;
use crate::text::Text;
use crate::vim::service;

/// How important a log message is. A level includes the levels with smaller numbers.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_log_level {
    /// No messages.
    VSESSION_LOG_OFF = 0,
    /// A failure that no caller is told of.
    VSESSION_LOG_ERROR = 1,
    /// A failure that the library has handled, or a setting that is unsafe.
    VSESSION_LOG_WARNING = 2,
    /// Logins, logouts, ended sessions.
    VSESSION_LOG_INFO = 3,
    /// Every error that a call returned.
    VSESSION_LOG_DEBUG = 4,
}

/// Receives log messages: the level (a `vsession_log_level`), the text (UTF-8, valid only during the call), and the pointer
/// that was registered. It is called on the thread that makes the message, on several threads at a time, and while the
/// library holds no lock. It may call any function of the library.
pub type vsession_log_fn =
    Option<unsafe extern "C" fn(level: i32, message: *const c_char, data: *mut c_void)>;

/// Returns the version of the library, for example `0.1.0`. Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_version() -> *const c_char {
    guard!(accessor(c"".as_ptr()), || concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast())
}

/// Returns the version as a number: major × 1,000,000 + minor × 1,000 + patch.
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

/// Returns the name of a status, for example `VSESSION_E_TIMEOUT`, or `VSESSION_E_UNKNOWN` for a number that this
/// version does not know. Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_status_name(status: i32) -> *const c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_status, status, c"VSESSION_E_UNKNOWN"))
}

/// Returns the name of a state for people, for example `active`, or `invalid` for an unknown number. Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_state_name(state: i32) -> *const c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_state, state, c"invalid"))
}

/// Returns the name of a reason for people, for example `relogin`, or an empty string for an unknown number. Never
/// NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_reason_name(reason: i32) -> *const c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_reason, reason, c""))
}

/// Sends the library's log messages to `sink`. Messages above `level` (a `vsession_log_level`; other numbers count as
/// the nearest one) are not made. The process has one sink: a later call replaces it, and NULL or `VSESSION_LOG_OFF`
/// removes it. No message at any level holds a password, cookie or token.
///
/// The previous sink may still be running on another thread when this function returns, so keep its `data` alive.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_set_log(level: c_int, sink: vsession_log_fn, data: *mut c_void) {
    guard!(value(()), || {
        let level = level.clamp(0, vsession_log_level::VSESSION_LOG_DEBUG as c_int) as u8;
        let data = CallbackData::new(data, None);
        let sink = sink.map(|sink| {
            Box::new(move |level: Level, message: &str| {
                let data = &data;
                let text = Text::from(message.replace('\0', "?"));
                // SAFETY: the caller registered the function to be called so, with this pointer.
                unsafe { sink(level as i32, borrowed(&text), data.pointer()) };
            }) as log::Sink
        });
        log::set(level, sink);
    });
}

/// Frees a string that the library returned as owned, for example by `vsession_get_cookie`. The bytes are zeroed first.
/// NULL is allowed and does nothing.
///
/// Threads: safe from any thread, once for each string. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_string_free(string: *mut c_char) {
    guard!(free(string), |string| {
        // SAFETY: by contract the string came from this library and is freed once.
        drop(Wiped::new(unsafe { taken_back(string) }));
    })
}

/// Closes every session and ends the threads of the library, so that a program leaves nothing behind at its end. The
/// sessions are closed in parallel, each as by `vsession_close`. Configurations, tokens and queues stay open until
/// their owners free them. The library can be used again afterwards.
///
/// It waits for logins that were sent and that nobody waits for any more, also of sessions that were closed before, to log
/// their sessions out. At `timeout_ms` it ends them and closes their connections: the server may have made a session that
/// stays there until it has been idle long enough. The error and a warning in the log name server and user.
///
/// Threads: safe from any thread except those of callbacks. Blocks: up to `timeout_ms`, and a tenth of a second more for
/// what it then ends.
/// Errors: VSESSION_E_TIMEOUT when sessions could not be logged out in time, when a session may have been left on a server,
/// or when a thread is still in one of the program's functions or in the lookup of a name, which nothing can end; otherwise
/// the first error of a close. The sessions are closed in any case. Only a thread of the last kind is left for another
/// vsession_shutdown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_shutdown(
    timeout_ms: u32,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let end = Instant::now() + Duration::from_millis(timeout_ms.into());
        drop(workers::pools().take_undone());
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
            let (done, bounds) = (done.clone(), Bounds { deadline: Some(end), ..Bounds::default() });
            let close = move |thread: Result<(), NoThread>| {
                let thread = thread.map_err(Error::from);
                let _ = done.send(thread.and_then(|()| session.finish_close(ending, bounds)));
            };
            if workers::pools().calls.run(close.clone()).is_err() {
                close(Ok(()));
            }
        }
        let mut first_error = None;
        for _ in 0..number {
            let left = end.saturating_duration_since(Instant::now()) + Duration::from_millis(100);
            match results.recv_timeout(left) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => first_error = first_error.or(Some(error)),
                // unreached: needs a defect in ring, rustls or this library
                Err(_) => break,
            }
        }
        // Tasks need the reactor until they have ended.
        let stopped = workers::pools().stop(end) & reactor::stop(end.max(Instant::now() + workers::TO_END));
        let undone = workers::pools().take_undone();
        match first_error {
            Some(error) if undone.is_empty() => Err(error),
            Some(error) => Err(error.reworded(|message| format!("{message}; {}", ended(&undone)))),
            None if !undone.is_empty() => Err(Error::new(
                vsession_status::VSESSION_E_TIMEOUT,
                format!("every session is closed; {}", ended(&undone)),
            )),
            None if !stopped => Err(Error::new(
                vsession_status::VSESSION_E_TIMEOUT,
                "every session is closed, but threads of the library are still running, for example in a callback or in the lookup of a name; call vsession_shutdown again, with a larger timeout_ms",
            )),
            None => Ok(()),
        }
    })
}

/// How many of the things that a shutdown left undone its message names. The log has them all.
const NAMED: usize = 3;

/// What a shutdown ended at its deadline.
fn ended(undone: &[String]) -> String {
    let named = undone[..undone.len().min(NAMED)].join(", ");
    let more = match undone.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "when its timeout_ms had passed, the shutdown ended {named}{more}, without the server's answer, so a session may be left there until it has been idle long enough; nothing of it is left in the process"
    )
}

/// Makes the library usable in a forked child. Every handle of the parent is a closed one in the child, and new handles
/// can be made. Before this call every function that needs locks or memory returns VSESSION_E_FORKED in the child. The
/// parent is not affected: its sessions remain its own and are not logged out. Memory that the child inherited stays as
/// it is. In a process that is not a forked child this function does nothing.
///
/// Threads: call it before the child starts threads that use the library. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_after_fork_child(err: *mut *mut vsession_error) -> vsession_status {
    guard!(status_even_after_fork(err), || {
        if fork::is_forked_child() {
            workers::renew_after_fork();
            reactor::renew_after_fork();
            net::renew_after_fork();
            http::renew_after_fork();
            service::renew_after_fork();
            handles::renew_after_fork();
            fork::start_afresh();
        }
        Ok(())
    })
}
