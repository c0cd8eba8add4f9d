//! The one reader of XML documents. It reads from front to end, in linear time and without a tree: each call of `next`
//! gives the next tag, and places in the text stand for its parts. It accepts well-formed documents with namespaces and
//! nothing else; a document type declaration is refused. Bounds hold for what makes XML expensive to read (attributes of
//! an element, prefixes in scope, depth), and no vSphere server comes near them.
//!
//! It does not look for characters that XML forbids, because a reply that holds one is read all the same; see
//! `text::allowed`.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr3, memmem};

use super::text::{is_allowed, is_same_value, local_part_of_value, referenced_character};

/// Attributes of one element.
const MAX_ATTRIBUTES: usize = 32;
/// Prefixes that are in scope at one place, each declaration counted.
const MAX_PREFIXES: usize = 32;
/// Levels of elements: the names of those that are open take 16 MiB then.
const MAX_DEPTH: usize = 1 << 20;

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
pub(super) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Why a document cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: usize,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It is not well-formed.
    Malformed(&'static str),
    /// It ends too early.
    Cut,
    Doctype,
    /// It may be well-formed, and exceeds a bound of this reader.
    Excess(&'static str),
    /// It is well-formed, and too large to become a tree.
    TooLargeForTree(&'static str),
    NoMemory,
}

impl What {
    pub(crate) fn text(self) -> &'static str {
        match self {
            What::Malformed(text) | What::Excess(text) | What::TooLargeForTree(text) => text,
            What::Cut => "the text ends in the middle of an element",
            What::Doctype => "a document type declaration",
            What::NoMemory => "there is not enough memory",
        }
    }
}

pub(crate) type Read<T> = Result<T, Problem>;

/// A tag, in the order of the text. An element without an end tag (`<a/>`) has an empty one behind its start tag.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Start(StartTag),
    End(EndTag),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StartTag {
    /// The root element has the level 1.
    pub(crate) level: usize,
    /// From `<` to behind `>`.
    pub(crate) tag: Range<usize>,
    /// The name without its prefix.
    pub(crate) local: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndTag {
    pub(crate) level: usize,
    pub(crate) tag: Range<usize>,
}

/// The declaration of a prefix: places of the prefix and of its namespace as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    prefix: Name,
    uri: (usize, usize),
    /// That of the element which declares it.
    pub(crate) level: usize,
    /// The first binding of the same namespace, once it is known.
    first: Option<usize>,
}

impl Binding {
    /// Empty for the default namespace.
    pub(crate) fn prefix<'a>(&self, text: &'a str) -> &'a str {
        &text[self.prefix.local..self.prefix.end]
    }

    /// As it is written.
    pub(crate) fn uri<'a>(&self, text: &'a str) -> &'a str {
        &text[self.uri.0..self.uri.1]
    }

    fn is_of(&self, namespace: &str, text: &str) -> bool {
        is_same_value(self.uri(text), namespace)
    }
}

/// Where a name begins, where its part behind the prefix begins, and where it ends.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    start: usize,
    local: usize,
    end: usize,
}

impl Name {
    fn has_prefix(self) -> bool {
        self.local > self.start
    }

    fn len(self) -> usize {
        self.end - self.start
    }
}

#[derive(Clone, Copy, Default)]
struct Attribute {
    name: Name,
    value: (usize, usize),
}

/// What the text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A document that has not begun.
    Unread,
    /// A document behind the beginning of its root element.
    Document,
    /// Any number of elements, such as may stand in an element that declares `xsi` and `xsd`.
    Content,
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    form: Form,
    /// The names of the elements that are open.
    open: Vec<(usize, usize)>,
    /// The prefixes in scope. An inner declaration stands behind the outer one that it hides.
    bindings: Vec<Binding>,
    /// Those of the last start tag.
    attributes: Vec<Attribute>,
    /// How many of them have a prefix and declare none.
    in_prefix: usize,
    /// The last start tag was that of an empty element, whose end has not been told yet.
    in_empty: bool,
    bad_reference: Option<(usize, u32)>,
}

const BEGINS_NAME: u8 = 1;
const IN_NAME: u8 = 2;
const NOT_ASCII: u8 = 4;

/// What a byte may be in a name.
static BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = (byte as u8).is_ascii_alphabetic() || byte as u8 == b'_';
        let other = (byte as u8).is_ascii_digit() || matches!(byte as u8, b'-' | b'.');
        bytes[byte] = match (byte >= 0x80, letter, other) {
            (true, ..) => NOT_ASCII,
            (_, true, _) => BEGINS_NAME | IN_NAME,
            (.., true) => IN_NAME,
            _ => 0,
        };
        byte += 1;
    }
    bytes
};

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic()
        || c == '_'
        || matches!(u32::from(c),
            0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0x2ff | 0x370..=0x37d | 0x37f..=0x1fff | 0x200c..=0x200d
            | 0x2070..=0x218f | 0x2c00..=0x2fef | 0x3001..=0xd7ff | 0xf900..=0xfdcf | 0xfdf0..=0xfffd
            | 0x10000..=0xeffff)
}

fn is_in_name(c: char) -> bool {
    begins_name(c)
        || c.is_ascii_digit()
        || matches!(c, '-' | '.' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

impl<'a> Reader<'a> {
    /// Reads a document.
    pub(crate) fn document(text: &'a str) -> Reader<'a> {
        Reader::new(text, Form::Unread)
    }

    /// Reads elements that may stand in an element which declares `xsi` and `xsd`, without text between them.
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
            bad_reference: None,
        }
    }

    /// The next tag; `None` at the end of the text.
    #[inline(never)]
    pub(crate) fn next(&mut self) -> Read<Option<Event>> {
        self.next_inline()
    }

    /// `next` as a part of its caller: for the loop that reads each reply, and takes a tenth fewer instructions so.
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

    /// Reads the rest, for whoever needs to know only that it is well-formed.
    pub(crate) fn finish(&mut self) -> Read<()> {
        while self.next()?.is_some() {}
        Ok(())
    }

    /// The first reference to a character that XML does not allow, among those that were read: its place, and the number of
    /// the character.
    pub(crate) fn bad_reference(&self) -> Option<(usize, u32)> {
        self.bad_reference
    }

    /// How many attributes the last start tag has.
    pub(crate) fn attributes(&self) -> usize {
        self.attributes.len()
    }

    /// The declarations in scope at the last start tag, its own included. An inner declaration comes behind the outer one
    /// that it hides.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The local part of the `xsi:type` attribute of the last start tag.
    pub(crate) fn xsi_type(&self) -> Option<Cow<'a, str>> {
        let text = self.text;
        let attribute = self.attributes.iter().find(|attribute| {
            &text[attribute.name.local..attribute.name.end] == "type"
                && self.binding_of(attribute.name).is_some_and(|at| self.bindings[at].is_of(XSI, text))
        })?;
        local_part_of_value(&text[attribute.value.0..attribute.value.1])
    }

    /// Whether the element of the last start tag is in this namespace.
    pub(crate) fn is_in_namespace(&self, start: &StartTag, namespace: &str) -> bool {
        let prefix = self.text[start.tag.start + 1..start.local.start].trim_end_matches(':');
        let mut innermost = self.bindings.iter().rev();
        let declared = innermost.find(|binding| binding.prefix(self.text) == prefix);
        declared.is_some_and(|binding| binding.is_of(namespace, self.text))
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

    /// To behind the next occurrence of `end`; the first `from` bytes are no part of it.
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

    /// To the `<` of the next element outside of all others. False: the text ends.
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
            ([b'<', ..], Form::Document) if begun => {
                Err(self.malformed("there is more than one root element"))
            }
            ([b'<', b'/', ..], _) => Err(self.malformed("an end tag without its start tag")),
            ([b'<', ..], _) => Ok(true),
            (_, Form::Content) => Err(self.malformed(
                "text outside of an element; each argument is an element, like <name>value</name>",
            )),
            _ => Err(self.malformed("text stands outside of the root element")),
        }
    }

    /// `<?xml version="1.0" ...?>`.
    fn declaration(&mut self) -> Read<()> {
        // Vsphere servers write this one.
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
            // In this order, and the version always.
            match place.filter(|place| spaced && *place >= next && (next > 0 || *place == 0)) {
                Some(place) => next = place + 1,
                None => return Err(self.malformed("an XML declaration that is none")),
            }
            self.spaces();
            self.expect(b'=', "an XML declaration that is none")?;
            self.spaces();
            self.value()?;
        }
    }

    /// What may stand outside of all elements: white space, comments, processing instructions.
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
                    _ => What::Malformed("a declaration that XML does not know"),
                };
                return Err(Problem { at: self.at, what });
            } else {
                return Ok(());
            }
        }
    }

    /// Inside of an element: a comment, a CDATA section, or a processing instruction.
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
            Err(self.malformed("a declaration inside of an element"))
        }
    }

    fn comment(&mut self) -> Read<()> {
        self.skip_to(4, "--")?;
        self.expect(b'>', "a comment that holds '--'")
    }

    fn instruction(&mut self) -> Read<()> {
        let start = self.at;
        self.at += 2;
        let name = self.name()?;
        if self.text[name.start..name.end].eq_ignore_ascii_case("xml") {
            self.at = start;
            return Err(self.malformed("an XML declaration that is not at the beginning"));
        }
        if !self.rest().starts_with(b"?>") && !self.spaces() {
            return Err(self.malformed("a processing instruction that is none"));
        }
        self.skip_to(0, "?>")
    }

    /// A name, perhaps with a prefix.
    #[inline(always)]
    fn name(&mut self) -> Read<Name> {
        let start = self.at;
        let mut local = start;
        self.part_of_name()?;
        if self.text.as_bytes().get(self.at) == Some(&b':') {
            self.at += 1;
            local = self.at;
            self.part_of_name()?;
        }
        Ok(Name { start, local, end: self.at })
    }

    #[inline]
    fn part_of_name(&mut self) -> Read<()> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        let class = |at: usize| bytes.get(at).map_or(0, |byte| BYTES[*byte as usize]);
        if class(at) & BEGINS_NAME != 0 {
            at += 1;
            while class(at) & IN_NAME != 0 {
                at += 1;
            }
            if class(at) != NOT_ASCII {
                self.at = at;
                return Ok(());
            }
        }
        self.international_part_of_name()
    }

    #[cold]
    fn international_part_of_name(&mut self) -> Read<()> {
        let rest = &self.text[self.at..];
        match rest.chars().next() {
            None => Err(self.cut()),
            Some(first) if begins_name(first) => {
                self.at += rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
                Ok(())
            }
            Some(_) => Err(self.malformed("something else stands where a name is wanted")),
        }
    }

    /// From `<` to behind `>`.
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
        // A declaration may stand behind the name that uses it.
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

    /// For elements that are nested deeper, within a bound.
    #[cold]
    fn make_room(&mut self, start: usize) -> Read<()> {
        if self.open.len() >= MAX_DEPTH {
            self.at = start;
            return Err(self.excess("elements are nested deeper than any server nests them"));
        }
        self.open.try_reserve(1).map_err(|_| Problem { at: start, what: What::NoMemory })
    }

    /// From behind the name to before `>`. True: a `/` stands there.
    fn attributes_of_tag(&mut self, level: usize) -> Read<bool> {
        loop {
            let spaced = self.spaces();
            match self.peek()? {
                b'>' => return Ok(false),
                b'/' => {
                    self.at += 1;
                    return Ok(true);
                }
                _ if !spaced => return Err(self.malformed("an attribute or the end of a tag is wanted")),
                _ => self.attribute(level)?,
            }
        }
    }

    #[inline]
    fn attribute(&mut self, level: usize) -> Read<()> {
        if self.attributes.len() == MAX_ATTRIBUTES {
            return Err(self.excess("an element has more attributes than any server gives one"));
        }
        let name = self.name()?;
        if self.text.as_bytes().get(self.at) != Some(&b'=') {
            self.spaces();
        }
        self.expect(b'=', "an attribute without a value")?;
        if self.text.as_bytes().get(self.at).is_some_and(|b| is_space(*b)) {
            self.spaces();
        }
        let value = self.value()?;
        let text = self.bytes(name.start, name.end);
        // Most names differ in length.
        let is_same = |Attribute { name: other, .. }: &Attribute| {
            other.len() == name.len() && self.bytes(other.start, other.end) == text
        };
        if self.attributes.iter().any(is_same) {
            return Err(self.malformed("an element has an attribute twice"));
        }
        self.attributes.push(Attribute { name, value });
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

    /// An attribute that declares a prefix or the default namespace.
    #[inline]
    fn declare(&mut self, name: Name, uri: (usize, usize), level: usize) -> Read<()> {
        let default = !name.has_prefix();
        let prefix = if default { Name { start: name.end, local: name.end, end: name.end } } else { name };
        let (named, value) = (self.bytes(prefix.local, prefix.end), &self.text[uri.0..uri.1]);
        if named == b"xmlns"
            || is_same_value(value, XMLNS)
            || (named == b"xml") != is_same_value(value, XML)
            || value.is_empty() && !default
        {
            return Err(self.malformed("a prefix is declared for what it cannot stand for"));
        }
        if named == b"xml" {
            return Ok(());
        }
        if self.bindings.len() == MAX_PREFIXES {
            return Err(self.excess("more prefixes are declared than any server uses"));
        }
        self.bindings.push(Binding { prefix, uri, level, first: None });
        Ok(())
    }

    /// Whether the attribute is a declaration with a prefix.
    fn declares_prefix(&self, name: Name) -> bool {
        name.has_prefix() && self.bytes(name.start, name.local) == b"xmlns:"
    }

    /// The index of the binding of a name's prefix.
    #[inline]
    fn binding_of(&self, name: Name) -> Option<usize> {
        if !name.has_prefix() {
            return None;
        }
        let prefix = self.bytes(name.start, name.local - 1);
        self.bindings.iter().rposition(|Binding { prefix: Name { local, end, .. }, .. }| {
            end - local == prefix.len() && self.bytes(*local, *end) == prefix
        })
    }

    #[inline(always)]
    fn is_declared(&self, name: Name) -> bool {
        !name.has_prefix()
            || self.binding_of(name).is_some()
            || match self.bytes(name.start, name.local - 1) {
                b"xml" => true,
                b"xsi" | b"xsd" => self.form == Form::Content,
                _ => false,
            }
    }

    /// Of the tag that begins at `start`: each prefix is declared, and no attribute stands there in two prefixes.
    #[inline]
    fn check_prefixes(&mut self, element: Name, start: usize) -> Read<()> {
        let mut declared = self.is_declared(element);
        if self.in_prefix > 0 {
            let names = || self.attributes.iter().map(|attribute| attribute.name);
            declared &= names().all(|name| self.declares_prefix(name) || self.is_declared(name));
        }
        let problem = match declared {
            false => "a prefix is used that is not declared",
            true if self.in_prefix > 1 && self.has_attribute_in_two_prefixes() => {
                "an element has an attribute twice"
            }
            true => return Ok(()),
        };
        self.at = start;
        Err(self.malformed(problem))
    }

    fn has_attribute_in_two_prefixes(&mut self) -> bool {
        for i in 1..self.attributes.len() {
            for j in 0..i {
                let (a, b) = (self.attributes[i].name, self.attributes[j].name);
                let alike = a.has_prefix() && self.bytes(a.local, a.end) == self.bytes(b.local, b.end);
                if alike
                    && let (Some(of_a), Some(of_b)) = (self.binding_of(a), self.binding_of(b))
                    && self.first_of_namespace(of_a) == self.first_of_namespace(of_b)
                {
                    return true;
                }
            }
        }
        false
    }

    /// The outermost binding of the same namespace. It is looked for once for each binding: a namespace may be long.
    fn first_of_namespace(&mut self, binding: usize) -> usize {
        if let Some(first) = self.bindings[binding].first {
            return first;
        }
        let uri = self.bindings[binding].uri(self.text);
        let first = self.bindings[..binding].iter().position(|other| other.is_of(uri, self.text));
        *self.bindings[binding].first.insert(first.unwrap_or(binding))
    }

    /// From `<` to behind `>`.
    #[inline(always)]
    fn end_tag(&mut self) -> Read<EndTag> {
        let tag = self.at;
        let Some((start, end)) = self.open.last().copied() else {
            return Err(self.malformed("an end tag without its start tag"));
        };
        let name = self.bytes(start, end);
        let found = &self.rest()[2..];
        if !found.starts_with(name) {
            return Err(match name.starts_with(found) {
                true => self.cut(),
                false => self.malformed("an end tag that is not that of the element"),
            });
        }
        self.at += 2 + name.len();
        self.spaces();
        self.expect(b'>', "an end tag that is not that of the element")?;
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

    #[inline]
    fn forget_prefixes(&mut self, level: usize) {
        while self.bindings.last().is_some_and(|binding| binding.level == level) {
            self.bindings.pop();
        }
    }

    /// From before the opening quote to behind the closing one.
    #[inline]
    fn value(&mut self) -> Read<(usize, usize)> {
        let quote = self.peek()?;
        if quote != b'"' && quote != b'\'' {
            return Err(self.malformed("the value of an attribute stands in no quotes"));
        }
        self.at += 1;
        let start = self.at;
        loop {
            match memchr3(quote, b'<', b'&', self.rest()) {
                Some(length) => self.at += length,
                None => return Err(self.cut()),
            }
            match self.text.as_bytes()[self.at] {
                b'<' => return Err(self.malformed("a '<' in the value of an attribute")),
                b'&' => self.reference()?,
                _ => break,
            }
        }
        self.at += 1;
        Ok((start, self.at - 1))
    }

    /// Up to the next `<`.
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
            Some(_) => return Err(self.malformed("a '&' that begins no reference")),
        }
        let Some(character) = referenced_character(&self.text[self.at + 1..self.at + length]) else {
            return Err(self.malformed("a reference to an entity that is not declared"));
        };
        if self.bad_reference.is_none() && !char::from_u32(character).is_some_and(is_allowed) {
            self.bad_reference = Some((self.at, character));
        }
        self.at += length + 1;
        Ok(())
    }
}
