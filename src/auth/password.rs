//! Login with user name and password (`SessionManager.Login`).

use super::SignIn;
use crate::error::{Error, Result};
use crate::http::{Lane, Retry};
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::soap::call::Call;
use crate::soap::endpoint::Endpoint;
use crate::soap::operation_id::next_operation_id;
use crate::status::{Executed, Status};
use crate::vim::service::Service;
use crate::vim::session_manager::{Login, call_for_session};
use crate::vim::user_session::{UserSession, login_arguments, read_login};

/// Makes one attempt. Once the request is out, only the deadline ends the wait for its reply, so that a session that the
/// server made is always known here and can be ended.
pub(super) async fn sign_in(
    endpoint: &Endpoint,
    service: &Service,
    user: &str,
    password: &Secret,
    locale: Option<&str>,
    retry: &Retry,
    watch: &Watch,
) -> Result<SignIn<Login>> {
    let arguments = login_arguments(user, password.reveal(), locale);
    let call = Call {
        method: "Login",
        this: service.session_manager()?,
        arguments: &arguments,
        // A server answers a Login over a live session with InvalidLogin: send none.
        cookie: None,
        action: &service.action,
        operation_id: &next_operation_id(),
        retry,
        lane: Lane::Usual,
        commit_when_sent: true,
        extras: None,
    };
    let (reply, cookie) = call_for_session(endpoint, &call, password, watch).await;
    let user = reply.and_then(|reply| read_login(&reply).map_err(Error::ran));
    match (user, cookie) {
        (Ok(user), Some(cookie)) => Ok(SignIn::Accepted(Login::new(cookie, user))),
        (Ok(_), None) => Err(Error::new(
            Status::VSESSION_E_PROTOCOL,
            "the server accepted the login but sent no session cookie; a proxy in between may have removed it",
        )
        .ran()
        .with(|d| d.http_status = 200)),
        (Err(error), _) if is_refusal(&error) => Ok(SignIn::Refused(error)),
        // Unless it proves that the login did not run, the server made a session, which cannot be described.
        (Err(error), Some(cookie)) if error.executed() != Executed::VSESSION_EXECUTED_NO => {
            let error = lost_with_the_answer(error, "which made a session that the library logs out");
            Ok(SignIn::Unusable(Login::new(cookie, UserSession::default()), error))
        }
        (Err(error), _) => Err(lost_with_the_answer(
            error,
            "which may have made a session that stays on the server until it has been idle long enough",
        )),
    }
}

/// A connection that was lost after a Login was sent. `login` says what became of it: the call that needed the login was not sent.
fn lost_with_the_answer(error: Error, login: &str) -> Error {
    if error.status() != Status::VSESSION_E_CONNECTION || error.executed() == Executed::VSESSION_EXECUTED_NO {
        return error;
    }
    error.reworded(|message| format!("{message}; the request was the Login, {login}"))
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.status(), Status::VSESSION_E_INVALID_LOGIN | Status::VSESSION_E_NO_PERMISSION)
}
