//! The status that every fallible function returns. The names are the C names, so that one search finds a status in the
//! header, in the code and in a bug report. Numbers are part of the ABI: they are never changed and never reused.

/// Gives an enumeration of the C API the list of its values, their names, and the way back from a number. A variant that is
/// missing does not compile. The enumeration itself is written out, because cbindgen does not see what a macro makes.
macro_rules! named {
    ($type:ident: $($variant:ident),+ $(,)?) => {
        $crate::status::named! { $type: $($variant => stringify!($variant)),+ }
    };
    ($type:ident: $($variant:ident => $name:expr),+ $(,)?) => {
        impl $type {
            /// Every value, in the order of the numbers.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The name, for people.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name),+
                }
            }

            /// The value with this number, if there is one.
            pub const fn from_number(number: i32) -> Option<$type> {
                $(if number == $type::$variant as i32 {
                    return Some($type::$variant);
                })+
                None
            }
        }
    };
}
pub(crate) use named;

/// What became of a call. `VSESSION_OK` is 0; everything else is an error, described further by a `vsession_error`.
///
/// Numbers are never reused. Programs must treat a number that they do not know as an error.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum vsession_status {
    /// The call did what it says.
    VSESSION_OK = 0,

    /// An argument is NULL, not UTF-8, out of range or unknown; the message names it.
    VSESSION_E_INVALID_ARGUMENT = 1,
    /// The handle is null, of another kind, or was never given out.
    VSESSION_E_INVALID_HANDLE = 2,
    /// The handle was closed or freed, before the call or during it.
    VSESSION_E_CLOSED = 3,
    /// The call came from a callback of the same session and could only wait for itself.
    VSESSION_E_REENTRANT = 4,
    /// The process is a fork of the one that used the library; nothing was touched.
    VSESSION_E_FORKED = 5,
    /// A defect in the library: a panic was caught at the boundary. Please report it.
    VSESSION_E_INTERNAL = 6,
    /// Options are missing or contradict each other.
    VSESSION_E_CONFIG = 7,
    /// The operating system refused a resource (memory, a thread, a file descriptor).
    VSESSION_E_RESOURCE = 8,

    /// The cancellation token fired.
    VSESSION_E_CANCELLED = 20,
    /// The deadline passed.
    VSESSION_E_TIMEOUT = 21,

    /// The host name has no address.
    VSESSION_E_RESOLVE = 40,
    /// No connection: refused, unreachable, or nobody answered.
    VSESSION_E_CONNECT = 41,
    /// The TLS handshake failed for a reason other than trust.
    VSESSION_E_TLS = 42,
    /// The server's certificate is not trusted.
    VSESSION_E_UNTRUSTED = 43,
    /// The connection was lost before the reply was complete.
    VSESSION_E_CONNECTION = 44,
    /// The proxy refused or could not reach the server.
    VSESSION_E_PROXY = 45,

    /// An HTTP status that carries no SOAP reply (a proxy's 502, a 404, a redirect).
    VSESSION_E_HTTP = 60,
    /// The reply is not SOAP, for example an HTML page.
    VSESSION_E_NOT_SOAP = 61,
    /// The reply is XML that does not parse, for example because it was cut off, holds a character that XML does not allow, or
    /// exceeds the bounds of what is read.
    VSESSION_E_MALFORMED_XML = 62,
    /// The reply is larger than `max_reply_bytes`.
    VSESSION_E_REPLY_TOO_LARGE = 63,
    /// The reply holds a document type declaration, which is refused.
    VSESSION_E_DTD = 64,
    /// The reply parses but lacks something that the protocol promises.
    VSESSION_E_PROTOCOL = 65,

    /// The server refused the credentials (fault InvalidLogin or one derived from it).
    VSESSION_E_INVALID_LOGIN = 80,
    /// There is no session, or it ended and was not replaced.
    VSESSION_E_NOT_AUTHENTICATED = 81,
    /// The session lives but lacks a privilege.
    VSESSION_E_NO_PERMISSION = 82,
    /// Any other SOAP fault; the error carries its name and its XML.
    VSESSION_E_FAULT = 83,
    /// The session was replaced, and the call asked for the older one (`require_epoch`).
    VSESSION_E_SESSION_CHANGED = 84,
}

pub(crate) use vsession_status as Status;

named! {
    vsession_status: VSESSION_OK, VSESSION_E_INVALID_ARGUMENT, VSESSION_E_INVALID_HANDLE, VSESSION_E_CLOSED, VSESSION_E_REENTRANT, VSESSION_E_FORKED, VSESSION_E_INTERNAL, VSESSION_E_CONFIG, VSESSION_E_RESOURCE, VSESSION_E_CANCELLED, VSESSION_E_TIMEOUT, VSESSION_E_RESOLVE, VSESSION_E_CONNECT, VSESSION_E_TLS, VSESSION_E_UNTRUSTED, VSESSION_E_CONNECTION, VSESSION_E_PROXY, VSESSION_E_HTTP, VSESSION_E_NOT_SOAP, VSESSION_E_MALFORMED_XML, VSESSION_E_REPLY_TOO_LARGE, VSESSION_E_DTD, VSESSION_E_PROTOCOL, VSESSION_E_INVALID_LOGIN, VSESSION_E_NOT_AUTHENTICATED, VSESSION_E_NO_PERMISSION, VSESSION_E_FAULT, VSESSION_E_SESSION_CHANGED,
}

/// Whether the server ran the call that failed.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_executed {
    /// It is proven that the server did not run it: repeating it is safe.
    VSESSION_EXECUTED_NO = 0,
    /// It cannot be known: the request was sent, and what came back, if anything, is not recognised as the method's own reply.
    VSESSION_EXECUTED_MAYBE = 1,
    /// The server answered it.
    VSESSION_EXECUTED_YES = 2,
}

pub(crate) use vsession_executed as Executed;
