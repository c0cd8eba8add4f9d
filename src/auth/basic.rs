//! Login to the REST service with user name and password (HTTP Basic).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::SignIn;
use crate::error::{Error, Result};
use crate::http::{Client, Retry};
use crate::rest::session::{Creation, Login, Resource, create};
use crate::runtime::redact::Redactor;
use crate::runtime::secret::{Secret, Wiped};
use crate::runtime::wait::Watch;

/// Makes one attempt, at the first of the resources that the server has.
pub(super) async fn sign_in(
    client: &Client,
    resources: &[Resource],
    user: &str,
    password: &Secret,
    retry: &Retry,
    watch: &Watch,
) -> Result<SignIn<Login>> {
    // RFC 7617: what follows the first colon is the password.
    if user.contains(':') {
        return Err(Error::config(format!(
            "the user name '{user}' has a colon, which the login to the REST service cannot carry; use another form of the name"
        ))
        .not_run());
    }
    let pair = Wiped::new(format!("{user}:{}", password.reveal()));
    let encoded = Secret::new(BASE64.encode(pair.as_bytes()));
    let authorization = Secret::new(format!("Basic {}", encoded.reveal()));
    let hidden = [password.reveal(), encoded.reveal()];
    let mut missing = None;
    for &resource in resources {
        match create(client, resource, &authorization, Redactor(&hidden), retry, watch).await? {
            Creation::Made(id) => return Ok(SignIn::Accepted(Login { id, resource, shared_with: None })),
            Creation::Refused(error) => return Ok(SignIn::Refused(error)),
            Creation::NoResource(error) => missing = Some(error),
        }
    }
    Err(match missing {
        Some(error) => {
            error.reworded(|message| format!("the server has no REST service for this login: {message}"))
        }
        // unreached: there is always one
        None => Error::config("no way to log in to the REST service").not_run(),
    })
}
