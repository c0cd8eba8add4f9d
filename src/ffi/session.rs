//! `vsession`: the session itself.

use std::ffi::{CString, c_char};
use std::time::Duration;

use super::call::{self, vsession_call_options, vsession_soap_call};
use super::config::vsession_config;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::info::vsession_info;
use super::queue::vsession_queue;
use super::reply::vsession_reply;
use super::strings::{login_text, place};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::runtime::event::Queue;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Bounds;
use crate::session::{CallOptions, Session, View};
use crate::state::vsession_state;
use crate::status::vsession_status;
use crate::sync::{Arc, Mutex};

/// A session with one vCenter or ESXi host, shared by any number of threads. A handle, passed by value; `{0}` is the null
/// handle. A handle that was closed, made up or of another kind is answered with a status, never with a crash.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession {
    /// Opaque.
    pub id: u64,
}

/// The session behind a handle and the limits of a call on it.
///
/// # Safety
/// `options` is NULL or valid call options.
unsafe fn begin(session: vsession, options: *const vsession_call_options) -> Result<(Arc<Session>, Bounds)> {
    let session = handles::get::<Session>(session.id, "session")?;
    // SAFETY: the caller's promise is ours.
    let options = unsafe { call::options(options) }?;
    let bounds = session.bounds(options.timeout, options.cancel);
    Ok((session, bounds))
}

/// Opens a session with a copy of a configuration. Makes no request: the login comes with `vsession_login` or with the
/// first call. The files that options name are read now.
///
/// Threads: safe from any thread. Blocks: never on the network.
/// Owner: the caller closes it with `vsession_close`; the configuration stays the caller's.
/// Errors: VSESSION_E_CONFIG when options contradict each other or a file is unusable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_open(
    config: vsession_config,
    out: *mut vsession,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let config = handles::get::<Mutex<Arc<Config>>>(config.id, "config")?.lock().clone();
        let id = handles::insert(|publisher| Session::open(publisher, config))?;
        out.put(vsession { id });
        Ok(())
    })
}

/// Logs in. A session that is logged in already: VSESSION_OK without a request, unless an answer contradicted what is known
/// of the server, which then is looked at first. However many threads call this at the same
/// time, one login goes out and all get its result; each waits with its own deadline and token. Credentials that were
/// refused before are sent again, which nothing else does. When all of them have
/// stopped waiting before the credentials were sent, the login is given up; once they were sent, its result is kept. The
/// login itself may take as long as the option `timeout_ms` says, at most two minutes, whatever the waiters' deadlines.
///
/// Threads: safe from any thread. Blocks: until the login is decided, the deadline or the token.
/// Errors: VSESSION_E_INVALID_LOGIN when the credentials are refused; VSESSION_E_CONFIG when there are none; what the
/// network brings; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_login(
    session: vsession,
    options: *const vsession_call_options,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        // SAFETY: by contract NULL or valid call options.
        let (session, bounds) = unsafe { begin(session, options) }?;
        session.login(bounds)
    })
}

/// Logs out. The handle stays usable; the library does not log in by itself again until `vsession_login` has been called.
/// Not logged in: VSESSION_OK without a request. When it fails, the session is kept and may be logged out again.
///
/// Threads: safe from any thread. Blocks: until the server has answered, the deadline or the token.
/// Errors: what the network brings; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_logout(
    session: vsession,
    options: *const vsession_call_options,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        // SAFETY: by contract NULL or valid call options.
        let (session, bounds) = unsafe { begin(session, options) }?;
        session.logout(bounds)
    })
}

/// Closes a session: calls that other threads have under way end with VSESSION_E_CLOSED, the server's session is logged
/// out (unless the option `close.logout` is false), and the handle is dead. The handle is dead whatever the status; an
/// error tells that the logout did not succeed, or that `options` are bad and the defaults were used. Closing again is
/// VSESSION_OK, and so is closing the null handle. Without options the logout may take as long as the option `timeout_ms`
/// says, two minutes by default: a program that is to end quickly passes a deadline, and no token that has fired.
///
/// Threads: safe from any thread, at any time. Blocks: until the server has answered, the deadline or the token.
/// Errors: what the network brings; VSESSION_E_INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_close(
    session: vsession,
    options: *const vsession_call_options,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        if session.id == 0 {
            return Ok(());
        }
        let open = match handles::get::<Session>(session.id, "session") {
            // Whenever another thread closed it.
            Err(error) if error.status() == vsession_status::VSESSION_E_CLOSED => return Ok(()),
            found => found?,
        };
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { call::options(options) };
        // Bad options, such as a token that was freed before, are told and keep no session alive.
        let CallOptions { timeout, cancel, .. } = options.clone().unwrap_or_default();
        let result = open.close(open.bounds(timeout, cancel));
        // Another thread may have been faster with the handle: it is dead either way.
        let _ = handles::remove::<Session>(session.id, "session");
        options.and(result)
    })
}

/// Where the session stands. Makes no request and waits for nothing, while a login is under way too: two loads. A closed
/// handle is `VSESSION_STATE_CLOSED`, one that never was a session `VSESSION_STATE_INVALID`.
///
/// Threads: safe from any thread. Blocks: never: wait-free.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_get_state(session: vsession) -> vsession_state {
    guard!(value(vsession_state::VSESSION_STATE_INVALID), || handles::state(session.id))
}

/// The epoch of the session: how many logins it has had. It grows when the session is replaced; whoever keeps filters,
/// views or collectors compares it with the one that they were made under. 0 before the first login and for a handle that
/// is not, or no longer, a session.
///
/// Threads: safe from any thread. Blocks: never: wait-free.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_get_epoch(session: vsession) -> u64 {
    guard!(value(0), || handles::epoch(session.id))
}

/// Who is logged in, as of the login or the last refresh. Makes no request. While a session is being replaced this is the
/// old one or the new one, whole. Where the library knows that the session is gone and none has replaced it at once
/// (`VSESSION_STATE_EXPIRED`, `VSESSION_STATE_REJECTED`), there is none until the next login has succeeded.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_info_free`.
/// Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session, or none any more; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_get_info(
    session: vsession,
    out: *mut *mut vsession_info,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let view = handles::look(session.id, "session", |session: &Arc<Session>| session.view())??;
        out.put(vsession_info::give(view));
        Ok(())
    })
}

/// Asks the server who is logged in (`SessionManager.currentSession`), which needs no privilege and counts as activity of
/// the session. Never logs in. `out` may be NULL.
///
/// Threads: safe from any thread. Blocks: until the server has answered, the deadline or the token.
/// Owner: the caller frees it with `vsession_info_free`.
/// Errors: VSESSION_E_NOT_AUTHENTICATED when the server knows no such session; what the network brings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_refresh(
    session: vsession,
    options: *const vsession_call_options,
    out: *mut *mut vsession_info,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        // SAFETY: by contract NULL or valid call options.
        let (session, bounds) = unsafe { begin(session, options) }?;
        let snapshot = session.refresh(bounds)?;
        if let Ok(out) = place(out, "out") {
            out.put(vsession_info::give(View::new(snapshot)));
        }
        Ok(())
    })
}

/// Asks the server whether the session lives: `SessionIsActive`, or `currentSession` where the account lacks the privilege
/// for that or the server lacks the method. Never logs in. No session is an answer, `false`; a question that could not be
/// asked is an error and says nothing about the session.
///
/// Threads: safe from any thread. Blocks: until the server has answered, the deadline or the token.
/// Errors: what the network brings; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_is_active(
    session: vsession,
    options: *const vsession_call_options,
    out: *mut bool,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        // SAFETY: by contract NULL or valid call options.
        let (session, bounds) = unsafe { begin(session, options) }?;
        out.put(session.is_active(bounds)?);
        Ok(())
    })
}

/// The session's cookie, for handing the session to VDDK, curl or govc: `vmware_soap_session="..."`, with the quotes that
/// the server gave it. It is a secret: whoever has it is logged in. There is one whenever `vsession_get_info` has an identity.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_string_free`, which zeroes it.
/// Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_get_cookie(
    session: vsession,
    out: *mut *mut c_char,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let snapshot = handles::get::<Session>(session.id, "session")?.identity()?;
        let cookie = snapshot.login.as_ref().map_or("", |login| login.cookie.reveal());
        out.put(CString::new(cookie).unwrap_or_default().into_raw());
        Ok(())
    })
}

/// Calls a vim25 method through the session, logging in first where needed and allowed.
///
/// When the server answers that the caller is not authenticated, the library asks it whether the session lives. If it is
/// gone, it is replaced, once for all threads, and the call is sent again; if it lives, the account lacks a privilege, and
/// the fault is returned. A call runs at most once, unless `idempotent` is set. A session that replaced another and brought no
/// successful call is not replaced at once: the wait is that after a failed login (`vsession_error_retry_after_ms`). Methods that
/// end the session or make another are refused; see `method` in `vsession_soap_call`.
///
/// Threads: safe from any thread; calls of many threads run side by side. Blocks: until the reply is complete, the
/// deadline or the token. Owner: the caller frees the reply with `vsession_reply_free`; `call` and `options` stay the
/// caller's. Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_LOGIN, also when the credentials were refused
/// earlier; VSESSION_E_NOT_AUTHENTICATED; VSESSION_E_NO_PERMISSION; VSESSION_E_FAULT; what the network brings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_call(
    session: vsession,
    call: *const vsession_soap_call,
    options: *const vsession_call_options,
    out: *mut *mut vsession_reply,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { call::options(options) }?;
        // The clock runs from here, so that reading large arguments counts too.
        let bounds = session.bounds(options.timeout, options.cancel.clone());
        // SAFETY: by contract NULL or a valid call.
        let call = unsafe { call::method_call(call) }?;
        out.put(vsession_reply::give(session.call_within(bounds, &call, &options)?));
        Ok(())
    })
}

/// Starts keep-alive, or changes its interval: when the session has gone unused for `interval_ms` (0: the option
/// `keepalive.interval_ms`), the server is asked for a sign of life. A login starts it by itself, logout and close end it.
/// Failures do not: it tries again with growing pauses, and an event tells.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_ARGUMENT for an interval below 1000;
/// VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_keepalive_start(
    session: vsession,
    interval_ms: u32,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let session = handles::get::<Session>(session.id, "session")?;
        let interval = match interval_ms {
            0 => None,
            1..1000 => {
                return Err(Error::invalid_argument(
                    "interval_ms",
                    "must be at least 1000, or 0 for the option's value",
                ));
            }
            ms => Some(Duration::from_millis(ms.into())),
        };
        session.keepalive_start(interval)
    })
}

/// Stops keep-alive until `vsession_keepalive_start` or the next `vsession_login` that logs in. A probe that is under way
/// is not waited for.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_keepalive_stop(
    session: vsession,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || handles::get::<Session>(session.id, "session")?.keepalive_stop())
}

/// Gives the session another password, for the logins to come; it wins over the options and the credentials function. The
/// user name stays that of the option `username`, or of the credentials function where that option is not set.
/// Leaves `VSESSION_STATE_REJECTED`: the library may log in by itself again. A password that the server has refused for this
/// user is not taken: VSESSION_E_INVALID_LOGIN, and neither the state nor the password that was set before changes. Only
/// `vsession_login` sends refused credentials again. After 64 refused pairs of user and password it alone sends others too.
///
/// Threads: safe from any thread. Blocks: never. Owner: the string stays the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT, also for an empty password unless the option `allow_empty_password` is set;
/// VSESSION_E_INVALID_LOGIN; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_set_password(
    session: vsession,
    password: *const c_char,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or a NUL-terminated string.
        session.set_password(Secret::new(unsafe { login_text(password, "password") }?))
    })
}

/// Starts a call as by `vsession_call` and returns; its end is an event of kind `VSESSION_EVENT_COMPLETION` in `queue`,
/// with this `tag`, and the reply or the error. Every call that was started ends with exactly one such event, also when it
/// is cancelled or the session is closed. Calls run on eight threads of the library, and on more while some of them take
/// longer than half a second; the deadline counts from now. A call for which the system gives no thread ends at once, with
/// VSESSION_E_RESOURCE, and is not sent.
///
/// Threads: safe from any thread. Blocks: never. Owner: everything that is passed stays the caller's and is copied.
/// Errors: VSESSION_E_INVALID_ARGUMENT, VSESSION_E_INVALID_HANDLE, VSESSION_E_CLOSED: then there is no event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_call_async(
    session: vsession,
    call: *const vsession_soap_call,
    options: *const vsession_call_options,
    queue: vsession_queue,
    tag: u64,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let open = handles::get::<Session>(session.id, "session")?;
        let queue = handles::of_argument::<Queue>(queue.id, "queue")?;
        // SAFETY: by contract NULL or valid structures.
        let (call, options) = unsafe { (call::method_call(call)?.to_owned(), call::options(options)?) };
        open.call_async(call, options, queue, tag);
        Ok(())
    })
}
