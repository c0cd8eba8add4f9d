//! The cursor's C functions, and a comparison of what they find with what a tree parser finds, which every reply and every fault of
//! the tests goes through.

use std::ffi::CString;

use ::vsession::ffi::error::*;
use ::vsession::ffi::node::*;
use ::vsession::ffi::reply::*;

use super::client::text;

/// A node, as long as its reply or error.
#[derive(Clone, Copy, Debug)]
pub struct Node(pub vsession_node);

fn shown(text: vsession_text) -> Option<&'static str> {
    if text.data.is_null() {
        assert_eq!(text.length, 0);
        return None;
    }
    let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.length) };
    Some(std::str::from_utf8(bytes).expect("texts are UTF-8"))
}

impl Node {
    /// `None`: it is the null node.
    fn of(node: vsession_node) -> Option<Node> {
        (!vsession_node_is_null(node)).then_some(Node(node))
    }

    pub fn root_of_reply(reply: *const vsession_reply) -> Option<Node> {
        Node::of(unsafe { vsession_reply_root(reply) })
    }

    pub fn root_of_fault(error: *const vsession_error) -> Option<Node> {
        Node::of(unsafe { vsession_error_fault_root(error) })
    }

    pub fn child(self, path: &str) -> Option<Node> {
        let path = CString::new(path).unwrap();
        Node::of(unsafe { vsession_node_child(self.0, path.as_ptr()) })
    }

    pub fn property(self, name: &str) -> Option<Node> {
        let name = CString::new(name).unwrap();
        Node::of(unsafe { vsession_node_property(self.0, name.as_ptr()) })
    }

    pub fn next(self) -> Option<Node> {
        Node::of(unsafe { vsession_node_next(self.0) })
    }

    pub fn first(self) -> Option<Node> {
        Node::of(unsafe { vsession_node_first(self.0) })
    }

    pub fn sibling(self) -> Option<Node> {
        Node::of(unsafe { vsession_node_sibling(self.0) })
    }

    pub fn name(self) -> &'static str {
        shown(unsafe { vsession_node_name(self.0) }).expect("an element has a name")
    }

    pub fn xml(self) -> &'static str {
        shown(unsafe { vsession_node_xml(self.0) }).expect("an element is XML")
    }

    pub fn text(self) -> Option<&'static str> {
        shown(unsafe { vsession_node_text(self.0) })
    }

    pub fn kind(self) -> Option<&'static str> {
        shown(unsafe { vsession_node_type(self.0) })
    }

    pub fn attribute(self, name: &str) -> Option<&'static str> {
        let name = CString::new(name).unwrap();
        shown(unsafe { vsession_node_attribute(self.0, name.as_ptr()) })
    }
}

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Larger replies take the tests too long.
const LARGEST: usize = 200_000;

pub unsafe fn check_reply(reply: *const vsession_reply) {
    let xml = text(unsafe { vsession_reply_xml(reply, std::ptr::null_mut()) }).expect("a reply to a call");
    if xml.len() <= LARGEST {
        let root = Node::root_of_reply(reply).expect("a reply to a call has a root");
        check(&xml, root, |document| document.root_element().last_element_child()?.first_element_child());
    }
}

pub unsafe fn check_fault(error: *const vsession_error) {
    let xml = text(unsafe { vsession_error_fault_xml(error) }).filter(|xml| xml.len() <= LARGEST);
    match (xml, Node::root_of_fault(error)) {
        (None, root) => assert!(root.is_none_or(|root| root.xml().len() > LARGEST)),
        (Some(xml), None) => {
            let parsed = roxmltree::Document::parse(&xml).expect("the detail is a document");
            assert!(parsed.root_element().first_element_child().is_none(), "{xml}");
        }
        (Some(xml), Some(root)) => {
            check(&xml, root, |document| document.root_element().first_element_child())
        }
    }
}

fn check(
    xml: &str,
    root: Node,
    find: impl for<'a, 'b> FnOnce(&'a roxmltree::Document<'b>) -> Option<roxmltree::Node<'a, 'b>>,
) {
    // A reply with a bad character, for which the parser has no document.
    let Ok(document) = roxmltree::Document::parse(xml) else { return };
    is_same(find(&document).expect("the document has it"), root);
}

fn is_same(element: roxmltree::Node, node: Node) {
    assert_eq!(node.name(), element.tag_name().name());
    let kind = element.attribute((XSI, "type")).map(|kind| kind.trim().rsplit(':').next().unwrap());
    assert_eq!(node.kind(), kind);
    for attribute in element.attributes().filter(|attribute| attribute.namespace().is_none()) {
        assert_eq!(node.attribute(attribute.name()), Some(attribute.value()));
    }
    let mut children = element.children().filter(roxmltree::Node::is_element).peekable();
    if children.peek().is_none() {
        let whole: String =
            element.children().filter(roxmltree::Node::is_text).filter_map(|text| text.text()).collect();
        assert_eq!(node.text(), Some(&*whole));
    } else {
        assert_eq!(node.text(), None);
    }
    let mut found = node.first();
    for child in children {
        let own = found.expect("the parser finds another element");
        is_same(child, own);
        found = own.sibling();
    }
    assert!(found.is_none(), "the parser finds no more elements");
}
