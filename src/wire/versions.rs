//! The document at `/sdk/vimServiceVersions.xml`, in which a server lists the API versions that it speaks. It can be read
//! without a session. A server answers a version that it does not list with a fault.

use super::xml::{self, child, child_text};
use crate::error::{Error, Result};
use crate::status::Status;

/// The newest version of `urn:vim25` that the document lists.
pub(crate) fn newest(body: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(body);
    let document = xml::parse(&text)?;
    let root = document.root_element();
    if root.tag_name().name() != "namespaces" {
        return Err(xml::not_soap(&text, "it is no list of API versions"));
    }
    root.children()
        .filter(|n| n.tag_name().name() == "namespace" && child_text(*n, "name") == Some("urn:vim25"))
        .find_map(|n| child(n, "version")?.text().map(str::trim))
        .filter(|v| is_version(v))
        .map(str::to_string)
        .ok_or_else(|| {
            Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the server's list of API versions names none for urn:vim25; set 'api_version' by hand if the server is known to speak one",
            )
        })
}

/// Whether this looks like a version, such as `8.0.2.0`.
pub(crate) fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_vim25_is_taken() {
        let document = br#"<?xml version="1.0" encoding="UTF-8" ?><namespaces version="1.0">
            <namespace><name>urn:other</name><version>1.0</version></namespace>
            <namespace><name>urn:vim25</name><version>8.0.2.0</version>
            <priorVersions><version>8.0.1.0</version></priorVersions></namespace></namespaces>"#;
        assert_eq!(newest(document).unwrap(), "8.0.2.0");
    }

    #[test]
    fn other_documents_are_errors() {
        assert!(newest(b"<namespaces/>").is_err());
        assert!(newest(b"<html><body>login</body></html>").is_err());
        assert!(newest(b"<namespaces><namespace><name>urn:vim25</name><version>\"x\r\n</version></namespace></namespaces>").is_err());
    }
}
