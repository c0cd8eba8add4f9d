//! `vsession_event`: something that happened to a session.

use super::error::vsession_error;
use super::guard::guard;
use super::reply::vsession_reply;
use super::session::vsession;
use super::strings::name_of;
use crate::runtime::event::{Event, vsession_event_kind};
use crate::session::CallResult;
use crate::state::{vsession_reason, vsession_state};
use crate::sync::Arc;

/// Something that happened to a session. Owned by the caller and freed with `vsession_event_free`. It never changes, so any
/// thread may read it. For NULL the accessors return 0 or NULL.
pub struct vsession_event {
    event: Event,
    error: Option<vsession_error>,
    reply: Option<vsession_reply>,
}

impl vsession_event {
    /// Hands the event to the caller.
    pub(super) fn give(mut event: Event) -> *mut vsession_event {
        let error = event.error.take().map(vsession_error::new);
        // The queue no longer holds the outcome, so the reply is moved and not copied.
        let outcome = event.completion.as_mut().map(|c| std::mem::replace(&mut c.result, Arc::new(())));
        let outcome = outcome.and_then(|result| Arc::into_inner(result.downcast::<CallResult>().ok()?));
        let reply = outcome.and_then(Result::ok).map(vsession_reply::new);
        Box::into_raw(Box::new(vsession_event { event, error, reply }))
    }
}

/// Returns what kind of event this is (a `vsession_event_kind`); 0 for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_get_kind(event: *const vsession_event) -> i32 {
    guard!(read(event, 0), |e| e.event.kind as i32)
}

/// Returns the session that the event is about, which may have been closed since. The null handle for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_session(event: *const vsession_event) -> vsession {
    guard!(read(event, vsession { id: 0 }), |e| vsession { id: e.event.session })
}

/// Returns which of the two sessions of the handle the event is about, a `vsession_service`: that of vim25 or that of
/// REST. 0 for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_service(event: *const vsession_event) -> i32 {
    guard!(read(event, 0), |e| e.event.service as i32)
}

/// Returns the state before the event.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_old_state(event: *const vsession_event) -> vsession_state {
    guard!(read(event, vsession_state::VSESSION_STATE_INVALID), |e| e.event.old_state)
}

/// Returns the state after the event.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_new_state(event: *const vsession_event) -> vsession_state {
    guard!(read(event, vsession_state::VSESSION_STATE_INVALID), |e| e.event.new_state)
}

/// Returns why the event happened.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_reason(event: *const vsession_event) -> vsession_reason {
    guard!(read(event, vsession_reason::VSESSION_REASON_NONE), |e| e.event.reason)
}

/// Returns the epoch before the event; 0 when the session had never logged in.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_old_epoch(event: *const vsession_event) -> u64 {
    guard!(read(event, 0), |e| e.event.old_epoch)
}

/// Returns the epoch after the event.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_new_epoch(event: *const vsession_event) -> u64 {
    guard!(read(event, 0), |e| e.event.new_epoch)
}

/// Returns when the event happened, by this machine's clock: milliseconds since 1970, UTC.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_time_ms(event: *const vsession_event) -> i64 {
    guard!(read(event, 0), |e| e.event.time_ms)
}

/// Returns how many earlier events of the same kind were merged into this one because nobody had read them.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_merged(event: *const vsession_event) -> u32 {
    guard!(read(event, 0), |e| e.event.merged)
}

/// Returns the failure behind the event; NULL when there was none.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_error(event: *const vsession_event) -> *const vsession_error {
    guard!(read(event, std::ptr::null()), |e| e.error.as_ref().map_or(std::ptr::null(), std::ptr::from_ref))
}

/// Returns the tag of the completed call, as it was passed to `vsession_call_async`; 0 for events of other kinds.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_tag(event: *const vsession_event) -> u64 {
    guard!(read(event, 0), |e| e.event.completion.as_ref().map_or(0, |c| c.tag))
}

/// Returns the reply to the completed call; NULL when the call failed (`vsession_event_error` says why) and for events
/// of other kinds.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_reply(event: *const vsession_event) -> *const vsession_reply {
    guard!(read(event, std::ptr::null()), |e| e.reply.as_ref().map_or(std::ptr::null(), std::ptr::from_ref))
}

/// Returns the name of a kind of event for people, for example `state changed`, or `unknown` for an unknown number.
/// Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_event_kind_name(kind: i32) -> *const std::ffi::c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_event_kind, kind, c"unknown"))
}

/// Frees an event, with its error and its reply. NULL is allowed and does nothing.
///
/// Threads: safe from any thread, once for each object. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_free(event: *mut vsession_event) {
    guard!(free(event))
}
