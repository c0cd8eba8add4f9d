//! `vsession_node`: a cursor over the XML of a reply or of a fault, for programs without an XML library.

use std::ffi::c_char;

use super::error::vsession_error;
use super::guard::guard;
use super::reply::vsession_reply;
use super::strings::optional;
use crate::runtime::fork;
use crate::soap::xml::node::{Node, Piece, Place, type_name};
use crate::soap::xml::resolved::Resolved;

/// An element of a reply or of a fault: a small value, which is passed and copied as such and never freed. It is valid as long as
/// the reply or the error that it came from. `{0}` is the null node, which every function takes and which is returned where there
/// is no such element.
///
/// Names are those without prefixes, in paths too. A step to another node scans the text that it passes: it takes no memory, and
/// no two threads disturb each other. docs/replies.md shows how to read a reply.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_node {
    /// Not for the program.
    pub reserved: [u64; 4],
}

/// A part of a reply or of a fault: its address and its length in bytes. No NUL follows it. UTF-8. `{NULL, 0}`: there is none; an
/// empty text has an address.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_text {
    /// The first byte; NULL: there is no text.
    pub data: *const c_char,
    /// How many bytes.
    pub length: usize,
}

const NULL: vsession_node = vsession_node { reserved: [0; 4] };
const NONE: vsession_text = vsession_text { data: std::ptr::null(), length: 0 };

/// What a node belongs to, as a number in it.
const OF_REPLY: u64 = 1;
const OF_ERROR: u64 = 2;

impl vsession_node {
    pub(super) fn of_reply(reply: &vsession_reply, node: Option<Node>) -> vsession_node {
        vsession_node::new(std::ptr::from_ref(reply).expose_provenance(), OF_REPLY, node)
    }

    pub(super) fn of_error(error: &vsession_error, node: Option<Node>) -> vsession_node {
        vsession_node::new(std::ptr::from_ref(error).expose_provenance(), OF_ERROR, node)
    }

    fn new(owner: usize, kind: u64, node: Option<Node>) -> vsession_node {
        node.map_or(NULL, |node| {
            let Place { start, inside } = node.place();
            vsession_node { reserved: [owner as u64, kind, start as u64, inside as u64] }
        })
    }

    /// Another node of the same document.
    fn beside(self, node: Option<Node>) -> vsession_node {
        vsession_node::new(self.reserved[0] as usize, self.reserved[1], node)
    }

    /// The element, and what the readers of its document share.
    ///
    /// # Safety
    /// It is null, or what it came from has not been freed, and is not during `'a`.
    unsafe fn element<'a>(self) -> Option<(Node<'a>, &'a Resolved)> {
        let [owner, kind, start, inside] = self.reserved;
        let owner = owner as usize;
        let (text, resolved) = match kind {
            // SAFETY: this function made the number of such an object, which by contract lives.
            OF_REPLY => unsafe { &*std::ptr::with_exposed_provenance::<vsession_reply>(owner) }.document(),
            // SAFETY: see above.
            OF_ERROR => unsafe { &*std::ptr::with_exposed_provenance::<vsession_error>(owner) }.document(),
            _ => None,
        }?;
        let place = Place { start: start as usize, inside: inside as usize };
        Some((Node::again(text, place)?, resolved))
    }
}

impl vsession_text {
    fn of(text: &str) -> vsession_text {
        vsession_text { data: text.as_ptr().cast(), length: text.len() }
    }
}

/// A step to another element.
fn step(node: vsession_node, to: impl FnOnce(Node) -> Option<Node>) -> vsession_node {
    // SAFETY: by contract the node is null or its reply or error lives.
    unsafe { node.element() }.map_or(NULL, |(element, _)| node.beside(to(element)))
}

/// What an element says. `part` is the text for which a piece of the document stands.
fn told(
    node: vsession_node,
    find: impl for<'a> FnOnce(Node<'a>, &dyn Fn(&str) -> bool) -> Option<Piece<'a>>,
    part: fn(&str) -> &str,
) -> vsession_text {
    // SAFETY: by contract the node is null or its reply or error lives.
    let Some((element, resolved)) = (unsafe { node.element() }) else { return NONE };
    // What must be worked out is kept behind a lock, which may be held for ever in a forked child.
    let is_xsi = |prefix: &str| {
        !fork::is_forked_child() && resolved.is_xsi(element.document(), prefix, element.place().start)
    };
    let Some(piece) = find(element, &is_xsi) else { return NONE };
    if !piece.needs_resolving() {
        return vsession_text::of(part(piece.raw));
    }
    let text = if fork::is_forked_child() { None } else { resolved.text(piece) };
    // SAFETY: the text stays there as long as the reply or the error.
    text.map_or(NONE, |text| vsession_text::of(part(unsafe { &*text })))
}

/// A string of the program that names something. What is not UTF-8 names nothing.
///
/// # Safety
/// `name` is NULL or points to a NUL-terminated string that stays unchanged for `'a`.
unsafe fn named<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's promise is ours.
    unsafe { optional(name, "name") }.ok().flatten()
}

/// Returns the response element of the reply to a call, for example `RetrievePropertiesExResponse`. Its children are the return values,
/// `returnval`. The null node for NULL and for a reply of `vsession_http`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_reply_root(reply: *const vsession_reply) -> vsession_node {
    guard!(read(reply, NULL), |r| vsession_node::of_reply(r, r.root()))
}

/// Returns the first element in the detail of the SOAP fault, which is of the fault's type, for example `InvalidNameFault`. Its children are the
/// properties of the fault; the path `faultCause/fault` leads to the fault that caused it. The null node where
/// `vsession_error_fault_xml` is NULL, and for a detail without elements.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_error_fault_root(error: *const vsession_error) -> vsession_node {
    guard!(read(error, NULL), |e| vsession_node::of_error(e, e.fault_root()))
}

/// Returns whether this is the null node.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_node_is_null(node: vsession_node) -> bool {
    guard!(accessor(true), || node.reserved[1] == 0)
}

/// Returns the first element to which a path of names leads, for example `returnval/objects`: of all elements to which it leads, the one
/// that begins first. The null node when there is none, and for a path that is NULL, not UTF-8, or has an empty name or a prefix in
/// it.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_child(node: vsession_node, path: *const c_char) -> vsession_node {
    guard!(accessor(NULL), || {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let path = unsafe { named(path) };
        step(node, |element| element.child(path?))
    })
}

/// Returns the next element with the same parent and the same name: in a loop, all `objects` of a return value. The null node
/// behind the last one.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_next(node: vsession_node) -> vsession_node {
    guard!(accessor(NULL), || step(node, |element| element.next()))
}

/// Returns the first child element, whatever its name. The null node when there is none.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_first(node: vsession_node) -> vsession_node {
    guard!(accessor(NULL), || step(node, |element| element.first()))
}

/// Returns the next element with the same parent, whatever its name. The null node behind the last one.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_sibling(node: vsession_node) -> vsession_node {
    guard!(accessor(NULL), || step(node, |element| element.sibling()))
}

/// Returns the value of a property of an object in the result of a property read: the `val` of the `propSet` with this `name`, for
/// example `runtime.powerState`. `object` is an `ObjectContent`, for example `returnval/objects` of `RetrievePropertiesEx`. The null
/// node when the object has no such property here, and for a `name` that is NULL or not UTF-8.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_property(object: vsession_node, name: *const c_char) -> vsession_node {
    guard!(accessor(NULL), || {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let name = unsafe { named(name) };
        step(object, |element| element.property(name?))
    })
}

/// Returns the name of the element without its prefix. `{NULL, 0}` for the null node.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_name(node: vsession_node) -> vsession_text {
    guard!(accessor(NONE), || {
        // SAFETY: by contract the node is null or its reply or error lives.
        unsafe { node.element() }.map_or(NONE, |(element, _)| vsession_text::of(element.name()))
    })
}

/// Returns the text of an element without child elements, which may be empty. References and CDATA sections are resolved, comments are
/// removed, and ends of lines are line feeds. Where nothing must be changed, it is a part of the reply; otherwise the library makes
/// the text when it is first asked for, and keeps it with the reply. `{NULL, 0}` for an element with child elements, for the null
/// node, and when there is not enough memory.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_text(node: vsession_node) -> vsession_text {
    guard!(accessor(NONE), || told(node, |element, _| element.text(), |text| text))
}

/// Returns the element from its start tag to its end tag, as it is in the reply or in `vsession_error_fault_xml`. Elements around it may
/// declare the prefixes that it uses. `{NULL, 0}` for the null node.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_xml(node: vsession_node) -> vsession_text {
    guard!(accessor(NONE), || {
        // SAFETY: by contract the node is null or its reply or error lives.
        unsafe { node.element() }.map_or(NONE, |(element, _)| vsession_text::of(element.xml()))
    })
}

/// Returns the value of an attribute, for example the `type` of a reference to an object, resolved as a text is. If two attributes of the
/// element differ only in their prefixes, it is the one without a prefix. `xsi:type` is not found by this function; see
/// `vsession_node_type`. `{NULL, 0}` when there is no such attribute, for the null node, for a `name` that is NULL, not UTF-8 or has
/// a prefix, and when there is not enough memory.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_attribute(node: vsession_node, name: *const c_char) -> vsession_text {
    guard!(accessor(NONE), || {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let name = unsafe { named(name) };
        told(node, |element, is_xsi| element.attribute(name?, is_xsi), |value| value)
    })
}

/// Returns the type that the server states for the element: the value of its attribute `xsi:type`, whatever prefix stands for `xsi`,
/// without the prefix of the type, for example `ManagedObjectReference` or `string`. `{NULL, 0}` when it states none, for the null
/// node, and when there is not enough memory.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_node_type(node: vsession_node) -> vsession_text {
    guard!(accessor(NONE), || told(node, |element, is_xsi| element.xsi_type(is_xsi), type_name))
}
