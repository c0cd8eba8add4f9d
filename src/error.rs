//! The error that travels through every layer: a status, a message that says what to do next, and what is known of the
//! failed exchange. It is cheap to clone, because one failed login answers many waiting threads.

use std::time::Duration;
use std::{fmt, io};

use crate::status::{Executed, Status};
use crate::sync::Arc;
use crate::text::{Bytes, Text};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for whom, and what is known about the request.
#[derive(Clone)]
pub(crate) struct Error(Arc<Detail>);

#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) status: Status,
    pub(crate) message: Text,
    pub(crate) fault_name: Option<Text>,
    /// What the fault says besides its name.
    pub(crate) fault: Option<Arc<FaultText>>,
    /// What a REST service calls the error, for example `NOT_FOUND`.
    pub(crate) service_error: Option<Text>,
    /// The body of the reply that was no success, without the secrets of the request.
    pub(crate) body: Option<Arc<Bytes>>,
    /// 0 when no HTTP reply arrived.
    pub(crate) http_status: u16,
    pub(crate) operation_id: Option<Text>,
    /// `errno`, 0 when none is known.
    pub(crate) os_error: i32,
    /// The same call may succeed later without a change by the caller.
    pub(crate) retriable: bool,
    /// How long the server asks to be left alone, the library still waits before a login, or too many calls wait.
    pub(crate) retry_after: Option<Duration>,
    /// The login of this call failed, and the next automatic one waits so long. What the server asks for is told instead.
    pub(crate) next_login: Option<Duration>,
    executed: Executed,
    /// What a fault objects to in the request itself.
    pub(crate) objection: Option<Objection>,
    /// It came of a question that the library asked for its own sake, before a login.
    pub(crate) own_question: bool,
    /// It answers in place of a login that was not tried: one has failed before.
    pub(crate) not_tried: bool,
    /// A deadline passed while the server said nothing, to nobody, for longer than it usually does; see `http::round_trips`.
    pub(crate) silent: bool,
}

/// What a fault says, without the secrets of the request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FaultText {
    pub(crate) code: Option<Text>,
    pub(crate) string: Option<Text>,
    /// The detail as a document of its own.
    pub(crate) detail: Option<Text>,
}

/// A fault that is about the request and not about what it asks for: this may be another server than the one that the
/// request was written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// The version of the API is none that the server speaks.
    Version,
    /// The server cannot make anything of the request. `silent`: it does not say why.
    Request { silent: bool },
    /// There is no such object. Its id, where the fault names it.
    Object(Option<String>),
    /// There is no such method.
    Method,
}

impl Error {
    /// An error whose request may have run, unless the status itself says that none was sent. Where more is known, the maker
    /// adds `not_run` or `ran`; nothing else decides it.
    #[cold]
    pub(crate) fn new(status: Status, message: impl Into<Text>) -> Error {
        use Status::*;
        let retriable = matches!(
            status,
            VSESSION_E_TIMEOUT
                | VSESSION_E_OVERLOADED
                | VSESSION_E_RESOLVE
                | VSESSION_E_CONNECT
                | VSESSION_E_CONNECTION
                | VSESSION_E_RESOURCE
                | VSESSION_E_SESSION_CHANGED
        );
        Error(Arc::new(Detail {
            status,
            message: message.into(),
            fault_name: None,
            fault: None,
            service_error: None,
            body: None,
            http_status: 0,
            operation_id: None,
            os_error: 0,
            retriable,
            retry_after: None,
            next_login: None,
            executed: match status {
                VSESSION_E_INVALID_ARGUMENT
                | VSESSION_E_INVALID_HANDLE
                | VSESSION_E_REENTRANT
                | VSESSION_E_FORKED
                | VSESSION_E_CONFIG
                | VSESSION_E_OVERLOADED
                | VSESSION_E_RESOLVE
                | VSESSION_E_CONNECT
                | VSESSION_E_UNTRUSTED
                | VSESSION_E_SESSION_CHANGED => Executed::VSESSION_EXECUTED_NO,
                _ => Executed::VSESSION_EXECUTED_MAYBE,
            },
            objection: None,
            own_question: false,
            not_tried: false,
            silent: false,
        }))
    }

    #[cold]
    pub(crate) fn invalid_argument(name: &str, problem: impl fmt::Display) -> Error {
        Error::new(Status::VSESSION_E_INVALID_ARGUMENT, format!("argument '{name}': {problem}"))
    }

    /// The configuration cannot be used, or a file or variable that it names.
    #[cold]
    pub(crate) fn config(problem: impl Into<Text>) -> Error {
        Error::new(Status::VSESSION_E_CONFIG, problem)
    }

    /// Code panicked, which is a defect of the library. `what` it did when it panicked.
    #[cold]
    pub(crate) fn panicked(what: &str) -> Error {
        Error::new(Status::VSESSION_E_INTERNAL, format!("a panic during {what}; please report it"))
    }

    /// Changes the detail; copies it first when the error is shared.
    #[cold]
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Detail)) -> Error {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The same with the `errno` of a failed system call.
    #[cold]
    pub(crate) fn caused_by(self, failure: &io::Error) -> Error {
        self.with(|d| d.os_error = failure.raw_os_error().unwrap_or(0))
    }

    /// The same with another message, made from this one.
    #[cold]
    pub(crate) fn reworded(self, message: impl FnOnce(&str) -> String) -> Error {
        self.with(|d| d.message = message(&d.message).into())
    }

    /// The maker proves that the server did not run the request: nothing was sent, or the answer says so.
    #[cold]
    pub(crate) fn not_run(self) -> Error {
        self.with(|d| d.executed = Executed::VSESSION_EXECUTED_NO)
    }

    /// The maker proves that the server ran the request: the answer is the method's own.
    #[cold]
    pub(crate) fn ran(self) -> Error {
        self.with(|d| d.executed = Executed::VSESSION_EXECUTED_YES)
    }

    /// Takes back the proof that the request did not run: an earlier attempt, or another thread's, may have run it.
    pub(crate) fn may_have_run(self) -> Error {
        match self.0.executed {
            Executed::VSESSION_EXECUTED_NO => self.with(|d| d.executed = Executed::VSESSION_EXECUTED_MAYBE),
            _ => self,
        }
    }

    /// The same with what the other error says about whether the request ran.
    #[cold]
    pub(crate) fn executed_as(self, other: &Error) -> Error {
        self.with(|d| d.executed = other.executed())
    }

    pub(crate) fn executed(&self) -> Executed {
        self.0.executed
    }

    pub(crate) fn status(&self) -> Status {
        self.0.status
    }

    pub(crate) fn detail(&self) -> &Detail {
        &self.0
    }

    /// A server answered the request, with a fault or a service's error.
    pub(crate) fn is_fault(&self) -> bool {
        use Status::*;
        matches!(
            self.0.status,
            VSESSION_E_INVALID_LOGIN
                | VSESSION_E_NOT_AUTHENTICATED
                | VSESSION_E_NO_PERMISSION
                | VSESSION_E_FAULT
                | VSESSION_E_REST
        )
    }

    /// Somebody answered, and not what was asked: a fault, a page, HTTP 403. Where the library asked for its own sake, that
    /// says nothing about the session or the credentials.
    pub(crate) fn is_no_answer(&self) -> bool {
        use Status::*;
        match self.0.status {
            VSESSION_E_NOT_SOAP
            | VSESSION_E_MALFORMED_XML
            | VSESSION_E_REPLY_TOO_LARGE
            | VSESSION_E_DTD
            | VSESSION_E_PROTOCOL => true,
            VSESSION_E_HTTP => !self.is_outage(),
            _ => self.is_fault(),
        }
    }

    /// HTTP 500 or above, where SOAP was expected. In answer to a question that every service answers, it says that the service fails;
    /// in answer to a call of the program, the call may be the cause.
    pub(crate) fn is_failure_of_the_service(&self) -> bool {
        self.0.status == Status::VSESSION_E_HTTP && self.0.http_status >= 500
    }

    /// The server could not be reached or did not answer as a server: nothing that a login would mend.
    pub(crate) fn is_outage(&self) -> bool {
        use Status::*;
        match self.0.status {
            VSESSION_E_RESOLVE
            | VSESSION_E_CONNECT
            | VSESSION_E_TLS
            | VSESSION_E_UNTRUSTED
            | VSESSION_E_CONNECTION
            | VSESSION_E_PROXY => true,
            VSESSION_E_HTTP => means_outage(self.0.http_status),
            VSESSION_E_TIMEOUT => self.0.silent,
            _ => false,
        }
    }
}

/// Whether an HTTP status says that the server is not there or cannot cope.
pub(crate) fn means_outage(http_status: u16) -> bool {
    matches!(http_status, 429 | 502..=504)
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.status.name(), self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_have_run_unless_the_maker_of_its_error_proves_otherwise() {
        use Status::*;
        let sends_nothing = [
            VSESSION_E_INVALID_ARGUMENT,
            VSESSION_E_INVALID_HANDLE,
            VSESSION_E_REENTRANT,
            VSESSION_E_FORKED,
            VSESSION_E_CONFIG,
            VSESSION_E_OVERLOADED,
            VSESSION_E_RESOLVE,
            VSESSION_E_CONNECT,
            VSESSION_E_UNTRUSTED,
            VSESSION_E_SESSION_CHANGED,
        ];
        for status in Status::ALL.iter().copied().filter(|status| *status != VSESSION_OK) {
            let error = Error::new(status, "");
            let expected = match sends_nothing.contains(&status) {
                true => Executed::VSESSION_EXECUTED_NO,
                false => Executed::VSESSION_EXECUTED_MAYBE,
            };
            assert_eq!(error.executed(), expected, "{status:?}");
            assert_eq!(
                error.clone().may_have_run().executed(),
                Executed::VSESSION_EXECUTED_MAYBE,
                "{status:?}"
            );
            assert_eq!(error.clone().not_run().executed(), Executed::VSESSION_EXECUTED_NO);
            assert_eq!(error.ran().may_have_run().executed(), Executed::VSESSION_EXECUTED_YES);
        }
    }
}
