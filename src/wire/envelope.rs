//! Writes requests. The shape follows the vSphere Web Services API: the method element in `urn:vim25`, the managed
//! object first as `_this`, and `operationID` in the header, which vCenter repeats in its own log.

use super::xml::escape;
use crate::runtime::secret::Wiped;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">"#;

/// A reference to a managed object: its type and its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
}

/// A request as text. `arguments` is XML: the elements that follow `_this`. It may hold a password, so the whole text is
/// zeroed when dropped.
pub(crate) fn request(method: &str, this: Reference, arguments: &str, operation_id: &str) -> Wiped<String> {
    let (operation_id, kind, id) = (escape(operation_id), escape(this.kind), escape(this.id));
    let header = match &*operation_id {
        "" => ["", "", ""],
        id => ["<Header><operationID>", id, "</operationID></Header>"],
    };
    let [before, name, after] = header;
    let pieces = [
        HEAD,
        before,
        name,
        after,
        "<Body><",
        method,
        " xmlns=\"urn:vim25\"><_this type=\"",
        &kind,
        "\">",
        &id,
        "</_this>",
        arguments,
        "</",
        method,
        "></Body></Envelope>",
    ];
    // In one piece, as in `escape`: `concat` counts first.
    Wiped::new(pieces.concat())
}

/// An element with text, which may be secret.
pub(crate) fn element(name: &str, text: &str) -> Wiped<String> {
    let escaped = Wiped::new(escape(text).into_owned());
    let pieces = ["<", name, ">", &escaped, "</", name, ">"];
    // In one piece, as in `escape`: `concat` counts first.
    Wiped::new(pieces.concat())
}

/// Whether this is white space as XML knows it, which is less than what Rust does.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Whether `arguments` can stand inside a request: well-formed elements that use no prefix but `xsi` and `xsd`, or
/// declare their own.
pub(crate) fn check_arguments(arguments: &str) -> Result<(), String> {
    if is_blank(arguments) {
        return Ok(());
    }
    let wrapped = Wiped::new(format!(
        r#"<x xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">{arguments}</x>"#
    ));
    match roxmltree::Document::parse(&wrapped) {
        Err(error) => Err(format!("not well-formed XML: {error}")),
        Ok(document)
            if document
                .root_element()
                .children()
                .any(|c| c.is_text() && !is_blank(c.text().unwrap_or(""))) =>
        {
            Err("text outside of an element; each argument is an element, like <name>value</name>".into())
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_well_formed_and_escapes_what_is_text() {
        let this = Reference { kind: "VirtualMachine", id: "vm-1<2" };
        let text = request("Rename_Task", this, &element("newName", "a&b"), "op\"1");
        let document = roxmltree::Document::parse(&text).unwrap();
        let find = |name: &str| document.descendants().find(|n| n.tag_name().name() == name).unwrap();
        assert_eq!(find("Rename_Task").tag_name().namespace(), Some("urn:vim25"));
        assert_eq!(find("_this").text(), Some("vm-1<2"));
        assert_eq!(find("_this").attribute("type"), Some("VirtualMachine"));
        assert_eq!(find("newName").text(), Some("a&b"));
        assert_eq!(find("operationID").text(), Some("op\"1"));
    }

    #[test]
    fn an_element_leaves_no_copies_behind() {
        let element = element("password", &"p&w".repeat(50));
        assert_eq!(element.capacity(), element.len(), "it never grew");
    }

    #[test]
    fn arguments_that_would_break_the_envelope_are_refused() {
        assert!(check_arguments("").is_ok());
        assert!(check_arguments("<a xsi:type=\"xsd:string\">1</a><b/>").is_ok());
        for bad in ["<a>", "</Body>", "<a></b>", "</x><x>", "just text", "<a/>&undefined;", "\u{c}"] {
            assert!(check_arguments(bad).is_err(), "{bad}");
        }
    }
}
