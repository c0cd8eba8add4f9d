//! Text in XML: which characters and names are allowed, how text is escaped, and what references, CDATA sections and ends
//! of lines stand for.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use crate::text::ROOM;

/// Comments, sections and instructions: nothing in them is a tag or a reference.
pub(in crate::soap) const UNREAD_MARKUP: [(&str, &str); 3] =
    [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];

/// Escapes text for a place between tags or in a quoted attribute. The result is allocated once: a string that grows leaves
/// copies behind, and this one may hold a password.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    // Names and ids are short, and need nothing escaped.
    if !text.bytes().any(|b| matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'' | b'\r')) {
        return text.into();
    }
    let escape_of = |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
        // An XML parser turns it into a line feed.
        '\r' => Some("&#13;"),
        _ => None,
    };
    let length = text.chars().map(|c| escape_of(c).map_or(c.len_utf8(), str::len)).sum();
    let mut escaped = String::with_capacity(length);
    for c in text.chars() {
        match escape_of(c) {
            Some(escape) => escaped.push_str(escape),
            None => escaped.push(c),
        }
    }
    escaped.into()
}

pub(in crate::soap) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether the text is white space by the definition of XML, which is narrower than that of Rust.
pub(in crate::soap) fn is_white_space(text: &str) -> bool {
    text.bytes().all(is_space)
}

/// Whether XML can carry this text. XML cannot write control characters other than tab and the ends of lines, nor U+FFFE
/// and U+FFFF.
pub(crate) fn is_text(text: &str) -> bool {
    text.chars().all(is_allowed)
}

/// As `text_content`, without a copy if there is nothing to resolve.
pub(crate) fn borrowed_text_content(text: &str) -> Option<Cow<'_, str>> {
    match memchr3(b'&', b'<', b'\r', text.as_bytes()) {
        None => Some(text.into()),
        Some(_) => text_content(text).map(Cow::Owned),
    }
}

/// The text that a part of a document without elements stands for, as a parser gives it: comments and processing
/// instructions are left out, references and CDATA sections are resolved. It has room to become a `Text`. `None`: there is not enough memory.
pub(crate) fn text_content(text: &str) -> Option<String> {
    let mut plain = String::new();
    plain.try_reserve_exact(text.len() + ROOM).ok()?;
    let mut rest = text;
    while let Some(at) = memchr3(b'&', b'<', b'\r', rest.as_bytes()) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        // The content of a part, and the text after it. The last part of a cut text has no end.
        let part = |begin: &str, end: &str| {
            let inside = rest.strip_prefix(begin)?;
            Some(inside.split_once(end).unwrap_or((inside, "")))
        };
        rest = if let Some((section, behind)) = part("<![CDATA[", "]]>") {
            push_lines(&mut plain, section);
            behind
        } else if let Some((_, behind)) = part("<!--", "-->").or_else(|| part("<", "?>")) {
            behind
        } else if let Some((name, behind)) = part("&", ";") {
            plain.push(character_of(name));
            behind
        } else {
            plain.push('\n');
            rest.strip_prefix("\r\n").unwrap_or(&rest[1..])
        };
    }
    plain.push_str(rest);
    Some(plain)
}

/// The text that the value of an attribute stands for: references are resolved, and white space that is written as such becomes
/// blanks. `None`: there is not enough memory.
pub(super) fn value_content(value: &str) -> Option<String> {
    let mut plain = String::new();
    plain.try_reserve_exact(value.len() + ROOM).ok()?;
    let mut rest = value;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match rest.strip_prefix('&').and_then(|reference| reference.split_once(';')) {
            Some((name, behind)) => {
                plain.push(character_of(name));
                behind
            }
            None => {
                plain.push(' ');
                rest.strip_prefix("\r\n").unwrap_or(&rest[1..])
            }
        };
    }
    plain.push_str(rest);
    Some(plain)
}

/// The character for which a reference stands, given without `&` and `;`.
fn character_of(name: &str) -> char {
    let character = referenced_character(name).and_then(char::from_u32);
    character.filter(|c| is_allowed(*c)).unwrap_or('\u{fffd}')
}

/// Whether two attribute values, given with their references, are equal once the references are resolved.
pub(super) fn is_same_value(a: &str, b: &str) -> bool {
    // Longer than any namespace that the library knows. The limit keeps a long value that is compared often cheap.
    const LONGEST_RESOLVED: usize = 1024;
    let resolved = |value| borrowed_text_content(value).filter(|_| value.len() <= LONGEST_RESOLVED);
    a == b || (a.contains('&') || b.contains('&')) && resolved(a).is_some_and(|a| resolved(b) == Some(a))
}

/// The local part of a qualified name, without the white space around the name.
pub(super) fn local_part(name: &str) -> &str {
    let name = name.trim_matches([' ', '\t', '\r', '\n']);
    name.rsplit(':').next().unwrap_or(name)
}

/// The local part of a qualified name that is an attribute value, given with its references. `None`: there is not enough memory.
pub(in crate::soap) fn local_part_of_value(value: &str) -> Option<Cow<'_, str>> {
    Some(match borrowed_text_content(value)? {
        Cow::Borrowed(name) => local_part(name).into(),
        Cow::Owned(name) => local_part(&name).to_string().into(),
    })
}

/// The length of the name between the `&` and the `;` of a reference at the start of the text. `None`: there is no reference.
pub(super) fn length_of_reference_name(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_in_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'#';
    let length = bytes.get(1..)?.iter().take_while(is_in_name).count();
    (bytes.get(1 + length) == Some(&b';')).then_some(length)
}

/// Appends text with line ends normalised to line feeds.
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

/// Whether XML allows the character.
pub(crate) fn is_allowed(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The code point of a reference. `name` is the reference without `&` and `;`.
pub(super) fn referenced_character(name: &str) -> Option<u32> {
    let number = |digits: &str, radix| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        // A number that is too large stands for no character.
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

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    #[test]
    fn escaping_survives_a_parser() {
        let text = "a<b>&\"c'd\r";
        let document = format!("<x y=\"{0}\">{0}</x>", escape(text));
        let document = Document::parse(&document).unwrap();
        assert_eq!(document.root_element().text(), Some(text));
        assert_eq!(document.root_element().attribute("y"), Some(text));
    }

    #[test]
    fn all_line_ends_become_line_feeds() {
        for text in ["a\r\nb\rc\r", "<![CDATA[a\r\nb\rc\r]]>", "a<![CDATA[\r\n]]>b&#10;c<!-- x -->\r\n"] {
            assert_eq!(text_content(text).as_deref(), Some("a\nb\nc\n"), "{text:?}");
        }
    }

    #[test]
    fn white_space_in_a_value_becomes_blanks_unless_a_reference_stands_for_it() {
        assert_eq!(
            value_content("a\r\nb\tc\nd\re&#10;f&#13;&#x9;&lt;\u{e9}&#1;").as_deref(),
            Some("a b c d e\nf\r\t<\u{e9}\u{fffd}")
        );
    }

    #[test]
    fn what_xml_cannot_carry_is_known() {
        for code in 0..=0x1_ffff {
            let Some(c) = char::from_u32(code) else { continue };
            // The parser knows the same rule.
            let document = format!("<x>{c}</x>");
            let parsed = matches!(c, '<' | '&') || Document::parse(&document).is_ok();
            assert_eq!(is_text(&c.to_string()), parsed, "U+{code:04X}");
        }
    }

    #[test]
    fn escaping_leaves_no_copies_behind() {
        let escaped = escape(&"p<&\u{e9}>'\"w".repeat(20)).into_owned();
        assert_eq!(escaped.capacity(), escaped.len(), "it never grew");
    }
}
