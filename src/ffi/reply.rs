//! `vsession_reply`: the reply to a call or to an HTTP request.

use std::ffi::c_char;

use super::guard::{guard, put};
use super::strings::{borrowed, optional, optional_borrowed};
use crate::http::HeaderLines;
use crate::session::{Content, SessionReply};
use crate::soap::reply::Reply;
use crate::soap::xml::node::Node;
use crate::soap::xml::resolved::Resolved;

/// The reply to a call or to an HTTP request. Owned by the caller and freed with `vsession_reply_free`. It never changes, so
/// any thread may read it, and it outlives the session. For NULL the accessors return NULL or 0.
pub struct vsession_reply(pub(super) SessionReply, Resolved);

impl vsession_reply {
    /// A reply that the caller is shown, and does not own.
    pub(super) fn shown<T>(answer: SessionReply, show: impl FnOnce(*const vsession_reply) -> T) -> T {
        show(&raw const *Box::new(vsession_reply::new(answer)))
    }

    /// Hands a reply to the caller.
    pub(super) fn give(answer: SessionReply) -> *mut vsession_reply {
        Box::into_raw(Box::new(vsession_reply::new(answer)))
    }

    pub(super) fn new(answer: SessionReply) -> vsession_reply {
        vsession_reply(answer, Resolved::default())
    }

    /// The response element.
    pub(super) fn root(&self) -> Option<Node<'_>> {
        self.soap().and_then(|reply| Node::at(&reply.xml, reply.response.start))
    }

    /// The document of its nodes, and what their readers share.
    pub(super) fn document(&self) -> Option<(&str, &Resolved)> {
        Some((&self.soap()?.xml, &self.1))
    }

    fn soap(&self) -> Option<&Reply> {
        match &self.0.content {
            Content::Soap(reply) => Some(reply),
            Content::Http { .. } => None,
        }
    }

    fn headers(&self) -> Option<&HeaderLines> {
        match &self.0.content {
            Content::Soap(_) => None,
            Content::Http { headers, .. } => Some(headers),
        }
    }
}

/// A part of the reply to a vim25 call and its length; NULL and 0 for others.
fn part(reply: *const vsession_reply, length: *mut usize, part: fn(&Reply) -> &str) -> *const c_char {
    // SAFETY: by contract NULL, or a reply that the caller has not freed.
    let found = unsafe { reply.as_ref() }.and_then(vsession_reply::soap).map(part);
    put(length, found.map_or(0, str::len));
    found.map_or(std::ptr::null(), |part| part.as_ptr().cast())
}

/// Returns the whole SOAP envelope as the server sent it, except that U+FFFD replaces what XML does not allow (see
/// `vsession_reply_repaired`): well-formed XML in UTF-8, NUL-terminated. If `length` is not NULL, it is set to the length in
/// bytes without the NUL. NULL, with length 0, for a NULL reply and for that of `vsession_http`.
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
/// Prefixes that it uses may be declared on the envelope. NULL, with length 0, for a NULL reply and for that of
/// `vsession_http`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_response(
    reply: *const vsession_reply,
    length: *mut usize,
) -> *const c_char {
    guard!(accessor(std::ptr::null()), || part(reply, length, |reply| &reply.xml[reply.response.clone()]))
}

/// Returns how many characters of the reply to a vim25 call were replaced by U+FFFD, because XML does not allow them: control
/// characters, U+FFFE and U+FFFF, references to such characters, and bytes that are not UTF-8, where each maximal part of a
/// sequence counts once. Guests and people put them into names and notes. Usually 0, and always for a reply of
/// `vsession_http`. `vsession_reply_body` returns what the server sent. Do not write a replaced text back to the server.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_repaired(reply: *const vsession_reply) -> usize {
    guard!(read(reply, 0), |r| r.soap().map_or(0, Reply::repairs))
}

/// Returns the text of the return value when that is a single element without children: a string, a number, a time, a
/// reference to a task. Character references and CDATA sections are resolved, and comments are removed. NULL when the
/// method returns nothing or a structure, and for a reply of `vsession_http`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_text(reply: *const vsession_reply) -> *const c_char {
    guard!(read(reply, std::ptr::null()), |r| r
        .soap()
        .map_or(std::ptr::null(), |reply| optional_borrowed(&reply.text)))
}

/// Returns the epoch of the session that the call went through; 0 for a request that was nobody's. Filters, views and
/// collectors that the call made live as long as that session.
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

/// Returns the status of an HTTP reply, for example 200; 0 for the reply to a vim25 call.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_http_status(reply: *const vsession_reply) -> i32 {
    guard!(read(reply, 0), |r| match &r.0.content {
        Content::Soap(_) => 0,
        Content::Http { status, .. } => i32::from(*status),
    })
}

/// Returns the value of the first header line with this name, in any case, of an HTTP reply. NULL when there is none, and for
/// the reply to a vim25 call.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_header(
    reply: *const vsession_reply,
    name: *const c_char,
) -> *const c_char {
    guard!(read(reply, std::ptr::null()), |r| {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let name = unsafe { optional(name, "name") }.ok().flatten();
        let value = name.and_then(|name| r.headers()?.find(name));
        value.map_or(std::ptr::null(), |value| value.as_ptr().cast())
    })
}

/// Returns the value of the header line with this number, from 0 on, of an HTTP reply, and its name in `name`, which may be
/// NULL. NULL behind the last one, and for the reply to a vim25 call; `name` is then set to NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_header_at(
    reply: *const vsession_reply,
    number: usize,
    name: *mut *const c_char,
) -> *const c_char {
    guard!(accessor(std::ptr::null()), || {
        // SAFETY: by contract NULL, or a reply that the caller has not freed.
        let headers = unsafe { reply.as_ref() }.and_then(vsession_reply::headers);
        let line = headers.and_then(|headers| headers.line(number));
        let (found, value) = line.map_or((std::ptr::null(), std::ptr::null()), |(name, value)| {
            (name.as_ptr().cast(), value.as_ptr().cast())
        });
        put(name, found);
        value
    })
}

/// Returns the body of a reply, decompressed, and its length in `length`, which may be NULL. A NUL follows it, which does not
/// count. For the reply to a vim25 call these are the bytes that the server sent: what `vsession_reply_xml` returns where
/// nothing was replaced, and the original where `vsession_reply_repaired` is not 0. NULL, with length 0, for a NULL reply.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_body(
    reply: *const vsession_reply,
    length: *mut usize,
) -> *const c_char {
    guard!(accessor(std::ptr::null()), || {
        // SAFETY: by contract NULL, or a reply that the caller has not freed.
        let body = unsafe { reply.as_ref() }.map(|reply| match &reply.0.content {
            Content::Soap(reply) => reply.body(),
            Content::Http { body, .. } => body,
        });
        // A NUL follows both.
        put(length, body.map_or(0, <[u8]>::len));
        body.map_or(std::ptr::null(), |body| body.as_ptr().cast())
    })
}

/// Frees a reply. NULL is allowed and does nothing. Do not free the reply of an event.
///
/// Threads: safe from any thread, once for each object. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_free(reply: *mut vsession_reply) {
    guard!(free(reply))
}
