//! Small documents as trees of roxmltree: those that describe a server or a session. Elements are looked up by local name,
//! because servers use different prefixes.

use std::borrow::Cow;

use roxmltree::{Document, Node, ParsingOptions};

pub(crate) use super::limits::LARGEST_TREE;
use super::limits::{MAX_DECLARATIONS, MAX_LEVELS, MAX_NODES};
use super::problem::{Problem, Read, What};
use super::reader::{Event, Reader, XSI};
use super::text::local_part;

/// The bytes that a tree takes for a node, an attribute or a prefix in scope, with spare capacity.
const NODE: usize = 300;

/// Parses a small document. The reader reads it first and refuses documents that would take much memory or stack.
pub(crate) fn parse(text: &str) -> Read<Document<'_>> {
    let too_large = |what| Problem { at: 0, what: What::TooLargeForTree(what) };
    if text.len() > LARGEST_TREE {
        return Err(too_large("is too large for a description of a server or a session"));
    }
    let size = size_of_tree(text)?;
    if size.nodes > MAX_NODES || size.declarations > MAX_DECLARATIONS {
        return Err(too_large("has too many elements for a description of a server or a session"));
    }
    if size.levels > MAX_LEVELS {
        return Err(too_large("is nested too deep for a description of a server or a session"));
    }
    // The parser aborts the process when it finds no memory.
    let need = size.nodes * NODE + 2 * text.len() + size.declarations * NODE;
    if Vec::<u8>::new().try_reserve_exact(need).is_err() {
        // unreached: needs a process without free descriptors or memory
        return Err(Problem { at: 0, what: What::NoMemory });
    }
    let options = ParsingOptions { nodes_limit: 4 * MAX_NODES as u32, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
        .map_err(|_| Problem { at: 0, what: What::Malformed("the tree parser refuses it") })
}

/// The size of the tree that a document would become.
#[derive(Default)]
struct Size {
    nodes: usize,
    declarations: usize,
    levels: usize,
}

fn size_of_tree(text: &str) -> Read<Size> {
    let mut size = Size::default();
    let mut reader = Reader::document(text);
    while let Some(event) = reader.next()? {
        let Event::Start(start) = event else { continue };
        // The element, and texts before and after it.
        size.nodes += 3 + reader.attributes();
        size.levels = size.levels.max(start.level);
        size.declarations += reader.bindings().iter().filter(|binding| binding.level == start.level).count();
    }
    Ok(size)
}

/// The first child element with this local name.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|c| c.is_element() && c.tag_name().name() == name)
}

/// The text of an element without children, including text after a comment.
pub(crate) fn text_of<'a>(node: Node<'a, '_>) -> Cow<'a, str> {
    let mut texts = node.children().filter(Node::is_text).filter_map(|text| text.text());
    let first = texts.next().unwrap_or("");
    match texts.next() {
        None => first.into(),
        Some(second) => [first, second].into_iter().chain(texts).collect::<String>().into(),
    }
}

/// The text of a child element; `None` if there is no such element.
pub(crate) fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<Cow<'a, str>> {
    child(node, name).map(text_of)
}

/// The local part of the `xsi:type` attribute.
pub(crate) fn xsi_type<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.attribute((XSI, "type")).map(local_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tree_would_take_much_for_never_becomes_one() {
        let large = format!("<a>{}</a>", "x".repeat(LARGEST_TREE));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES));
        let declaring = format!("<a>{}</a>", "<b xmlns:c='d'/>".repeat(MAX_DECLARATIONS + 1));
        let deep = format!("{}{}", "<a>".repeat(MAX_LEVELS + 1), "</a>".repeat(MAX_LEVELS + 1));
        for text in [large, many, declaring, deep] {
            assert!(matches!(parse(&text).unwrap_err().what, What::TooLargeForTree(_)));
        }
        let prefixes = (0..100).map(|i| format!(" xmlns:p{i}='u'")).collect::<String>();
        let attributes = (0..100).map(|i| format!(" a{i}='u'")).collect::<String>();
        for text in [format!("<a{prefixes}/>"), format!("<a{attributes}/>")] {
            assert!(matches!(parse(&text).unwrap_err().what, What::Excess(_)));
        }
    }

    #[test]
    fn a_text_goes_on_behind_a_comment() {
        let document = parse("<x><a>a<!-- c -->b<?d?>c<![CDATA[<]]></a><b/></x>").unwrap();
        assert_eq!(child_text(document.root_element(), "a").as_deref(), Some("abc<"));
        assert_eq!(child_text(document.root_element(), "b").as_deref(), Some(""));
    }
}
