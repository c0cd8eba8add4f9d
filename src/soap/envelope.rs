//! Writes the envelope of a request: a header, and a body with the method in the namespace of its service. The managed object
//! is the first argument, `_this`.

use std::borrow::Cow;
use std::ops::Deref;

use super::xml::escape;
use crate::runtime::secret::{BorrowedOrWiped, Wiped};

macro_rules! start {
    () => {
        r#"<?xml version="1.0" encoding="UTF-8"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">"#
    };
}

/// A reference to a managed object: its type and its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
}

/// An element of the header. Its text may be secret. Made by `header_part!`.
pub(crate) struct HeaderPart<'a> {
    start_tag: &'static str,
    /// Escaped.
    text: BorrowedOrWiped<'a>,
    end_tag: &'static str,
}

impl<'a> HeaderPart<'a> {
    pub(super) fn new(start_tag: &'static str, text: &'a str, end_tag: &'static str) -> HeaderPart<'a> {
        HeaderPart { start_tag, text: escape(text).into(), end_tag }
    }

    /// The id of a vim25 session, by which the services beside vim25 know it.
    pub(super) fn session(id: &'a str) -> HeaderPart<'a> {
        HeaderPart::new("<vcSessionCookie xmlns=\"\">", id, "</vcSessionCookie>")
    }

    /// Elements that the program wrote, which have been checked.
    pub(super) fn written(elements: &'a str) -> HeaderPart<'a> {
        HeaderPart { start_tag: "", text: BorrowedOrWiped::Borrowed(elements), end_tag: "" }
    }
}

/// A part of the header: the name of its element, and its text.
macro_rules! header_part {
    ($name:literal, $text:expr) => {
        $crate::soap::envelope::HeaderPart::new(concat!("<", $name, ">"), $text, concat!("</", $name, ">"))
    };
}
pub(super) use header_part;

const MAX_HEADER_PARTS: usize = 3;
const PIECES_OF_PART: usize = 3;
const OTHER_PIECES: usize = 14;
const MAX_PIECES: usize = PIECES_OF_PART * MAX_HEADER_PARTS + OTHER_PIECES;

/// An envelope. It borrows the arguments and never copies them: they may be large, and may contain a password.
pub(crate) struct Envelope<'a, const PARTS: usize> {
    namespace: &'a str,
    method: &'a str,
    kind: Cow<'a, str>,
    id: Cow<'a, str>,
    arguments: &'a str,
    header: [HeaderPart<'a>; PARTS],
}

impl<'a, const PARTS: usize> Envelope<'a, PARTS> {
    /// The envelope of a call of a method in a namespace. Omits header parts with an empty text. `arguments` is XML: the
    /// elements after `_this`.
    pub(crate) fn new(
        header: [HeaderPart<'a>; PARTS],
        namespace: &'a str,
        method: &'a str,
        this: Reference<'a>,
        arguments: &'a str,
    ) -> Envelope<'a, PARTS> {
        const { assert!(PARTS <= MAX_HEADER_PARTS) }
        Envelope { namespace, method, kind: escape(this.kind), id: escape(this.id), arguments, header }
    }

    /// Its text as consecutive pieces, in bytes.
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        let mut pieces = Pieces { pieces: [b""; MAX_PIECES], count: 0 };
        let parts = || self.header.iter().filter(|part| !part.text.is_empty());
        if parts().next().is_some() {
            pieces.add([concat!(start!(), "<Header>")]);
            for part in parts() {
                pieces.add([part.start_tag, &part.text, part.end_tag]);
            }
            pieces.add(["</Header><Body><"]);
        } else {
            pieces.add([concat!(start!(), "<Body><")]);
        }
        pieces.add([
            self.method,
            " xmlns=\"",
            self.namespace,
            "\"><_this type=\"",
            &self.kind,
            "\">",
            &self.id,
            "</_this>",
            self.arguments,
            "</",
            self.method,
            "></Body></Envelope>",
        ]);
        pieces
    }
}

/// Consecutive pieces of a text.
pub(crate) struct Pieces<'a> {
    pieces: [&'a [u8]; MAX_PIECES],
    count: usize,
}

impl<'a> Pieces<'a> {
    fn add<const N: usize>(&mut self, more: [&'a str; N]) {
        self.pieces[self.count..self.count + N].copy_from_slice(&more.map(str::as_bytes));
        self.count += N;
    }
}

impl<'a> Deref for Pieces<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &[&'a [u8]] {
        &self.pieces[..self.count]
    }
}

/// An element with text, which may be secret.
pub(crate) fn element(name: &str, text: &str) -> Wiped<String> {
    let escaped = Wiped::new(escape(text).into_owned());
    let pieces = ["<", name, ">", &escaped, "</", name, ">"];
    // `concat` allocates once, so no unwiped copy of a part is left in memory.
    Wiped::new(pieces.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of<const PARTS: usize>(envelope: &Envelope<'_, PARTS>) -> String {
        String::from_utf8(envelope.pieces().concat()).unwrap()
    }

    #[test]
    fn a_request_is_well_formed_and_escapes_what_is_text() {
        let this = Reference { kind: "VirtualMachine", id: "vm-1<2" };
        let arguments = element("newName", "a&b");
        let header = [header_part!("operationID", "op\"1")];
        let text = text_of(&Envelope::new(header, "urn:vim25", "Rename_Task", this, &arguments));
        let document = roxmltree::Document::parse(&text).unwrap();
        let find = |name: &str| document.descendants().find(|n| n.tag_name().name() == name).unwrap();
        assert_eq!(find("Rename_Task").tag_name().namespace(), Some("urn:vim25"));
        assert_eq!(find("_this").text(), Some("vm-1<2"));
        assert_eq!(find("_this").attribute("type"), Some("VirtualMachine"));
        assert_eq!(find("newName").text(), Some("a&b"));
        assert_eq!(find("operationID").text(), Some("op\"1"));
    }

    #[test]
    fn a_header_has_the_parts_that_have_a_text() {
        let this = Reference { kind: "PbmServiceInstance", id: "ServiceInstance" };
        let method = "PbmRetrieveServiceContent";
        let text = |id, session, own| {
            let header =
                [header_part!("operationID", id), HeaderPart::session(session), HeaderPart::written(own)];
            text_of(&Envelope::new(header, "urn:pbm", method, this, ""))
        };
        let all = text("1", "a&b", "<x xmlns=\"urn:x\"/>");
        let header = "<Header><operationID>1</operationID>\
            <vcSessionCookie xmlns=\"\">a&amp;b</vcSessionCookie><x xmlns=\"urn:x\"/></Header>";
        assert!(
            all.contains(&format!("{header}<Body><PbmRetrieveServiceContent xmlns=\"urn:pbm\">")),
            "{all}"
        );
        assert!(!text("", "", "").contains("Header"));
    }

    #[test]
    fn an_element_leaves_no_copies_behind() {
        let element = element("password", &"p&w".repeat(50));
        assert_eq!(element.capacity(), element.len(), "it never grew");
    }
}
