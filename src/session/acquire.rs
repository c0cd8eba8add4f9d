//! How a server session is acquired, from top to bottom: credential, discovery, sign-in, publication. Each step has the bounds of the
//! flight, and none holds a lock. Where sessions are shared, a store is asked before the credential is read, and told after the
//! publication.

use super::flight::{Flight, Outcome};
use super::kind::{Kind, Origin};
use super::renewal::{Activity, Renewal};
use super::state::Input;
use super::{Session, closed};
use crate::auth::SignIn;
use crate::auth::credential::Credential;
use crate::error::{Error, Result};
use crate::http::Retry;
use crate::runtime::event::now_ms;
use crate::runtime::log::log;
use crate::runtime::phase;
use crate::runtime::wait::Watch;
use crate::state::State;
use crate::status::Executed;
use crate::sync::{Arc, Ordering};

/// A session that a login made.
pub(super) struct Acquired<K: Kind> {
    service: Arc<K::Service>,
    login: K::Login,
    /// `None`: it is the session of another kind.
    credential: Option<Credential>,
}

/// Why a login did not succeed.
pub(super) enum Failure {
    /// The server refused the credentials.
    Refused(Error),
    /// The server refused them before, so they were not sent.
    NotSent(Error),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl Failure {
    fn error(&self) -> &Error {
        let (Failure::Refused(error) | Failure::NotSent(error) | Failure::Other(error)) = self;
        error
    }
}

impl Session {
    /// Makes one attempt to get a session on the server.
    pub(super) async fn acquire<K: Kind>(
        self: &Arc<Self>,
        flight: &Flight,
        by_hand: bool,
        watch: &Watch,
    ) -> std::result::Result<Acquired<K>, Failure> {
        let server_session = K::of(self);
        // Boxed, because it is rare and would make every flight larger.
        if let Some(login) = Box::pin(K::adopt(self, watch)).await? {
            let service = server_session.kind.discover(&self.config, watch).await?;
            return Ok(Acquired { service, login, credential: None });
        }
        server_session.renewal.lock().follows = false;
        watch.tell(phase::Phase::Credentials);
        let (credential, stopped_before) = self.credential_to_send::<K>(by_hand)?;
        // A function may have taken long.
        watch
            .check()
            .map_err(|stop| server_session.kind.stopped(stop.into(), phase::Phase::Credentials, ""))?;
        watch.tell(phase::Phase::Start);
        let known = server_session.renewal.lock().service.clone();
        let service = match known {
            Some(service) => service,
            // Boxed for the same reason.
            None => Box::pin(server_session.kind.discover(&self.config, watch)).await?,
        };
        let _turn = self
            .login_turn(watch)
            .await
            .map_err(|stop| server_session.kind.stopped(stop.into(), phase::Phase::OtherLogin, ""))?;
        flight.tried.store(true, Ordering::SeqCst);
        self.check_refused_meanwhile(&credential, stopped_before, by_hand)?;
        let retry = Retry::new(false);
        let mut service = service;
        let answer = loop {
            match server_session.kind.sign_in(&service, &credential, &self.config, &retry, watch).await {
                Ok(answer) => break answer,
                Err(error) => service = self.corrected::<K>(&service, error, &retry, true, watch).await?,
            }
        };
        match answer {
            SignIn::Accepted(login) => Ok(Acquired { service, login, credential: Some(credential) }),
            SignIn::Unusable(login, error) => {
                let watch = watch.within(self.orphan_bounds());
                let _ = Box::pin(self.end_orphan::<K>(&service, &login, Origin::Made, &watch)).await;
                Err(error.into())
            }
            SignIn::Refused(error) => {
                self.account.lock().refused.note(credential.fingerprint, &error);
                Err(Failure::Refused(error))
            }
        }
    }

    /// The credential for the login, and whether it would not be sent by itself. Only a login by hand sends a refused one again, because
    /// repeating it could lock the account.
    fn credential_to_send<K: Kind>(&self, by_hand: bool) -> std::result::Result<(Credential, bool), Failure> {
        loop {
            let given = {
                let mut account = self.account.lock();
                account.newer_given = false;
                account.given.clone()
            };
            let credential = self.config.credential(given, self.handle())?;
            credential.check_expiry(now_ms())?;
            let mut account = self.account.lock();
            account.user = Some(credential.user.clone());
            if !by_hand && account.refused.stops(credential.fingerprint) {
                // The program has supplied another one meanwhile.
                if account.newer_given {
                    continue;
                }
                return Err(Failure::NotSent(account.refused.answer()));
            }
            let stopped_before = account.refused.stops(credential.fingerprint);
            drop(account);
            self.feed(&mut K::of(self).renewal.lock(), Input::CredentialsFound);
            return Ok((credential, stopped_before));
        }
    }

    /// Whether the login of another kind learned that the credential is wrong while this one waited for its turn. A login by hand is
    /// answered by that one too.
    fn check_refused_meanwhile(
        &self,
        credential: &Credential,
        stopped_before: bool,
        by_hand: bool,
    ) -> std::result::Result<(), Failure> {
        let account = self.account.lock();
        if account.refused.stops(credential.fingerprint) && !(by_hand && stopped_before) {
            return Err(Failure::NotSent(account.refused.answer()));
        }
        Ok(())
    }

    /// Publishes the result of a login and lets others change the session. `None`: it is the session of another kind, and that has
    /// ended meanwhile.
    pub(super) async fn conclude<K: Kind>(
        self: &Arc<Self>,
        result: std::result::Result<Acquired<K>, Failure>,
        by_hand: bool,
        watch: &Watch,
    ) -> Option<Result<Outcome>> {
        let server_session = K::of(self);
        let Acquired { service, login, credential } = match result {
            Ok(acquired) => acquired,
            Err(failure) => {
                if watch.is_ended() && failure.error().executed() != Executed::VSESSION_EXECUTED_NO {
                    let left = self.note_undone::<K>("a login", failure.error());
                    server_session.renewal.lock().left_behind = Some(left);
                }
                return Some(self.conclude_failure::<K>(failure));
            }
        };
        let epoch = {
            // sometimes: a race, which a run meets or not
            let _loan = K::hold(self, &login)?;
            let mut renewal = server_session.renewal.lock();
            if renewal.machine.is_closed() {
                None
            } else {
                renewal.activity = Activity::Idle;
                if let Some(credential) = &credential {
                    self.account.lock().refused.accept(credential);
                }
                self.publish(&mut renewal, service.clone(), login.clone(), by_hand);
                Some(renewal.machine.epoch())
            }
        };
        if let Some(epoch) = epoch {
            self.keepalive_after_login::<K>(by_hand);
            if by_hand {
                self.allow_rest();
            }
            log!(Info, "logged in to {} (epoch {epoch})", server_session.kind.server());
            return Some(Ok(Outcome::Ready));
        }
        if !planted!("orphan-kept") {
            // The session was closed during the login, so nobody will use this one.
            let watch = watch.within(self.login_bounds());
            let ended = Box::pin(self.end_orphan::<K>(&service, &login, Origin::Made, &watch)).await;
            // sometimes: a race, which a run meets or not
            if let Err(error) = ended {
                log!(
                    Warning,
                    "a session on {} could not be logged out: {error}",
                    server_session.kind.server()
                );
                server_session.renewal.lock().left_behind = Some(error);
            }
        }
        Some(Err(closed()))
    }

    /// The same for a login that failed.
    pub(super) fn conclude_failure<K: Kind>(self: &Arc<Self>, failure: Failure) -> Result<Outcome> {
        let mut renewal = K::of(self).renewal.lock();
        let error = failure.error();
        if renewal.machine.is_closed() {
            // What is known of the Login holds although a close ended it.
            return Err(closed().executed_as(error));
        }
        renewal.activity = Activity::Idle;
        // A check that could not be made, for example because no descriptor was left, says nothing about the session.
        if renewal.machine.state().is_usable() {
            return Err(error.clone());
        }
        let read_again_only = renewal.machine.state() == State::VSESSION_STATE_REJECTED;
        self.feed(
            &mut renewal,
            match &failure {
                Failure::Refused(_) | Failure::NotSent(_) => Input::LoginRefused { error },
                Failure::Other(_) => Input::LoginFailed { error },
            },
        );
        drop(renewal);
        if !read_again_only {
            log!(Warning, "login to {} failed: {error}", K::of(self).kind.server());
        }
        Err(error.clone())
    }

    pub(super) fn publish<K: Kind>(
        &self,
        renewal: &mut Renewal<K>,
        service: Arc<K::Service>,
        login: K::Login,
        by_hand: bool,
    ) {
        let lent = K::lent(&login);
        self.feed_with(renewal, Input::LoginSucceeded { by_hand, lent }, Some((login, service)));
    }
}
