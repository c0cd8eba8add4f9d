//! Where tags begin and end in a document that the reader has accepted. Comments, CDATA sections and instructions are skipped.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use crate::soap::xml::text::is_space;

/// Eight bytes from `at` on.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// A word whose lowest bit that is set is in the place of the first `byte` of the given word; 0: there is none.
#[inline]
fn places(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & (ONES << 7)
}

#[inline]
fn first(places: u64) -> usize {
    (places.trailing_zeros() / 8) as usize
}

/// The next `<`.
#[inline]
fn next_mark(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + memchr(b'<', bytes.get(at..)?)?)
}

/// The `<` of the next start tag or end tag.
#[inline]
pub(super) fn next(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = next_mark(bytes, at)?;
        match bytes.get(at + 1)? {
            b'!' | b'?' => at = end_of_other(bytes, at)?,
            _ => return Some(at),
        }
    }
}

/// Whether the tag that begins here is an end tag.
#[inline]
pub(super) fn is_end(bytes: &[u8], at: usize) -> bool {
    bytes.get(at + 1) == Some(&b'/')
}

/// The end of a comment, of a CDATA section or of an instruction.
#[cold]
fn end_of_other(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let (begin, end): (usize, &[u8]) = if rest.starts_with(b"<!--") {
        (4, b"-->")
    } else if rest.starts_with(b"<![CDATA[") {
        (9, b"]]>")
    } else {
        (2, if rest.starts_with(b"<?") { b"?>" } else { b">" })
    };
    let length = memmem::find(rest.get(begin..)?, end)?;
    Some(at + begin + length + end.len())
}

/// Whether the byte can follow a name in a tag.
#[inline]
fn ends_name(byte: u8) -> bool {
    matches!(byte, b'>' | b'/' | b'=') || is_space(byte)
}

/// The end of a name, which a blank, a `/`, a `>` or a `=` follows.
#[inline]
pub(super) fn end_of_name(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| !ends_name(*byte)) {
        at += 1;
    }
    at
}

/// Whether the name that begins here is this one.
#[inline]
fn begins(bytes: &[u8], begin: usize, name: &[u8]) -> bool {
    // Most names differ in their first character or in their length.
    bytes.get(begin) == name.first()
        && bytes.get(begin + name.len()).is_some_and(|byte| ends_name(*byte))
        && bytes[begin..].starts_with(name)
}

/// Whether the tag that begins at `start` has this name, with or without a prefix.
#[inline]
pub(super) fn is_named(bytes: &[u8], start: usize, name: &[u8]) -> bool {
    begins(bytes, start + 1, name) || is_named_behind_prefix(bytes, start + 1, name)
}

fn is_named_behind_prefix(bytes: &[u8], mut at: usize, name: &[u8]) -> bool {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b':' => return begins(bytes, at + 1, name),
            byte if ends_name(*byte) => return false,
            _ => at += 1,
        }
    }
    false
}

/// The end of the start tag that begins at `start`. A value may contain a `>`.
#[inline]
pub(super) fn end_of_start(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let found =
            word(bytes, at).map_or(0, |word| places(word, b'>') | places(word, b'"') | places(word, b'\''));
        at += match found {
            0 => memchr3(b'>', b'"', b'\'', bytes.get(at..)?)?,
            found => first(found),
        };
        let quote = bytes[at];
        at += 1;
        if quote == b'>' || planted!("tag-ends-in-a-value") {
            return Some(at);
        }
        at += memchr(quote, bytes.get(at..)?)? + 1;
    }
}

/// The end of the end tag that begins at `start`.
#[inline]
pub(super) fn end_of_end(bytes: &[u8], start: usize) -> Option<usize> {
    Some(start + memchr(b'>', bytes.get(start..)?)? + 1)
}

/// Whether the start tag that ends here is that of an empty element.
#[inline]
pub(super) fn is_empty(bytes: &[u8], inside: usize) -> bool {
    inside.checked_sub(2).and_then(|last| bytes.get(last)) == Some(&b'/')
}

/// The end of the element whose start tag goes from `start` to `inside`.
#[inline]
pub(super) fn end_of_element(bytes: &[u8], start: usize, inside: usize) -> Option<usize> {
    if is_empty(bytes, inside) { Some(inside) } else { end_of_rest(bytes, start, inside) }
}

/// The end of the element whose start tag begins at `start` and is not empty, from a place between its children on. Only tags of
/// the same name count: the others come in pairs. No value contains a `<`, so that nothing of a tag behind its name matters.
pub(super) fn end_of_rest(bytes: &[u8], start: usize, mut at: usize) -> Option<usize> {
    let name = &bytes[start + 1..end_of_name(bytes, start + 1)];
    let first = *name.first()?;
    let mut open = 1_usize;
    loop {
        at = next_mark(bytes, at)? + 1;
        match *bytes.get(at)? {
            b'/' => {
                at += 1;
                if bytes.get(at) == Some(&first) && begins(bytes, at, name) {
                    open -= 1;
                    if open == 0 {
                        let end = at + name.len();
                        return if bytes[end] == b'>' { Some(end + 1) } else { end_of_end(bytes, end) };
                    }
                }
            }
            b'!' | b'?' => at = end_of_other(bytes, at - 1)?,
            byte if byte == first && begins(bytes, at, name) => {
                at = end_of_start(bytes, at - 1)?;
                open += usize::from(!is_empty(bytes, at));
            }
            _ => {}
        }
    }
}

/// The places of the names and of the values in a start tag.
pub(super) struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    /// Those between the name of the tag and its end.
    pub(super) fn new(bytes: &'a [u8], begin: usize, end: usize) -> Attributes<'a> {
        Attributes { bytes: &bytes[..end.min(bytes.len())], at: begin }
    }

    fn spaces(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| is_space(*byte)) {
            self.at += 1;
        }
    }
}

impl Iterator for Attributes<'_> {
    type Item = (Range<usize>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.spaces();
        let name = self.at..end_of_name(self.bytes, self.at);
        if name.is_empty() {
            return None;
        }
        self.at = name.end;
        self.spaces();
        if *self.bytes.get(self.at)? != b'=' {
            return None;
        }
        self.at += 1;
        self.spaces();
        let quote = *self.bytes.get(self.at).filter(|byte| matches!(byte, b'"' | b'\''))?;
        let begin = self.at + 1;
        let length = memchr(quote, self.bytes.get(begin..)?)?;
        self.at = begin + length + 1;
        Some((name, begin..begin + length))
    }
}
