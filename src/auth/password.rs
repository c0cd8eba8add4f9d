//! Login with user name and password (`SessionManager.Login`).

use std::rc::Rc;

use crate::api::service::Service;
use crate::api::session_manager::{self, Login};
use crate::api::soap::{Answered, Call, Endpoint, next_operation_id};
use crate::error::{Error, Result};
use crate::runtime::secret::Secret;
use crate::runtime::wait::{Bounds, Watch};
use crate::status::Status;
use crate::wire::cookie;
use crate::wire::user_session::{UserSession, login_arguments};
use crate::wire::xml::{child, redact};

/// What is presented to the server.
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) locale: Option<String>,
}

/// Makes one attempt. Once the request is out, only the deadline ends the wait for its reply, so that a session that the
/// server made is always known here and can be ended.
pub(crate) fn log_in(
    endpoint: &Endpoint,
    service: &Service,
    credentials: &Credentials,
    watch: &Rc<Watch>,
) -> Result<Login> {
    let arguments =
        login_arguments(&credentials.user, credentials.password.reveal(), credentials.locale.as_deref());
    let answered = endpoint
        .call(
            &Call {
                method: "Login",
                this: service.session_manager()?,
                arguments: &arguments,
                // A server answers a Login over a live session with InvalidLogin: send none.
                cookie: None,
                version: &service.version,
                operation_id: &next_operation_id(),
                idempotent: false,
                commit_when_sent: true,
            },
            watch,
        )
        .map_err(|error| without_password(error, &credentials.password))?;
    let Some(cookie) = &answered.cookie else {
        return Err(Error::new(
            Status::VSESSION_E_PROTOCOL,
            "the server accepted the login but sent no session cookie; a proxy in between may have removed it",
        ));
    };
    let cookie = cookie::header(cookie);
    match read_user(&answered) {
        Ok(user) => Ok(Login { cookie, user }),
        Err(error) => {
            // The server made a session that we cannot describe: leave none behind.
            let bounds = Bounds { deadline: watch.bounds().deadline, ..Bounds::default() };
            if let Ok(watch) = Watch::new(bounds) {
                let _ = session_manager::logout(endpoint, service, &cookie, &Rc::new(watch));
            }
            Err(error)
        }
    }
}

fn read_user(answered: &Answered) -> Result<UserSession> {
    answered.reply.look(|response| {
        let user = child(response, "returnval").ok_or_else(|| {
            Error::new(Status::VSESSION_E_PROTOCOL, "the server's reply to Login describes no session")
        })?;
        UserSession::read(user)
    })
}

/// A server or a proxy may repeat what it was sent.
fn without_password(error: Error, password: &Secret) -> Error {
    let password = password.reveal();
    error.with(|d| {
        d.message = redact(&d.message, password);
        d.fault_xml = d.fault_xml.as_deref().map(|xml| redact(xml, password));
    })
}
