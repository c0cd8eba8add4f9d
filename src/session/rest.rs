//! The REST session as a kind of server session. It is made when the program first uses it, so that a session without REST costs what it
//! did. Where a server's vim25 sessions serve REST too (vCenter 8.0 U3 and later), the library uses the vim25 session: it makes none of
//! its own and ends none.

use super::account::{Silence, Turn};
use super::call::CallOptions;
use super::flight::Outcome;
use super::kind::{Kind, Loan, ServerSession};
use super::renewal::{Activity, Goal};
use super::state::{Input, May};
use super::vim25::Vim25;
use super::{Session, VimSnapshot, not_logged_in};
use crate::auth::credential::Credential;
use crate::auth::{self, SignIn};
use crate::config::{Config, Relogin, RestWay};
use crate::error::{Error, Result};
use crate::http::{Budget, Client, Retry};
use crate::rest::session::{self as rest, Login, Resource};
use crate::runtime::phase::Phase;
use crate::runtime::wait::Watch;
use crate::state::{ServiceName, State};
use crate::status::Status;
use crate::sync::{Arc, Instant, rank};
use crate::vim::service::Service;
use crate::vim::session_manager as vim;

pub(crate) struct Rest {
    /// Not that of vim25, so that the outage of one service takes no connection from the other, and is not taken for the other's.
    pub(super) client: Arc<Client>,
}

/// From this version of vCenter on, a vim25 session serves REST too.
const SHARES_FROM: [u32; 3] = [8, 0, 3];

impl Kind for Rest {
    /// Nothing: a login finds out by itself which resource the server has.
    type Service = ();
    type Login = Login;
    const NAME: ServiceName = ServiceName::VSESSION_SERVICE_REST;
    type Rank = rank::RestRenewal;
    /// By one to vim25, which `check` asks for.
    const IS_COVERED: bool = true;

    fn of(session: &Session) -> &ServerSession<Rest> {
        session.rest()
    }

    fn server(&self) -> String {
        format!("the REST service of {}", self.client.server())
    }

    fn stopped(&self, error: Error, phase: Phase, occasion: &str) -> Error {
        self.client.stopped(error, phase, occasion)
    }

    fn budget(&self) -> &Budget {
        self.client.budget()
    }

    async fn discover(&self, _config: &Config, _watch: &Watch) -> Result<Arc<()>> {
        Ok(Arc::new(()))
    }

    fn is_contradicted(_service: &(), _error: &Error) -> bool {
        false
    }

    // unreached: nothing is ever contradicted
    fn version(_service: &()) -> &str {
        ""
    }

    fn adopt(session: &Arc<Session>, watch: &Watch) -> impl Future<Output = Result<Option<Login>>> + Send {
        session.adopt_vim25(watch)
    }

    fn sign_in(
        &self,
        _service: &(),
        credential: &Credential,
        config: &Config,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<SignIn<Login>>> + Send {
        let resources: &[Resource] = match config.rest {
            RestWay::Auto | RestWay::Unified => &[Resource::Api, Resource::Legacy],
            RestWay::Api => &[Resource::Api],
            RestWay::Legacy => &[Resource::Legacy],
        };
        auth::sign_in_to_rest(&self.client, resources, credential, retry, watch)
    }

    fn is_live(
        &self,
        _service: &(),
        login: &Login,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<bool>> + Send {
        rest::lives(&self.client, login, retry, watch)
    }

    async fn probe(session: &Arc<Session>, watch: &Watch) -> Result<()> {
        let server_session = session.rest();
        let snapshot = server_session.current.snapshot();
        let Some((login, ())) = snapshot.usable() else {
            return session.renew::<Rest>(Goal::HaveSession, watch).await.map(|_| ());
        };
        let client = &server_session.kind.client;
        let _turn = client.background_turn(watch).await?;
        match rest::lives(client, login, &Retry::new(true), watch).await {
            Ok(true) => {
                session.note_success::<Rest>();
                session.note_proof::<Rest>(snapshot.epoch);
                Ok(())
            }
            Ok(false) => {
                session.note_expired::<Rest>(snapshot.epoch);
                session.renew::<Rest>(Goal::HaveSession, watch).await.map(|_| ())
            }
            Err(error) => {
                session.note_failure::<Rest>(&error);
                Err(error)
            }
        }
    }

    fn log_out(
        &self,
        _service: &(),
        login: &Login,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<()>> + Send {
        rest::delete(&self.client, login, retry, watch)
    }

    fn lent(login: &Login) -> Option<u64> {
        login.shared_with
    }

    fn hold<'a>(session: &'a Session, login: &Login) -> Option<Loan<'a>> {
        let Some(epoch) = login.shared_with else { return Some(Loan { _lock: None }) };
        let vim = session.vim.renewal.lock();
        let lives = vim.machine.living() == Some(epoch) || planted!("lent-after-its-end");
        lives.then_some(Loan { _lock: Some(vim) })
    }
}

impl Session {
    /// The REST session, made at its first use.
    pub(super) fn rest(&self) -> &ServerSession<Rest> {
        if let Some(rest) = self.rest.get() {
            return rest;
        }
        let mut made = false;
        let rest = self.rest.get_or_init(|| {
            made = true;
            let rest = Rest { client: self.vim.kind.endpoint.client.beside(Rest::NAME.name()) };
            Box::new(ServerSession::new(rest, self.vim.publisher, &self.config))
        });
        // A close may have looked for it before it was there.
        if made && self.closed.has_fired() {
            self.begin_close_of::<Rest>();
        }
        rest
    }

    /// Whether a login to REST may begin now, as far as that depends on the vim25 session.
    pub(super) fn check_vim25_for_rest(&self) -> Result<()> {
        let renewal = self.vim.renewal.lock();
        if let Activity::Login(flight) = &renewal.activity
            && flight.runs_here()
        {
            return Err(Error::new(
                Status::VSESSION_E_REENTRANT,
                "called from a callback of this session's own login, for which the REST session might have to wait",
            )
            .not_run());
        }
        if renewal.machine.state().is_usable() {
            return Ok(());
        }
        if renewal.machine.is_logged_out_by_hand() {
            return Err(not_logged_in());
        }
        if self.config.relogin == Relogin::Never {
            return Err(Error::new(
                Status::VSESSION_E_NOT_AUTHENTICATED,
                "there is no session, and 'relogin' is 'never'; call vsession_login, and the REST session follows",
            )
            .not_run());
        }
        let shares = match self.config.rest {
            RestWay::Unified => true,
            RestWay::Auto => renewal.service.as_deref().is_some_and(may_share),
            RestWay::Api | RestWay::Legacy => false,
        };
        if !shares {
            return Ok(());
        }
        // The login would begin with that of vim25, which has to wait, or waits for other credentials.
        match renewal.machine.may_log_in(&self.account.lock(), Instant::now()) {
            Err(error) if !(self.config.rest == RestWay::Auto && error.is_outage()) => Err(error),
            Ok(May::LogIn | May::Try(_)) | Err(_) => Ok(()),
        }
    }

    /// The program has logged in by hand to vim25: what kept the REST session from logging in by itself is over.
    pub(super) fn allow_rest(&self) {
        if let Some(rest) = self.rest.get() {
            self.feed(&mut rest.renewal.lock(), Input::AllowedAgain);
        }
    }

    /// The program asked for a login, and the vim25 session lives: that allows a REST session in place of one that has ended, or that a
    /// logout has ended which the vim25 session has survived.
    pub(super) fn allow_ended_rest(&self) {
        if let Some(rest) = self.rest.get() {
            let mut renewal = rest.renewal.lock();
            let waits = match renewal.machine.state() {
                State::VSESSION_STATE_EXPIRED => self.config.relogin == Relogin::Never,
                _ => renewal.machine.is_logged_out_by_hand(),
            };
            if waits {
                self.feed(&mut renewal, Input::AllowedAgain);
            }
        }
    }

    /// The error of a REST login, with what to do where the credentials were refused beside a vim25 session that lives.
    pub(super) fn advised(&self, error: Error) -> Error {
        if error.status() != Status::VSESSION_E_INVALID_LOGIN || !self.state::<Vim25>().is_usable() {
            return error;
        }
        error.reworded(|message| {
            format!(
                "{message}; the vim25 session lives, so that vsession_login makes no request: if the credentials are right, call vsession_logout before it"
            )
        })
    }

    /// The vim25 session ends. Where it serves REST, so does the REST session.
    pub(super) fn end_shared_rest(&self, next: State) {
        let Some(rest) = self.rest.get() else { return };
        let mut renewal = rest.renewal.lock();
        let shared = rest.current.snapshot().login.as_ref().is_some_and(|login| login.shared_with.is_some());
        let state = renewal.machine.state();
        if !shared || !state.is_usable() {
            return;
        }
        match next {
            // The close ends it.
            State::VSESSION_STATE_CLOSED => {}
            State::VSESSION_STATE_LOGGED_OUT => self.feed(&mut renewal, Input::LoggedOut),
            _ => {
                self.feed(&mut renewal, Input::Expired { server: &rest.kind.server(), replace: false });
                // Whether a service that was out of reach is back, only a request to it shows.
                renewal.follows = state == State::VSESSION_STATE_ACTIVE;
            }
        }
    }

    /// A login to vim25 has succeeded. If REST was served by the session before, it is by this one: they are one session on the
    /// server. Should the server do without that from now on, the next request shows it, as after any other end of the session.
    pub(super) fn share_with_rest(&self, made: &VimSnapshot) {
        let (Some(rest), Some(vim)) = (self.rest.get(), &made.login) else { return };
        let mut renewal = rest.renewal.lock();
        let waits = renewal.machine.state() == State::VSESSION_STATE_EXPIRED
            && matches!(renewal.activity, Activity::Idle);
        // A REST login that is under way finds it by itself.
        if renewal.follows && waits && !planted!("a-follower-is-left-behind") {
            self.publish::<Rest>(&mut renewal, Arc::new(()), shared(vim, made.epoch), false);
        }
    }

    /// The vim25 session as a REST session, where the server shares it. `None`: REST has sessions of its own.
    async fn adopt_vim25(self: &Arc<Self>, watch: &Watch) -> Result<Option<Login>> {
        let only = self.config.rest == RestWay::Unified;
        if matches!(self.config.rest, RestWay::Api | RestWay::Legacy) {
            return Ok(None);
        }
        let patience = if only { None } else { self.end_of_patience_with_vim25() };
        let within = |watch: &Watch| {
            watch.tell(Phase::OtherLogin);
            // The progress of the other login is not that of this one.
            watch.until(patience).telling(Arc::default())
        };
        if !only && !self.server_may_share(&within(watch)).await? {
            watch.check().map_err(|stop| self.rest().kind.stopped(stop.into(), Phase::OtherLogin, ""))?;
            return Ok(None);
        }
        // Twice: the vim25 session may have ended without anybody having noticed.
        for _ in 0..2 {
            let snapshot = match self.vim25_for_rest(None, &within(watch)).await {
                Ok(snapshot) => snapshot,
                Err(error) => return self.without_vim25(error, watch),
            };
            let Some((vim, _)) = snapshot.usable() else { continue };
            let login = shared(vim, snapshot.epoch);
            let answer = rest::lives(&self.rest().kind.client, &login, &Retry::of_question(), watch).await;
            match answer {
                Ok(lives) if lives || planted!("a-dead-session-is-borrowed") => return Ok(Some(login)),
                Ok(_) => {}
                // There is no REST for it to serve; the login says what there is.
                Err(error) if error.detail().http_status == 404 => break,
                Err(error) => return Err(error),
            }
            match self.vim25_for_rest(Some(snapshot.epoch), &within(watch)).await {
                Ok(now) if now.epoch == snapshot.epoch => break,
                Ok(_) => {}
                Err(error) => return self.without_vim25(error, watch),
            }
        }
        if only {
            let server = self.rest().kind.client.server();
            return Err(Error::config(format!(
                "{server} does not accept its vim25 session for REST, and the option 'rest' is 'unified'; set 'rest' to 'auto'"
            )));
        }
        Ok(None)
    }

    /// Until when a REST login waits for the vim25 service, which may be out of order while REST is well. What counts is how long that
    /// service has been silent, not how long this login has waited.
    fn end_of_patience_with_vim25(&self) -> Option<Instant> {
        let now = Instant::now();
        let began = self.vim.renewal.lock().activity.flight().and_then(|flight| flight.began);
        let patience = now.checked_add(self.account.lock().vim25_silence.patience(now));
        let hangs = began.and_then(|began| began.checked_add(Turn::PATIENCE));
        [patience, hangs].into_iter().flatten().min()
    }

    /// Asks the vim25 service, and notes how long it was silent.
    async fn ask_vim25<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let answer = question.await;
        let now = Instant::now();
        let silence = &mut self.account.lock().vim25_silence;
        match answer.as_ref().map_err(Error::status) {
            Err(Status::VSESSION_E_TIMEOUT | Status::VSESSION_E_CANCELLED) => silence.note(began, now),
            _ => *silence = Silence::default(),
        }
        answer
    }

    /// What follows where there is no vim25 session to be had.
    fn without_vim25(&self, error: Error, watch: &Watch) -> Result<Option<Login>> {
        watch.check().map_err(|stop| self.rest().kind.stopped(stop.into(), Phase::OtherLogin, ""))?;
        let is_outage = error.is_outage() || error.status() == Status::VSESSION_E_TIMEOUT;
        if self.config.rest == RestWay::Auto && is_outage {
            return Ok(None);
        }
        // That login has failed, and been counted. This one was not tried.
        Err(error.not_run().with(|d| d.not_tried = true))
    }

    /// A usable vim25 session, and not that of epoch `ended` if that has ended.
    async fn vim25_for_rest(self: &Arc<Self>, ended: Option<u64>, watch: &Watch) -> Result<Arc<VimSnapshot>> {
        if let Some(epoch) = ended
            && self.ask_vim25(self.renew::<Vim25>(Goal::Replace { epoch }, watch)).await? == Outcome::Gone
        {
            return Err(self.why_not_replaced::<Vim25>());
        }
        loop {
            if let Some(snapshot) = self.usable_snapshot::<Vim25>(&CallOptions::default())? {
                return Ok(snapshot);
            }
            self.ask_vim25(self.renew::<Vim25>(Goal::HaveSession, watch)).await?;
        }
    }

    /// Whether the server may share its vim25 sessions, by the version that it states. Where vim25 does not answer, nobody knows, and
    /// there is no session to be shared.
    async fn server_may_share(self: &Arc<Self>, watch: &Watch) -> Result<bool> {
        let known = self.vim.renewal.lock().service.clone().or_else(|| self.snapshot().service.clone());
        if let Some(known) = known {
            return Ok(may_share(&known));
        }
        if watch.check().is_err() {
            return Ok(false);
        }
        match self.ask_vim25(self.vim.kind.discover(&self.config, watch)).await {
            Ok(found) => {
                let mut renewal = self.vim.renewal.lock();
                if !renewal.machine.is_closed() && renewal.service.is_none() {
                    renewal.service = Some(found.clone());
                }
                Ok(may_share(&found))
            }
            Err(_) => Ok(false),
        }
    }
}

/// The vim25 session of this epoch as a REST session.
fn shared(vim: &vim::Login, epoch: u64) -> Login {
    Login { id: vim.cookie_value.clone(), resource: Resource::Api, shared_with: Some(epoch) }
}

/// Whether this is a vCenter of a version whose vim25 sessions may serve REST.
fn may_share(service: &Service) -> bool {
    let about = |field| service.content.about(field).map_or("", |text| &**text);
    about("apiType") == "VirtualCenter" && is_at_least(about("version"), SHARES_FROM)
}

/// Compares numerically: 8.0.10 is later than 8.0.3.
fn is_at_least(version: &str, least: [u32; 3]) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let version = [(); 3].map(|()| parts.next().unwrap_or(0));
    version >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, shares) in [
            ("8.0.3", true),
            ("8.0.10", true),
            ("9.0.0.0", true),
            ("10.0", true),
            ("8.0.2", false),
            ("8.0", false),
            ("7.0.3", false),
            ("6.7.0", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(is_at_least(version, SHARES_FROM), shares, "{version}");
        }
    }
}
