//! What the readers of one document share: the texts that are not in the document as such, and the prefixes that stand for `xsi`. Each is
//! worked out when somebody first asks, and kept as long as the document. Any thread may ask.

use std::collections::HashMap;

use super::node::Piece;
use super::xsi::Scopes;
use crate::sync::{Arc, Mutex, rank};

#[derive(Debug, Default)]
pub(crate) struct Resolved(Mutex<Option<Tables>, rank::Resolved>);

#[derive(Debug, Default)]
struct Tables {
    /// By the offset of what stands for the text.
    texts: HashMap<usize, String>,
    scopes: Option<Arc<Scopes>>,
}

impl Resolved {
    /// The text for which a piece of the document stands, which stays where it is as long as this object. `None`: there is not enough
    /// memory.
    pub(crate) fn text(&self, piece: Piece) -> Option<*const str> {
        let known = |tables: &Tables| tables.texts.get(&piece.at).map(|text| std::ptr::from_ref(&**text));
        if let Some(text) = self.0.lock().as_ref().and_then(known) {
            return Some(text);
        }
        // Two threads may do this at the same time; the first one to store its text wins.
        let text = piece.resolved()?;
        let mut tables = self.0.lock();
        let tables = tables.get_or_insert_default();
        if let Some(text) = known(tables).filter(|_| !planted!("text-replaced")) {
            return Some(text);
        }
        tables.texts.try_reserve(1).ok()?;
        tables.texts.insert(piece.at, text);
        known(tables)
    }

    /// Whether a prefix stands for `xsi` in the element of `text` whose start tag begins at `at`.
    pub(crate) fn is_xsi(&self, text: &str, prefix: &str, at: usize) -> bool {
        let known = self.0.lock().as_ref().and_then(|tables| tables.scopes.clone());
        let scopes = known.or_else(|| {
            let read = Arc::new(Scopes::read(text)?);
            self.0.lock().get_or_insert_default().scopes = Some(read.clone());
            Some(read)
        });
        scopes.is_some_and(|scopes| scopes.contain(text, prefix, at))
    }
}
