//! Fuzz targets of this layer; see `src/fuzzing.rs`. Most targets put the bytes into an otherwise valid document, because a
//! fuzzer seldom makes a whole envelope.

use super::answer::Answer;
use super::arguments::{check_arguments, check_elements};
use super::comparison::{detail_is_a_document, nodes_are_as_the_parser_sees_them, read_or_error};
use super::envelope::{Envelope, Reference, header_part};
use super::fault::NOT_AUTHENTICATED;
use super::xml::escape;
use super::xml::reader::Reader;
use super::xml::text::is_allowed;
use super::xml::tree::child;
use crate::error::Error;
use crate::runtime::redact::{Redactor, WITHHELD};
use crate::status::{Executed, Status};

pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Checks that an error blames the server and has a message.
pub(crate) fn is_the_servers(error: &Error) {
    use Status::*;
    let detail = error.detail();
    let known = [VSESSION_E_NOT_SOAP, VSESSION_E_MALFORMED_XML, VSESSION_E_DTD, VSESSION_E_PROTOCOL];
    assert!(known.contains(&detail.status), "{error}");
    assert!(!detail.message.is_empty() && detail.message.len() < 2000, "{error}");
}

/// The content of a fault.
pub(crate) fn fault(bytes: &[u8]) {
    let Some(inside) = text(bytes) else { return };
    let body = format!(
        r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body><e:Fault>{inside}</e:Fault></e:Body></e:Envelope>"#
    );
    let whole = body.clone();
    match read_or_error(body.into_bytes(), Redactor::NOTHING) {
        Ok(Answer::Reply(reply)) => panic!("a fault taken for a reply: {reply:?}"),
        Err(error) => is_the_servers(&error),
        Ok(Answer::Fault(fault)) => {
            assert!(!fault.name.contains(':') && fault.name.chars().count() <= 256, "{fault:?}");
            let named = fault.name.clone();
            let error = fault.into_error("Method", 500, Redactor::NOTHING);
            let detail = error.detail();
            assert!(error.is_fault() && !error.is_outage() && detail.http_status == 500, "{error:?}");
            assert_eq!(detail.status == Status::VSESSION_E_NOT_AUTHENTICATED, named == NOT_AUTHENTICATED);
            assert_eq!(
                detail.status == Status::VSESSION_E_FAULT,
                error.executed() == Executed::VSESSION_EXECUTED_YES,
                "only a fault of the method's own shows that it ran"
            );
            assert_eq!(detail.fault_name.is_some(), !named.is_empty());
            assert!(detail.message.starts_with("Method: the server answered with the fault "));
            assert!(detail.body.is_some() == (whole.len() <= 1 << 20), "the fault has its body");
            detail_is_a_document(&error);
        }
    }
}

/// A document for the cursor, or a part of one.
pub(crate) fn node(bytes: &[u8]) {
    let Some(inside) = text(bytes) else { return };
    let document = format!(
        "<a xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:p='q' xmlns='r'>{inside}</a>"
    );
    for document in [inside, &document] {
        nodes_are_as_the_parser_sees_them(document);
    }
}

/// The arguments of a call: accepted arguments do not break out of their element.
pub(crate) fn arguments(bytes: &[u8]) {
    let Some(arguments) = text(bytes) else { return };
    match check_arguments(arguments) {
        Err(problem) => assert!(!problem.is_empty() && problem.len() < 2000),
        Ok(()) => {
            if check_elements(arguments, "specSet").is_ok() {
                let wrapped = format!("<x xmlns:xsi='i' xmlns:xsd='d'>{arguments}</x>");
                let document =
                    roxmltree::Document::parse(&wrapped).expect("accepted elements make a document");
                let mut children = document.root_element().children().filter(|n| n.is_element()).peekable();
                assert!(children.peek().is_some() && children.all(|n| n.tag_name().name() == "specSet"));
            }
            let this = Reference { kind: "VirtualMachine", id: "vm-<1>" };
            let header = [header_part!("operationID", "operation")];
            let envelope = Envelope::new(header, "urn:vim25", "Method", this, arguments).pieces().concat();
            let envelope = String::from_utf8(envelope).expect("its pieces are texts");
            let document = roxmltree::Document::parse(&envelope).expect("accepted arguments make a document");
            let parts: Vec<_> = document.root_element().children().map(|n| n.tag_name().name()).collect();
            assert_eq!(parts, ["Header", "Body"], "{arguments}");
            let body = child(document.root_element(), "Body").expect("just seen");
            let methods: Vec<_> = body.children().collect();
            assert_eq!(methods.len(), 1, "{arguments}");
            let method = methods[0];
            let first = method.first_child().expect("it has `_this`");
            assert_eq!(first.tag_name().name(), "_this");
            assert_eq!(first.text(), Some("vm-<1>"));
        }
    }
}

/// A secret, a NUL, and a text that may contain the secret: the output does not.
pub(crate) fn redaction(bytes: &[u8]) {
    let Some((secret, around)) = text(bytes).and_then(|text| text.split_once('\0')) else { return };
    // The text that replaces a secret or a character could contain these secrets. Shorter secrets are found as whole words
    // only.
    let shown = [WITHHELD, "***…"].concat();
    if secret.chars().count() < 4
        || secret
            .chars()
            .any(|c| shown.contains(c) && !c.is_alphanumeric() || c.is_control() || c.is_whitespace())
        || WITHHELD.contains(secret)
    {
        return;
    }
    let hidden = Redactor(&[secret]);
    let escaped = escape(secret).into_owned();
    for text in [
        around.to_string(),
        format!("{around}{secret}{around}{escaped}{around}"),
        format!("{secret}{secret}{escaped}{escaped}{secret}"),
    ] {
        let clean = hidden.quote(&text, usize::MAX);
        let standard = clean == text.trim();
        assert!(standard || !clean.contains(secret), "{secret:?} in {clean:?}");
        assert!(!clean.contains(char::is_control));
        assert!(hidden.quote(&text, 80).chars().count() <= 80 * 10);
        // As the text of an element, it is still well-formed.
        let piece = escape(&text).into_owned();
        let clean = hidden.redact_xml(&piece).unwrap_or(piece);
        if !clean.contains(|c| !is_allowed(c)) {
            let element = format!("<a>{clean}</a>");
            assert!(Reader::document(&element).finish().is_ok(), "{secret:?}: {element:?}");
        }
    }
}
