//! Reads replies: the element in the SOAP body is the response of a method, or a fault. No tree is made.

use std::borrow::Cow;
use std::ops::Range;

use roxmltree::Node;

use super::fault::{self, Fault, NOT_AUTHENTICATED, Parts};
use super::unreadable::{Reason, Unreadable};
use super::xml::decode::{self, BadCharacter, Form};
use super::xml::reader::{EndTag, Event, Read, Reader, StartTag, What};
use super::xml::text::{borrowed_text_content, text_content};
use super::xml::tree::{self, child};
use crate::error::{Error, Result};
#[cfg(any(test, fuzzing))]
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
    /// The reply names properties that the server withholds because the caller is not authenticated.
    pub(crate) withholds_properties: bool,
    /// What the server sent would be XML without this character. `xml` has question marks in the place of such characters.
    pub(crate) bad_character: Option<BadCharacter>,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Fault(Fault),
}

/// Reads the body of an HTTP reply to a call of `method` in `namespace`.
pub(crate) fn read(body: Vec<u8>, method: &str, namespace: &str) -> std::result::Result<Answer, Unreadable> {
    let utf16 = decode::beginning_of_utf16(&body);
    let (text, bad_character) = decode::decode(body);
    let mut found = Found::default();
    let read = found.read(&text, method, namespace);
    let reason = match read {
        Ok(bad_reference) => match found.answer(&text, method, namespace) {
            Ok(Content::Fault) => return Ok(Answer::Fault(found.fault.unwrap_or_default().read(&text))),
            Ok(Content::Response { response, text: value }) => {
                let bad_reference =
                    bad_reference.map(|(at, number)| BadCharacter { at, form: Form::Reference(number) });
                return Ok(Answer::Reply(Reply {
                    response,
                    text: value,
                    withholds_properties: found.withholds_properties,
                    bad_character: [bad_character, bad_reference]
                        .into_iter()
                        .flatten()
                        .min_by_key(|bad| bad.at),
                    xml: text,
                }));
            }
            Err(reason) => reason,
        },
        Err(problem) => {
            if problem.what != What::NoMemory
                && let Some(fault) = fault::recognised(&text)
            {
                return Ok(Answer::Fault(fault));
            }
            match utf16 {
                Some(beginning) => Reason::Utf16 { beginning },
                None => Reason::NotXml { problem, bad_character },
            }
        }
    };
    Err(Unreadable { text, reason, ran: found.is_own })
}

/// Levels of elements: the envelope, its body, the response or the fault in it, the return value, the children of that.
const ENVELOPE: usize = 1;
const BODY: usize = 2;
const RESPONSE: usize = 3;
const VALUE: usize = 4;
const FIELD: usize = 5;

/// What the body element holds.
enum Content {
    Fault,
    Response { response: Range<usize>, text: Option<String> },
}

/// What has been found in the reply so far.
#[derive(Default)]
struct Found {
    /// The name of a root that is no envelope.
    other_root: Option<Range<usize>>,
    in_body: bool,
    body_seen: bool,
    /// The name of the response, which may be all that there is of it.
    name: Option<Range<usize>>,
    /// The response is the method's own, which proves that the method ran.
    is_own: bool,
    /// What stands behind the response or the fault: the name of an element, or a text.
    behind: Option<Range<usize>>,
    response_begun: usize,
    response: Option<Range<usize>>,
    in_response: bool,
    fault: Option<Box<Parts>>,
    /// How many return values there are, and whether one has children.
    values: usize,
    has_children: bool,
    value_begun: usize,
    /// What the last return value holds.
    value: Range<usize>,
    /// The levels of the `missingSet` and of the `fault` in it that are open; 0: none.
    missing: usize,
    missing_fault: usize,
    withholds_properties: bool,
}

impl Found {
    /// Reads the whole text. The first reference to a character that XML does not allow comes back.
    fn read(&mut self, text: &str, method: &str, namespace: &str) -> Read<Option<(usize, u32)>> {
        let mut reader = Reader::document(text);
        while let Some(event) = reader.next_inline()? {
            match event {
                Event::Start(start) if start.level == RESPONSE && self.in_body => {
                    self.start_in_body(&reader, &start, &text[start.local.clone()], method, namespace);
                }
                Event::Start(start) => self.start(text, &reader, &start),
                Event::End(end) => self.end(text, end),
            }
        }
        Ok(reader.bad_reference())
    }

    #[inline]
    fn start(&mut self, text: &str, reader: &Reader, start: &StartTag) {
        let name = &text[start.local.clone()];
        match start.level {
            ENVELOPE if name != "Envelope" => self.other_root = Some(start.local.clone()),
            BODY if name == "Body" && self.body_seen => self.behind = Some(start.local.clone()),
            BODY if self.other_root.is_none() && name == "Body" => {
                (self.in_body, self.body_seen) = (true, true);
            }
            level if self.in_response && level >= VALUE => match &mut self.fault {
                Some(fault) => fault.start(name, reader, start, level - VALUE),
                None => self.start_in_response(name, reader, start),
            },
            _ => {}
        }
    }

    /// A child of the body: a response or a fault, if it is the first one.
    fn start_in_body(
        &mut self,
        reader: &Reader,
        start: &StartTag,
        name: &str,
        method: &str,
        namespace: &str,
    ) {
        if self.name.is_some() {
            self.behind = Some(start.local.clone());
            return;
        }
        self.name = Some(start.local.clone());
        self.response_begun = start.tag.start;
        self.in_response = true;
        if name == "Fault" {
            self.fault = Some(Box::default());
        }
        self.is_own =
            name.strip_suffix("Response") == Some(method) && reader.is_in_namespace(start, namespace);
    }

    #[inline]
    fn start_in_response(&mut self, name: &str, reader: &Reader, start: &StartTag) {
        let level = start.level;
        if level == VALUE {
            self.values += 1;
            self.value_begun = start.tag.end;
        } else {
            self.has_children = true;
        }
        // A property read says NotAuthenticated of single properties, where other methods answer with a fault.
        match name {
            "missingSet" => (self.missing, self.missing_fault) = (level, 0),
            "fault" if self.missing > 0 && level == self.missing + 1 => self.missing_fault = level,
            "fault" if self.missing_fault > 0 && level == self.missing_fault + 1 => {
                self.withholds_properties |= reader.xsi_type().as_deref() == Some(NOT_AUTHENTICATED);
            }
            _ => {}
        }
    }

    #[inline]
    fn end(&mut self, text: &str, EndTag { level, tag }: EndTag) {
        match level {
            BODY => {
                if let Some(response) = self.response.as_ref().filter(|_| self.in_body)
                    && !is_blank(&text[response.end..tag.start])
                {
                    self.behind = Some(response.end..tag.start);
                }
                self.in_body = false;
            }
            RESPONSE if self.in_response => {
                self.response = Some(self.response_begun..tag.end);
                self.in_response = false;
            }
            _ if !self.in_response || level < VALUE => {}
            _ => match &mut self.fault {
                Some(fault) => fault.end(level, level - VALUE, &tag),
                None => {
                    if level == VALUE {
                        self.value = self.value_begun..tag.start;
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

    /// What a whole document is.
    fn answer(&mut self, text: &str, method: &str, namespace: &str) -> std::result::Result<Content, Reason> {
        let other_content = |found| Reason::OtherContent {
            found,
            expected: format!("'{method}Response' of the namespace '{namespace}'"),
        };
        if let Some(root) = self.other_root.take() {
            return Err(Reason::OtherRoot(root));
        }
        if !self.body_seen {
            return Err(Reason::NoBody);
        }
        if let Some(behind) = self.behind.take() {
            return Err(other_content(behind));
        }
        if self.fault.is_some() {
            return Ok(Content::Fault);
        }
        let response = self.response.clone().ok_or(Reason::EmptyBody)?;
        if let Some(name) = self.name.take().filter(|_| !self.is_own) {
            return Err(other_content(name));
        }
        let value = (self.values == 1 && !self.has_children).then(|| &text[self.value.clone()]);
        let value = value.map(|value| text_content(value).ok_or(Reason::NoMemory)).transpose()?;
        Ok(Content::Response { response, text: value })
    }
}

/// Whether a part of a document without elements holds white space and comments alone.
fn is_blank(text: &str) -> bool {
    let is_blank = |text: &str| text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    is_blank(text) || text_content(text).is_some_and(|text| is_blank(&text))
}

/// No record of a server's has more fields.
const MAX_FIELDS: usize = 256;

/// An element without children: its name and its text.
pub(crate) type Field<'a> = (&'a str, Cow<'a, str>);

impl Reply {
    /// The children of the one return value, when none of them has children. Cheaper than a tree. `None`: the return value
    /// is of another form.
    pub(crate) fn fields(&self) -> Option<Vec<Field<'_>>> {
        if self.bad_character.is_some() {
            return None;
        }
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

    /// Makes a tree of the reply and gives its response element to `read`. For small replies to questions of the library's
    /// own.
    pub(crate) fn with_tree<T>(&self, read: impl FnOnce(Node) -> Result<T>) -> Result<T> {
        let read_text = |text: &str| {
            let document = tree::parse(text).map_err(|problem| Unreadable::no_tree(text, problem))?;
            let content =
                child(document.root_element(), "Body").and_then(|b| b.children().find(Node::is_element));
            read(content.expect("a reply was read from this text"))
        };
        // The parser refuses a reference to a character that XML does not allow.
        match self.bad_character {
            Some(_) if self.xml.len() <= tree::LARGEST_TREE => {
                read_text(&decode::without_bad_references(&self.xml))
            }
            _ => read_text(&self.xml),
        }
    }

    /// The reply for the program, which is given what the server sent or nothing. A reply with a bad character is an error.
    pub(crate) fn well_formed(self, method: &str) -> Result<Reply> {
        let Some(bad) = self.bad_character else { return Ok(self) };
        let error = Error::new(
            Status::VSESSION_E_MALFORMED_XML,
            format!(
                "{method}: the server answered, but its reply holds {bad}; ask for less, without the object or the property whose text holds it, or correct that text on the server"
            ),
        )
        .with(|d| d.http_status = 200);
        Err(error.ran())
    }
}

/// The method of which a text holds a response.
#[cfg(any(test, fuzzing))]
fn method_in(text: &str) -> &str {
    let mut names = text.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '/' | ':'));
    names.find_map(|name| name.strip_suffix("Response")).unwrap_or("Method")
}

/// Reads the body of a reply to a call of any method and makes an error of what is unreadable.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_or_error(body: Vec<u8>, hidden: Redactor) -> Result<Answer> {
    let method = method_in(&String::from_utf8_lossy(&body)).to_string();
    read(body, &method, "urn:vim25").map_err(|unreadable| unreadable.into_error(hidden))
}

/// Reads a reply by a tree, for comparison.
#[cfg(any(test, fuzzing))]
fn read_by_tree(text: &str) -> std::result::Result<(Option<Range<usize>>, Option<String>), String> {
    let options = roxmltree::ParsingOptions { nodes_limit: 1_000_000, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "Envelope" {
        return Err("no envelope".into());
    }
    if root.children().filter(|n| n.tag_name().name() == "Body").count() > 1 {
        return Err("two bodies".into());
    }
    let body = child(root, "Body").ok_or("no body")?;
    let content = body.children().find(Node::is_element).ok_or("an empty body")?;
    let is_more = |n: Node| {
        n.is_element()
            || n.is_text() && n.text().is_some_and(|text| !is_blank(&text.replace(['&', '<'], "x")))
    };
    if content.next_siblings().skip(1).any(is_more) {
        return Err("more than a response".into());
    }
    if content.tag_name().name() == "Fault" {
        return Ok((None, None));
    }
    let is_own = content.tag_name().name().strip_suffix("Response") == Some(method_in(text));
    if !is_own || content.tag_name().namespace() != Some("urn:vim25") {
        return Err("another method's response".into());
    }
    let mut elements = content.children().filter(Node::is_element);
    let only =
        elements.next().filter(|only| elements.next().is_none() && !only.children().any(|c| c.is_element()));
    Ok((Some(content.range()), only.map(|only| tree::text_of(only).into_owned())))
}

/// Reads a body in every way. For the fuzzer and the test that replays its corpus.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_every_way(body: &[u8]) {
    let _ = std::str::from_utf8(body).map(is_read_as_by_the_parser);
    match read_or_error(body.to_vec(), Redactor::NOTHING) {
        Ok(Answer::Reply(reply)) => {
            assert!(reply.xml.len() == body.len());
            assert!(reply.bad_character.is_some() || reply.xml.as_bytes() == body);
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

/// Whether the text is read; then the parser finds the same in it. The reader is a little stricter than the parser, and
/// refuses what exceeds its bounds.
#[cfg(any(test, fuzzing))]
fn is_read_as_by_the_parser(text: &str) -> bool {
    let tree = read_by_tree(text);
    match read(text.into(), method_in(text), "urn:vim25") {
        Ok(Answer::Reply(reply)) if reply.bad_character.is_none() => {
            // The parser forgets to make a line feed of a carriage return before a reference.
            let lines = |text: Option<String>| text.map(|text| text.replace('\r', "\n"));
            let tree = tree.map(|(response, text)| (response, lines(text)));
            assert_eq!(tree, Ok((Some(reply.response.clone()), lines(reply.text.clone()))), "{text}");
            fields_are_as_the_parser_sees_them(&reply);
            true
        }
        Ok(Answer::Reply(_)) => false,
        Ok(Answer::Fault(_)) => {
            let bad = decode::without_bad_references(text) != text || decode::decode(text.into()).1.is_some();
            assert!(bad || tree == Ok((None, None)), "{text}: {tree:?}");
            true
        }
        Err(_) => false,
    }
}

#[cfg(any(test, fuzzing))]
fn fields_are_as_the_parser_sees_them(reply: &Reply) {
    let Some(fields) = reply.fields() else { return };
    if reply.xml.len() > tree::LARGEST_TREE {
        return;
    }
    let lines = |text: &str| text.replace('\r', "\n");
    let same = reply.with_tree(|response| {
        let value = response.children().find(Node::is_element).expect("the return value");
        let children: Vec<_> = value
            .children()
            .filter(Node::is_element)
            .map(|field| (field.tag_name().name().to_string(), lines(&tree::text_of(field))))
            .collect();
        let fields: Vec<_> = fields.iter().map(|(name, text)| (name.to_string(), lines(text))).collect();
        Ok(children == fields)
    });
    assert!(same.is_ok_and(|same| same), "{}: {fields:?}", reply.xml);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(content: &str) -> Vec<u8> {
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
    fn an_envelope_without_a_body_is_no_answer() {
        let empty =
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header/></s:Envelope>";
        let Err(error) = read_or_error(empty.into(), Redactor::NOTHING) else { panic!("an answer") };
        assert_eq!(error.status(), Status::VSESSION_E_NOT_SOAP);
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

    /// Good replies, with what servers make use of.
    const GOOD: [&str; 4] = [
        "<Envelope xmlns:p='q'><Body><RResponse xmlns='urn:vim25'><x>t<y>1&amp;</y> <p:z p:a='1'>2</p:z><y/></x></RResponse></Body></Envelope>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<s:Envelope xmlns:s=\"e\" xmlns:xsi=\"i\"><s:Header><a>1</a></s:Header>\n<s:Body>\n<RResponse xmlns=\"urn:vim25\"><returnval type=\"T\" xsi:type=\"M\">a&amp;b \u{e9}</returnval></RResponse></s:Body></s:Envelope>\n",
        "<Envelope xmlns='urn:vim25'><Body><RResponse><x y='1'><z/></x><x a=\"&lt;\">]]&gt;</x></RResponse><!-- c --></Body><S/></Envelope>",
        "<Envelope xmlns='e' xmlns:p='urn:&#118;im25'><p:Body><p:RResponse xmlns:r='urn:vim25'><r:x p:y='1'/></p:RResponse></p:Body></Envelope>",
    ];

    /// What the parser lets pass although XML does not.
    fn is_leniency(text: &str) -> bool {
        let problem = match read_or_error(text.into(), Redactor::NOTHING) {
            Ok(Answer::Reply(reply)) => return reply.bad_character.is_some(),
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
            assert!(is_read_as_by_the_parser(good));
            let places: Vec<_> = good.char_indices().map(|(at, _)| at).chain([good.len()]).collect();
            for (i, at) in places.iter().enumerate() {
                assert_eq!(
                    is_read_as_by_the_parser(&good[..*at]),
                    good[*at..].trim().is_empty(),
                    "cut at {at}"
                );
                // Pieces put in, and put in the place of what stands there.
                for (piece, end) in pieces.iter().flat_map(|p| [0, 1, 2, 5].map(|n| (p, places.get(i + n)))) {
                    let Some(end) = end else { continue };
                    let changed = format!("{}{piece}{}", &good[..*at], &good[*end..]);
                    let read = is_read_as_by_the_parser(&changed);
                    known += usize::from(read);
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
        let status = |body: &[u8]| read_or_error(body.to_vec(), Redactor::NOTHING).unwrap_err().status();
        assert_eq!(status(b"<html><body>502</body></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(b"\xff\xfe\x00"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(b""), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status(&envelope("")), Status::VSESSION_E_PROTOCOL);
        let whole = envelope("<RResponse><returnval>x</returnval></RResponse>");
        for cut in 1..whole.len() {
            assert!(read_or_error(whole[..cut].to_vec(), Redactor::NOTHING).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn bad_documents_have_a_status_of_their_own() {
        let status = |text: &str| read_or_error(text.into(), Redactor::NOTHING).unwrap_err().status();
        assert_eq!(status("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"), Status::VSESSION_E_DTD);
        assert_eq!(status("<a><b></a>"), Status::VSESSION_E_MALFORMED_XML);
        assert_eq!(status("<a><b>cut"), Status::VSESSION_E_MALFORMED_XML);
        assert_eq!(status("<html><body><br></body></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status("<!DOCTYPE html><html><br></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status("service unavailable"), Status::VSESSION_E_NOT_SOAP);
    }

    #[test]
    fn a_reply_in_utf_16_is_named_as_such() {
        let text = String::from_utf8(envelope("<RResponse/>")).unwrap();
        let units = || text.encode_utf16();
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &little].concat();
        for body in [little, big, marked] {
            let error = read_or_error(body, Redactor(&["secret"])).unwrap_err();
            assert_eq!(error.status(), Status::VSESSION_E_NOT_SOAP);
            assert!(
                error.detail().message.contains("UTF-16") && error.detail().message.contains("'<s:Envelope"),
                "{error}"
            );
        }
    }
}
