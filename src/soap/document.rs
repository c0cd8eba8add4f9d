//! Reads any XML document from front to end in linear time, without a tree and without memory that grows with it: what
//! `scan` leaves, what a server answers in an unusual form, and what a caller gives as arguments. Elements are told to a
//! listener. There are bounds on what makes XML dear (attributes of an element, prefixes in scope, depth); no vSphere
//! server comes near them.

use std::ops::Range;

use memchr::{memchr, memchr2, memchr3, memmem};

use crate::text::ROOM;

/// Attributes of one element.
const MOST_ATTRIBUTES: usize = 32;
/// Prefixes that are in scope at one place, each declaration counted.
pub(super) const MOST_PREFIXES: usize = 32;
/// Levels of elements: the names of those that are open take 16 MiB then.
pub(super) const DEEPEST: usize = 1 << 20;
/// A reference such as `&#x10FFFF;` is shorter; zeros may stand before the number.
const LONGEST_REFERENCE: usize = 32;

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Why a document cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) at: usize,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It is not well-formed.
    Malformed(&'static str),
    /// It ends too early.
    Cut,
    Doctype,
    /// It may be well-formed, and exceeds a bound.
    Excess(&'static str),
    NoMemory,
}

impl What {
    pub(super) fn text(self) -> &'static str {
        match self {
            What::Malformed(text) | What::Excess(text) => text,
            What::Cut => "the text ends in the middle of an element",
            What::Doctype => "a document type declaration",
            What::NoMemory => "there is not enough memory",
        }
    }
}

type Read<T> = Result<T, Problem>;

/// What is told of each element, in the order of the text. The outermost elements have the level 1.
pub(super) trait Listener {
    fn began(&mut self, start: &Start) -> Read<()>;
    /// `tag` is the end tag; an empty place behind the tag of an element that has none.
    fn ended(&mut self, level: usize, tag: Range<usize>);
}

/// A start tag.
pub(super) struct Start<'d, 'a> {
    reader: &'d Reader<'a>,
    pub(super) level: usize,
    /// Where its name stands, without the prefix.
    pub(super) local: Range<usize>,
    pub(super) tag: Range<usize>,
}

impl<'a> Start<'_, 'a> {
    pub(super) fn name(&self) -> &'a str {
        &self.reader.text[self.local.clone()]
    }

    pub(super) fn attributes(&self) -> usize {
        self.reader.attributes.len()
    }

    /// The prefixes that are declared here and around; the empty one is the default namespace. An inner declaration comes
    /// behind the outer one that it hides.
    pub(super) fn bindings(&self) -> impl Iterator<Item = Binding> + '_ {
        self.reader.bindings.iter().copied()
    }

    /// The local part of the `xsi:type` attribute.
    pub(super) fn xsi_type(&self) -> Option<&'a str> {
        let text = self.reader.text;
        let attribute = self.reader.attributes.iter().find(|attribute| {
            &text[attribute.local..attribute.name_end] == "type"
                && attribute.namespace.is_some_and(|at| self.reader.bindings[at].uri(text) == XSI)
        })?;
        let value = &text[attribute.value.0..attribute.value.1];
        Some(value.rsplit(':').next().unwrap_or(value))
    }
}

/// The declaration of a prefix: where the prefix and its namespace stand in the text, as they are written there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    prefix: (usize, usize),
    uri: (usize, usize),
    pub(super) level: usize,
    /// Bindings with one number have one namespace.
    number: usize,
    /// The key of the prefix.
    key: u64,
}

impl Binding {
    pub(super) fn prefix<'a>(&self, text: &'a str) -> &'a str {
        &text[self.prefix.0..self.prefix.1]
    }

    pub(super) fn uri<'a>(&self, text: &'a str) -> &'a str {
        &text[self.uri.0..self.uri.1]
    }
}

#[derive(Clone, Copy)]
struct Attribute {
    start: usize,
    local: usize,
    name_end: usize,
    value: (usize, usize),
    /// The index of its binding.
    namespace: Option<usize>,
    /// The keys of its name and of the part behind the prefix.
    key: u64,
    local_key: u64,
}

/// Differs for most names that differ: each is compared with many.
fn key(name: &[u8]) -> u64 {
    let tail = &name[name.len().saturating_sub(7)..];
    tail.iter().fold(name.len() as u64, |key, byte| key << 8 | u64::from(*byte))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The names of the elements that are open.
    open: Vec<(usize, usize)>,
    bindings: Vec<Binding>,
    /// Those of the last start tag.
    attributes: Vec<Attribute>,
    /// What it reads stands inside of an element that declares `xsi` and `xsd`.
    outer: bool,
    /// The first reference to a character that XML does not allow.
    bad_reference: Option<(usize, u32)>,
}

/// What a whole document holds besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The first reference to a character that XML does not allow: where it stands, and its number.
    pub(super) bad_reference: Option<(usize, u32)>,
}

/// Reads a document.
pub(super) fn document(text: &str, listener: &mut impl Listener) -> Read<Seen> {
    let mut reader = Reader::new(text);
    if text.starts_with('\u{feff}') {
        reader.at = 3;
    }
    if reader.rest().starts_with(b"<?xml") && reader.rest().get(5).is_some_and(|b| is_space(*b)) {
        reader.declaration()?;
    }
    reader.around()?;
    if reader.rest().is_empty() {
        return Err(reader.cut());
    }
    if reader.rest()[0] != b'<' {
        return Err(reader.malformed("text stands outside of the root element"));
    }
    reader.element(listener)?;
    reader.around()?;
    match reader.rest() {
        [] => Ok(Seen { bad_reference: reader.bad_reference }),
        [b'<', ..] => Err(reader.malformed("there is more than one root element")),
        _ => Err(reader.malformed("text stands outside of the root element")),
    }
}

/// Reads elements that may stand inside of an element which declares `xsi` and `xsd`, and no text between them.
pub(super) fn content(text: &str, listener: &mut impl Listener) -> Read<Seen> {
    let mut reader = Reader::new(text);
    reader.outer = true;
    loop {
        reader.around()?;
        match reader.rest() {
            [] => return Ok(Seen { bad_reference: reader.bad_reference }),
            [b'<', b'/', ..] => return Err(reader.malformed("an end tag without its start tag")),
            [b'<', ..] => reader.element(listener)?,
            _ => {
                return Err(reader.malformed(
                    "text outside of an element; each argument is an element, like <name>value</name>",
                ));
            }
        }
    }
}

/// The text between two tags that have no element between them, as a parser gives it: without comments and processing
/// instructions, with what references and CDATA sections stand for. With room to become a `Text`. `None`: there is no memory.
pub(super) fn plain_text(text: &str) -> Option<String> {
    let mut plain = String::new();
    plain.try_reserve_exact(text.len() + ROOM).ok()?;
    let mut rest = text;
    while let Some(at) = memchr3(b'&', b'<', b'\r', rest.as_bytes()) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
        let length = if let Some(section) = rest.strip_prefix("<![CDATA[") {
            let length = until("]]>");
            push_lines(&mut plain, &section[..(length - 9).saturating_sub(3).min(section.len())]);
            length
        } else if rest.starts_with("<!--") {
            until("-->")
        } else if rest.starts_with('<') {
            until("?>")
        } else if rest.starts_with('&') {
            let length = until(";");
            plain.push(reference(&rest[1..length - 1]).map_or('\u{fffd}', |character| {
                char::from_u32(character).filter(|c| is_allowed(*c)).unwrap_or('\u{fffd}')
            }));
            length
        } else {
            plain.push('\n');
            if rest.starts_with("\r\n") { 2 } else { 1 }
        };
        rest = &rest[length..];
    }
    plain.push_str(rest);
    Some(plain)
}

/// The document with question marks in the place of references to characters that XML does not allow.
pub(super) fn without_bad_references(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        let (before, behind) = rest.split_at(at);
        clean.push_str(before);
        let length = behind.bytes().take(LONGEST_REFERENCE).position(|b| b == b';').map_or(1, |at| at + 1);
        let number = reference(&behind[1..length.max(2) - 1]);
        let allowed = number.is_none_or(|number| char::from_u32(number).is_some_and(is_allowed));
        clean.push_str(if allowed { &behind[..length] } else { "?" });
        rest = &behind[length..];
    }
    clean.push_str(rest);
    clean
}

/// Text in which the ends of lines are those of XML.
fn push_lines(plain: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = memchr(b'\r', rest.as_bytes()) {
        plain.push_str(&rest[..at]);
        plain.push('\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    plain.push_str(rest);
}

/// Whether XML may hold the character.
pub(super) fn is_allowed(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The number of the character that a reference stands for, without `&` and `;`.
fn reference(name: &str) -> Option<u32> {
    let number = |digits: &str, radix| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        // What is too large is a number all the same, of no character.
        plain.then(|| u32::from_str_radix(digits, radix)).map(|n| n.or(Ok::<_, ()>(u32::MAX)))?.ok()
    };
    match name {
        "amp" => Some('&'.into()),
        "lt" => Some('<'.into()),
        "gt" => Some('>'.into()),
        "quot" => Some('"'.into()),
        "apos" => Some('\''.into()),
        _ => match name.strip_prefix('#')?.strip_prefix('x') {
            Some(digits) => number(digits, 16),
            None => {
                let digits = &name[1..];
                digits.bytes().all(|b| b.is_ascii_digit()).then(|| number(digits, 10))?
            }
        },
    }
}

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

fn continues_name(c: char) -> bool {
    begins_name(c)
        || c.is_ascii_digit()
        || matches!(c, '-' | '.' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            open: Vec::with_capacity(16),
            bindings: Vec::with_capacity(8),
            attributes: Vec::with_capacity(8),
            outer: false,
            bad_reference: None,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn peek(&self) -> Read<u8> {
        self.text.as_bytes().get(self.at).copied().ok_or(self.cut())
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

    fn expect(&mut self, byte: u8, otherwise: &'static str) -> Read<()> {
        if self.peek()? != byte {
            return Err(self.malformed(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    /// To behind the next occurrence of `end`; `from` bytes are no part of it.
    fn skip_to(&mut self, from: usize, end: &str) -> Read<()> {
        let begin = (self.at + from).min(self.text.len());
        let found = memmem::find(&self.text.as_bytes()[begin..], end.as_bytes()).ok_or(self.cut())?;
        self.at = begin + found + end.len();
        Ok(())
    }

    fn spaces(&mut self) -> bool {
        let start = self.at;
        while self.rest().first().is_some_and(|b| is_space(*b)) {
            self.at += 1;
        }
        self.at > start
    }

    /// `<?xml version="1.0" ...?>`.
    fn declaration(&mut self) -> Read<()> {
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
            let place = known.iter().position(|known| *known == &self.text[name.0..name.2]);
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

    /// What may stand between elements, outside of all: spaces, comments, processing instructions.
    fn around(&mut self) -> Read<()> {
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

    fn comment(&mut self) -> Read<()> {
        self.skip_to(4, "--")?;
        self.expect(b'>', "a comment that holds '--'")
    }

    fn instruction(&mut self) -> Read<()> {
        let start = self.at;
        self.at += 2;
        let name = self.name()?;
        if self.text[name.0..name.2].eq_ignore_ascii_case("xml") {
            self.at = start;
            return Err(self.malformed("an XML declaration that is not at the beginning"));
        }
        if !self.rest().starts_with(b"?>") && !self.spaces() {
            return Err(self.malformed("a processing instruction that is none"));
        }
        self.skip_to(0, "?>")
    }

    /// From the `<` of an element to behind its end.
    fn element(&mut self, listener: &mut impl Listener) -> Read<()> {
        loop {
            let start = self.at;
            match self.rest().get(1) {
                Some(b'/') => {
                    self.end_tag()?;
                    listener.ended(self.open.len() + 1, start..self.at);
                }
                Some(b'!') if self.rest().starts_with(b"<!--") => self.comment()?,
                Some(b'!') if self.rest().starts_with(b"<![CDATA[") && !self.open.is_empty() => {
                    self.skip_to(9, "]]>")?;
                }
                Some(b'!') => {
                    return Err(match self.rest().len() {
                        0..9 => self.cut(),
                        _ => self.malformed("a declaration inside of an element"),
                    });
                }
                Some(b'?') => self.instruction()?,
                _ => self.start_tag(listener)?,
            }
            if self.open.is_empty() {
                return Ok(());
            }
            self.characters()?;
        }
    }

    /// A name, perhaps with a prefix: where it begins, where the part behind the prefix does, and where it ends.
    fn name(&mut self) -> Read<(usize, usize, usize)> {
        let start = self.at;
        let mut local = start;
        self.part_of_name()?;
        if self.rest().first() == Some(&b':') {
            self.at += 1;
            local = self.at;
            self.part_of_name()?;
        }
        Ok((start, local, self.at))
    }

    fn part_of_name(&mut self) -> Read<()> {
        let start = self.at;
        loop {
            let bytes = self.rest();
            let plain = bytes
                .iter()
                .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')))
                .unwrap_or(bytes.len());
            self.at += plain;
            let Some(next) = self.text[self.at..].chars().next().filter(|c| !c.is_ascii()) else { break };
            if !continues_name(next) {
                break;
            }
            self.at += next.len_utf8();
        }
        let end = std::mem::replace(&mut self.at, start);
        match self.text[start..].chars().next() {
            None => Err(self.cut()),
            Some(first) if end > start && begins_name(first) => {
                self.at = end;
                Ok(())
            }
            Some(_) => Err(self.malformed("something else stands where a name is wanted")),
        }
    }

    fn start_tag(&mut self, listener: &mut impl Listener) -> Read<()> {
        let start = self.at;
        self.at += 1;
        let name = self.name()?;
        let level = self.open.len() + 1;
        let outside = self.bindings.len();
        self.attributes.clear();
        let empty = loop {
            let spaced = self.spaces();
            match self.peek()? {
                b'>' => break false,
                b'/' => {
                    self.at += 1;
                    break true;
                }
                _ if !spaced => return Err(self.malformed("an attribute or the end of a tag is wanted")),
                _ => self.attribute(level, outside)?,
            }
        };
        self.expect(b'>', "a tag that is not closed")?;
        let end = std::mem::replace(&mut self.at, start);
        // A declaration may stand behind what uses it.
        self.binding(name.0, name.1)?;
        self.resolve()?;
        self.at = end;
        if level > DEEPEST {
            return Err(self.excess("elements are nested deeper than any server nests them"));
        }
        let tag = start..end;
        listener.began(&Start { reader: self, level, local: name.1..name.2, tag })?;
        if empty {
            self.bindings.truncate(outside);
            listener.ended(level, end..end);
        } else {
            if self.open.try_reserve(1).is_err() {
                return Err(Problem { at: start, what: What::NoMemory });
            }
            self.open.push((name.0, name.2));
        }
        Ok(())
    }

    fn attribute(&mut self, level: usize, outside: usize) -> Read<()> {
        if self.attributes.len() == MOST_ATTRIBUTES {
            return Err(self.excess("an element has more attributes than any server gives one"));
        }
        let (start, local, name_end) = self.name()?;
        self.spaces();
        self.expect(b'=', "an attribute without a value")?;
        self.spaces();
        let value = self.value()?;
        let text = self.text;
        let name = &text[start..name_end];
        let key_of_name = key(name.as_bytes());
        let is_same = |other: &Attribute| {
            other.key == key_of_name && text.as_bytes()[other.start..other.name_end] == *name.as_bytes()
        };
        if self.attributes.iter().any(is_same) {
            return Err(self.malformed("an element has an attribute twice"));
        }
        let local_key = if local == start { key_of_name } else { key(&text.as_bytes()[local..name_end]) };
        self.attributes.push(Attribute {
            start,
            local,
            name_end,
            value,
            namespace: None,
            key: key_of_name,
            local_key,
        });
        let prefix = match name.strip_prefix("xmlns") {
            Some("") => (name_end, name_end),
            Some(rest) if rest.starts_with(':') => (local, name_end),
            _ => return Ok(()),
        };
        let uri = &text[value.0..value.1];
        let named = &text[prefix.0..prefix.1];
        if named == "xmlns"
            || uri == XMLNS
            || (named == "xml") != (uri == XML)
            || uri.is_empty() && !named.is_empty()
        {
            return Err(self.malformed("a prefix is declared for what it cannot stand for"));
        }
        if named == "xml" {
            return Ok(());
        }
        if self.bindings.len() == MOST_PREFIXES {
            return Err(self.excess("more prefixes are declared than any server uses"));
        }
        let same = self.bindings.iter().find(|binding| binding.uri(text) == uri);
        let number = same.map_or(value.0, |binding| binding.number);
        self.bindings.push(Binding { prefix, uri: value, level, number, key: key(named.as_bytes()) });
        debug_assert!(outside < self.bindings.len());
        Ok(())
    }

    /// The index of the binding of a name's prefix.
    fn binding(&self, start: usize, local: usize) -> Read<Option<usize>> {
        if local == start {
            return Ok(None);
        }
        let prefix = &self.text[start..local - 1];
        let wanted = key(prefix.as_bytes());
        let is_it = |binding: &Binding| binding.key == wanted && binding.prefix(self.text) == prefix;
        let found = self.bindings.iter().rposition(is_it);
        match found {
            Some(index) => Ok(Some(index)),
            None if prefix == "xml" => Ok(None),
            None if self.outer && matches!(prefix, "xsi" | "xsd") => Ok(None),
            None => Err(self.malformed("a prefix is used that is not declared")),
        }
    }

    /// Finds what the prefixes of the attributes stand for, and refuses two that are the same one.
    fn resolve(&mut self) -> Read<()> {
        let text = self.text;
        for i in 0..self.attributes.len() {
            let attribute = self.attributes[i];
            if attribute.local == attribute.start || text[attribute.start..].starts_with("xmlns:") {
                continue;
            }
            let Some(namespace) = self.binding(attribute.start, attribute.local)? else { continue };
            let number = self.bindings[namespace].number;
            let name = &text[attribute.local..attribute.name_end];
            let twice = self.attributes[..i].iter().any(|other| {
                other.local_key == attribute.local_key
                    && other.namespace.is_some_and(|at| self.bindings[at].number == number)
                    && &text[other.local..other.name_end] == name
            });
            if twice {
                return Err(self.malformed("an element has an attribute twice"));
            }
            self.attributes[i].namespace = Some(namespace);
        }
        Ok(())
    }

    fn end_tag(&mut self) -> Read<()> {
        let Some((start, end)) = self.open.last().copied() else {
            return Err(self.malformed("an end tag without its start tag"));
        };
        let name = &self.text.as_bytes()[start..end];
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
        while self.bindings.last().is_some_and(|binding| binding.level == level) {
            self.bindings.pop();
        }
        self.open.pop();
        Ok(())
    }

    /// From before the opening quote to behind the closing one.
    fn value(&mut self) -> Read<(usize, usize)> {
        let quote = self.peek()?;
        if quote != b'"' && quote != b'\'' {
            return Err(self.malformed("the value of an attribute stands in no quotes"));
        }
        self.at += 1;
        let start = self.at;
        loop {
            self.at += memchr3(quote, b'<', b'&', self.rest()).ok_or(self.cut())?;
            match self.peek()? {
                b'<' => return Err(self.malformed("a '<' in the value of an attribute")),
                b'&' => self.reference()?,
                _ => break,
            }
        }
        self.at += 1;
        Ok((start, self.at - 1))
    }

    /// Up to the next `<`.
    fn characters(&mut self) -> Read<()> {
        loop {
            match self.peek()? {
                b'<' => return Ok(()),
                b'&' => self.reference()?,
                b'>' if self.text.as_bytes()[..self.at].ends_with(b"]]") => {
                    return Err(self.malformed("']]>' in a text"));
                }
                _ => self.at += 1,
            }
            self.at += memchr3(b'<', b'>', b'&', self.rest()).ok_or(self.cut())?;
        }
    }

    fn reference(&mut self) -> Read<()> {
        let rest = self.rest();
        let near = &rest[..rest.len().min(LONGEST_REFERENCE)];
        let Some(length) = memchr2(b';', b'<', near).filter(|at| near[*at] == b';') else {
            return Err(if near.len() == rest.len() && memchr(b'<', near).is_none() {
                self.cut()
            } else {
                self.malformed("a '&' that begins no reference")
            });
        };
        let name = std::str::from_utf8(&rest[1..length]).ok();
        let Some(character) = name.and_then(reference) else {
            return Err(self.malformed("a reference to an entity that is not declared"));
        };
        if self.bad_reference.is_none() && !char::from_u32(character).is_some_and(is_allowed) {
            self.bad_reference = Some((self.at, character));
        }
        self.at += length + 1;
        Ok(())
    }
}
