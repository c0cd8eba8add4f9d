//! One session that any number of threads use. Readers see one immutable snapshot, replaced as a whole. A state machine
//! (`state`) decides what each event changes; renewal, keep-alive, calls and close feed it and carry out its effects.
//!
//! Locks are held for a few instructions, never across I/O, a wait or a callback.

mod account;
mod acquire;
mod asynchronous;
mod backoff;
mod call;
mod close;
mod discovery;
mod flight;
mod keepalive;
mod kind;
mod leftovers;
mod limits;
mod liveness;
#[cfg(all(test, vsession_model))]
pub(crate) mod models;
mod orphans;
mod proof;
mod properties;
mod rediscovery;
mod renewal;
mod repeat;
mod request;
mod rest;
mod services;
mod snapshot;
mod state;
mod tasks;
#[cfg(test)]
mod tests;
mod vim25;

pub(crate) use asynchronous::AsyncCall;
pub(crate) use asynchronous::CallResult;
pub(crate) use call::{CallOptions, Content, MethodCall, SessionReply};
pub(crate) use limits::Timeout;
pub(crate) use properties::{PropertyRead, Retrieval};
pub(crate) use request::{HttpCall, Through};
pub(crate) use services::{OtherService, Special};

use once_cell::race::OnceBox;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::Client;
use crate::runtime::handle::Publisher;
use crate::runtime::log::log;
use crate::runtime::secret::Secret;
use crate::runtime::signal::Signal;
use crate::soap::endpoint::Endpoint;
use crate::state::State;
use crate::status::Status;
use crate::sync::{Arc, AtomicU64, Mutex, rank};
use crate::vim::service::VIM25;
use account::Account;
use keepalive::Wish;
use kind::{Kind, ServerSession};
use rest::Rest;
use snapshot::Snapshot;
use vim25::Vim25;

pub(crate) type VimSnapshot = Snapshot<Vim25>;
pub(crate) type VimView = snapshot::View<Vim25>;
pub(crate) type RestView = snapshot::View<Rest>;

/// One session with one server. Shared by reference; every method may be called from any thread.
pub(crate) struct Session {
    config: Arc<Config>,
    /// What all server sessions share.
    account: Mutex<Account, rank::Account>,
    /// Ends every wait when the session is closed.
    closed: Arc<Signal>,
    /// How many asynchronous calls are under way.
    async_calls: AtomicU64,
    keepalive: Wish,
    vim: ServerSession<Vim25>,
    /// Made at its first use; see `rest`.
    rest: OnceBox<ServerSession<Rest>>,
}

impl Session {
    /// Makes a session without touching the network.
    pub(crate) fn open(publisher: Publisher, config: Arc<Config>) -> Result<Arc<Session>> {
        config.check_api_version()?;
        let settings = config.net()?;
        if settings.tls.as_ref().is_some_and(|tls| !tls.verify) {
            log!(
                Warning,
                "tls.verify is false: any certificate of {} is accepted, and anybody may sit between",
                config.url.host
            );
        }
        if settings.tls.is_none() && !settings.stays_on_this_machine() {
            log!(
                Warning,
                "'url' is http://: the password and the session's cookie go to {} readable for everybody in between; write https://",
                settings.server()
            );
        }
        let client = Client::shared(&settings)?;
        let endpoint = Endpoint::new(client, &config.url.path, VIM25, config.max_reply_bytes)?;
        let vim = ServerSession::new(Vim25 { endpoint }, publisher, &config);
        let keepalive = Wish::new(config.keepalive_interval);
        Ok(Arc::new(Session {
            config,
            account: Mutex::default(),
            closed: Arc::new(Signal::new()),
            async_calls: AtomicU64::new(0),
            keepalive,
            vim,
            rest: OnceBox::new(),
        }))
    }

    /// The handle, as events and callbacks name the session.
    fn handle(&self) -> u64 {
        self.vim.publisher.handle()
    }

    /// The state of the session of a kind, as readers see it. Some time after the close, the published word may belong to another
    /// session, so it counts only if this one is not closed.
    fn state<K: Kind>(&self) -> State {
        let state = K::of(self).publisher.state();
        if self.closed.has_fired() { State::VSESSION_STATE_CLOSED } else { state }
    }

    /// The close of the vim25 session is that of the handle.
    fn check_open(&self) -> Result<()> {
        if self.state::<Vim25>() == State::VSESSION_STATE_CLOSED { Err(closed().not_run()) } else { Ok(()) }
    }

    /// Why there is no session. A close may look as if the server had ended the session.
    fn no_session(&self) -> Error {
        self.check_open().err().unwrap_or_else(not_logged_in)
    }

    /// The snapshot of the vim25 session as it is now.
    pub(crate) fn snapshot(&self) -> Arc<VimSnapshot> {
        self.vim.current.snapshot()
    }

    /// The snapshot of the session of a kind, provided that it holds a login.
    pub(crate) fn identity<K: Kind>(&self) -> Result<Arc<Snapshot<K>>> {
        let snapshot = K::of(self).current.snapshot();
        self.check_identity(&snapshot)?;
        Ok(snapshot)
    }

    /// The same for vim25, for programs to keep.
    pub(crate) fn view(&self) -> Result<Arc<VimView>> {
        self.vim.current.view(|snapshot| self.check_identity(snapshot))
    }

    /// The vim25 session and, if there is one, the REST session of the same moment, for programs to keep.
    pub(crate) fn views(&self) -> Result<(Arc<VimView>, Option<Arc<RestView>>)> {
        let vim = self.view()?;
        // Once made, it stays. What is not there now was not there before.
        let Some(server_session) = self.rest.get() else { return Ok((vim, None)) };
        self.views_of_both(server_session)
    }

    // Apart, so that the other way stays short.
    #[inline(never)]
    fn views_of_both(
        &self,
        server_session: &ServerSession<Rest>,
    ) -> Result<(Arc<VimView>, Option<Arc<RestView>>)> {
        let look = || {
            let view = server_session.current.view(|_| Ok(()));
            view.map(|view| Some(view).filter(|view| view.login.is_some()))
        };
        let mut rest = look()?;
        loop {
            let vim = self.view()?;
            let now = look()?;
            // If it is the same as before, both were there when that of vim25 was read.
            if now.as_ref().map(Arc::as_ptr) == rest.as_ref().map(Arc::as_ptr) {
                let is_of_vim = |view: &Arc<RestView>| {
                    let shared_with = view.login.as_ref().and_then(|login| login.shared_with);
                    shared_with.is_none_or(|epoch| epoch == vim.epoch)
                };
                let rest = now.filter(is_of_vim);
                return Ok((vim, rest));
            }
            rest = now;
        }
    }

    /// The cookie of the vim25 session.
    pub(crate) fn cookie(&self) -> Result<Secret> {
        let snapshot = self.identity::<Vim25>()?;
        snapshot.login.as_ref().map(|login| login.cookie.clone()).ok_or_else(|| self.no_session())
    }

    fn check_identity<K: Kind>(&self, snapshot: &Snapshot<K>) -> Result<()> {
        if snapshot.login.is_none() {
            return Err(self.no_session());
        }
        self.check_open()?;
        // While it is being published, it may be newer than what `vsession_get_epoch` reads.
        if !planted!("epoch-not-raised") {
            K::of(self).publisher.raise_epoch(snapshot.epoch);
        }
        Ok(())
    }
}

fn closed() -> Error {
    Error::new(Status::VSESSION_E_CLOSED, "the session is closed")
}

fn not_logged_in() -> Error {
    Error::new(Status::VSESSION_E_NOT_AUTHENTICATED, "there is no session; call vsession_login").not_run()
}
