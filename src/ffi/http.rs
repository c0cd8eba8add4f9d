//! HTTP requests of any kind: the structures that describe one, and the functions that make it.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;

use super::call::{self, sized, vsession_call_options};
use super::callback_data::CallbackData;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::queue::vsession_queue;
use super::reply::vsession_reply;
use super::session::vsession;
use super::strings::required;
use crate::error::{Error, Result};
use crate::http::{Give, Take, check_headers, check_method, check_target, given_up};
use crate::rest::paths;
use crate::runtime::event::Queue;
use crate::runtime::secret::{BorrowedOrWiped, BytesOrWiped};
use crate::session::{AsyncCall, CallOptions, HttpCall, Session, Through};
use crate::status::{named, vsession_status};
use crate::sync::Arc;

/// Whose request it is, as a number in `through`.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_through {
    /// That of the REST session, which the first such request makes; see the option `rest`. Its id goes with the request in the
    /// header `vmware-api-session-id`.
    VSESSION_THROUGH_REST = 0,
    /// That of the vim25 session. Its cookie goes with the request, or, where the path is one of VI JSON
    /// (`/sdk/vim25/...`), its id in the header `vmware-api-session-id`.
    VSESSION_THROUGH_VIM = 1,
    /// Nobody's: it needs no session, logs nobody in, and a success says nothing about the session.
    VSESSION_THROUGH_NONE = 2,
}

named! {
    vsession_through: VSESSION_THROUGH_REST => "the REST session", VSESSION_THROUGH_VIM => "the vim25 session", VSESSION_THROUGH_NONE => "nobody"
}

/// Moves a part of a body, so that neither side holds all of it. To give the body of a request: writes at most `length` bytes
/// to `bytes` and returns how many; 0: that was all. With NULL and 0 it is asked to begin again, for another attempt: it returns 0
/// if it can. To take the body of a reply: reads `length` bytes from `bytes` and returns `length`. Any other number ends the
/// request with VSESSION_E_CANCELLED.
///
/// It is called on the thread that makes the request, or on threads of the library for an asynchronous one, one call at a time.
/// While it runs, neither deadline nor token ends the request. It may call any function of the library.
pub type vsession_body_fn =
    Option<unsafe extern "C" fn(data: *mut c_void, bytes: *mut c_char, length: usize) -> i64>;

/// A header of a request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_header {
    /// For example `Accept`.
    pub name: *const c_char,
    /// Printable ASCII, blanks and tabs.
    pub value: *const c_char,
}

/// An HTTP request. Initialise it with `VSESSION_HTTP_REQUEST_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_http_request {
    /// `sizeof(vsession_http_request)`. A smaller size ends behind `path` or a later member; the others count as zero.
    pub struct_size: usize,
    /// In capital letters, for example `GET`. `CONNECT` and `TRACE` are refused.
    pub method: *const c_char,
    /// The path on the server and perhaps a query, percent-encoded as in the request: `/api/vcenter/vm?names=a%20b`. An
    /// address of another server, a segment `.` or `..`, however it is encoded, and a path that begins with `//` are
    /// refused.
    pub path: *const c_char,
    /// Headers, at most 128. Those that the library writes itself are refused: the ones about the connection and the length
    /// of the body, `Host`, `User-Agent`, `Accept-Encoding`, `X-Request-ID` (the operation id), and the ones that make it a request of the session.
    /// A body for `/api`, `/rest` or VI JSON without a `Content-Type` gets `application/json`.
    pub headers: *const vsession_header,
    /// How many.
    pub header_count: usize,
    /// The body: any bytes. NULL: none.
    pub body: *const c_void,
    /// The length of the body in bytes.
    pub body_length: usize,
    /// Whose request it is: a `vsession_through`.
    pub through: i32,
    /// Non-zero: a reply is handed out whatever its status, and its body in whatever `Content-Encoding` it came. Otherwise a status of
    /// 400 or above is an error, and so is a body that the library cannot decode.
    pub raw: i32,
    /// Gives the body in place of `body`. `body_length` is then its exact length, or 0 if the program does not know it: the body goes
    /// out in chunks. NULL: `body` is the body.
    pub read_body: vsession_body_fn,
    /// Takes the body of a reply below 400, which may be of any length; the reply's own body is then empty. NULL: the reply has it.
    pub write_reply: vsession_body_fn,
    /// Passed to both functions. An asynchronous request uses it until its completion.
    pub data: *mut c_void,
}

/// A function of the program that gives or takes a body.
struct BodyFunction {
    function: unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> i64,
    data: CallbackData,
}

impl BodyFunction {
    fn of(function: vsession_body_fn, data: *mut c_void) -> Option<Arc<BodyFunction>> {
        function.map(|function| Arc::new(BodyFunction { function, data: CallbackData::new(data, None) }))
    }

    fn call(&self, bytes: *mut c_char, length: usize) -> i64 {
        // SAFETY: the caller passed the function to be called so, with this pointer, and there are so many bytes.
        unsafe { (self.function)(self.data.pointer(), bytes, length) }
    }
}

impl Give for BodyFunction {
    fn give(&self, room: &mut [u8]) -> Result<usize> {
        let given = self.call(room.as_mut_ptr().cast(), room.len());
        match usize::try_from(given) {
            Ok(length) if length <= room.len() => Ok(length),
            _ => Err(given_up(format!(
                "the function that gives the body ended the request: it returned {given}"
            ))),
        }
    }

    fn rewind(&self) -> bool {
        self.call(std::ptr::null_mut(), 0) == 0
    }
}

impl Take for BodyFunction {
    fn take(&self, bytes: &[u8]) -> Result<()> {
        let taken = self.call(bytes.as_ptr().cast_mut().cast(), bytes.len());
        match usize::try_from(taken) {
            Ok(length) if length == bytes.len() => Ok(()),
            _ => Err(given_up(format!(
                "the function that takes the reply ended the request: it returned {taken}"
            ))),
        }
    }
}

/// The longest list of headers that is looked at.
const MOST_HEADERS: usize = 1024;

/// Reads the description of a request.
///
/// # Safety
/// As for `sized`; its strings are NUL-terminated, its arrays as long as it says, and they stay unchanged for `'a`.
unsafe fn http_call<'a>(pointer: *const vsession_http_request) -> Result<HttpCall<'a>> {
    // No request is without a method and a path.
    let shorter = [
        offset_of!(vsession_http_request, headers),
        offset_of!(vsession_http_request, header_count),
        offset_of!(vsession_http_request, body),
        offset_of!(vsession_http_request, body_length),
        offset_of!(vsession_http_request, through),
        offset_of!(vsession_http_request, raw),
        offset_of!(vsession_http_request, read_body),
        offset_of!(vsession_http_request, write_reply),
        offset_of!(vsession_http_request, data),
    ];
    // SAFETY: the caller's promise is ours, here and below.
    let given = unsafe { sized(pointer, &shorter, "request") }?
        .ok_or_else(|| Error::invalid_argument("request", "NULL; pass a vsession_http_request"))?;
    // SAFETY: see above.
    let (method, path) =
        unsafe { (required(given.method, "request.method")?, required(given.path, "request.path")?) };
    check_method(method).map_err(|problem| Error::invalid_argument("request.method", problem))?;
    check_target(path).map_err(|problem| Error::invalid_argument("request.path", problem))?;
    // SAFETY: see above.
    let headers = unsafe { headers(given.headers, given.header_count) }?;
    let through = through(given.through, method, path, &headers)?;
    let of_session: &[(&str, &str)] = match through {
        Through::Rest | Through::Vim => {
            &[("cookie", "the session's goes with it"), ("vmware-api-session-id", "it is the session's")]
        }
        Through::Nobody => &[],
    };
    check_headers(headers.iter().copied(), of_session)
        .map_err(|problem| Error::invalid_argument("request.headers", problem))?;
    let give = BodyFunction::of(given.read_body, given.data);
    if give.is_some() && !given.body.is_null() {
        return Err(Error::invalid_argument("request.read_body", "'body' is set too; pass one of them"));
    }
    let body_length = if give.is_some() { 0 } else { given.body_length };
    // SAFETY: see above.
    let body = unsafe { bytes(given.body, body_length, "request.body") }?;
    Ok(HttpCall {
        method: method.parse().map_err(|_| Error::invalid_argument("request.method", "not a method"))?,
        // `check_target` leaves nothing that does not parse.
        path: path.parse().map_err(|_| Error::invalid_argument("request.path", "not a path"))?,
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.into(), BorrowedOrWiped::Borrowed(value)))
            .collect(),
        body: BytesOrWiped::Borrowed(body),
        given_length: give.as_ref().and((given.body_length > 0).then_some(given.body_length as u64)),
        give: give.map(|give| give as Arc<dyn Give>),
        take: BodyFunction::of(given.write_reply, given.data).map(|take| take as Arc<dyn Take>),
        through,
        raw: given.raw != 0,
    })
}

/// Whose request it is. Refuses requests that would change the session itself.
fn through(number: i32, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Through> {
    let wrong = |problem| Error::invalid_argument("request.through", problem);
    let through = match vsession_through::from_number(number) {
        Some(vsession_through::VSESSION_THROUGH_VIM) => Through::Vim,
        Some(vsession_through::VSESSION_THROUGH_NONE) => return Ok(Through::Nobody),
        Some(vsession_through::VSESSION_THROUGH_REST) => Through::Rest,
        None => return Err(wrong(format!("{number} is no vsession_through"))),
    };
    match paths::changes_session(method, path, headers.iter().map(|(name, _)| *name)) {
        None => Ok(through),
        Some(advice) => Err(Error::invalid_argument(
            "request.path",
            format!("the request changes the session itself: {advice}"),
        )),
    }
}

/// # Safety
/// `pointer` is NULL or points to `count` headers with NUL-terminated strings that stay unchanged for `'a`.
unsafe fn headers<'a>(pointer: *const vsession_header, count: usize) -> Result<Vec<(&'a str, &'a str)>> {
    let wrong = |problem: String| Error::invalid_argument("request.headers", problem);
    if count == 0 {
        return Ok(Vec::new());
    }
    if pointer.is_null() {
        return Err(wrong(format!("NULL, but 'header_count' is {count}")));
    }
    if count > MOST_HEADERS {
        return Err(wrong(format!("'header_count' is {count}, more than any server accepts")));
    }
    // SAFETY: not NULL, and by the caller's promise that many.
    let given = unsafe { std::slice::from_raw_parts(pointer, count) };
    let read = |header: &vsession_header| {
        // SAFETY: by the caller's promise NUL-terminated.
        unsafe { Ok((required(header.name, "request.headers")?, required(header.value, "request.headers")?)) }
    };
    given.iter().map(read).collect()
}

/// # Safety
/// `pointer` is NULL or points to `length` bytes that stay unchanged for `'a`.
unsafe fn bytes<'a>(pointer: *const c_void, length: usize, argument: &str) -> Result<&'a [u8]> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error::invalid_argument(argument, format!("NULL, but its length is {length}"))),
        (false, length) if length > isize::MAX as usize => {
            Err(Error::invalid_argument(argument, "its length is larger than any object can be"))
        }
        // SAFETY: not NULL, and by the caller's promise that long.
        (false, length) => Ok(unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) }),
    }
}

/// Reads call options for a request: its operation id goes into a header.
///
/// # Safety
/// As for `call::options`.
unsafe fn options(pointer: *const vsession_call_options, through: Through) -> Result<CallOptions> {
    // SAFETY: the caller's promise is ours.
    let options = unsafe { call::options(pointer) }?;
    if options.operation_id.as_ref().is_some_and(|id| !id.bytes().all(|b| (b' '..=b'~').contains(&b))) {
        return Err(Error::invalid_argument(
            "options.operation_id",
            "goes into the header X-Request-ID here, so it must be printable ASCII",
        ));
    }
    if through == Through::Nobody && options.require_epoch != 0 {
        return Err(Error::invalid_argument(
            "options.require_epoch",
            "a request through VSESSION_THROUGH_NONE has no session, and so no epoch; set it to 0",
        ));
    }
    Ok(options)
}

/// Makes any HTTP request to the server: REST, VI JSON, files, or a service beside vim25, with the method, the headers and the
/// body that `request` says. Through the vim25 session it logs in first when that is necessary and allowed.
///
/// A status below 400 is success, redirects included, which are not followed. A status of 400 or above is an error, unless
/// `raw` is set: `vsession_error_service_error` is what a REST service calls it, `vsession_error_fault_name` the type of a
/// fault of VI JSON or SOAP, and `vsession_error_body` the whole body. When the server answers that the caller is not
/// authenticated (HTTP 401, the fault NotAuthenticated), the library asks it whether the session is alive. If the session is
/// gone, it is replaced, once for all threads, and the request is sent again. If it is alive, the answer stands.
///
/// A request runs at most once, unless `idempotent` is set; that holds for GET too. Requests that end the session or make
/// another one are refused. A body in memory is at most as large in a reply as the option `max_reply_bytes` says;
/// `read_body` and `write_reply` move bodies of any length piece by piece. Nothing is sent again once `write_reply` has been called,
/// or when `read_body` cannot begin again. Other servers are out of reach.
///
/// Threads: safe from any thread; requests of different threads run in parallel. Blocks: until the reply is complete, the
/// deadline passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; `request` and `options`
/// remain the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_REST; VSESSION_E_HTTP when no service said anything;
/// VSESSION_E_NOT_AUTHENTICATED; VSESSION_E_NO_PERMISSION; VSESSION_E_FAULT; VSESSION_E_INVALID_LOGIN;
/// VSESSION_E_SESSION_CHANGED; VSESSION_E_CLOSED; errors of the network and of the server. `vsession_error_executed` says
/// whether the server ran the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_http(
    session: vsession,
    request: *const vsession_http_request,
    options: *const vsession_call_options,
    out: *mut *mut vsession_reply,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or a valid request.
        let request = unsafe { http_call(request) }?;
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { self::options(options, request.through) }?;
        let bounds = session.bounds(options.timeout, options.cancel.clone());
        Ok(vsession_reply::give(session.http(bounds, &request, &options)?))
    })
}

/// Starts a request as by `vsession_http` and returns. When it ends, an event of the kind `VSESSION_EVENT_COMPLETION` with
/// this `tag` and the reply or the error is put into `queue`: exactly one, however the request ends. Functions for bodies and
/// their data must live until then. It counts among the
/// calls that `max_async_calls` allows; see `vsession_call_async`. A `WaitForUpdatesEx` by VI JSON takes one of
/// `max_long_polls`.
///
/// Threads: safe from any thread. Blocks: never. Owner: all arguments are copied and remain the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED; VSESSION_E_OVERLOADED. After an error
/// there is no event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_http_async(
    session: vsession,
    request: *const vsession_http_request,
    options: *const vsession_call_options,
    queue: vsession_queue,
    tag: u64,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let open = handles::get::<Session>(session.id, "session")?;
        let queue = handles::of_argument::<Queue>(queue.id, "queue")?;
        // SAFETY: by contract NULL or valid structures.
        let (request, options) = unsafe {
            let request = http_call(request)?.into_owned();
            let options = self::options(options, request.through)?;
            (request, options)
        };
        open.call_async(AsyncCall::Http(Box::new(request)), options, queue, tag)
    })
}
