//! SOAP faults. The `xsi:type` of the detail names the kind of fault. The text of the fault may be empty or in any language.

use std::borrow::Cow;
use std::ops::Range;

use super::redaction::{
    LARGEST, carried, end_of_tag, page_without_secrets, without_secrets, words_without_secrets,
};
use super::xml::node::Node;
use super::xml::reader::{Binding, Event, Reader, StartTag};
use super::xml::repair::{Repairs, without_marks};
use super::xml::text::{UNREAD_MARKUP, local_part_of_value, text_content};
use crate::error::{Error, FaultText, Objection};
use crate::runtime::redact::Redactor;
use crate::status::Status;
use crate::sync::Arc;
use crate::text::{Bytes, Text};

/// The decisive faults: they concern the session, the credentials or a privilege, and a server sends them before the method
/// does anything. All others are `VSESSION_E_FAULT` and come from the method itself.
const DECISIVE: &[(&str, Status)] = &[
    (NOT_AUTHENTICATED, Status::VSESSION_E_NOT_AUTHENTICATED),
    // What other services than vim25 say where they do not know the session: pbm, sms, eam.
    ("PbmFaultInvalidLogin", Status::VSESSION_E_NOT_AUTHENTICATED),
    ("SmsInvalidLogin", Status::VSESSION_E_NOT_AUTHENTICATED),
    ("InvalidSession", Status::VSESSION_E_NOT_AUTHENTICATED),
    ("EamInvalidLogin", Status::VSESSION_E_NOT_AUTHENTICATED),
    // InvalidLogin and the faults derived from it.
    ("InvalidLogin", Status::VSESSION_E_INVALID_LOGIN),
    ("PasswordExpired", Status::VSESSION_E_INVALID_LOGIN),
    ("NoClientCertificate", Status::VSESSION_E_INVALID_LOGIN),
    ("NoSubjectName", Status::VSESSION_E_INVALID_LOGIN),
    ("NoPermission", Status::VSESSION_E_NO_PERMISSION),
    ("RestrictedByAdministrator", Status::VSESSION_E_NO_PERMISSION),
];
/// The most characters of a fault's text that a message shows.
const SHOWN_OF_TEXT: usize = 1000;

/// A fault as the server sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The vim25 type, for example `NotAuthenticated`; empty if the server names none.
    pub(crate) name: String,
    /// The beginning of its text.
    pub(crate) message: String,
    /// Its whole text, unless that is too large.
    string: String,
    /// Empty: none.
    code: String,
    /// The detail element as text, with the declarations of all prefixes that it uses; empty if there is none or it is too
    /// large.
    pub(crate) xml: String,
    /// What the fault is about, if it says so: a privilege, an object, a property.
    subject: Option<String>,
    objection: Option<Objection>,
    /// The body that brought the fault.
    body: String,
    /// The body is not well-formed.
    is_damaged: bool,
    /// The characters that XML forbids, which were replaced.
    pub(super) repairs: Option<Repairs>,
}

pub(crate) const NOT_AUTHENTICATED: &str = "NotAuthenticated";

/// The fault in a reply that is not well-formed, if it is a decisive one: damaged text around it must not hide that the session is
/// gone or that the credentials are wrong. Only the fault's own name counts, in its own place: the first element in the detail of the
/// only fault, in a body without a response.
pub(super) fn recognised(text: &str) -> Option<Fault> {
    let text = without_unread_text(text)?;
    let fault = tags(&text).find(|tag| tag.local == "Fault")?;
    if !text[..fault.at].contains("Body")
        || tags(&text)
            .any(|tag| tag.local.ends_with("Response") || tag.local == "Fault" && tag.at != fault.at)
    {
        return None;
    }
    let detail = tags(&text).find(|tag| tag.at > fault.at && matches!(tag.local, "detail" | "Detail"))?;
    let inside = detail.at + end_of_tag(&text[detail.at..]);
    let specific = tags(&text).find(|tag| tag.at >= inside)?;
    if !text[inside..specific.at].trim().is_empty() {
        return None;
    }
    let tag = &text[specific.at..][..end_of_tag(&text[specific.at..])];
    if !tag.ends_with('>') {
        // Its end is missing, and the type may be.
        return None;
    }
    let name = match type_in(tag) {
        Some(name) => name,
        None => specific.local.strip_suffix("Fault")?.into(),
    };
    let (name, _) = DECISIVE.iter().find(|(decisive, _)| *decisive == name)?;
    Some(Fault { name: name.to_string(), ..Fault::default() })
}

/// The text without comments, sections and instructions, in which nothing is an element. `None`: a document type declaration may
/// have changed what the text means.
fn without_unread_text(text: &str) -> Option<String> {
    let (mut rest, mut clean) = (text, String::with_capacity(text.len()));
    while let Some(at) = rest.find('<') {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((begin, end)) = UNREAD_MARKUP.iter().find(|(begin, _)| rest.starts_with(begin)) {
            rest =
                &rest[rest[begin.len()..].find(end).map_or(rest.len(), |at| begin.len() + at + end.len())..];
        } else if rest.starts_with("<!") && rest[..end_of_tag(rest)].contains('[') {
            return None;
        } else {
            clean.push('<');
            rest = &rest[1..];
        }
    }
    clean.push_str(rest);
    Some(clean)
}

/// A start tag.
struct Tag<'a> {
    at: usize,
    /// The name without its prefix.
    local: &'a str,
}

/// The start tags of a text that need not be well-formed.
fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    text.match_indices('<').filter_map(|(at, _)| {
        let behind = &text[at + 1..];
        let length = behind
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
            .unwrap_or(behind.len());
        let name = &behind[..length];
        (length > 0).then(|| Tag { at, local: name.rsplit_once(':').map_or(name, |(_, local)| local) })
    })
}

/// The value of the attribute `type` in a tag, without its prefix.
fn type_in(tag: &str) -> Option<Cow<'_, str>> {
    tag.match_indices("type").find_map(|(at, attribute)| {
        let value = tag[at + attribute.len()..].trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, _) = value[1..].split_once(quote)?;
        local_part_of_value(value)
    })
}

/// The fault in a `LocalizedMethodFault`, an element of a reply that begins at `at`: why a property is missing, or a task failed.
/// `None`: there is no such element.
pub(crate) fn localized(text: &str, at: usize) -> Option<Fault> {
    let (mut reader, mut parts, mut outer) = (Reader::document(text), Parts::default(), None);
    while let Some(event) = reader.next().ok()? {
        match (event, outer) {
            (Event::Start(start), None) if start.tag.start == at => {
                outer = Some(start.level);
                parts.start("detail", &reader, &start, 0);
            }
            (Event::Start(start), Some(level)) => {
                // It has the parts of a fault in other places.
                match (start.level - level, &text[start.local.clone()]) {
                    (1, "localizedMessage") => parts.start("faultstring", &reader, &start, 0),
                    (depth, name) => parts.start(name, &reader, &start, depth),
                }
            }
            (Event::End(end), Some(level)) => {
                parts.end(end.level, end.level - level, &end.tag);
                if end.level == level {
                    break;
                }
            }
            _ => {}
        }
    }
    outer?;
    let fault = parts.read_text(text);
    // The element has the same name for each fault.
    Some(Fault { name: parts.kind.unwrap_or_default(), ..fault })
}

/// The elements that may say what a fault is about, the most telling first.
const SUBJECTS: [&str; 4] = ["privilegeId", "obj", "invalidProperty", "name"];

/// The places of the parts of a fault in its document, collected while the document is read.
#[derive(Default)]
pub(super) struct Parts {
    code: Open,
    /// The code of SOAP 1.2.
    value: Open,
    in_code: bool,
    string: Open,
    reason: Open,
    in_reason: bool,
    detail: Open,
    in_specific: bool,
    element: Option<Range<usize>>,
    element_tag: Option<Range<usize>>,
    /// The number of children of the detail.
    children: usize,
    kind: Option<String>,
    subjects: [Open; SUBJECTS.len()],
    /// The prefixes in scope at the start tag of the detail, and its level.
    bindings: Vec<Binding>,
    detail_level: usize,
}

/// An element whose start tag has been read, and perhaps its end tag.
#[derive(Clone, Default)]
struct Open {
    level: usize,
    tag: Option<Range<usize>>,
    /// The place of its end tag.
    end: Option<Range<usize>>,
}

impl Open {
    /// Ignores all but the first one.
    fn begin(&mut self, start: &StartTag) {
        if self.tag.is_none() {
            (self.level, self.tag) = (start.level, Some(start.tag.clone()));
        }
    }

    fn ended(&mut self, level: usize, tag: &Range<usize>) {
        if self.tag.is_some() && self.end.is_none() && self.level == level {
            self.end = Some(tag.clone());
        }
    }

    fn content<'a>(&self, document: &'a str) -> Option<&'a str> {
        let (tag, end) = (self.tag.as_ref()?, self.end.as_ref()?);
        Some(&document[tag.end..end.start])
    }

    /// The beginning of its text.
    fn text(&self, document: &str) -> Option<String> {
        const MOST: usize = 16 * SHOWN_OF_TEXT;
        let inside = self.content(document)?;
        let most = (0..=MOST.min(inside.len())).rev().find(|at| inside.is_char_boundary(*at))?;
        text_content(&inside[..most])
    }

    /// The whole text, unless it is too large.
    fn whole_text(&self, document: &str) -> Option<String> {
        text_content(self.content(document).filter(|inside| inside.len() <= LARGEST)?)
    }
}

impl Parts {
    /// A start tag in the fault; `depth` is 0 for the children of the fault.
    pub(super) fn start(&mut self, name: &str, reader: &Reader, start: &StartTag, depth: usize) {
        match (depth, name) {
            (0, "faultcode") => self.code.begin(start),
            (0, "faultstring") => self.string.begin(start),
            (0, "Reason") => self.in_reason = true,
            (0, "Code") => self.in_code = true,
            (1, "Value") if self.in_code => self.value.begin(start),
            (1, "Text") if self.in_reason => self.reason.begin(start),
            (0, "detail" | "Detail") if self.detail.tag.is_none() => {
                self.detail.begin(start);
                (self.bindings, self.detail_level) = (reader.bindings().to_vec(), start.level);
            }
            (1, _) if self.detail.end.is_none() && self.detail.tag.is_some() => {
                self.children += 1;
                if self.children > 1 {
                    return;
                }
                (self.element, self.element_tag) = (Some(start.local.clone()), Some(start.tag.clone()));
                self.kind = reader.xsi_type().map(|kind| without_marks(kind.chars().take(256).collect()));
                self.in_specific = true;
            }
            (2, _) if self.in_specific => {
                if let Some(i) = SUBJECTS.iter().position(|subject| *subject == name) {
                    self.subjects[i].begin(start);
                }
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self, level: usize, depth: usize, tag: &Range<usize>) {
        for part in [&mut self.code, &mut self.value, &mut self.string, &mut self.reason, &mut self.detail]
            .into_iter()
            .chain(&mut self.subjects)
        {
            part.ended(level, tag);
        }
        match depth {
            0 => (self.in_code, self.in_reason, self.in_specific) = (false, false, false),
            1 => self.in_specific = false,
            _ => {}
        }
    }

    /// The fault in this body.
    pub(super) fn read(&self, body: String) -> Fault {
        let fault = self.read_text(&body);
        Fault { body, ..fault }
    }

    fn read_text(&self, text: &str) -> Fault {
        let element = self.element.clone().map_or("", |at| &text[at]);
        let name = match &self.kind {
            Some(kind) => kind.clone(),
            None => element.strip_suffix("Fault").unwrap_or(element).chars().take(256).collect(),
        };
        let subject = self.subjects.iter().filter_map(|part| part.text(text)).find(|text| !text.is_empty());
        let string = if self.string.end.is_some() { &self.string } else { &self.reason };
        let message = string.text(text).unwrap_or_default();
        let message = message.trim();
        let code = self.code.text(text).or_else(|| self.value.text(text)).unwrap_or_default();
        let code = code.trim();
        let object = self.subjects[1].text(text);
        Fault {
            objection: match code.rsplit(':').next() {
                Some("VersionMismatch") => Some(Objection::Version),
                _ => objection(&name, message, object.as_deref()),
            },
            name,
            message: message.to_string(),
            string: string.whole_text(text).unwrap_or_default(),
            code: code.to_string(),
            xml: self.detail_with_declarations(text).unwrap_or_default(),
            subject,
            ..Fault::default()
        }
    }

    /// The detail as a document of its own.
    fn detail_with_declarations(&self, text: &str) -> Option<String> {
        let (tag, end) = (self.detail.tag.clone()?, self.detail.end.clone()?);
        let detail = text.get(tag.start..end.end)?;
        if detail.len() > LARGEST {
            return None;
        }
        let detail_tag = &text[tag.clone()];
        let is_hidden = |number: usize| {
            let prefix = self.bindings[number].prefix(text);
            self.bindings[number + 1..].iter().any(|inner| inner.prefix(text) == prefix)
        };
        let missing: Vec<&Binding> = (0..self.bindings.len())
            .filter(|number| !is_hidden(*number))
            .map(|number| &self.bindings[number])
            .filter(|binding| binding.level < self.detail_level && is_used(binding.prefix(text), detail))
            .collect();
        // The declarations go to the child, unless the detail itself needs them: its tag stays as the server wrote it.
        let on_detail = self.children != 1
            || missing.iter().any(|binding| match binding.prefix(text) {
                "" => !name_of(detail_tag).contains(':'),
                prefix => is_used(prefix, detail_tag),
            });
        let place = match &self.element_tag {
            Some(element) if !on_detail => element.start,
            _ => tag.start,
        };
        let element = Node::at(text, place)?;
        let mut declarations = String::new();
        for binding in missing {
            let prefix = binding.prefix(text);
            let colon = if prefix.is_empty() { "" } else { ":" };
            let name = format!("xmlns{colon}{prefix}");
            if element.has(&name) {
                continue;
            }
            // The value does not contain the quote that enclosed it.
            let uri = binding.uri(text);
            let quote = if uri.contains('"') { '\'' } else { '"' };
            declarations.push_str(&format!(" {name}={quote}{uri}{quote}"));
        }
        let at = place - tag.start + 1 + name_of(&text[place..]).len();
        let mut xml = String::new();
        xml.try_reserve_exact(detail.len() + declarations.len()).ok()?;
        xml.push_str(&detail[..at]);
        xml.push_str(&declarations);
        xml.push_str(&detail[at..]);
        Some(xml)
    }
}

/// Whether a part of a document may need the declaration of a prefix: for a name, or for a value such as that of `xsi:type`. The default
/// namespace counts as used, because each name and each value without a prefix uses it.
fn is_used(prefix: &str, part: &str) -> bool {
    // A reference may stand for the colon in a value.
    prefix.is_empty() || part.contains(&format!("{prefix}:")) || part.contains(&format!("{prefix}&"))
}

/// The name in a tag, with its prefix.
fn name_of(tag: &str) -> &str {
    let end = tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>')).unwrap_or(tag.len());
    tag.get(1..end).unwrap_or("")
}

impl Fault {
    /// The same fault with the damaged body in which it was recognised.
    pub(super) fn in_damaged(self, body: String) -> Fault {
        Fault { body, is_damaged: true, ..self }
    }

    /// A fault that came in another form than SOAP.
    pub(crate) fn named(name: String, message: String, subject: String) -> Fault {
        let subject = Some(subject).filter(|subject| !subject.is_empty());
        let name = name.chars().take(256).collect();
        let string = Some(&message).filter(|message| message.len() <= LARGEST).cloned().unwrap_or_default();
        Fault { name, message: message.trim().to_string(), string, subject, ..Fault::default() }
    }

    fn status(&self) -> Status {
        let known = DECISIVE.iter().find(|(name, _)| *name == self.name);
        known.map_or(Status::VSESSION_E_FAULT, |(_, status)| *status)
    }

    /// The fault as an error of the call of `method`. `hidden` removes the secrets of the call, which the server may repeat.
    pub(crate) fn into_error(self, method: &str, http_status: u16, hidden: Redactor) -> Error {
        let (status, objection) = (self.status(), self.objection.clone());
        let said = Fault::answered(method);
        let error = self.told(status, &said, http_status, hidden).with(|d| d.objection = objection);
        match status {
            Status::VSESSION_E_FAULT => error.ran(),
            _ if planted!("each-fault-ran") => error.ran(),
            // A decisive fault proves that the method did not run.
            _ => error.not_run(),
        }
    }

    fn answered(method: &str) -> String {
        format!("{method}: the server answered with the fault")
    }

    /// The fault as the error of a task, which ran. It says nothing about the session or its credentials.
    pub(crate) fn into_error_of_task(self, task: &str, hidden: Redactor) -> Error {
        let kept = [Status::VSESSION_E_NO_PERMISSION];
        self.reported(&kept, &format!("{task} failed with the fault"), hidden)
    }

    /// The fault as the error of a property that a read, which `what` describes, was refused. It says nothing about the credentials.
    pub(crate) fn into_error_of_property(self, what: &str, hidden: Redactor) -> Error {
        let kept = [Status::VSESSION_E_NO_PERMISSION, Status::VSESSION_E_NOT_AUTHENTICATED];
        let objection = self.objection.clone();
        self.reported(&kept, &Fault::answered(what), hidden).with(|d| d.objection = objection)
    }

    /// A fault in the answer of a method, which ran. Only these statuses mean the same there as in place of the answer.
    fn reported(self, kept: &[Status], said: &str, hidden: Redactor) -> Error {
        let status = Some(self.status()).filter(|status| kept.contains(status));
        self.told(status.unwrap_or(Status::VSESSION_E_FAULT), said, 200, hidden).ran()
    }

    /// An error that begins with these words.
    fn told(self, status: Status, said: &str, http_status: u16, hidden: Redactor) -> Error {
        // A name that the library knows does not come from a secret.
        let name = match self.status() {
            Status::VSESSION_E_FAULT => hidden.name(&self.name),
            _ => self.name,
        };
        let mut message = format!("{said} {}", if name.is_empty() { "(unnamed)" } else { &name });
        if let Some(subject) = &self.subject {
            message.push_str(&format!(" ({})", hidden.quote(subject, 200)));
        }
        if !self.message.is_empty() {
            message.push_str(": ");
            message.push_str(&hidden.quote(&self.message, SHOWN_OF_TEXT));
        }
        match status {
            Status::VSESSION_E_INVALID_LOGIN => message.push_str("; check user name and password"),
            Status::VSESSION_E_NO_PERMISSION => {
                message.push_str("; the account lacks a privilege for this call: grant it on the server")
            }
            _ => {}
        }
        let fault = FaultText {
            code: Some(hidden.name(&self.code)).filter(|code| !code.is_empty()).map(Text::from),
            string: carried(&self.string, &hidden, words_without_secrets).map(Text::from),
            detail: carried(&self.xml, &hidden, without_secrets).map(Text::from),
        };
        let redaction = if self.is_damaged { page_without_secrets } else { without_secrets };
        let body = carried(&self.body, &hidden, redaction);
        Error::new(status, message).with(|d| {
            d.fault_name = Some(name).filter(|n| !n.is_empty()).map(Text::from);
            d.fault = Some(Arc::new(fault));
            d.body = body.map(|body| Arc::new(Bytes::from(body.into_bytes())));
            d.http_status = http_status;
        })
    }
}

/// What a fault objects to. Some servers name these faults, others only describe them in the text.
fn objection(name: &str, message: &str, object: Option<&str>) -> Option<Objection> {
    let unnamed = matches!(name, "" | "InvalidRequest" | "RuntimeFault" | "MethodFault");
    let words = message.to_ascii_lowercase();
    match name {
        "MethodNotFound" => Some(Objection::Method),
        "ManagedObjectNotFound" => {
            let named = object.map(|id| id.trim().to_string()).filter(|id| !id.is_empty());
            Some(Objection::Object(named.or_else(|| object_in(message))))
        }
        _ if !unnamed => None,
        // The second one is part of the text in every language.
        _ if ["unsupported version", "urn:vim25/", "unsupported namespace"]
            .iter()
            .any(|said| words.contains(said)) =>
        {
            Some(Objection::Version)
        }
        _ if words.contains("has already been deleted or has not been completely created") => {
            Some(Objection::Object(object_in(message)))
        }
        "" | "InvalidRequest" => Some(Objection::Request { silent: message.is_empty() }),
        _ => None,
    }
}

/// The id in `The object 'vim.SessionManager:SessionManager' has already been deleted`.
fn object_in(message: &str) -> Option<String> {
    let quoted = message.split('\'').nth(1)?;
    Some(quoted.split_once(':')?.1.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::answer::{self, Answer};
    use super::*;

    fn read(detail: &str, message: &str) -> Fault {
        let text = format!(
            r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:n='a"b'><e:Body xmlns="urn:outer"><e:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring>{detail}</e:Fault></e:Body></e:Envelope>"#
        );
        match answer::read(text.into_bytes(), "Method", "urn:vim25") {
            Ok(Answer::Fault(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    fn fault_xml(error: &Error) -> String {
        error.detail().fault.as_ref().unwrap().detail.as_ref().unwrap().to_string()
    }

    #[test]
    fn the_type_attribute_names_the_fault() {
        let fault = read(
            r#"<detail><NotAuthenticatedFault xmlns="urn:vim25" xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="NotAuthenticated"><privilegeId>System.View</privilegeId></NotAuthenticatedFault></detail>"#,
            "",
        );
        assert_eq!(fault.name, NOT_AUTHENTICATED);
        assert!(fault.xml.starts_with("<detail"));
        let error = fault.into_error("CurrentTime", 500, Redactor::NOTHING);
        assert_eq!(error.status(), Status::VSESSION_E_NOT_AUTHENTICATED);
        assert!(error.detail().message.contains("System.View"));
    }

    #[test]
    fn the_element_names_the_fault_where_the_attribute_is_missing() {
        let fault =
            read(r#"<detail><InvalidLoginFault xmlns="urn:vim25"/></detail>"#, "Anmeldung fehlgeschlagen");
        assert_eq!(fault.name, "InvalidLogin");
        let error = fault.into_error("Login", 500, Redactor::NOTHING);
        assert_eq!(error.status(), Status::VSESSION_E_INVALID_LOGIN);
        assert!(error.detail().message.contains("Anmeldung fehlgeschlagen"));
    }

    #[test]
    fn what_a_fault_objects_to_is_told_by_its_name_or_its_words() {
        let named = |name: &str, inside: &str| {
            format!(
                r#"<detail><{name}Fault xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="{name}">{inside}</{name}Fault></detail>"#
            )
        };
        let version =
            "Unsupported version URI &quot;urn:vim25/8.0.2.0&quot; while parsing SOAP body at line 1";
        let deleted =
            "The object 'vim.SessionManager:sm' has already been deleted or has not been completely created";
        let object = |id: &str| Some(Objection::Object(Some(id.to_string())));
        for (detail, message, expected) in [
            (String::new(), version, Some(Objection::Version)),
            (
                String::new(),
                "Nicht unterst\u{fc}tzte Versions-URI \u{201e}urn:vim25/8.0.2.0\u{201c}",
                Some(Objection::Version),
            ),
            (named("InvalidRequest", ""), version, Some(Objection::Version)),
            (named("InvalidRequest", ""), "", Some(Objection::Request { silent: true })),
            (named("InvalidRequest", ""), "Unexpected element", Some(Objection::Request { silent: false })),
            (named("MethodNotFound", ""), "", Some(Objection::Method)),
            (named("ManagedObjectNotFound", "<obj type=\"T\">vm-1</obj>"), deleted, object("vm-1")),
            (named("ManagedObjectNotFound", ""), deleted, object("sm")),
            (named("ManagedObjectNotFound", ""), "gone", Some(Objection::Object(None))),
            (String::new(), deleted, object("sm")),
            (named("InvalidState", ""), version, None),
            (named("RuntimeFault", ""), version, Some(Objection::Version)),
            (named("RuntimeFault", ""), "out of memory", None),
        ] {
            assert_eq!(read(&detail, message).objection, expected, "{detail} {message}");
        }
    }

    #[test]
    fn the_code_of_a_version_that_the_server_does_not_speak_is_soaps() {
        for (code, expected) in
            [("e:VersionMismatch", Some(Objection::Version)), ("VersionMismatch", Some(Objection::Version))]
        {
            let text = format!(
                "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><e:Fault><faultcode> {code} </faultcode><faultstring>x</faultstring></e:Fault></e:Body></e:Envelope>"
            );
            let Ok(Answer::Fault(fault)) = answer::read(text.into_bytes(), "Method", "urn:vim25") else {
                panic!("no fault")
            };
            assert_eq!(fault.objection, expected, "{code}");
        }
    }

    #[test]
    fn a_decisive_fault_in_damaged_text_is_known_by_its_type_or_its_element() {
        let recognised = |detail: &str| {
            let text = format!("<e:Envelope><e:Body><e:Fault><detail>{detail}</detail></e:Fault></e:Body>");
            recognised(&text).map(|fault| fault.name)
        };
        for detail in ["<NotAuthenticatedFault/>", "<F xsi:type='NotAuthenticated'/>"] {
            assert_eq!(recognised(detail).as_deref(), Some(NOT_AUTHENTICATED), "{detail}");
        }
        for detail in ["<NotAuthenticated/>", "<InvalidStateFault/>", "text <NotAuthenticatedFault/>"] {
            assert_eq!(recognised(detail), None, "{detail}");
        }
    }

    #[test]
    fn a_fault_that_is_cut_off_is_known_once_its_type_has_arrived() {
        let fault = "<e:Envelope><e:Body><e:Fault><detail><InvalidLoginFault xsi:type=\"PasswordExpired\">";
        for end in 0..fault.len() {
            assert_eq!(super::recognised(&fault[..end]), None, "{end}");
        }
        assert_eq!(super::recognised(fault).unwrap().name, "PasswordExpired");
    }

    #[test]
    fn a_fault_without_detail_is_still_a_fault() {
        let error = read("", "Unsupported version URI").into_error("LoginByToken", 500, Redactor::NOTHING);
        assert_eq!(error.status(), Status::VSESSION_E_FAULT);
        assert_eq!(error.detail().fault_name, None);
    }

    #[test]
    fn a_long_text_of_a_fault_may_be_cut_at_any_byte() {
        for end in [
            "&amp;&lt;y",
            "<![CDATA[\u{e9}\u{e9}\u{e9}]]>",
            "<!-- \u{e9} --><?p \u{e9}?>",
            "\u{1f600}&#x1f600;",
        ] {
            for before in 15_960..=16_000 {
                let fault = read("", &format!("{}{end}", "x".repeat(before)));
                assert!(fault.message.starts_with("xxx"), "{before} {end}");
            }
        }
    }

    #[test]
    fn the_detail_is_a_document_of_its_own() {
        for (detail, name) in [
            ("<detail><F xsi:type='InvalidName'/></detail>", "InvalidName"),
            (
                "<detail xmlns='urn:vim25'><F xmlns:y='z' xsi:type='y:InvalidName' n:x='1'/></detail>",
                "InvalidName",
            ),
            ("<e:detail a='>'><F xmlns:xsi='other' xsi:type='InvalidName'/></e:detail>", "F"),
            ("<detail/>", ""),
            ("<detail><F xsi:type='InvalidName'/><G xsi:type='H'/></detail>", "InvalidName"),
            (
                "<detail xmlns='urn:vim25'><F xmlns:xsi = 'http://www.w3.org/2001/XMLSchema-instance' xsi:type='InvalidName'/></detail>",
                "InvalidName",
            ),
        ] {
            let fault = read(detail, "");
            assert_eq!(fault.name, name, "{detail}");
            let whole =
                roxmltree::Document::parse(&fault.xml).unwrap_or_else(|e| panic!("{e}: {}", fault.xml));
            let root = whole.root_element();
            let default = if detail.contains("urn:vim25") { "urn:vim25" } else { "urn:outer" };
            let expected =
                if detail.starts_with("<e:") { "http://schemas.xmlsoap.org/soap/envelope/" } else { default };
            assert_eq!(root.tag_name().namespace(), Some(expected));
            if let Some(specific) = root.first_element_child().filter(|_| name == "InvalidName") {
                assert!(specific.attribute(("http://www.w3.org/2001/XMLSchema-instance", "type")).is_some());
            }
        }
    }

    #[test]
    fn the_detail_gets_the_declarations_that_it_misses_and_no_others() {
        for (detail, namespace) in [
            ("<e:detail><F xsi:type='T'/></e:detail>", "urn:outer"),
            ("<e:detail xmlns='urn:own'><F/></e:detail>", "urn:own"),
            ("<e:detail xmlns:n='urn:own'><n:F/></e:detail>", "urn:own"),
            ("<e:detail><n:F a=' xmlns:n=1'/></e:detail>", "a\"b"),
            ("<e:detail><n:F xmlns:n = 'urn:own'/></e:detail>", "urn:own"),
            ("<e:detail>n:<F xmlns='urn:own' type='n&#58;T'/></e:detail>", "urn:own"),
            ("<detail><F type='n:T'/><G/></detail>", "urn:outer"),
        ] {
            let fault = read(detail, "");
            let whole =
                roxmltree::Document::parse(&fault.xml).unwrap_or_else(|e| panic!("{e}: {}", fault.xml));
            let specific = whole.root_element().first_element_child().unwrap();
            assert_eq!(specific.tag_name().namespace(), Some(namespace), "{}", fault.xml);
            if detail.contains("='n") {
                assert_eq!(specific.lookup_namespace_uri(Some("n")), Some("a\"b"), "{}", fault.xml);
            }
        }
    }

    #[test]
    fn a_fault_is_kept_whole() {
        let long = format!("{}&lt;end", "x".repeat(20_000));
        let fault = read("<detail><F/></detail>", &long);
        assert!(fault.body.contains("<e:Envelope") && fault.body.ends_with("</e:Envelope>"));
        let error = fault.into_error("M", 500, Redactor(&["hunter42!"]));
        let said = error.detail().fault.as_ref().unwrap();
        assert_eq!(said.code.as_deref(), Some("ServerFaultCode"));
        assert!(
            said.string.as_ref().is_some_and(|string| string.len() == 20_004 && string.ends_with("<end"))
        );
        assert!(error.detail().body.as_ref().is_some_and(|body| body.ends_with(b"</e:Envelope>")));
        // What no server sends is not searched for secrets, and not carried.
        let large =
            read("<detail><F/></detail>", &"x".repeat(LARGEST)).into_error("M", 500, Redactor::NOTHING);
        assert!(large.detail().body.is_none() && large.detail().fault.as_ref().unwrap().detail.is_some());
    }

    #[test]
    fn a_fault_of_soap_1_2_has_code_and_string_too() {
        let text = "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Body><s:Fault>\
            <s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>x</s:Value></s:Subcode></s:Code>\
            <s:Reason><s:Text xml:lang='en'>Why.</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>";
        let Ok(Answer::Fault(fault)) = answer::read(text.into(), "Method", "urn:vim25") else {
            panic!("no fault")
        };
        assert_eq!((&*fault.code, &*fault.string, &*fault.message), ("s:Sender", "Why.", "Why."));
    }

    #[test]
    fn an_error_with_a_damaged_body_shows_no_secret() {
        let text = "<e:Envelope><e:Body><e:Fault><detail><InvalidLoginFault/></detail></e:Fault><x a='hunter42!>hunter42!";
        let Ok(Answer::Fault(fault)) = answer::read(text.into(), "Method", "urn:vim25") else {
            panic!("no fault")
        };
        let error = fault.into_error("Login", 500, Redactor(&["hunter42!"]));
        let body = String::from_utf8(error.detail().body.as_ref().unwrap().to_vec()).unwrap();
        assert!(body.contains("InvalidLoginFault") && !body.contains("hunter"), "{body}");
    }

    #[test]
    fn an_echoed_secret_is_struck_out_and_the_detail_stays_xml() {
        let detail = "<detail><F xsi:type='hunter42!'><x a='hunter42!' b='t'>a hunter42! b</x><hunter42! />\
            <!--hunter42!--><![CDATA[hunter42!]]><e>login</e></F></detail>"
            .replace("<hunter42! />", "<hunter42/>");
        for (secret, kept) in [
            ("hunter42!", "hunter42/>"),
            ("hunter42", "redacted/>"),
            ("e", "<detail"),
            ("detail", "<detail"),
            ("login", "<e>***</e>"),
            ("xsi", "<detail"),
            ("vim25", "urn:outer"),
        ] {
            let error = read(&detail, "The Server says e").into_error("M", 500, Redactor(&[secret]));
            let xml = fault_xml(&error);
            assert!(roxmltree::Document::parse(&xml).is_ok(), "{secret}: {xml}");
            assert!(xml.contains(kept), "{secret}: {xml}");
            if secret.contains("hunter") {
                assert!(!format!("{error:?}").contains(secret), "{secret}: {error:?}");
            }
        }
        let error = read("<detail><F xsi:type='NotAuthenticated'/></detail>", "").into_error(
            "M",
            500,
            Redactor(&["Auth"]),
        );
        assert_eq!(error.detail().fault_name.as_deref(), Some("NotAuthenticated"));
    }

    #[test]
    fn a_secret_that_comments_and_sections_split_is_struck_out() {
        for split in [
            "hun<!-- -->ter42!",
            "hun<![CDATA[ter42!]]>",
            "<![CDATA[hunter]]><![CDATA[42!]]>",
            "a hun<?x y?>ter4&#50;! b",
        ] {
            let detail = format!("<detail><F xsi:type='InvalidName'><x>{split}</x><y>kept</y></F></detail>");
            let error = read(&detail, "").into_error("M", 500, Redactor(&["hunter42!"]));
            let xml = fault_xml(&error);
            let document = roxmltree::Document::parse(&xml).unwrap();
            let text = |name: &str| {
                let element = document.descendants().find(|n| n.tag_name().name() == name).unwrap();
                super::super::xml::tree::text_of(element).into_owned()
            };
            assert!(!text("x").contains("hunter42!"), "{split}: {xml}");
            assert_eq!(text("y"), "kept");
        }
    }
}
