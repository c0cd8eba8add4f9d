//! Where in a document a prefix stands for the namespace of `xsi:type`. vSphere servers declare it once, in the root element, so
//! that this is read once and has one entry.

use std::ops::Range;

use memchr::memmem;

use super::reader::{EndTag, Event, Reader, StartTag, XSI};
use super::text::is_same_value;

/// The elements that change whether a prefix stands for `xsi`, in the order of the document.
#[derive(Debug)]
pub(super) struct Scopes(Vec<Scope>);

#[derive(Debug)]
struct Scope {
    /// The place of the prefix.
    prefix: Range<usize>,
    /// From the start tag of the element that declares the prefix to its end tag.
    from: usize,
    to: usize,
    level: usize,
    /// The scope around this one, of any prefix.
    outer: Option<usize>,
    is_xsi: bool,
}

impl Scopes {
    /// Reads a document, or of one that is not well-formed what comes before its fault. `None`: there is not enough memory.
    pub(super) fn read(text: &str) -> Option<Scopes> {
        // Nothing declares a prefix behind this.
        let last = memmem::rfind(text.as_bytes(), b"xmlns:").unwrap_or(0);
        let mut scopes = Scopes(Vec::new());
        // The indices of the scopes that are open. The reader bounds how many.
        let mut open: Vec<usize> = Vec::new();
        let mut reader = Reader::document(text);
        while let Ok(Some(event)) = reader.next() {
            match event {
                Event::Start(start) => {
                    scopes.open(text, &reader, &start, &mut open)?;
                    // A scope of the root element lasts to the end.
                    if start.tag.end > last && open.iter().all(|scope| scopes.0[*scope].level == 1) {
                        break;
                    }
                }
                Event::End(EndTag { level, tag }) => {
                    while let Some(scope) = open.pop_if(|scope| scopes.0[*scope].level == level) {
                        scopes.0[scope].to = tag.start;
                    }
                }
            }
        }
        Some(scopes)
    }

    fn open(&mut self, text: &str, reader: &Reader, start: &StartTag, open: &mut Vec<usize>) -> Option<()> {
        let own = reader.bindings().iter().rev().take_while(|binding| binding.level == start.level);
        for binding in own {
            let prefix = binding.prefix(text);
            let is_xsi = is_same_value(binding.uri(text), XSI);
            if prefix.is_empty() || is_xsi == self.find(text, prefix, open.last().copied(), start.tag.start) {
                continue;
            }
            self.0.try_reserve(1).ok()?;
            self.0.push(Scope {
                prefix: binding.place_of_prefix(),
                from: start.tag.start,
                to: text.len(),
                level: start.level,
                outer: open.last().copied(),
                is_xsi,
            });
            open.push(self.0.len() - 1);
        }
        Some(())
    }

    /// Whether the prefix stands for `xsi` in the element whose start tag begins at `at`.
    pub(super) fn contain(&self, text: &str, prefix: &str, at: usize) -> bool {
        let innermost = self.0.partition_point(|scope| scope.from <= at).checked_sub(1);
        self.find(text, prefix, innermost, at)
    }

    /// Looks from a scope outwards, for as many steps as prefixes can be in scope.
    fn find(&self, text: &str, prefix: &str, mut innermost: Option<usize>, at: usize) -> bool {
        while let Some(scope) = innermost.map(|scope| &self.0[scope]) {
            if at < scope.to && &text[scope.prefix.clone()] == prefix {
                return scope.is_xsi;
            }
            innermost = scope.outer;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_for_xsi_where_it_is_declared_so() {
        let text = "<a xmlns:i='http://www.w3.org/2001/XMLSchema-instance' xmlns:x='u'><b/><c xmlns:i='v'><d/>\
            <e xmlns:y='w' xmlns:i='http://www.w3.org/2001/XMLSchema-&#105;nstance'><f/></e><g/></c><h/>\
            <k xmlns:x='http://www.w3.org/2001/XMLSchema-instance'/><l/></a>";
        let scopes = Scopes::read(text).unwrap();
        assert_eq!(scopes.0.len(), 4, "only changes are kept: {scopes:?}");
        let stands = |prefix: &str, element: &str| {
            let at = text.find(&format!("<{element}")).unwrap();
            scopes.contain(text, prefix, at)
        };
        for (element, i, x) in [
            ("a", true, false),
            ("b", true, false),
            ("c", false, false),
            ("d", false, false),
            ("e", true, false),
            ("f", true, false),
            ("g", false, false),
            ("h", true, false),
            ("k", true, true),
            ("l", true, false),
        ] {
            assert_eq!((stands("i", element), stands("x", element)), (i, x), "{element}");
            assert!(!stands("y", element) && !stands("", element));
        }
    }

    #[test]
    fn the_declarations_of_a_servers_root_are_all_that_is_read() {
        let text = format!(
            "<a xmlns:i='http://www.w3.org/2001/XMLSchema-instance'>{}",
            "<b i:type='x'>".repeat(1000)
        );
        let scopes = Scopes::read(&text).unwrap();
        assert_eq!(scopes.0.len(), 1);
        assert!(scopes.contain(&text, "i", text.len() - 20));
    }
}
