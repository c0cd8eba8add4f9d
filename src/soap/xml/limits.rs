//! The limits of the documents that are read, each with its reason. They lie far beyond the documents of vSphere servers, and docs/replies.md
//! names them.
//!
//! The number of elements has no limit of its own. The reader makes no tree, so an element takes memory only while it is open. The size of the
//! document, which `max_reply_bytes` bounds, also bounds the number of its elements and the time that they take.

/// The most attributes of an element, declarations included. Each name is compared with those before it, because none may occur twice, so the
/// time that a tag takes could otherwise grow with the square of its length. Real elements have up to seven.
pub(super) const MAX_ATTRIBUTES: usize = 32;

/// The most prefixes in scope at one place. Every declaration counts. A prefix is looked up by going through them, so the time that a
/// document takes could otherwise grow with the square of its size. Real envelopes have up to six.
pub(super) const MAX_PREFIXES: usize = 32;

/// The most levels of elements. The places of the names of all open elements are kept, which then take 16 MiB. Real replies have some twenty
/// levels. The reader does not recurse, so no stack is at stake.
pub(super) const MAX_DEPTH: usize = 1 << 20;

/// The largest document that becomes a tree, which takes many times its size. Real ones have a few kilobytes. Only the library's own questions have
/// answers that become trees; those of a program's calls never do.
pub(crate) const LARGEST_TREE: usize = 256 * 1024;

/// The most elements, attributes and texts of such a document. Each of them takes memory.
pub(super) const MAX_NODES: usize = 16 * 1024;

/// The most declarations of such a document. The tree repeats those in scope for each element that declares another one.
pub(super) const MAX_DECLARATIONS: usize = 512;

/// The most levels of such a document. The parser recurses once for each level, and the caller's stack may be small.
pub(super) const MAX_LEVELS: usize = 128;
