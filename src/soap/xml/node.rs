//! A cursor over a document that `reader` has accepted: a node is an element, given by the place of its start tag. There is no
//! tree and no index. Each step scans the text from the node on, so that a program pays for the part of a reply that it reads,
//! and nodes take no memory.
//!
//! In a text that is not well-formed a node may find anything, but every step ends, and none panics.

mod tags;

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::{memchr, memchr3};

use self::tags::Attributes;
use super::reader::XSI;
use super::text::{is_same_value, local_part, text_content, value_content};

/// An element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    text: &'a str,
    place: Place,
}

/// The place of an element in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The `<` of its start tag.
    pub(crate) start: usize,
    /// The end of its start tag.
    pub(crate) inside: usize,
}

/// What stands for a text: the content of an element without children, or the value of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// Its offset. No two pieces of a document have the same, unless they are empty.
    pub(crate) at: usize,
    pub(crate) raw: &'a str,
    is_value: bool,
}

impl<'a> Piece<'a> {
    /// Whether it is not the text itself: it contains references, markup or ends of lines.
    pub(crate) fn needs_resolving(&self) -> bool {
        let raw = self.raw.as_bytes();
        match self.is_value {
            false => memchr3(b'&', b'<', b'\r', raw).is_some(),
            true => memchr3(b'&', b'\n', b'\r', raw).is_some() || memchr(b'\t', raw).is_some(),
        }
    }

    /// The text. `None`: there is not enough memory.
    pub(crate) fn resolved(&self) -> Option<String> {
        match self.is_value {
            false => text_content(self.raw),
            true => value_content(self.raw),
        }
    }

    /// Whether this is the text.
    fn is(&self, text: &str) -> bool {
        // What stands for a text is never shorter than it.
        match self.raw.len().cmp(&text.len()) {
            Ordering::Less => false,
            Ordering::Equal if self.raw != text && !text.contains('\n') => false,
            _ => self.plain().is_some_and(|own| own == text),
        }
    }

    pub(crate) fn plain(&self) -> Option<Cow<'a, str>> {
        match self.needs_resolving() {
            false => Some(self.raw.into()),
            true => self.resolved().map(Cow::Owned),
        }
    }
}

impl<'a> Node<'a> {
    /// The element whose start tag begins at `start`.
    pub(crate) fn at(text: &'a str, start: usize) -> Option<Node<'a>> {
        let bytes = text.as_bytes();
        let begins = bytes.get(start) == Some(&b'<') && !matches!(bytes.get(start + 1)?, b'/' | b'!' | b'?');
        let inside = tags::end_of_start(bytes, start).filter(|_| begins)?;
        Some(Node { text, place: Place { start, inside } })
    }

    /// The element at a place that a node of the same document had.
    pub(crate) fn again(text: &'a str, place: Place) -> Option<Node<'a>> {
        let bytes = text.as_bytes();
        let has_tag = bytes.get(place.start) == Some(&b'<')
            && place.inside.checked_sub(1).and_then(|last| bytes.get(last)) == Some(&b'>')
            && place.start < place.inside;
        has_tag.then_some(Node { text, place })
    }

    /// The document.
    pub(crate) fn document(self) -> &'a str {
        self.text
    }

    pub(crate) fn place(self) -> Place {
        self.place
    }

    fn bytes(self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The name without its prefix.
    pub(crate) fn name(self) -> &'a str {
        let begin = self.place.start + 1;
        local_name(&self.text[begin..tags::end_of_name(self.bytes(), begin)])
    }

    /// The first child element.
    pub(crate) fn first(self) -> Option<Node<'a>> {
        if self.is_empty() { None } else { self.element_behind(self.place.inside) }
    }

    /// The next element with the same parent.
    pub(crate) fn sibling(self) -> Option<Node<'a>> {
        self.element_behind(self.end()?)
    }

    /// The next element with the same parent and the same name.
    pub(crate) fn next(self) -> Option<Node<'a>> {
        self.named_behind(self.end()?, self.name())
    }

    /// The first element, in the order of the document, that this path leads to: names without prefixes, with `/` between them.
    pub(crate) fn child(self, path: &str) -> Option<Node<'a>> {
        if is_step(path.as_bytes()) {
            return self.named_child(path);
        }
        let (bytes, path) = (self.bytes(), path.as_bytes());
        if self.is_empty() || !path.split(|b| *b == b'/').all(is_step) {
            return None;
        }
        // The step whose name is looked for: an element that matched an earlier step is open for each step before it.
        let mut step = 0..end_of_step(path, 0);
        let mut at = self.place.inside;
        loop {
            at = tags::next(bytes, at)?;
            if tags::is_end(bytes, at) {
                step = step_before(path, step.start)?;
                at = tags::end_of_end(bytes, at)?;
                continue;
            }
            let node = Node::at(self.text, at)?;
            let matches = tags::is_named(bytes, at, &path[step.clone()]);
            if matches && step.end == path.len() {
                return Some(node);
            }
            at = if matches { node.place.inside } else { node.end()? };
            if matches && !node.is_empty() {
                step = step.end + 1..end_of_step(path, step.end + 1);
            }
        }
    }

    /// In an object of a property read: the value of the property with this name.
    pub(crate) fn property(self, name: &str) -> Option<Node<'a>> {
        const SET: &str = "propSet";
        let bytes = self.bytes();
        let mut at = match self.behind_usual_object() {
            Some(at) if self.text[at..].starts_with(USUAL) => at,
            _ => self.named_child(SET)?.place.start,
        };
        loop {
            let end = match self.usual_name(at) {
                Some((text, behind)) if text.is(name) => return self.named_behind(behind, "val"),
                Some((_, behind)) => tags::end_of_rest(bytes, at, behind)?,
                None => {
                    let set = Node::at(self.text, at)?;
                    let text = set.named_child("name").and_then(Node::text);
                    if text.is_some_and(|text| text.is(name)) {
                        return set.named_child("val");
                    }
                    set.end()?
                }
            };
            at = tags::next(bytes, end)?;
            if !bytes[at..].starts_with(USUAL.as_bytes()) {
                at = self.named_behind(end, SET)?.place.start;
            }
        }
    }

    /// The end of the reference at the beginning of an object, written as every vSphere server does.
    fn behind_usual_object(self) -> Option<usize> {
        let (begin, end) = ("<obj type=", "</obj>");
        let text = self.text[self.place.inside..].strip_prefix(begin).filter(|_| !self.is_empty())?;
        let length = memchr(b'<', text.as_bytes())?;
        // Behind an empty element it would be the end tag of this one.
        let is_its_end = text[length..].starts_with(end) && self.name() != "obj";
        is_its_end.then(|| self.place.inside + begin.len() + length + end.len())
    }

    /// The name at the beginning of the property at `at`, written as every vSphere server does, and the end of its element: the same
    /// that a look at the children finds, in less time.
    fn usual_name(self, at: usize) -> Option<(Piece<'a>, usize)> {
        let end = "</name>";
        let text = self.text[at..].strip_prefix(USUAL)?;
        let length = memchr(b'<', text.as_bytes())?;
        let is_whole = text[length..].starts_with(end);
        let at = at + USUAL.len();
        is_whole.then(|| (Piece { at, raw: &text[..length], is_value: false }, at + length + end.len()))
    }

    /// The content, if there is no child element in it.
    pub(crate) fn text(self) -> Option<Piece<'a>> {
        let inside = self.place.inside;
        if self.is_empty() {
            return Some(Piece { at: inside, raw: "", is_value: false });
        }
        let end = tags::next(self.bytes(), inside)?;
        tags::is_end(self.bytes(), end).then(|| Piece {
            at: inside,
            raw: &self.text[inside..end],
            is_value: false,
        })
    }

    /// The element as the document has it.
    pub(crate) fn xml(self) -> &'a str {
        &self.text[self.place.start..self.end().unwrap_or(self.text.len())]
    }

    /// The value of the attribute with this name: of the one without a prefix, or else of the first with one. Declarations and
    /// `xsi:type` are no attributes here. `is_xsi` says whether a prefix that the element itself does not declare stands for `xsi`.
    pub(crate) fn attribute(self, name: &str, is_xsi: impl Fn(&str) -> bool) -> Option<Piece<'a>> {
        if name.contains(':') || name == "xmlns" {
            return None;
        }
        let bare = self.attributes().find(|(own, _)| *own == name);
        bare.or_else(|| {
            self.attributes().find(|(own, _)| {
                let split =
                    own.split_once(':').filter(|(prefix, local)| *local == name && *prefix != "xmlns");
                split.is_some_and(|(prefix, _)| name != "type" || !self.stands_for_xsi(prefix, &is_xsi))
            })
        })
        .map(|(_, value)| value)
    }

    /// The value of the attribute `xsi:type`. `is_xsi` is as for `attribute`.
    pub(crate) fn xsi_type(self, is_xsi: impl Fn(&str) -> bool) -> Option<Piece<'a>> {
        let mut attributes = self.attributes();
        let found = attributes.find(|(name, _)| {
            name.strip_suffix(":type").is_some_and(|prefix| self.stands_for_xsi(prefix, &is_xsi))
        });
        found.map(|(_, value)| value)
    }

    /// Whether the tag has an attribute or a declaration with this name, prefix included.
    pub(crate) fn has(self, name: &str) -> bool {
        self.attributes().any(|(own, _)| own == name)
    }

    fn stands_for_xsi(self, prefix: &str, outside: impl Fn(&str) -> bool) -> bool {
        let own = self.attributes().find(|(name, _)| name.strip_prefix("xmlns:") == Some(prefix));
        match own {
            Some((_, namespace)) => is_same_value(namespace.raw, XSI),
            None => outside(prefix),
        }
    }

    /// The names of the attributes, with their prefixes, and their values.
    fn attributes(self) -> impl Iterator<Item = (&'a str, Piece<'a>)> {
        let text = self.text;
        let begin = tags::end_of_name(self.bytes(), self.place.start + 1);
        Attributes::new(self.bytes(), begin, self.place.inside).map(move |(name, value)| {
            (&text[name], Piece { at: value.start, raw: &text[value], is_value: true })
        })
    }

    /// Whether it is an empty element with a single tag.
    fn is_empty(self) -> bool {
        tags::is_empty(self.bytes(), self.place.inside)
    }

    /// The end of its end tag.
    fn end(self) -> Option<usize> {
        tags::end_of_element(self.bytes(), self.place.start, self.place.inside)
    }

    fn named_child(self, name: &str) -> Option<Node<'a>> {
        if self.is_empty() { None } else { self.named_behind(self.place.inside, name) }
    }

    fn is(self, name: &str) -> bool {
        tags::is_named(self.bytes(), self.place.start, name.as_bytes())
    }

    /// The next element with this name, if no end tag comes before it on this level.
    fn named_behind(self, mut at: usize, name: &str) -> Option<Node<'a>> {
        loop {
            let node = self.element_behind(at)?;
            if node.is(name) {
                return Some(node);
            }
            at = node.end()?;
        }
    }

    /// The element that begins next, if no end tag comes before it.
    fn element_behind(self, at: usize) -> Option<Node<'a>> {
        let at = tags::next(self.bytes(), at)?;
        if tags::is_end(self.bytes(), at) { None } else { Node::at(self.text, at) }
    }
}

/// How a property begins in the reply of a vSphere server.
const USUAL: &str = "<propSet><name>";

/// The name without its prefix.
fn local_name(name: &str) -> &str {
    match memchr(b':', name.as_bytes()) {
        Some(colon) => &name[colon + 1..],
        None => name,
    }
}

/// Whether a part of a path can be the name of an element. One with a prefix is none.
fn is_step(step: &[u8]) -> bool {
    !step.is_empty() && !step.iter().any(|byte| matches!(byte, b':' | b'/'))
}

fn end_of_step(path: &[u8], begin: usize) -> usize {
    memchr(b'/', &path[begin..]).map_or(path.len(), |length| begin + length)
}

/// The step before the one that begins at `begin`.
fn step_before(path: &[u8], begin: usize) -> Option<std::ops::Range<usize>> {
    let end = begin.checked_sub(1)?;
    let begin = path[..end].iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    Some(begin..end)
}

/// The name of a type: the value of `xsi:type` without the prefix, and without white space around it.
pub(crate) fn type_name(value: &str) -> &str {
    local_part(value)
}

#[cfg(test)]
mod tests {
    use super::super::resolved::Resolved;
    use super::*;

    fn root(text: &str) -> Node<'_> {
        Node::at(text, text.find('<').unwrap()).unwrap()
    }

    fn shown(node: Option<Node>) -> String {
        node.and_then(Node::text).and_then(|piece| piece.plain()).map_or("none".into(), Cow::into_owned)
    }

    #[test]
    fn children_come_in_their_order_and_the_next_of_a_name_passes_others() {
        let text = "<r><a>1</a> <b><a>x</a></b><!-- <a> --><![CDATA[<a>]]><?p <a> ?><p:a>2</p:a><ab/><a y='>'>3</a></r>";
        let first = root(text).first().unwrap();
        let all: Vec<_> =
            std::iter::successors(Some(first), |node| node.sibling()).map(|node| node.name()).collect();
        assert_eq!(all, ["a", "b", "a", "ab", "a"]);
        let same: Vec<_> =
            std::iter::successors(Some(first), |node| node.next()).map(|node| shown(Some(node))).collect();
        assert_eq!(same, ["1", "2", "3"]);
        assert!(root(text).sibling().is_none() && root(text).next().is_none());
        assert!(root("<r/>").first().is_none() && root("<r></r>").first().is_none());
    }

    #[test]
    fn a_path_leads_to_the_first_element_that_it_fits() {
        let text = "<r><a><x/></a><b/><a><b><c>1</c></b><b><d>2</d></b></a><a><b><d>3</d></b></a><p:a><e>4</e></p:a></r>";
        for (path, expected) in [
            ("a/b/c", "1"),
            ("a/b/d", "2"),
            ("a/e", "4"),
            ("a/b/e", "none"),
            ("b/d", "none"),
            ("", "none"),
            ("/a", "none"),
            ("a//b", "none"),
            ("a/b/c/", "none"),
            ("p:a", "none"),
            ("r/a", "none"),
        ] {
            assert_eq!(shown(root(text).child(path)), expected, "{path}");
        }
        // In an element, and not behind it.
        assert!(root(text).child("a").unwrap().child("b").is_none());
        assert!(root(text).child("b").unwrap().child("c").is_none());
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(root(&deep).child(&vec!["a"; 99_999].join("/")).is_some());
        assert!(root(&deep).child(&vec!["a"; 100_000].join("/")).is_none());
    }

    #[test]
    fn a_text_is_what_a_parser_gives() {
        for (content, expected) in [
            ("", ""),
            (" a ", " a "),
            ("a &amp; b&#x41;&#1;", "a & bA\u{fffd}"),
            ("a<!-- c -->b<![CDATA[<&]]><?p?>c\r\nd\re", "ab<&c\nd\ne"),
            ("<b/>", "none"),
            ("a<b/>c", "none"),
        ] {
            assert_eq!(shown(Some(root(&format!("<r x='/'>{content}</r>")))), expected, "{content}");
        }
        assert_eq!(shown(Some(root("<r/>"))), "");
        let text = "<r>plain</r>";
        let piece = root(text).text().unwrap();
        assert!(!piece.needs_resolving() && piece.raw.as_ptr() == text[3..].as_ptr());
    }

    #[test]
    fn an_attribute_without_a_prefix_comes_first_and_the_type_is_none() {
        let text = "<r xmlns:i='http://www.w3.org/2001/XMLSchema-instance' xmlns:p='q' p:a='1' a = \"2>&lt;\" p:b=\"it's\n\" \
            i:type=' p:T ' p:type='3' i:nil='true'/>";
        let attribute =
            |name: &str| root(text).attribute(name, |_| false).map(|piece| piece.plain().unwrap());
        for (name, expected) in [
            ("a", Some("2><")),
            ("b", Some("it's ")),
            ("nil", Some("true")),
            ("type", Some("3")),
            ("p:a", None),
            ("p", None),
            ("xmlns", None),
            ("i", None),
            ("", None),
        ] {
            assert_eq!(attribute(name).as_deref(), expected, "{name}");
        }
        assert_eq!(root(text).xsi_type(|_| false).map(|piece| type_name(piece.raw)), Some("T"));
        let outside = root("<r j:type='T' type='U'/>");
        assert_eq!(outside.xsi_type(|prefix| prefix == "j").map(|piece| piece.raw), Some("T"));
        assert!(outside.xsi_type(|_| false).is_none());
        assert_eq!(outside.attribute("type", |_| true).map(|piece| piece.raw), Some("U"));
    }

    #[test]
    fn a_property_is_found_by_its_name() {
        let text = "<o><obj>vm-1</obj><propSet><name>a</name><val>1</val></propSet><propSet><val>2</val><name>b&#46;c</name></propSet>\
            <propSet><name>d</name></propSet></o>";
        for (name, expected) in [("a", "1"), ("b.c", "2"), ("d", "none"), ("b", "none"), ("", "none")] {
            assert_eq!(shown(root(text).property(name)), expected, "{name}");
        }
        let text = "<o> <p:propSet><name>ab</name><val>1</val></p:propSet>\n<propSet> <name>a</name><x/><val>2</val></propSet>\
            <propSet><name>a<b/></name><val>3</val></propSet><propSet><name>c<!-- --></name><propSet><name>e</name><val>4</val></propSet>\
            <val>5</val></propSet><propSet/><!-- --><propSet><name>e&amp;</name><val>6</val></propSet><propSet><name>e</name></propSet>\
            <propSet><name>f</name><val>7</val></propSet></o>";
        for (name, expected) in
            [("ab", "1"), ("a", "2"), ("c", "5"), ("e&", "6"), ("e", "none"), ("f", "7"), ("e&amp;", "none")]
        {
            assert_eq!(shown(root(text).property(name)), expected, "{name}");
        }
        assert!(root("<o/>").property("a").is_none());
    }

    #[test]
    fn only_places_of_tags_make_nodes() {
        let text = "<a>x</a><!-- --><?p?>";
        let places: Vec<_> = (0..=text.len() + 1).filter(|at| Node::at(text, *at).is_some()).collect();
        assert_eq!(places, [0]);
        for (start, inside) in [(0, 2), (0, 0), (1, 3), (0, usize::MAX), (usize::MAX, 3), (8, 3)] {
            assert!(Node::again(text, Place { start, inside }).is_none(), "{start} {inside}");
        }
        assert!(Node::again(text, Place { start: 0, inside: 3 }).is_some());
        assert!(Node::at("<a", 0).is_none() && Node::at("<a b='>", 0).is_none());
    }

    #[test]
    fn a_resolved_text_stays_where_it_is() {
        let text = "<r><a>1 &amp; 2</a><b c='&lt;'/></r>";
        let resolved = Resolved::default();
        let piece = root(text).child("a").unwrap().text().unwrap();
        let value = root(text).child("b").unwrap().attribute("c", |_| false).unwrap();
        let first = resolved.text(piece).unwrap();
        let other = resolved.text(value).unwrap();
        assert_eq!((resolved.text(piece), resolved.text(value)), (Some(first), Some(other)));
        assert_ne!(first.cast::<u8>(), other.cast::<u8>());
    }
}
