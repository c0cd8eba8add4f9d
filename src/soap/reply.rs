//! The reply of a method that succeeded, and its later readers.

use std::borrow::Cow;
use std::ops::Range;

use roxmltree::Node;

use super::unreadable::not_xml;
use super::xml::reader::{EndTag, Event, Reader, StartTag};
use super::xml::repair::Repaired;
use super::xml::text::borrowed_text_content;
use super::xml::tree::{self, child};
use crate::error::Result;
use crate::runtime::redact::Redactor;
use crate::text::Text;

/// Levels of elements in an envelope: the response or the fault, the return value, the children of that.
pub(super) const RESPONSE: usize = 3;
pub(super) const VALUE: usize = 4;
const FIELD: usize = 5;

/// The reply of a method that succeeded.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The whole envelope, always well-formed.
    pub(crate) xml: Text,
    /// The place of the response element in `xml`.
    pub(crate) response: Range<usize>,
    /// The text of the return value, if it is a single element without children.
    pub(crate) text: Option<Text>,
    /// The reply names properties that the server withholds because the caller is not authenticated.
    pub(crate) withholds_properties: bool,
    /// What the server sent, if it has characters that XML forbids; `xml` has U+FFFD in their places.
    pub(crate) repaired: Option<Box<Repaired>>,
}

/// No record of any server has more fields.
const MAX_FIELDS: usize = 256;

/// An element without children: its name and its text.
pub(crate) type Field<'a> = (&'a str, Cow<'a, str>);

impl Reply {
    /// The children of the only return value, if none of them has children. Cheaper than a tree. `None`: the return value
    /// has another form.
    pub(crate) fn fields(&self) -> Option<Vec<Field<'_>>> {
        let xml = &self.xml;
        let mut fields = Vec::new();
        let (mut values, mut field) = (0, (0..0, 0));
        let mut reader = Reader::document(xml);
        while let Some(event) = reader.next().ok()? {
            match event {
                Event::Start(StartTag { tag, .. }) if tag.start < self.response.start => {}
                Event::Start(StartTag { tag, .. }) if tag.start >= self.response.end => break,
                Event::Start(StartTag { level: ..=RESPONSE, .. }) => {}
                Event::Start(StartTag { level: VALUE, .. }) => values += 1,
                Event::Start(StartTag { level: FIELD, tag, local }) => field = (local, tag.end),
                Event::Start(_) => return None,
                Event::End(EndTag { level: FIELD, tag }) if values > 0 => {
                    if fields.len() == MAX_FIELDS {
                        return None;
                    }
                    let (name, begun) = (&xml[field.0.clone()], field.1);
                    fields.push((name, borrowed_text_content(&xml[begun..tag.start])?));
                }
                Event::End(_) => {}
            }
        }
        (values == 1).then_some(fields)
    }

    /// Parses the reply as a tree and passes its response element to `read`. For the small replies to the library's own
    /// calls.
    pub(crate) fn with_tree<T>(&self, read: impl FnOnce(Node) -> Result<T>) -> Result<T> {
        let document =
            tree::parse(&self.xml).map_err(|problem| not_xml(&self.xml, problem, Redactor::NOTHING))?;
        let content =
            child(document.root_element(), "Body").and_then(|b| b.children().find(Node::is_element));
        read(content.expect("a reply was read from this text"))
    }

    /// The body as the server sent it. A zero byte follows it, as it follows `xml`.
    pub(crate) fn body(&self) -> &[u8] {
        self.repaired.as_ref().map_or(self.xml.as_bytes(), |repaired| &repaired.body)
    }

    /// How many characters of the body were replaced.
    pub(crate) fn repairs(&self) -> usize {
        self.repaired.as_ref().map_or(0, |repaired| repaired.repairs.count)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::answer::Answer;
    use super::super::comparison::read_or_error;
    use super::*;

    pub(in crate::soap) fn envelope(content: &str) -> Vec<u8> {
        format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body xmlns="urn:vim25">{content}</s:Body></s:Envelope>"#
        )
        .into_bytes()
    }

    fn reply(content: &str) -> Reply {
        match read_or_error(envelope(content), Redactor::NOTHING).unwrap() {
            Answer::Reply(reply) => reply,
            Answer::Fault(fault) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn a_simple_return_value_is_offered_as_text() {
        let reply = reply(
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>now</returnval></CurrentTimeResponse>",
        );
        assert_eq!(reply.text.as_deref(), Some("now"));
        assert!(reply.xml[reply.response.clone()].starts_with("<CurrentTimeResponse"));
        assert!(!reply.withholds_properties);
    }

    #[test]
    fn a_structured_or_absent_return_value_has_no_text() {
        assert_eq!(reply("<RResponse><returnval><a>1</a></returnval></RResponse>").text, None);
        assert_eq!(
            reply("<RResponse><returnval>1</returnval><returnval>2</returnval></RResponse>").text,
            None
        );
        assert_eq!(reply("<LogoutResponse/>").text, None);
    }

    #[test]
    fn a_withheld_property_is_noticed() {
        let missing = |fault: &str| {
            format!(
                "<RResponse><returnval><objects><missingSet><path>p</path><fault><fault xsi:type=\"{fault}\"/></fault></missingSet></objects></returnval></RResponse>"
            )
        };
        assert!(reply(&missing("NotAuthenticated")).withholds_properties);
        assert!(!reply(&missing("NoPermission")).withholds_properties);
        assert!(
            !reply("<RResponse><returnval>NotAuthenticated</returnval></RResponse>").withholds_properties
        );
    }

    #[test]
    fn a_flat_return_value_is_offered_as_fields() {
        let flat = reply("<RResponse><returnval><a>1 &lt; 2</a><b/>\n<a></a></returnval></RResponse>");
        let fields = [("a", "1 < 2"), ("b", ""), ("a", "")].map(|(name, text)| (name, text.into()));
        assert_eq!(flat.fields().as_deref(), Some(&fields[..]));
        for other in [
            "<RResponse><returnval><a><b/></a></returnval></RResponse>",
            "<RResponse><x><a/></x><x><a/></x></RResponse>",
            "<RResponse/>",
        ] {
            assert_eq!(reply(other).fields(), None, "{other}");
        }
    }
}
