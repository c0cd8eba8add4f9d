//! Reads replies: the one element inside the SOAP body, or the fault that stands there. Most replies are of the plain form
//! that `scan` knows; `document` reads faults and all that is unusual. Neither makes a tree.

use std::ops::Range;

use roxmltree::{Document, Node};

use super::document::{self, Listener, Problem, Start, What};
use super::fault::{self, Fault, NOT_AUTHENTICATED, Parts};
use super::scan::{self, Field};
use super::xml::{self, child};
use crate::error::{Error, Result};
use crate::runtime::redact::Redactor;
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
    /// What the server sent is not XML, but would be without this character. `xml` has question marks in the place of
    /// such characters.
    pub(crate) flaw: Option<Flaw>,
}

/// What a body is: a reply or a fault.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Fault(Fault),
}

/// A character that XML does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// How many bytes stand before it.
    pub(crate) at: usize,
    character: Character,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Character {
    /// No part of UTF-8.
    Byte(u8),
    Written(u32),
    Referred(u32),
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.character {
            Character::Byte(byte) => write!(f, "the byte 0x{byte:02X}, which is not UTF-8,")?,
            Character::Written(c) => write!(f, "the character U+{c:04X}, which XML does not allow,")?,
            Character::Referred(c) => {
                write!(f, "a reference to the character U+{c:04X}, which XML does not allow,")?;
            }
        }
        write!(f, " at byte {}", self.at)
    }
}

/// Reads the body of an HTTP reply of the form that nearly all replies have. The body comes back where it is of another.
pub(crate) fn read_plain(body: Vec<u8>) -> std::result::Result<Reply, Vec<u8>> {
    let xml = String::from_utf8(body).map_err(|error| error.into_bytes())?;
    let Some(scanned) = scan::reply(&xml) else { return Err(xml.into_bytes()) };
    let Ok(text) = simple_text(&xml, scanned.value) else { return Err(xml.into_bytes()) };
    Ok(Reply { response: scanned.response, text, withholds: false, flaw: None, xml })
}

/// Reads a body of any form.
#[cfg(any(test, fuzzing))]
pub(crate) fn read(body: Vec<u8>, method: &str, hidden: Redactor) -> Result<Answer> {
    read_plain(body).map(Answer::Reply).or_else(|body| read_unusual(body, method, hidden))
}

/// Reads the body of an HTTP reply to a call of `method`, which may repeat the secrets that the call sent.
pub(crate) fn read_unusual(body: Vec<u8>, method: &str, hidden: Redactor) -> Result<Answer> {
    let (text, flaw) = repaired(body);
    let mut found = Found::default();
    let read = document::document(&text, &mut found);
    let ran = found.name.is_some() && is_response_of(method, &text[found.response_begun..]);
    let failed = |error: Error| if ran { error.ran() } else { error };
    let not_soap = |reason: &str| failed(xml::not_soap(&text, reason, hidden));
    if let Err(problem) = &read
        && problem.what != What::NoMemory
        && let Some(fault) = fault::recognised(&text)
    {
        return Ok(Answer::Fault(fault));
    }
    let seen = match (read, flaw) {
        (Ok(seen), _) => seen,
        (Err(problem), None) => return Err(failed(xml::unreadable(&text, problem, hidden))),
        (Err(problem), Some(flaw)) => {
            let error = xml::unreadable(&text, problem, hidden);
            return Err(failed(error.with(|d| {
                d.message.push_str(&format!("; before that it may be damaged: there is {flaw}"))
            })));
        }
    };
    let referred = seen.bad_reference.map(|(at, number)| Flaw { at, character: Character::Referred(number) });
    let flaw = [flaw, referred].into_iter().flatten().min_by_key(|flaw| flaw.at);
    if let Some(root) = found.other_root {
        return Err(not_soap(&format!("its root element is '{}'", hidden.quote(&text[root], 80))));
    }
    if !found.body_seen {
        return Err(not_soap("the envelope has no body"));
    }
    if let Some(parts) = &found.fault {
        return Ok(Answer::Fault(parts.read(&text)));
    }
    let Some(response) = found.response.clone() else {
        return Err(failed(Error::new(Status::VSESSION_E_PROTOCOL, "the body of the reply is empty")));
    };
    let simple =
        simple_text(&text, found.value.filter(|_| found.values == 1 && !found.nested)).map_err(failed)?;
    Ok(Answer::Reply(Reply { response, text: simple, withholds: found.withholds, flaw, xml: text }))
}

/// Whether this is the beginning of the method's own response element, which proves that the method ran.
fn is_response_of(method: &str, response: &str) -> bool {
    let tag = response.strip_prefix('<').unwrap_or(response);
    let end = tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(tag.len());
    let name = &tag[tag[..end].find(':').map_or(0, |colon| colon + 1)..end];
    name.strip_suffix("Response") == Some(method)
}

/// The body as text, with question marks in the place of what no XML may hold, so that every place stays the same; and the
/// first such place.
pub(crate) fn repaired(mut body: Vec<u8>) -> (String, Option<Flaw>) {
    let mut flaw: Option<Flaw> = None;
    let mut note = |at, character| {
        if flaw.is_none_or(|flaw| at < flaw.at) {
            flaw = Some(Flaw { at, character });
        }
    };
    let mut good = 0;
    while let Err(error) = std::str::from_utf8(&body[good..]) {
        let start = good + error.valid_up_to();
        let end = error.error_len().map_or(body.len(), |length| start + length);
        note(start, Character::Byte(body[start]));
        body[start..end].fill(b'?');
        good = end;
    }
    for at in 0..body.len() {
        match body[at] {
            b'\t' | b'\n' | b'\r' => {}
            byte if byte < b' ' => {
                note(at, Character::Written(byte.into()));
                body[at] = b'?';
            }
            0xef if matches!(body[at + 1..], [0xbf, 0xbe | 0xbf, ..]) => {
                note(at, Character::Written(0xff40 + u32::from(body[at + 2])));
                body[at..at + 3].fill(b'?');
            }
            _ => {}
        }
    }
    // It was made so just now.
    (String::from_utf8(body).unwrap_or_default(), flaw)
}

/// The text of the return value.
fn simple_text(text: &str, value: Option<Range<usize>>) -> Result<Option<String>> {
    value.map(|at| document::plain_text(&text[at]).ok_or_else(xml::no_memory)).transpose()
}

/// Levels of elements: the envelope's own, the body's, the response's or the fault's, the return value's.
const ENVELOPE: usize = 1;
const BODY: usize = 2;
const RESPONSE: usize = 3;
const VALUE: usize = 4;

/// What has been seen of the reply so far.
#[derive(Default)]
struct Found {
    /// The name of a root that is no envelope.
    other_root: Option<Range<usize>>,
    in_body: bool,
    body_seen: bool,
    /// The name of the response, which may be all that there is of it.
    name: Option<Range<usize>>,
    response_begun: usize,
    response: Option<Range<usize>>,
    in_response: bool,
    fault: Option<Parts>,
    values: usize,
    nested: bool,
    value_begun: usize,
    value: Option<Range<usize>>,
    /// The levels of the `missingSet` and of the `fault` in it that are open; 0: none.
    missing: usize,
    missing_fault: usize,
    withholds: bool,
}

impl Listener for Found {
    fn began(&mut self, start: &Start) -> std::result::Result<(), Problem> {
        let name = start.name();
        match start.level {
            ENVELOPE if name != "Envelope" => self.other_root = Some(start.local.clone()),
            BODY if self.other_root.is_none() && name == "Body" && !self.body_seen => {
                (self.in_body, self.body_seen) = (true, true);
            }
            RESPONSE if self.in_body && self.name.is_none() => {
                self.name = Some(start.local.clone());
                self.response_begun = start.tag.start;
                self.in_response = true;
                if name == "Fault" {
                    self.fault = Some(Parts::default());
                }
            }
            level if self.in_response && level >= VALUE => match &mut self.fault {
                Some(fault) => fault.began(start, level - VALUE),
                None => self.began_in_response(start),
            },
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, level: usize, tag: Range<usize>) {
        match level {
            BODY => self.in_body = false,
            RESPONSE if self.in_response => {
                self.response = Some(self.response_begun..tag.end);
                self.in_response = false;
            }
            _ if !self.in_response || level < VALUE => {}
            _ => match &mut self.fault {
                Some(fault) => fault.ended(level, level - VALUE, &tag),
                None => {
                    if level == VALUE {
                        self.value = Some(self.value_begun..tag.start);
                    }
                    if level == self.missing_fault {
                        self.missing_fault = 0;
                    }
                    if level == self.missing {
                        self.missing = 0;
                    }
                }
            },
        }
    }
}

impl Found {
    fn began_in_response(&mut self, start: &Start) {
        let (level, name) = (start.level, start.name());
        if level == VALUE {
            self.values += 1;
            self.value_begun = start.tag.end;
        } else {
            self.nested = true;
        }
        // A property read says NotAuthenticated of one of its properties instead of answering with a fault.
        match name {
            "missingSet" => (self.missing, self.missing_fault) = (level, 0),
            "fault" if self.missing > 0 && level == self.missing + 1 => self.missing_fault = level,
            "fault" if self.missing_fault > 0 && level == self.missing_fault + 1 => {
                self.withholds |= start.xsi_type() == Some(NOT_AUTHENTICATED);
            }
            _ => {}
        }
    }
}

impl Reply {
    /// The children of the one return value, when none has children of its own and the scan knows the reply.
    pub(crate) fn fields(&self) -> Option<Vec<Field<'_>>> {
        scan::fields(&self.xml)
    }

    /// Parses the reply anew and gives `look` its response element. For small replies, to questions of the library's own:
    /// whatever is wrong with the answer, the method has run.
    pub(crate) fn look<T>(&self, look: impl FnOnce(Node) -> Result<T>) -> Result<T> {
        let parsed = |text: &str| {
            let document: Document = xml::parse(text)?;
            let content =
                child(document.root_element(), "Body").and_then(|b| b.children().find(Node::is_element));
            look(content.expect("a reply was read from this text"))
        };
        // The parser refuses a reference to what XML does not allow.
        match self.flaw {
            Some(_) if self.xml.len() <= xml::LARGEST_TREE => {
                parsed(&document::without_bad_references(&self.xml))
            }
            _ => parsed(&self.xml),
        }
    }

    /// The reply to a caller, to whom it can only be given as the server sent it.
    pub(crate) fn unflawed(self, method: &str) -> Result<Reply> {
        let Some(flaw) = self.flaw else { return Ok(self) };
        let error = Error::new(
            Status::VSESSION_E_MALFORMED_XML,
            format!(
                "{method}: the server answered, but its reply holds {flaw}; ask for less, without the object or the property whose text holds it, or correct that text on the server"
            ),
        )
        .with(|d| d.http_status = 200);
        Err(if is_response_of(method, &self.xml[self.response.clone()]) { error.ran() } else { error })
    }
}

/// The same by a tree, for comparison.
#[cfg(any(test, fuzzing))]
fn read_by_tree(text: &str) -> std::result::Result<(Option<Range<usize>>, Option<String>), String> {
    let options = roxmltree::ParsingOptions { nodes_limit: 1_000_000, ..Default::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "Envelope" {
        return Err("no envelope".into());
    }
    let body = child(root, "Body").ok_or("no body")?;
    let content = body.children().find(Node::is_element).ok_or("an empty body")?;
    if content.tag_name().name() == "Fault" {
        return Ok((None, None));
    }
    let mut elements = content.children().filter(Node::is_element);
    let only =
        elements.next().filter(|only| elements.next().is_none() && !only.children().any(|c| c.is_element()));
    Ok((Some(content.range()), only.map(|only| xml::text_of(only).into_owned())))
}

/// Reads a body as whatever it may be taken for. For the fuzzer and the test that replays its corpus.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_every_way(body: &[u8]) {
    let _ = std::str::from_utf8(body).map(scan_is_as_strict_as_the_parser);
    let _ = std::str::from_utf8(body).map(document_is_as_strict_as_the_parser);
    match read(body.to_vec(), "Method", Redactor::NOTHING) {
        Ok(Answer::Reply(reply)) => {
            assert!(reply.xml.len() == body.len());
            assert!(reply.flaw.is_some() || reply.xml.as_bytes() == body);
            assert!(reply.xml[reply.response.clone()].starts_with('<'));
            fields_are_as_the_parser_sees_them(&reply);
        }
        Ok(Answer::Fault(fault)) => {
            let error = fault.into_error("Method", 500, Redactor::NOTHING);
            assert!(error.status() != Status::VSESSION_OK);
        }
        Err(error) => assert!(error.status() != Status::VSESSION_OK),
    }
}

/// Whether the scan knows the text; then the parser must find the same in it.
#[cfg(any(test, fuzzing))]
fn scan_is_as_strict_as_the_parser(text: &str) -> bool {
    let Some(scanned) = scan::reply(text) else { return false };
    let value = scanned.value.map(|at| document::plain_text(&text[at]).unwrap());
    assert_eq!(read_by_tree(text), Ok((Some(scanned.response.clone()), value.clone())), "{text}");
    let Ok(Answer::Reply(reply)) = read_unusual(text.into(), "M", Redactor::NOTHING) else {
        panic!("{text}")
    };
    assert!(
        scanned.response == reply.response && value == reply.text && !reply.withholds,
        "{text}: {reply:?}"
    );
    fields_are_as_the_parser_sees_them(&reply);
    true
}

/// Whether the text is read without a tree; then the parser must find the same in it. It is stricter than the parser in
/// little, and refuses what exceeds its bounds.
#[cfg(any(test, fuzzing))]
fn document_is_as_strict_as_the_parser(text: &str) -> bool {
    let tree = read_by_tree(text);
    match read_unusual(text.into(), "M", Redactor::NOTHING) {
        Ok(Answer::Reply(reply)) if reply.flaw.is_none() => {
            // The parser forgets to make a line feed of a carriage return before a reference.
            let lines = |text: Option<String>| text.map(|text| text.replace('\r', "\n"));
            let tree = tree.map(|(response, text)| (response, lines(text)));
            assert_eq!(tree, Ok((Some(reply.response.clone()), lines(reply.text.clone()))), "{text}");
            true
        }
        Ok(Answer::Reply(_)) => false,
        Ok(Answer::Fault(_)) => {
            let bad = document::without_bad_references(text) != text || repaired(text.into()).1.is_some();
            assert!(bad || tree == Ok((None, None)), "{text}: {tree:?}");
            true
        }
        Err(_) => false,
    }
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
        match read(envelope(content), "M", Redactor::NOTHING).unwrap() {
            Answer::Reply(reply) => reply,
            Answer::Fault(fault) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn an_envelope_without_a_body_is_no_answer() {
        let empty =
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header/></s:Envelope>";
        let Err(error) = read(empty.into(), "M", Redactor::NOTHING) else { panic!("an answer") };
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

    /// What the parser lets pass although XML does not.
    fn is_leniency(text: &str) -> bool {
        let problem = match read_unusual(text.into(), "M", Redactor::NOTHING) {
            Ok(Answer::Reply(reply)) => return reply.flaw.is_some(),
            Ok(Answer::Fault(_)) => return false,
            Err(error) => error.detail().message.clone(),
        };
        let lenient = [
            "an XML declaration that",
            "a processing instruction that is none",
            "a prefix is declared for what it cannot stand for",
            "something else stands where a name is wanted",
            "an element has an attribute twice",
        ];
        lenient.iter().any(|lenient| problem.contains(lenient))
            || text.starts_with("<?xml") && problem.contains("a '&' that begins no reference")
            || text.contains("</:")
    }

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
            "<!-- a -->",
            "<?b c?>",
            "<![CDATA[&<]]>",
            "\r\n",
            "&#x41;",
            " xmlns='3'",
            "\u{e9}",
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
                    let read = document_is_as_strict_as_the_parser(&changed);
                    let tree = read_by_tree(&changed);
                    assert!(read || tree.is_err() || is_leniency(&changed), "{changed}: {tree:?}");
                    all += 1;
                }
            }
        }
        assert!(known > all / 20, "{known} of {all}");
    }

    #[test]
    fn what_is_not_soap_is_told_apart() {
        let status = |body: &[u8]| read(body.to_vec(), "M", Redactor::NOTHING).unwrap_err().status();
        assert_eq!(status(b"<html><body>502</body></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(b"\xff\xfe\x00"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(b""), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(&envelope("")), Status::VSESSION_E_PROTOCOL);
        let whole = envelope("<R><returnval>x</returnval></R>");
        for cut in 1..whole.len() {
            assert!(read(whole[..cut].to_vec(), "M", Redactor::NOTHING).is_err(), "cut at {cut}");
        }
    }
}
