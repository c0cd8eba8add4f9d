//! A look over a reply from front to end, without a tree: for most replies all that is needed is where the response
//! stands in it. It knows the plain XML that vSphere servers write. Whatever it does not know, well-formed or not, it
//! leaves to the parser (`None`); so what it accepts must be what the parser accepts, with the same result. So it does
//! with a reply in which an attribute says NotAuthenticated: what it withholds takes a tree to see.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr3};

use super::document::{DEEPEST, MOST_PREFIXES};
use super::fault::NOT_AUTHENTICATED;

/// What a reply that is not a fault holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Where the response element stands.
    pub(super) response: Range<usize>,
    /// Where the text of the return value stands when it is a single element without children.
    pub(super) value: Option<Range<usize>>,
}

const DECLARATIONS: [&str; 3] = [
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
    "<?xml version=\"1.0\"?>",
];

/// Levels of elements: the envelope's own, the body's, the response's, the return value's, that of its children.
const ENVELOPE: usize = 1;
const BODY: usize = 2;
const RESPONSE: usize = 3;
const VALUE: usize = 4;
const FIELD: usize = 5;

/// Reads the whole text.
pub(super) fn reply(text: &str) -> Option<Scanned> {
    let mut found = Found::default();
    walk(text, &mut found)?;
    let value = found.value.filter(|_| found.values == 1 && !found.nested);
    Some(Scanned { response: found.response?, value })
}

/// No record of a server's has more fields.
const MOST_FIELDS: usize = 256;

/// An element without children: its name and its text.
pub(crate) type Field<'a> = (&'a str, Cow<'a, str>);

/// The children of the one return value, when they are all without children.
pub(super) fn fields(text: &str) -> Option<Vec<Field<'_>>> {
    let mut fields = Fields::default();
    walk(text, &mut fields)?;
    let plain = fields.reply.values == 1 && !fields.nested && fields.found.len() <= MOST_FIELDS;
    let field = |(name, value): (Range<usize>, Range<usize>)| (&text[name], unescape(&text[value]));
    plain.then(|| fields.found.into_iter().map(field).collect())
}

/// What is told of each element, in the order of the text. Places are of the local name and of the tag.
trait Listener {
    /// `None`: the rest is of no interest.
    fn began(&mut self, text: &str, level: usize, name: Range<usize>, tag: Range<usize>) -> Option<()>;
    /// The end tag; an empty place behind the tag of an element that has none.
    fn ended(&mut self, level: usize, tag: Range<usize>);
}

fn walk(text: &str, listener: &mut impl Listener) -> Option<()> {
    if !is_plain(text) {
        return None;
    }
    let mut scanner = Scanner::new(text);
    if let Some(declaration) = DECLARATIONS.iter().find(|d| text.starts_with(**d)) {
        scanner.at = declaration.len();
    }
    scanner.spaces();
    scanner.element(listener)?;
    scanner.spaces();
    (scanner.at == text.len()).then_some(())
}

/// Whether the text is elements that may stand in an envelope which declares these prefixes, with white space between them.
pub(super) fn is_content(text: &str, prefixes: &[&'static str]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.prefixes.extend(prefixes.iter().map(|prefix| (*prefix, 0)));
    is_plain(text)
        && loop {
            scanner.spaces();
            if scanner.at == text.len() {
                break true;
            }
            if scanner.element(&mut Nobody).is_none() {
                break false;
            }
        }
}

/// Listens to nothing.
struct Nobody;

impl Listener for Nobody {
    fn began(&mut self, _: &str, _: usize, _: Range<usize>, _: Range<usize>) -> Option<()> {
        Some(())
    }

    fn ended(&mut self, _: usize, _: Range<usize>) {}
}

/// Whether all characters are some that XML may hold, and none that a parser changes, as it does with a CR.
fn is_plain(text: &str) -> bool {
    // Without a way out of the loop: so the compiler looks at many bytes at a time.
    let (mut control, mut beyond) = (false, false);
    for byte in text.bytes() {
        control |= byte < b' ' && byte != b'\n' && byte != b'\t';
        beyond |= byte == 0xef;
    }
    let forbidden = control || beyond && text.contains(['\u{fffe}', '\u{ffff}']);
    !forbidden
}

/// What has been seen of the reply so far.
#[derive(Default)]
struct Found {
    /// The first body has begun, and has not ended.
    in_body: bool,
    body_seen: bool,
    response_begun: Option<usize>,
    response: Option<Range<usize>>,
    values: usize,
    /// A value has children.
    nested: bool,
    value_begun: usize,
    value: Option<Range<usize>>,
}

impl Found {
    fn in_response(&self) -> bool {
        self.response_begun.is_some() && self.response.is_none()
    }
}

impl Listener for Found {
    /// `None`: not a reply, or a fault.
    fn began(&mut self, text: &str, level: usize, name: Range<usize>, tag: Range<usize>) -> Option<()> {
        let name = &text[name];
        match level {
            ENVELOPE if name != "Envelope" => return None,
            BODY if name == "Body" && !self.body_seen => (self.in_body, self.body_seen) = (true, true),
            RESPONSE if self.in_body && self.response_begun.is_none() => {
                if name == "Fault" {
                    return None;
                }
                self.response_begun = Some(tag.start);
            }
            VALUE if self.in_response() => {
                self.values += 1;
                self.value_begun = tag.end;
            }
            _ if level > VALUE && self.in_response() => self.nested = true,
            _ => {}
        }
        Some(())
    }

    fn ended(&mut self, level: usize, tag: Range<usize>) {
        match level {
            BODY => self.in_body = false,
            RESPONSE if self.in_response() => self.response = self.response_begun.map(|begun| begun..tag.end),
            VALUE if self.in_response() => self.value = Some(self.value_begun..tag.start),
            _ => {}
        }
    }
}

/// What has been seen of the children of the return values.
#[derive(Default)]
struct Fields {
    reply: Found,
    name: Range<usize>,
    value_begun: usize,
    found: Vec<(Range<usize>, Range<usize>)>,
    /// A field has children.
    nested: bool,
}

impl Listener for Fields {
    fn began(&mut self, text: &str, level: usize, name: Range<usize>, tag: Range<usize>) -> Option<()> {
        self.reply.began(text, level, name.clone(), tag.clone())?;
        if self.reply.in_response() {
            match level {
                FIELD => (self.name, self.value_begun) = (name, tag.end),
                _ => self.nested |= level > FIELD,
            }
        }
        Some(())
    }

    fn ended(&mut self, level: usize, tag: Range<usize>) {
        if level == FIELD && self.reply.in_response() && self.found.len() <= MOST_FIELDS {
            self.found.push((self.name.clone(), self.value_begun..tag.start));
        }
        self.reply.ended(level, tag);
    }
}

/// A name: where it begins and ends, and where the part behind its prefix begins.
#[derive(Clone, Copy, Default)]
struct Name {
    start: usize,
    local: usize,
    end: usize,
}

impl Name {
    fn has_prefix(self) -> bool {
        self.local > self.start
    }
}

/// The value of an attribute, as it stands in the text.
struct Value<'a> {
    text: &'a str,
    /// There are entities in it.
    escaped: bool,
}

struct Tag {
    /// The name without its prefix.
    local: Range<usize>,
    /// `<name/>`.
    empty: bool,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The names of the elements that are open.
    open: Vec<Range<usize>>,
    /// The prefixes that are declared, and the level of the element that declares each.
    prefixes: Vec<(&'a str, usize)>,
}

/// The bytes that names consist of behind their first.
const IN_NAMES: [bool; 256] = {
    let mut in_names = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        in_names[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'-' | b'.');
        byte += 1;
    }
    in_names
};

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0, open: Vec::with_capacity(16), prefixes: Vec::with_capacity(8) }
    }

    /// From the `<` of an element to behind its end.
    fn element(&mut self, listener: &mut impl Listener) -> Option<()> {
        loop {
            let start = self.at;
            self.expect(b'<')?;
            if self.peek() == Some(b'/') {
                self.end_tag()?;
                listener.ended(self.open.len() + 1, start..self.at);
            } else {
                let tag = self.start_tag()?;
                let level = self.open.len() + usize::from(tag.empty);
                listener.began(self.text, level, tag.local, start..self.at)?;
                if tag.empty {
                    listener.ended(level, self.at..self.at);
                }
            }
            if self.open.is_empty() {
                return Some(());
            }
            self.characters()?;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn spaces(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t')) {
            self.at += 1;
        }
        self.at > start
    }

    /// A name of ASCII characters, perhaps with a prefix.
    fn name(&mut self) -> Option<Name> {
        let start = self.at;
        let mut local = start;
        self.part_of_name()?;
        if self.peek()? == b':' {
            self.at += 1;
            local = self.at;
            self.part_of_name()?;
        }
        Some(Name { start, local, end: self.at })
    }

    fn part_of_name(&mut self) -> Option<()> {
        if !matches!(self.peek()?, b'a'..=b'z' | b'A'..=b'Z' | b'_') {
            return None;
        }
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        while IN_NAMES[*bytes.get(at)? as usize] {
            at += 1;
        }
        self.at = at;
        Some(())
    }

    /// From behind the `<` to behind the `>`.
    fn start_tag(&mut self) -> Option<Tag> {
        let name = self.name()?;
        let level = self.open.len() + 1;
        // Most tags have no attributes.
        let empty = self.peek()? != b'>' && self.attributes(level)?;
        self.expect(b'>')?;
        // A declaration may stand behind what uses it.
        self.prefix_is_declared(name)?;
        if empty {
            self.forget_prefixes(level);
        } else {
            if self.open.len() == self.open.capacity() {
                self.make_room()?;
            }
            self.open.push(name.start..name.end);
        }
        Some(Tag { local: name.local..name.end, empty })
    }

    /// For elements that are nested deeper, within a bound.
    #[cold]
    fn make_room(&mut self) -> Option<()> {
        (self.open.len() < DEEPEST).then(|| self.open.try_reserve(1).ok())?
    }

    /// From behind a name to before the `>`. Whether there is a `/` before it.
    fn attributes(&mut self, level: usize) -> Option<bool> {
        // More attributes than this no element of vSphere's has.
        let mut attributes = [Name::default(); 8];
        let mut count = 0;
        let mut uses_prefix = false;
        let empty = loop {
            let spaced = self.spaces();
            match self.peek()? {
                b'>' => break false,
                b'/' => {
                    self.at += 1;
                    break true;
                }
                _ if !spaced => return None,
                _ => {}
            }
            let attribute = self.name()?;
            self.expect(b'=')?;
            let value = self.attribute_value()?;
            if value.text.ends_with(NOT_AUTHENTICATED) {
                return None;
            }
            if attributes[..count].iter().any(|other| self.may_be_one(*other, attribute)) {
                return None;
            }
            *attributes.get_mut(count)? = attribute;
            count += 1;
            if self.declares_prefix(attribute) {
                let prefix = &self.text[attribute.local..attribute.end];
                harmless_namespace(&value)?;
                if value.text.is_empty() || prefix.starts_with("xml") {
                    return None;
                }
                // Each use of a prefix looks through them.
                if self.prefixes.len() >= MOST_PREFIXES {
                    return None;
                }
                self.prefixes.push((prefix, level));
            } else if attribute.has_prefix() {
                uses_prefix = true;
            } else if self.bytes(attribute.start, attribute.end) == b"xmlns" {
                harmless_namespace(&value)?;
            }
        };
        if uses_prefix {
            for attribute in attributes[..count].iter().filter(|a| !self.declares_prefix(**a)) {
                self.prefix_is_declared(*attribute)?;
            }
        }
        Some(empty)
    }

    /// From before the `/` to behind the `>`.
    fn end_tag(&mut self) -> Option<()> {
        self.expect(b'/')?;
        let name = self.open.last()?.clone();
        let rest = self.text.as_bytes().get(self.at..)?;
        if !rest.starts_with(&self.text.as_bytes()[name.clone()]) {
            return None;
        }
        self.at += name.len();
        self.spaces();
        self.expect(b'>')?;
        self.forget_prefixes(self.open.len());
        self.open.pop();
        Some(())
    }

    fn forget_prefixes(&mut self, level: usize) {
        while self.prefixes.last().is_some_and(|(_, declared)| *declared == level) {
            self.prefixes.pop();
        }
    }

    fn bytes(&self, start: usize, end: usize) -> &[u8] {
        &self.text.as_bytes()[start..end]
    }

    /// Of an attribute: `xmlns:prefix`.
    fn declares_prefix(&self, name: Name) -> bool {
        name.has_prefix() && self.bytes(name.start, name.local) == b"xmlns:"
    }

    fn prefix_is_declared(&self, name: Name) -> Option<()> {
        if !name.has_prefix() {
            return Some(());
        }
        let prefix = self.bytes(name.start, name.local - 1);
        self.prefixes.iter().rev().any(|(declared, _)| declared.as_bytes() == prefix).then_some(())
    }

    /// Whether two attributes of an element may be the same one, which well-formed XML does not have. Two prefixes may
    /// stand for one namespace.
    fn may_be_one(&self, a: Name, b: Name) -> bool {
        if a.has_prefix() && b.has_prefix() && !self.declares_prefix(a) && !self.declares_prefix(b) {
            self.bytes(a.local, a.end) == self.bytes(b.local, b.end)
        } else {
            self.bytes(a.start, a.end) == self.bytes(b.start, b.end)
        }
    }

    /// From before the opening quote to behind the closing one.
    fn attribute_value(&mut self) -> Option<Value<'a>> {
        let quote = self.peek()?;
        if quote != b'"' && quote != b'\'' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += memchr3(quote, b'<', b'&', self.rest())?;
            match self.peek()? {
                b'<' => return None,
                b'&' => self.entity()?,
                _ => break,
            }
            escaped = true;
        }
        self.at += 1;
        Some(Value { text: &self.text[start..self.at - 1], escaped })
    }

    /// Up to the next `<`.
    fn characters(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                b'<' => return Some(()),
                b'&' => self.entity()?,
                b'>' if self.text.as_bytes()[..self.at].ends_with(b"]]") => return None,
                _ => self.at += 1,
            }
            self.at += memchr3(b'<', b'>', b'&', self.rest())?;
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn entity(&mut self) -> Option<()> {
        let rest = self.rest();
        self.at += ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity.as_bytes()))?.0.len();
        Some(())
    }
}

const ENTITIES: [(&str, char); 5] =
    [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];

/// Leaves to the parser the namespaces that have rules of their own, and escaped ones.
fn harmless_namespace(uri: &Value) -> Option<()> {
    (!uri.escaped
        && !uri.text.starts_with("http://www.w3.org/XML/")
        && !uri.text.starts_with("http://www.w3.org/2000/"))
    .then_some(())
}

fn unescape(text: &str) -> Cow<'_, str> {
    if memchr(b'&', text.as_bytes()).is_none() {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let Some((entity, character)) = ENTITIES.iter().find(|(entity, _)| rest[at..].starts_with(entity))
        else {
            break;
        };
        plain.push(*character);
        rest = &rest[at + entity.len()..];
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(&str, Option<String>)> {
        let plain = |at: Range<usize>| super::super::document::plain_text(&text[at]).unwrap();
        reply(text).map(|scanned| (&text[scanned.response], scanned.value.map(plain)))
    }

    #[test]
    fn the_replies_of_servers_are_known() {
        let envelope = |body: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\"\n xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"\n xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n{body}\n</soapenv:Body>\n</soapenv:Envelope>"
            )
        };
        let time = "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>2026-01-01T00:00:00Z</returnval></CurrentTimeResponse>";
        assert_eq!(found(&envelope(time)), Some((time, Some("2026-01-01T00:00:00Z".into()))));
        let text = "<R xmlns='urn:vim25'><returnval>a &lt; b &amp;&amp; \"c\" \u{e9}\u{ff1a}</returnval></R>";
        assert_eq!(found(&envelope(text)), Some((text, Some("a < b && \"c\" \u{e9}\u{ff1a}".into()))));
        let objects = "<R><returnval><objects><obj type=\"VirtualMachine\" xsi:type=\"M\">vm-1</obj></objects></returnval></R>";
        assert_eq!(found(&envelope(objects)), Some((objects, None)));
        assert_eq!(found(&envelope("<R/>")), Some(("<R/>", None)));
        assert_eq!(
            found(&envelope("<R><returnval/></R>")),
            Some(("<R><returnval/></R>", Some(String::new())))
        );
        assert_eq!(found(&envelope("<R><a>1</a><b>2</b></R>")), Some(("<R><a>1</a><b>2</b></R>", None)));
    }

    #[test]
    fn what_is_unusual_is_left_to_the_parser() {
        let whole = |inside: &str| format!("<s:Envelope xmlns:s='s'><s:Body>{inside}</s:Body></s:Envelope>");
        assert!(reply(&whole("<R/>")).is_some());
        for unusual in [
            "",
            "text",
            "<s:Fault/>",
            "<R",
            "<R>",
            "<R></S>",
            "<R a='1' a='2'/>",
            "<R a=1/>",
            "<R a='<'/>",
            "<R a='1'b='2'/>",
            "<p:R/>",
            "<R p:a='1'/>",
            "<R><![CDATA[x]]></R>",
            "<R><!-- x --></R>",
            "<R><?x?></R>",
            "<R>&nbsp;</R>",
            "<R>&#10;</R>",
            "<R>&amp</R>",
            "<R>]]></R>",
            "<R>\u{1}</R>",
            "<R>\r\n</R>",
            "<R>\u{fffe}</R>",
            "<1R/>",
            "<:R/>",
            "<a:/>",
            "<R xmlns:p=''/>",
            "<R xmlns:xml='x'/>",
            "<R xmlns:p='http://www.w3.org/2000/xmlns/'/>",
            "<\u{e9}/>",
            "<R xmlns:p='x' xmlns:q='x' p:a='1' q:a='2'/>",
        ] {
            assert_eq!(reply(&whole(unusual)), None, "{unusual}");
        }
        for unusual in ["<!DOCTYPE x>", "\u{feff}", "<?xml version='1.1'?>", "x"] {
            assert_eq!(reply(&format!("{unusual}{}", whole("<R/>"))), None, "{unusual}");
        }
        assert_eq!(reply(&format!("{}x", whole("<R/>"))), None);
        assert_eq!(reply("<html><body><p/></body></html>"), None);
    }
}
