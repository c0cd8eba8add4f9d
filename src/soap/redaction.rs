//! Strikes secrets out of XML that a server sent, so that what is left is XML still.

use crate::runtime::redact::Redactor;

/// The fault's XML without the secrets: struck out of texts and values; a tag that holds one loses its name.
pub(super) fn without_secrets(xml: &str, hidden: &Redactor) -> String {
    let mut clean = String::with_capacity(xml.len());
    let mut rest = xml;
    while !rest.is_empty() {
        let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
        let length = match rest {
            _ if rest.starts_with("<!--") => until("-->"),
            _ if rest.starts_with("<![CDATA[") => until("]]>"),
            _ if rest.starts_with("<?") => until("?>"),
            _ if rest.starts_with('<') => end_of_tag(rest),
            _ => rest.find('<').unwrap_or(rest.len()),
        };
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        if !piece.starts_with('<') {
            clean.push_str(hidden.redact_xml(piece).as_deref().unwrap_or(piece));
        } else if piece.starts_with("<!") || piece.starts_with("<?") {
            // A section or a comment is left out as a whole.
            if hidden.redact_xml(piece).is_none() {
                clean.push_str(piece);
            }
        } else {
            tag_without_secrets(piece, hidden, &mut clean);
        }
    }
    clean
}

/// A `>` may stand in a value.
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

/// The part of a tag between its values.
fn names_without_secrets(part: &str, hidden: &Redactor, clean: &mut String) {
    let is_mark = |c: char| c.is_ascii_whitespace() || matches!(c, '<' | '>' | '/' | '=' | '"' | '\'' | ':');
    for piece in part.split_inclusive(is_mark) {
        let name = piece.trim_end_matches(is_mark);
        clean.push_str(if hidden.is_in_name(name) { "redacted" } else { name });
        clean.push_str(&piece[name.len()..]);
    }
}
