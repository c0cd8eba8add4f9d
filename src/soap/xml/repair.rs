//! Characters that XML forbids, and their replacement by U+FFFD. Guests and people put them into names and notes, and one of them must not make a
//! whole reply unreadable.
//!
//! Only text and the values of attributes are repaired, never the structure of a document. To that end the characters are replaced in two steps. The
//! document is read with a mark in their places that no name may contain, so that the reader refuses it outside of texts and values. Only
//! then does U+FFFD, which names may contain, take the place of the marks.

use std::fmt;

use memchr::{memchr2, memmem};

use super::problem::{Problem, Read, What};
use super::text::{UNREAD_MARKUP, is_allowed, length_of_reference_name, referenced_character};
use crate::text::{Bytes, ROOM};

/// Stands in the place of a bad character until the document has been read. XML forbids this character too, so no other one of it is
/// in the text. It takes as many bytes as `REPLACEMENT`.
const MARK: char = '\u{ffff}';

pub(crate) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// A character that XML forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadCharacter {
    /// Its offset in the bytes that the server sent.
    pub(crate) at: usize,
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The first byte of a sequence that is not UTF-8.
    Byte(u8),
    Character(u32),
    Reference(u32),
}

impl fmt::Display for BadCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.form, self.at)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Byte(byte) => write!(f, "the byte 0x{byte:02X}, which is not UTF-8,"),
            Form::Character(c) => write!(f, "the character U+{c:04X}, which XML does not allow,"),
            Form::Reference(c) => {
                write!(f, "a reference to the character U+{c:04X}, which XML does not allow,")
            }
        }
    }
}

/// What was replaced in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// How many characters.
    pub(crate) count: usize,
    pub(crate) first: BadCharacter,
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.count {
            1 => Ok(()),
            count => write!(f, " and {} more such characters", count - 1),
        }
    }
}

/// A document with bad characters.
#[derive(Debug)]
pub(crate) struct Repaired {
    /// As the server sent it.
    pub(crate) body: Bytes,
    pub(crate) repairs: Repairs,
}

/// A body as text, and what it was if it has bad characters.
pub(crate) struct Decoded {
    pub(crate) text: String,
    pub(crate) repaired: Option<Box<Repaired>>,
}

/// The body as text with a mark in the place of each bad character and of each maximal part of a broken UTF-8 sequence.
#[cold]
pub(super) fn marked(body: Vec<u8>) -> Read<Decoded> {
    let (mut length, mut at) = (0, 0);
    let mut repairs: Option<Repairs> = None;
    for part in parts(&body) {
        if let Part::Bad { form, .. } = part {
            let first = BadCharacter { at, form };
            repairs.get_or_insert(Repairs { count: 0, first }).count += 1;
        }
        length += part.length_in_text();
        at += part.length_in_body();
    }
    let mut text = with_room(length)?;
    for part in parts(&body) {
        match part {
            Part::Good(good) => text.push_str(good),
            Part::Bad { .. } => text.push(if planted!("names-repaired") { REPLACEMENT } else { MARK }),
        }
    }
    let repaired = repairs.map(|repairs| Box::new(Repaired { body: body.into(), repairs }));
    Ok(Decoded { text, repaired })
}

/// The text with U+FFFD in the place of each mark. Offsets stay the same.
pub(crate) fn without_marks(text: String) -> String {
    let mut bytes = text.into_bytes();
    let (mut mark, mut replacement) = ([0; 3], [0; 3]);
    let mark = MARK.encode_utf8(&mut mark).as_bytes();
    let replacement = REPLACEMENT.encode_utf8(&mut replacement).as_bytes();
    let mut at = 0;
    while let Some(found) = memmem::find(&bytes[at..], mark) {
        at += found;
        bytes[at..at + mark.len()].copy_from_slice(replacement);
    }
    // One character took the place of another.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The text of a well-formed document with U+FFFD in the place of each reference to a character that XML forbids, and how many they were.
/// `first` is the offset of the first one. What looks like a reference in a comment, a section or an instruction is none.
#[cold]
pub(crate) fn without_bad_references(text: &str, first: usize) -> Read<(String, usize)> {
    // Each reference is longer than the character.
    let mut clean = with_room(text.len())?;
    let mut count = 0;
    clean.push_str(&text[..first]);
    let mut rest = &text[first..];
    while let Some(at) = memchr2(b'&', b'<', rest.as_bytes()) {
        let (before, behind) = rest.split_at(at);
        clean.push_str(before);
        let (length, bad) = markup_or_reference(behind);
        if bad {
            clean.push(REPLACEMENT);
            count += 1;
        } else {
            clean.push_str(&behind[..length]);
        }
        rest = &behind[length..];
    }
    clean.push_str(rest);
    Ok((clean, count))
}

/// The length of the markup or the reference at the start of the text, and whether it is a reference to a character that XML forbids. Of a tag
/// only the first byte counts, because its values may contain references.
fn markup_or_reference(text: &str) -> (usize, bool) {
    if text.starts_with('<') {
        let unread = UNREAD_MARKUP.iter().find(|(begin, _)| text.starts_with(begin));
        let length = unread.map_or(1, |(begin, end)| {
            text[begin.len()..].find(end).map_or(text.len(), |at| begin.len() + at + end.len())
        });
        return (length, false);
    }
    let Some(name) = length_of_reference_name(text) else { return (1, false) };
    let character = referenced_character(&text[1..=name]);
    let bad = character.is_some_and(|number| !char::from_u32(number).is_some_and(is_allowed));
    (name + 2, bad)
}

impl Repaired {
    /// A document whose only bad characters are references.
    pub(crate) fn of_references(text: String, first: BadCharacter, count: usize) -> Box<Repaired> {
        Box::new(Repaired { body: text.into_bytes().into(), repairs: Repairs { count, first } })
    }

    /// Counts references too. `first` has its offset in the text.
    pub(crate) fn add_references(&mut self, first: BadCharacter, count: usize) {
        self.repairs.count += count;
        let first = BadCharacter { at: self.offset(first.at), ..first };
        if first.at < self.repairs.first.at {
            self.repairs.first = first;
        }
    }

    /// The offset in the body of a character that has this offset in the text with marks.
    pub(crate) fn offset(&self, at: usize) -> usize {
        let (mut in_text, mut in_body) = (0, 0);
        for part in parts(&self.body) {
            let length = part.length_in_text();
            if at < in_text + length {
                break;
            }
            in_text += length;
            in_body += part.length_in_body();
        }
        in_body + (at - in_text)
    }

    /// The bad character at this offset, or the next one in the tag there.
    pub(crate) fn here(&self, offset: usize) -> Option<BadCharacter> {
        let (before, rest) = self.body.split_at_checked(offset)?;
        let in_tag = rest.starts_with(b"<")
            || before.iter().rfind(|byte| matches!(byte, b'<' | b'>')).is_some_and(|byte| *byte == b'<');
        let mut at = offset;
        for part in parts(rest) {
            match part {
                Part::Bad { form, .. } => return Some(BadCharacter { at, form }),
                Part::Good(text) if text.is_empty() || in_tag && !text.contains('>') => at += text.len(),
                Part::Good(_) => break,
            }
        }
        None
    }
}

/// A part of a body.
enum Part<'a> {
    Good(&'a str),
    /// A bad character, and how many bytes it takes.
    Bad {
        form: Form,
        length: usize,
    },
}

impl Part<'_> {
    fn length_in_text(&self) -> usize {
        match self {
            Part::Good(text) => text.len(),
            Part::Bad { .. } => MARK.len_utf8(),
        }
    }

    fn length_in_body(&self) -> usize {
        match self {
            Part::Good(text) => text.len(),
            Part::Bad { length, .. } => *length,
        }
    }
}

fn parts(body: &[u8]) -> impl Iterator<Item = Part<'_>> {
    body.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().split_inclusive(|c| !is_allowed(c)).flat_map(good_and_bad);
        let broken = chunk.invalid();
        valid.chain(broken.first().map(|first| Part::Bad { form: Form::Byte(*first), length: broken.len() }))
    })
}

/// The parts of a text of which at most the last character is bad.
fn good_and_bad(text: &str) -> impl Iterator<Item = Part<'_>> {
    let last = text.chars().next_back().filter(|c| !is_allowed(*c));
    let length = last.map_or(0, char::len_utf8);
    let bad = last.map(|c| Part::Bad { form: Form::Character(c.into()), length });
    std::iter::once(Part::Good(&text[..text.len() - length])).chain(bad)
}

/// An empty text with room for this many bytes, and to become a `Text`. The server determines the number.
fn with_room(length: usize) -> Read<String> {
    let mut text = String::new();
    text.try_reserve_exact(length + ROOM).map_err(|_| Problem { at: 0, what: What::NoMemory })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body with everything replaced, and what was.
    fn repaired(body: &[u8]) -> (String, Option<Repairs>) {
        let Decoded { text, repaired } = marked(body.to_vec()).unwrap();
        (without_marks(text), repaired.map(|repaired| repaired.repairs))
    }

    #[test]
    fn each_bad_character_and_each_broken_sequence_becomes_one_u_fffd() {
        for (body, text, count, at, form) in [
            (&b"a\x01b"[..], "a\u{fffd}b", 1, 1, Form::Character(1)),
            (b"\0\0", "\u{fffd}\u{fffd}", 2, 0, Form::Character(0)),
            (b"\t\r\n\x7f\x0b", "\t\r\n\x7f\u{fffd}", 1, 4, Form::Character(0xb)),
            ("\u{e9}\u{fffe}\u{ffff}".as_bytes(), "\u{e9}\u{fffd}\u{fffd}", 2, 2, Form::Character(0xfffe)),
            // Latin-1, a surrogate, a sequence that ends too early, in the middle and at the end.
            (b"\xe9t\xe9", "\u{fffd}t\u{fffd}", 2, 0, Form::Byte(0xe9)),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}", 3, 0, Form::Byte(0xed)),
            (b"a\xf0\x9f\x98<", "a\u{fffd}<", 1, 1, Form::Byte(0xf0)),
            (b"a\xf0\x9f\x98", "a\u{fffd}", 1, 1, Form::Byte(0xf0)),
            (b"\xff\x01\xff", "\u{fffd}\u{fffd}\u{fffd}", 3, 0, Form::Byte(0xff)),
        ] {
            let repairs = Repairs { count, first: BadCharacter { at, form } };
            assert_eq!(repaired(body), (text.to_string(), Some(repairs)), "{}", body.escape_ascii());
            let lossy = String::from_utf8_lossy(body).replace(|c| !is_allowed(c), "\u{fffd}");
            assert_eq!(lossy, text, "as anybody else does it");
        }
        let good = "\u{fffd} \u{10ffff}\u{85}".as_bytes();
        assert_eq!(repaired(good), (String::from_utf8(good.to_vec()).unwrap(), None));
    }

    #[test]
    fn an_offset_in_the_text_is_found_in_the_body() {
        let Decoded { text, repaired } = marked(b"\xe9\xe9ab\x01\xf0\x9f\x98c&#1;\xff".to_vec()).unwrap();
        let mut repaired = repaired.unwrap();
        for (sought, at) in [("ab", 2), ("b", 3), ("c", 8), ("&", 9)] {
            assert_eq!(repaired.offset(text.find(sought).unwrap()), at, "{sought}");
        }
        let ends = [(0, 0), (3, 1), (text.len() - 3, 13), (text.len(), 14)];
        assert!(ends.iter().all(|(text, body)| repaired.offset(*text) == *body));
        repaired.add_references(BadCharacter { at: text.find('&').unwrap(), form: Form::Reference(1) }, 1);
        let first = BadCharacter { at: 0, form: Form::Byte(0xe9) };
        assert_eq!(repaired.repairs, Repairs { count: 6, first });
    }

    #[test]
    fn the_bad_character_of_a_place_is_at_it_or_in_its_tag() {
        let repaired = |body: &[u8]| marked(body.to_vec()).unwrap().repaired.unwrap();
        for (body, at, expected) in [
            (&b"<a\xff>\x01"[..], 0, Some(2)),
            (b"<a \xff='1'>", 3, Some(3)),
            (b"<a></a\xff>", 3, Some(6)),
            (b"<a b>\xff</a>", 4, None),
            (b"<a>&\xff</a>", 3, None),
            (b"<a/>\0", 4, Some(4)),
            (b"<a\xff></a>", 4, None),
            (b"\xff<a", 3, None),
        ] {
            let found = repaired(body).here(at).map(|bad| bad.at);
            assert_eq!(found, expected, "{} {at}", body.escape_ascii());
        }
    }

    #[test]
    fn references_to_what_xml_forbids_become_u_fffd_and_everything_else_stays() {
        let text = "<a b='&#1;&lt;'>&#65;&#1;b&#x1f600;&#xffff;&#xD83D;&#0;&amp;<c/>&#31;</a>";
        let clean =
            text.replace("&#1;", "\u{fffd}").replace("&#xffff;&#xD83D;&#0;", "\u{fffd}\u{fffd}\u{fffd}");
        let clean = clean.replace("&#31;", "\u{fffd}");
        assert_eq!(without_bad_references(text, text.find("&#1").unwrap()), Ok((clean, 6)));
        for unread in ["<!--&#1;-->", "<![CDATA[&#1;]]>", "<?p &#1;?>"] {
            let text = format!("<a>&#1;{unread}&#2;</a>");
            let clean = format!("<a>\u{fffd}{unread}\u{fffd}</a>");
            assert_eq!(without_bad_references(&text, 3), Ok((clean, 2)));
        }
    }

    #[test]
    fn a_lack_of_memory_is_an_error() {
        let problem = Problem { at: 0, what: What::NoMemory };
        assert_eq!(with_room(1 << 62), Err(problem));
    }

    #[test]
    fn a_message_names_the_first_character_and_how_many_follow() {
        let first = BadCharacter { at: 7, form: Form::Byte(0xe9) };
        let shown = |count| Repairs { count, first }.to_string();
        assert_eq!(shown(1), "the byte 0xE9, which is not UTF-8, at byte 7");
        assert_eq!(shown(3), "the byte 0xE9, which is not UTF-8, at byte 7 and 2 more such characters");
    }
}
