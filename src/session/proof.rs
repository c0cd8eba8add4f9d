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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::answer::{Answer, read};

    #[test]
    fn a_reply_that_anybody_gets_proves_no_session() {
        let proves = |method: &str, arguments: &str, content: &str| {
            let body = format!(
                "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><{method}Response xmlns=\"urn:vim25\">{content}</{method}Response></Body></Envelope>"
            );
            let Ok(Answer::Reply(reply)) = read(body.into_bytes(), method, "urn:vim25") else {
                panic!("{method}")
            };
            proves_session(method, arguments, &reply)
        };
        assert!(proves("CurrentTime", "", "<returnval>now</returnval>"));
        for method in ["RetrieveServiceContent", "RetrieveInternalContent", "RetrieveProductComponents"] {
            assert!(!proves(method, "", "<returnval><about/></returnval>"), "{method}");
        }
        let found = "<returnval><propSet><name>name</name></propSet></returnval>";
        for method in ["RetrieveProperties", "RetrievePropertiesEx"] {
            assert!(proves(method, "<obj type=\"Folder\">group-d1</obj>", found));
            assert!(!proves(method, "<obj type=\"Folder\">group-d1</obj>", "<returnval/>"));
            assert!(!proves(method, "<obj type=\"SessionManager\">s</obj>", found));
        }
    }
}
