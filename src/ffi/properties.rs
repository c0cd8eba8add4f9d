//! Reads of properties: those of one object, and of many objects page by page.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;

use super::call::{self, check_id, check_name, check_text, sized, vsession_call_options};
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::reply::vsession_reply;
use super::session::vsession;
use super::strings::{optional, required};
use crate::error::{Error, Result};
use crate::session::{PropertyRead, Retrieval, Session};
use crate::soap::arguments::check_elements;
use crate::status::vsession_status;

/// Takes a page of `vsession_retrieve`: the reply to RetrievePropertiesEx or ContinueRetrievePropertiesEx, which is valid only during
/// the call. `data` is the pointer in `vsession_retrieval`. Returns 0 to go on; any other number ends the retrieval, which then
/// returns VSESSION_OK.
///
/// It runs on the thread that called `vsession_retrieve`. The library holds no lock meanwhile and has no request under way, so
/// it may call any function of the library, on the same session too. Neither deadline nor token ends it; both count again when it
/// returns.
pub type vsession_page_fn =
    Option<unsafe extern "C" fn(data: *mut c_void, page: *const vsession_reply) -> i32>;

/// What `vsession_retrieve` reads. Initialise it with `VSESSION_RETRIEVAL_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_retrieval {
    /// `sizeof(vsession_retrieval)`. A smaller size ends behind `on_page`; the rest counts as zero.
    pub struct_size: usize,
    /// XML: one `specSet` element or more, as in the arguments of RetrievePropertiesEx: what to read (`propSet`), and where to look
    /// for objects (`objectSet`). Without `options`, which `max_objects` stands for.
    pub specifications: *const c_char,
    /// How many objects a page has at most. 0: the server decides, and may put all of them into one page.
    pub max_objects: u32,
    /// Must be zero.
    pub reserved: i32,
    /// Takes the pages, in order. Must not be NULL.
    pub on_page: vsession_page_fn,
    /// Passed to `on_page`.
    pub data: *mut c_void,
}

/// The most properties of one read. No type has nearly as many.
const MOST_PATHS: usize = 4096;

/// # Safety
/// `paths` is NULL or points to `count` pointers to NUL-terminated strings that stay unchanged for `'a`.
unsafe fn paths<'a>(paths: *const *const c_char, count: usize) -> Result<Vec<&'a str>> {
    let wrong = |problem: String| Error::invalid_argument("paths", problem);
    if count == 0 {
        return Err(Error::invalid_argument(
            "count",
            "0; name the properties to be read, for example \"name\" and \"runtime.powerState\"",
        ));
    }
    if paths.is_null() {
        return Err(wrong(format!("NULL, but 'count' is {count}")));
    }
    if count > MOST_PATHS {
        return Err(Error::invalid_argument("count", format!("{count}; at most {MOST_PATHS} are allowed")));
    }
    // SAFETY: not NULL, and by the caller's promise that many.
    let given = unsafe { std::slice::from_raw_parts(paths, count) };
    let read = |path: &*const c_char| {
        // SAFETY: by the caller's promise NUL-terminated.
        let path = unsafe { required(*path, "paths") }?;
        if path.is_empty() {
            return Err(wrong("an empty path; name a property, for example \"name\"".into()));
        }
        check_text(path, "paths", "the path of a property").map(|()| path)
    };
    given.iter().map(read).collect()
}

/// Reads properties of one object by RetrievePropertiesEx, and logs in first when that is necessary and allowed.
///
/// `type` and `id` name the object, for example `VirtualMachine` and `vm-42`; an `id` of NULL is the only object of this type in
/// the server's ServiceContent, as in `vsession_soap_call`. `paths` are `count` properties, for example `name` or
/// `config.hardware.numCPU`. In the reply, `returnval/objects` has a `propSet` with `name` and `val` for each property that is set. A property that is not set is
/// missing there, and that is no error.
///
/// If the server withholds a property (`missingSet`), the call fails with the status of the fault that says why, such as
/// VSESSION_E_NO_PERMISSION; the message names the property. `vsession_error_executed` is then YES. The read may run twice, so
/// it counts as idempotent whatever `options` say. docs/properties.md says what to use for many objects.
///
/// Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the reply is complete, the
/// deadline passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; the strings remain the
/// caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT, also for a `count` of 0; VSESSION_E_PROTOCOL when the server returned no object,
/// as for a wrong `type`; otherwise those of `vsession_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_get_properties(
    session: vsession,
    r#type: *const c_char,
    id: *const c_char,
    paths: *const *const c_char,
    count: usize,
    options: *const vsession_call_options,
    out: *mut *mut vsession_reply,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { call::options(options) }?;
        let bounds = session.bounds(options.timeout, options.cancel.clone());
        // SAFETY: by contract NULL or NUL-terminated strings, of which `paths` has `count`.
        let (kind, id, paths) = unsafe {
            (required(r#type, "type")?, optional(id, "id")?, self::paths(paths, count)?)
        };
        check_name(kind, "type")?;
        check_id(id, "id")?;
        let read = PropertyRead { kind, id, paths: &paths };
        Ok(vsession_reply::give(session.get_properties(bounds, &read, &options)?))
    })
}

/// Reads the properties of many objects by RetrievePropertiesEx, and hands the reply to a function page by page, to the end
/// (ContinueRetrievePropertiesEx). It logs in first when that is necessary and allowed.
///
/// A page is what the server sends: `missingSet` entries and objects without properties are no errors here. The deadline covers
/// all pages and the time that `on_page` takes. When the retrieval ends early (`on_page` stops it, a token, a deadline, a close, an error), the
/// library ends it on the server too (CancelRetrievePropertiesEx), in the background and bounded.
///
/// The pages that follow the first one belong to the session that brought it. If that session is replaced meanwhile, the call fails
/// with VSESSION_E_SESSION_CHANGED, which is retriable: begin again, and forget the pages that have come. After a page was handed out, `vsession_error_executed` is never NO.
/// The request for the first page may run twice and counts as idempotent; the others run at most once.
///
/// Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the last page was taken, the
/// deadline passes or the token fires. Owner: the pages remain the library's; `retrieval` and `options` the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_SESSION_CHANGED; otherwise those of `vsession_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_retrieve(
    session: vsession,
    retrieval: *const vsession_retrieval,
    options: *const vsession_call_options,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let session = handles::get::<Session>(session.id, "session")?;
        // SAFETY: by contract NULL or valid call options.
        let options = unsafe { call::options(options) }?;
        let bounds = session.bounds(options.timeout, options.cancel.clone());
        // No retrieval is without specifications and a function.
        let shorter = [offset_of!(vsession_retrieval, data)];
        // SAFETY: by contract NULL or a valid retrieval.
        let given = unsafe { sized(retrieval, &shorter, "retrieval") }?
            .ok_or_else(|| Error::invalid_argument("retrieval", "NULL; pass a vsession_retrieval"))?;
        // SAFETY: by contract NULL or a NUL-terminated string.
        let specifications = unsafe { required(given.specifications, "retrieval.specifications") }?;
        check_elements(specifications, "specSet")
            .map_err(|problem| Error::invalid_argument("retrieval.specifications", problem))?;
        if given.max_objects > i32::MAX as u32 {
            return Err(Error::invalid_argument(
                "retrieval.max_objects",
                format!("{}; no server knows numbers above {}", given.max_objects, i32::MAX),
            ));
        }
        if given.reserved != 0 {
            return Err(Error::invalid_argument("retrieval", "'reserved' must be zero"));
        }
        let on_page = given.on_page.ok_or_else(|| {
            Error::invalid_argument("retrieval.on_page", "NULL; pass the function that takes the pages")
        })?;
        let retrieval = Retrieval { specifications, max_objects: given.max_objects };
        session.retrieve(bounds, &retrieval, &options, &mut |page| {
            // SAFETY: the caller passed the function to be called so, with this pointer.
            vsession_reply::shown(page, |page| unsafe { on_page(given.data, page) }) == 0
        })
    })
}
