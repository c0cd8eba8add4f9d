//! Proof that a session is of use. A login is paid for by a call that only a live session lets succeed; until then it counts as a
//! failed one.

use super::Session;
use super::kind::Kind;
use super::state::Input;
use super::vim25::Vim25;
use crate::soap::reply::Reply;
use crate::sync::Ordering;

impl Session {
    /// The session of this epoch has brought a successful call.
    #[inline]
    pub(super) fn note_proof<K: Kind>(&self, epoch: u64) {
        if K::of(self).proven.load(Ordering::Relaxed) != epoch {
            self.note_first_proof::<K>(epoch);
        }
    }

    #[cold]
    fn note_first_proof<K: Kind>(&self, epoch: u64) {
        let mut renewal = K::of(self).renewal.lock();
        if renewal.machine.epoch() == epoch {
            self.feed(&mut renewal, Input::Proven);
            K::of(self).proven.store(epoch, Ordering::Relaxed);
        }
    }

    /// A method was answered.
    #[inline]
    pub(super) fn note_reply(&self, epoch: u64, method: &str, arguments: &str, reply: &Reply) {
        if self.vim.proven.load(Ordering::Relaxed) != epoch && proves_session(method, arguments, reply) {
            self.note_first_proof::<Vim25>(epoch);
        }
    }
}

/// Whether only a live session gets such a reply. Some methods are open to anybody, and a property read without a session may
/// come back empty.
fn proves_session(method: &str, arguments: &str, reply: &Reply) -> bool {
    match method {
        // unreached: one of several alternatives, of which others are tested
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
