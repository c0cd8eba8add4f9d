//! Reads replies: the one element inside the SOAP body, or the fault that stands there. Most replies need no tree for
//! that; the parser reads faults and all that is unusual.

use std::ops::Range;

use roxmltree::{Document, Node};

use super::fault::{Fault, NOT_AUTHENTICATED};
use super::scan::{self, Field};
use super::xml::{self, child, xsi_type};
use crate::error::{Error, Result};
use crate::status::Status;

/// The reply of a method that succeeded.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The whole envelope.
    pub(crate) xml: String,
    /// Where in it the response element stands.
    pub(crate) response: Range<usize>,
    /// The text of the return value when it is a single element without children.
    pub(crate) text: Option<String>,
    /// The answer lists properties that it withholds from an unauthenticated caller.
    pub(crate) withholds: bool,
}

/// What a body is: a reply or a fault.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Fault(Fault),
}

/// Reads the body of an HTTP reply.
pub(crate) fn read(body: Vec<u8>) -> Result<Answer> {
    let text = match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let start =
                String::from_utf8_lossy(&error.as_bytes()[..error.as_bytes().len().min(1024)]).into_owned();
            return Err(xml::not_soap(&start, "it is not UTF-8"));
        }
    };
    if let Some(scanned) = scan::reply(&text) {
        let (response, simple) = (scanned.response, scanned.text);
        return Ok(Answer::Reply(Reply { response, text: simple, withholds: false, xml: text }));
    }
    read_by_tree(text)
}

fn read_by_tree(text: String) -> Result<Answer> {
    let document = xml::parse(&text)?;
    let root = document.root_element();
    if root.tag_name().name() != "Envelope" {
        return Err(xml::not_soap(&text, &format!("its root element is '{}'", root.tag_name().name())));
    }
    let Some(body) = child(root, "Body") else {
        return Err(xml::not_soap(&text, "the envelope has no body"));
    };
    let Some(content) = body.children().find(Node::is_element) else {
        return Err(Error::new(Status::VSESSION_E_PROTOCOL, "the body of the reply is empty"));
    };
    if content.tag_name().name() == "Fault" {
        return Ok(Answer::Fault(Fault::read(content, &text)));
    }
    let response = content.range();
    let simple = single_text(content).map(str::to_string);
    let withholds = text.contains(NOT_AUTHENTICATED) && withholds(content);
    drop(document);
    Ok(Answer::Reply(Reply { response, text: simple, withholds, xml: text }))
}

impl Reply {
    /// The children of the one return value, when none has children of its own and the scan knows the reply.
    pub(super) fn fields(&self) -> Option<Vec<Field<'_>>> {
        scan::fields(&self.xml)
    }

    /// Parses the reply anew and gives `look` its response element.
    pub(crate) fn look<T>(&self, look: impl FnOnce(Node) -> Result<T>) -> Result<T> {
        let document: Document = xml::parse(&self.xml)?;
        let content =
            child(document.root_element(), "Body").and_then(|b| b.children().find(Node::is_element));
        look(content.expect("a reply was read from this text"))
    }
}

fn single_text<'a>(response: Node<'a, '_>) -> Option<&'a str> {
    let mut elements = response.children().filter(Node::is_element);
    let only = elements.next()?;
    if elements.next().is_some() || only.children().any(|c| c.is_element()) {
        return None;
    }
    Some(only.text().unwrap_or(""))
}

/// Whether a property read says NotAuthenticated of one of its properties instead of answering with a fault.
fn withholds(response: Node) -> bool {
    response
        .descendants()
        .filter(|n| n.tag_name().name() == "missingSet")
        .filter_map(|m| child(m, "fault").and_then(|f| child(f, "fault")))
        .any(|fault| xsi_type(fault) == Some(NOT_AUTHENTICATED))
}

/// Reads a body as whatever it may be taken for. For the fuzzer and the test that replays its corpus.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_every_way(body: &[u8]) {
    let _ = super::versions::newest(body);
    let _ = std::str::from_utf8(body).map(scan_is_as_strict_as_the_parser);
    match read(body.to_vec()) {
        Ok(Answer::Reply(reply)) => {
            assert!(reply.xml.as_bytes() == body);
            assert!(reply.xml[reply.response.clone()].starts_with('<'));
            let _ = reply.look(super::service_content::ServiceContent::read);
            let _ = reply.look(super::user_session::read_current_session);
            let _ = super::user_session::read_login(&reply);
            fields_are_as_the_parser_sees_them(&reply);
        }
        Ok(Answer::Fault(fault)) => {
            let error = fault.into_error("Method", 500);
            assert!(error.status() != Status::VSESSION_OK);
        }
        Err(error) => assert!(error.status() != Status::VSESSION_OK),
    }
}

/// Whether the scan knows the text; then the parser must find the same in it.
#[cfg(any(test, fuzzing))]
fn scan_is_as_strict_as_the_parser(text: &str) -> bool {
    let Some(scanned) = scan::reply(text) else { return false };
    match read_by_tree(text.to_string()) {
        Ok(Answer::Reply(reply)) => {
            fields_are_as_the_parser_sees_them(&reply);
            assert!(
                scanned.response == reply.response && scanned.text == reply.text && !reply.withholds,
                "{text}: {scanned:?}, {reply:?}"
            );
        }
        Ok(Answer::Fault(_)) => panic!("a fault: {text}"),
        Err(error) => panic!("{text}: {}", error.detail().message),
    }
    true
}

#[cfg(any(test, fuzzing))]
fn fields_are_as_the_parser_sees_them(reply: &Reply) {
    let Some(fields) = reply.fields() else { return };
    let same = reply.look(|response| {
        let value = response.children().find(Node::is_element).expect("the return value");
        let children: Vec<Field> = value
            .children()
            .filter(Node::is_element)
            .map(|field| (field.tag_name().name(), field.text().unwrap_or("").into()))
            .collect();
        Ok(children == fields)
    });
    assert!(same.is_ok_and(|same| same), "{}: {fields:?}", reply.xml);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(content: &str) -> Vec<u8> {
        format!(
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Body>{content}</s:Body></s:Envelope>"#
        )
        .into_bytes()
    }

    fn reply(content: &str) -> Reply {
        match read(envelope(content)).unwrap() {
            Answer::Reply(reply) => reply,
            Answer::Fault(fault) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn an_envelope_without_a_body_is_no_answer() {
        let empty =
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header/></s:Envelope>";
        let Err(error) = read(empty.into()) else { panic!("an answer") };
        assert_eq!(error.status(), crate::status::Status::VSESSION_E_NOT_SOAP);
    }

    #[test]
    fn a_simple_return_value_is_offered_as_text() {
        let reply = reply(
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>now</returnval></CurrentTimeResponse>",
        );
        assert_eq!(reply.text.as_deref(), Some("now"));
        assert!(reply.xml[reply.response.clone()].starts_with("<CurrentTimeResponse"));
        assert!(!reply.withholds);
    }

    #[test]
    fn a_structured_or_absent_return_value_has_no_text() {
        assert_eq!(reply("<R><returnval><a>1</a></returnval></R>").text, None);
        assert_eq!(reply("<R><returnval>1</returnval><returnval>2</returnval></R>").text, None);
        assert_eq!(reply("<LogoutResponse/>").text, None);
    }

    #[test]
    fn a_withheld_property_is_noticed() {
        let missing = |fault: &str| {
            format!(
                "<R><returnval><objects><missingSet><path>p</path><fault><fault xsi:type=\"{fault}\"/></fault></missingSet></objects></returnval></R>"
            )
        };
        assert!(reply(&missing("NotAuthenticated")).withholds);
        assert!(!reply(&missing("NoPermission")).withholds);
        assert!(!reply("<R><returnval>NotAuthenticated</returnval></R>").withholds);
    }

    #[test]
    fn a_flat_return_value_is_offered_as_fields() {
        let flat = reply("<R><returnval><a>1 &lt; 2</a><b/>\n<a></a></returnval></R>");
        let fields = [("a", "1 < 2"), ("b", ""), ("a", "")].map(|(name, text)| (name, text.into()));
        assert_eq!(flat.fields().as_deref(), Some(&fields[..]));
        for other in ["<R><returnval><a><b/></a></returnval></R>", "<R><x><a/></x><x><a/></x></R>", "<R/>"] {
            assert_eq!(reply(other).fields(), None, "{other}");
        }
    }

    /// Good replies, with what servers make use of.
    const GOOD: [&str; 4] = [
        "<Envelope xmlns:p='q'><Body><R><x>t<y>1&amp;</y> <p:z p:a='1'>2</p:z><y/></x></R></Body></Envelope>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<s:Envelope xmlns:s=\"e\" xmlns:xsi=\"i\"><s:Header><a>1</a></s:Header>\n<s:Body>\n<R xmlns=\"urn:vim25\"><returnval type=\"T\" xsi:type=\"M\">a&amp;b \u{e9}</returnval></R></s:Body></s:Envelope>\n",
        "<Envelope><Body><R><x y='1'><z/></x><x a=\"&lt;\">]]&gt;</x></R></Body><Body><S/></Body></Envelope>",
        "<Envelope xmlns='e' xmlns:p='q'><p:Body><p:R xmlns:r='q'><r:x p:y='1'/></p:R></p:Body></Envelope>",
    ];

    #[test]
    fn replies_changed_in_any_place_are_judged_as_the_parser_judges_them() {
        let pieces = [
            "",
            "<",
            ">",
            "/",
            "&",
            "\"",
            "'",
            " ",
            "=",
            ":",
            "\n",
            "\r",
            "\t",
            "\u{1}",
            "x",
            "]",
            "!",
            "?",
            "-",
            "1",
            "\u{fffe}",
            "xmlns",
            "</",
            "/>",
            "<a>",
            "</a>",
            "<a/>",
            " p:z='1'",
            " xmlns:p='2'",
            "&amp;",
            "&#1;",
            "<!--",
            "-->",
            "]]>",
            "Body",
            "Fault",
        ];
        let (mut known, mut all) = (0, 0);
        for good in GOOD {
            assert!(scan_is_as_strict_as_the_parser(good));
            let places: Vec<_> = good.char_indices().map(|(at, _)| at).chain([good.len()]).collect();
            for (i, at) in places.iter().enumerate() {
                assert_eq!(
                    scan_is_as_strict_as_the_parser(&good[..*at]),
                    good[*at..].trim().is_empty(),
                    "cut at {at}"
                );
                // Pieces put in, and put in the place of what stands there.
                for (piece, end) in pieces.iter().flat_map(|p| [0, 1, 2, 5].map(|n| (p, places.get(i + n)))) {
                    let Some(end) = end else { continue };
                    let changed = format!("{}{piece}{}", &good[..*at], &good[*end..]);
                    known += usize::from(scan_is_as_strict_as_the_parser(&changed));
                    all += 1;
                }
            }
        }
        assert!(known > all / 20, "{known} of {all}");
    }

    #[test]
    fn what_is_not_soap_is_told_apart() {
        let status = |body: &[u8]| read(body.to_vec()).unwrap_err().status();
        assert_eq!(status(b"<html><body>502</body></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(b"\xff\xfe\x00"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(b""), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(&envelope("")), Status::VSESSION_E_PROTOCOL);
        let whole = envelope("<R><returnval>x</returnval></R>");
        for cut in 1..whole.len() {
            assert!(read(whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
    }
}
