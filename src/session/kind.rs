//! Kinds of server sessions. One `Session` may hold a server session of each kind, over one account. The trait below is what
//! a kind knows of its protocol. Renewal, rediscovery, orphans and close are written once for all kinds.

use std::fmt::Debug;

use super::Session;
use super::keepalive::KeepAlive;
use super::renewal::Renewal;
use super::snapshot::{CurrentSnapshot, Snapshot};
use super::vim25::Vim25;
use crate::auth::SignIn;
use crate::auth::credential::Credential;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http::{Budget, Retry};
use crate::runtime::handle::Publisher;
use crate::runtime::phase::Phase;
use crate::runtime::wait::Watch;
use crate::state::{ServiceName, State};
use crate::sync::rank::Rank;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard};

/// A protocol that has sessions on a server. What has a default here, only a session that depends on another kind's needs.
pub(crate) trait Kind: Sized + Send + Sync + 'static {
    /// What must be known of a server before a login.
    type Service: Debug + PartialEq + Send + Sync;
    /// A session on the server, with the right to use it.
    type Login: Clone + Debug + Send + Sync;

    const NAME: ServiceName;
    /// The place of its lock in the order: that of a kind which borrows sessions comes after that of its lender.
    type Rank: Rank;

    /// The server session of this kind.
    fn of(session: &Session) -> &ServerSession<Self>;

    /// The server's name and port, for messages.
    fn server(&self) -> String;

    /// The error of a wait that ended in this phase of a call, or of what `occasion` says.
    fn stopped(&self, error: Error, phase: Phase, occasion: &str) -> Error;

    /// What the library may send to the server after a failure beyond what it is asked for.
    fn budget(&self) -> &Budget;

    /// Whether a login by hand to another service covers one login to this one: with `relogin=never` there is no other way to it.
    const IS_COVERED: bool = false;

    /// Asks the server what it is.
    fn discover(
        &self,
        config: &Config,
        watch: &Watch,
    ) -> impl Future<Output = Result<Arc<Self::Service>>> + Send;

    /// Whether this answer to a question of the library's own contradicts what is known of the server.
    fn is_contradicted(service: &Self::Service, error: &Error) -> bool;

    /// The version of the service, for the log.
    fn version(service: &Self::Service) -> &str;

    /// The session of another kind, if it serves this protocol too. `None`: a login makes one.
    fn adopt(
        _session: &Arc<Session>,
        _watch: &Watch,
    ) -> impl Future<Output = Result<Option<Self::Login>>> + Send {
        async { Ok(None) }
    }

    /// The epoch of the session of another kind that this login is.
    fn lent(_login: &Self::Login) -> Option<u64> {
        None
    }

    /// Keeps that session from ending until the loan is dropped. `None`: it has ended.
    fn hold<'a>(_session: &'a Session, _login: &Self::Login) -> Option<Loan<'a>> {
        Some(Loan { _lock: None })
    }

    /// A session of this kind ends, and the state will be this one. Called before readers see it: what it was lent for ends no later.
    fn end_loans(_session: &Session, _next: State) {}

    /// A login has succeeded, and readers see its session: whoever had borrowed the one before gets this one.
    fn lend(_session: &Session, _made: &Snapshot<Self>) {}

    /// Turns a credential into a session on the server.
    fn sign_in(
        &self,
        service: &Self::Service,
        credential: &Credential,
        config: &Config,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<SignIn<Self::Login>>> + Send;

    /// Asks the server whether the session lives.
    fn is_live(
        &self,
        service: &Self::Service,
        login: &Self::Login,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Asks for a sign of life, for keep-alive. A dead session is replaced.
    fn probe(session: &Arc<Session>, watch: &Watch) -> impl Future<Output = Result<()>> + Send;

    /// Ends the session on the server. Succeeds if the session is already gone.
    fn log_out(
        &self,
        service: &Self::Service,
        login: &Self::Login,
        retry: &Retry,
        watch: &Watch,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// The lock of the kind that lends the session, where one does: its session stays what it is.
pub(crate) struct Loan<'a> {
    pub(super) _lock: Option<MutexGuard<'a, Renewal<Vim25>>>,
}

/// One session on the server, and its successors.
pub(crate) struct ServerSession<K: Kind> {
    pub(super) kind: K,
    /// Shows state and epoch to readers that have nothing but the handle.
    pub(super) publisher: Publisher,
    /// The snapshot that readers see. Replaced under the lock of the renewal, or when the session is closed.
    pub(super) current: CurrentSnapshot<K>,
    /// Its state, and who is changing it. Held for a few instructions at a time.
    pub(super) renewal: Mutex<Renewal<K>, K::Rank>,
    /// When the next sign of life is due.
    pub(super) keepalive: KeepAlive,
    /// The epoch of the newest session that a successful call has proven.
    pub(super) proven: AtomicU64,
}

impl<K: Kind> ServerSession<K> {
    pub(super) fn new(kind: K, publisher: Publisher, config: &Config) -> ServerSession<K> {
        ServerSession {
            kind,
            publisher: publisher.of(K::NAME),
            current: CurrentSnapshot::new(),
            renewal: Mutex::new(Renewal::new(config)),
            keepalive: KeepAlive::new(config.keepalive_interval),
            proven: AtomicU64::new(0),
        }
    }
}

/// Who made a session on the server. Only its maker ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This library, by a login.
    Made,
    /// It is the vim25 session, which ends by itself, and is kept alive for both.
    OfVim25,
}

impl Origin {
    /// Whether a close, an exit or a renewal logs it out, and keep-alive looks after it.
    pub(super) fn is_ours(self) -> bool {
        match self {
            Origin::Made => true,
            Origin::OfVim25 => false,
        }
    }
}
