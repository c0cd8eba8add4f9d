//! Writing and reading XML: escaping, parsing within limits, and looking at elements by local name.

use std::borrow::Cow;

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{Error, Result};
use crate::runtime::secret::{Wiped, excerpt, strike_out};
use crate::status::Status;

/// Text as it may stand between tags or in a quoted attribute. Made in one piece: a text that grows leaves copies behind,
/// and this one may be a password.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    // Without a way out of the loop: so the compiler looks at many bytes at a time.
    if !text.bytes().fold(false, |found, b| found | matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'')) {
        return text.into();
    }
    let escape_of = |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
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

/// `text` without `secret`, as it is and as it looks inside XML.
pub(crate) fn redact(text: &str, secret: &str) -> String {
    let clean = strike_out(text, secret);
    let escaped = Wiped::new(escape(secret).into_owned());
    if *escaped == secret { clean } else { strike_out(&clean, &escaped) }
}

/// Whether XML can carry this text. It has no way to write other control characters than tab and line ends, nor U+FFFE and
/// U+FFFF.
pub(crate) fn is_text(text: &str) -> bool {
    !text.chars().any(
        |c| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'),
    )
}

/// Whether this can be the name of an element.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Parses a document. Document types are refused; the number of nodes is bounded by the size of the text.
pub(crate) fn parse(text: &str) -> Result<Document<'_>> {
    // The shortest elements of real replies (`<x>1</x>`) take eight bytes for two nodes; a node costs 86 bytes here.
    let nodes_limit = (text.len() / 4).clamp(1000, u32::MAX as usize) as u32;
    Document::parse_with_options(text, ParsingOptions { nodes_limit, ..ParsingOptions::default() })
        .map_err(|error| match error {
            error if looks_like_html(text) => not_soap(text, &error.to_string()),
            roxmltree::Error::DtdDetected => Error::new(
                Status::VSESSION_E_DTD,
                "the reply holds a document type declaration, which SOAP forbids; something else than a vSphere server answered",
            ),
            error => Error::new(
                Status::VSESSION_E_MALFORMED_XML,
                format!("the reply is XML that does not parse ({error}); it may have been cut off on the way"),
            ),
        })
}

fn looks_like_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    start.starts_with("<html") || start.starts_with("<!doctype html") || !start.starts_with('<')
}

/// The error for a reply that is something else than SOAP.
pub(crate) fn not_soap(text: &str, reason: &str) -> Error {
    let start = excerpt(text);
    Error::new(
        Status::VSESSION_E_NOT_SOAP,
        format!(
            "the reply is not SOAP ({reason}); it begins with '{start}'. Check that 'url' leads to a vSphere server and not to a proxy or a web page"
        ),
    )
}

/// The first child element with this local name, in whatever namespace: servers differ in their prefixes.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|c| c.is_element() && c.tag_name().name() == name)
}

/// The text of a child element; `None` when there is no such element.
pub(crate) fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name).map(|c| c.text().unwrap_or(""))
}

/// The local part of the `xsi:type` attribute.
pub(crate) fn xsi_type<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let value = node.attribute(("http://www.w3.org/2001/XMLSchema-instance", "type"))?;
    Some(value.rsplit(':').next().unwrap_or(value))
}

/// An `xsd:dateTime` as milliseconds since 1970, UTC. A time without a zone is taken as UTC.
pub(crate) fn date_time_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let mut time = time.splitn(3, ':');
    let hour = time.next()?.parse::<i64>().ok()?;
    let minute = time.next()?.parse::<i64>().ok()?;
    let seconds = time.next()?.parse::<f64>().ok()?;
    let offset_minutes = match zone.chars().next() {
        None | Some('Z') => 0,
        Some(sign) => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let total = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
            if sign == '-' { -total } else { total }
        }
    };
    let in_range = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&seconds)
        && offset_minutes.abs() <= 14 * 60;
    if !in_range {
        return None;
    }
    // Days since 1970 by the usual count of days with March as the first month.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let minutes = days * 1440 + hour * 60 + minute - offset_minutes;
    Some(minutes * 60_000 + (seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_zone_and_fraction() {
        assert_eq!(date_time_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(date_time_ms("2024-02-29T12:34:56.789Z"), Some(1_709_210_096_789));
        assert_eq!(date_time_ms("2024-02-29T14:34:56.789+02:00"), Some(1_709_210_096_789));
        assert_eq!(date_time_ms("2024-02-29T10:04:56.789012-02:30"), Some(1_709_210_096_789));
        for bad in [
            "",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "x-y-zT1:2:3",
            "2024-01-01T99:00:00Z",
            "2024-01-01T00:00:00+9223372036854775807:00",
            "2024-01-01T00:00:00+00:-9223372036854775808",
            "2024-01-01T00:00:00+0\u{e9}",
        ] {
            assert_eq!(date_time_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn escaping_survives_a_parser() {
        let text = "a<b>&\"c'd";
        let document = format!("<x y=\"{0}\">{0}</x>", escape(text));
        let document = parse(&document).unwrap();
        assert_eq!(document.root_element().text(), Some(text));
        assert_eq!(document.root_element().attribute("y"), Some(text));
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

    #[test]
    fn redaction_finds_the_plain_and_the_escaped_form() {
        assert_eq!(redact("plain a<b&c, in XML a&lt;b&amp;c.", "a<b&c"), "plain ***, in XML ***.");
    }

    #[test]
    fn depth_costs_no_stack() {
        // As small as the stack of a worker.
        let deep = || {
            let text = format!("{}{}", "<a>".repeat(200_000), "</a>".repeat(200_000));
            let document = parse(&text).unwrap();
            assert_eq!(document.descendants().count(), 200_001);
            assert!(parse(&"<a>".repeat(200_000)).is_err());
        };
        std::thread::Builder::new().stack_size(256 * 1024).spawn(deep).unwrap().join().unwrap();
    }

    #[test]
    fn bad_documents_have_a_status_of_their_own() {
        let status = |text: &str| parse(text).unwrap_err().status();
        assert_eq!(status("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"), Status::VSESSION_E_DTD);
        assert_eq!(status("<a><b></a>"), Status::VSESSION_E_MALFORMED_XML);
        assert_eq!(status("<a><b>cut"), Status::VSESSION_E_MALFORMED_XML);
        assert_eq!(status("<html><body><br></body></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status("<!DOCTYPE html><html><br></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status("service unavailable"), Status::VSESSION_E_NOT_SOAP);
    }
}
