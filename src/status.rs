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

/// The result of a function. `VSESSION_OK` is 0; every other number is an error, which a `vsession_error` describes further.
///
/// Numbers are never reused. A program must treat a number that it does not know as an error.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum vsession_status {
    /// Success.
    VSESSION_OK = 0,

    /// An argument is NULL, not UTF-8, out of range or unknown. The message names the argument.
    VSESSION_E_INVALID_ARGUMENT = 1,
    /// The handle is null, of another kind, or none that the library returned.
    VSESSION_E_INVALID_HANDLE = 2,
    /// The handle was closed or freed, before the call or during it.
    VSESSION_E_CLOSED = 3,
    /// The function was called from a callback of the same session and would wait for itself.
    VSESSION_E_REENTRANT = 4,
    /// The process is a forked child of the one that used the library. Nothing was done.
    VSESSION_E_FORKED = 5,
    /// A defect in the library. Please report it.
    VSESSION_E_INTERNAL = 6,
    /// Options are missing or contradict each other.
    VSESSION_E_CONFIG = 7,
    /// The operating system refused memory, a thread or a file descriptor, or too many handles are open.
    VSESSION_E_RESOURCE = 8,

    /// The cancellation token fired.
    VSESSION_E_CANCELLED = 20,
    /// The deadline passed.
    VSESSION_E_TIMEOUT = 21,
    /// The program makes more calls at a time than can be served: so many wait for a connection that this one would not be answered
    /// before its deadline, or as many asynchronous calls are under way as `max_async_calls` allows. It was not sent, and its
    /// deadline has not passed yet. That says nothing against the server, but one that hangs keeps its connections in use: the state
    /// of the session (VSESSION_STATE_UNREACHABLE) and the message tell.
    VSESSION_E_OVERLOADED = 22,

    /// The host name has no address.
    VSESSION_E_RESOLVE = 40,
    /// No connection could be made: it was refused, or the host is unreachable or did not answer.
    VSESSION_E_CONNECT = 41,
    /// The TLS handshake failed, and not for lack of trust in the server's certificate.
    VSESSION_E_TLS = 42,
    /// The server's certificate is not trusted.
    VSESSION_E_UNTRUSTED = 43,
    /// The connection was lost before the reply was complete.
    VSESSION_E_CONNECTION = 44,
    /// The proxy refused the connection or could not reach the server.
    VSESSION_E_PROXY = 45,

    /// The server answered with an HTTP status that carries no SOAP reply and no error of a service, for example a 404, a 502 or a
    /// redirection.
    VSESSION_E_HTTP = 60,
    /// The reply is not SOAP, for example an HTML page.
    VSESSION_E_NOT_SOAP = 61,
    /// The reply is not well-formed XML, for example because it was cut off, or it exceeds the limits of the reader (see
    /// docs/conventions.md).
    VSESSION_E_MALFORMED_XML = 62,
    /// The body of the reply is larger than `max_reply_bytes`, or its head is larger than 64 KiB or has more than 128 header lines.
    VSESSION_E_REPLY_TOO_LARGE = 63,
    /// The reply contains a document type declaration, which the library refuses.
    VSESSION_E_DTD = 64,
    /// The reply is well-formed but lacks something that the protocol requires.
    VSESSION_E_PROTOCOL = 65,

    /// The server refused the credentials (the fault InvalidLogin or one derived from it).
    VSESSION_E_INVALID_LOGIN = 80,
    /// There is no session, or it ended and was not replaced.
    VSESSION_E_NOT_AUTHENTICATED = 81,
    /// The session is alive, but its account lacks a privilege.
    VSESSION_E_NO_PERMISSION = 82,
    /// Another SOAP fault. The error holds its name and its XML.
    VSESSION_E_FAULT = 83,
    /// The session was replaced, and the call required the older one (`require_epoch`).
    VSESSION_E_SESSION_CHANGED = 84,
    /// A REST service answered with an error, which `vsession_error_service_error` names.
    VSESSION_E_REST = 85,
}

pub(crate) use vsession_status as Status;

named! {
    vsession_status: VSESSION_OK, VSESSION_E_INVALID_ARGUMENT, VSESSION_E_INVALID_HANDLE, VSESSION_E_CLOSED, VSESSION_E_REENTRANT, VSESSION_E_FORKED, VSESSION_E_INTERNAL, VSESSION_E_CONFIG, VSESSION_E_RESOURCE, VSESSION_E_CANCELLED, VSESSION_E_TIMEOUT, VSESSION_E_OVERLOADED, VSESSION_E_RESOLVE, VSESSION_E_CONNECT, VSESSION_E_TLS, VSESSION_E_UNTRUSTED, VSESSION_E_CONNECTION, VSESSION_E_PROXY, VSESSION_E_HTTP, VSESSION_E_NOT_SOAP, VSESSION_E_MALFORMED_XML, VSESSION_E_REPLY_TOO_LARGE, VSESSION_E_DTD, VSESSION_E_PROTOCOL, VSESSION_E_INVALID_LOGIN, VSESSION_E_NOT_AUTHENTICATED, VSESSION_E_NO_PERMISSION, VSESSION_E_FAULT, VSESSION_E_SESSION_CHANGED, VSESSION_E_REST,
}

/// Whether the server ran the call that failed.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_executed {
    /// The server did not run it: no request was sent, or the answer proves it. Repeating it is safe.
    VSESSION_EXECUTED_NO = 0,
    /// It is not known: the request may have been sent, and no answer proves whether the server ran it.
    VSESSION_EXECUTED_MAYBE = 1,
    /// The server ran it: the answer is the method's own reply or fault.
    VSESSION_EXECUTED_YES = 2,
}

pub(crate) use vsession_executed as Executed;
