//! What must be known of a server before a login: the version of the API that it speaks and its service content. Neither
//! needs a session, and both stay the same until the server is replaced or upgraded.

use std::rc::Rc;

use super::soap::{Call, Endpoint, next_operation_id};
use crate::error::{Error, Result};
use crate::runtime::wait::Watch;
use crate::status::Status;
use crate::wire::envelope::Reference;
use crate::wire::service_content::ServiceContent;
use crate::wire::versions;

/// The type and id that every server gives its root object.
pub(crate) const SERVICE_INSTANCE: &str = "ServiceInstance";

/// A server, as its own documents describe it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// For example `8.0.2.0`.
    pub(crate) version: String,
    pub(crate) content: ServiceContent,
}

impl Service {
    /// Asks the server: two requests, or one when the version is given.
    pub(crate) fn discover(endpoint: &Endpoint, version: Option<&str>, watch: &Rc<Watch>) -> Result<Service> {
        let version = match version {
            Some(version) => version.to_string(),
            None => newest_version(endpoint, watch)?,
        };
        let answered = endpoint.call(
            &Call {
                method: "RetrieveServiceContent",
                this: Reference { kind: SERVICE_INSTANCE, id: SERVICE_INSTANCE },
                arguments: "",
                cookie: None,
                version: &version,
                operation_id: &next_operation_id(),
                idempotent: true,
                commit_when_sent: false,
            },
            watch,
        )?;
        let content = answered.reply.look(ServiceContent::read)?;
        Ok(Service { version, content })
    }

    pub(crate) fn session_manager(&self) -> Result<Reference<'_>> {
        self.reference("sessionManager")
    }

    pub(crate) fn property_collector(&self) -> Result<Reference<'_>> {
        self.reference("propertyCollector")
    }

    fn reference(&self, name: &str) -> Result<Reference<'_>> {
        self.content
            .by_name(name)
            .and_then(|(kind, id)| Some(Reference { kind: kind.to_str().ok()?, id: id.to_str().ok()? }))
            .ok_or_else(|| {
                Error::new(
                    Status::VSESSION_E_PROTOCOL,
                    format!("the server's service content lacks '{name}'"),
                )
            })
    }
}

fn newest_version(endpoint: &Endpoint, watch: &Rc<Watch>) -> Result<String> {
    let document = endpoint.versions_document(watch)?;
    match document.status {
        200 => versions::newest(&document.body),
        status => Err(Error::new(
            Status::VSESSION_E_HTTP,
            format!("the server answered HTTP {status} when asked for its API versions; check host and path in 'url', or set 'api_version' if the server is known to hide that document"),
        )
        .with(|d| {
            d.http_status = status;
            d.retriable = matches!(status, 429 | 502..=504);
        })),
    }
}
