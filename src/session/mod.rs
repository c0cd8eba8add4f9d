//! The heart: one session that any number of threads use. What readers see is one immutable snapshot, replaced as a
//! whole; what changes it goes through one gate. The gate's lock is held for a few instructions and never across I/O, a
//! wait or a callback.

mod account;
mod asynchronous;
mod backoff;
mod call;
mod check;
mod doubt;
mod end;
mod gate;
mod given_up;
mod keepalive;
mod login;
#[cfg(all(test, vsession_model))]
pub(crate) mod models;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use asynchronous::Outcome as CallOutcome;
pub(crate) use call::{CallOptions, MethodCall, SessionReply, Target};
pub(crate) use snapshot::{Snapshot, View};

use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::Client;
use crate::runtime::handle::Publisher;
use crate::runtime::log::log;
use crate::runtime::wait::{Bounds, Signal};
use crate::soap::call::Endpoint;
use crate::state::State;
use crate::status::Status;
use crate::sync::{Arc, AtomicU64, Instant, Mutex, rank};
use account::Account;
use gate::Gate;
use keepalive::KeepAlive;
use snapshot::Shown;

/// One session with one server. Shared by reference; every method may be called from any thread.
pub(crate) struct Session {
    /// Shows state and epoch to those who have nothing but the handle, which it knows too.
    publisher: Publisher,
    config: Arc<Config>,
    endpoint: Endpoint,
    /// What readers see. Replaced under the gate's lock, or when the session is closed.
    shown: Shown,
    /// What writers pass. Taken for a few instructions at a time.
    gate: Mutex<Gate, rank::Gate>,
    /// When it is to be asked for a sign of life.
    keepalive: KeepAlive,
    /// The epoch of the newest session that has brought a successful call.
    proven: AtomicU64,
    /// What is about the account and not about one session.
    account: Mutex<Account, rank::Account>,
    /// Ends every wait when the session is closed.
    closed: Arc<Signal>,
}

impl Session {
    /// Makes a session without touching the network.
    pub(crate) fn open(publisher: Publisher, config: Arc<Config>) -> Result<Arc<Session>> {
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
        let endpoint = Endpoint::new(client, &config.url.path, config.max_reply_bytes)?;
        let keepalive_interval = config.keepalive_interval;
        let gate = Mutex::new(Gate::new(&config));
        Ok(Arc::new(Session {
            publisher,
            config,
            endpoint,
            shown: Shown::new(),
            keepalive: KeepAlive::new(keepalive_interval),
            proven: AtomicU64::new(0),
            account: Mutex::default(),
            gate,
            closed: Arc::new(Signal::new()),
        }))
    }

    /// The state as readers see it. What was published may be another session's some time after the close, so it counts only
    /// if this one is not closed by then.
    fn state(&self) -> State {
        let state = self.publisher.state();
        if self.closed.has_fired() { State::VSESSION_STATE_CLOSED } else { state }
    }

    fn check_open(&self) -> Result<()> {
        if self.state() == State::VSESSION_STATE_CLOSED { Err(closed().not_run()) } else { Ok(()) }
    }

    /// Why there is no session: what a close ended may look as if the server had ended it.
    fn no_session(&self) -> Error {
        self.check_open().err().unwrap_or_else(not_logged_in)
    }

    /// The snapshot as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shown.snapshot()
    }

    /// The snapshot, provided that it holds a login.
    pub(crate) fn identity(&self) -> Result<Arc<Snapshot>> {
        let snapshot = self.snapshot();
        self.check_identity(&snapshot)?;
        Ok(snapshot)
    }

    /// The same, for programs to keep.
    pub(crate) fn view(&self) -> Result<Arc<View>> {
        self.shown.view(|snapshot| self.check_identity(snapshot))
    }

    fn check_identity(&self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.login.is_none() {
            return Err(self.no_session());
        }
        self.check_open()?;
        // It may be ahead of what `vsession_get_epoch` reads, for the moment that its publication takes.
        if !planted!("epoch-not-raised") {
            self.show_epoch(snapshot.epoch);
        }
        Ok(())
    }

    fn show_epoch(&self, epoch: u64) {
        self.publisher.raise_epoch(epoch);
    }

    /// The limits of a call that may take `timeout` (`None`: what the configuration says) and that `cancel` may end.
    pub(crate) fn bounds(&self, timeout: Option<Timeout>, cancel: Option<Arc<Signal>>) -> Bounds {
        let timeout = match timeout {
            None => self.config.timeout,
            Some(Timeout::Never) => None,
            Some(Timeout::After(timeout)) => Some(timeout),
        };
        Bounds {
            deadline: timeout.and_then(|t| Instant::now().checked_add(t)),
            close: Some(self.closed.clone()),
            cancel,
        }
    }

    /// The limits of work that no caller waits for.
    fn own_bounds(&self) -> Bounds {
        const LONGEST: Duration = Duration::from_secs(120);
        Bounds::with_timeout(self.config.timeout.unwrap_or(LONGEST).min(LONGEST))
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timeout {
    Never,
    After(Duration),
}

fn closed() -> Error {
    Error::new(Status::VSESSION_E_CLOSED, "the session is closed")
}

fn not_logged_in() -> Error {
    Error::new(Status::VSESSION_E_NOT_AUTHENTICATED, "there is no session; call vsession_login").not_run()
}
