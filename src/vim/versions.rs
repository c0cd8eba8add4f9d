//! The document `/sdk/vimServiceVersions.xml`, in which a server lists the API versions that it supports. Reading it needs no
//! session. A server answers calls in other versions with a fault.

use roxmltree::Node;

use crate::soap::xml::decode::decode;
use crate::soap::xml::repair::without_marks;
use crate::soap::xml::tree::{self, child_text, text_of};

/// The released versions of `urn:vim25` that the document lists, the newest first as servers list them. Internal versions, such as
/// `uA046D008`, may come before them. Empty: the document lists none, or is another document.
pub(crate) fn released(body: &[u8]) -> Vec<String> {
    // A larger document is another one, and is not copied.
    let Ok(decoded) = decode(body[..body.len().min(2 * tree::LARGEST_TREE)].to_vec()) else {
        return Vec::new();
    };
    let text = without_marks(decoded.text);
    let Ok(document) = tree::parse(&text) else { return Vec::new() };
    let root = document.root_element();
    if root.tag_name().name() != "namespaces" {
        return Vec::new();
    }
    let is_vim25 = |n: &Node| {
        n.tag_name().name() == "namespace" && child_text(*n, "name").as_deref() == Some("urn:vim25")
    };
    let listed = root.children().filter(is_vim25).flat_map(|namespace| {
        let prior = namespace
            .children()
            .filter(|n| n.tag_name().name() == "priorVersions")
            .flat_map(|n| n.children());
        namespace.children().chain(prior).filter(|n| n.tag_name().name() == "version")
    });
    listed.map(|n| text_of(n).trim().to_string()).filter(|version| is_released(version)).collect()
}

/// Whether a released version is newer than another one.
pub(crate) fn is_newer(version: &str, than: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u64>>();
    let (mut one, mut other) = (numbers(version), numbers(than));
    // `8.0` is `8.0.0.0`.
    let length = one.len().max(other.len());
    one.resize(length, 0);
    other.resize(length, 0);
    one > other
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
        assert_eq!(released(document), ["8.0.2.0", "8.0.1.0"]);
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
            assert_eq!(released(list(internal, prior).as_bytes()), ["8.0.2.0", "8.0.1.0"], "{internal}");
        }
        assert!(released(list("uA046D008", "").as_bytes()).is_empty());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (older, newer) in [("8.0.2.0", "8.0.3.0"), ("6.9.1", "6.10"), ("5.5", "5.5.1"), ("7.0.3.0", "8")]
        {
            assert!(is_newer(newer, older) && !is_newer(older, newer), "{older} {newer}");
        }
        for (one, same) in [("8.0", "8.0.0.0"), ("08.0", "8.0"), ("8", "8.")] {
            assert!(!is_newer(one, same) && !is_newer(same, one), "{one}");
        }
    }

    #[test]
    fn other_documents_list_none() {
        assert!(released(b"").is_empty());
        assert!(released(b"<namespaces/>").is_empty());
        assert!(released(b"<html><body>login</body></html>").is_empty());
        assert!(released(b"<namespaces><namespace><name>urn:vim25</name><version>\"x\r\n</version></namespace></namespaces>").is_empty());
    }
}
