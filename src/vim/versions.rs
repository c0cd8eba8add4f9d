//! The document `/sdk/vimServiceVersions.xml`, in which a server lists the API versions that it supports. Reading it needs no
//! session. A server answers calls in other versions with a fault.

use roxmltree::Node;

use crate::soap::xml::decode::decode;
use crate::soap::xml::repair::without_marks;
use crate::soap::xml::tree::{self, child_text, text_of};

/// The newest released version of `urn:vim25` that the document lists. Internal versions, such as `uA046D008`, may come before
/// it. `None`: the document lists none, or is another document.
pub(crate) fn newest(body: &[u8]) -> Option<String> {
    // A larger document is another one, and is not copied.
    let decoded = decode(body[..body.len().min(2 * tree::LARGEST_TREE)].to_vec()).ok()?;
    let text = without_marks(decoded.text);
    let document = tree::parse(&text).ok()?;
    let root = document.root_element();
    if root.tag_name().name() != "namespaces" {
        return None;
    }
    let is_vim25 = |n: &Node| {
        n.tag_name().name() == "namespace" && child_text(*n, "name").as_deref() == Some("urn:vim25")
    };
    root.children().filter(is_vim25).find_map(|namespace| {
        let prior = namespace
            .children()
            .filter(|n| n.tag_name().name() == "priorVersions")
            .flat_map(|n| n.children());
        let mut listed = namespace.children().chain(prior).filter(|n| n.tag_name().name() == "version");
        listed.find_map(|n| Some(text_of(n).trim().to_string()).filter(|version| is_released(version)))
    })
}

/// Whether this is the version of a release, such as `8.0.2.0`.
pub(crate) fn is_released(text: &str) -> bool {
    is_version(text)
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether this looks like a version, such as `8.0.2.0`.
pub(crate) fn is_version(text: &str) -> bool {
    !text.is_empty()
        && (text.len() <= 32 || planted!("version-of-any-length"))
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
        assert_eq!(newest(document).as_deref(), Some("8.0.2.0"));
    }

    #[test]
    fn a_name_that_is_no_released_version_is_passed_over() {
        let list = |version: &str, prior: &str| {
            format!(
                "<namespaces><namespace><name>urn:vim25</name><version>{version}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>"
            )
        };
        let prior = "<version>2.5u2</version><version> 8.0.2.0 </version><version>8.0.1.0</version>";
        for internal in ["uA046D008", "", "8.0-beta", ".", "8.0.3.0_x"] {
            assert_eq!(newest(list(internal, prior).as_bytes()).as_deref(), Some("8.0.2.0"), "{internal}");
        }
        assert_eq!(newest(list("uA046D008", "").as_bytes()), None);
    }

    #[test]
    fn other_documents_list_none() {
        assert_eq!(newest(b""), None);
        assert_eq!(newest(b"<namespaces/>"), None);
        assert_eq!(newest(b"<html><body>login</body></html>"), None);
        assert_eq!(newest(b"<namespaces><namespace><name>urn:vim25</name><version>\"x\r\n</version></namespace></namespaces>"), None);
    }
}
