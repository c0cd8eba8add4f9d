//! The states of a session and the reasons for a change, as the C API names them. Numbers are part of the ABI.

use crate::status::named;

/// The state of a session. Reading it makes no request and does not wait.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum vsession_state {
    /// The handle is null, made up, or not that of a session.
    VSESSION_STATE_INVALID = 0,
    /// There is no session: not logged in yet, or logged out.
    VSESSION_STATE_LOGGED_OUT = 1,
    /// A login is under way.
    VSESSION_STATE_LOGGING_IN = 2,
    /// Logged in, as far as the library knows.
    VSESSION_STATE_ACTIVE = 3,
    /// Logged in, but the server did not answer the last request. The session may still be alive on the server.
    VSESSION_STATE_UNREACHABLE = 4,
    /// The server ended the session.
    VSESSION_STATE_EXPIRED = 5,
    /// The server refused the credentials. The library does not send them again by itself.
    VSESSION_STATE_REJECTED = 6,
    /// The handle was closed.
    VSESSION_STATE_CLOSED = 7,
}

pub(crate) use vsession_state as State;

named! {
    vsession_state:
    VSESSION_STATE_INVALID => "invalid",
    VSESSION_STATE_LOGGED_OUT => "logged out",
    VSESSION_STATE_LOGGING_IN => "logging in",
    VSESSION_STATE_ACTIVE => "active",
    VSESSION_STATE_UNREACHABLE => "unreachable",
    VSESSION_STATE_EXPIRED => "expired",
    VSESSION_STATE_REJECTED => "rejected",
    VSESSION_STATE_CLOSED => "closed",
}

impl vsession_state {
    /// Whether there is a session that calls may use.
    pub(crate) fn is_usable(self) -> bool {
        matches!(self, State::VSESSION_STATE_ACTIVE | State::VSESSION_STATE_UNREACHABLE)
    }
}

/// A service of the server with sessions of its own. A handle has a session with each; see `vsession_event_service`.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum vsession_service {
    /// The vim25 service (SOAP), whose session `vsession_login` makes.
    VSESSION_SERVICE_VIM = 1,
    /// The REST service.
    VSESSION_SERVICE_REST = 2,
}

pub(crate) use vsession_service as ServiceName;

named! {
    vsession_service:
    VSESSION_SERVICE_VIM => "vim25",
    VSESSION_SERVICE_REST => "REST",
}

/// Why a session's state changed.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_reason {
    /// There is no event.
    VSESSION_REASON_NONE = 0,
    /// A caller asked for a login, or the first call needed one.
    VSESSION_REASON_LOGIN = 1,
    /// The session ended and is being replaced.
    VSESSION_REASON_RELOGIN = 2,
    /// A caller logged out.
    VSESSION_REASON_LOGOUT = 3,
    /// The server said that the session is gone.
    VSESSION_REASON_EXPIRED = 4,
    /// The server refused the credentials.
    VSESSION_REASON_REFUSED = 5,
    /// A login failed for another reason.
    VSESSION_REASON_LOGIN_FAILED = 6,
    /// The server did not answer.
    VSESSION_REASON_UNREACHABLE = 7,
    /// The server answered again.
    VSESSION_REASON_RECOVERED = 8,
    /// The handle was closed.
    VSESSION_REASON_CLOSE = 9,
    /// The program set another password.
    VSESSION_REASON_NEW_CREDENTIALS = 10,
}

pub(crate) use vsession_reason as Reason;

named! {
    vsession_reason:
    VSESSION_REASON_NONE => "none",
    VSESSION_REASON_LOGIN => "login",
    VSESSION_REASON_RELOGIN => "relogin",
    VSESSION_REASON_LOGOUT => "logout",
    VSESSION_REASON_EXPIRED => "expired",
    VSESSION_REASON_REFUSED => "refused",
    VSESSION_REASON_LOGIN_FAILED => "login failed",
    VSESSION_REASON_UNREACHABLE => "unreachable",
    VSESSION_REASON_RECOVERED => "recovered",
    VSESSION_REASON_CLOSE => "close",
    VSESSION_REASON_NEW_CREDENTIALS => "new credentials",
}
