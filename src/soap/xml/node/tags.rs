//! Where tags begin and end in a document that the reader has accepted. Comments, CDATA sections and instructions are skipped.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use crate::soap::xml::text::is_space;

/// The `<` of the next start tag or end tag.
#[inline]
pub(super) fn next(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(b'<', bytes.get(at..)?)?;
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

/// The end of a name, which a blank, a `/`, a `>` or a `=` follows.
#[inline]
pub(super) fn end_of_name(bytes: &[u8], begin: usize) -> usize {
    let rest = bytes.get(begin..).unwrap_or_default();
    let is_behind = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>' | b'=');
    begin + rest.iter().position(is_behind).unwrap_or(rest.len())
}

/// Whether the tag that begins at `start` has this name, with or without a prefix.
#[inline]
pub(super) fn is_named(bytes: &[u8], start: usize, name: &[u8]) -> bool {
    let begin = start + 1;
    let rest = bytes.get(begin..).unwrap_or_default();
    let ends_behind =
        |length: usize| rest.get(length).is_some_and(|byte| is_space(*byte) || matches!(byte, b'/' | b'>'));
    if rest.starts_with(name) && ends_behind(name.len()) {
        return true;
    }
    let whole = &bytes[begin.min(bytes.len())..end_of_name(bytes, begin).min(bytes.len())];
    whole
        .strip_suffix(name)
        .is_some_and(|prefix| memchr(b':', prefix) == prefix.len().checked_sub(1) && !prefix.is_empty())
}

/// The end of the start tag that begins at `start`. A value may contain a `>`.
#[inline]
pub(super) fn end_of_start(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    // Most tags have no attributes.
    loop {
        match bytes.get(at)? {
            b'>' => return Some(at + 1),
            byte if is_space(*byte) => break,
            _ => at += 1,
        }
    }
    loop {
        at += memchr3(b'>', b'"', b'\'', bytes.get(at..)?)?;
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
    let mut at = start + 2;
    while *bytes.get(at)? != b'>' {
        at += 1;
    }
    Some(at + 1)
}

/// Whether the start tag that ends here is that of an empty element.
#[inline]
pub(super) fn is_empty(bytes: &[u8], inside: usize) -> bool {
    inside.checked_sub(2).and_then(|last| bytes.get(last)) == Some(&b'/')
}

/// The end of the element whose start tag ends at `inside`.
pub(super) fn end_of_element(bytes: &[u8], inside: usize) -> Option<usize> {
    let (mut at, mut open) = (inside, 1_usize);
    if is_empty(bytes, inside) {
        return Some(inside);
    }
    loop {
        at = next(bytes, at)?;
        if is_end(bytes, at) {
            at = end_of_end(bytes, at)?;
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        } else {
            at = end_of_start(bytes, at)?;
            open += usize::from(!is_empty(bytes, at));
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
