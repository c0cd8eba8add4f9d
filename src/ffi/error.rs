//! `vsession_error`: why a call failed.

use std::ffi::c_char;

use super::guard::guard;
use super::strings::{borrowed, borrowed_bytes, optional_borrowed};
use crate::error::{Detail, Error, FaultText};
use crate::soap::xml::node::Node;
use crate::soap::xml::resolved::Resolved;
use crate::status::{vsession_executed, vsession_status};

/// Why a call failed. Owned by the caller and freed with `vsession_error_free`. It never changes, so any thread may read it,
/// and it outlives the session that it came from. Every accessor accepts NULL.
pub struct vsession_error(pub(super) Error, Resolved);

impl vsession_error {
    /// Hands the error to the caller.
    pub(super) fn give(error: Error) -> *mut vsession_error {
        Box::into_raw(Box::new(vsession_error::new(error)))
    }

    pub(super) fn new(error: Error) -> vsession_error {
        vsession_error(error, Resolved::default())
    }

    fn fault(&self) -> Option<&FaultText> {
        self.detail().fault.as_deref()
    }

    /// The first element in the detail of the fault.
    pub(super) fn fault_root(&self) -> Option<Node<'_>> {
        let (detail, _) = self.document()?;
        Node::at(detail, 0)?.first()
    }

    /// The document of its nodes, and what their readers share.
    pub(super) fn document(&self) -> Option<(&str, &Resolved)> {
        Some((self.fault()?.detail.as_ref()?, &self.1))
    }

    fn detail(&self) -> &Detail {
        self.0.detail()
    }
}

/// Returns the status of the failed call; `VSESSION_OK` for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_status(error: *const vsession_error) -> vsession_status {
    guard!(read(error, vsession_status::VSESSION_OK), |e| e.0.status())
}

/// Returns what went wrong and what to do next, in English, for people. Never NULL; empty for a NULL error. The message
/// holds no secret of the request, even when the server repeats one.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_message(error: *const vsession_error) -> *const c_char {
    guard!(read(error, c"".as_ptr()), |e| borrowed(&e.detail().message))
}

/// Returns the vim25 type of the SOAP fault, for example `InvalidLogin`. NULL when the server sent no fault or did not
/// name it.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_fault_name(error: *const vsession_error) -> *const c_char {
    guard!(read(error, std::ptr::null()), |e| optional_borrowed(&e.detail().fault_name))
}

/// Returns what the server says about the fault, in any language: the whole `faultstring` of a SOAP fault or of a fault of VI JSON, of which
/// `vsession_error_message` shows the beginning. Secrets of the request are removed from it. NULL when the server sent no fault or
/// said nothing, when the text is larger than 1 MiB, or when there is not enough memory to copy it.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_fault_string(error: *const vsession_error) -> *const c_char {
    guard!(read(error, std::ptr::null()), |e| e
        .fault()
        .map_or(std::ptr::null(), |fault| optional_borrowed(&fault.string)))
}

/// Returns the code of the SOAP fault as the server sent it, with its prefix, for example `ServerFaultCode` or
/// `soapenv:VersionMismatch`. NULL when the server sent no SOAP fault or no code.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_fault_code(error: *const vsession_error) -> *const c_char {
    guard!(read(error, std::ptr::null()), |e| e
        .fault()
        .map_or(std::ptr::null(), |fault| optional_borrowed(&fault.code)))
}

/// Returns the detail element of the SOAP fault as the server sent it, as an XML document of its own: it declares all prefixes
/// that it uses in names and in values. Secrets of the request are removed from it. NULL when there is no detail, when it is
/// larger than 1 MiB, or when there is not enough memory to copy it. `vsession_error_fault_root` reads it without an XML library.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_fault_xml(error: *const vsession_error) -> *const c_char {
    guard!(read(error, std::ptr::null()), |e| e
        .fault()
        .map_or(std::ptr::null(), |fault| optional_borrowed(&fault.detail)))
}

/// Returns what a REST service calls the error, its `error_type`, for example `NOT_FOUND`; also for the older API below
/// `/rest`, whose type names are translated. NULL when no REST service answered.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_service_error(error: *const vsession_error) -> *const c_char {
    guard!(read(error, std::ptr::null()), |e| optional_borrowed(&e.detail().service_error))
}

/// Returns the whole body of the reply that was no success, and its length in `length`, which may be NULL: the SOAP envelope
/// with the fault, the error of a REST service, the page of a proxy. A NUL follows it, which does not count. Secrets of the
/// request are removed from it; where one cannot be cut out, a note stands in place of the body. Of a refusal of
/// `vsession_http` that was cut off it is the part that arrived. NULL, with length 0, when no body arrived, when it is
/// empty, when that of a call is larger than 1 MiB, or when there is not enough memory to copy it.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_body(
    error: *const vsession_error,
    length: *mut usize,
) -> *const c_char {
    guard!(accessor(std::ptr::null()), || {
        // SAFETY: by contract NULL, or an error that the caller has not freed.
        let body = unsafe { error.as_ref() }.and_then(|error| error.detail().body.as_deref());
        borrowed_bytes(body, length)
    })
}

/// Returns the HTTP status of the reply; 0 when none arrived, or when one that was no refusal ended too early.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_http_status(error: *const vsession_error) -> i32 {
    guard!(read(error, 0), |e| e.detail().http_status.into())
}

/// Returns the operation id of the request, which vCenter writes into its log. NULL when no request was made.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_operation_id(error: *const vsession_error) -> *const c_char {
    guard!(read(error, std::ptr::null()), |e| optional_borrowed(&e.detail().operation_id))
}

/// Returns the `errno` behind the error; 0 when there is none.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_os_error(error: *const vsession_error) -> i32 {
    guard!(read(error, 0), |e| e.detail().os_error)
}

/// Returns whether the same call may succeed later without a change: after an outage, an overload or a deadline.
/// Whether the call can be repeated without running twice is another question; see `vsession_error_executed`.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_retriable(error: *const vsession_error) -> bool {
    guard!(read(error, false), |e| e.detail().retriable)
}

/// Returns how long to wait before the call is repeated, in milliseconds; 0 when that is not known. Either the server
/// asked for a pause (`Retry-After` in a reply that makes the error retriable, such as HTTP 429 and 503), or a login
/// failed and the next automatic login has to wait, or too many calls wait for a connection (`VSESSION_E_OVERLOADED`).
/// After a failed login, the call that waited for it is told, and so are later calls, which make no request before that
/// time has passed. Where the error is not retriable, that login is likely to fail like the last one. The library's own
/// logins and probes observe a `Retry-After`, but wait no longer than `relogin.max_backoff_ms`. A program that repeats a
/// call should observe the whole pause.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_retry_after_ms(error: *const vsession_error) -> u32 {
    guard!(read(error, 0), |e| {
        let detail = e.detail();
        let time = detail.retry_after.or(detail.next_login).unwrap_or_default();
        time.as_millis().try_into().unwrap_or(u32::MAX)
    })
}

/// Returns whether the server ran the failed call. Only `VSESSION_EXECUTED_NO` makes it safe to repeat a call that is
/// not idempotent. docs/conventions.md has a table.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_executed(error: *const vsession_error) -> vsession_executed {
    guard!(read(error, vsession_executed::VSESSION_EXECUTED_NO), |e| e.0.executed())
}

/// Frees an error. NULL is allowed and does nothing. Do not free the error of an event.
///
/// Threads: safe from any thread, once for each object. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_free(error: *mut vsession_error) {
    guard!(free(error))
}
