//! XML: text in it, one reader for documents of any size, and small trees.
//!
//! - `text`: characters, names, escapes and references.
//! - `decode`: the bytes that a server sent as text, bad characters included.
//! - `reader`: finds the tags of a document or of a call's arguments. Whatever comes from a server or a program is read by it.
//! - `tree`: a small document as a tree of roxmltree, where its parts are looked up by name: the service content, the
//!   list of versions, a session. It is made only after `reader` has read the text.
//! - `date_time`: `xsd:dateTime`.

pub(crate) mod date_time;
pub(crate) mod decode;
pub(crate) mod reader;
pub(crate) mod text;
pub(crate) mod tree;

pub(crate) use text::{escape, is_name, is_text};
