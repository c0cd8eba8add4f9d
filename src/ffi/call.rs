//! The structures that describe a call: its options, and the method with its arguments. Their first member is their size, so
//! that they can grow: members that a program does not know are zero, and zero is always the default.

use std::borrow::Cow;
use std::ffi::c_char;
use std::mem::{offset_of, size_of};
use std::time::Duration;

use super::cancel::vsession_cancel;
use super::handles;
use super::strings::{optional, required, with_length};
use crate::error::{Error, Result};
use crate::http::check_target;
use crate::rest::paths;
use crate::runtime::redact::excerpt;
use crate::runtime::secret::BorrowedOrWiped;
use crate::runtime::signal::Signal;
use crate::session::{CallOptions, MethodCall, OtherService, Special, Timeout};
use crate::soap::arguments::{check_arguments, check_header, check_namespace};
use crate::soap::xml::{is_name, is_text};

/// The `timeout_ms` of a call without a time limit.
pub const VSESSION_NO_TIMEOUT: u32 = u32::MAX;

/// How to make a call. Initialise it with `VSESSION_CALL_OPTIONS_INIT` and set what you need, or pass NULL for the defaults.
/// The library keeps no reference to it after the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_call_options {
    /// `sizeof(vsession_call_options)`. A smaller size ends behind the last member that the program sets; the others count as
    /// zero.
    pub struct_size: usize,
    /// The longest time that the call may take in milliseconds, including waits for other threads, connecting, a login and a
    /// repetition. 0: the option `timeout_ms` of the configuration, two minutes by default. `VSESSION_NO_TIMEOUT`: no limit.
    pub timeout_ms: u32,
    /// Non-zero: the call may run twice without harm, so the library sends it once more when its connection is lost, and again
    /// after an HTTP status that the option `http.retry_statuses` lists.
    pub idempotent: i32,
    /// A token that ends the call. `{0}`: none. A token that was freed is VSESSION_E_INVALID_ARGUMENT.
    pub cancel: vsession_cancel,
    /// Identifies the call in the server's log: at most 256 bytes, no control characters. NULL: the library makes one.
    pub operation_id: *const c_char,
    /// Non-zero: the call is only sent through the session of this epoch; otherwise it fails with
    /// VSESSION_E_SESSION_CHANGED. For calls that use filters, views or collectors, which belong to one session. 0: any, and the only
    /// value for a request through VSESSION_THROUGH_NONE.
    pub require_epoch: u64,
    /// Non-zero: do not log in for this call, and do not ask whether the session lives. Without a session, or if the server answers
    /// that the caller is not authenticated, it fails with VSESSION_E_NOT_AUTHENTICATED.
    pub no_relogin: i32,
    /// Must be zero.
    pub reserved: i32,
}

/// A call of a method: of vim25, or of another SOAP service of the server (docs/services.md). Initialise it with
/// `VSESSION_SOAP_CALL_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_soap_call {
    /// `sizeof(vsession_soap_call)`. A smaller size ends behind `this_type` or a later member; the others count as zero.
    pub struct_size: usize,
    /// The method, for example `CurrentTime`. Methods that end a session or make another one are refused, on any object, of any
    /// service and for nobody too: `Logout`, `CloneSession`, `ImpersonateUser`, all whose names begin with `Login`, and
    /// `VslmLoginByToken` and `VslmLogout`. Use `vsession_login` and `vsession_logout`.
    pub method: *const c_char,
    /// The type of the managed object that the method is called on, for example `ServiceInstance` or `VirtualMachine`.
    pub this_type: *const c_char,
    /// The id of that object, for example `vm-42`. NULL: the only object of this type in the server's ServiceContent
    /// (ServiceInstance, SessionManager, PropertyCollector, ...), whose ids differ between vCenter and ESXi. Other services than vim25
    /// need it. `method`, `this_type` and `this_id` are at most 1,024 bytes long.
    pub this_id: *const c_char,
    /// The arguments: XML elements in the order of the API's definition, without `_this`, in no namespace of their own.
    /// The prefixes `xsi:` and `xsd:` may be used. XML that is not well-formed is refused, with its line and column in the
    /// message. They end with a NUL. NULL: no arguments, or those of `arguments_bytes`.
    pub arguments: *const c_char,
    /// The length of `arguments_bytes` in bytes. 0 without them.
    pub arguments_length: usize,
    /// The arguments as text that does not end with a NUL; `arguments_length` is its length, and may be 0. NULL with `arguments`.
    pub arguments_bytes: *const c_char,
    /// The path of another SOAP service on the same server, for example `/pbm`. NULL: vim25. The paths that `vsession_http`
    /// refuses are refused here too.
    pub service_path: *const c_char,
    /// The namespace of that service, for example `urn:pbm`. Needed with `service_path`.
    pub service_namespace: *const c_char,
    /// The version of that service, at most 64 bytes of printable ASCII. The `SOAPAction` is `urn:pbm/2.0` with the version `2.0`. NULL: the
    /// `SOAPAction` names no version (`urn:pbm/`), which the services take as their own.
    pub service_version: *const c_char,
    /// Elements for the SOAP header, behind the library's own: XML as in `arguments`, in the namespace of SOAP where they declare no other.
    /// `operationID` and `vcSessionCookie` are refused: the library writes them. NULL: none.
    pub soap_header: *const c_char,
    /// Non-zero: the call is nobody's. It needs no session, logs nobody in and sends no cookie, and neither a success nor a fault says
    /// anything about the session. `require_epoch` must be 0. A vim25 call asks the server first for the version of its API, without
    /// credentials, if no login or call has done so.
    pub anonymous: i32,
    /// Must be zero.
    pub reserved: i32,
}

/// The part of a caller's structure that this version knows, with zeros for members that the caller does not have. `shorter`:
/// the sizes of structures that lack members at their end. A caller that was built for a newer version is refused when it
/// uses members that are unknown here.
///
/// # Safety
/// `pointer` is NULL or points to a structure whose first member is its size, of at least that size.
pub(super) unsafe fn sized<T: Copy>(
    pointer: *const T,
    shorter: &[usize],
    argument: &str,
) -> Result<Option<T>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the size stands first in every such structure.
    let size = unsafe { pointer.cast::<usize>().read() };
    const MOST: usize = 4096;
    let whole = (size_of::<T>()..=MOST).contains(&size) && size.is_multiple_of(align_of::<T>());
    if !whole && !shorter.contains(&size) {
        return Err(Error::invalid_argument(
            argument,
            format!(
                "struct_size is {size}, and no version of the structure has this size; set it to sizeof of the structure, here {}",
                size_of::<T>()
            ),
        ));
    }
    if size > size_of::<T>() {
        // SAFETY: by the caller's promise `size` bytes are there.
        let tail = unsafe {
            std::slice::from_raw_parts(pointer.cast::<u8>().add(size_of::<T>()), size - size_of::<T>())
        };
        if tail.iter().any(|byte| *byte != 0) {
            return Err(Error::invalid_argument(
                argument,
                "it uses members that this version of the library does not know; install the version for which the program was built",
            ));
        }
    }
    let length =
        if planted!("structure-read-beyond-its-end") { size_of::<T>() } else { size.min(size_of::<T>()) };
    // SAFETY: both sides are valid for the bytes copied, and any bytes are valid for these plain structures.
    unsafe {
        let mut known: T = std::mem::zeroed();
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut known).cast(), length);
        Ok(Some(known))
    }
}

/// Reads call options.
///
/// # Safety
/// As for `sized`, and its strings are NUL-terminated.
pub(super) unsafe fn options(pointer: *const vsession_call_options) -> Result<CallOptions> {
    // With `struct_size` alone the options would say nothing: that is the size of a pointer, taken by mistake.
    let shorter = [
        offset_of!(vsession_call_options, idempotent),
        offset_of!(vsession_call_options, cancel),
        offset_of!(vsession_call_options, operation_id),
        offset_of!(vsession_call_options, require_epoch),
        offset_of!(vsession_call_options, no_relogin),
        offset_of!(vsession_call_options, reserved),
    ];
    // SAFETY: the caller's promise is ours.
    let Some(given) = (unsafe { sized(pointer, &shorter, "options") })? else {
        return Ok(CallOptions::default());
    };
    if given.reserved != 0 {
        return Err(Error::invalid_argument("options", "'reserved' must be zero"));
    }
    // SAFETY: the caller's promise is ours.
    let operation_id = unsafe { optional(given.operation_id, "options.operation_id") }?;
    if operation_id.is_some_and(|id| id.len() > 256 || id.chars().any(char::is_control) || !is_text(id)) {
        return Err(Error::invalid_argument(
            "options.operation_id",
            "must be at most 256 bytes long and must not contain control characters, U+FFFE or U+FFFF",
        ));
    }
    Ok(CallOptions {
        timeout: match given.timeout_ms {
            0 => None,
            VSESSION_NO_TIMEOUT => Some(Timeout::Never),
            ms => Some(Timeout::After(Duration::from_millis(ms.into()))),
        },
        cancel: handles::optional::<Signal>(given.cancel.id, "options.cancel")?,
        operation_id: operation_id.map(str::to_string),
        idempotent: given.idempotent != 0,
        require_epoch: given.require_epoch,
        no_relogin: given.no_relogin != 0,
    })
}

/// The longest name of a method or type, the longest id of an object and the longest namespace, in bytes. Those of vSphere have less than
/// a hundred.
const LONGEST_NAME: usize = 1024;
/// The longest version of a service, in bytes. The longest known are those of vSAN (`vSAN 7.0U1`).
const LONGEST_VERSION: usize = 64;

fn check_length(text: &str, argument: &str) -> Result<()> {
    match text.len() {
        0..=LONGEST_NAME => Ok(()),
        length => Err(Error::invalid_argument(
            argument,
            format!("it is {length} bytes long, and at most {LONGEST_NAME} are allowed"),
        )),
    }
}

/// Why a text is no name of a method or type. A blank at its end would not be seen in a message.
#[cold]
fn why_no_name(text: &str) -> String {
    let good = |(at, c): &(usize, char)| {
        c.is_ascii_alphabetic() || *c == '_' || *at > 0 && (c.is_ascii_digit() || matches!(c, '-' | '.'))
    };
    match text.char_indices().find(|character| !good(character)) {
        Some((at, c)) => {
            let place = if at == 0 { "begins with" } else { "contains" };
            format!("it {place} the character U+{:04X}", u32::from(c))
        }
        None => "it is empty".into(),
    }
}

/// Checks the name of a method or type.
pub(super) fn check_name(text: &str, argument: &str) -> Result<()> {
    check_length(text, argument)?;
    if is_name(text) {
        return Ok(());
    }
    let (shown, why) = (excerpt(text), why_no_name(text));
    Err(Error::invalid_argument(
        argument,
        format!("'{shown}' is not a valid name of a method or type: {why}"),
    ))
}

/// Checks the id of an object. `None`: the server's only object of the type.
pub(super) fn check_id(id: Option<&str>, argument: &str) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    if id.is_empty() {
        return Err(Error::invalid_argument(
            argument,
            "empty; pass NULL for the server's only object of the type",
        ));
    }
    check_text(id, argument, "the id of an object")
}

/// Checks a short text that stands in a request: an id, the path of a property.
pub(super) fn check_text(text: &str, argument: &str, what: &str) -> Result<()> {
    check_length(text, argument)?;
    let is_bad = |c: &char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    match text.chars().find(is_bad).map(u32::from) {
        None => Ok(()),
        Some(number) => Err(Error::invalid_argument(
            argument,
            format!("it contains the character U+{number:04X}, which cannot occur in {what}"),
        )),
    }
}

/// Refuses methods that end the session or make another one: the library would not notice, and would leave a session on the
/// server. Other services have some of the same name and meaning, and the cookies that they set are not kept.
fn refuse_what_changes_the_session(method: &str) -> Result<()> {
    let advice = match method {
        "Logout" | "VslmLogout" => "use vsession_logout, or vsession_close",
        "CloneSession" | "ImpersonateUser" => {
            "the library has no function for it yet, and would lose the session that it makes"
        }
        "VslmLoginByToken" => "the service knows the session of vsession_login",
        _ if method.starts_with("Login") => {
            "use vsession_login, which takes user name and password; the library has no function for other ways in yet"
        }
        _ => return Ok(()),
    };
    Err(Error::invalid_argument("call.method", format!("{method} changes the session itself: {advice}")))
}

/// Reads the description of a call.
///
/// # Safety
/// As for `sized`; its strings are NUL-terminated or as long as it says, and stay unchanged for `'a`.
pub(super) unsafe fn method_call<'a>(pointer: *const vsession_soap_call) -> Result<MethodCall<'a>> {
    // No call is without a method and a type.
    let shorter = [
        offset_of!(vsession_soap_call, this_id),
        offset_of!(vsession_soap_call, arguments),
        offset_of!(vsession_soap_call, arguments_length),
        offset_of!(vsession_soap_call, arguments_bytes),
        offset_of!(vsession_soap_call, service_path),
        offset_of!(vsession_soap_call, service_namespace),
        offset_of!(vsession_soap_call, service_version),
        offset_of!(vsession_soap_call, soap_header),
        offset_of!(vsession_soap_call, anonymous),
        offset_of!(vsession_soap_call, reserved),
    ];
    // SAFETY: the caller's promise is ours, here and below.
    let given = unsafe { sized(pointer, &shorter, "call") }?
        .ok_or_else(|| Error::invalid_argument("call", "NULL; pass a vsession_soap_call"))?;
    // SAFETY: see above.
    let (method, kind, id) = unsafe {
        (
            required(given.method, "call.method")?,
            required(given.this_type, "call.this_type")?,
            optional(given.this_id, "call.this_id")?,
        )
    };
    check_name(method, "call.method")?;
    check_name(kind, "call.this_type")?;
    refuse_what_changes_the_session(method)?;
    // SAFETY: see above.
    let (arguments, name) = unsafe { arguments(&given) }?;
    check_arguments(arguments).map_err(|problem| Error::invalid_argument(name, problem))?;
    check_id(id, "call.this_id")?;
    Ok(MethodCall {
        method: method.into(),
        kind: kind.into(),
        id: id.map(Cow::Borrowed),
        arguments: BorrowedOrWiped::Borrowed(arguments),
        // SAFETY: see above.
        special: if is_plain(&given) { None } else { Some(Box::new(unsafe { special(&given) }?)) },
    })
}

/// The arguments of a call, and the member that has them.
///
/// # Safety
/// As for `method_call`.
unsafe fn arguments<'a>(given: &vsession_soap_call) -> Result<(&'a str, &'static str)> {
    let (text, bytes) = (given.arguments, given.arguments_bytes);
    let wrong = |problem: &str| Err(Error::invalid_argument("call.arguments_length", problem));
    match (bytes.is_null(), given.arguments_length) {
        // SAFETY: the caller's promise is ours, here and below.
        (true, 0) => Ok((unsafe { optional(text, "call.arguments") }?.unwrap_or(""), "call.arguments")),
        (true, _) if text.is_null() => {
            wrong("there are no arguments; set 'arguments_bytes', or the length to 0")
        }
        (true, _) => {
            wrong("'arguments' end with a NUL; set 'arguments_bytes' in their place, or the length to 0")
        }
        (false, _) if !text.is_null() => Err(Error::invalid_argument(
            "call.arguments_bytes",
            "'arguments' are set too; set one of them to NULL",
        )),
        (false, 0) => Ok(("", "call.arguments_bytes")),
        // SAFETY: see above.
        (false, length) => unsafe {
            Ok((with_length(bytes, length, "call.arguments_bytes")?, "call.arguments_bytes"))
        },
    }
}

/// Whether a call is one of vim25 through the session, with no header of the program's.
fn is_plain(given: &vsession_soap_call) -> bool {
    given.service_path.is_null()
        && given.service_namespace.is_null()
        && given.service_version.is_null()
        && given.soap_header.is_null()
        && given.anonymous == 0
        && given.reserved == 0
}

/// What most calls lack.
///
/// # Safety
/// As for `method_call`.
unsafe fn special<'a>(given: &vsession_soap_call) -> Result<Special<'a>> {
    if given.reserved != 0 {
        return Err(Error::invalid_argument("call", "'reserved' must be zero"));
    }
    // SAFETY: the caller's promise is ours.
    let header = unsafe { optional(given.soap_header, "call.soap_header") }?.unwrap_or("");
    check_header(header).map_err(|problem| Error::invalid_argument("call.soap_header", problem))?;
    Ok(Special {
        // SAFETY: the caller's promise is ours.
        service: unsafe { other_service(given) }?,
        header: BorrowedOrWiped::Borrowed(header),
        anonymous: given.anonymous != 0,
    })
}

/// # Safety
/// As for `method_call`.
unsafe fn other_service<'a>(given: &vsession_soap_call) -> Result<Option<OtherService<'a>>> {
    // SAFETY: the caller's promise is ours.
    let (path, namespace, version) = unsafe {
        (
            optional(given.service_path, "call.service_path")?,
            optional(given.service_namespace, "call.service_namespace")?,
            optional(given.service_version, "call.service_version")?,
        )
    };
    let Some(path) = path else {
        let needless = if namespace.is_some() { "call.service_namespace" } else { "call.service_version" };
        return match (namespace, version) {
            (None, None) => Ok(None),
            _ => Err(Error::invalid_argument(
                needless,
                "it belongs to another service than vim25; set 'service_path' too. The version of vim25 is the option 'api_version'",
            )),
        };
    };
    let of_path = |problem: String| Error::invalid_argument("call.service_path", problem);
    check_target(path).map_err(of_path)?;
    if let Some(advice) = paths::changes_session("POST", path, std::iter::empty()) {
        return Err(of_path(format!("the request changes the session itself: {advice}")));
    }
    let namespace = namespace.ok_or_else(|| {
        Error::invalid_argument(
            "call.service_namespace",
            "NULL; a call of another service needs its namespace, for example urn:pbm for /pbm",
        )
    })?;
    check_length(namespace, "call.service_namespace")?;
    check_namespace(namespace)
        .map_err(|problem| Error::invalid_argument("call.service_namespace", problem))?;
    let version = version.unwrap_or("");
    if version.len() > LONGEST_VERSION || !version.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err(Error::invalid_argument(
            "call.service_version",
            format!("must be at most {LONGEST_VERSION} bytes of printable ASCII"),
        ));
    }
    if given.this_id.is_null() {
        return Err(Error::invalid_argument(
            "call.this_id",
            "NULL; a call of another service than vim25 needs the object's id",
        ));
    }
    Ok(Some(OtherService {
        // `check_target` leaves nothing that does not parse.
        path: path.parse().map_err(|_| of_path("not a path".into()))?,
        namespace: namespace.into(),
        action: format!("{namespace}/{version}"),
    }))
}

/// Refuses an epoch for a call that is nobody's.
pub(super) fn check_epoch(call: &MethodCall<'_>, options: &CallOptions) -> Result<()> {
    let is_anonymous = call.special.as_ref().is_some_and(|special| special.anonymous);
    if is_anonymous && options.require_epoch != 0 {
        return Err(Error::invalid_argument(
            "options.require_epoch",
            "an anonymous call has no session, and so no epoch; set it to 0",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_ends_behind_a_member_and_what_it_lacks_is_zero() {
        // Room behind the structure for one of a newer program.
        #[repr(C)]
        struct Given(vsession_call_options, [u64; 4]);
        let known = size_of::<vsession_call_options>();
        let mut taken = Vec::new();
        for struct_size in 0..size_of::<Given>() {
            let given = Given(
                vsession_call_options {
                    struct_size,
                    timeout_ms: 5,
                    idempotent: 1,
                    cancel: vsession_cancel { id: 0 },
                    operation_id: c"op".as_ptr(),
                    require_epoch: 7,
                    no_relogin: 1,
                    reserved: i32::from(struct_size < known),
                },
                [0; 4],
            );
            // SAFETY: the structure is longer than it says.
            match unsafe { options(std::ptr::from_ref(&given).cast()) } {
                Ok(read) => {
                    assert!(matches!(read.timeout, Some(Timeout::After(_))));
                    assert_eq!(read.idempotent, struct_size >= 16, "{struct_size}");
                    assert_eq!(read.operation_id.is_some(), struct_size >= 32, "{struct_size}");
                    assert_eq!(read.require_epoch == 7, struct_size >= 40, "{struct_size}");
                    assert_eq!(read.no_relogin, struct_size >= 44, "{struct_size}");
                    taken.push(struct_size);
                }
                Err(error) => {
                    let advice = format!(
                        "{struct_size}, and no version of the structure has this size; set it to sizeof of the structure, here {known}"
                    );
                    assert!(error.detail().message.contains(&advice), "{error}");
                }
            }
        }
        assert_eq!(taken, [12, 16, 24, 32, 40, 44, 48, 56, 64, 72]);
    }
}
