//! Login with user name and password (`SessionManager.Login`).

use std::time::Duration;

use crate::error::{Error, Result};
use crate::runtime::secret::Secret;
use crate::runtime::wait::{Bounds, Watch};
use crate::soap::call::{Answered, Call, Endpoint, next_operation_id};
use crate::soap::cookie;
use crate::status::{Executed, Status};
use crate::vim::service::Service;
use crate::vim::session_manager::{self, Login};
use crate::vim::user_session::{UserSession, login_arguments, read_login};

/// How long the logout of a session that cannot be used may take. The deadline of the login may have passed.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// Makes one attempt. Once the request is out, only the deadline ends the wait for its reply, so that a session that the
/// server made is always known here and can be ended.
pub(super) fn sign_in(
    endpoint: &Endpoint,
    service: &Service,
    user: &str,
    password: &Secret,
    locale: Option<&str>,
    watch: &Watch,
) -> Result<Login> {
    let arguments = login_arguments(user, password.reveal(), locale);
    let mut cookie = None;
    let answered = endpoint.call_for_session(
        &Call {
            method: "Login",
            this: service.session_manager()?,
            arguments: &arguments,
            // A server answers a Login over a live session with InvalidLogin: send none.
            cookie: None,
            action: &service.action,
            operation_id: &next_operation_id(),
            idempotent: false,
            commit_when_sent: true,
        },
        watch,
        Some(password),
        &mut cookie,
    );
    let cookie = cookie.as_ref().map(cookie::header);
    let user = answered.and_then(|answered| read_user(&answered));
    match (user, cookie) {
        (Ok(user), Some(cookie)) => Ok(Login { cookie, user }),
        (Ok(_), None) => Err(Error::new(
            Status::VSESSION_E_PROTOCOL,
            "the server accepted the login but sent no session cookie; a proxy in between may have removed it",
        )),
        (Err(error), cookie) => {
            // Unless the server refused, it made a session that we cannot describe: leave none behind.
            if let Some(cookie) = cookie
                && error.executed() != Executed::VSESSION_EXECUTED_NO
                && let Ok(watch) = Watch::new(Bounds::with_timeout(CLEAN_UP))
            {
                let _ = session_manager::logout(endpoint, service, &cookie, &watch);
            }
            Err(error)
        }
    }
}

fn read_user(answered: &Answered) -> Result<UserSession> {
    read_login(&answered.reply).map_err(Error::ran)
}
