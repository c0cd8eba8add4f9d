//! The states of a session and the reasons for a change, as the C API names them. Numbers are part of the ABI.

use std::ffi::CStr;

/// Where a session stands. Reading it makes no request and waits for nothing.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum vsession_state {
    /// The handle is null, made up, or not a session.
    VSESSION_STATE_INVALID = 0,
    /// No session: not logged in yet, or logged out.
    VSESSION_STATE_LOGGED_OUT = 1,
    /// A login is under way.
    VSESSION_STATE_LOGGING_IN = 2,
    /// Logged in, as far as is known.
    VSESSION_STATE_ACTIVE = 3,
    /// Logged in, but the server did not answer the last request; the session may live on there.
    VSESSION_STATE_UNREACHABLE = 4,
    /// The server ended the session.
    VSESSION_STATE_EXPIRED = 5,
    /// The server refused the credentials; the library will not try them again by itself.
    VSESSION_STATE_REJECTED = 6,
    /// The handle was closed.
    VSESSION_STATE_CLOSED = 7,
}

pub(crate) use vsession_state as State;
use vsession_state::*;

impl vsession_state {
    /// A short lower-case name, for example `active`.
    pub fn name(self) -> &'static CStr {
        match self {
            VSESSION_STATE_INVALID => c"invalid",
            VSESSION_STATE_LOGGED_OUT => c"logged out",
            VSESSION_STATE_LOGGING_IN => c"logging in",
            VSESSION_STATE_ACTIVE => c"active",
            VSESSION_STATE_UNREACHABLE => c"unreachable",
            VSESSION_STATE_EXPIRED => c"expired",
            VSESSION_STATE_REJECTED => c"rejected",
            VSESSION_STATE_CLOSED => c"closed",
        }
    }

    /// The state with this number; `VSESSION_STATE_INVALID` when there is none.
    pub fn from_number(number: i32) -> vsession_state {
        match number {
            1 => VSESSION_STATE_LOGGED_OUT,
            2 => VSESSION_STATE_LOGGING_IN,
            3 => VSESSION_STATE_ACTIVE,
            4 => VSESSION_STATE_UNREACHABLE,
            5 => VSESSION_STATE_EXPIRED,
            6 => VSESSION_STATE_REJECTED,
            7 => VSESSION_STATE_CLOSED,
            _ => VSESSION_STATE_INVALID,
        }
    }

    /// Whether there is a session that calls may use.
    pub(crate) fn is_usable(self) -> bool {
        matches!(self, VSESSION_STATE_ACTIVE | VSESSION_STATE_UNREACHABLE)
    }
}

/// Why a session's state changed.
#[allow(non_camel_case_types)]
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vsession_reason {
    /// There is no event to give a reason for.
    VSESSION_REASON_NONE = 0,
    /// A caller asked for a login, or a first call needed one.
    VSESSION_REASON_LOGIN = 1,
    /// The session had ended and is being replaced.
    VSESSION_REASON_RELOGIN = 2,
    /// A caller logged out.
    VSESSION_REASON_LOGOUT = 3,
    /// The server says that the session is gone.
    VSESSION_REASON_EXPIRED = 4,
    /// The server refused the credentials.
    VSESSION_REASON_REFUSED = 5,
    /// A login failed for another reason.
    VSESSION_REASON_LOGIN_FAILED = 6,
    /// The server did not answer.
    VSESSION_REASON_UNREACHABLE = 7,
    /// The server answers again.
    VSESSION_REASON_RECOVERED = 8,
    /// The handle was closed.
    VSESSION_REASON_CLOSE = 9,
    /// The program gave another password.
    VSESSION_REASON_NEW_CREDENTIALS = 10,
}

pub(crate) use vsession_reason as Reason;

impl vsession_reason {
    /// A short lower-case name, for example `relogin`.
    pub fn name(self) -> &'static CStr {
        match self {
            Reason::VSESSION_REASON_NONE => c"none",
            Reason::VSESSION_REASON_LOGIN => c"login",
            Reason::VSESSION_REASON_RELOGIN => c"relogin",
            Reason::VSESSION_REASON_LOGOUT => c"logout",
            Reason::VSESSION_REASON_EXPIRED => c"expired",
            Reason::VSESSION_REASON_REFUSED => c"refused",
            Reason::VSESSION_REASON_LOGIN_FAILED => c"login failed",
            Reason::VSESSION_REASON_UNREACHABLE => c"unreachable",
            Reason::VSESSION_REASON_RECOVERED => c"recovered",
            Reason::VSESSION_REASON_CLOSE => c"close",
            Reason::VSESSION_REASON_NEW_CREDENTIALS => c"new credentials",
        }
    }

    /// The reason with this number, if there is one.
    pub fn from_number(number: i32) -> Option<vsession_reason> {
        use vsession_reason::*;
        [
            VSESSION_REASON_NONE,
            VSESSION_REASON_LOGIN,
            VSESSION_REASON_RELOGIN,
            VSESSION_REASON_LOGOUT,
            VSESSION_REASON_EXPIRED,
            VSESSION_REASON_REFUSED,
            VSESSION_REASON_LOGIN_FAILED,
            VSESSION_REASON_UNREACHABLE,
            VSESSION_REASON_RECOVERED,
            VSESSION_REASON_CLOSE,
            VSESSION_REASON_NEW_CREDENTIALS,
        ]
        .into_iter()
        .find(|reason| *reason as i32 == number)
    }
}
