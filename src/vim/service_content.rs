//! `ServiceContent`: the product and version of a server, and references to its managed objects. It is read before the login.
//! References always come from here, because vCenter and ESXi use different ids for the same objects.

use std::collections::BTreeMap;

use roxmltree::Node;

use crate::error::{Error, Result};
use crate::soap::envelope::Reference;
use crate::soap::xml::tree::{child, text_of};
use crate::status::Status;
use crate::text::Text;

/// What RetrieveServiceContent returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServiceContent {
    /// The fields of `about`, by name.
    about: BTreeMap<String, Text>,
    /// The references by property name: type and id.
    references: BTreeMap<String, (Text, Text)>,
}

impl ServiceContent {
    pub(crate) fn read(response: Node) -> Result<ServiceContent> {
        let incomplete = |what: &str| {
            Error::new(
                Status::VSESSION_E_PROTOCOL,
                format!("the server's service content lacks {what}; is this a vSphere server?"),
            )
        };
        let content = child(response, "returnval").ok_or_else(|| incomplete("'returnval'"))?;
        let about = child(content, "about").ok_or_else(|| incomplete("'about'"))?;
        let about = about
            .children()
            .filter(Node::is_element)
            .map(|n| (n.tag_name().name().to_string(), Text::from(&*text_of(n))))
            .collect();
        let references = content
            .children()
            .filter_map(|n| {
                let kind = n.attribute("type")?;
                let name = n.tag_name().name().to_string();
                Some((name, (Text::from(kind), Text::from(text_of(n).trim()))))
            })
            .collect();
        let content = ServiceContent { about, references };
        for needed in ["sessionManager", "propertyCollector"] {
            if content.by_name(needed).is_none_or(|(_, id)| id.is_empty() && !planted!("empty-reference")) {
                return Err(incomplete(&format!("'{needed}'")));
            }
        }
        Ok(content)
    }

    /// A field of `about`, for example `apiType`.
    pub(crate) fn about(&self, field: &str) -> Option<&Text> {
        self.about.get(field)
    }

    /// Type and id of a reference by its property name, for example `rootFolder`.
    pub(crate) fn by_name(&self, name: &str) -> Option<(&Text, &Text)> {
        self.references.get(name).map(|(kind, id)| (kind, id))
    }

    /// Whether a reference has this id.
    pub(crate) fn names(&self, id: &str) -> bool {
        self.references.values().any(|(_, known)| **known == *id)
    }

    /// The only reference of the type `kind`, such as a manager or a collector. `None`: there is none, or more than one.
    pub(crate) fn by_type(&self, kind: &str) -> Option<Reference<'_>> {
        let mut found = self.references.values().filter(|(k, _)| **k == *kind);
        let (kind, id) = found.next()?;
        if found.next().is_some() {
            return None;
        }
        Some(Reference { kind, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<ServiceContent> {
        let text = format!(
            "<RetrieveServiceContentResponse xmlns=\"urn:vim25\">{content}</RetrieveServiceContentResponse>"
        );
        ServiceContent::read(roxmltree::Document::parse(&text).unwrap().root_element())
    }

    #[test]
    fn references_are_found_by_name_and_by_type() {
        let content = read(
            "<returnval><rootFolder type=\"Folder\">ha-folder-root</rootFolder><about><apiType>HostAgent</apiType></about>\
             <sessionManager type=\"SessionManager\">ha-sessionmgr</sessionManager>\
             <propertyCollector type=\"PropertyCollector\">ha-property-collector</propertyCollector></returnval>",
        )
        .unwrap();
        assert_eq!(content.by_type("SessionManager").unwrap().id, "ha-sessionmgr");
        assert_eq!(&**content.by_name("rootFolder").unwrap().1, "ha-folder-root");
        assert_eq!(&**content.about("apiType").unwrap(), "HostAgent");
        assert!(content.by_type("VirtualMachine").is_none());
    }

    #[test]
    fn content_without_a_session_manager_is_an_error() {
        let error = read("<returnval><about/></returnval>").unwrap_err();
        assert_eq!(error.status(), Status::VSESSION_E_PROTOCOL);
        assert!(error.detail().message.contains("sessionManager"));
        assert!(read("").is_err());
    }
}
