//! What must be known of a server before a login: its API version and its service content. Both are available without a
//! session and stay the same until the server is replaced or upgraded.

use crate::error::{Error, Result};
use crate::runtime::process::PerProcess;
use crate::runtime::shared::{Shareable, Shared};
use crate::soap::envelope::Reference;
use crate::status::Status;
use crate::sync::{Arc, rank};
use crate::text::Text;
use crate::vim::discovery::soap_action;
use crate::vim::service_content::ServiceContent;

/// The namespace of the service.
pub(crate) const VIM25: &str = "urn:vim25";

/// The type and id that every server gives its root object.
pub(crate) const SERVICE_INSTANCE: &str = "ServiceInstance";

/// A server, as its own documents describe it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Service {
    /// The version of the API that calls are made in, for example `8.0.2.0`.
    pub(crate) version: Text,
    /// The `SOAPAction` of calls, for example `urn:vim25/8.0.2.0`.
    pub(crate) action: String,
    pub(crate) content: ServiceContent,
}

impl Shareable for Service {
    type Key = Service;
    fn key(&self) -> &Service {
        self
    }
}

/// The services in use by sessions.
static SERVICES: PerProcess<Shared<Service, rank::Services>> = PerProcess::new();

/// In a forked child: forgets the services of the parent.
pub(crate) fn renew_after_fork() {
    SERVICES.renew();
}

impl Service {
    pub(crate) fn new(version: &str, content: ServiceContent) -> Service {
        Service { version: version.into(), action: soap_action(version), content }
    }

    /// The copy that all sessions with an equal service share: a thousand sessions with one server hold it once.
    pub(crate) fn shared(self) -> Arc<Service> {
        let services = SERVICES.get();
        services.find(&self).unwrap_or_else(|| services.share(self))
    }

    pub(crate) fn session_manager(&self) -> Result<Reference<'_>> {
        self.reference("sessionManager")
    }

    pub(crate) fn property_collector(&self) -> Result<Reference<'_>> {
        self.reference("propertyCollector")
    }

    fn reference(&self, name: &str) -> Result<Reference<'_>> {
        // unreached: discovery demands the references that are used
        self.content.by_name(name).map(|(kind, id)| Reference { kind, id }).ok_or_else(|| {
            Error::new(Status::VSESSION_E_PROTOCOL, format!("the server's service content lacks '{name}'"))
                .not_run()
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::vim) fn service(version: &str) -> Service {
        let text = "<R><returnval><sessionManager type=\"SessionManager\">sm</sessionManager>\
            <propertyCollector type=\"PropertyCollector\">pc</propertyCollector><about/></returnval></R>";
        let content = ServiceContent::read(roxmltree::Document::parse(text).unwrap().root_element()).unwrap();
        Service::new(version, content)
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
