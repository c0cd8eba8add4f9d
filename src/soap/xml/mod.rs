//! XML: its text, one reader for documents of any size, and small trees.
//!
//! - `text`: characters, names, escapes and references.
//! - `decode`: bytes to text.
//! - `repair`: characters that XML forbids, and what takes their places.
//! - `limits`: how large and how deep documents may be.
//! - `reader`: finds the tags of a document or of a call's arguments. It reads all XML from servers and programs.
//! - `node`: a cursor over a document that `reader` has accepted, with `xsi` (which prefixes stand for that namespace) and
//!   `resolved` (the texts that readers have asked for).
//! - `problem`: why a document cannot be read.
//! - `tree`: small documents as trees of roxmltree, whose parts are looked up by name: the service content, the list of
//!   versions, a session. `reader` checks the text first.
//! - `date_time`: `xsd:dateTime`.

pub(crate) mod date_time;
pub(crate) mod decode;
mod limits;
pub(crate) mod node;
pub(crate) mod problem;
pub(crate) mod reader;
pub(crate) mod repair;
pub(crate) mod resolved;
pub(crate) mod text;
pub(crate) mod tree;
mod xsi;

pub(crate) use reader::is_name;
pub(crate) use text::{escape, is_text};
