//! The operations of the server's SessionManager that concern the session itself.

use super::service::Service;
use super::user_session::{UserSession, current_session_query, read_current_session};
use super::{cookie, discovery};
use crate::error::{Error, Result};
use crate::http::{Lane, Retry};
use crate::runtime::event::now_ms;
use crate::runtime::redact::Redactor;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::soap::call::{Call, cookie_value};
use crate::soap::endpoint::Endpoint;
use crate::soap::envelope::{Reference, element};
use crate::soap::operation_id::next_operation_id;
use crate::soap::reply::Reply;
use crate::status::Status;

/// A session on the server, and the cookie that gives access to it.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// The `Cookie` header.
    pub(crate) cookie: Secret,
    /// The cookie's value without quotes, which other services and other clients take as the id of the session.
    pub(crate) cookie_value: Secret,
    pub(crate) user: UserSession,
}

impl Login {
    /// The session that this `Cookie` header gives access to.
    pub(crate) fn new(cookie: Secret, user: UserSession) -> Login {
        Login { cookie_value: Secret::joined(&[cookie_value(&cookie)]), cookie, user }
    }
}

/// Makes a call that creates a session. Also returns the `Cookie` header of the session, even if the body of the reply is cut
/// off or unreadable: the session exists all the same. No error shows `secret`, the password or token in the arguments, which
/// the server may repeat.
pub(crate) async fn call_for_session(
    endpoint: &Endpoint,
    call: &Call<'_>,
    secret: &Secret,
    watch: &Watch,
) -> (Result<Reply>, Option<Secret>) {
    let answer = match endpoint.send(call, watch).await {
        Ok(answer) => answer,
        Err(error) => return (Err(error), None),
    };
    let cookie = cookie::of_reply(answer.head.all("set-cookie"), now_ms());
    let secrets = [secret.reveal(), cookie.as_ref().map_or("", |value| value.reveal().trim_matches('"'))];
    discovery::warn_of_other_version(endpoint, call.action, &answer.head, Redactor(&secrets));
    let reply = endpoint.read(call, answer, secrets);
    (reply, cookie.as_ref().map(cookie::header))
}

/// Calls an idempotent method.
pub(super) async fn ask(
    endpoint: &Endpoint,
    service: &Service,
    cookie: &Secret,
    (method, this, arguments): (&str, Reference<'_>, &str),
    lane: Lane,
    retry: &Retry,
    watch: &Watch,
) -> Result<Reply> {
    let call = Call {
        method,
        this,
        arguments,
        cookie: Some(cookie),
        action: &service.action,
        operation_id: &next_operation_id(),
        retry,
        lane,
        commit_when_sent: false,
        extras: None,
    };
    endpoint.call(&call, watch).await
}

/// Ends a session. Succeeds if the session is already gone.
pub(crate) async fn logout(
    endpoint: &Endpoint,
    service: &Service,
    cookie: &Secret,
    retry: &Retry,
    watch: &Watch,
) -> Result<()> {
    // Logout may be repeated: the second one finds no session.
    let call = ("Logout", service.session_manager()?, "");
    match ask(endpoint, service, cookie, call, Lane::Urgent, retry, watch).await {
        Err(error) if error.status() == Status::VSESSION_E_NOT_AUTHENTICATED => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Asks the server whose session the cookie belongs to. `None`: the session is gone. Needs no privilege.
pub(crate) async fn current_session(
    endpoint: &Endpoint,
    service: &Service,
    cookie: &Secret,
    retry: &Retry,
    watch: &Watch,
) -> Result<Option<UserSession>> {
    let arguments = current_session_query(service.session_manager()?);
    let call = ("RetrievePropertiesEx", service.property_collector()?, &*arguments);
    match ask(endpoint, service, cookie, call, Lane::Usual, retry, watch).await {
        Ok(reply) => reply.with_tree(read_current_session).map_err(|error| unclear(endpoint, error)),
        Err(error) if error.status() == Status::VSESSION_E_NOT_AUTHENTICATED => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error for a response without a usable answer. The call may have run.
fn unclear(endpoint: &Endpoint, error: Error) -> Error {
    endpoint.named(error).with(|d| d.http_status = 200)
}

/// Asks the server whether a session lives, by SessionIsActive. `None`: the account lacks the privilege
/// `Sessions.ValidateSession`, or the server lacks the method (ESXi).
pub(crate) async fn session_is_active(
    endpoint: &Endpoint,
    service: &Service,
    login: &Login,
    retry: &Retry,
    watch: &Watch,
) -> Result<Option<bool>> {
    let arguments = [element("sessionID", &login.user.key), element("userName", &login.user.user_name)];
    let arguments = arguments[0].to_string() + &arguments[1];
    let call = ("SessionIsActive", service.session_manager()?, &*arguments);
    match ask(endpoint, service, &login.cookie, call, Lane::Usual, retry, watch).await {
        Ok(reply) => match reply.text.as_deref().map(str::trim) {
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            _ => Err(unclear(
                endpoint,
                Error::new(
                    Status::VSESSION_E_PROTOCOL,
                    "the response to SessionIsActive is neither true nor false; is this a vSphere server?",
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
