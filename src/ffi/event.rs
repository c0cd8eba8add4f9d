//! `vsession_event`: one thing that happened to a session.

use super::error::vsession_error;
use super::guard::guard;
use super::reply::vsession_reply;
use super::session::vsession;
use super::strings::name_of;
use crate::runtime::event::{Event, vsession_event_kind};
use crate::session::CallOutcome;
use crate::state::{vsession_reason, vsession_state};
use crate::sync::Arc;

/// An event. Owned by the caller and freed with `vsession_event_free`. It never changes, so any thread may read it.
/// Accessors take NULL too and answer it with 0 or NULL.
pub struct vsession_event {
    event: Event,
    error: Option<vsession_error>,
    reply: Option<vsession_reply>,
}

impl vsession_event {
    /// Hands the event to the caller.
    pub(super) fn give(mut event: Event) -> *mut vsession_event {
        let error = event.error.as_ref().map(vsession_error::of);
        // The queue has let go of the outcome by now, so the reply is taken and not copied.
        let outcome = event.completion.as_mut().map(|c| std::mem::replace(&mut c.result, Arc::new(())));
        let outcome = outcome.and_then(|result| Arc::into_inner(result.downcast::<CallOutcome>().ok()?));
        let reply = outcome.and_then(Result::ok).map(vsession_reply::of);
        Box::into_raw(Box::new(vsession_event { event, error, reply }))
    }
}

/// What the event tells. 0 for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_get_kind(event: *const vsession_event) -> i32 {
    guard!(read(event, 0), |e| e.event.kind as i32)
}

/// The session that it happened to. It may have been closed since.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_session(event: *const vsession_event) -> vsession {
    guard!(read(event, vsession { id: 0 }), |e| vsession { id: e.event.session })
}

/// The state before.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_old_state(event: *const vsession_event) -> vsession_state {
    guard!(read(event, vsession_state::VSESSION_STATE_INVALID), |e| e.event.old_state)
}

/// The state after.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_new_state(event: *const vsession_event) -> vsession_state {
    guard!(read(event, vsession_state::VSESSION_STATE_INVALID), |e| e.event.new_state)
}

/// Why it happened.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_reason(event: *const vsession_event) -> vsession_reason {
    guard!(read(event, vsession_reason::VSESSION_REASON_NONE), |e| e.event.reason)
}

/// The epoch before. 0: never logged in.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_old_epoch(event: *const vsession_event) -> u64 {
    guard!(read(event, 0), |e| e.event.old_epoch)
}

/// The epoch after.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_new_epoch(event: *const vsession_event) -> u64 {
    guard!(read(event, 0), |e| e.event.new_epoch)
}

/// When it happened: milliseconds since 1970, UTC.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_time_ms(event: *const vsession_event) -> i64 {
    guard!(read(event, 0), |e| e.event.time_ms)
}

/// How many earlier events of the same kind were merged into this one because nobody had read them.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_merged(event: *const vsession_event) -> u32 {
    guard!(read(event, 0), |e| e.event.merged)
}

/// The failure behind the change; NULL where it was none.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_error(event: *const vsession_event) -> *const vsession_error {
    guard!(read(event, std::ptr::null()), |e| e.error.as_ref().map_or(std::ptr::null(), std::ptr::from_ref))
}

/// The tag of the call that has ended, as it was given to `vsession_call_async`. 0 for other kinds of event.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_tag(event: *const vsession_event) -> u64 {
    guard!(read(event, 0), |e| e.event.completion.as_ref().map_or(0, |c| c.tag))
}

/// The reply to the call that has ended; NULL when it failed (`vsession_event_error` says why) and for other kinds of
/// event.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_reply(event: *const vsession_event) -> *const vsession_reply {
    guard!(read(event, std::ptr::null()), |e| e.reply.as_ref().map_or(std::ptr::null(), std::ptr::from_ref))
}

/// The name of a kind of event for people, for example `state changed`. Never NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_event_kind_name(kind: i32) -> *const std::ffi::c_char {
    guard!(accessor(c"".as_ptr()), || name_of!(vsession_event_kind, kind, c"unknown"))
}

/// Frees an event. NULL is allowed.
///
/// Threads: safe from any thread, once for each event. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_event_free(event: *mut vsession_event) {
    guard!(free(event), |event| {
        // SAFETY: the caller owns the event and frees it once.
        drop(unsafe { Box::from_raw(event) })
    })
}
