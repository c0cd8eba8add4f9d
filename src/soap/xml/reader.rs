//! The reader of XML documents. It reads from start to end, in linear time and without a tree: each call of `next` returns the
//! next tag as ranges of the text. It accepts only well-formed documents with namespaces, and refuses document type
//! declarations. It bounds what makes XML expensive to read; see `limits`.
//!
//! It does not check texts and values for characters that XML forbids, because replies that contain some are read as well; see
//! `repair`.

mod names;
mod namespaces;

use std::ops::Range;

use memchr::{memchr3, memmem};

pub(crate) use names::is_name;
use names::{BYTES, Name};
pub(crate) use namespaces::Binding;
pub(in crate::soap) use namespaces::XSI;

use super::limits::{MAX_ATTRIBUTES, MAX_DEPTH};
use super::problem::{Problem, Read, What};
use super::text::{is_allowed, is_space, referenced_character};

macro_rules! declaration {
    ($prefix:literal, $namespace:literal) => {
        ($prefix, concat!("xmlns:", $prefix, "=\"", $namespace, "\""))
    };
}
/// The prefixes that each reply of a vSphere server declares in its root element, in this order. Byte by byte, their declarations take
/// as long to read as the rest of a short reply.
const USUAL_DECLARATIONS: [(&str, &str); 4] = [
    declaration!("soapenc", "http://schemas.xmlsoap.org/soap/encoding/"),
    declaration!("soapenv", "http://schemas.xmlsoap.org/soap/envelope/"),
    declaration!("xsd", "http://www.w3.org/2001/XMLSchema"),
    declaration!("xsi", "http://www.w3.org/2001/XMLSchema-instance"),
];

/// A tag. An empty element (`<a/>`) gives a start tag and then an end tag of no length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Start(StartTag),
    End(EndTag),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StartTag {
    /// 1 for the root element.
    pub(crate) level: usize,
    /// From `<` to `>`, both included.
    pub(crate) tag: Range<usize>,
    /// The name without its prefix.
    pub(crate) local: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndTag {
    pub(crate) level: usize,
    pub(crate) tag: Range<usize>,
}

#[derive(Clone, Copy, Default)]
struct Attribute {
    name: Name,
    value: (usize, usize),
}

/// What kind of text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A document, before its root element.
    Unread,
    /// A document, in or after its root element.
    Document,
    /// Any number of elements, whose parent declares `xsi` and `xsd`.
    Content,
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    form: Form,
    /// The names of the open elements.
    open: Vec<(usize, usize)>,
    /// The prefixes in scope. An inner declaration follows the outer one that it hides.
    bindings: Vec<Binding>,
    /// Those of the last start tag.
    attributes: Vec<Attribute>,
    /// How many of them have a prefix and are not declarations.
    in_prefix: usize,
    /// The last start tag was that of an empty element, whose end tag comes next.
    in_empty: bool,
    /// The last attribute value that was read contains a reference.
    value_has_reference: bool,
    bad_reference: Option<(usize, u32)>,
}

impl<'a> Reader<'a> {
    /// Reads a document.
    pub(crate) fn document(text: &'a str) -> Reader<'a> {
        Reader::new(text, Form::Unread)
    }

    /// Reads elements whose parent declares `xsi` and `xsd`, without text between them.
    pub(crate) fn content(text: &'a str) -> Reader<'a> {
        Reader::new(text, Form::Content)
    }

    fn new(text: &'a str, form: Form) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            form,
            open: Vec::with_capacity(16),
            bindings: Vec::with_capacity(8),
            attributes: Vec::with_capacity(8),
            in_prefix: 0,
            in_empty: false,
            value_has_reference: false,
            bad_reference: None,
        }
    }

    /// The next tag; `None` at the end of the text.
    #[inline(never)]
    pub(crate) fn next(&mut self) -> Read<Option<Event>> {
        self.next_inline()
    }

    /// `next`, inlined into its caller: the loop that reads each reply takes a tenth fewer instructions with it.
    #[inline(always)]
    pub(crate) fn next_inline(&mut self) -> Read<Option<Event>> {
        if self.in_empty {
            return Ok(Some(Event::End(self.end_of_empty())));
        }
        loop {
            if !self.open.is_empty() {
                self.characters()?;
            } else if !self.next_root()? {
                return Ok(None);
            }
            match self.text.as_bytes().get(self.at + 1) {
                Some(b'/') => return self.end_tag().map(|tag| Some(Event::End(tag))),
                Some(b'!' | b'?') => self.other_markup()?,
                _ => return self.start_tag().map(|tag| Some(Event::Start(tag))),
            }
        }
    }

    /// Reads the rest, to check that it is well-formed.
    pub(crate) fn finish(&mut self) -> Read<()> {
        while self.next()?.is_some() {}
        Ok(())
    }

    /// The first reference so far to a character that XML forbids: its offset and the code point.
    pub(crate) fn bad_reference(&self) -> Option<(usize, u32)> {
        self.bad_reference
    }

    /// How many attributes the last start tag has.
    pub(crate) fn attributes(&self) -> usize {
        self.attributes.len()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn bytes(&self, start: usize, end: usize) -> &'a [u8] {
        &self.text.as_bytes()[start..end]
    }

    #[inline]
    fn peek(&self) -> Read<u8> {
        match self.text.as_bytes().get(self.at) {
            Some(byte) => Ok(*byte),
            None => Err(self.cut()),
        }
    }

    #[cold]
    fn cut(&self) -> Problem {
        Problem { at: self.text.len(), what: What::Cut }
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> Problem {
        Problem { at: self.at, what: What::Malformed(what) }
    }

    #[cold]
    fn excess(&self, what: &'static str) -> Problem {
        Problem { at: self.at, what: What::Excess(what) }
    }

    #[inline]
    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Read<()> {
        if self.peek()? != byte {
            return Err(self.malformed(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    /// Skips to the end of the next `end` that begins after `from` bytes.
    fn skip_to(&mut self, from: usize, end: &str) -> Read<()> {
        let begin = (self.at + from).min(self.text.len());
        let found = memmem::find(&self.text.as_bytes()[begin..], end.as_bytes()).ok_or(self.cut())?;
        self.at = begin + found + end.len();
        Ok(())
    }

    #[inline]
    fn spaces(&mut self) -> bool {
        let start = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(|b| is_space(*b)) {
            self.at += 1;
        }
        self.at > start
    }

    /// Skips to the `<` of the next element outside of all others. False: the text ends.
    #[inline(never)]
    fn next_root(&mut self) -> Read<bool> {
        let begun = self.form == Form::Document;
        if self.form == Form::Unread {
            if self.text.starts_with('\u{feff}') {
                self.at = '\u{feff}'.len_utf8();
            }
            if self.rest().starts_with(b"<?xml") && self.rest().get(5).is_some_and(|b| is_space(*b)) {
                self.declaration()?;
            }
            self.form = Form::Document;
        }
        self.between_roots()?;
        match (self.rest(), self.form) {
            ([], Form::Content) => Ok(false),
            ([], _) if begun => Ok(false),
            ([], _) => Err(self.cut()),
            ([b'<', ..], Form::Document) if begun => Err(self.malformed("more than one root element")),
            ([b'<', b'/', ..], _) => Err(self.malformed("an end tag without its start tag")),
            ([b'<', ..], _) => Ok(true),
            (_, Form::Content) => Err(self.malformed(
                "text outside of an element; each argument is an element, like <name>value</name>",
            )),
            _ => Err(self.malformed("text outside of the root element")),
        }
    }

    /// `<?xml version="1.0" ...?>`.
    fn declaration(&mut self) -> Read<()> {
        // The declaration that vSphere servers write.
        const USUAL: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        if self.rest().starts_with(USUAL) {
            self.at += USUAL.len();
            return Ok(());
        }
        self.at += "<?xml".len();
        let mut next = 0;
        loop {
            let spaced = self.spaces();
            if self.rest().starts_with(b"?>") {
                self.at += 2;
                return if next > 0 {
                    Ok(())
                } else {
                    Err(self.malformed("an XML declaration without a version"))
                };
            }
            let name = self.name()?;
            let known = ["version", "encoding", "standalone"];
            let place = known.iter().position(|known| *known == &self.text[name.start..name.end]);
            // In this order, and never without the version.
            match place.filter(|place| spaced && *place >= next && (next > 0 || *place == 0)) {
                Some(place) => next = place + 1,
                None => return Err(self.malformed("an invalid XML declaration")),
            }
            self.spaces();
            self.expect(b'=', "an invalid XML declaration")?;
            self.spaces();
            self.value()?;
        }
    }

    /// Skips what may stand outside of all elements: white space, comments, processing instructions.
    fn between_roots(&mut self) -> Read<()> {
        loop {
            self.spaces();
            let rest = self.rest();
            if rest.starts_with(b"<!--") {
                self.comment()?;
            } else if rest.starts_with(b"<?") {
                self.instruction()?;
            } else if rest.starts_with(b"<!") {
                let what = match rest.get(2) {
                    Some(b'D' | b'd') => What::Doctype,
                    _ => What::Malformed("an unknown declaration"),
                };
                return Err(Problem { at: self.at, what });
            } else {
                return Ok(());
            }
        }
    }

    /// Skips a comment, a CDATA section or a processing instruction inside an element.
    #[cold]
    fn other_markup(&mut self) -> Read<()> {
        let rest = self.rest();
        if rest.starts_with(b"<?") {
            self.instruction()
        } else if rest.starts_with(b"<!--") {
            self.comment()
        } else if rest.starts_with(b"<![CDATA[") {
            self.skip_to(9, "]]>")
        } else if rest.len() < 9 {
            Err(self.cut())
        } else {
            Err(self.malformed("a declaration inside an element"))
        }
    }

    fn comment(&mut self) -> Read<()> {
        self.skip_to(4, "--")?;
        self.expect(b'>', "a comment that contains '--'")
    }

    fn instruction(&mut self) -> Read<()> {
        let start = self.at;
        self.at += 2;
        let name = self.name()?;
        if self.text[name.start..name.end].eq_ignore_ascii_case("xml") {
            self.at = start;
            return Err(self.malformed("an XML declaration that is not at the start"));
        }
        if !self.rest().starts_with(b"?>") && !self.spaces() {
            return Err(self.malformed("an invalid processing instruction"));
        }
        self.skip_to(0, "?>")
    }

    /// Reads from `<` to `>`, both included.
    #[inline(always)]
    fn start_tag(&mut self) -> Read<StartTag> {
        let start = self.at;
        self.at += 1;
        let name = self.name()?;
        let level = self.open.len() + 1;
        self.attributes.clear();
        self.in_prefix = 0;
        // Most tags have no attributes.
        let empty = self.peek()? != b'>' && self.attributes_of_tag(level)?;
        self.expect(b'>', "a tag that is not closed")?;
        let end = self.at;
        // A declaration may follow the name that uses it.
        if name.has_prefix() || self.in_prefix > 0 {
            self.check_prefixes(name, start)?;
        }
        if empty {
            self.in_empty = true;
        } else {
            if self.open.len() == self.open.capacity() {
                self.make_room(start)?;
            }
            self.open.push((name.start, name.end));
        }
        Ok(StartTag { level, tag: start..end, local: name.local..name.end })
    }

    /// Makes room for deeper elements, within the bound.
    #[cold]
    fn make_room(&mut self, start: usize) -> Read<()> {
        if self.open.len() >= MAX_DEPTH {
            self.at = start;
            return Err(self.excess("elements are nested too deep"));
        }
        // unreached: needs a process without free descriptors or memory
        self.open.try_reserve(1).map_err(|_| Problem { at: start, what: What::NoMemory })
    }

    /// Reads from the end of the name up to the `>`. True: there is a `/` before it.
    fn attributes_of_tag(&mut self, level: usize) -> Read<bool> {
        loop {
            let spaced = self.spaces();
            match self.peek()? {
                b'>' => return Ok(false),
                b'/' => {
                    self.at += 1;
                    return Ok(true);
                }
                _ if !spaced => return Err(self.malformed("an attribute or the end of the tag is expected")),
                _ => self.attribute(level)?,
            }
        }
    }

    #[inline]
    fn attribute(&mut self, level: usize) -> Read<()> {
        if self.attributes.len() == MAX_ATTRIBUTES {
            return Err(self.excess("an element has too many attributes"));
        }
        let usual = self.usual_declaration(level);
        let (name, value) = match usual {
            Some(declaration) => declaration,
            None => self.name_and_value()?,
        };
        let text = self.bytes(name.start, name.end);
        // Most names differ in length.
        let is_same = |Attribute { name: other, .. }: &Attribute| {
            other.len() == name.len() && self.bytes(other.start, other.end) == text
        };
        if self.attributes.iter().any(is_same) {
            return Err(self.malformed("an element has an attribute twice"));
        }
        self.attributes.push(Attribute { name, value });
        if usual.is_some() {
            // It is known that these may be declared.
            self.bindings.push(Binding::new(name, value, level));
            return Ok(());
        }
        match (name.has_prefix(), text) {
            (true, [b'x', b'm', b'l', b'n', b's', b':', ..]) | (false, b"xmlns") => {
                self.declare(name, value, level)
            }
            (in_prefix, _) => {
                self.in_prefix += usize::from(in_prefix);
                Ok(())
            }
        }
    }

    #[inline]
    fn name_and_value(&mut self) -> Read<(Name, (usize, usize))> {
        let name = self.name()?;
        if self.text.as_bytes().get(self.at) != Some(&b'=') {
            self.spaces();
        }
        self.expect(b'=', "an attribute without a value")?;
        if self.text.as_bytes().get(self.at).is_some_and(|b| is_space(*b)) {
            self.spaces();
        }
        Ok((name, self.value()?))
    }

    /// The name and the value of the next attribute, if it is the declaration that vSphere servers write there.
    #[inline]
    fn usual_declaration(&mut self, level: usize) -> Option<(Name, (usize, usize))> {
        let (prefix, declaration) = USUAL_DECLARATIONS.get(self.attributes.len()).filter(|_| level == 1)?;
        if !self.rest().starts_with(declaration.as_bytes()) {
            return None;
        }
        let start = self.at;
        let local = start + "xmlns:".len();
        let name = Name { start, local, end: local + prefix.len() };
        self.at += declaration.len();
        Some((name, (name.end + "=\"".len(), self.at - "\"".len())))
    }

    /// Reads from `<` to `>`, both included.
    #[inline(always)]
    fn end_tag(&mut self) -> Read<EndTag> {
        let tag = self.at;
        let Some((start, end)) = self.open.last().copied() else {
            // unreached: next_root refuses it before
            return Err(self.malformed("an end tag without its start tag"));
        };
        let name = self.bytes(start, end);
        let found = &self.rest()[2..];
        if !found.starts_with(name) {
            return Err(match name.starts_with(found) {
                true => self.cut(),
                false => self.malformed("an end tag that does not match the start tag"),
            });
        }
        self.at += 2 + name.len();
        self.spaces();
        self.expect(b'>', "an end tag that does not match the start tag")?;
        let level = self.open.len();
        self.forget_prefixes(level);
        self.open.pop();
        Ok(EndTag { level, tag: tag..self.at })
    }

    fn end_of_empty(&mut self) -> EndTag {
        let level = self.open.len() + 1;
        self.in_empty = false;
        self.forget_prefixes(level);
        EndTag { level, tag: self.at..self.at }
    }

    /// Reads a value with its quotes.
    #[inline]
    fn value(&mut self) -> Read<(usize, usize)> {
        let quote = self.peek()?;
        if quote != b'"' && quote != b'\'' {
            return Err(self.malformed("an attribute value without quotes"));
        }
        self.at += 1;
        let start = self.at;
        self.value_has_reference = false;
        loop {
            match memchr3(quote, b'<', b'&', self.rest()) {
                Some(length) => self.at += length,
                None => return Err(self.cut()),
            }
            match self.text.as_bytes()[self.at] {
                b'<' => return Err(self.malformed("a '<' in an attribute value")),
                b'&' => {
                    self.value_has_reference = true;
                    self.reference()?;
                }
                _ => break,
            }
        }
        self.at += 1;
        Ok((start, self.at - 1))
    }

    /// Skips to the next `<`.
    #[inline]
    fn characters(&mut self) -> Read<()> {
        loop {
            match self.peek()? {
                b'<' => return Ok(()),
                b'&' => self.reference()?,
                b'>' if self.text.as_bytes()[..self.at].ends_with(b"]]")
                    && !planted!("cdata-end-in-text") =>
                {
                    return Err(self.malformed("']]>' in a text"));
                }
                _ => self.at += 1,
            }
            match memchr3(b'<', b'>', b'&', self.rest()) {
                Some(length) => self.at += length,
                None => return Err(self.cut()),
            }
        }
    }

    fn reference(&mut self) -> Read<()> {
        let rest = self.rest();
        let is_in_name = |byte: &&u8| **byte == b'#' || BYTES[**byte as usize] != 0;
        let length = 1 + rest[1..].iter().take_while(is_in_name).count();
        match rest.get(length) {
            None => return Err(self.cut()),
            Some(b';') => {}
            Some(_) => return Err(self.malformed("a '&' that does not begin a reference")),
        }
        let Some(character) = referenced_character(&self.text[self.at + 1..self.at + length]) else {
            return Err(self.malformed("a reference to an undeclared entity"));
        };
        if self.bad_reference.is_none() && !char::from_u32(character).is_some_and(is_allowed) {
            self.bad_reference = Some((self.at, character));
        }
        self.at += length + 1;
        Ok(())
    }
}
