//! The ways into a server: a sign-in turns a credential into a server session, or says why there is none. Each sign-in is a file of
//! its own and makes one attempt; when to try and who waits is the session's work.

mod basic;
pub(crate) mod credential;
pub(crate) mod fingerprint;
mod password;

use crate::error::{Error, Result};
use crate::http::{Client, Retry};
use crate::rest::session as rest;
use crate::runtime::wait::Watch;
use crate::soap::endpoint::Endpoint;
use crate::vim::service::Service;
use crate::vim::session_manager::Login;
use credential::{Credential, Kind};

/// What a server answers to a sign-in. Everything else is an error.
pub(crate) enum SignIn<S> {
    Accepted(S),
    /// It made a session that cannot be used, which the caller has to end.
    Unusable(S, Error),
    /// It refused the credential: sending it again could lock the account.
    Refused(Error),
}

impl Credential {
    /// A refusal says where the credential can be corrected.
    fn explained<S>(&self, answer: SignIn<S>) -> SignIn<S> {
        match answer {
            SignIn::Refused(error) => SignIn::Refused(self.explain_refusal(error)),
            answer => answer,
        }
    }
}

/// Signs in to the REST service, at the first of the resources that the server has.
pub(crate) async fn sign_in_to_rest(
    client: &Client,
    resources: &[rest::Resource],
    credential: &Credential,
    retry: &Retry,
    watch: &Watch,
) -> Result<SignIn<rest::Login>> {
    let answer = match &credential.kind {
        Kind::Password(password) => {
            basic::sign_in(client, resources, &credential.user, password, retry, watch).await?
        }
    };
    Ok(credential.explained(answer))
}

/// Signs in to the vim25 service.
pub(crate) async fn sign_in_to_vim(
    endpoint: &Endpoint,
    service: &Service,
    credential: &Credential,
    locale: Option<&str>,
    retry: &Retry,
    watch: &Watch,
) -> Result<SignIn<Login>> {
    let answer = match &credential.kind {
        Kind::Password(password) => {
            password::sign_in(endpoint, service, &credential.user, password, locale, retry, watch).await?
        }
    };
    Ok(credential.explained(answer))
}
