//! Reads the body of an HTTP reply as the answer to a call: the method's own response, or a fault. Anything else is unreadable.
//! It makes no tree, so that memory does not grow with the reply.

use std::ops::Range;

use super::fault::{self, Fault, NOT_AUTHENTICATED, Parts};
use super::reply::{RESPONSE, Reply, VALUE};
use super::unreadable::{Damage, Reason, Unreadable};
use super::xml::decode;
use super::xml::problem::{Problem, Read, What};
use super::xml::reader::{EndTag, Event, Reader, StartTag};
use super::xml::repair::{self, BadCharacter, Decoded, Form, Repaired};
use super::xml::text::{is_white_space, text_content};
use crate::text::Text;

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Fault(Fault),
}

/// Reads the body of an HTTP reply to a call of `method` in `namespace`.
pub(crate) fn read(body: Vec<u8>, method: &str, namespace: &str) -> std::result::Result<Answer, Unreadable> {
    let utf16 = decode::beginning_of_utf16(&body);
    let mut decoded = match decode::decode(body) {
        Ok(decoded) => decoded,
        Err(problem) => {
            // unreached: needs a process without free descriptors or memory
            let reason = Reason::NotXml { problem, damage: None };
            return Err(Unreadable { text: String::new(), reason, ran: false });
        }
    };
    let mut found = Found::default();
    let mut read = found.read(&decoded.text, method, namespace);
    if decoded.repaired.is_some() || matches!(read, Ok(Some(_))) {
        read = found.repair(read, &mut decoded, method, namespace);
    }
    let Decoded { text, repaired } = decoded;
    let reason = match read {
        Ok(_) => match found.answer(&text, method, namespace) {
            Ok(Content::Fault) => {
                let mut fault = found.fault.unwrap_or_default().read(text);
                fault.repairs = repaired.map(|repaired| repaired.repairs);
                return Ok(Answer::Fault(fault));
            }
            Ok(Content::Response { response, text: value }) => {
                return Ok(Answer::Reply(Reply {
                    response,
                    text: value.map(Text::from),
                    withholds_properties: found.withholds_properties,
                    repaired,
                    xml: text.into(),
                }));
            }
            Err(reason) => reason,
        },
        Err(problem) => {
            if problem.what != What::NoMemory
                && let Some(fault) = fault::recognised(&text)
            {
                return Ok(Answer::Fault(fault.in_damaged(text)));
            }
            match utf16 {
                Some(beginning) => Reason::Utf16 { beginning },
                None => Reason::NotXml { problem, damage: repaired.map(|it| Damage::of(&it, problem.at)) },
            }
        }
    };
    Err(Unreadable { text, reason, ran: found.is_own })
}

/// The decisive fault that a part of a body names, if it does: the beginning, as far as it has arrived.
#[cold]
pub(crate) fn fault_of_part(part: &[u8]) -> Option<Fault> {
    fault::recognised(&String::from_utf8_lossy(part))
}

/// Levels of elements: the envelope, its body, and what `reply` names.
const ENVELOPE: usize = 1;
const BODY: usize = 2;

/// What the body element holds.
enum Content {
    Fault,
    Response { response: Range<usize>, text: Option<String> },
}

/// What has been found in the reply so far.
#[derive(Default)]
struct Found {
    /// The name of a root element that is not an envelope.
    other_root: Option<Range<usize>>,
    in_body: bool,
    body_seen: bool,
    /// Where the content of the body begins.
    content_begun: usize,
    /// The name of the first element in the body; the rest of the element may be missing.
    name: Option<Range<usize>>,
    /// The response is the method's own, which proves that the method ran.
    is_own: bool,
    /// Text or the name of an element that stands in the body beside the response or the fault, or the name of another body.
    beside: Option<Range<usize>>,
    response_begun: usize,
    response: Option<Range<usize>>,
    in_response: bool,
    fault: Option<Box<Parts>>,
    /// How many return values there are, and whether one has children.
    values: usize,
    has_children: bool,
    value_begun: usize,
    /// The content of the last return value.
    value: Range<usize>,
    /// The levels of the `missingSet` and of the `fault` in it that are open; 0: none.
    missing: usize,
    missing_fault: usize,
    withholds_properties: bool,
}

impl Found {
    /// Reads the whole text. Returns the first reference to a character that XML forbids.
    fn read(&mut self, text: &str, method: &str, namespace: &str) -> Read<Option<(usize, u32)>> {
        let mut reader = Reader::document(text);
        while let Some(event) = reader.next_inline()? {
            match event {
                Event::Start(start) if start.level == RESPONSE && self.in_body => {
                    self.start_in_body(text, &reader, &start, method, namespace);
                }
                Event::Start(start) => self.start(text, &reader, &start),
                Event::End(end) => self.end(text, end),
            }
        }
        Ok(reader.bad_reference())
    }

    /// Ends the repair of a document with bad characters, once they have proved to stand in texts and values: U+FFFD takes the places of the
    /// marks and of the references. A reference is longer than U+FFFD, so the document is then read again. A problem gets its offset in what
    /// the server sent.
    #[cold]
    fn repair(
        &mut self,
        read: Read<Option<(usize, u32)>>,
        Decoded { text, repaired }: &mut Decoded,
        method: &str,
        namespace: &str,
    ) -> Read<Option<(usize, u32)>> {
        *text = repair::without_marks(std::mem::take(text));
        let (at, number) = match read {
            Ok(Some(reference)) => reference,
            Ok(None) => return Ok(None),
            Err(Problem { at, what }) => {
                let at = repaired.as_ref().map_or(at, |repaired| repaired.offset(at));
                return Err(Problem { at, what });
            }
        };
        let first = BadCharacter { at, form: Form::Reference(number) };
        let (clean, count) = repair::without_bad_references(text, at)?;
        let before = std::mem::replace(text, clean);
        match repaired {
            Some(repaired) => repaired.add_references(first, count),
            None => *repaired = Some(Repaired::of_references(before, first, count)),
        }
        *self = Found::default();
        self.read(text, method, namespace)
    }

    #[inline]
    fn start(&mut self, text: &str, reader: &Reader, start: &StartTag) {
        let name = &text[start.local.clone()];
        match start.level {
            ENVELOPE if name != "Envelope" => self.other_root = Some(start.local.clone()),
            BODY if name == "Body" && self.body_seen => self.beside = Some(start.local.clone()),
            BODY if self.other_root.is_none() && name == "Body" => {
                (self.in_body, self.body_seen) = (true, true);
                self.content_begun = start.tag.end;
            }
            level if self.in_response && level >= VALUE => match &mut self.fault {
                Some(fault) => fault.start(name, reader, start, level - VALUE),
                None => self.start_in_response(name, reader, start),
            },
            _ => {}
        }
    }

    /// A child of the body. Only the first one can be a response or a fault.
    fn start_in_body(
        &mut self,
        text: &str,
        reader: &Reader,
        start: &StartTag,
        method: &str,
        namespace: &str,
    ) {
        if self.name.is_some() {
            self.beside = Some(start.local.clone());
            return;
        }
        let before = self.content_begun..start.tag.start;
        if !is_blank(&text[before.clone()]) {
            self.beside = Some(before);
        }
        self.name = Some(start.local.clone());
        self.response_begun = start.tag.start;
        self.in_response = true;
        let name = &text[start.local.clone()];
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
        // A property read reports NotAuthenticated for single properties; other methods answer with a fault.
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
                    self.beside = Some(response.end..tag.start);
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

    /// What a well-formed document is.
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
        if let Some(beside) = self.beside.take() {
            return Err(other_content(beside));
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

/// Whether a part of a document without elements contains nothing but white space and comments.
pub(super) fn is_blank(text: &str) -> bool {
    is_white_space(text) || text_content(text).is_some_and(|text| is_white_space(&text))
}

#[cfg(test)]
mod tests {
    use super::super::comparison::read_or_error;
    use super::super::reply::tests::envelope;
    use crate::runtime::redact::Redactor;
    use crate::status::Status;

    #[test]
    fn an_envelope_without_a_body_is_no_answer() {
        let empty =
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header/></s:Envelope>";
        let Err(error) = read_or_error(empty.into(), Redactor::NOTHING) else { panic!("an answer") };
        assert_eq!(error.status(), Status::VSESSION_E_NOT_SOAP);
    }

    #[test]
    fn a_byte_order_mark_and_a_prefix_that_need_not_be_declared_are_no_fault() {
        let whole = String::from_utf8(envelope("<RResponse/>")).unwrap();
        let marked = format!("\u{feff}{whole}");
        let declared =
            whole.replacen(' ', " xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en' ", 1);
        for text in [marked, declared] {
            assert!(read_or_error(text.clone().into(), Redactor::NOTHING).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_part_of_an_envelope_is_told_from_a_page() {
        let is_of_soap = |body: &[u8]| super::read(body.to_vec(), "R", "urn:vim25").unwrap_err().is_of_soap();
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for body in [&envelope("")[..], &envelope("<S/>"), b"<s:Envelope><s:Bo", &utf_16("<s:Envelope>")] {
            assert!(is_of_soap(body), "{body:?}");
        }
        for body in [&b"<html/>"[..], b"<html><br></html>", b"no healthy upstream", b"", &utf_16("<html>")] {
            assert!(!is_of_soap(body), "{body:?}");
        }
    }

    #[test]
    fn nothing_stands_beside_the_response_or_the_fault() {
        let read = |content: String| read_or_error(envelope(&content), Redactor::NOTHING);
        for content in ["<RResponse/>", "<Fault><faultstring>x</faultstring></Fault>"] {
            for blank in ["", " \r\n\t", "<!-- a --> ", "&#32;"] {
                assert!(read(format!("{blank}{content}{blank}")).is_ok(), "{blank}");
            }
            for more in ["x", "\n x\n", "&#65;", "<![CDATA[x]]>", "<!-- a -->x", "<S/>"] {
                for body in [format!("{more}{content}"), format!("{content}{more}")] {
                    let error = read(body.clone()).expect_err(&body);
                    assert_eq!(error.status(), Status::VSESSION_E_PROTOCOL, "{body}");
                }
            }
        }
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
        assert_eq!(status("<?xml ?><a/>"), Status::VSESSION_E_MALFORMED_XML);
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
