//! `vsession_reply`: the reply to a call.

use std::ffi::c_char;

use super::guard::{guard, put};
use super::strings::{borrowed, optional_borrowed};
use crate::session::SessionReply;
use crate::soap::reply::Reply;

/// The reply to a call. Owned by the caller and freed with `vsession_reply_free`. It never changes, so any thread may read
/// it, and it outlives the session. For NULL the accessors return NULL or 0.
pub struct vsession_reply(pub(super) SessionReply);

impl vsession_reply {
    /// Hands a reply to the caller.
    pub(super) fn give(answer: SessionReply) -> *mut vsession_reply {
        Box::into_raw(Box::new(vsession_reply(answer)))
    }
}

/// A part of a reply and its length; NULL and 0 for a NULL reply.
fn part(reply: *const vsession_reply, length: *mut usize, part: fn(&Reply) -> &str) -> *const c_char {
    // SAFETY: by contract NULL, or a reply that the caller has not freed.
    let found = unsafe { reply.as_ref() }.map(|reply| part(&reply.0.reply));
    put(length, found.map_or(0, str::len));
    found.map_or(std::ptr::null(), |part| part.as_ptr().cast())
}

/// Returns the whole SOAP envelope as the server sent it: UTF-8, NUL-terminated. If `length` is not NULL, it is set to
/// the length in bytes without the NUL. NULL, with length 0, for a NULL reply.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_xml(
    reply: *const vsession_reply,
    length: *mut usize,
) -> *const c_char {
    guard!(accessor(std::ptr::null()), || part(reply, length, |reply| &reply.xml))
}

/// Returns the response element inside the envelope, for example `<CurrentTimeResponse …>…</CurrentTimeResponse>`. It
/// is a part of what `vsession_reply_xml` returns and is not NUL-terminated: its length in bytes is stored in `length`.
/// Prefixes that it uses may be declared on the envelope. NULL, with length 0, for a NULL reply.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_response(
    reply: *const vsession_reply,
    length: *mut usize,
) -> *const c_char {
    guard!(accessor(std::ptr::null()), || part(reply, length, |reply| &reply.xml[reply.response.clone()]))
}

/// Returns the text of the return value when that is a single element without children: a string, a number, a time, a
/// reference to a task. Character references and CDATA sections are resolved, and comments are removed. NULL when the
/// method returns nothing or a structure.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_text(reply: *const vsession_reply) -> *const c_char {
    guard!(read(reply, std::ptr::null()), |r| optional_borrowed(&r.0.reply.text))
}

/// Returns the epoch of the session that the call went through. Filters, views and collectors that the call made live
/// as long as that session.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_epoch(reply: *const vsession_reply) -> u64 {
    guard!(read(reply, 0), |r| r.0.epoch)
}

/// Returns the operation id of the request, which vCenter writes into its log.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_operation_id(reply: *const vsession_reply) -> *const c_char {
    guard!(read(reply, std::ptr::null()), |r| borrowed(&r.0.operation_id))
}

/// Frees a reply. NULL is allowed and does nothing. Do not free the reply of an event.
///
/// Threads: safe from any thread, once for each object. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_free(reply: *mut vsession_reply) {
    guard!(free(reply))
}
