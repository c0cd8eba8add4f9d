//! Sessions that the server does not know any more, or never did: what is to be done about the one, and when the next may be
//! made. A login whose session is refused at once is paid for as a failed one is.

use std::time::Duration;

use super::gate::Gate;
use super::state::Input;
use super::{Session, Snapshot};
use crate::runtime::wait::{Bounds, Watch};
use crate::runtime::workers;
use crate::soap::reply::Reply;
use crate::sync::{Arc, Ordering};
use crate::vim::session_manager;

/// How long the logout of a session that was given up may take.
const LONGEST_LOGOUT: Duration = Duration::from_secs(10);

/// A call that is under way with the login of a snapshot.
pub(super) struct Use<'a> {
    session: &'a Arc<Session>,
    snapshot: &'a Arc<Snapshot>,
}

impl<'a> Use<'a> {
    pub(super) fn begin(session: &'a Arc<Session>, snapshot: &'a Arc<Snapshot>) -> Use<'a> {
        snapshot.uses.begin();
        Use { session, snapshot }
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        if self.snapshot.uses.end() {
            self.session.log_out_later(self.snapshot.clone());
        }
    }
}

impl Session {
    /// The session of this epoch has brought a successful call.
    #[inline]
    pub(super) fn note_proof(&self, epoch: u64) {
        if self.proven.load(Ordering::Relaxed) != epoch {
            self.note_first_proof(epoch);
        }
    }

    #[cold]
    fn note_first_proof(&self, epoch: u64) {
        let mut gate = self.gate.lock();
        if gate.machine.epoch() == epoch {
            self.feed(&mut gate, Input::Proven);
            self.proven.store(epoch, Ordering::Relaxed);
        }
    }

    /// A call was answered.
    #[inline]
    pub(super) fn note_answer(&self, epoch: u64, method: &str, arguments: &str, reply: &Reply) {
        if self.proven.load(Ordering::Relaxed) != epoch && proves_session(method, arguments, reply) {
            self.note_first_proof(epoch);
        }
    }

    /// The server says that the session is gone. `replace`: a login may follow at once, and the gate says whether it does. Returns
    /// the session where it is to be logged out, which is not done here because the gate's lock is held. Another server than the
    /// one that made it is not asked to end it: it may have made one of that name.
    #[must_use]
    pub(super) fn give_up(&self, gate: &mut Gate, replace: bool) -> Option<Arc<Snapshot>> {
        let (had_session, snapshot) = (gate.machine.state().is_usable(), self.snapshot());
        self.feed(gate, Input::Expired { server: &self.endpoint.server(), replace });
        (had_session && !snapshot.elsewhere && snapshot.uses.give_up()).then_some(snapshot)
    }

    /// Has a session logged out that was given up: it may live on all the same, behind another node of the same address or
    /// because its cookie gets lost on the way. Nobody waits for that.
    pub(super) fn log_out_later(self: &Arc<Self>, given_up: Arc<Snapshot>) {
        let session = self.clone();
        // Where no thread can be had it stays until the server ends it.
        let _ = workers::pools().probes.run(move |thread| {
            if thread.is_ok()
                && let Some((login, service)) = given_up.usable()
                && let Ok(watch) = Watch::new(Bounds::with_timeout(LONGEST_LOGOUT))
            {
                let _ = session_manager::logout(&session.endpoint, service, &login.cookie, &watch);
            }
        });
    }
}

/// Whether a session alone gets such a reply. Some methods are open to anybody, and a property read without a session may come
/// back empty.
fn proves_session(method: &str, arguments: &str, reply: &Reply) -> bool {
    match method {
        "RetrieveServiceContent" | "RetrieveInternalContent" | "RetrieveProductComponents" => false,
        "RetrieveProperties" | "RetrievePropertiesEx" => {
            let open_to_all = ["ServiceInstance", "SessionManager"];
            !reply.withholds_properties
                && reply.xml.contains("propSet")
                && !open_to_all.into_iter().any(|kind| arguments.contains(kind))
        }
        _ => true,
    }
}
