//! The operations of the server's SessionManager that concern the session itself.

use super::service::Service;
use crate::error::{Error, Result};
use crate::http::Retry;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::soap::call::{Call, Endpoint, LOGOUT, next_operation_id};
use crate::soap::envelope::element;
use crate::status::Status;
use crate::vim::user_session::{UserSession, current_session_query, read_current_session};

/// A session as the server sees it, with the right to use it.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// The `Cookie` header.
    pub(crate) cookie: Secret,
    pub(crate) user: UserSession,
}

/// Ends a session. A session that is gone already counts as ended.
pub(crate) fn logout(
    endpoint: &Endpoint,
    service: &Service,
    cookie: &Secret,
    retry: &Retry,
    watch: &Watch,
) -> Result<()> {
    let result = endpoint.call(
        &Call {
            method: LOGOUT,
            this: service.session_manager()?,
            arguments: "",
            cookie: Some(cookie),
            action: &service.action,
            operation_id: &next_operation_id(),
            retry,
            commit_when_sent: false,
        },
        watch,
    );
    match result {
        Err(error) if error.status() == Status::VSESSION_E_NOT_AUTHENTICATED => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Asks the server whom the cookie belongs to. `None`: to nobody any more. Needs no privilege.
pub(crate) fn current_session(
    endpoint: &Endpoint,
    service: &Service,
    cookie: &Secret,
    retry: &Retry,
    watch: &Watch,
) -> Result<Option<UserSession>> {
    let reply = endpoint.call(
        &Call {
            method: "RetrievePropertiesEx",
            this: service.property_collector()?,
            arguments: &current_session_query(service.session_manager()?),
            cookie: Some(cookie),
            action: &service.action,
            operation_id: &next_operation_id(),
            retry,
            commit_when_sent: false,
        },
        watch,
    );
    match reply {
        Ok(reply) => reply.with_tree(read_current_session).map_err(|error| unclear(endpoint, error)),
        Err(error) if error.status() == Status::VSESSION_E_NOT_AUTHENTICATED => Ok(None),
        Err(error) => Err(error),
    }
}

/// A reply that says something else than was asked. Whoever said it, the question may have been run.
fn unclear(endpoint: &Endpoint, error: Error) -> Error {
    endpoint.named(error).with(|d| d.http_status = 200)
}

/// Asks the server whether a session lives, by SessionIsActive. `None`: the account lacks the privilege
/// `Sessions.ValidateSession`, or the server lacks the method (ESXi).
pub(crate) fn session_is_active(
    endpoint: &Endpoint,
    service: &Service,
    login: &Login,
    retry: &Retry,
    watch: &Watch,
) -> Result<Option<bool>> {
    let arguments = [element("sessionID", &login.user.key), element("userName", &login.user.user_name)];
    let reply = endpoint.call(
        &Call {
            method: "SessionIsActive",
            this: service.session_manager()?,
            arguments: &(arguments[0].to_string() + &arguments[1]),
            cookie: Some(&login.cookie),
            action: &service.action,
            operation_id: &next_operation_id(),
            retry,
            commit_when_sent: false,
        },
        watch,
    );
    match reply {
        Ok(reply) => match reply.text.as_deref().map(str::trim) {
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            _ => Err(unclear(
                endpoint,
                Error::new(
                    Status::VSESSION_E_PROTOCOL,
                    "SessionIsActive answered with something else than true or false",
                ),
            )),
        },
        Err(error) if cannot_be_asked(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a fault says that this account, or this server, cannot ask that way. A missing privilege may be reported as
/// NotAuthenticated too.
fn cannot_be_asked(error: &Error) -> bool {
    let fault = error.detail().fault_name.as_deref();
    matches!(error.status(), Status::VSESSION_E_NO_PERMISSION | Status::VSESSION_E_NOT_AUTHENTICATED)
        || matches!(fault, Some("NotSupported" | "NotImplemented" | "MethodNotFound" | "InvalidRequest"))
}
