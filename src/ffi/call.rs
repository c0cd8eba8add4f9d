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
use crate::runtime::redact::excerpt;
use crate::runtime::secret::BorrowedOrWiped;
use crate::runtime::signal::Signal;
use crate::session::{CallOptions, MethodCall, Timeout};
use crate::soap::arguments::check_arguments;
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

/// A call of a vim25 method. Initialise it with `VSESSION_SOAP_CALL_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_soap_call {
    /// `sizeof(vsession_soap_call)`. A smaller size ends behind `this_type` or a later member; the others count as zero.
    pub struct_size: usize,
    /// The method, for example `CurrentTime`. Methods that end a session or make another one are refused on any object:
    /// `Logout`, `CloneSession`, `ImpersonateUser`, and all whose names begin with `Login`. Use `vsession_login` and
    /// `vsession_logout`.
    pub method: *const c_char,
    /// The type of the managed object that the method is called on, for example `ServiceInstance` or `VirtualMachine`.
    pub this_type: *const c_char,
    /// The id of that object, for example `vm-42`. NULL: the only object of this type in the server's ServiceContent
    /// (ServiceInstance, SessionManager, PropertyCollector, ...), whose ids differ between vCenter and ESXi. `method`, `this_type`
    /// and `this_id` are at most 1,024 bytes long.
    pub this_id: *const c_char,
    /// The arguments: XML elements in the order of the API's definition, without `_this`, in no namespace of their own.
    /// The prefixes `xsi:` and `xsd:` may be used. XML that is not well-formed is refused, with its line and column in the
    /// message. NULL: no arguments.
    pub arguments: *const c_char,
    /// The length of `arguments` in bytes. 0, with `arguments` that are not NULL: they end with a NUL.
    pub arguments_length: usize,
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

/// The longest name of a method or type and the longest id of an object, in bytes. Those of vSphere have less than a hundred.
const LONGEST_NAME: usize = 1024;

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

/// Refuses methods that end the session or make another one: the library would not notice, and would leave a session on the
/// server.
fn refuse_what_changes_the_session(method: &str) -> Result<()> {
    let advice = match method {
        "Logout" => "use vsession_logout, or vsession_close",
        "CloneSession" | "ImpersonateUser" => {
            "the library has no function for it yet, and would lose the session that it makes"
        }
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
    for (text, argument) in [(method, "call.method"), (kind, "call.this_type")] {
        check_length(text, argument)?;
        if !is_name(text) {
            let (shown, why) = (excerpt(text), why_no_name(text));
            return Err(Error::invalid_argument(
                argument,
                format!("'{shown}' is not a valid name of a method or type: {why}"),
            ));
        }
    }
    refuse_what_changes_the_session(method)?;
    // SAFETY: see above.
    let arguments = unsafe {
        match given.arguments_length {
            0 => optional(given.arguments, "call.arguments")?.unwrap_or(""),
            length => with_length(given.arguments, length, "call.arguments")?,
        }
    };
    check_arguments(arguments).map_err(|problem| Error::invalid_argument("call.arguments", problem))?;
    if let Some(id) = id {
        check_length(id, "call.this_id")?;
    }
    if id == Some("") {
        return Err(Error::invalid_argument(
            "call.this_id",
            "empty; pass NULL for the server's only object of the type",
        ));
    }
    let is_bad = |c: &char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if let Some(number) = id.and_then(|id| id.chars().find(is_bad)).map(u32::from) {
        return Err(Error::invalid_argument(
            "call.this_id",
            format!("it contains the character U+{number:04X}, which cannot occur in the id of an object"),
        ));
    }
    Ok(MethodCall {
        method: method.into(),
        kind: kind.into(),
        id: id.map(Cow::Borrowed),
        arguments: BorrowedOrWiped::Borrowed(arguments),
    })
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
