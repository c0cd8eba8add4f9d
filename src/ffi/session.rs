//! `vsession`: the session itself.

use std::ffi::c_char;
use std::time::Duration;

use super::call::{self, vsession_call_options, vsession_soap_call};
use super::config::vsession_config;
use super::error::vsession_error;
use super::guard::{guard, put};
use super::handles;
use super::info::vsession_info;
use super::queue::vsession_queue;
use super::reply::vsession_reply;
use super::strings::{login_text, owned};
use crate::error::{Error, Result};
use crate::runtime::event::Queue;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Bounds;
use crate::session::{AsyncCall, CallOptions, Session};
use crate::state::{ServiceName, vsession_state};
use crate::status::vsession_status;
use crate::sync::Arc;

/// A session with one vCenter server or ESXi host, shared by any number of threads: a handle, passed by value; `{0}` is the
/// null handle. A handle that was closed, made up or of another kind gives an error status and never a crash.
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

/// Opens a session with a copy of a configuration. It makes no request: `vsession_login` or the first call logs in. The
/// files that options name are read now.
///
/// Threads: safe from any thread. Blocks: never on the network.
/// Owner: the caller closes it with `vsession_close`; the configuration remains the caller's.
/// Errors: VSESSION_E_CONFIG when options contradict each other or a file cannot be used; VSESSION_E_INVALID_ARGUMENT;
/// VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED for the configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_open(
    config: vsession_config,
    out: *mut vsession,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let config = handles::get::<handles::SharedConfig>(config.id, "config")?.lock().clone();
        let id = handles::insert(|publisher| Session::open(publisher, config))?;
        Ok(vsession { id })
    })
}

/// Logs in to vim25; the REST session follows at its first request. A session that is already logged in returns VSESSION_OK without a request, unless an earlier answer
/// contradicted what is known of the server; then the server is examined first.
///
/// However many threads call this at the same time, one login is sent and all of them get its result; each thread waits
/// with its own deadline and token. Credentials that were refused before are sent again, which no other function does.
/// When every waiting thread gives up before the credentials are sent, the login is abandoned; once they are sent, its
/// result is kept. The login itself may take as long as the option `timeout_ms` says, but at most two minutes, whatever
/// the deadlines of the waiting threads.
///
/// Threads: safe from any thread. Blocks: until the login is decided, the deadline passes or the token fires.
/// Errors: VSESSION_E_INVALID_LOGIN when the credentials are refused; VSESSION_E_CONFIG when there are no credentials;
/// VSESSION_E_CLOSED; errors of the network and of the server.
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

/// Logs out, of the vim25 session and of the REST session. The handle stays usable, and the library does not log in by itself again before `vsession_login` is
/// called. Without a login it returns VSESSION_OK and makes no request. When the logout of one of them fails, that session is kept and
/// can be logged out again.
///
/// Both are ended at the same time. If a service hangs, the function returns when the deadline passes; the session with the other
/// service is ended all the same. Without options that may take as long as the option `timeout_ms` says, two minutes by default.
///
/// Threads: safe from any thread. Blocks: until the server answers, the deadline passes or the token fires.
/// Errors: VSESSION_E_CLOSED; errors of the network and of the server.
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

/// Closes a session. Calls of other threads end with VSESSION_E_CLOSED, the session on the server is logged out (unless
/// the option `close.logout` is false), and the handle is closed.
///
/// The handle is closed whatever the status: an error means that the logout failed, or that `options` were invalid and
/// the defaults were used. Closing a closed session, or the null handle, returns VSESSION_OK. The vim25 session and the REST session
/// are logged out at the same time. If a service hangs, the function returns when the deadline passes; the session with the other
/// service is ended all the same. Without options that may take as long as the option `timeout_ms` says, two minutes by default. A
/// program that must end quickly passes a deadline, and no token that has fired.
///
/// Threads: safe from any thread, at any time. Blocks: until the server answers, the deadline passes or the token
/// fires.
/// Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_INVALID_ARGUMENT; errors of the network and of the server.
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

/// Returns the state of the session. It makes no request and does not wait, not even during a login: two loads from
/// memory. A closed handle gives `VSESSION_STATE_CLOSED`, and one that never was a session `VSESSION_STATE_INVALID`.
///
/// Threads: safe from any thread. Blocks: never: wait-free.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_get_state(session: vsession) -> vsession_state {
    guard!(value(vsession_state::VSESSION_STATE_INVALID), || handles::state(
        session.id,
        ServiceName::VSESSION_SERVICE_VIM
    ))
}

/// Returns the epoch of the session: how many logins it has had. The epoch grows when the session is replaced. A
/// program that keeps filters, views or collectors compares it with the epoch under which it made them. 0 before the
/// first login, and for a handle that is not an open session.
///
/// Threads: safe from any thread. Blocks: never: wait-free.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_get_epoch(session: vsession) -> u64 {
    guard!(value(0), || handles::epoch(session.id, ServiceName::VSESSION_SERVICE_VIM))
}

/// Returns the state of the REST session of this handle, as `vsession_get_state` does for the vim25 session. The first request
/// of `vsession_http` through the REST session makes it; until then the state is `VSESSION_STATE_LOGGED_OUT`. Where the vim25 session
/// serves REST, the REST session ends with it, and the next vim25 session serves REST from its login on; only `UNREACHABLE` is each
/// service's own.
///
/// Threads: safe from any thread. Blocks: never: wait-free.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_get_rest_state(session: vsession) -> vsession_state {
    guard!(value(vsession_state::VSESSION_STATE_INVALID), || {
        handles::state(session.id, ServiceName::VSESSION_SERVICE_REST)
    })
}

/// Returns the epoch of the REST session, as `vsession_get_epoch` does for the vim25 session. 0 before its first login, and for a
/// handle that is not an open session. While the vim25 session serves REST, it is the epoch of the vim25 session, unless REST had a
/// session of its own before.
///
/// Threads: safe from any thread. Blocks: never: wait-free.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_get_rest_epoch(session: vsession) -> u64 {
    guard!(value(0), || handles::epoch(session.id, ServiceName::VSESSION_SERVICE_REST))
}

/// Returns the identity of the session as of the login or the last refresh. It makes no request. While a session is
/// being replaced, the result is the old identity or the new one, never a mixture. When the library knows that the
/// session is gone and no new one has replaced it (`VSESSION_STATE_EXPIRED`, `VSESSION_STATE_REJECTED`), there is no
/// identity until the next login succeeds.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_info_free`.
/// Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session; VSESSION_E_INVALID_ARGUMENT;
/// VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_get_info(
    session: vsession,
    out: *mut *mut vsession_info,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let views = handles::look(session.id, "session", |session: &Arc<Session>| session.views())??;
        Ok(vsession_info::give(views))
    })
}

/// Asks the server who is logged in (`SessionManager.currentSession`). The request needs no privilege and counts as
/// activity of the session. This function never logs in. `out` may be NULL.
///
/// Threads: safe from any thread. Blocks: until the server answers, the deadline passes or the token fires.
/// Owner: the caller frees the info with `vsession_info_free`.
/// Errors: VSESSION_E_NOT_AUTHENTICATED when the server does not know the session; VSESSION_E_CLOSED; errors of the
/// network and of the server.
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
        session.refresh(bounds)?;
        if !out.is_null() {
            put(out, vsession_info::give(session.views()?));
        }
        Ok(())
    })
}

/// Asks the server whether the session is alive, by `SessionIsActive`, or by `currentSession` when the account lacks
/// the privilege for that method (the fault NoPermission or NotAuthenticated) or the server lacks the method
/// (NotSupported, NotImplemented, MethodNotFound, InvalidRequest). This function never logs in. Without a session the
/// answer is `false`. When the question cannot be asked, or is answered with another fault, the function returns an
/// error, which says nothing about the session.
///
/// Threads: safe from any thread. Blocks: until the server answers, the deadline passes or the token fires.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_CLOSED; errors of the network and of the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_is_active(
    session: vsession,
    options: *const vsession_call_options,
    out: *mut bool,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        // SAFETY: by contract NULL or valid call options.
        let (session, bounds) = unsafe { begin(session, options) }?;
        session.is_active(bounds)
    })
}

/// Returns a copy of the session's cookie, `vmware_soap_session="..."`, with the quotes that the server gave it. The cookie
/// is a secret: it grants the use of the session. `vsession_info_cookie` is the same without a copy, together with the
/// epoch and the identity of the same login. There is a cookie whenever `vsession_get_info` returns an identity.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_string_free`, which zeroes
/// it.
/// Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session; VSESSION_E_INVALID_ARGUMENT;
/// VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_get_cookie(
    session: vsession,
    out: *mut *mut c_char,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let cookie = handles::get::<Session>(session.id, "session")?.cookie()?;
        Ok(owned(cookie.reveal()))
    })
}

/// Calls a method through the session, and logs in first when that is necessary and allowed: of vim25, or of another SOAP service of the
/// server (`service_path` in `vsession_soap_call`; docs/services.md). A call that is `anonymous` goes through no session.
///
/// When the server answers that the caller is not authenticated, the library asks it whether the session is alive. If
/// the session is gone, it is replaced, once for all threads, and the call is sent again. If it is alive, the account
/// lacks a privilege, and the fault is returned. When an answer contradicts what the library knows of the server, the library
/// asks it again what it is; if it is another one, the call is sent again, provided that it did not run. A call runs at most once, unless `idempotent` is set. A new session
/// that ends before it has brought a successful call is replaced once; after that the library waits as after a failed login
/// (`vsession_error_retry_after_ms`). Methods that end the session or make another one are refused; see `method` in
/// `vsession_soap_call`.
///
/// A failure of another service changes neither the session's state nor what the library knows of the server, and its success proves
/// nothing about the session. When it answers that the caller is not authenticated, the session is checked and replaced as above.
///
/// Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the reply is complete, the
/// deadline passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; `call` and
/// `options` remain the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_LOGIN, also when the credentials were refused earlier;
/// VSESSION_E_NOT_AUTHENTICATED; VSESSION_E_NO_PERMISSION; VSESSION_E_FAULT; VSESSION_E_SESSION_CHANGED;
/// VSESSION_E_CLOSED; errors of the network and of the server. `vsession_error_executed` says whether the server ran
/// the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_call(
    session: vsession,
    call: *const vsession_soap_call,
    options: *const vsession_call_options,
    out: *mut *mut vsession_reply,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { call::options(options) }?;
        // The clock runs from here, so that reading large arguments counts too.
        let bounds = session.bounds(options.timeout, options.cancel.clone());
        // SAFETY: by contract NULL or a valid call.
        let call = unsafe { call::method_call(call) }?;
        call::check_epoch(&call, &options)?;
        Ok(vsession_reply::give(session.call(bounds, &call, &options)?))
    })
}

/// Starts keep-alive, or changes its interval. When the session has not been used for `interval_ms` milliseconds (0:
/// the option `keepalive.interval_ms`), the library probes the server. A login starts keep-alive by itself; logout and
/// close end it. A failed probe does not end it: the library tries again after growing pauses, and puts an event into
/// the queue.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_ARGUMENT for an interval from 1 to 999;
/// VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
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

/// Stops keep-alive until `vsession_keepalive_start` or the next `vsession_login` that logs in. It does not wait for a
/// probe that is already running.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_keepalive_stop(
    session: vsession,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || handles::get::<Session>(session.id, "session")?.keepalive_stop())
}

/// Gives the session another password for later logins. It takes precedence over the options and the credentials
/// function. The user name is that of the option `username`, or of the credentials function when that option is not
/// set.
///
/// The session leaves `VSESSION_STATE_REJECTED`: the library may log in by itself again. A password that the server has
/// already refused for this user is not accepted: the function returns VSESSION_E_INVALID_LOGIN, and neither the state
/// nor the password that was set before changes. Only `vsession_login` sends refused credentials again. After 64
/// refused pairs of user name and password, the library sends by itself only the pair that was accepted last.
///
/// Threads: safe from any thread. Blocks: never. Owner: the string remains the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT, also for an empty password unless the option `allow_empty_password` is set;
/// VSESSION_E_INVALID_LOGIN; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
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

/// Starts a call as by `vsession_call` and returns. When the call ends, an event of the kind
/// `VSESSION_EVENT_COMPLETION` with this `tag` and the reply or the error is put into `queue`. Every call that was
/// started ends with exactly one such event, also when it is cancelled or the session is closed. Calls share a few
/// threads of the library, and a call that waits for the server holds none of them: thousands of calls may be under
/// way. The deadline runs from now. When the system provides no thread for a call, the call is not sent and ends at
/// once with VSESSION_E_RESOURCE.
///
/// A session has at most `max_async_calls` (an option, 16,384 by default) under way: one more fails with
/// VSESSION_E_OVERLOADED and is not sent, and another may be started as soon as one of them has completed. For a
/// `WaitForUpdatesEx` that waits for changes, use `VSESSION_NO_TIMEOUT` and a token; see the option `max_long_polls`.
///
/// Threads: safe from any thread. Blocks: never. Owner: all arguments are copied and remain the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED; VSESSION_E_OVERLOADED. After an
/// error there is no event.
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
        let (call, options) = unsafe { (call::method_call(call)?.into_owned(), call::options(options)?) };
        call::check_epoch(&call, &options)?;
        open.call_async(AsyncCall::Method(call), options, queue, tag)
    })
}
