//! The operations of the server's PropertyCollector: what a read asks for, what its answer says, and the end of what a read has left
//! on the server.

use super::service::Service;
use super::session_manager::ask;
use crate::error::{Error, Result};
use crate::http::{Lane, Retry};
use crate::runtime::redact::Redactor;
use crate::runtime::secret::Secret;
use crate::runtime::wait::Watch;
use crate::soap::endpoint::Endpoint;
use crate::soap::envelope::{Reference, element};
use crate::soap::fault::{Fault, localized};
use crate::soap::reply::Reply;
use crate::soap::xml::escape;
use crate::soap::xml::node::Node;

/// The type of the object that reads properties.
pub(crate) const PROPERTY_COLLECTOR: &str = "PropertyCollector";

/// What to read: these properties of one object.
pub(crate) fn specification<'p>(object: Reference<'_>, paths: impl IntoIterator<Item = &'p str>) -> String {
    let (kind, id) = (escape(object.kind), escape(object.id));
    let paths: String =
        paths.into_iter().map(|path| format!("<pathSet>{}</pathSet>", escape(path))).collect();
    format!(
        "<specSet><propSet><type>{kind}</type>{paths}</propSet><objectSet><obj type=\"{kind}\">{id}</obj><skip>false</skip></objectSet></specSet>"
    )
}

/// The arguments of RetrievePropertiesEx. `max_objects`: the largest page; 0: the server decides.
pub(crate) fn read_arguments(specifications: &str, max_objects: u32) -> String {
    match max_objects {
        0 => format!("{specifications}<options></options>"),
        most => format!("{specifications}<options><maxObjects>{most}</maxObjects></options>"),
    }
}

/// The arguments of ContinueRetrievePropertiesEx and CancelRetrievePropertiesEx.
pub(crate) fn token_argument(token: &str) -> String {
    element("token", token).to_string()
}

/// The response element of a reply.
pub(super) fn response(reply: &Reply) -> Option<Node<'_>> {
    Node::at(&reply.xml, reply.response.start)
}

/// The text of an element; empty if there is none, or no memory for it.
pub(super) fn text_of(node: Option<Node<'_>>) -> String {
    let text = node.and_then(Node::text).and_then(|text| text.plain());
    text.map(|text| text.trim().to_string()).unwrap_or_default()
}

/// The token of a page that others follow.
pub(crate) fn token_of(reply: &Reply) -> Option<String> {
    // A server puts it first. It is looked for elsewhere too, but not in each last page, which may be large.
    let page = response(reply)?.child("returnval")?;
    let first = page.first().filter(|first| first.name() == "token");
    let token = first.or_else(|| reply.xml.contains("token").then(|| page.child("token")).flatten());
    Some(text_of(token)).filter(|token| !token.is_empty())
}

/// Whether an answer describes no object.
pub(crate) fn is_empty(reply: &Reply) -> bool {
    response(reply).and_then(|response| response.child("returnval/objects")).is_none()
}

/// The properties that an answer about one object lacks: the path and the fault of the first one, and how many others there are.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) path: String,
    pub(crate) fault: Fault,
    pub(crate) others: usize,
}

/// The properties that a read of one object was refused. Properties that are not set are not among them.
pub(crate) fn missing(reply: &Reply) -> Option<Missing> {
    if !reply.xml.contains("missingSet") {
        return None;
    }
    missing_in(reply, response(reply)?.child("returnval/objects")?)
}

/// The same in an element that describes an object, or how it changed.
pub(super) fn missing_in(reply: &Reply, object: Node<'_>) -> Option<Missing> {
    let first = object.child("missingSet")?;
    let others = std::iter::successors(first.next(), |set| set.next()).count();
    let fault = first.child("fault").and_then(|fault| localized(&reply.xml, fault.place().start));
    Some(Missing { path: text_of(first.child("path")), fault: fault.unwrap_or_default(), others })
}

impl Missing {
    /// The error of a read that `what` describes. The read ran, whatever the fault is.
    pub(crate) fn into_error(self, what: &str, hidden: Redactor) -> Error {
        let others = match self.others {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let what = format!("{what}: property '{}'{others}", hidden.quote(&self.path, 200));
        self.fault.into_error_of_property(&what, hidden)
    }
}

/// What a read or a wait has left on the server, and what ends it.
#[derive(Debug)]
pub(crate) enum Leftover {
    /// The rest of a retrieval, by its token.
    Pages(String),
    /// A collector, by its id.
    Collector(String),
}

impl Leftover {
    /// The method that ends it.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Leftover::Pages(_) => "CancelRetrievePropertiesEx",
            Leftover::Collector(_) => "DestroyPropertyCollector",
        }
    }

    /// Ends it. The server may have ended it by itself, which is an error here.
    pub(crate) async fn end(
        &self,
        endpoint: &Endpoint,
        service: &Service,
        cookie: &Secret,
        watch: &Watch,
    ) -> Result<()> {
        let (this, arguments) = match self {
            Leftover::Pages(token) => (service.property_collector()?, token_argument(token)),
            Leftover::Collector(id) => (Reference { kind: PROPERTY_COLLECTOR, id }, String::new()),
        };
        let call = (self.method(), this, &*arguments);
        ask(endpoint, service, cookie, call, Lane::Usual, &Retry::new(true), watch).await.map(|_| ())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::soap::answer::{Answer, read};
    use crate::status::{Executed, Status};

    /// The reply to a method with this content.
    pub(in crate::vim) fn reply(method: &str, content: &str) -> Reply {
        let body = format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body><{method}Response xmlns=\"urn:vim25\">{content}</{method}Response></e:Body></e:Envelope>"
        );
        match read(body.into_bytes(), method, "urn:vim25") {
            Ok(Answer::Reply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn page(content: &str) -> Reply {
        reply("RetrievePropertiesEx", content)
    }

    #[test]
    fn what_is_to_be_read_is_escaped() {
        let object = Reference { kind: "VirtualMachine", id: "vm-1<2" };
        let text = specification(object, ["name", "info[\"a&b\"]"]);
        let document = roxmltree::Document::parse(&text).unwrap();
        let texts = |name: &str| {
            let found = document.descendants().filter(|n| n.tag_name().name() == name);
            found.filter_map(|n| n.text().map(str::to_string)).collect::<Vec<_>>()
        };
        assert_eq!(texts("pathSet"), ["name", "info[\"a&b\"]"]);
        assert_eq!(texts("obj"), ["vm-1<2"]);
        assert_eq!(texts("type"), ["VirtualMachine"]);
        assert!(read_arguments(&text, 0).ends_with("<options></options>"));
        assert!(read_arguments(&text, 7).ends_with("<options><maxObjects>7</maxObjects></options>"));
    }

    #[test]
    fn a_token_is_found_wherever_it_stands_in_a_page_and_nowhere_else() {
        let objects = "<objects><obj type=\"VirtualMachine\">vm-1</obj></objects>";
        for (content, expected) in [
            (format!("<returnval><token>a&amp;b</token>{objects}</returnval>"), Some("a&b")),
            (format!("<returnval>{objects}<token>t</token></returnval>"), Some("t")),
            (format!("<returnval><token/>{objects}</returnval>"), None),
            (format!("<returnval>{objects}</returnval>"), None),
            ("<returnval><objects><token>t</token></objects></returnval>".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(token_of(&page(&content)).as_deref(), expected, "{content}");
        }
    }

    #[test]
    fn an_answer_is_empty_if_it_describes_no_object() {
        assert!(is_empty(&page("")) && is_empty(&page("<returnval/>")));
        assert!(!is_empty(&page("<returnval><objects><obj type=\"Folder\">f</obj></objects></returnval>")));
    }

    #[test]
    fn the_first_missing_property_is_the_error_of_a_read() {
        let set = |path: &str, fault: &str| {
            format!(
                "<missingSet><path>{path}</path><fault><fault xsi:type=\"{fault}\"><privilegeId>System.Read</privilegeId></fault><localizedMessage>No &lt;way&gt;.</localizedMessage></fault></missingSet>"
            )
        };
        let objects = |inside: String| page(&format!("<returnval><objects>{inside}</objects></returnval>"));
        assert!(missing(&objects("<obj type=\"T\">missingSet</obj>".into())).is_none());
        for (fault, status) in [
            ("NoPermission", Status::VSESSION_E_NO_PERMISSION),
            ("NotAuthenticated", Status::VSESSION_E_NOT_AUTHENTICATED),
            ("SystemError", Status::VSESSION_E_FAULT),
        ] {
            let reply = objects(set("a", fault) + &set("b", "SystemError"));
            let error = missing(&reply).unwrap().into_error("the read", Redactor(&["way"]));
            assert_eq!((error.status(), error.executed()), (status, Executed::VSESSION_EXECUTED_YES));
            let detail = error.detail();
            assert_eq!(detail.fault_name.as_deref(), Some(fault));
            for part in ["the read: property 'a' and 1 more", fault, "System.Read"] {
                assert!(detail.message.contains(part), "{error}");
            }
            assert!(!detail.message.contains("way"), "a secret is shown: {error}");
            let xml = detail.fault.as_ref().and_then(|fault| fault.detail.as_deref()).unwrap();
            let document = roxmltree::Document::parse(xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
            assert_eq!(document.root_element().tag_name().namespace(), Some("urn:vim25"));
        }
        let unnamed = objects("<missingSet><path>p</path><fault><fault/></fault></missingSet>".into());
        let error = missing(&unnamed).unwrap().into_error("the read", Redactor::NOTHING);
        assert_eq!(error.detail().fault_name, None, "{error}");
        let without = objects("<missingSet><path>p</path></missingSet>".into());
        let error = missing(&without).unwrap().into_error("the read", Redactor::NOTHING);
        assert_eq!(error.status(), Status::VSESSION_E_FAULT, "{error}");
    }
}
