//! The vim25 session as a kind of server session.

use super::kind::{Kind, ServerSession};
use super::{Session, VimSnapshot};
use crate::auth::credential::Credential;
use crate::auth::{self, SignIn};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::{Budget, Retry};
use crate::runtime::phase::Phase;
use crate::runtime::wait::Watch;
use crate::soap::endpoint::Endpoint;
use crate::state::{ServiceName, State};
use crate::sync::{Arc, rank};
use crate::vim::discovery;
use crate::vim::service::Service;
use crate::vim::session_manager::{self, Login};
use crate::vim::user_session::UserSession;

pub(crate) struct Vim25 {
    pub(super) endpoint: Endpoint,
}

impl Vim25 {
    /// Asks the server for the record of the session. `None`: the server does not know this session any more.
    pub(super) async fn current_session(
        &self,
        service: &Service,
        login: &Login,
        retry: &Retry,
        watch: &Watch,
    ) -> Result<Option<UserSession>> {
        let user =
            session_manager::current_session(&self.endpoint, service, &login.cookie, retry, watch).await?;
        Ok(user.filter(|user| user.key == login.user.key))
    }
}

impl Kind for Vim25 {
    type Service = Service;
    type Login = Login;
    const NAME: ServiceName = ServiceName::VSESSION_SERVICE_VIM;
    type Rank = rank::Renewal;

    fn of(session: &Session) -> &ServerSession<Vim25> {
        &session.vim
    }

    fn server(&self) -> String {
        self.endpoint.server()
    }

    fn end_loans(session: &Session, next: State) {
        session.end_shared_rest(next);
    }

    fn lend(session: &Session, made: &VimSnapshot) {
        session.share_with_rest(made);
    }

    fn stopped(&self, error: Error, phase: Phase, occasion: &str) -> Error {
        self.endpoint.client.stopped(error, phase, occasion)
    }

    fn budget(&self) -> &Budget {
        self.endpoint.client.budget()
    }

    async fn discover(&self, config: &Config, watch: &Watch) -> Result<Arc<Service>> {
        let (version, newest) = (config.api_version.as_deref(), config.api_version_max.as_deref());
        discovery::discover(&self.endpoint, version, newest, watch).await.map(Service::shared)
    }

    fn is_contradicted(service: &Service, error: &Error) -> bool {
        service.is_contradicted_by(error)
    }

    fn version(service: &Service) -> &str {
        &service.action
    }

    fn sign_in(
        &self,
        service: &Service,
        credential: &Credential,
        config: &Config,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<SignIn<Login>>> + Send {
        auth::sign_in_to_vim(&self.endpoint, service, credential, config.locale.as_deref(), retry, watch)
    }

    async fn is_live(&self, service: &Service, login: &Login, retry: &Retry, watch: &Watch) -> Result<bool> {
        self.current_session(service, login, retry, watch).await.map(|user| user.is_some())
    }

    fn probe(session: &Arc<Session>, watch: &Watch) -> impl Future<Output = Result<()>> + Send {
        session.probe_vim(watch)
    }

    fn log_out(
        &self,
        service: &Service,
        login: &Login,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<()>> + Send {
        session_manager::logout(&self.endpoint, service, &login.cookie, retry, watch)
    }
}
