//! What must be known of a server before a login: its API version and its service content. Both are available without a
//! session and stay the same until the server is replaced or upgraded.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::error::{Error, Result};
use crate::runtime::process::PerProcess;
use crate::soap::envelope::Reference;
use crate::status::Status;
use crate::sync::{Arc, Mutex, Weak, rank};
use crate::vim::service_content::ServiceContent;

/// The namespace of the service.
pub(crate) const VIM25: &str = "urn:vim25";

/// The type and id that every server gives its root object.
pub(crate) const SERVICE_INSTANCE: &str = "ServiceInstance";

/// A server, as its own documents describe it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Service {
    /// The `SOAPAction` of calls, for example `urn:vim25/8.0.2.0`.
    pub(crate) action: String,
    pub(crate) content: ServiceContent,
}

/// The services in use by sessions, by the hash of their content.
static HELD: PerProcess<Mutex<HashMap<u64, Weak<Service>>, rank::Services>> = PerProcess::new();

/// In a forked child: forgets the services of the parent.
pub(crate) fn renew_after_fork() {
    HELD.renew();
}

impl Service {
    /// The copy that all sessions with an equal service share: a thousand sessions with one server hold it once.
    pub(crate) fn shared(self) -> Arc<Service> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&self);
        let all = HELD.get();
        let mut held = all.lock();
        if let Some(same) = held.get(&hash).and_then(Weak::upgrade).filter(|same| **same == self) {
            return same;
        }
        held.retain(|_, service| service.strong_count() > 0);
        let service = Arc::new(self);
        held.insert(hash, Arc::downgrade(&service));
        service
    }

    pub(crate) fn session_manager(&self) -> Result<Reference<'_>> {
        self.reference("sessionManager")
    }

    pub(crate) fn property_collector(&self) -> Result<Reference<'_>> {
        self.reference("propertyCollector")
    }

    fn reference(&self, name: &str) -> Result<Reference<'_>> {
        self.content.by_name(name).map(|(kind, id)| Reference { kind, id }).ok_or_else(|| {
            // unreached: discovery demands the references that are used
            Error::new(Status::VSESSION_E_PROTOCOL, format!("the server's service content lacks '{name}'"))
                .not_run()
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::vim::discovery::soap_action;

    pub(in crate::vim) fn service(version: &str) -> Service {
        let text = "<R><returnval><sessionManager type=\"SessionManager\">sm</sessionManager>\
            <propertyCollector type=\"PropertyCollector\">pc</propertyCollector><about/></returnval></R>";
        let content = ServiceContent::read(roxmltree::Document::parse(text).unwrap().root_element()).unwrap();
        Service { action: soap_action(version), content }
    }

    #[test]
    fn what_is_equal_is_held_once_and_forgotten_with_its_last_user() {
        let (one, same, other) =
            (service("shared-1").shared(), service("shared-1").shared(), service("shared-2").shared());
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &other));
        let gone = Arc::downgrade(&one);
        drop((one, same));
        assert!(gone.upgrade().is_none(), "the table holds nobody");
        assert_eq!(*service("shared-1").shared(), service("shared-1"));
    }
}
