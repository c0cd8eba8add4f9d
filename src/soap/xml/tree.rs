//! Small documents as trees of roxmltree: those that describe a server or a session, where parts are looked up by name.
//! Elements are found by their local names, because servers differ in their prefixes.

use std::borrow::Cow;

use roxmltree::{Document, Node, ParsingOptions};

use super::reader::{Event, Problem, Read, Reader, What, XSI};
use super::text::local_part;

/// The largest document that becomes a tree. Those that do take some kilobytes.
pub(crate) const LARGEST_TREE: usize = 256 * 1024;
/// What a tree takes for a node, for an attribute and for a prefix in scope, with what is free while it grows.
const NODE: usize = 300;
/// Elements, attributes and texts of such a document.
const MAX_NODES: usize = 16 * 1024;
/// Each may be repeated for each element that declares another.
const MAX_DECLARATIONS: usize = 512;
/// The parser calls itself for each level, and a caller's stack may be small.
const MAX_LEVELS: usize = 128;

/// Parses a small document. The reader reads it first, and what would take much memory or stack never becomes a tree.
pub(crate) fn parse(text: &str) -> Read<Document<'_>> {
    let too_large = |what| Problem { at: 0, what: What::TooLargeForTree(what) };
    if text.len() > LARGEST_TREE {
        return Err(too_large("is far larger than any description of a server or of a session"));
    }
    let size = size_of_tree(text)?;
    if size.nodes > MAX_NODES || size.declarations > MAX_DECLARATIONS {
        return Err(too_large("has far more elements than any description of a server or of a session"));
    }
    if size.levels > MAX_LEVELS {
        return Err(too_large("is nested far deeper than any description of a server or of a session"));
    }
    // Without memory the parser would end the process.
    let need = size.nodes * NODE + 2 * text.len() + size.declarations * NODE;
    if Vec::<u8>::new().try_reserve_exact(need).is_err() {
        return Err(Problem { at: 0, what: What::NoMemory });
    }
    let options = ParsingOptions { nodes_limit: 4 * MAX_NODES as u32, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
        .map_err(|_| Problem { at: 0, what: What::Malformed("something that the parser of trees refuses") })
}

/// What a tree of a document would hold.
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
        // With a text before it and one behind it.
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

/// The text of an element without children: all of it, also behind a comment.
pub(crate) fn text_of<'a>(node: Node<'a, '_>) -> Cow<'a, str> {
    let mut texts = node.children().filter(Node::is_text).filter_map(|text| text.text());
    let first = texts.next().unwrap_or("");
    match texts.next() {
        None => first.into(),
        Some(second) => [first, second].into_iter().chain(texts).collect::<String>().into(),
    }
}

/// The text of a child element; `None` when there is no such element.
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
