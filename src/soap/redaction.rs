//! Removes secrets from what a server sent, for the error that carries it. XML stays XML.

use super::xml::escape;
use super::xml::text::text_content;
use crate::runtime::redact::Redactor;
use crate::runtime::secret::MASK;

/// The most bytes of a fault's text, of its detail and of a body that an error carries. Those of vSphere have some kilobytes. The
/// search for secrets in all their escapes takes up to some tenths of a microsecond a byte, and no deadline ends it.
pub(super) const LARGEST: usize = 1 << 20;

/// What an error carries of a text. `None`: it is empty or too large, or there is not enough memory.
pub(super) fn carried(
    text: &str,
    hidden: &Redactor,
    without_secrets: fn(&str, &Redactor) -> String,
) -> Option<String> {
    // A copy that finds no memory would abort the process.
    let has_room = || Vec::<u8>::new().try_reserve_exact(2 * text.len()).is_ok();
    (!text.is_empty() && text.len() <= LARGEST && has_room()).then(|| without_secrets(text, hidden))
}

/// XML without the secrets. They are masked in texts and attribute values; a name that contains one is replaced.
pub(super) fn without_secrets(xml: &str, hidden: &Redactor) -> String {
    let mut clean = String::with_capacity(xml.len());
    let mut rest = xml;
    while !rest.is_empty() {
        let length = if begins_tag(rest) { end_of_tag(rest) } else { end_of_text(rest) };
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        if begins_tag(piece) {
            tag_without_secrets(piece, hidden, &mut clean);
        } else {
            text_without_secrets(piece, hidden, &mut clean);
        }
    }
    clean
}

/// Any body without the secrets: a page, or XML that cannot be read.
pub(super) fn page_without_secrets(text: &str, hidden: &Redactor) -> String {
    hidden.redact_document(text).unwrap_or_else(|| text.to_string())
}

/// What a server says in words, without the secrets.
pub(super) fn words_without_secrets(text: &str, hidden: &Redactor) -> String {
    hidden.redact_xml(text).unwrap_or_else(|| text.to_string())
}

/// Whether a start tag or an end tag begins here. Comments, CDATA sections and processing instructions count as parts of the
/// text around them.
fn begins_tag(xml: &str) -> bool {
    xml.starts_with('<') && !xml.starts_with("<!") && !xml.starts_with("<?")
}

/// The length of a text, of a comment, of a CDATA section or of a processing instruction.
fn length_of_part(xml: &str) -> usize {
    let until = |end: &str| xml.find(end).map_or(xml.len(), |at| at + end.len());
    match xml {
        _ if xml.starts_with("<!--") => until("-->"),
        _ if xml.starts_with("<![CDATA[") => until("]]>"),
        _ if xml.starts_with('<') => until("?>"),
        _ => xml.find('<').unwrap_or(xml.len()),
    }
}

/// Where the next tag begins.
fn end_of_text(xml: &str) -> usize {
    let mut at = 0;
    while at < xml.len() && !begins_tag(&xml[at..]) {
        at += length_of_part(&xml[at..]);
    }
    at
}

/// Everything between two tags. Omits a comment or a section that contains a secret; masks the whole text if only its parts
/// together contain one.
fn text_without_secrets(text: &str, hidden: &Redactor, clean: &mut String) {
    let begun = clean.len();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(length_of_part(rest));
        rest = behind;
        match hidden.redact_xml(part) {
            None => clean.push_str(part),
            Some(redacted) if !part.starts_with('<') => clean.push_str(&redacted),
            Some(_) => {}
        }
    }
    if text.contains('<') {
        let whole = text_content(&clean[begun..]).map(|whole| escape(&whole).into_owned());
        if whole.is_none_or(|whole| hidden.redact_xml(&whole).is_some()) {
            clean.truncate(begun);
            clean.push_str(MASK);
        }
    }
}

/// The length of the tag that begins here. A value may contain a `>`.
pub(super) fn end_of_tag(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    text.len()
}

fn tag_without_secrets(tag: &str, hidden: &Redactor, clean: &mut String) {
    let mut rest = tag;
    while let Some(at) = rest.find(['"', '\'']) {
        names_without_secrets(&rest[..=at], hidden, clean);
        let quote = &rest[at..=at];
        let end = rest[at + 1..].find(quote).map_or(rest.len(), |end| at + 1 + end);
        let value = &rest[at + 1..end];
        clean.push_str(hidden.redact_xml(value).as_deref().unwrap_or(value));
        clean.push_str(quote);
        rest = rest.get(end + 1..).unwrap_or("");
    }
    names_without_secrets(rest, hidden, clean);
}

/// The part of a tag between two values.
fn names_without_secrets(part: &str, hidden: &Redactor, clean: &mut String) {
    let is_mark = |c: char| c.is_ascii_whitespace() || matches!(c, '<' | '>' | '/' | '=' | '"' | '\'' | ':');
    for piece in part.split_inclusive(is_mark) {
        let name = piece.trim_end_matches(is_mark);
        clean.push_str(if hidden.is_in_name(name) { "redacted" } else { name });
        clean.push_str(&piece[name.len()..]);
    }
}
