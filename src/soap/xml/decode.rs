//! Decodes the bytes of a document. Question marks replace bad characters, so that one bad byte in a name does not make a whole
//! reply unreadable.

use std::fmt;

use memchr::memchr;

use super::text::{is_allowed, length_of_reference_name, referenced_character};

/// A character that XML forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadCharacter {
    /// Its offset in bytes.
    pub(crate) at: usize,
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A byte that is not part of UTF-8.
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

/// The body as text, and its first bad character. Each byte of a bad character becomes a question mark, so that offsets stay
/// the same.
pub(crate) fn decode(body: Vec<u8>) -> (String, Option<BadCharacter>) {
    match String::from_utf8(body) {
        Ok(text) if !has_bad_character(&text) => (text, None),
        Ok(text) => repair(text.into_bytes()),
        Err(error) => repair(error.into_bytes()),
    }
}

fn has_bad_character(text: &str) -> bool {
    // A loop without an early exit, which the compiler vectorises. Most documents contain no control character but line feeds.
    let mut control = false;
    for byte in text.bytes() {
        control |= byte < b' ' && byte != b'\n';
    }
    control && text.bytes().any(|b| b < b' ' && !matches!(b, b'\n' | b'\t' | b'\r'))
        || memchr(0xef, text.as_bytes()).is_some() && text.contains(['\u{fffe}', '\u{ffff}'])
}

#[cold]
fn repair(mut body: Vec<u8>) -> (String, Option<BadCharacter>) {
    let mut first: Option<BadCharacter> = None;
    let mut note = |at, form| {
        if first.is_none_or(|first| at < first.at) {
            first = Some(BadCharacter { at, form });
        }
    };
    let mut good = 0;
    while let Err(error) = std::str::from_utf8(&body[good..]) {
        let start = good + error.valid_up_to();
        let end = error.error_len().map_or(body.len(), |length| start + length);
        note(start, Form::Byte(body[start]));
        body[start..end].fill(b'?');
        good = end;
    }
    for at in 0..body.len() {
        match body[at] {
            b'\t' | b'\n' | b'\r' => {}
            byte if byte < b' ' => {
                note(at, Form::Character(byte.into()));
                body[at] = b'?';
            }
            0xef if matches!(body[at + 1..], [0xbf, 0xbe | 0xbf, ..]) => {
                note(at, Form::Character(0xff40 + u32::from(body[at + 2])));
                body[at..at + 3].fill(b'?');
            }
            _ => {}
        }
    }
    // Everything is UTF-8 now.
    (String::from_utf8(body).unwrap_or_default(), first)
}

/// The beginning of a document in UTF-16, which is not supported, for a message. `None` for other documents.
#[cold]
pub(crate) fn beginning_of_utf16(body: &[u8]) -> Option<String> {
    let read: fn([u8; 2]) -> u16 = match body {
        [0xff, 0xfe, ..] | [b'<', 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, b'<', ..] => u16::from_be_bytes,
        _ => return None,
    };
    const MOST: usize = 4096;
    let (units, _) = body[..body.len().min(MOST)].as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| read(*unit)).collect();
    Some(String::from_utf16_lossy(&units).trim_start_matches('\u{feff}').to_string())
}

/// The document with question marks in place of references to characters that XML forbids.
pub(crate) fn without_bad_references(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        let (before, behind) = rest.split_at(at);
        clean.push_str(before);
        let name = length_of_reference_name(behind);
        let length = name.map_or(1, |name| name + 2);
        let number = name.and_then(|name| referenced_character(&behind[1..=name]));
        let allowed = number.is_none_or(|number| char::from_u32(number).is_some_and(is_allowed));
        clean.push_str(if allowed { &behind[..length] } else { "?" });
        rest = &behind[length..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_xml_forbids_become_question_marks_and_the_others_stay() {
        let text = "a&#65;&#1;b&#x1f600;&#xffff;&amp;&#;&#x;c&#";
        assert_eq!(without_bad_references(text), "a&#65;?b&#x1f600;?&amp;&#;&#x;c&#");
    }
}
