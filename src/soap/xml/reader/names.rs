//! Names of elements and attributes.

use super::Reader;
use crate::soap::xml::problem::Read;

/// The offsets of a name: its start, the start of its local part, its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) local: usize,
    pub(super) end: usize,
}

impl Name {
    pub(super) fn has_prefix(self) -> bool {
        self.local > self.start
    }

    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

const BEGINS_NAME: u8 = 1;
const IN_NAME: u8 = 2;
const NOT_ASCII: u8 = 4;

/// Whether a byte may begin a name or continue it.
pub(super) static BYTES: [u8; 256] = {
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

/// Whether this can be the name of an element or of a type, in ASCII and without a prefix.
pub(crate) fn is_name(text: &str) -> bool {
    let is = |class: u8, byte: &u8| BYTES[*byte as usize] & class != 0;
    text.as_bytes().first().is_some_and(|first| is(BEGINS_NAME, first))
        && text.as_bytes().iter().all(|byte| is(IN_NAME, byte))
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

impl Reader<'_> {
    /// A name, with or without a prefix.
    #[inline(always)]
    pub(super) fn name(&mut self) -> Read<Name> {
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
            Some(_) => Err(self.malformed("a name is expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_characters_of_names_are_those_of_xml() {
        // The parser knows the same rule.
        let is_name = |name: String| {
            roxmltree::Document::parse(&format!("<{name}/>"))
                .is_ok_and(|tree| tree.root_element().tag_name().name() == name)
        };
        let codes = (0..=0x3100).chain(0xd7f0..=0x1_0010).chain(0xe_fff0..=0xf_0010);
        for c in codes.filter_map(char::from_u32) {
            assert_eq!(begins_name(c), is_name(c.into()), "{c:?}");
            assert_eq!(is_in_name(c), is_name(format!("a{c}")), "{c:?}");
        }
    }

    #[test]
    fn a_name_begins_with_a_letter_or_an_underscore() {
        for name in ["a", "_a", "a-1.b_c"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "-a", ".a", "a:b", "a b", "\u{e9}"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
